//! Which steps would repeat a change that was taken back lately: the same fault would go on for ever as build and drop.

use std::sync::Arc;

use kube::ResourceExt;

use crate::api::{Remediation, RemediationState, RootCause};
use crate::heal::policy::Strategy;
use crate::heal::walk::Barred;

/// So long a change that was taken back is not made again.
const REST_MS: i64 = 24 * 3600 * 1000;

/// The barred steps of a strategy. A change that failed bars none: it changed nothing. What `incident` itself has tried
/// is the walk's own business.
pub fn barred(
    incident: &str,
    strategy: &Strategy,
    cause: &RootCause,
    on_database: &[Arc<Remediation>],
    now: jiff::Timestamp,
) -> Vec<Barred> {
    let mut barred = Vec::new();
    for (index, step) in strategy.steps.iter().enumerate() {
        let wanted = match (&step.prescribed, &cause.missing_index) {
            (Some(index), _) => (&index.schema, &index.table, &index.columns),
            (None, Some(index)) => (&index.schema, &index.table, &index.columns),
            (None, None) => continue,
        };
        let same = |one: &&Arc<Remediation>| {
            let change = one.spec.plan.change.add_index.as_ref();
            one.spec.anomaly_ref.uid != incident
                && one.spec.action == step.action
                && change.is_some_and(|change| (&change.schema, &change.table, &change.columns) == wanted)
        };
        if let Some(earlier) = on_database.iter().filter(same).find(|one| was_taken_back(one, now)) {
            let name = earlier.name_any();
            barred.push(Barred {
                step: index,
                reason: format!("Remediation {name} made the same change, and it was taken back less than 24 h ago"),
            });
        }
    }
    barred
}

fn was_taken_back(remediation: &Remediation, now: jiff::Timestamp) -> bool {
    let Some(status) = remediation.status.as_ref() else { return false };
    let ended = status.transitions.iter().rev().find(|one| one.state == RemediationState::RolledBack);
    // A time that cannot be read is no reason to do it again.
    let rested = ended
        .and_then(|ended| ended.at.parse::<jiff::Timestamp>().ok())
        .is_some_and(|at| now.as_millisecond() - at.as_millisecond() >= REST_MS);
    status.state == Some(RemediationState::RolledBack) && !rested
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{
        ActionName, AddIndex, Change, IndexCandidate, ObjectReference, Plan, RemediationSpec, RemediationStatus,
        Transition,
    };
    use crate::heal::policy;

    fn earlier(column: &str, state: RemediationState, at: &str) -> Arc<Remediation> {
        let index = AddIndex {
            schema: "public".into(),
            table: "orders".into(),
            columns: vec![column.into()],
            ..AddIndex::default()
        };
        let mut remediation = Remediation::new(
            "earlier",
            RemediationSpec {
                anomaly_ref: ObjectReference::default(),
                policy_ref: ObjectReference::default(),
                strategy: "slow".into(),
                step: 0,
                action: ActionName::AddIndex,
                plan: Plan { change: Change { add_index: Some(index) }, ..Plan::default() },
                plan_hash: String::new(),
            },
        );
        remediation.status = Some(RemediationStatus {
            state: Some(state),
            transitions: vec![Transition { state, at: at.into(), message: String::new() }],
            ..RemediationStatus::default()
        });
        Arc::new(remediation)
    }

    fn barred_at(earlier: Arc<Remediation>, now: &str) -> Vec<usize> {
        let spec = serde_json::json!({"executor": {"secretRef": {"name": "f"}}, "strategies": {"slow": {"steps": [
            {"action": "analyze_query"},
            {"action": "add_index", "table": "public.orders", "columns": ["status"]},
            {"action": "add_index"},
        ]}}});
        let policy = policy::resolve(&serde_json::from_value(spec).unwrap()).unwrap();
        let cause = RootCause {
            missing_index: Some(IndexCandidate {
                schema: "public".into(),
                table: "orders".into(),
                columns: vec!["customer_id".into()],
                ..IndexCandidate::default()
            }),
            ..RootCause::default()
        };
        let barred = barred("this one", &policy.strategies["slow"], &cause, &[earlier], now.parse().unwrap());
        barred.into_iter().map(|barred| barred.step).collect()
    }

    #[test]
    fn what_was_taken_back_is_left_alone_for_a_day_whichever_incident_it_was_for() {
        let at = "2026-01-01T00:00:00.000Z";
        for (column, step) in [("status", 1), ("customer_id", 2)] {
            let one = || earlier(column, RemediationState::RolledBack, at);
            assert_eq!(barred_at(one(), "2026-01-01T23:59:59Z"), [step]);
            assert_eq!(barred_at(one(), "2026-01-02T00:00:00Z"), Vec::<usize>::new());
        }
        assert_eq!(barred_at(earlier("status", RemediationState::RolledBack, "?"), "2026-03-01T00:00:00Z"), [1]);
    }

    #[test]
    fn what_the_same_incident_has_tried_is_not_told_again() {
        let mut one = earlier("status", RemediationState::RolledBack, "2026-01-01T00:00:00Z");
        Arc::make_mut(&mut one).spec.anomaly_ref.uid = "this one".into();
        assert_eq!(barred_at(one, "2026-01-01T00:01:00Z"), Vec::<usize>::new());
    }

    #[test]
    fn what_changed_nothing_or_helped_may_be_tried_again() {
        for state in [RemediationState::Failed, RemediationState::Succeeded, RemediationState::Superseded] {
            let one = earlier("status", state, "2026-01-01T00:00:00Z");
            assert_eq!(barred_at(one, "2026-01-01T00:01:00Z"), Vec::<usize>::new(), "{state:?}");
        }
        let other = earlier("note", RemediationState::RolledBack, "2026-01-01T00:00:00Z");
        assert_eq!(barred_at(other, "2026-01-01T00:01:00Z"), Vec::<usize>::new());
    }
}
