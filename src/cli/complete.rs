//! Completion: scripts for shells, and candidates for kubectl's own completion of plugins.

use clap::CommandFactory;
use kube::ResourceExt;

use super::arguments::{Arguments, Common};
use super::cluster::Cluster;
use super::series::Rows;
use super::text::clean;
use crate::api::{Anomaly, Baseline, Remediation, RemediationState};

// Cobra's directives, the last line of what kubectl reads: no file names, and file names where nothing else is said.
const NO_FILES: &str = ":4\n";
const FILES: &str = ":0\n";

/// The completion script of a shell for the program `kubectl-dbmedic`.
pub(super) fn script(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(
        shell,
        &mut Arguments::command().bin_name("kubectl-dbmedic"),
        "kubectl-dbmedic",
        &mut script,
    );
    String::from_utf8_lossy(&script).into_owned()
}

/// Candidates for the last of the words, one a line, as `kubectl_complete-dbmedic` has to print them.
pub(super) async fn candidates(common: &Common, words: &[String]) -> String {
    let (last, before) = words.split_last().map_or(("", [].as_slice()), |(last, before)| (last.as_str(), before));
    let command = Arguments::command();
    let named = before.iter().map(String::as_str).find(|word| command.find_subcommand(word).is_some());
    let flag = before.last().and_then(|word| valued_flag(named, word));
    if flag.as_ref().is_some_and(|flag| flag.get_value_hint() == clap::ValueHint::AnyPath) {
        return FILES.to_owned();
    }
    let names = match named {
        Some("backtest" | "forecast") if flag.as_ref().is_some_and(|flag| flag.get_id() == "metric") => columns(before),
        _ if flag.as_ref().is_some_and(|flag| !flag.get_possible_values().is_empty()) => {
            let values = flag.iter().flat_map(clap::Arg::get_possible_values);
            values.map(|value| value.get_name().to_owned()).collect()
        }
        Some(command @ ("baseline" | "explain" | "approve" | "refuse")) if !last.starts_with('-') => {
            names(&with_place(common, before), command).await
        }
        _ => words_of(named, last),
    };
    let fitting: String =
        names.iter().filter(|name| name.starts_with(last)).flat_map(|name| [name.as_str(), "\n"]).collect();
    fitting + NO_FILES
}

// The words are an unfinished command line, so only the flags that say where to look are read from them.
fn with_place(common: &Common, words: &[String]) -> Common {
    let mut common = common.clone();
    let spelt =
        words.iter().map(|word| word.split_once('=').map_or((word.as_str(), None), |(flag, at)| (flag, Some(at))));
    for (index, (flag, joined)) in spelt.enumerate() {
        let value = joined.or_else(|| words.get(index + 1).map(String::as_str)).map(str::to_owned);
        match flag {
            "-n" | "--namespace" => common.namespace = value,
            "--context" => common.context = value,
            "--kubeconfig" => common.kubeconfig = value.map(Into::into),
            _ => {}
        }
    }
    common
}

fn words_of(named: Option<&str>, last: &str) -> Vec<String> {
    let command = Arguments::command();
    let inner = named.and_then(|name| command.find_subcommand(name));
    if last.starts_with('-') {
        let own = inner.into_iter().flat_map(clap::Command::get_arguments);
        let flags = command.get_arguments().chain(own).filter_map(clap::Arg::get_long);
        return flags.map(|flag| format!("--{flag}")).collect();
    }
    match (named, inner) {
        (None, _) => {
            let shown = command.get_subcommands().filter(|inner| !inner.is_hide_set());
            shown.map(|inner| inner.get_name().to_owned()).collect()
        }
        (Some("completion"), _) => ["bash", "elvish", "fish", "powershell", "zsh"].map(str::to_owned).to_vec(),
        _ => Vec::new(),
    }
}

