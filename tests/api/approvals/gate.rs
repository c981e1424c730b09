//! The approval gate: who may create, change and delete a decision. Where nothing has to stay, as dry runs: admission
//! is the same.

use std::time::Duration;

use anyhow::Result;
use dbmedic::api::{Decision, RemediationApproval, RemediationApprovalSpec};
use dbmedic_test_support::{Cluster, eventually, shop};
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use super::{Verdicts, refused, somebody};

const LACKS: &str = "lacks the verb approve on remediations.dbmedic.io";
const NAME: &str = "allowed is the requester";
const NO_CREATE: &str = "cannot create resource \"remediationapprovals\"";

fn decision(remediation: &str, user: &str) -> RemediationApproval {
    RemediationApproval {
        metadata: ObjectMeta { name: Some("one".to_owned()), ..ObjectMeta::default() },
        spec: RemediationApprovalSpec {
            remediation: remediation.to_owned(),
            remediation_uid: "u-1".to_owned(),
            plan_hash: format!("sha256:{}", "0".repeat(64)),
            decided_by: user.to_owned(),
            ..RemediationApprovalSpec::default()
        },
    }
}

async fn dry(client: &Client, namespace: &str, approval: &RemediationApproval) -> kube::Result<RemediationApproval> {
    let parameters = PostParams { dry_run: true, ..PostParams::default() };
    Api::namespaced(client.clone(), namespace).create(&parameters, approval).await
}

/// Roles by name, a verb limited to one Remediation, and groups.
fn bindings(namespace: &str) -> String {
    let role = |name: &str, rules: &str| {
        format!(
            "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: {name}, namespace: {namespace}}}\nrules: {rules}\n"
        )
    };
    let bind = |kind: &str, role: &str, subject: &str, name: &str| {
        format!(
            "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: {role}-{name}, namespace: {namespace}}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: {kind}, name: {role}}}\n\
             subjects: [{{kind: {subject}, name: {name}, apiGroup: rbac.authorization.k8s.io}}]\n"
        )
    };
    let create = "{apiGroups: [dbmedic.io], resources: [remediationapprovals], verbs: [create]}";
    let approve = "{apiGroups: [dbmedic.io], resources: [remediations], verbs: [approve]}";
    let one = "{apiGroups: [dbmedic.io], resources: [remediations], resourceNames: [fix-a], verbs: [approve]}";
    [
        role("deciders", &format!("[{create}, {approve}]")),
        role("one-only", &format!("[{create}, {one}]")),
        role("makers", &format!("[{create}]")),
        bind("Role", "deciders", "Group", "dba"),
        bind("Role", "makers", "Group", "interns"),
        bind("Role", "one-only", "User", "erin"),
        bind("ClusterRole", "dbmedic-viewer", "User", "vera"),
        bind("ClusterRole", "dbmedic-editor", "User", "edith"),
        bind("ClusterRole", "dbmedic-approver", "User", "anna"),
        bind("ClusterRole", "dbmedic-admin", "User", "adam"),
    ]
    .concat()
}

