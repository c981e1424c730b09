//! What is said about a policy. Pure.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::api::conditions::{self, Said, reasons, types};
use crate::api::{Mode, Remediation, RemediationPolicy, RemediationPolicyStatus, RemediationState};
use crate::heal::budget::{self, Reservation};
use crate::heal::policy;

pub struct Observed {
    pub gate: Result<(), String>,
    pub ledger: Option<Vec<Reservation>>,
    pub remediations: Vec<Arc<Remediation>>,
}

pub fn decide(policy: &RemediationPolicy, observed: &Observed, now: Timestamp) -> RemediationPolicyStatus {
    let ready = match policy::resolve(&policy.spec) {
        Ok(_) => Said::yes(types::READY, reasons::ACCEPTED, "the policy is understood"),
        Err(error) => Said::no(types::READY, reasons::INVALID_FIELD, error.to_string()),
    };
    let mut said = vec![ready.clone()];
    if ready.status == Some(false) {
        said.push(Said::yes(types::STALLED, ready.reason, ready.message.clone()));
    }
    said.push(can_fix(policy, observed, &ready));
    let stored = policy.status.clone().unwrap_or_default();
    let key = format!("{}/{}", policy.namespace().unwrap_or_default(), policy.name_any());
    let used = observed.ledger.as_ref().map(|ledger| budget::used(ledger, &key, now.as_millisecond()));
    RemediationPolicyStatus {
        observed_generation: policy.metadata.generation,
        conditions: conditions::merge(&stored.conditions, &said, policy.metadata.generation, now),
        budget: used.map(|used| format!("{used}/{}", policy.spec.limits.fixes_per_hour)),
        success_rate: success_rate(&observed.remediations),
    }
}

fn can_fix(policy: &RemediationPolicy, observed: &Observed, ready: &Said) -> Said {
    if ready.status == Some(false) {
        return Said::no(types::CAN_FIX, reasons::INVALID_FIELD, ready.message.clone());
    }
    if policy.spec.mode == Mode::Observe {
        return Said::no(types::CAN_FIX, reasons::OBSERVE_ONLY, "mode is observe: plans are not made");
    }
    if let Err(missing) = &observed.gate {
        return Said::no(types::CAN_FIX, reasons::APPROVAL_GATE_MISSING, missing.clone());
    }
    if observed.ledger.is_none() {
        return Said::no(
            types::CAN_FIX,
            reasons::LEDGER_MISSING,
            "ConfigMap dbmedic-ledger is absent from the operator's namespace; a lost ledger means no fixes",
        );
    }
    if let Some(failed) = rollback_failed(&observed.remediations) {
        return Said::no(
            types::CAN_FIX,
            reasons::ROLLBACK_FAILED,
            format!("Remediation {failed} could not be undone; look at it and delete it to let the policy act again"),
        );
    }
    Said::yes(types::CAN_FIX, reasons::ACCEPTED, "gates, ledger and credentials are named")
}

/// The Remediation that keeps its policy from acting until a person clears it.
pub fn rollback_failed(remediations: &[Arc<Remediation>]) -> Option<String> {
    remediations
        .iter()
        .find(|remediation| state(remediation) == Some(RemediationState::RollbackFailed))
        .map(|remediation| remediation.name_any())
}

fn state(remediation: &Remediation) -> Option<RemediationState> {
    remediation.status.as_ref().and_then(|status| status.state)
}

fn success_rate(remediations: &[Arc<Remediation>]) -> Option<String> {
    let finished: Vec<RemediationState> = remediations
        .iter()
        .filter_map(|remediation| state(remediation))
        .filter(|state| {
            matches!(
                state,
                RemediationState::Succeeded
                    | RemediationState::Unverified
                    | RemediationState::RolledBack
                    | RemediationState::RollbackFailed
                    | RemediationState::Failed
            )
        })
        .collect();
    let succeeded = finished.iter().filter(|state| **state == RemediationState::Succeeded).count();
    (!finished.is_empty()).then(|| format!("{succeeded}/{}", finished.len()))
}
