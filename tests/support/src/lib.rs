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
pub mod shop;

pub use api_proxy::{ApiProxy, Moment, Write};
pub use certificate::Certificate;
pub use cluster::{Cluster, USERS};
pub use eventually::{eventually, holds_for};
pub use nix::sys::signal::Signal;
pub use node::{Node, Ran};
pub use pg_proxy::{Message, PgProxy};
pub use postgres::{Postgres, Settings, Shutdown};
pub use process::{Launch, Process};
pub use scratch::{Scratch, free_port, programs_directory, workspace};
