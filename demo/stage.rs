//! Everything that the acts stand on: control plane, database, workload, kinds, history, operator.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dbmedic::api::{Baseline, conditions};
use dbmedic_test_support::shop::{Operator, Options, Shop, Workload};
use dbmedic_test_support::{Cluster, Postgres, Scratch, eventually, programs_directory, workspace};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;

use crate::observer::Observer;
use crate::{people, screen};

/// Name of the valid index on `customer_id`.
const INDEX_THAT_IS_THERE: &str = "select i.indexrelid::regclass::text from pg_index i join pg_attribute a on a.attrelid = \
     i.indrelid and a.attnum = i.indkey[0] where i.indrelid = 'orders'::regclass and a.attname = 'customer_id' and \
     i.indisvalid limit 1";
/// Namespace of the story, as in `examples/quickstart`.
pub const NAMESPACE: &str = "shop";
/// Connections of the application, and how often each of them asks at most.
const CLIENTS: usize = 2;
const PAUSE: Duration = Duration::from_millis(25);
/// How long the workload is watched before it is called normal.
const WATCHED: Duration = Duration::from_secs(5);
/// The imported history is that of a server this much slower: what runs beside the demo on this machine is no anomaly.
const HEADROOM: f64 = 3.0;
/// Samples of a metric that was in the history.
const ENOUGH: i64 = 1000;
const PATIENCE: Duration = Duration::from_secs(60);

/// All that runs. The order of the fields is that in which they end.
pub struct Stage {
    pub observer: Observer,
    pub operator: Operator,
    _workload: Workload,
    pub shop: Shop,
    pub cluster: Cluster,
    commands: Scratch,
}

impl Stage {
    /// Starts everything, with a line for every step.
    pub async fn set() -> Result<Self> {
        screen::progress("starting etcd, kube-apiserver and kube-controller-manager");
        let cluster = Cluster::start().await?;
        namespace(&cluster).await?;
        let shop = Shop::open_in(&cluster, programs_directory()?, options(), NAMESPACE.to_owned()).await?;
        people::grant(&cluster).await?;
        // Without the index each client would keep several cores busy, and this machine may have two.
        shop.postgres.execute("orders", "alter database orders set max_parallel_workers_per_gather = 0").await?;

        let workload = shop.start_workload(CLIENTS, PAUSE).await?;
        screen::progress(&format!(
            "{CLIENTS} clients read, update and insert; watching them for {} s",
            WATCHED.as_secs()
        ));
        let normal = normal_response_time(&shop.postgres).await?;
        screen::progress(&format!(
            "response_time is {normal:.3} ms; importing 14 days of history, a round each 10 s, around {:.3} ms ({HEADROOM} \
             times that, so that other work on this machine is no anomaly)",
            normal * HEADROOM
        ));
        let said = shop.import_history(normal * HEADROOM).await?;
        screen::progress(&said);

        screen::progress("starting `dbmedic operator` as system:serviceaccount:dbmedic-system:dbmedic");
        let operator = shop.start_operator(&cluster).await?;
        let ready = operator.ready().await.with_context(|| operator.process.log_end())?;
        screen::progress(&format!("the operator was ready after {:.0} ms", ready.as_secs_f64() * 1000.0));
        let observer = Observer::start(&cluster, &shop.postgres).await?;
        let commands = commands(&cluster, &shop)?;
        let stage = Self { observer, operator, _workload: workload, shop, cluster, commands };
        stage.learnt().await.with_context(|| stage.operator.process.log_end())?;
        Ok(stage)
    }

    /// Waits until the Baseline has learnt from its history, and shows what.
    async fn learnt(&self) -> Result<()> {
        let baselines: Api<Baseline> = Api::namespaced(self.cluster.client("admin").await?, NAMESPACE);
        let baseline = eventually(PATIENCE, "the Baseline to be ready", async || {
            let baseline = baselines.get("orders").await?;
            let status = baseline.status.clone().unwrap_or_default();
            let is = |type_: &str, wanted: &str| {
                conditions::find(&status.conditions, type_).is_some_and(|condition| condition.status == wanted)
            };
            let ready = is("Ready", "True") && is("Learning", "False") && is("DatabaseReachable", "True");
            Ok(ready.then_some(baseline))
        })
        .await?;
        screen::progress("the Baseline is ready");
        let database = baseline.status.and_then(|status| status.databases.into_iter().next());
        let database = database.context("the Baseline's status names no database")?;
        screen::caption(&format!(
            "learnt of {} (PostgreSQL {}, {}) from {} days, as its Baseline's status says:",
            database.pod,
            database.version.as_deref().unwrap_or("?"),
            database.role.as_deref().unwrap_or("?"),
            database.days.unwrap_or_default(),
        ));
        println!(
            "   {:<18}{:>9}{:>12}{:>12}{:>12}{:>34}",
            "METRIC", "SAMPLES", "MEDIAN", "P95", "DEVIATION", "NORMAL (3 SIGMA)"
        );
        // Of the others the history says nothing; they have been watched for seconds.
        let (known, others): (Vec<_>, Vec<_>) = database.metrics.iter().partition(|metric| metric.samples >= ENOUGH);
        for metric in known {
            let number = |value: f64| if value >= 10_000.0 { format!("{value:.2e}") } else { format!("{value:.3}") };
            let band = format!("{} to {} {}", number(metric.lower), number(metric.upper), metric.unit);
            println!(
                "   {:<18}{:>9}{:>12}{:>12}{:>12}{band:>34}",
                metric.name,
                metric.samples,
                number(metric.median),
                number(metric.p95),
                number(metric.standard_deviation),
            );
        }
        if !others.is_empty() {
            println!("   and {} metrics that the imported history does not have: not yet judged", others.len());
        }
        let shown = people::kubectl(self, "admin", &["get", "baselines,anomalyrules,remediationpolicies"]).await?;
        screen::command("admin", "kubectl get baselines,anomalyrules,remediationpolicies", &shown.text());
        Ok(())
    }