#[tokio::test]
async fn a_decision_is_made_by_those_who_may_and_in_their_own_name() -> Result<()> {
    let cluster = Cluster::shared().await?;
    shop::install(cluster).await?;
    let (here, there) = (cluster.namespace("here").await?, cluster.namespace("there").await?);
    let (group, both, approve) = ("dbmedic.io", ["create"], ["approve"]);
    cluster.grant(&there, "dave", group, &["remediationapprovals"], &both).await?;
    cluster.grant(&there, "dave", group, &["remediations"], &approve).await?;
    cluster.grant(&here, "bob", group, &["remediationapprovals"], &both).await?;
    cluster.grant(&here, "carol", group, &["remediations"], &approve).await?;
    cluster.grant(&here, "grace", group, &["remediationapprovals"], &both).await?;
    cluster
        .grant(&here, "grace", group, &["remediations", "remediations/status"], &["update", "patch", "delete"])
        .await?;
    let operator = format!("system:serviceaccount:{}:{}", shop::OPERATOR.0, shop::OPERATOR.1);
    cluster.grant(&here, &operator, group, &["remediationapprovals"], &both).await?;
    cluster.grant(&here, &operator, group, &["remediations"], &approve).await?;
    cluster.grant(&here, "alice", group, &["remediations"], &approve).await?;
    cluster.grant(&here, "alice", group, &["remediationapprovals"], &both).await?;
    cluster.apply_yaml(&bindings(&here), &here).await?;

    let alice = cluster.client("alice").await?;
    let anna = somebody(cluster, "anna", &[]).await?;
    // Rights take a moment to be in force; these were granted last.
    eventually(Duration::from_secs(30), "the grants", async || {
        let all = [
            dry(&alice, &here, &decision("fix-a", "alice")).await,
            dry(&anna, &here, &decision("fix-a", "anna")).await,
        ];
        Ok(all.iter().all(Result::is_ok).then_some(()))
    })
    .await?;

    let mut verdicts = Verdicts::default();
    let masters = cluster.client("admin").await?;
    for (user, here_expected, there_expected) in [
        ("alice", "", NO_CREATE),
        ("bob", LACKS, NO_CREATE),
        ("carol", NO_CREATE, NO_CREATE),
        ("dave", NO_CREATE, ""),
        ("erin", "", NO_CREATE),
        ("frank", NO_CREATE, NO_CREATE),
        ("grace", LACKS, NO_CREATE),
        ("admin", "", ""),
    ] {
        let client = cluster.client(user).await?;
        let approval = decision("fix-a", user);
        verdicts.expect(&format!("{user} here"), dry(&client, &here, &approval).await, here_expected)?;
        verdicts.expect(&format!("{user} there"), dry(&client, &there, &approval).await, there_expected)?;
    }
    let erin = cluster.client("erin").await?;
    verdicts.expect("erin, another Remediation", dry(&erin, &here, &decision("fix-b", "erin")).await, LACKS)?;
    for (name, groups, as_name, expected) in [
        ("heidi", &["dba"][..], "heidi", ""),
        ("heidi", &["dba"], "dba", NAME),
        ("ivan", &["interns"], "ivan", LACKS),
        ("judy", &[], "judy", NO_CREATE),
        ("vera", &[], "vera", NO_CREATE),
        ("edith", &[], "edith", NO_CREATE),
        ("anna", &[], "anna", ""),
        ("adam", &[], "adam", NO_CREATE),
        ("system:serviceaccount:default:default", &[], "system:serviceaccount:default:default", NO_CREATE),
    ] {
        let client = somebody(cluster, name, groups).await?;
        let attempt = dry(&client, &here, &decision("fix-a", as_name)).await;
        verdicts.expect(&format!("{name} of {groups:?} as {as_name}"), attempt, expected)?;
    }
    for name in ["bob", "Alice", " alice", "alice ", "system:masters", &operator] {
        verdicts.expect(&format!("alice as {name:?}"), dry(&alice, &here, &decision("fix-a", name)).await, NAME)?;
    }
    verdicts.expect("admin as alice", dry(&masters, &here, &decision("fix-a", "alice")).await, NAME)?;
    let itself = cluster.service_account_client(shop::OPERATOR.0, shop::OPERATOR.1).await?;
    for name in [operator.as_str(), "alice"] {
        let attempt = dry(&itself, &here, &decision("fix-a", name)).await;
        verdicts.expect(&format!("the operator as {name}"), attempt, "the operator never decides on its own plans")?;
    }
    let mut no = decision("fix-a", "bob");
    no.spec.decision = Decision::Refuse;
    verdicts.expect("bob refuses", dry(&cluster.client("bob").await?, &here, &no).await, LACKS)?;
    verdicts.finish(35)
}

