//! The shop: a database `orders` with a steady workload, watched by an operator with its own rights. The tests of the
//! whole loop, the demo and the benches all stand on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use sqlx::{Connection, Executor};
use tokio::task::JoinHandle;

use crate::{Cluster, Launch, Node, Postgres, Process, Scratch, Settings, eventually, free_port, workspace};

/// Name of the database pod.
pub const POD: &str = "orders-db-0";
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
            history_days: 8,
            history_step: 60,
            tls: false,
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
        let node = Node::start(cluster, &[&namespace], &[(IMAGE, dbmedic)]).await?;
        (options.progress)(&format!("PostgreSQL, and a table orders of {:.1} million rows", options.rows as f64 / 1e6));
        let postgres = database(&options).await?;
        (options.progress)(&format!(
            "pod {POD}; Secrets, Baseline, RemediationPolicy, AnomalyRule of examples/quickstart"
        ));
        node.database_pod(&namespace, POD, &[("app", "orders-db")], postgres.address(), postgres.port()).await?;
        let shop = Self { namespace, postgres, node, options, scratch, programs };
        shop.grant(cluster).await?;
        shop.apply_examples(cluster).await?;
        Ok(shop)
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

    async fn grant(&self, cluster: &Cluster) -> Result<()> {
        let namespace = &self.namespace;
        let (account_namespace, account) = OPERATOR;
        cluster
            .apply_yaml(
                &format!(
                    r"
apiVersion: v1
kind: ConfigMap
metadata: {{name: dbmedic-ledger, namespace: {namespace}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: dbmedic-own, namespace: {namespace}}}
rules:
- {{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create, get, list, watch, patch, update]}}
- {{apiGroups: [''], resources: [configmaps], resourceNames: [dbmedic-ledger], verbs: [get, update]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: dbmedic-own, namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: dbmedic-own}}
subjects: [{{kind: ServiceAccount, name: {account}, namespace: {account_namespace}}}]
"
                ),
                namespace,
            )
            .await
    }

    /// The folder with the programs.
    pub fn programs(&self) -> &std::path::Path {
        &self.programs
    }

    /// Where the operator keeps its history.
    pub fn data_directory(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// Log of the operator.
    pub fn operator_log(&self) -> PathBuf {
        self.scratch.path().join("operator.log")
    }

    /// Writes a history in which `response_time` is about `centre` ms with a daily and weekly season, and imports it.
    ///
    /// # Errors
    /// The import fails.
    pub async fn import_history(&self, centre: f64) -> Result<String> {
        let path = self.scratch.path().join("history.csv");
        std::fs::write(&path, history_csv(centre, self.options.history_days, self.options.history_step))?;
        self.import(&path).await
    }

    /// Imports a CSV file as the history of this shop's database.
    ///
    /// # Errors
    /// The import fails; its message is in the error.
    pub async fn import(&self, path: &std::path::Path) -> Result<String> {
        let output = tokio::process::Command::new(self.programs.join("dbmedic"))
            .args([
                "history",
                "import",
                "--pod",
                POD,
                "--baseline",
                &format!("{}/orders", self.namespace),
                "--data-dir",
            ])
            .arg(self.data_directory())
            .arg(path)
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "dbmedic history import: {said}");
        Ok(said.trim().to_owned())
    }

    /// Starts the operator with the rights of its own service account.
    ///
    /// # Errors
    /// The program does not start.
    pub async fn start_operator(&self, cluster: &Cluster) -> Result<Operator> {
        let kubeconfig = cluster.service_account_kubeconfig(OPERATOR.0, OPERATOR.1).await?;
        self.start_operator_with(kubeconfig, "operator-0")
    }

    /// Starts an operator with a given kubeconfig and identity.
    ///
    /// # Errors
    /// The program does not start.
    pub fn start_operator_with(&self, kubeconfig: PathBuf, identity: &str) -> Result<Operator> {
        let port = free_port("127.0.0.1".parse()?)?;
        std::fs::create_dir_all(self.data_directory())?;
        let started = Instant::now();
        let process = Launch::new(self.programs.join("dbmedic"))
            .clean_environment()
            .environment("KUBECONFIG", kubeconfig)
            .argument("operator")
            .arguments(["--watch-namespaces", &self.namespace, "--namespace", &self.namespace])
            .arguments(["--listen", &format!("127.0.0.1:{port}"), "--image", IMAGE, "--lease-seconds", "6"])
            .arguments(["--identity", identity])
            .argument("--data-dir")
            .argument(self.data_directory())
            .environment("DBMEDIC_LOG", std::env::var("DBMEDIC_LOG").unwrap_or_else(|_| "info".to_owned()))
            .log(self.operator_log())
            .start()?;
        Ok(Operator { process, port, started })
    }

    /// Drops the index that the workload needs: the fault of the story.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn drop_index(&self) -> Result<()> {
        self.postgres.execute("orders", "drop index if exists orders_customer_id_idx").await?;
        self.postgres.execute("orders", DROP_DBMEDIC_INDEXES).await
    }

    /// Valid and invalid indexes on `orders` whose first column is `customer_id`.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn customer_indexes(&self) -> Result<(i64, i64)> {
        let count = |valid: &str| format!("{CUSTOMER_INDEXES} and {valid}");
        Ok((
            self.postgres.value("orders", &count("i.indisvalid")).await?,
            self.postgres.value("orders", &count("not i.indisvalid")).await?,
        ))
    }

    /// Starts the application: see [`Workload`].
    ///
    /// # Errors
    /// The database refuses the connections.
    pub async fn start_workload(&self, clients: usize, pause: Duration) -> Result<Workload> {
        Workload::start(&self.postgres, clients, pause, &self.options).await
    }
}

