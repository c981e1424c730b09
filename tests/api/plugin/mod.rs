//! The plugin against real objects: a person refuses a fix, lets it run after all, and repairs a second fault by hand.

use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dbmedic::api::RemediationState as State;
use dbmedic_test_support::Cluster;
use dbmedic_test_support::shop::{Options, Shop};
use kube::ResourceExt;
use serde_json::Value;

use super::outcomes::{Scene, holds, message};
use super::world::{programs, watched_shop};

/// What a run of the plugin said.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn code(self, code: i32) -> Result<Self> {
        ensure!(self.code == code, "exit code {} instead of {code}\n{}\n{}", self.code, self.out, self.err);
        Ok(self)
    }

    fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.out).with_context(|| self.out.clone())
    }
}

struct Plugin<'a> {
    cluster: &'a Cluster,
    shop: &'a Shop,
}

impl Plugin<'_> {
    async fn run(&self, user: &str, arguments: &[&str]) -> Result<Said> {
        self.run_in(&["-n", &self.shop.namespace], user, arguments).await
    }

    async fn run_in(&self, where_: &[&str], user: &str, arguments: &[&str]) -> Result<Said> {
        let mut all = vec!["dbmedic"];
        all.extend(arguments);
        all.extend(where_);
        let Output { status, stdout, stderr } = self.cluster.kubectl(user, &all).await?;
        Ok(Said {
            code: status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&stdout).into_owned(),
            err: String::from_utf8_lossy(&stderr).into_owned(),
        })
    }

    /// Runs as admin and expects success.
    async fn good(&self, arguments: &[&str]) -> Result<Said> {
        self.run("admin", arguments).await?.code(0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_decides_and_is_told_what_came_of_it() -> Result<()> {
    ensure!(programs().join("kubectl-dbmedic").exists(), "the plugin is not built");
    let (cluster, shop, operator) = watched_shop(Options { mode: "suggest", ..Options::default() }).await?;
    let roles = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: approver, namespace: {0}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: dbmedic-approver}}\n\
         subjects: [{{kind: User, name: alice, apiGroup: rbac.authorization.k8s.io}}]\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: viewer, namespace: {0}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: dbmedic-viewer}}\n\
         subjects: [{{kind: User, name: bob, apiGroup: rbac.authorization.k8s.io}}]\n",
        shop.namespace
    );
    cluster.apply_yaml(&roles, &shop.namespace).await?;
    let _workload = shop.start_workload(4, Duration::from_millis(20)).await?;
    let scene = Scene::new(cluster, &shop, &operator).await?;
    let plugin = Plugin { cluster, shop: &shop };
    calm(&plugin).await?;

    shop.drop_index().await?;
    let waiting = scene.in_state(State::AwaitingApproval).await?;
    let (name, anomaly) = (waiting.name_any(), waiting.spec.anomaly_ref.name.clone());
    assert_eq!(message(&waiting), "the policy's mode is suggest; waiting for an approval");
    seen(&plugin, &name, &anomaly).await?;
    seen_everywhere(&plugin, &name, &anomaly).await?;
    rights(&plugin, &name).await?;

    // Refused: it does not run, and the walk goes on to telling people.
    let refused = plugin
        .run("alice", &["refuse", &name, "--yes", "--comment", "not on a Monday", "-o", "name"])
        .await?
        .code(0)?;
    ensure!(refused.out.starts_with(&format!("remediationapproval.dbmedic.io/{name}-")), "{}", refused.out);
    let refused = scene.in_state(State::Refused).await?;
    assert_eq!(message(&refused), "refused by alice: not on a Monday");
    scene.walk_says(&anomaly, "no step of the strategy is left").await?;
    let fixes = plugin.good(&["fixes", "-o", "json"]).await?.json()?;
    assert_eq!(fixes["items"][0]["state"], "Refused");
    let late = plugin.run("alice", &["approve", &name, "--yes"]).await?.code(1)?;
    holds(&late.err, &["waits for no decision: it is Refused"])?;

    // Cleared away it is planned anew. Approved, it runs.
    scene.forget(&refused).await?;
    let again = scene.in_state(State::AwaitingApproval).await?;
    approved(&plugin, &scene, &again.name_any(), &again.spec.plan_hash, &anomaly).await?;

    // Repaired by hand while it waits: what was planned makes no sense any more.
    shop.drop_index().await?;
    let waiting = scene.in_state(State::AwaitingApproval).await?;
    scene.repair().await?;
    let superseded = scene.in_state(State::Superseded).await?;
    assert_eq!((superseded.uid(), message(&superseded)), (waiting.uid(), "the anomaly is over"));
    let fixes = plugin.good(&["fixes"]).await?;
    holds(&fixes.out, &["✓ Succeeded", "- Superseded"])
}

