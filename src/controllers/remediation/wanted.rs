//! Whether rule, policy and strategy still ask for a change: what a person has taken out since is not done. Pure.

use crate::api::{Anomaly, AnomalyRule, RemediationSpec};
use crate::heal::policy::Policy;

/// Why the change is not asked for any more; `None` while it is.
pub fn objection(
    spec: &RemediationSpec,
    policy: &Policy,
    incident: &Anomaly,
    rule: Option<&AnomalyRule>,
) -> Option<String> {
    let Some(rule) = rule else { return Some("its AnomalyRule was deleted".into()) };
    let Some(remediate) = &rule.spec.remediate else { return Some("its AnomalyRule names no policy any more".into()) };
    if remediate.policy_ref.name != spec.policy_ref.name {
        return Some("its AnomalyRule names another policy now".into());
    }
    if remediate.strategy != spec.strategy {
        return Some("its AnomalyRule names another strategy now".into());
    }
    let cause = incident.status.as_ref().and_then(|status| status.root_cause.as_ref());
    let advised = cause.and_then(|cause| cause.missing_index.as_ref());
    policy.asks_for(&spec.strategy, spec.action, spec.plan.change.add_index.as_ref()?, advised).err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{
        ActionName, AddIndex, AnomalyRuleSpec, AnomalySpec, AnomalyStatus, Change, IndexCandidate, ObjectReference,
        Plan, RootCause,
    };
    use crate::heal::policy;
    use serde_json::{Value, json};

    fn objection_of(remediate: &Value, steps: &Value) -> Option<String> {
        let index =
            AddIndex { schema: "s".into(), table: "t".into(), columns: vec!["a".into()], ..AddIndex::default() };
        let spec = RemediationSpec {
            anomaly_ref: ObjectReference::default(),
            policy_ref: ObjectReference { name: "standard".into(), uid: String::new() },
            strategy: "slow".into(),
            step: 0,
            action: ActionName::AddIndex,
            plan: Plan { change: Change { add_index: Some(index) }, ..Plan::default() },
            plan_hash: String::new(),
        };
        let policy = json!({"executor": {"secretRef": {"name": "f"}}, "strategies": {"slow": {"steps": steps}}});
        let policy = policy::resolve(&serde_json::from_value(policy).unwrap()).unwrap();
        let missing_index = IndexCandidate {
            schema: "s".into(),
            table: "t".into(),
            columns: vec!["a".into()],
            ..IndexCandidate::default()
        };
        let mut incident = Anomaly::new("a", AnomalySpec::default());
        incident.status = Some(AnomalyStatus {
            root_cause: Some(RootCause { missing_index: Some(missing_index), ..RootCause::default() }),
            ..AnomalyStatus::default()
        });
        let rule = json!({"baselineRef": {"name": "b"}, "detect": {"metric": "response_time"}, "remediate": remediate});
        let rule: AnomalyRuleSpec = serde_json::from_value(rule).unwrap();
        objection(&spec, &policy, &incident, Some(&AnomalyRule::new("r", rule)))
    }

    #[test]
    fn what_was_taken_out_of_rule_or_strategy_is_not_done() {
        let named = |policy: &str, strategy: &str| json!({"policyRef": {"name": policy}, "strategy": strategy});
        let (right, add) = (named("standard", "slow"), json!([{"action": "add_index"}]));
        assert_eq!(objection_of(&right, &add), None);
        for (remediate, steps, part) in [
            (&Value::Null, add.clone(), "names no policy any more"),
            (&named("other", "slow"), add.clone(), "names another policy"),
            (&named("standard", "other"), add, "names another strategy"),
            (&right, json!([{"action": "notify"}]), "asks for this change any more"),
            (
                &right,
                json!([{"action": "add_index", "table": "s.t", "columns": ["b"]}]),
                "asks for this change any more",
            ),
        ] {
            let objection = objection_of(remediate, &steps).unwrap_or_default();
            assert!(objection.contains(part), "{part}: {objection}");
        }
    }
}