    /// Gives the policy back what the last act changed, and says how to look around.
    pub async fn invite(&mut self) -> Result<()> {
        *self.shop.options_mut() = options();
        self.shop.apply_examples(&self.cluster).await?;
        let file = self.commands.path().join("environment");
        let postgres = &self.shop.postgres;
        let exports = [
            ("KUBECONFIG", self.cluster.kubeconfig("admin")?.display().to_string()),
            ("PATH", format!("{}:$PATH", self.commands.path().display())),
            ("PGHOST", postgres.address().to_string()),
            ("PGPORT", postgres.port().to_string()),
            ("PGUSER", "postgres".to_owned()),
            ("PGDATABASE", "orders".to_owned()),
            ("PGPASSWORD", Postgres::superuser_password()?.to_owned()),
        ];
        let text: String = exports.iter().map(|(name, value)| format!("export {name}=\"{value}\"\n")).collect();
        private(&file, &text)?;
        let index: String = postgres.value("orders", INDEX_THAT_IS_THERE).await?;
        screen::caption("everything goes on running; in another terminal:");
        screen::indented(&format!(
            ". {}\n\
             kubectl dbmedic status -n {NAMESPACE}\n\
             kubectl get dbmedic -n {NAMESPACE}\n\
             psql -c 'drop index {index}'   # the index that the workload needs; and watch:\n\
             kubectl dbmedic anomalies -n {NAMESPACE}\n\
             curl -s http://127.0.0.1:{}/metrics\n\
             less {}",
            file.display(),
            self.operator.port,
            self.shop.operator_log().display(),
        ));
        screen::caption("Ctrl-C ends it and removes everything.");
        Ok(())
    }
}

fn options() -> Options {
    Options {
        rows: 2_000_000,
        rows_per_customer: 60,
        history_days: 14,
        history_step: 10,
        rollback_timeout: "30s",
        progress: |what| screen::progress(what),
        ..Options::default()
    }
}

async fn namespace(cluster: &Cluster) -> Result<()> {
    cluster.apply(&workspace().join("examples/quickstart/namespace.yaml"), NAMESPACE).await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client("admin").await?, NAMESPACE);
    eventually(PATIENCE, "the default service account of the namespace", async || {
        Ok(accounts.get_opt("default").await?)
    })
    .await?;
    Ok(())
}

/// Mean execution time of the application's statements in ms, by the server's own counters.
async fn normal_response_time(postgres: &Postgres) -> Result<f64> {
    let counters = async || -> Result<(f64, f64)> {
        let sum = |column: &str| {
            format!(
                "select coalesce(sum({column}), 0)::float8 from pg_stat_statements s join pg_roles r on r.oid = s.userid \
                 where r.rolname = 'orders_app'"
            )
        };
        let calls: f64 = postgres.value("orders", &sum("calls")).await?;
        Ok((calls, postgres.value("orders", &sum("total_exec_time")).await?))
    };
    // The first second is that of cold caches.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (calls_before, ms_before) = counters().await?;
    tokio::time::sleep(WATCHED).await;
    let (calls, ms) = counters().await?;
    ensure!(calls > calls_before, "the workload does nothing");
    Ok((ms - ms_before) / (calls - calls_before))
}

/// A folder with `kubectl` and its plugin, for whoever looks around.
fn commands(cluster: &Cluster, shop: &Shop) -> Result<Scratch> {
    let folder = Scratch::new("commands")?;
    let kubectl = folder.path().join("kubectl");
    let program = cluster.program().display().to_string();
    std::fs::write(&kubectl, format!("#!/bin/sh\nexec '{program}' kubectl \"$@\"\n"))?;
    std::fs::set_permissions(&kubectl, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    for name in ["dbmedic", "kubectl-dbmedic"] {
        std::os::unix::fs::symlink(shop.programs().join(name), folder.path().join(name))?;
    }
    Ok(folder)
}

fn private(path: &PathBuf, text: &str) -> Result<()> {
    std::fs::write(path, "")?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
