//! What the operator can be told on its command line or by environment.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::history;

/// Runs the operator.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Namespaces to watch, comma separated. All when left out (needs cluster-wide rights).
    #[arg(long, env = "DBMEDIC_WATCH_NAMESPACES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,

    /// Namespace of the operator: of its Lease and its budget ledger.
    #[arg(long, env = "POD_NAMESPACE", default_value = "dbmedic-system")]
    pub namespace: String,

    /// User name of the operator's own service account: never an approver.
    #[arg(long, env = "DBMEDIC_USER", default_value = "system:serviceaccount:dbmedic-system:dbmedic")]
    pub user: String,

    /// Folder of the history store.
    #[arg(long, env = "DBMEDIC_DATA_DIR", default_value = "/var/lib/dbmedic")]
    pub data_dir: PathBuf,

    /// Image of the Jobs that run a fix; normally the operator's own.
    #[arg(long, env = "DBMEDIC_IMAGE", default_value = "dbmedic:latest")]
    pub image: String,

    /// Threads that do the work: two carry 1,000 databases.
    #[arg(long, env = "DBMEDIC_WORKER_THREADS", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub worker_threads: u16,

    /// Memory that each of the history's two connections keeps of the file, in KiB.
    #[arg(long, env = "DBMEDIC_HISTORY_CACHE_KIB", default_value_t = history::CACHE_KIB, value_parser = clap::value_parser!(u32).range(64..=1_048_576))]
    pub history_cache_kib: u32,

    /// Address of /metrics, /healthz and /readyz.
    #[arg(long, env = "DBMEDIC_LISTEN", default_value = "0.0.0.0:9101")]
    pub listen: SocketAddr,

    /// Name of this replica in the Lease.
    #[arg(long, env = "POD_NAME", default_value_t = host_name())]
    pub identity: String,

    /// Seconds after which a Lease that was not renewed is free.
    #[arg(long, env = "DBMEDIC_LEASE_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(2..=300))]
    pub lease_seconds: u64,

    /// How log lines look.
    #[arg(long, env = "DBMEDIC_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,

    /// What is logged, as `tracing` directives.
    #[arg(long, env = "DBMEDIC_LOG", default_value = "info")]
    pub log: String,
}

/// Two processes of one name would both take the Lease for theirs; a container's host name is its pod's.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}", if name.trim().is_empty() { "dbmedic" } else { name.trim() }, std::process::id())
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Arguments {
    /// Time before the Lease's end at which it is renewed: a third, so that two renewals may fail.
    pub fn lease_grace(&self) -> Duration {
        Duration::from_secs((self.lease_seconds / 3).max(1))
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command};

    use super::Arguments;

    /// The Deployment's probes, the network policies and the docs name this port.
    #[test]
    fn the_endpoints_are_on_port_9101_of_every_address_unless_told_otherwise() {
        let command = Arguments::augment_args(Command::new("dbmedic"));
        let listen = command.get_arguments().find(|argument| argument.get_id() == "listen").expect("--listen");
        assert_eq!(listen.get_default_values(), ["0.0.0.0:9101"]);
        assert_eq!(listen.get_env(), Some("DBMEDIC_LISTEN".as_ref()));
    }
}
