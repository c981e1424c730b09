//! One operator, one Remediation that waits: whatever is tried, nothing but a right approval lets it run.

use std::time::Duration;

use anyhow::{Result, ensure};
use dbmedic::api::{Decision, Remediation, RemediationApproval, RemediationState as State};
use dbmedic_test_support::shop::{Options, Shop};
use dbmedic_test_support::{Cluster, holds_for};
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::{Verdicts, approval_of};
use crate::outcomes::{Scene, message, state_of};
use crate::world::{list, programs};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_a_right_approval_lets_a_change_run() -> Result<()> {
    // Gates are taken away here: a cluster that other tests use is no place for that.
    let Some(cluster) = Cluster::own().await? else { return Ok(()) };
    let second = "  approvals:\n    secondPerson: true\n    requestedBy: admin\n  limits:";
    let options =
        Options { mode: "suggest", replace: vec![("  limits:".to_owned(), second.to_owned())], ..Options::default() };
    let shop = Shop::open(&cluster, programs(), options).await?;
    for (user, verbs) in [("alice", &["create", "delete"][..]), ("bob", &["create"])] {
        cluster.grant(&shop.namespace, user, "dbmedic.io", &["remediationapprovals"], verbs).await?;
    }
    cluster.grant(&shop.namespace, "alice", "dbmedic.io", &["remediations"], &["approve", "revoke"]).await?;
    cluster.grant(&shop.namespace, "dave", "dbmedic.io", &["remediations", "remediations/status"], &["*"]).await?;
    shop.import_history(2.0).await?;
    let operator = shop.start_operator(&cluster).await?;
    operator.ready().await?;
    let _workload = shop.start_workload(4, Duration::from_millis(20)).await?;
    let scene = Scene::new(&cluster, &shop, &operator).await?;
    shop.drop_index().await?;

    let waiting = scene.in_state(State::AwaitingApproval).await?;
    ensure!(
        message(&waiting).contains("the policy's mode is suggest; waiting for an approval"),
        "{}",
        message(&waiting)
    );
    worthless(&scene, &waiting).await?;
    forged(&scene, &waiting).await?;
    let again = weakened(&scene, &waiting).await?;
    without_ledger_then_right(&scene, &again).await
}

/// Nothing moves, and no Job comes.
async fn stays(scene: &Scene<'_>, remediation: &Remediation, state: State) -> Result<()> {
    scene.poke(remediation).await?;
    holds_for(Duration::from_secs(2), format!("it is {state:?} and there is no Job"), async || {
        let now = scene.remediations.get(&remediation.name_any()).await?;
        Ok(state_of(&now) == state && list(&scene.jobs).await?.is_empty())
    })
    .await
}

