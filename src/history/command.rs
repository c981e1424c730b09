//! `dbmedic history`: fills the store from a wide CSV, or writes it out as one.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::transfer::{export_csv, import_csv};
use super::{Health, Store};
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
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pod: String,
}

/// Samples from which on it is said how densely they are stored.
const DENSE_SAMPLES: u64 = 100_000;

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

    fn path(&self) -> PathBuf {
        self.data_dir.join(super::FILE)
    }

    /// Opens the store, or begins one.
    async fn open(&self) -> anyhow::Result<Store> {
        std::fs::create_dir_all(&self.data_dir).with_context(|| format!("cannot make {}", self.data_dir.display()))?;
        let path = self.path();
        Store::open(&path).await.with_context(|| format!("cannot open {}", path.display()))
    }

    /// Opens a store that is there and knows the database: whoever reads wants to hear of a mistyped name.
    async fn open_known(&self) -> anyhow::Result<Store> {
        anyhow::ensure!(self.path().is_file(), "--data-dir: found no {} in {}", super::FILE, self.data_dir.display());
        let store = self.open().await?;
        if let Health::Corrupt(reason) | Health::Unwritable(reason) = store.health() {
            anyhow::bail!("the history cannot be read: {reason}");
        }
        let targets = store.targets().await?;
        if !targets.contains(&self.key()) {
            let known: Vec<String> = targets.iter().map(ToString::to_string).collect();
            anyhow::bail!("--baseline, --pod: found {}, allowed: {}", self.key(), known.join(", "));
        }
        Ok(store)
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
            let path = import.which.path();
            let begun = if path.is_file() { String::new() } else { format!("; {} is new", path.display()) };
            let store = import.which.open().await?;
            let allowed: Vec<String> =
                BUILT_IN.iter().map(|metric| metric.name.to_owned()).chain(import.custom).collect();
            let imported = import_csv(BufReader::new(file), &name, &store, &import.which.key(), &allowed).await?;
            let size = store.size().await?;
            store.close().await;
            // Few samples are outweighed by the store's own pages.
            let dense = size.bytes_per_sample().filter(|_| imported.samples >= DENSE_SAMPLES);
            eprintln!(
                "imported {} rounds, {} samples into {}{begun}{}",
                imported.rounds,
                imported.samples,
                import.which.key(),
                dense.map(|bytes| format!("; the store holds {bytes:.2} bytes a sample")).unwrap_or_default()
            );
        }
        Task::Export(export) => {
            let store = export.which.open_known().await?;
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
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err(format!("found {text:?}, allowed is namespace/name")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(subcommand)]
        task: Task,
    }

    fn parsed(words: &[&str]) -> Result<Task, String> {
        let words = std::iter::once("history").chain(words.iter().copied());
        Program::try_parse_from(words).map(|program| program.task).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn an_export_of_what_is_not_there_is_an_error_and_makes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("data");
        let export = |pod: &str| {
            let folder = folder.display().to_string();
            parsed(&["export", "--data-dir", &folder, "--baseline", "shop/orders", "--pod", pod]).unwrap()
        };
        let error = run(export("a")).await.unwrap_err().to_string();
        assert!(error.contains("--data-dir: found no history.sqlite") && !folder.exists(), "{error}");

        std::fs::create_dir(&folder).unwrap();
        let store = Store::open(folder.join(crate::history::FILE)).await.unwrap();
        let key = TargetKey { namespace: "shop".into(), baseline: "orders".into(), pod: "a".into() };
        let series = store.target(&key, &["tps".to_owned()]).await.unwrap();
        store.append(&series, 1_772_409_600_000, &[1.0]).await.unwrap();
        store.close().await;
        let error = run(export("b")).await.unwrap_err().to_string();
        assert!(error.contains("found shop/orders/b, allowed: shop/orders/a"), "{error}");
        run(export("a")).await.unwrap();
    }

    #[test]
    fn a_baseline_is_two_names_and_a_pod_has_one() {
        for (baseline, pod) in [("orders", "a"), ("a/b/c", "a"), ("/b", "a"), ("shop/orders", "")] {
            assert!(parsed(&["export", "--baseline", baseline, "--pod", pod]).is_err(), "{baseline} {pod}");
        }
        assert!(parsed(&["export", "--baseline", "shop/orders", "--pod", "a"]).is_ok());
    }
}
