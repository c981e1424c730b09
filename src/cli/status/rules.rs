//! Rules that are not applied, in the status: whoever wrote them believes that they watch.

use kube::ResourceExt;
use serde::Serialize;

use super::{Cell, Tone, clean, complaint, types};
use crate::api::AnomalyRule;
use crate::api::conditions::find;

/// A rule that is not applied as it is written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleRow {
    pub namespace: String,
    pub name: String,
    pub baseline: String,
    pub message: String,
}

impl RuleRow {
    pub const HEADERS: [&str; 4] = ["RULE", "BASELINE", "READY", "MESSAGE"];

    pub fn cells(&self) -> Vec<Cell> {
        let ready = Cell::toned("✗ False", Tone::Bad);
        vec![self.name.as_str().into(), self.baseline.as_str().into(), ready, self.message.as_str().into()]
    }
}

/// Those that say that they are not ready.
pub fn not_applied(rules: Vec<AnomalyRule>) -> Vec<RuleRow> {
    let rows = rules.into_iter().filter_map(|object| {
        let conditions = object.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
        let refused = find(&conditions, types::READY).is_some_and(|condition| condition.status == "False");
        Some(RuleRow {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            baseline: clean(&object.spec.baseline_ref.name),
            message: complaint(&conditions, &[types::READY]).filter(|_| refused)?,
        })
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    use super::super::tests::found;
    use super::super::{Report, Status};
    use super::*;
    use crate::api::conditions::{Said, merge, reasons};

    #[test]
    fn rules_that_are_not_applied_are_shown_and_no_others() {
        let rule = |name: &str, said: Option<Said>| -> AnomalyRule {
            let conditions = said.map_or_else(Vec::new, |said| merge(&[], &[said], None, Timestamp::UNIX_EPOCH));
            serde_json::from_value(json!({
                "apiVersion": "dbmedic.io/v1alpha1", "kind": "AnomalyRule",
                "metadata": {"name": name, "namespace": "shop"},
                "spec": {"baselineRef": {"name": "orders"}, "detect": {}}, "status": {"conditions": conditions}
            }))
            .unwrap()
        };
        let wrong = Said::no(types::READY, reasons::INVALID_FIELD, "detect.metric: found \"qps\"");
        let rules = not_applied(vec![
            rule("good", Some(Said::yes(types::READY, reasons::ACCEPTED, "the rule is applied"))),
            rule("new", None),
            rule("wrong", Some(wrong)),
        ]);
        let text = Status { rules, ..found() }.text(false, true, false);
        assert_eq!(
            text.split("\n\n").last(),
            Some(
                "\
RULE    BASELINE   READY     MESSAGE
wrong   orders     ✗ False   InvalidField: detect.metric: found \"qps\"
"
            )
        );
    }
}
