//! The three acts: a fix without a hand, a fix that a person lets through, and a fix that does not help.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use dbmedic::api::{Anomaly, AnomalyState, Remediation, RemediationState, RootCauseKind};
use dbmedic::heal::machine;
use dbmedic_test_support::{eventually, holds_for};
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};

use crate::people;
use crate::screen;
use crate::stage::{NAMESPACE, Stage};
use crate::timeline;

/// Longest wait for one step of an act. A machine that builds something beside the demo is slow.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long the change of act two is watched waiting.
const WAITING: Duration = Duration::from_secs(2);
/// Time between two acts, in which the workload is as it should be.
const REST: Duration = Duration::from_secs(6);

const LAST: &str = "three";

/// How an act ended.
pub struct Ending {
    pub act: &'static str,
    /// Why it was not as expected.
    pub failure: Option<String>,
}

/// Plays all three. An act that goes wrong does not keep the others from being played.
pub async fn play(stage: &mut Stage) -> Vec<Ending> {
    let mut endings = Vec::new();
    for act in ["one", "two", LAST] {
        let outcome = match act {
            "one" => one(stage).await,
            "two" => two(stage).await,
            _ => three(stage).await,
        };
        let mended = repair(stage).await.context("the database was not as before after it");
        let failure = outcome.and(mended).err().map(|error| format!("{error:#}"));
        if let Some(why) = &failure {
            screen::progress(&format!("act {act} was not as expected: {why}"));
            screen::indented(&stage.operator.process.log_end());
        }
        endings.push(Ending { act, failure });
        if act != LAST {
            tokio::time::sleep(REST).await;
        }
    }
    endings
}

async fn one(stage: &mut Stage) -> Result<()> {
    screen::heading("act one: the index that the workload needs is dropped; the policy may act by itself (mode: auto)");
    let mut fault = Fault::drop_index(stage).await?;
    let remediation = fault.until(&[RemediationState::Succeeded]).await?;
    let anomaly = fault.until_resolved(stage, &remediation).await?;
    show(stage, &fault, &anomaly, &remediation).await?;
    let said = people::kubectl(stage, "alice", &["dbmedic", "explain", &anomaly.name_any()]).await?;
    screen::command("alice", &format!("kubectl dbmedic explain {} -n {NAMESPACE}", anomaly.name_any()), &said.text());

    let cause = anomaly.status.and_then(|status| status.root_cause).context("no cause was found")?;
    ensure!(cause.kind == RootCauseKind::MissingIndex, "the cause is {:?}, not a missing index", cause.kind);
    let missing = cause.missing_index.context("the cause names no index")?;
    ensure!(
        (missing.table.as_str(), missing.columns.as_slice()) == ("orders", &["customer_id".to_owned()]),
        "the index named is on {} {:?}",
        missing.table,
        missing.columns
    );
    helped(stage, &remediation).await
}

async fn two(stage: &mut Stage) -> Result<()> {
    screen::heading("act two: the same, but a person decides (mode: suggest)");
    stage.shop.options_mut().mode = "suggest";
    stage.shop.apply_examples(&stage.cluster).await?;
    let mut fault = Fault::drop_index(stage).await?;
    let waiting = fault.until(&[RemediationState::AwaitingApproval]).await?;
    let name = waiting.name_any();
    holds_for(WAITING, "the change waits", async || {
        let now = fault.remediation().await?.context("the Remediation is gone")?;
        Ok(state(&now) == Some(RemediationState::AwaitingApproval) && stage.shop.customer_indexes().await? == (0, 0))
    })
    .await?;
    screen::progress(&format!("{name} waits; nothing was changed in {} s", WAITING.as_secs()));

    let approve = ["dbmedic", "approve", name.as_str(), "--yes"];
    let typed = format!("kubectl dbmedic approve {name} --yes -n {NAMESPACE}");
    let refusal = people::kubectl(stage, "bob", &approve).await?;
    screen::command("bob", &typed, &refusal.text());
    ensure!(!refusal.success, "bob, who lacks the verb approve, was not refused");
    ensure!(refusal.error().contains("lacks the verb approve"), "bob was refused for another reason");
    ensure!(
        state(&fault.remediation().await?.context("the Remediation is gone")?)
            == Some(RemediationState::AwaitingApproval),
        "the change began without an approval"
    );
    let accepted = people::kubectl(stage, "alice", &approve).await?;
    screen::command("alice", &typed, &accepted.text());
    ensure!(accepted.success, "alice, who holds the verb approve, was refused");

    let remediation = fault.until(&[RemediationState::Succeeded]).await?;
    let anomaly = fault.until_resolved(stage, &remediation).await?;
    show(stage, &fault, &anomaly, &remediation).await?;
    let approval = remediation.status.as_ref().and_then(|status| status.approval.clone()).unwrap_or_default();
    ensure!(approval.decided_by.as_deref() == Some("alice"), "decided by {:?}, not by alice", approval.decided_by);
    ensure!(approval.plan_hash == remediation.spec.plan_hash, "another plan was approved than ran");
    helped(stage, &remediation).await
}

