//! The real parts that dbmedic's tests, demo and benches run on.
//!
//! Nothing here is part of the product. Everything starts as a process of its own that ends with the program that
//! started it, also when that program crashes:
//!
//! - [`Cluster`]: etcd, kube-apiserver and kube-controller-manager, with users; or the cluster of a given kubeconfig.
//! - [`Node`]: runs the pods of Jobs as plain processes.
//! - [`Postgres`]: a PostgreSQL server, a standby of one, with or without TLS.
//! - [`ApiProxy`], [`PgProxy`]: count what passes, act at the n-th message, go away and come back.
//!
//! Variables of the environment that change where the parts come from:
//!
//! | variable | meaning |
//! |---|---|
//! | `KUBECONFIG_FOR_TESTS` | use this cluster; its user must be allowed everything, impersonation included |
//! | `DBMEDIC_CLUSTER_PROGRAM` | the control plane's program, if not `target/tools/cluster` |
//! | `DBMEDIC_PROGRAMS` | the directory with `dbmedic` and `kubectl-dbmedic`, if not that of the running build |
//! | `DBMEDIC_POSTGRES_PROGRAMS` | the directory with `initdb` and `postgres`, if not on the `PATH` or Debian's |
//! | `DBMEDIC_KEEP` | keep temporary directories, with all logs |
//!
//! Linux only (`setpriv` of util-linux).

mod api_proxy;
mod certificate;
mod cluster;
mod eventually;
mod node;
mod pg_proxy;
mod postgres;
mod process;
mod scratch;
mod skipped;
pub mod shop;

pub use api_proxy::{ApiProxy, Moment, Write};
pub use certificate::Certificate;
pub use cluster::{Cluster, KUBECONFIG_VARIABLE, USERS};
pub use eventually::{eventually, holds_for};
pub use nix::sys::signal::Signal;
pub use node::{Node, Ran};
pub use pg_proxy::{Message, PgProxy};
pub use postgres::{Postgres, Settings, Shutdown};
pub use process::{Launch, Process};
pub use scratch::{Scratch, free_port, programs_directory, workspace};
pub use skipped::skipped;
