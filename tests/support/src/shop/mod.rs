//! The shop: a database `orders` with a steady workload, watched by an operator with its own rights. The tests of the
//! whole loop, the demo and the benches all stand on it.

mod database;
mod history;
mod install;
mod operator;
mod workload;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::{Cluster, Node, Postgres, Scratch, Settings, workspace};
pub use history::history_csv;
pub use install::install;
pub use operator::Operator;
pub use workload::Workload;

/// Name of the database pod.
pub const POD: &str = "orders-db-0";
/// Labels of the database pods, which the Baseline selects by.
const DATABASE_LABELS: &[(&str, &str)] = &[("app", "orders-db")];
/// The operator's service account.
pub const OPERATOR: (&str, &str) = ("dbmedic-system", "dbmedic");
/// Image that stands for the dbmedic program.
pub const IMAGE: &str = "dbmedic:test";
const MONITOR_PASSWORD: &str = "monitor-password";
const FIXER_PASSWORD: &str = "fixer-password";

/// How a shop is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Rows of `orders`.
    pub rows: u64,
    /// Rows of `orders` that belong to one customer, on average.
    pub rows_per_customer: u64,
    /// `collection.interval` and `collection.statementsInterval`.
    pub interval: &'static str,
    /// `for` of the rule.
    pub persistence: &'static str,
    /// `mode` of the policy.
    pub mode: &'static str,
    /// `rollbackTimeout` of the policy.
    pub rollback_timeout: &'static str,
    /// Days of history that are imported.
    pub history_days: u32,
    /// Seconds between two rounds of the history.
    pub history_step: u32,
    /// Whether the server offers TLS.
    pub tls: bool,
    /// Whether the operator has the rights of `config/operator.yaml` only, cluster-wide; else those over this shop's
    /// namespace that it needs as its own are added, so that many operators share a cluster.
    pub shipped_rights: bool,
    /// Image that stands for the `dbmedic` program.
    pub image: &'static str,
    /// Text replacements in the example files, after the others.
    pub replace: Vec<(String, String)>,
    /// Is told what is about to begin.
    pub progress: fn(&str),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rows: 300_000,
            rows_per_customer: 20,
            interval: "1s",
            persistence: "3s",
            mode: "auto",
            rollback_timeout: "20s",
            history_days: 14,
            history_step: 60,
            tls: false,
            shipped_rights: false,
            image: IMAGE,
            replace: Vec::new(),
            progress: |_| (),
        }
    }
}

impl Options {
    fn customers(&self) -> u64 {
        (self.rows / self.rows_per_customer.max(1)).max(1)
    }
}

/// A database under a workload, and everything that is installed to watch it.
pub struct Shop {
    /// Its namespace.
    pub namespace: String,
    /// The database server.
    pub postgres: Postgres,
    /// Runs the Jobs.
    pub node: Node,
    options: Options,
    scratch: Scratch,
    programs: PathBuf,
}

impl Shop {
    /// Sets everything up but the operator: database, roles, pod, kinds, gates, rights and the quickstart's objects.
    ///
    /// `programs` is the folder with the `dbmedic` program.
    ///
    /// # Errors
    /// Whatever does not start or is refused.
    pub async fn open(cluster: &Cluster, programs: PathBuf, options: Options) -> Result<Self> {
        let namespace = cluster.namespace("shop").await?;
        Self::open_in(cluster, programs, options, namespace).await
    }

    /// As [`Shop::open`], in a namespace that exists.
    ///
    /// # Errors
    /// As [`Shop::open`].
    pub async fn open_in(cluster: &Cluster, programs: PathBuf, options: Options, namespace: String) -> Result<Self> {
        let dbmedic = programs.join("dbmedic");
        ensure!(dbmedic.exists(), "{} is not built: cargo build", dbmedic.display());
        let scratch = Scratch::new("shop")?;
        (options.progress)("kinds, approval gate, the operator's rights");
        install(cluster).await?;
        let node = Node::start(cluster, &[&namespace], &[(options.image, dbmedic)]).await?;
        (options.progress)(&format!("PostgreSQL, and a table orders of {:.1} million rows", options.rows as f64 / 1e6));
        let postgres = database::database(Settings { tls: options.tls, ..Settings::default() }, &options).await?;
        (options.progress)(&format!(
            "pod {POD}; Secrets, Baseline, RemediationPolicy, AnomalyRule of examples/quickstart"
        ));
        node.database_pod(&namespace, POD, DATABASE_LABELS, postgres.address(), postgres.port()).await?;
        let shop = Self { namespace, postgres, node, options, scratch, programs };
        if !shop.options.shipped_rights {
            shop.grant(cluster).await?;
        }
        shop.apply_examples(cluster).await?;
        Ok(shop)
    }

    /// Adds a database of the same kind on another address, behind a pod that the Baseline selects, too.
    ///
    /// # Errors
    /// It does not start.
    pub async fn add_database(&self, pod: &str, address: IpAddr) -> Result<Postgres> {
        let settings = Settings { address, port: Some(self.postgres.port()), ..Settings::default() };
        let postgres = database::database(settings, &self.options).await?;
        self.node.database_pod(&self.namespace, pod, DATABASE_LABELS, address, postgres.port()).await?;
        Ok(postgres)
    }

    /// The quickstart's objects with this shop's namespace, port, passwords and times.
    ///
    /// # Errors
    /// A file is missing.
    pub fn examples(&self) -> Result<BTreeMap<String, String>> {
        let folder = workspace().join("examples/quickstart");
        let mut files = BTreeMap::new();
        for name in ["rights.yaml", "secrets.yaml", "baseline.yaml", "remediationpolicy.yaml", "anomalyrule.yaml"] {
            let text = std::fs::read_to_string(folder.join(name)).with_context(|| format!("reading {name}"))?;
            let mut text = text
                .replace("namespace: shop", &format!("namespace: {}", self.namespace))
                .replace("port: 5432", &format!("port: {}", self.postgres.port()))
                .replace("change-me-monitor", MONITOR_PASSWORD)
                .replace("change-me-fixer", FIXER_PASSWORD)
                .replace("interval: 10s", &format!("interval: {}", self.options.interval))
                .replace("statementsInterval: 1m", &format!("statementsInterval: {}", self.options.interval))
                .replace("for: 5m", &format!("for: {}", self.options.persistence))
                .replace("rollbackTimeout: 5m", &format!("rollbackTimeout: {}", self.options.rollback_timeout))
                .replace("mode: auto", &format!("mode: {}", self.options.mode));
            for (from, to) in &self.options.replace {
                text = text.replace(from, to);
            }
            files.insert(name.to_owned(), text);
        }
        Ok(files)
    }

    /// Applies the quickstart's objects.
    ///
    /// # Errors
    /// The API server refuses one.
    pub async fn apply_examples(&self, cluster: &Cluster) -> Result<()> {
        for (name, text) in self.examples()? {
            cluster.apply_yaml(&text, &self.namespace).await.with_context(|| format!("applying {name}"))?;
        }
        Ok(())
    }

    /// Changes what the quickstart's objects say from now on; apply them again.
    pub fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }

    /// Where the operator keeps its history.
    pub fn data_directory(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// Log of the operator.
    pub fn operator_log(&self) -> PathBuf {
        self.scratch.path().join("operator.log")
    }

    /// The folder with the programs.
    pub fn programs(&self) -> &std::path::Path {
        &self.programs
    }
}
