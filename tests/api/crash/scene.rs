//! The shop behind both proxies, and one run: a fault, perhaps a crash, and the end of everything that follows.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use dbmedic::api::{Anomaly, AnomalyRule, AnomalyState, IncidentState, Remediation, RemediationState};
use dbmedic::heal::machine;
use dbmedic_test_support::shop::{OPERATOR, Operator, Options, POD, Shop, Workload};
use dbmedic_test_support::{ApiProxy, Cluster, Moment, PgProxy, Write};
use k8s_openapi::api::batch::v1::Job;
use kube::{Api, Client};

use super::view::{self, View};
use crate::world::{PATIENCE, learnt, list, programs};

/// Where the database proxy listens: the pod's address, at the server's own port.
const POD_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// No write for so long, and it is over.
const QUIET: Duration = Duration::from_millis(1000);
/// Rounds without a fault.
const ROUNDS_BEFORE: u32 = 5;
/// Runs that may fail before the test gives up: each may take all the patience there is.
pub const MOST_FAILURES: usize = 3;

/// When who is killed in a run.
#[derive(Clone, Copy, Debug)]
pub enum Crash {
    /// The operator, at its n-th write from the fault on.
    Operator(usize, Moment),
    /// The process of the Job, when its n-th message to the database has been sent on.
    Fix(usize),
    /// The process of the Job that takes the change back, when its n-th message has been sent on.
    Undo(usize),
}

/// What becomes of the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// The index that is missing is built.
    Helped,
    /// Another index was prescribed, which is of no use: it is taken back.
    TakenBack,
}

impl Story {
    fn options(self) -> Options {
        let common = Options { rows: 200_000, persistence: "1s", ..Options::default() };
        if self == Self::Helped {
            return common;
        }
        let useless = "- action: add_index\n        table: public.orders\n        columns: [status]\n";
        let replace = [
            ("- action: add_index\n        when: facts.missing_index && facts.safe\n", useless),
            // A size that nobody estimated is no low risk by itself.
            ("  limits:\n", "  riskOverrides: {add_index: low}\n  limits:\n"),
        ];
        let replace = replace.map(|(from, to)| (from.to_owned(), to.to_owned())).to_vec();
        Options { rollback_timeout: "5s", replace, ..common }
    }
}

/// A shop whose operator and Jobs speak through proxies.
pub struct Scene {
    pub story: Story,
    pub shop: Shop,
    pub api_proxy: ApiProxy,
    pub database_proxy: PgProxy,
    pub client: Client,
    kubeconfig: PathBuf,
    operator: Operator,
    _workload: Workload,
}

/// What a run came to.
pub struct Run {
    /// Whether the moment of the crash came.
    pub reached: bool,
    /// Time from the fault to the end of the Remediation.
    pub succeeded: Option<Duration>,
    /// Messages to the database before the change was measured.
    pub until_measured: usize,
    /// The writes of the operator, from the fault on.
    pub writes: Vec<Write>,
    /// How everything looks at the end.
    pub view: View,
}

