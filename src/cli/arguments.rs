//! What may be written on the command line.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::api::{DurationText, Severity};

const EXIT_CODES: &str = "Exit codes: 0 ok, 1 error, 2 usage, 3 open anomalies at or above --fail-on, 4 timeout";

/// Learns what is normal for a database, notices when that stops, works out why, and fixes it safely.
#[derive(Debug, Parser)]
#[command(name = "kubectl-dbmedic", bin_name = "kubectl dbmedic", version, after_help = EXIT_CODES)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command; names and meanings are kubectl's.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Common {
    /// Namespace; that of the context when left out
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// All namespaces
    #[arg(short = 'A', long, global = true, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// Context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Path of the kubeconfig
    #[arg(long, global = true, value_name = "PATH")]
    pub kubeconfig: Option<std::path::PathBuf>,
    /// Longest wait for one answer of the API server (10s, 1m); 0 waits for ever
    #[arg(long, global = true, value_name = "DURATION", default_value = "10s", value_parser = timeout)]
    pub request_timeout: Timeout,
    /// Leave out the headers of tables
    #[arg(long, global = true)]
    pub no_headers: bool,
    /// Form of the output
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    #[arg(
        help = "Colour: auto means on a terminal, unless NO_COLOR is set",
        long,
        global = true,
        value_enum,
        default_value_t = Colour::Auto,
        value_name = "WHEN"
    )]
    pub color: Colour,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Timeout(pub Option<Duration>);

fn timeout(text: &str) -> Result<Timeout, String> {
    if text == "0" {
        return Ok(Timeout(None));
    }
    // kubectl takes a bare number as seconds.
    let bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = if bare { format!("{text}s") } else { text.to_owned() };
    let duration = DurationText(text).resolve().map_err(|error| error.to_string())?;
    Ok(Timeout(Some(duration).filter(|duration| !duration.is_zero())))
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(super) enum Format {
    #[default]
    Table,
    Wide,
    Json,
    Yaml,
    Name,
    // Of the commands over series only; a doc comment would make the help of every command twice as long.
    Csv,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(super) enum Colour {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Least {
    Low,
    Medium,
    High,
    Critical,
}

impl From<Least> for Severity {
    fn from(least: Least) -> Self {
        match least {
            Least::Low => Self::Low,
            Least::Medium => Self::Medium,
            Least::High => Self::High,
            Least::Critical => Self::Critical,
        }
    }
}

fn severity(text: &str) -> Result<Severity, String> {
    Least::from_str(text, true).map(Severity::from).map_err(|_| "allowed are low, medium, high, critical".to_owned())
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Baselines, policies and what waits for a person
    Status {
        /// Exit with 3 when an anomaly of this severity or above is open
        #[arg(long, value_name = "SEVERITY", value_parser = severity)]
        fail_on: Option<Severity>,
    },
    /// Open anomalies, the most severe first
    Anomalies {
        /// Exit with 3 when an anomaly of this severity or above is open
        #[arg(long, value_name = "SEVERITY", value_parser = severity)]
        fail_on: Option<Severity>,
        /// Show resolved ones too
        #[arg(long)]
        resolved: bool,
    },
    /// What was learnt: statistics, bounds, patterns, whether it held, confidence and readiness
    Baseline {
        /// Name of a Baseline
        name: String,
        /// Show only whether what was learnt held in the days after it
        #[arg(long)]
        validate: bool,
    },
    /// What happened, since when, how far from normal, why, and what is done about it
    Explain {
        /// Name of an Anomaly or a Remediation
        name: String,
    },
    /// Planned and made changes, the newest first
    Fixes,
    /// Let a planned change run
    Approve(Decide),
    /// Say no to a planned change
    Refuse(Decide),
    Backtest(Box<super::backtest::BacktestArguments>),
    Forecast(Box<super::forecast::ForecastArguments>),
    /// Print the completion script of a shell
    Completion {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Completion for kubectl, called by `kubectl_complete-dbmedic`
    #[command(name = "__complete", hide = true, disable_help_flag = true)]
    Complete {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

/// Flags of a decision.
#[derive(Args, Debug)]
pub(super) struct Decide {
    /// Name of the Remediation
    pub name: String,
    /// Decide without being asked again
    #[arg(short, long)]
    pub yes: bool,
    /// Refuse to decide on another plan than the one of this hash
    #[arg(long, value_name = "HASH")]
    pub plan_hash: Option<String>,
    /// Why, for those who read it later
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// Print the decision's manifest instead of creating it
    #[arg(long)]
    pub export: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_timeout_is_a_duration_or_seconds_or_never() {
        assert_eq!(timeout("1m"), Ok(Timeout(Some(Duration::from_mins(1)))));
        assert_eq!(timeout("7"), Ok(Timeout(Some(Duration::from_secs(7)))));
        assert_eq!(timeout("0"), Ok(Timeout(None)));
        assert!(timeout("soon").is_err());
    }
}
