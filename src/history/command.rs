//! `dbmedic history`: fills the store from a wide CSV, or writes it out as one.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::Store;
use super::transfer::{export_csv, import_csv};
use crate::measure::{BUILT_IN, TargetKey};

/// What to do with the history.
#[derive(Clone, Debug, Subcommand)]
pub enum Task {
    /// Read rounds from a CSV file: `timestamp,<metric>,...`; an empty cell is no value.
    Import(Import),
    /// Write the rounds of one database as CSV.
    Export(Export),
}

/// Which store and which database.
#[derive(Args, Clone, Debug)]
pub struct Which {
    /// Folder of the history store.
    #[arg(long, env = "DBMEDIC_DATA_DIR", default_value = "/var/lib/dbmedic")]
    data_dir: PathBuf,
    /// The Baseline, as namespace/name.
    #[arg(long, value_parser = namespaced)]
    baseline: (String, String),
    /// The database pod.
    #[arg(long)]
    pod: String,
}

/// Arguments of `import`.
#[derive(Args, Clone, Debug)]
pub struct Import {
    #[command(flatten)]
    which: Which,
    /// The CSV file.
    file: PathBuf,
    /// Further metrics that the Baseline defines itself (names begin with `custom_`).
    #[arg(long = "custom")]
    custom: Vec<String>,
}

/// Arguments of `export`.
#[derive(Args, Clone, Debug)]
pub struct Export {
    #[command(flatten)]
    which: Which,
    /// The CSV file; standard output when left out.
    #[arg(long)]
    file: Option<PathBuf>,
}

impl Which {
    fn key(&self) -> TargetKey {
        let (namespace, baseline) = self.baseline.clone();
        TargetKey { namespace, baseline, pod: self.pod.clone() }
    }

    async fn open(&self) -> anyhow::Result<Store> {
        std::fs::create_dir_all(&self.data_dir).with_context(|| format!("cannot make {}", self.data_dir.display()))?;
        let path = self.data_dir.join(super::FILE);
        Store::open(&path).await.with_context(|| format!("cannot open {}", path.display()))
    }
}

/// Runs the task.
///
/// # Errors
/// With file, line and column for a CSV file that cannot be understood.
pub async fn run(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Import(import) => {
            let name = import.file.display().to_string();
            let file = File::open(&import.file).with_context(|| format!("cannot read {name}"))?;
            let store = import.which.open().await?;
            let allowed: Vec<String> =
                BUILT_IN.iter().map(|metric| metric.name.to_owned()).chain(import.custom).collect();
            let imported = import_csv(BufReader::new(file), &name, &store, &import.which.key(), &allowed).await?;
            let size = store.size().await?;
            store.close().await;
            eprintln!(
                "imported {} rounds, {} samples into {}{}",
                imported.rounds,
                imported.samples,
                import.which.key(),
                size.bytes_per_sample()
                    .map(|bytes| format!("; the store holds {bytes:.2} bytes a sample"))
                    .unwrap_or_default()
            );
        }
        Task::Export(export) => {
            let store = export.which.open().await?;
            let (name, writer): (String, Box<dyn Write>) = match &export.file {
                Some(path) => (
                    path.display().to_string(),
                    Box::new(File::create(path).with_context(|| format!("cannot write {}", path.display()))?),
                ),
                None => ("standard output".to_owned(), Box::new(std::io::stdout())),
            };
            let rows =
                export_csv(BufWriter::new(writer), &name, &store, &export.which.key(), i64::MIN, i64::MAX).await?;
            store.close().await;
            eprintln!("exported {rows} rounds of {}", export.which.key());
        }
    }
    Ok(())
}

fn namespaced(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err(format!("found {text:?}, allowed is namespace/name")),
    }
}