async fn three(stage: &mut Stage) -> Result<()> {
    screen::heading("act three: a person prescribed an index that cannot help: on orders (status)");
    let options = stage.shop.options_mut();
    options.mode = "auto";
    // So short that nobody has to wait long for the judgement.
    options.rollback_timeout = "10s";
    // The advisor knows nothing about a prescribed index, so it is rated medium.
    options.replace = vec![
        ("autoUpTo: low".to_owned(), "autoUpTo: medium".to_owned()),
        (
            "- action: add_index\n        when: facts.missing_index && facts.safe".to_owned(),
            "- action: add_index\n        table: public.orders\n        columns: [status]".to_owned(),
        ),
    ];
    let policy = stage.shop.examples()?.remove("remediationpolicy.yaml").unwrap_or_default();
    ensure!(policy.contains("columns: [status]"), "the step could not be prescribed in examples/quickstart");
    stage.shop.apply_examples(&stage.cluster).await?;
    let mut fault = Fault::drop_index(stage).await?;
    let remediation = fault.until(&[RemediationState::RolledBack]).await?;
    let anomaly = fault.anomaly(stage, &remediation).await?;
    show(stage, &fault, &anomaly, &remediation).await?;

    let status = remediation.status.clone().unwrap_or_default();
    let reason = status.message.unwrap_or_default();
    screen::progress(&format!("undone, because: {reason}"));
    // Either figure may be the first to tell: the metric, or the statements themselves.
    ensure!(
        ["response_time", "the targeted statements"].iter().any(|measured| reason.contains(measured)),
        "the reason does not name what was measured: {reason}"
    );
    ensure!(
        status.verification.is_some_and(|found| found.after.value.is_some()),
        "nothing was measured after the change"
    );
    let index = remediation.spec.plan.change.add_index.context("the plan adds no index")?.name;
    let left: i64 = stage.shop.postgres.value("orders", &count_of(&index)).await?;
    ensure!(left == 0, "the useless index {index} is still there");
    Ok(())
}

/// The change is measured on the object, and the index is there: one, valid.
async fn helped(stage: &Stage, remediation: &Remediation) -> Result<()> {
    let found =
        remediation.status.as_ref().and_then(|status| status.verification.clone()).context("nothing was measured")?;
    let (before, after) =
        (found.before.value.context("no figure before")?, found.after.value.context("no figure after")?);
    screen::progress(&format!("response_time: {before:.1} ms before the change, {after:.3} ms after it"));
    ensure!(after < before / 2.0, "{before} ms before, {after} ms after");
    let indexes = stage.shop.customer_indexes().await?;
    ensure!(indexes == (1, 0), "{} valid and {} invalid indexes on customer_id", indexes.0, indexes.1);
    Ok(())
}

/// The database as it was: by a person's hand where dbmedic did not do it. Ends when nothing is open any more.
async fn repair(stage: &mut Stage) -> Result<()> {
    if stage.shop.customer_indexes().await?.0 == 0 {
        screen::progress("a person builds the index again");
        stage
            .shop
            .postgres
            .execute("orders", "create index concurrently orders_customer_id_idx on orders (customer_id)")
            .await?;
    }
    let anomalies: Api<Anomaly> = Api::namespaced(stage.cluster.client("admin").await?, NAMESPACE);
    eventually(PATIENCE, "all Anomalies to be resolved", async || {
        let all = anomalies.list(&ListParams::default()).await?.items;
        let over = |one: &Anomaly| one.status.as_ref().and_then(|status| status.state) == Some(AnomalyState::Resolved);
        Ok(all.iter().all(over).then_some(()))
    })
    .await
}

