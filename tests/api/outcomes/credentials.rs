//! Mode observe, then credentials that are missing, wrong, too weak, and gone when the way back needs them.

use std::time::Duration;

use anyhow::{Context, Result};
use dbmedic::api::RemediationState as State;
use dbmedic_test_support::holds_for;
use dbmedic_test_support::shop::Options;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::{Scene, message, states};
use crate::world::{list, watched_shop};

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_credentials_nothing_is_changed_and_people_are_told_why() -> Result<()> {
    let options = Options { mode: "observe", rollback_timeout: "8s", ..Options::default() };
    let (cluster, shop, operator) = watched_shop(options).await?;
    let _workload = shop.start_workload(4, Duration::from_millis(20)).await?;
    let scene = Scene::new(cluster, &shop, &operator).await?;
    scene.can_fix("False", "ObserveOnly").await?;
    shop.drop_index().await?;
    let anomaly = scene.open_anomaly(&[]).await?.name_any();
    scene.walk_says(&anomaly, "mode is observe: would run CREATE INDEX CONCURRENTLY").await?;
    holds_for(Duration::from_secs(2), "mode observe makes no Remediation", async || {
        Ok(list(&scene.remediations).await?.is_empty())
    })
    .await?;

    // The Secret is missing: the pod cannot start.
    let secrets: Api<Secret> = Api::namespaced(scene.client.clone(), &shop.namespace);
    let mut secret = secrets.get("orders-fixer").await?;
    secret.metadata = kube::api::ObjectMeta { name: Some("orders-fixer".to_owned()), ..Default::default() };
    secrets.delete("orders-fixer", &DeleteParams::default()).await?;
    scene.change_policy(&json!({"mode": "auto"})).await?;
    let stuck = scene
        .some("the message says why the pod does not start", |one| message(one).contains("does not start"))
        .await?;
    assert_eq!(super::state_of(&stuck), State::Running);
    super::holds(message(&stuck), &["CreateContainerConfigError", "orders-fixer"])?;

    // It is there again, with another password than the database's.
    let right = secret.data.clone().unwrap_or_default();
    let mut wrong = secret.clone();
    wrong.data.get_or_insert_default().insert("password".to_owned(), k8s_openapi::ByteString(b"guessed".to_vec()));
    secrets.create(&PostParams::default(), &wrong).await?;
    let failed = scene.in_state(State::Failed).await?;
    assert_eq!(failed.uid(), stuck.uid());
    super::holds(message(&failed), &["nothing was changed", "cannot connect", "password authentication failed"])?;
    assert!(!message(&failed).contains("guessed"));
    scene.walk_says(&anomaly, "no step of the strategy is left").await?;
    let events = cluster
        .kubectl("admin", &["get", "events.events.k8s.io", "-n", &shop.namespace, "-o", "jsonpath={.items[*].reason}"])
        .await?;
    super::holds(&String::from_utf8_lossy(&events.stdout), &["AnomalyOpened", "Failed", "NoAutomaticFix"])?;

    // The right password, and a role that has lost its grant. A Remediation that is cleared away is planned anew.
    secrets.patch("orders-fixer", &PatchParams::default(), &Patch::Merge(json!({"data": right}))).await?;
    shop.postgres.execute("orders", "revoke orders_owner from dbmedic_fixer").await?;
    scene.forget(&failed).await?;
    let refused = scene.in_state(State::Failed).await?;
    super::holds(message(&refused), &["nothing was changed", "GRANT", "orders_owner", "dbmedic_fixer"])?;
    assert_eq!(shop.customer_indexes().await?, (0, 0));
    shop.postgres.execute("orders", "grant orders_owner to dbmedic_fixer").await?;

    // A change that does not help, and credentials that are gone when it has to be taken back.
    scene
        .change_policy(&json!({
            "riskOverrides": {"add_index": "low"},
            "strategies": {"slow_query": {"steps": [
                {"action": "analyze_query"}, {"action": "check_indexes"},
                {"action": "add_index", "table": "public.orders", "columns": ["status"]},
            ]}},
        }))
        .await?;
    scene.forget(&refused).await?;
    let verifying = scene.in_state(State::Verifying).await?;
    shop.postgres.execute("orders", "alter role dbmedic_fixer password 'changed'").await?;
    let lost = scene.in_state(State::RollbackFailed).await?;
    assert_eq!(lost.uid(), verifying.uid());
    super::holds(
        message(&lost),
        &["cannot connect", "a person has to look", "DROP INDEX CONCURRENTLY", "may be left"],
    )?;
    assert!(states(&lost).ends_with(&[State::Verifying, State::RollingBack, State::RollbackFailed]));
    scene.can_fix("False", "RollbackFailed").await?;
    scene.walk_says(&anomaly, "the way back of a change failed: a person has to look").await?;

    // Another change of the same policy waits until a person has cleared that one away.
    shop.postgres.execute("orders", "alter role dbmedic_fixer password 'fixer-password'").await?;
    shop.postgres
        .execute("orders", "do $$ begin execute (select 'drop index ' || indexname from pg_indexes where tablename = 'orders' and indexdef like '%(status)%'); end $$")
        .await
        .context("the useless index should have been left")?;
    scene
        .change_policy(&json!({"strategies": {"slow_query": {"steps": [
            {"action": "analyze_query"}, {"action": "check_indexes"}, {"action": "add_index", "when": "facts.missing_index"},
        ]}}}))
        .await?;
    holds_for(Duration::from_secs(3), "the policy has stopped", async || {
        Ok(list(&scene.remediations).await?.len() == 1)
    })
    .await?;
    scene.forget(&lost).await?;
    scene.can_fix("True", "Accepted").await?;
    scene.in_state(State::Succeeded).await?;
    assert_eq!(shop.customer_indexes().await?, (1, 0));
    scene.calm().await
}
