//! What may be written behind `backtest`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::super::series::SourceArguments;

/// Judge recorded rows as the operator would have, without a cluster
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "The columns of -o csv: timestamp,value,expected,lower,upper,score,anomalous,incident")]
pub(in super::super) struct BacktestArguments {
    #[command(flatten)]
    pub source: SourceArguments,
    /// Column or metric to judge; all of them together when left out
    #[arg(long, value_name = "NAME")]
    pub metric: Option<String>,
    /// AnomalyRule to judge by, as YAML; the shipped detectors when left out
    #[arg(long, value_name = "FILE", conflicts_with = "sensitivity")]
    pub rule: Option<PathBuf>,
    /// How readily the shipped detectors speak
    #[arg(long, value_enum, default_value_t = Sensitivity::Medium)]
    pub sensitivity: Sensitivity,
    /// Known anomalies, a JSON list of [from, to]: adds precision, recall and delay
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Write a picture of the series, its band and the incidents
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// How readily the shipped detectors speak.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(in super::super) enum Sensitivity {
    Low,
    #[default]
    Medium,
    High,
}

impl From<Sensitivity> for crate::api::Sensitivity {
    fn from(sensitivity: Sensitivity) -> Self {
        match sensitivity {
            Sensitivity::Low => Self::Low,
            Sensitivity::Medium => Self::Medium,
            Sensitivity::High => Self::High,
        }
    }
}