const DROP_DBMEDIC_INDEXES: &str = "do $$ declare name text; begin for name in select indexrelid::regclass::text from \
     pg_index where indrelid = 'orders'::regclass and indexrelid::regclass::text like 'dbmedic%' loop execute 'drop \
     index ' || name; end loop; end $$";

const CUSTOMER_INDEXES: &str = "select count(*) from pg_index i join pg_attribute a on a.attrelid = i.indrelid and \
     a.attnum = i.indkey[0] where i.indrelid = 'orders'::regclass and a.attname = 'customer_id'";

/// Installs kinds, gates and the operator's rights, once per cluster and program.
///
/// # Errors
/// The API server refuses.
pub async fn install(cluster: &Cluster) -> Result<()> {
    static INSTALLED: tokio::sync::Mutex<BTreeSet<PathBuf>> = tokio::sync::Mutex::const_new(BTreeSet::new());
    let mut installed = INSTALLED.lock().await;
    if installed.contains(cluster.directory()) {
        return Ok(());
    }
    let root = workspace();
    cluster.apply(&root.join("crds"), "default").await?;
    cluster.apply(&root.join("config/gate"), "default").await?;
    // The operator runs as a process here: all of its objects but the Deployment.
    let text = std::fs::read_to_string(root.join("config/operator.yaml"))?;
    let documents: Vec<&str> =
        text.split("\n---\n").filter(|document| !document.contains("\nkind: Deployment\n")).collect();
    cluster.apply_yaml(&documents.join("\n---\n"), OPERATOR.0).await?;
    cluster.apply(&root.join("config/rbac"), "default").await?;
    await_gate(cluster).await?;
    installed.insert(cluster.directory().to_path_buf());
    Ok(())
}

