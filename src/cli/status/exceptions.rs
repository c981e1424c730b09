//! Known peaks and maintenance in the status.

use kube::ResourceExt;
use serde::Serialize;

use super::{Cell, Tone, clean, complaint, types};
use crate::api::AnomalyException;

/// A known peak or a maintenance that is active now, or that cannot be used.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExceptionRow {
    pub namespace: String,
    pub name: String,
    pub baseline: String,
    pub active: bool,
    pub effect: Option<String>,
    /// End of the window that is active (RFC 3339).
    pub until: Option<String>,
    pub message: Option<String>,
}

impl ExceptionRow {
    pub const HEADERS: [&str; 6] = ["EXCEPTION", "BASELINE", "ACTIVE", "EFFECT", "UNTIL", "MESSAGE"];

    pub fn cells(&self) -> Vec<Cell> {
        let active = if self.active { Cell::toned("● yes", Tone::Watch) } else { Cell::from("no") };
        vec![
            self.name.as_str().into(),
            self.baseline.as_str().into(),
            active,
            self.effect.as_deref().unwrap_or_default().into(),
            self.until.as_deref().unwrap_or_default().into(),
            self.message.as_deref().unwrap_or_default().into(),
        ]
    }
}

/// Those that are active now, or cannot be used.
pub fn known(exceptions: Vec<AnomalyException>) -> Vec<ExceptionRow> {
    let rows = exceptions.into_iter().map(|object| {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let status = object.status.unwrap_or_default();
        let active = status.active == Some(true);
        ExceptionRow {
            namespace,
            name,
            baseline: clean(&object.spec.baseline_ref.name),
            active,
            effect: status.effect.as_deref().map(clean),
            until: status.next_to.as_deref().filter(|_| active).map(clean),
            message: complaint(&status.conditions, &[types::READY]),
        }
    });
    rows.filter(|row| row.active || row.message.is_some()).collect()
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
    fn exceptions_are_shown_while_they_are_active_or_cannot_be_used() {
        let exception = |name: &str, status: serde_json::Value| -> AnomalyException {
            let spec = json!({"baselineRef": {"name": "orders"}});
            serde_json::from_value(json!({
                "apiVersion": "dbmedic.io/v1alpha1", "kind": "AnomalyException",
                "metadata": {"name": name, "namespace": "shop"}, "spec": spec, "status": status
            }))
            .unwrap()
        };
        let said = |said: Said| merge(&[], &[said], None, Timestamp::UNIX_EPOCH);
        let accepted = said(Said::yes(types::READY, reasons::ACCEPTED, "applied"));
        let wrong = said(Said::no(types::READY, reasons::INVALID_FIELD, "schedule: found \"x\", allowed cron"));
        let (from, to) = ("2026-11-29T03:00:00Z", "2026-11-29T04:00:00Z");
        let window = |active: bool| json!({"active": active, "effect": "suppress", "nextFrom": from, "nextTo": to, "conditions": accepted});
        let exceptions = known(vec![
            exception("maintenance", window(true)),
            exception("later", window(false)),
            exception("wrong", json!({"active": false, "conditions": wrong})),
        ]);
        let text = Status { exceptions, ..found() }.text(false, true, false);
        assert_eq!(
            text.split("\n\n").last(),
            Some(
                "\
EXCEPTION     BASELINE   ACTIVE   EFFECT     UNTIL                  MESSAGE
maintenance   orders     ● yes    suppress   2026-11-29T04:00:00Z   <none>
wrong         orders     no       <none>     <none>                 InvalidField: schedule: found \"x\", allowed cron
"
            )
        );
    }
}