/// Nothing is wrong yet.
async fn calm(plugin: &Plugin<'_>) -> Result<()> {
    let status = plugin.good(&["status"]).await?;
    holds(&status.out, &["BASELINE", "READY", "CONFIDENCE", "orders", "POLICY", "CAN-FIX", "standard", "suggest"])?;
    let status = plugin.good(&["status", "-o", "json", "--fail-on", "low"]).await?.json()?;
    assert_eq!(status["baselines"][0]["name"], "orders");
    assert_eq!(status["baselines"][0]["ready"], "True");
    assert_eq!(status["baselines"][0]["databases"], 1);
    assert_eq!(status["baselines"][0]["openAnomalies"], 0);
    assert_eq!(status["policies"][0]["canFix"], "True");
    assert_eq!(status["awaitingApproval"], Value::Array(Vec::new()));
    let learnt = plugin.good(&["baseline", "orders"]).await?;
    holds(&learnt.out, &["Confidence:", "orders-db-0 (primary", "STD-DEV", "response_time", "NORMAL", "READY"])?;
    let missing = plugin.run("admin", &["baseline", "nothing"]).await?.code(1)?;
    holds(&missing.err, &["no Baseline nothing in namespace"])?;
    let anomalies = plugin.good(&["anomalies", "--fail-on", "low"]).await?;
    holds(&anomalies.err, &["No open anomalies found in namespace"])?;
    let fixes = plugin.good(&["fixes"]).await?;
    holds(&fixes.err, &["No fixes found in namespace"])?;
    assert_eq!(plugin.good(&["fixes", "-o", "name"]).await?.out, "");
    Ok(())
}

/// An anomaly is open, and a change waits.
async fn seen(plugin: &Plugin<'_>, name: &str, anomaly: &str) -> Result<()> {
    let status = plugin.run("admin", &["status", "--fail-on", "high", "-o", "json"]).await?.code(3)?.json()?;
    assert_eq!(status["awaitingApproval"][0]["name"], name);
    assert_eq!(status["baselines"][0]["openAnomalies"], 1);
    assert_eq!(status["worst"], "high");
    let hint = plugin.good(&["status"]).await?;
    holds(&(hint.out + &hint.err), &[name, "kubectl dbmedic"])?;
    plugin.run("admin", &["status", "--fail-on", "critical"]).await?.code(0)?;
    plugin.run("admin", &["anomalies", "--fail-on", "high"]).await?.code(3)?;

    let anomalies = plugin.good(&["anomalies"]).await?;
    holds(&anomalies.out, &[anomaly, "high", "response_time", "orders-db-0", "sigma"])?;
    let listed = plugin.good(&["anomalies", "-o", "json"]).await?.json()?;
    assert_eq!(
        (&listed["items"][0]["name"], &listed["items"][0]["metric"]),
        (&anomaly.into(), &"response_time".into())
    );
    assert_eq!(plugin.good(&["anomalies", "-o", "name"]).await?.out, format!("anomaly.dbmedic.io/{anomaly}\n"));

    let explained = plugin.good(&["explain", anomaly]).await?;
    holds(
        &explained.out,
        &["response_time", "orders-db-0", "Seq Scan", "customer_id", "CREATE INDEX CONCURRENTLY", name],
    )?;
    for form in ["json", "yaml"] {
        let explained = plugin.good(&["explain", anomaly, "-o", form]).await?;
        holds(&explained.out, &["MissingIndex", "customer_id", "AwaitingApproval"])?;
    }
    let explained = plugin.good(&["explain", name, "-o", "wide"]).await?;
    holds(&explained.out, &["CREATE INDEX CONCURRENTLY", "DROP INDEX CONCURRENTLY", "waiting for an approval"])?;

    let fixes = plugin.good(&["fixes"]).await?;
    holds(&fixes.out, &["STATE", "RISK", name, "? AwaitingApproval", "add_index", "low", "waiting for an approval"])?;
    let listed = plugin.good(&["fixes", "-o", "json"]).await?.json()?;
    assert_eq!(
        (&listed["items"][0]["state"], &listed["items"][0]["risk"]),
        (&"AwaitingApproval".into(), &"low".into())
    );
    assert_eq!(plugin.good(&["fixes", "-o", "name"]).await?.out, format!("remediation.dbmedic.io/{name}\n"));
    plugin.run("admin", &["explain", "nobody-knows"]).await?.code(1)?;
    let usage = plugin.run("admin", &["fixes", "--colour"]).await?.code(2)?;
    holds(&usage.err, &["--colour"])?;
    plugin.run("admin", &["approve"]).await?.code(2)?;
    plugin.run("admin", &["status", "--fail-on", "deadly"]).await?.code(2)?;
    let slow = plugin.run("admin", &["fixes", "--request-timeout", "1ms"]).await?.code(4)?;
    holds(&slow.err, &["the API server did not answer within 1 ms"])?;
    Ok(())
}

