//! What may be written to say where recorded rows come from: a file, or the operator's own history.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};

use super::super::arguments::Common;
use super::super::failure::Failure;
use super::{HistoryChoice, SeriesError};

impl From<SeriesError> for Failure {
    fn from(error: SeriesError) -> Self {
        Self::Usage(error.to_string())
    }
}

/// A file, or series of the operator's own history.
#[derive(Args, Clone, Debug, Default)]
#[command(group(ArgGroup::new("source").args(["csv", "baseline"]).required(true)))]
pub(in super::super) struct SourceArguments {
    /// CSV file with a column timestamp and numbers; - reads standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["baseline", "pod"])]
    pub csv: Option<PathBuf>,
    /// Folder of the operator's history
    #[arg(long, value_name = "DIR", env = "DBMEDIC_DATA_DIR", default_value = "/var/lib/dbmedic")]
    pub data_dir: PathBuf,
    /// Baseline in the history, as [NAMESPACE/]NAME
    #[arg(long, value_name = "NAME")]
    pub baseline: Option<String>,
    /// Database pod in the history; may be left out when there is one
    #[arg(long, value_name = "NAME", requires = "baseline")]
    pub pod: Option<String>,
}

impl SourceArguments {
    /// The file, `-` being standard input, where no Baseline is named.
    pub fn file(&self) -> &Path {
        self.csv.as_deref().unwrap_or_else(|| Path::new("-"))
    }

    /// What was chosen of the history, with its name for people; `None` when no Baseline is named.
    ///
    /// # Errors
    /// [`Failure::Usage`] for a name that is none.
    pub fn choice(&self, metric: Option<&str>, common: &Common) -> Result<Option<(HistoryChoice, String)>, Failure> {
        let Some(baseline) = &self.baseline else { return Ok(None) };
        if common.all_namespaces {
            return Err(Failure::Usage("one Baseline is read at a time: name its namespace with -n".to_owned()));
        }
        let (namespace, name) = match baseline.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                (Some(namespace.to_owned()), name.to_owned())
            }
            None if !baseline.is_empty() => (common.namespace.clone(), baseline.clone()),
            _ => return Err(Failure::Usage(format!("--baseline: found {baseline:?}, allowed: [NAMESPACE/]NAME"))),
        };
        let choice = HistoryChoice {
            data_dir: self.data_dir.clone(),
            namespace,
            baseline: name,
            pod: self.pod.clone(),
            metric: metric.map(str::to_owned),
        };
        let shown = self.pod.as_ref().map_or_else(|| baseline.clone(), |pod| format!("{baseline}, pod {pod}"));
        Ok(Some((choice, shown)))
    }
}