/// A policy is enforced some seconds after it was created: a Job that it has to refuse is refused.
async fn await_gate(cluster: &Cluster) -> Result<()> {
    let client = cluster.service_account_client(OPERATOR.0, OPERATOR.1).await?;
    let jobs: kube::Api<k8s_openapi::api::batch::v1::Job> = kube::Api::namespaced(client, OPERATOR.0);
    let job: k8s_openapi::api::batch::v1::Job = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "gate-probe"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}}},
    }))?;
    let dry = kube::api::PostParams { dry_run: true, ..Default::default() };
    eventually(Duration::from_secs(30), "the gates are enforced", async || {
        Ok(jobs.create(&dry, &job).await.is_err().then_some(()))
    })
    .await
}

async fn database(options: &Options) -> Result<Postgres> {
    let postgres = Postgres::start_with(Settings { tls: options.tls, ..Settings::default() }).await?;
    postgres.create_database("orders").await?;
    let rows = options.rows;
    for sql in [
        "create role orders_owner".to_owned(),
        "create role orders_app login password 'app'".to_owned(),
        "grant create on schema public to orders_owner".to_owned(),
        "set role orders_owner; create table orders (id bigint generated always as identity primary key, customer_id \
         int not null, status text not null, amount numeric(10,2) not null, note text not null, created_at timestamptz \
         not null default now()); grant select, insert, update on orders to orders_app; reset role"
            .to_owned(),
        format!(
            "insert into orders (customer_id, status, amount, note, created_at) select (random() * {customers})::int, \
             case when random() < 0.9 then 'done' else 'open' end, (random() * 1000)::numeric(10,2), 'order ' || n, \
             now() - make_interval(secs => {rows} - n) from generate_series(1, {rows}) n",
            customers = options.customers()
        ),
        "create index orders_customer_id_idx on orders (customer_id)".to_owned(),
        "vacuum (analyze) orders".to_owned(),
    ] {
        postgres.execute("orders", &sql).await.with_context(|| format!("preparing the database: {sql}"))?;
    }
    roles(&postgres).await?;
    Ok(postgres)
}

/// Runs the quickstart's own script, as its reader would.
async fn roles(postgres: &Postgres) -> Result<()> {
    let output = tokio::process::Command::new("psql")
        .env("PGPASSWORD", Postgres::superuser_password()?)
        .args([
            "-h",
            &postgres.address().to_string(),
            "-p",
            &postgres.port().to_string(),
            "-U",
            "postgres",
            "-d",
            "orders",
        ])
        .args([
            "-v",
            &format!("monitor_password={MONITOR_PASSWORD}"),
            "-v",
            &format!("fixer_password={FIXER_PASSWORD}"),
        ])
        .args(["-v", "owner=orders_owner", "-q", "-f"])
        .arg(workspace().join("examples/quickstart/roles.sql"))
        .output()
        .await
        .context("psql is needed")?;
    ensure!(output.status.success(), "roles.sql: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A running operator.
pub struct Operator {
    /// Its process.
    pub process: Process,
    /// Port of its endpoints.
    pub port: u16,
    /// When it was started.
    pub started: Instant,
}

impl Operator {
    /// What an endpoint answers: status and body.
    ///
    /// # Errors
    /// Nothing listens yet.
    pub async fn get(&self, path: &str) -> Result<(u16, String)> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: operator\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no HTTP status")?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Ok((status, body.to_owned()))
    }

    /// A figure of `/metrics` without labels.
    ///
    /// # Errors
    /// Nothing listens, or there is no such figure.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let (_, text) = self.get("/metrics").await?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.with_context(|| format!("no figure {name}"))?.parse().with_context(|| format!("the figure {name}"))
    }

    /// Waits until `/readyz` says ready; returns the time since the start.
    ///
    /// # Errors
    /// It does not within half a minute.
    pub async fn ready(&self) -> Result<Duration> {
        eventually(Duration::from_secs(30), "the operator is ready", async || {
            Ok(matches!(self.get("/readyz").await, Ok((200, _))).then(|| self.started.elapsed()))
        })
        .await
    }
}

/// A steady mixed workload: reads by customer, updates by key, inserts. It ends when it is dropped.
pub struct Workload {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
}