/// Decisions that the gate lets through, or would, and that count for nothing.
async fn worthless(scene: &Scene<'_>, waiting: &Remediation) -> Result<()> {
    let namespace = &scene.shop.namespace;
    let mut verdicts = Verdicts::default();
    let create = PostParams::default();
    let approvals = async |user: &str| -> Result<Api<RemediationApproval>> {
        Ok(Api::namespaced(scene.cluster.client(user).await?, namespace))
    };
    let alice = approvals("alice").await?;
    let with = |name: &str, change: &dyn Fn(&mut RemediationApproval)| {
        let mut approval = approval_of(waiting, name, "alice");
        change(&mut approval);
        approval
    };
    let earlier = |seconds: i64| Some((jiff::Timestamp::now() - jiff::SignedDuration::from_secs(seconds)).to_string());
    // What each is rejected for is said on the Remediation, three at a time, the oldest first.
    for (name, expected, approval) in [
        (
            "a-hash",
            "the hash differs",
            with("a-hash", &|one| one.spec.plan_hash = format!("sha256:{}", "0".repeat(64))),
        ),
        ("b-uid", "an earlier Remediation", with("b-uid", &|one| one.spec.remediation_uid = "another".into())),
        ("c-old", "it has expired", with("c-old", &|one| one.spec.expires_at = earlier(86_400))),
        ("d-just", "it has expired", with("d-just", &|one| one.spec.expires_at = earlier(1))),
        ("e-other", "", with("e-other", &|one| one.spec.remediation = "another".into())),
        ("f-case", "", with("f-case", &|one| one.spec.remediation = waiting.name_any().to_uppercase())),
    ] {
        verdicts.expect(name, alice.create(&create, &approval).await, "")?;
        if !expected.is_empty() {
            scene.says(waiting, &format!("{name} does not count: ")).await?;
            scene.says(waiting, expected).await?;
            verdicts.expect("withdrawn again", alice.delete(name, &DeleteParams::default()).await, "")?;
        }
    }
    let own = approval_of(waiting, "own", "admin");
    verdicts.expect("the requester", approvals("admin").await?.create(&create, &own).await, "")?;
    scene.says(waiting, "own does not count: a second person is required").await?;
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    verdicts.expect("a dry run", alice.create(&dry, &approval_of(waiting, "dry", "alice")).await, "")?;
    for (user, by, expected) in [
        ("bob", "bob", "lacks the verb approve"),
        ("bob", "alice", "lacks the verb approve"),
        ("alice", "bob", "allowed is the requester"),
        ("carol", "carol", "cannot create resource"),
        ("dave", "dave", "cannot create resource"),
    ] {
        let attempt = approvals(user).await?.create(&create, &approval_of(waiting, "one", by)).await;
        verdicts.expect(&format!("{user} as {by}"), attempt, expected)?;
    }
    // The same names elsewhere, by somebody who may decide there.
    let there = scene.cluster.namespace("elsewhere").await?;
    scene
        .cluster
        .grant(&there, "erin", "dbmedic.io", &["remediationapprovals", "remediations"], &["create", "approve"])
        .await?;
    let erin: Api<RemediationApproval> = Api::namespaced(scene.cluster.client("erin").await?, &there);
    dbmedic_test_support::eventually(Duration::from_secs(30), "an approval in another namespace", async || {
        Ok(erin.create(&create, &approval_of(waiting, "elsewhere", "erin")).await.ok())
    })
    .await?;
    verdicts.finish(16)?;
    stays(scene, waiting, State::AwaitingApproval).await
}

/// Rights on the object itself are no way around.
async fn forged(scene: &Scene<'_>, waiting: &Remediation) -> Result<()> {
    let mut verdicts = Verdicts::default();
    let (name, merge) = (waiting.name_any(), PatchParams::default());
    let approval = json!({"by": "one", "decidedBy": "alice", "planHash": waiting.spec.plan_hash});
    let job = format!("dbmedic-{}-apply-1", waiting.uid().unwrap_or_default());
    for user in ["dave", "admin"] {
        let api: Api<Remediation> = Api::namespaced(scene.cluster.client(user).await?, &scene.shop.namespace);
        for state in ["Cleared", "Reserved", "Running", "Verifying", "RollingBack", "Succeeded"] {
            let status = json!({"status": {"state": state, "approval": approval, "jobs": [{"name": job}]}});
            let attempt = api.patch_status(&name, &merge, &Patch::Merge(&status)).await;
            verdicts.expect(&format!("{user} writes {state}"), attempt, "written by the operator only")?;
        }
        let marks = json!({"metadata": {
            "labels": {"dbmedic.io/approved": "true", "dbmedic.io/state": "Cleared"},
            "annotations": {"dbmedic.io/approved-by": "alice", "dbmedic.io/approve": "true"},
        }});
        verdicts.expect(&format!("{user} marks it"), api.patch(&name, &merge, &Patch::Merge(&marks)).await, "")?;
        let cheaper = json!({"spec": {"plan": {"risk": {"level": "low", "reasons": ["trust me"]}}}});
        let attempt = api.patch(&name, &merge, &Patch::Merge(&cheaper)).await;
        verdicts.expect(&format!("{user} changes the plan"), attempt, "immutable")?;
    }
    verdicts.finish(16)?;
    stays(scene, waiting, State::AwaitingApproval).await
}

