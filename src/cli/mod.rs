//! kubectl-dbmedic: what a person sees and decides, one file per command.
//!
//! Every command builds one model from what the API server has; `output` renders it as table, wide, JSON, YAML or
//! names. Models hold cleaned text only (`text::clean`): what comes from a database never reaches a terminal as it was.
//! Data goes to stdout, talk to stderr.

mod anomalies;
mod approve;
mod arguments;
mod backtest;
mod baseline;
mod cluster;
mod complete;
mod decide;
mod explain;
mod explain_model;
mod failure;
mod figures;
mod files;
mod fixes;
pub mod fuzzing;
mod forecast;
mod output;
mod refuse;
mod series;
mod status;
mod table;
mod text;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use arguments::{Arguments, Command};
use cluster::Cluster;
use failure::{EXIT_ANOMALIES, Failure};
use output::Output;

/// Runs the plugin and gives its exit code: 0 ok, 1 error, 2 usage, 3 open anomalies at or above `--fail-on`, 4 timeout.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = Arguments::command().try_get_matches_from(arguments).and_then(|m| Arguments::from_arg_matches(&m));
    let arguments = match parsed {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nothing is left to be done when even the complaint cannot be written.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(failure::EXIT_USAGE));
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("Error: {error}");
            return ExitCode::from(failure::EXIT_ERROR);
        }
    };
    let code = match runtime.block_on(dispatch(arguments)) {
        Ok(code) => code,
        Err(failure) => {
            let said = failure.to_string();
            let lines: Vec<String> = said.lines().map(text::clean).collect();
            eprintln!("Error: {}", lines.join("\n"));
            failure.exit_code()
        }
    };
    // An outstanding read of the answer to a prompt must not hold up the end.
    runtime.shutdown_background();
    ExitCode::from(code)
}

async fn dispatch(arguments: Arguments) -> Result<u8, Failure> {
    let common = &arguments.common;
    let output = Output::new(common);
    let now = k8s_openapi::jiff::Timestamp::now();
    match arguments.command {
        Command::Completion { shell } => {
            print(&complete::script(shell))?;
            Ok(0)
        }
        Command::Complete { words } => {
            print(&complete::candidates(common, &words).await)?;
            Ok(0)
        }
        Command::Status { fail_on } => {
            let status = status::read(&Cluster::connect(common).await?, now).await?;
            print(&output.render(&status)?)?;
            for hint in status.hints() {
                eprintln!("{hint}");
            }
            Ok(failed(fail_on.is_some_and(|least| status.worst >= Some(least))))
        }
        Command::Anomalies { fail_on, resolved } => {
            let cluster = Cluster::connect(common).await?;
            let anomalies = anomalies::read(&cluster, resolved, now).await?;
            if anomalies.items.is_empty() {
                eprintln!("No {}anomalies found{}.", if resolved { "" } else { "open " }, cluster.place());
            }
            print(&output.render(&anomalies)?)?;
            Ok(failed(fail_on.is_some_and(|least| anomalies.worst() >= Some(least))))
        }
        Command::Fixes => {
            let cluster = Cluster::connect(common).await?;
            let fixes = fixes::read(&cluster, now).await?;
            if fixes.items.is_empty() {
                eprintln!("No fixes found{}.", cluster.place());
            }
            print(&output.render(&fixes)?)?;
            Ok(0)
        }
        Command::Baseline { name, validate } => {
            let learnt = baseline::read(&Cluster::connect(common).await?, &name, validate).await?;
            print(&output.render(&learnt)?)?;
            Ok(0)
        }
        Command::Explain { name } => {
            let explanation = explain::read(&Cluster::connect(common).await?, &name, now).await?;
            print(&output.render(&explanation)?)?;
            Ok(0)
        }
        Command::Backtest(arguments) => {
            let (out, talk) = (&mut std::io::stdout().lock(), &mut std::io::stderr().lock());
            backtest::run(&arguments, common, &output, out, talk).await
        }
        Command::Forecast(arguments) => {
            print(&forecast::run(&arguments, common, &output).await?)?;
            Ok(0)
        }
        Command::Approve(decision) => approve::run(&Cluster::connect(common).await?, &output, &decision).await,
        Command::Refuse(decision) => refuse::run(&Cluster::connect(common).await?, &output, &decision).await,
    }
}

fn failed(found: bool) -> u8 {
    if found { EXIT_ANOMALIES } else { 0 }
}

fn print(text: &str) -> Result<(), Failure> {
    output::write(&mut std::io::stdout().lock(), text)
}