/// Timeline, and the objects as kubectl shows them.
async fn show(stage: &Stage, fault: &Fault, anomaly: &Anomaly, remediation: &Remediation) -> Result<()> {
    timeline::print(
        fault.at,
        "the index on customer_id is dropped",
        anomaly,
        remediation,
        stage.observer.since(fault.at),
    );
    let jobs = remediation.status.as_ref().map(|status| status.jobs.clone()).unwrap_or_default();
    let mut names = vec![format!("anomaly/{}", anomaly.name_any()), format!("remediation/{}", remediation.name_any())];
    names.extend(jobs.iter().map(|job| format!("job/{}", job.name)));
    let mut arguments = vec!["get"];
    arguments.extend(names.iter().map(String::as_str));
    let said = people::kubectl(stage, "admin", &arguments).await?;
    screen::command("admin", &format!("kubectl get {} -n {NAMESPACE}", names.join(" ")), &said.text());
    Ok(())
}

fn count_of(index: &str) -> String {
    format!("select count(*) from pg_class where relname = '{}'", index.replace('\'', "''"))
}

fn state(remediation: &Remediation) -> Option<RemediationState> {
    remediation.status.as_ref().and_then(|status| status.state)
}

/// The index was dropped; what follows from it.
struct Fault {
    at: Timestamp,
    /// Remediations that were there before.
    before: BTreeSet<String>,
    remediations: Api<Remediation>,
    /// State of the Remediation that was named last.
    said: Option<RemediationState>,
}

impl Fault {
    async fn drop_index(stage: &Stage) -> Result<Self> {
        let remediations: Api<Remediation> = Api::namespaced(stage.cluster.client("admin").await?, NAMESPACE);
        let before = remediations.list(&ListParams::default()).await?.iter().map(kube::ResourceExt::name_any).collect();
        stage.shop.drop_index().await?;
        let at = Timestamp::now();
        screen::progress("the index is dropped");
        Ok(Self { at, before, remediations, said: None })
    }

    /// The Remediation that this fault brought about.
    async fn remediation(&self) -> Result<Option<Remediation>> {
        let all = self.remediations.list(&ListParams::default()).await?.items;
        Ok(all.into_iter().find(|one| !self.before.contains(&one.name_any())))
    }

    /// Waits until the Remediation is in one of these states, and names each state on the way.
    async fn until(&mut self, wanted: &[RemediationState]) -> Result<Remediation> {
        let mut said = self.said;
        let found = eventually(PATIENCE, format!("a Remediation to be {wanted:?}"), async || {
            let Some(found) = self.remediation().await? else { return Ok(None) };
            let now = state(&found);
            if said != now {
                said = now;
                screen::progress(&format!(
                    "{} is {}",
                    found.name_any(),
                    now.map_or_else(String::new, |now| format!("{now:?}"))
                ));
            }
            match now {
                Some(now) if wanted.contains(&now) => Ok(Some(found)),
                Some(now) if machine::is_terminal(now) => {
                    let message = found.status.and_then(|status| status.message).unwrap_or_default();
                    bail!("the Remediation ended as {now:?}: {message}")
                }
                _ => Ok(None),
            }
        })
        .await;
        self.said = said;
        found
    }

    async fn anomaly(&self, stage: &Stage, remediation: &Remediation) -> Result<Anomaly> {
        let anomalies: Api<Anomaly> = Api::namespaced(stage.cluster.client("admin").await?, NAMESPACE);
        Ok(anomalies.get(&remediation.spec.anomaly_ref.name).await?)
    }

    async fn until_resolved(&self, stage: &Stage, remediation: &Remediation) -> Result<Anomaly> {
        let anomalies: Api<Anomaly> = Api::namespaced(stage.cluster.client("admin").await?, NAMESPACE);
        eventually(PATIENCE, "the Anomaly to be resolved", async || {
            let anomaly = anomalies.get(&remediation.spec.anomaly_ref.name).await?;
            let state = anomaly.status.as_ref().and_then(|status| status.state);
            Ok((state == Some(AnomalyState::Resolved)).then_some(anomaly))
        })
        .await
    }
}
