//! dbmedic: the operator, the fix that runs inside a Job, and the operator's own files.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use dbmedic::{api, fix, history, operator};

/// Learns what is normal for a database, notices when that stops, works out why, and fixes it safely.
#[derive(Parser)]
#[command(name = "dbmedic", version)]
struct Command {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run the operator.
    Operator(Box<operator::arguments::Arguments>),
    /// Make or undo one change; runs inside a Job.
    Fix(Box<fix::Arguments>),
    /// Print the CustomResourceDefinitions, write them to a folder, or check a folder against them.
    Crds(Crds),
    /// Read or fill the operator's history of samples.
    #[command(subcommand)]
    History(history::command::Task),
}

#[derive(Args)]
struct Crds {
    /// Write one file per definition into this folder.
    #[arg(long, conflicts_with = "check")]
    out: Option<PathBuf>,
    /// Fail when a file in this folder differs.
    #[arg(long)]
    check: Option<PathBuf>,
}

fn main() -> ExitCode {
    // Several libraries could bring a TLS provider: this is the one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(Command::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("dbmedic: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    if let Task::Crds(arguments) = &command.task {
        return crds(arguments);
    }
    // More than are needed would only cost memory for their stacks and arenas.
    let threads = match &command.task {
        Task::Operator(arguments) => arguments.worker_threads.into(),
        _ => 2,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        match command.task {
            Task::Operator(arguments) => operator::run(*arguments).await.map(|()| ExitCode::SUCCESS),
            Task::Fix(arguments) => {
                // A Job that is interrupted leaves no report: its log says how far it came.
                tracing_subscriber::fmt().with_ansi(false).with_target(false).with_writer(std::io::stderr).init();
                Ok(ExitCode::from(fix::run(*arguments).await))
            }
            Task::History(task) => history::command::run(task).await.map(|()| ExitCode::SUCCESS),
            Task::Crds(_) => Ok(ExitCode::SUCCESS),
        }
    })
}

fn crds(arguments: &Crds) -> anyhow::Result<ExitCode> {
    let files = api::crds::files().context("a definition cannot be written as YAML")?;
    if let Some(folder) = &arguments.out {
        for (name, text) in files {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(folder) = &arguments.check {
        let mut code = ExitCode::SUCCESS;
        for (name, text) in files {
            let path = folder.join(name);
            if std::fs::read_to_string(&path).ok().as_deref() != Some(text.as_str()) {
                eprintln!("{} differs from the types: run `dbmedic crds --out {}`", path.display(), folder.display());
                code = ExitCode::from(1);
            }
        }
        return Ok(code);
    }
    for (_, text) in files {
        print!("{text}");
    }
    Ok(ExitCode::SUCCESS)
}
