//! A useless change is taken back, the walk goes on, the budget ends, the policy goes away.

use std::time::Duration;

use anyhow::{Context, Result};
use dbmedic::api::RemediationState as State;
use dbmedic_test_support::shop::Options;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;

use super::{Scene, message, states};
use crate::world::{list, watched_shop};

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_help_is_taken_back_and_the_budget_is_kept() -> Result<()> {
    let useless = "      - action: add_index\n        table: public.orders\n        columns: [status]\n      - action: add_index\n        when";
    let replace = vec![
        ("      - action: add_index\n        when".to_owned(), useless.to_owned()),
        ("fixesPerHour: 10".to_owned(), "fixesPerHour: 2".to_owned()),
    ];
    let options = Options { rollback_timeout: "10s", replace, ..Options::default() };
    let (cluster, shop, operator) = watched_shop(options).await?;
    let _workload = shop.start_workload(4, Duration::from_millis(20)).await?;
    let scene = Scene::new(cluster, &shop, &operator).await?;
    scene.can_fix("True", "Accepted").await?;
    shop.drop_index().await?;

    // Nobody estimated what a person prescribed: its size is not known, so it is medium, above what needs nobody.
    let waiting = scene.in_state(State::AwaitingApproval).await?;
    assert!(message(&waiting).contains("risk medium is above autoUpTo: low"), "{}", message(&waiting));
    assert_eq!(
        waiting.spec.plan.change.add_index.as_ref().map(|index| index.columns.clone()),
        Some(vec!["status".to_owned()])
    );
    scene.change_policy(&json!({"riskOverrides": {"add_index": "low"}})).await?;

    let undone = scene.in_state(State::RolledBack).await?;
    assert_eq!(undone.uid(), waiting.uid());
    assert!(states(&undone).ends_with(&[State::Running, State::Verifying, State::RollingBack, State::RolledBack]));
    super::holds(message(&undone), &["it was taken back because: "])?;
    // On a busy machine the workload may even have become slower meanwhile: that is a reason too.
    let reasons = ["was not back inside its band", "not faster than before", "more than 20 % worse than before"];
    assert!(reasons.iter().any(|reason| message(&undone).contains(reason)), "{}", message(&undone));
    let left: i64 = shop
        .postgres
        .value("orders", "select count(*) from pg_indexes where tablename = 'orders' and indexdef like '%(status)%'")
        .await?;
    assert_eq!(left, 0, "the useless index is still there");

    let helped = scene.in_state(State::Succeeded).await?;
    assert_eq!((helped.spec.step, &helped.spec.anomaly_ref), (undone.spec.step + 1, &undone.spec.anomaly_ref));
    assert_eq!(shop.customer_indexes().await?, (1, 0));
    scene.calm().await?;

    let first = list(&scene.anomalies).await?;
    shop.drop_index().await?;
    scene.open_anomaly(&first.iter().collect::<Vec<_>>()).await?;
    let deferred = scene.in_state(State::Deferred).await?;
    super::holds(message(&deferred), &["the budget of 2 changes in 60 minutes is used up", "limits.fixesPerHour"])?;
    let policy = scene.policies.get("standard").await?.status.context("the policy has no status")?;
    assert_eq!(policy.budget.as_deref(), Some("2/2"));
    assert_eq!(policy.success_rate.as_deref(), Some("1/2"));

    scene.policies.delete("standard", &DeleteParams::default()).await?;
    let superseded = scene.in_state(State::Superseded).await?;
    assert_eq!(superseded.uid(), deferred.uid());
    super::holds(message(&superseded), &["the policy is gone"])?;
    scene.walk_says(&superseded.spec.anomaly_ref.name, "does not exist: nothing is done about it").await?;
    assert_eq!(shop.customer_indexes().await?, (0, 0), "nothing was built beyond the budget");
    Ok(())
}