#[tokio::test]
async fn a_decision_is_changed_by_nobody_and_withdrawn_by_those_who_may() -> Result<()> {
    let cluster = Cluster::shared().await?;
    shop::install(cluster).await?;
    let namespace = cluster.namespace("decided").await?;
    let all = ["create", "get", "list", "update", "patch", "delete", "deletecollection"];
    for user in ["alice", "frank", &format!("system:serviceaccount:{}:{}", shop::OPERATOR.0, shop::OPERATOR.1)] {
        cluster.grant(&namespace, user, "dbmedic.io", &["remediations"], &["approve"]).await?;
        cluster.grant(&namespace, user, "dbmedic.io", &["remediationapprovals"], &all).await?;
    }
    cluster.apply_yaml(&bindings(&namespace), &namespace).await?;
    let api = |client: Client| -> Api<RemediationApproval> { Api::namespaced(client, &namespace) };
    let (alice, frank) = (api(cluster.client("alice").await?), api(cluster.client("frank").await?));
    let adam = api(somebody(cluster, "adam", &[]).await?);
    let operator = api(cluster.service_account_client(shop::OPERATOR.0, shop::OPERATOR.1).await?);
    eventually(Duration::from_secs(30), "the grants", async || {
        Ok(refused(alice.create(&PostParams::default(), &decision("fix-a", "alice")).await)?.is_none().then_some(()))
    })
    .await?;

    let mut verdicts = Verdicts::default();
    let merge = PatchParams::default();
    let label = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    let owner = Patch::Merge(json!({"metadata": {"ownerReferences": [
        {"apiVersion": "dbmedic.io/v1alpha1", "kind": "Remediation", "name": "fix-b", "uid": "u-2"}]}}));
    for (name, value) in [
        ("planHash", json!(format!("sha256:{}", "1".repeat(64)))),
        ("remediation", json!("fix-b")),
        ("remediationUid", json!("u-2")),
        ("expiresAt", json!("2099-01-01T00:00:00Z")),
    ] {
        let patch = Patch::Merge(json!({"spec": {name: value}}));
        verdicts.expect(&format!("alice changes {name}"), alice.patch("one", &merge, &patch).await, "immutable")?;
    }
    let take_over = Patch::Merge(json!({"spec": {"decidedBy": "frank"}}));
    verdicts.expect("frank takes it over", frank.patch("one", &merge, &take_over).await, "immutable")?;
    let mut replaced = alice.get("one").await?;
    replaced.spec.remediation_uid = "u-2".to_owned();
    verdicts.expect("alice replaces it", alice.replace("one", &PostParams::default(), &replaced).await, "immutable")?;
    verdicts.expect("frank labels it", frank.patch("one", &merge, &label).await, NAME)?;
    verdicts.expect("frank owns it", frank.patch("one", &merge, &owner).await, NAME)?;
    verdicts.expect(
        "the operator labels it",
        operator.patch("one", &merge, &label).await,
        "the operator never decides",
    )?;
    verdicts.expect("alice labels it", alice.patch("one", &merge, &label).await, "")?;
    let status = Patch::Merge(json!({"status": {"approved": true}}));
    verdicts.expect(
        "alice writes a status",
        alice.patch_status("one", &merge, &status).await,
        "cannot patch resource",
    )?;
    let delete = DeleteParams::default();
    let revoke = "lacks the verb revoke on remediations.dbmedic.io fix-a";
    verdicts.expect("alice deletes it", alice.delete("one", &delete).await, revoke)?;
    verdicts.expect("frank deletes it", frank.delete("one", &delete).await, revoke)?;
    verdicts.expect("the operator deletes it", operator.delete("one", &delete).await, "the operator never decides")?;
    let everything = frank.delete_collection(&delete, &ListParams::default()).await;
    verdicts.expect("frank deletes all", everything, revoke)?;
    verdicts.expect("it is still there", alice.get("one").await, "")?;
    verdicts.expect("adam deletes it", adam.delete("one", &delete).await, "")?;
    verdicts.finish(17)
}