impl Scene {
    /// A watched database that has been learnt, and nothing wrong.
    pub async fn open(story: Story) -> Result<Self> {
        let cluster = Cluster::shared().await?;
        let shop = Shop::open(cluster, programs(), story.options()).await?;
        shop.postgres.execute("orders", "alter system set log_statement = 'ddl'").await?;
        shop.postgres.execute("orders", "select pg_reload_conf()").await?;
        let server = SocketAddr::from((shop.postgres.address(), shop.postgres.port()));
        let listen = SocketAddr::from((POD_ADDRESS, shop.postgres.port()));
        let database_proxy = PgProxy::start_for(listen, server, "dbmedic-act/").await?;
        shop.node.database_pod_is(&shop.namespace, POD, POD_ADDRESS, true).await?;
        // Far above what a statement by index takes, also on a busy machine, and far below one without.
        shop.import_history(3.0).await?;
        let api_proxy = ApiProxy::start(cluster).await?;
        let kubeconfig = api_proxy.kubeconfig(&cluster.service_account_token(OPERATOR.0, OPERATOR.1).await?)?;
        let workload = shop.start_workload(2, Duration::from_millis(20)).await?;
        let operator = shop.start_operator_with(kubeconfig.clone(), "operator-0")?;
        operator.ready().await?;
        let client = cluster.client("admin").await?;
        let scene = Self { story, shop, api_proxy, database_proxy, client, kubeconfig, operator, _workload: workload };
        learnt(&scene.api()).await.with_context(|| scene.operator.process.log_end())?;
        // So that the operator knows what each statement usually takes.
        scene.operator.rounds_pass(ROUNDS_BEFORE).await?;
        Ok(scene)
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.shop.namespace)
    }

    /// One fault, perhaps one crash, and everything that follows until nobody writes any more.
    pub async fn run(&mut self, crash: Option<Crash>) -> Result<Run> {
        self.reset().await.context("removing what the last run left")?;
        let log = self.ddl_begin()?;
        let writes_before = self.api_proxy.write_count();
        let happened = Arc::new(AtomicBool::new(false));
        let over = Arc::new(AtomicBool::new(false));
        let later = crash.filter(|crash| matches!(crash, Crash::Undo(_)));
        self.prepare(crash.filter(|_| later.is_none()), &happened, &over)?;
        self.shop.drop_index().await?;
        let fault = Instant::now();
        let mut until_measured = None;
        let ended = self
            .follow(fault, |scene| {
                // The first job is over and the second is far: what is counted from here on is the way back.
                if until_measured.is_none() {
                    until_measured = Some(scene.database_proxy.message_count());
                    scene.prepare(later, &happened, &over)?;
                }
                Ok(())
            })
            .await;
        over.store(true, Ordering::SeqCst);
        let succeeded = match ended {
            Ok(succeeded) => succeeded,
            Err(error) => return Err(error.context(self.everything().await)),
        };
        let builds = self.builds_since(log)?;
        Ok(Run {
            reached: happened.load(Ordering::SeqCst),
            succeeded,
            until_measured: until_measured.unwrap_or_default(),
            writes: self.api_proxy.writes().split_off(writes_before),
            view: view::look(self, builds).await?,
        })
    }

    fn prepare(&self, crash: Option<Crash>, happened: &Arc<AtomicBool>, over: &Arc<AtomicBool>) -> Result<()> {
        let (happened, over) = (happened.clone(), over.clone());
        // A moment that never comes in this run must not come in a later one.
        let once = move |kill: &dyn Fn()| {
            if !over.load(Ordering::SeqCst) {
                kill();
                happened.store(true, Ordering::SeqCst);
            }
        };
        match crash {
            None => Ok(()),
            Some(Crash::Operator(n, moment)) => {
                let process = self.operator.process.clone();
                self.api_proxy.at_write(self.api_proxy.write_count() + n, moment, move || once(&|| process.kill()))
            }
            Some(Crash::Fix(n) | Crash::Undo(n)) => {
                let kill = self.shop.node.killer();
                self.database_proxy.after_message(self.database_proxy.message_count() + n, move || once(&kill))
            }
        }
    }

    /// Starts a dead operator again, until everything has ended and stays as it is.
    async fn follow(
        &mut self,
        fault: Instant,
        mut measured: impl FnMut(&Self) -> Result<()>,
    ) -> Result<Option<Duration>> {
        let mut succeeded = None;
        let mut quiet_since = Instant::now();
        let mut writes = self.api_proxy.write_count();
        loop {
            if self.operator.process.ended().is_some() {
                self.restart().await?;
                quiet_since = Instant::now();
            }
            let remediations = list(&self.api::<Remediation>()).await?;
            let states: Vec<_> = remediations.iter().filter_map(|one| one.status.as_ref()?.state).collect();
            if states.contains(&RemediationState::Verifying) {
                measured(self)?;
            }
            let end = [RemediationState::Succeeded, RemediationState::RolledBack];
            if succeeded.is_none() && states.iter().any(|state| end.contains(state)) {
                succeeded = Some(fault.elapsed());
            }
            let over = !states.is_empty()
                && states.len() == remediations.len()
                && states.iter().all(|state| machine::is_terminal(*state))
                && self.is_told().await?;
            let written = self.api_proxy.write_count();
            if !over || written != writes {
                writes = written;
                quiet_since = Instant::now();
            }
            if quiet_since.elapsed() >= QUIET {
                return Ok(succeeded);
            }
            if fault.elapsed() >= PATIENCE {
                bail!("not over after {:.0} s", fault.elapsed().as_secs_f64());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Nothing more will come: no incident is open any more, or nothing is left to be tried.
    async fn is_told(&self) -> Result<bool> {
        let finished = |anomaly: &Anomaly| {
            anomaly.status.as_ref().and_then(|status| status.walk.as_ref()).is_some_and(|walk| walk.finished)
        };
        match self.story {
            Story::Helped => self.calm().await,
            Story::TakenBack => Ok(list(&self.api::<Anomaly>()).await?.iter().all(finished)),
        }
    }

    /// No incident is open, by the Anomalies and by the rule.
    pub async fn calm(&self) -> Result<bool> {
        let resolved = |anomaly: &Anomaly| {
            anomaly.status.as_ref().is_some_and(|status| status.state == Some(AnomalyState::Resolved))
        };
        let rules = list(&self.api::<AnomalyRule>()).await?;
        let targets = rules.iter().flat_map(|rule| rule.status.iter().flat_map(|status| &status.targets));
        Ok(list(&self.api::<Anomaly>()).await?.iter().all(resolved)
            && targets.into_iter().all(|target| target.state == IncidentState::Normal))
    }

    /// Starts the operator again as the same replica: same name, same history.
    async fn restart(&mut self) -> Result<()> {
        self.operator = self.shop.start_operator_with(self.kubeconfig.clone(), "operator-0")?;
        self.operator.ready().await.map(drop).with_context(|| self.operator.process.log_end())
    }

    /// Everything that a person would look at when a run did not end.
    async fn everything(&self) -> String {
        let mut text = String::new();
        let anomalies = list(&self.api::<Anomaly>()).await.unwrap_or_default();
        let remediations = list(&self.api::<Remediation>()).await.unwrap_or_default();
        let jobs = list(&self.api::<Job>()).await.unwrap_or_default();
        for object in anomalies.iter().map(|one| serde_json::to_string_pretty(&one.status)) {
            text.push_str(&object.unwrap_or_default());
        }
        for object in remediations.iter().map(|one| serde_json::to_string_pretty(&one.status)) {
            text.push_str(&object.unwrap_or_default());
        }
        for object in jobs.iter().map(|one| serde_json::to_string(&one.status)) {
            text.push_str(&object.unwrap_or_default());
        }
        format!("{text}{}", self.operator.process.log_end())
    }
}