/// All namespaces at once: each line says which it is of.
async fn seen_everywhere(plugin: &Plugin<'_>, name: &str, anomaly: &str) -> Result<()> {
    let namespace = plugin.shop.namespace.as_str();
    for (command, list, object) in
        [("status", "baselines", "orders"), ("anomalies", "items", anomaly), ("fixes", "items", name)]
    {
        let said = plugin.run_in(&["-A"], "admin", &[command]).await?.code(0)?;
        ensure!(said.out.starts_with("NAMESPACE "), "{command}: {}", said.out);
        let line = said.out.lines().find(|line| line.starts_with(namespace) && line.contains(object));
        ensure!(line.is_some(), "{command}: {object} of {namespace} is not in\n{}", said.out);
        let model = plugin.run_in(&["-A"], "admin", &[command, "-o", "json"]).await?.code(0)?.json()?;
        let ours = |one: &&Value| one["namespace"] == namespace && one["name"] == object;
        ensure!(model[list].as_array().into_iter().flatten().any(|one| ours(&one)), "{command}: {model}");
        // Who may read one namespace only is told so, and not shown a part as if it were all.
        plugin.run_in(&["-A"], "bob", &[command]).await?.code(1)?;
    }
    Ok(())
}

/// Who may not is told what is missing.
async fn rights(plugin: &Plugin<'_>, name: &str) -> Result<()> {
    let stranger = plugin.run("carol", &["status"]).await?.code(1)?;
    holds(&stranger.err, &["the API server refused", "Needed: the verb list on", "role dbmedic-viewer"])?;
    plugin.run("bob", &["fixes"]).await?.code(0)?;
    let viewer = plugin.run("bob", &["approve", name, "--yes"]).await?.code(1)?;
    holds(&viewer.err, &["You are bob", "the verb approve on remediations.dbmedic.io", "role dbmedic-approver"])?;
    assert_eq!(viewer.out, "");
    let viewer = plugin.run("bob", &["refuse", name, "--yes"]).await?.code(1)?;
    holds(&viewer.err, &["You are bob"])?;
    let unasked = plugin.run("alice", &["approve", name]).await?.code(2)?;
    holds(&unasked.err, &["You are about to approve, as alice", "CREATE INDEX CONCURRENTLY", "say --yes"])?;
    let another = plugin.run("alice", &["approve", name, "--yes", "--plan-hash", "sha256:00"]).await?.code(1)?;
    holds(&another.err, &["has another plan than the one you name"])?;
    let exported = plugin.run("alice", &["approve", name, "--export"]).await?.code(0)?;
    holds(&exported.out, &["kind: RemediationApproval", "decidedBy: alice", name])?;
    let fixes = plugin.good(&["fixes", "-o", "json"]).await?.json()?;
    assert_eq!(fixes["items"][0]["state"], "AwaitingApproval", "nobody has decided yet");
    Ok(())
}

/// The right person says yes.
async fn approved(plugin: &Plugin<'_>, scene: &Scene<'_>, name: &str, hash: &str, anomaly: &str) -> Result<()> {
    let said = plugin.run("alice", &["approve", name, "--yes", "--plan-hash", hash, "-o", "json"]).await?.code(0)?;
    let decided = said.json()?;
    assert_eq!(
        (&decided["decision"], &decided["decidedBy"], &decided["planHash"]),
        (&"approve".into(), &"alice".into(), &hash.into())
    );
    let done = scene.in_state(State::Succeeded).await?;
    assert_eq!(done.name_any(), name);
    scene.calm().await?;
    let fixes = plugin.good(&["fixes", "-o", "wide"]).await?;
    holds(&fixes.out, &["✓ Succeeded", "alice", hash])?;
    let listed = plugin.good(&["fixes", "-o", "json"]).await?.json()?;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));
    assert_eq!((&listed["items"][0]["name"], &listed["items"][0]["decidedBy"]), (&name.into(), &"alice".into()));
    let explained = plugin.good(&["explain", name]).await?;
    holds(&explained.out, &["Succeeded", "alice", "back inside its band"])?;
    let explained = plugin.good(&["explain", anomaly]).await?;
    holds(&explained.out, &["Resolved"])?;
    plugin.run("admin", &["anomalies", "--fail-on", "low"]).await?.code(0)?;
    let resolved = plugin.good(&["anomalies", "--resolved", "-o", "json"]).await?.json()?;
    assert_eq!(resolved["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(scene.shop.customer_indexes().await?, (1, 0));
    Ok(())
}