impl Workload {
    async fn start(postgres: &Postgres, clients: usize, pause: Duration, shop: &Options) -> Result<Self> {
        let (rows, customers) = (shop.rows, shop.customers());
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let options = postgres.options("orders")?.username("orders_app").password("app").application_name("orders-app");
        let mut tasks = Vec::new();
        for client in 0..clients {
            let (stop, done, options) = (stop.clone(), done.clone(), options.clone());
            let mut connection = Some(sqlx::PgConnection::connect_with(&options).await?);
            tasks.push(tokio::spawn(async move {
                let mut turn = client as u64 * 7919;
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    // An application reconnects when its server went away.
                    match &mut connection {
                        Some(open) => {
                            if statement(open, turn, rows, customers).await.is_ok() {
                                done.fetch_add(1, Ordering::Relaxed);
                            } else {
                                connection = None;
                            }
                        }
                        None => connection = sqlx::PgConnection::connect_with(&options).await.ok(),
                    }
                    tokio::time::sleep(pause.saturating_sub(began.elapsed()).max(Duration::from_millis(1))).await;
                }
            }));
        }
        Ok(Self { stop, done, clients: tasks })
    }

    /// Statements that were answered.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.iter().for_each(JoinHandle::abort);
    }
}

async fn statement(connection: &mut sqlx::PgConnection, turn: u64, rows: u64, customers: u64) -> sqlx::Result<()> {
    let key = i64::try_from((turn >> 16) % rows + 1).unwrap_or(1);
    let customer = i32::try_from((turn >> 16) % customers).unwrap_or(1);
    let query = match (turn >> 40) % 10 {
        0..=5 => sqlx::query(
            "select id, amount, created_at from orders where customer_id = $1 order by created_at desc limit 10",
        )
        .bind(customer),
        6..=8 => sqlx::query("update orders set amount = amount + 1 where id = $1").bind(key),
        _ => sqlx::query("insert into orders (customer_id, status, amount, note) values ($1, 'open', 10, 'new')")
            .bind(customer),
    };
    connection.execute(query).await.map(drop)
}

/// A history with a daily and weekly season, as wide CSV: `days` days that end now, a round each `step` seconds.
///
/// `response_time` is about `centre` ms. The noise is that of a small deterministic generator: the same history for
/// the same arguments and time.
pub fn history_csv(centre: f64, days: u32, step: u32) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let begin = now - u64::from(days) * 86_400;
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut noise = move || {
        // The sum of four uniform numbers is close to a normal one, with a standard deviation of 0.577.
        let mut sum = 0.0;
        for _ in 0..4 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            sum += (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
        }
        sum / 0.577
    };
    let mut text = String::from(
        "timestamp,response_time,throughput,error_rate,connection_count,cache_hit_rate,lock_waits,disk_usage\n",
    );
    for at in (begin..now).step_by(step as usize) {
        let day = (at % 86_400) as f64 / 86_400.0;
        let weekend = if (at / 86_400 + 3) % 7 >= 5 { 0.6 } else { 1.0 };
        let season = weekend * (1.0 + 0.3 * (std::f64::consts::TAU * (day - 0.35)).sin());
        let time = jiff::Timestamp::from_second(i64::try_from(at).unwrap_or(0))
            .map(|time| time.to_string())
            .unwrap_or_default();
        let response = (centre * (0.85 + 0.15 * season) * (1.0 + 0.2 * noise())).max(centre * 0.1);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{time},{response:.4},{:.2},{:.3},{:.0},{:.2},0,{}",
            (200.0 * season * (1.0 + 0.08 * noise())).max(0.0),
            (0.05 * (1.0 + noise())).max(0.0),
            (12.0 + 4.0 * season + noise()).max(1.0),
            (99.5 + 0.1 * noise()).clamp(0.0, 100.0),
            (400_000_000 + (at - begin) * 900) / 8192 * 8192,
        );
    }
    text
}