/// The flag that a word is, when a value has to follow it.
fn valued_flag(named: Option<&str>, word: &str) -> Option<clap::Arg> {
    let command = Arguments::command();
    let inner = named.and_then(|name| command.find_subcommand(name));
    let mut flags = inner.into_iter().flat_map(clap::Command::get_arguments).chain(command.get_arguments());
    let is = |flag: &&clap::Arg| match word.strip_prefix("--") {
        Some(long) => flag.get_long() == Some(long),
        None => {
            word.strip_prefix('-').is_some_and(|short| flag.get_short().map(String::from).as_deref() == Some(short))
        }
    };
    flags.find(is).filter(|flag| flag.get_action().takes_values()).cloned()
}

/// The columns of the file that the words name.
fn columns(words: &[String]) -> Vec<String> {
    let csv = words.iter().position(|word| word == "--csv").and_then(|place| words.get(place + 1));
    let nothing = || -> Box<dyn std::io::Read> { Box::new(std::io::empty()) };
    let rows = csv.and_then(|name| Rows::open(name.as_ref(), None, nothing).ok());
    rows.map(|rows| rows.columns().iter().map(|name| clean(name)).collect()).unwrap_or_default()
}

// A completion that cannot be had is no completion: a shell is no place for an error.
async fn names(common: &Common, command: &str) -> Vec<String> {
    let Ok(cluster) = Cluster::connect(common).await else { return Vec::new() };
    if command == "baseline" {
        let baselines: Vec<Baseline> = cluster.list().await.unwrap_or_default();
        return baselines.iter().map(ResourceExt::name_any).collect();
    }
    let remediations: Vec<Remediation> = cluster.list().await.unwrap_or_default();
    if command == "explain" {
        let anomalies: Vec<Anomaly> = cluster.list().await.unwrap_or_default();
        let names = anomalies.iter().map(ResourceExt::name_any);
        return names.chain(remediations.iter().map(ResourceExt::name_any)).collect();
    }
    let waiting = remediations.iter().filter(|remediation| {
        remediation.status.as_ref().and_then(|status| status.state) == Some(RemediationState::AwaitingApproval)
    });
    waiting.map(ResourceExt::name_any).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(words: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(candidates(&Common::default(), &words))
    }

    #[test]
    fn commands_and_flags_complete_without_a_cluster() {
        assert_eq!(complete(&["a"]), "anomalies\napprove\n:4\n");
        assert_eq!(complete(&["anomalies", "--fail"]), "--fail-on\n:4\n");
        assert_eq!(complete(&["completion", "z"]), "zsh\n:4\n");
    }

    #[test]
    fn values_of_flags_complete_files_and_columns_too() {
        let csv = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/backtest/response_time.csv");
        assert_eq!(complete(&["b"]), "baseline\nbacktest\n:4\n");
        assert_eq!(complete(&["backtest", "--sens"]), "--sensitivity\n:4\n");
        assert_eq!(complete(&["backtest", "--sensitivity", ""]), "low\nmedium\nhigh\n:4\n");
        assert_eq!(complete(&["backtest", "-o", "c"]), "csv\n:4\n");
        assert_eq!(complete(&["backtest", "--csv", "x"]), ":0\n");
        assert_eq!(complete(&["backtest", "--csv", csv, "--metric", ""]), "response_time\n:4\n");
        assert_eq!(complete(&["backtest", "--csv", "nowhere", "--metric", ""]), ":4\n");
    }

    #[test]
    fn flags_before_the_command_say_where_to_look() {
        let words = ["-n", "shop", "--context=test", "approve"].map(str::to_owned);
        let common = with_place(&Common::default(), &words);
        assert_eq!((common.namespace.as_deref(), common.context.as_deref()), (Some("shop"), Some("test")));
        assert_eq!(complete(&["-n", "shop", "completion", "z"]), "zsh\n:4\n");
    }

    #[test]
    fn every_shell_has_a_script() {
        assert!(script(clap_complete::Shell::Bash).contains("kubectl-dbmedic"));
    }
}