/// While a gate is weakened or absent a right approval counts for nothing, nor is it worth anything for the next
/// Remediation of the same name.
async fn weakened(scene: &Scene<'_>, waiting: &Remediation) -> Result<Remediation> {
    let gates = dbmedic_test_support::workspace().join("config/gate");
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(scene.client.clone());
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(scene.client.clone());
    let warn = json!({"spec": {"validationActions": ["Warn"]}});
    bindings.patch("dbmedic-approval-gate", &PatchParams::default(), &Patch::Merge(&warn)).await?;
    let alice: Api<RemediationApproval> = Api::namespaced(scene.cluster.client("alice").await?, &scene.shop.namespace);
    alice.create(&PostParams::default(), &approval_of(waiting, "too-early", "alice")).await?;
    scene.says(waiting, "the approval gate is not in force").await?;
    scene.says(waiting, "dbmedic-approval-gate is not as shipped: spec.validationActions").await?;
    stays(scene, waiting, State::Deferred).await?;
    scene.can_fix("False", "ApprovalGateMissing").await?;

    // Cleared away, it is planned anew under the same name.
    scene.forget(waiting).await?;
    let again = scene.some("it is planned anew", |one| one.uid() != waiting.uid()).await?;
    ensure!(again.name_any() == waiting.name_any() && again.spec.plan_hash.len() == waiting.spec.plan_hash.len());
    // The list is a set, which applying adds to: what was put in is taken out with the object.
    bindings.delete("dbmedic-approval-gate", &DeleteParams::default()).await?;
    scene.cluster.apply(&gates, "default").await?;
    for name in ["dbmedic-job-shape", "dbmedic-author-gate", "dbmedic-requester-gate"] {
        policies.delete(name, &DeleteParams::default()).await?;
        scene.poke(&again).await?;
        scene.says(&again, &format!("ValidatingAdmissionPolicy {name} is not installed")).await?;
        stays(scene, &again, State::Deferred).await?;
        scene.cluster.apply(&gates, "default").await?;
    }
    scene.poke(&again).await?;
    scene.says(&again, "too-early does not count: it was given to an earlier Remediation of this name").await?;
    stays(scene, &again, State::AwaitingApproval).await?;
    Ok(again)
}

/// A lost ledger is no unused budget. With it the right approval does what it is for, once.
async fn without_ledger_then_right(scene: &Scene<'_>, waiting: &Remediation) -> Result<()> {
    let ledgers: Api<ConfigMap> = Api::namespaced(scene.client.clone(), &scene.shop.namespace);
    ledgers.delete("dbmedic-ledger", &DeleteParams::default()).await?;
    let alice: Api<RemediationApproval> = Api::namespaced(scene.cluster.client("alice").await?, &scene.shop.namespace);
    alice.create(&PostParams::default(), &approval_of(waiting, "right", "alice")).await?;
    scene.says(waiting, "the ledger of reservations cannot be read: no fixes without it").await?;
    stays(scene, waiting, State::Deferred).await?;
    let metadata = ObjectMeta { name: Some("dbmedic-ledger".to_owned()), ..ObjectMeta::default() };
    ledgers.create(&PostParams::default(), &ConfigMap { metadata, ..ConfigMap::default() }).await?;
    scene.poke(waiting).await?;

    let done = scene.in_state(State::Succeeded).await?;
    let approval = done.status.clone().unwrap_or_default().approval.unwrap_or_default();
    assert_eq!((approval.by.as_str(), approval.decided_by.as_deref()), ("right", Some("alice")));
    assert_eq!(approval.plan_hash, done.spec.plan_hash);
    assert_eq!(list(&scene.jobs).await?.len(), 1, "one approval, one Job");
    assert_eq!(scene.shop.node.ran().len(), 1);
    assert_eq!(scene.shop.customer_indexes().await?, (1, 0));
    // A refusal afterwards changes nothing either.
    let mut late = approval_of(&done, "late", "alice");
    late.spec.decision = Decision::Refuse;
    alice.create(&PostParams::default(), &late).await?;
    scene.poke(&done).await?;
    holds_for(Duration::from_secs(1), "it has succeeded", async || {
        Ok(state_of(&scene.remediations.get(&done.name_any()).await?) == State::Succeeded)
    })
    .await
}
