//! What follows for a rule: what it means, and what is said about it. Pure.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use crate::api::conditions::{self, Said, reasons, types};
use crate::api::{AnomalyRule, AnomalyRuleStatus, Baseline, IncidentState, RemediationPolicy, TargetState};
use crate::detect::{self, MetricSet};
use crate::engine::TargetView;
use crate::measure::TargetKey;

pub struct Observed {
    pub baseline: Option<Arc<Baseline>>,
    pub policy: Option<Arc<RemediationPolicy>>,
    pub targets: Vec<(TargetKey, TargetView)>,
}

pub struct Decision {
    /// `None`: the rule cannot be used.
    pub rule: Option<detect::Rule>,
    pub status: AnomalyRuleStatus,
}

pub fn decide(rule: &AnomalyRule, observed: &Observed, now: Timestamp) -> Decision {
    let (resolved, ready) = match resolve(rule, observed) {
        Ok(resolved) => {
            let ready = remediation_problem(rule, observed)
                .unwrap_or_else(|| Said::yes(types::READY, reasons::ACCEPTED, "the rule is applied"));
            (Some(resolved), ready)
        }
        Err(said) => (None, said),
    };
    let mut said = vec![ready.clone()];
    if ready.status == Some(false) {
        said.push(Said::yes(types::STALLED, ready.reason, ready.message));
    }
    let name = rule.metadata.name.clone().unwrap_or_default();
    if let Some(resolved) = &resolved {
        said.push(learning(&name, resolved, observed));
    }
    let stored = rule.status.clone().unwrap_or_default();
    let targets: Vec<TargetState> = observed
        .targets
        .iter()
        .filter(|_| resolved.is_some())
        .map(|(key, view)| TargetState {
            pod: key.pod.clone(),
            state: view.incidents.get(&name).copied().unwrap_or_default(),
        })
        .collect();
    let open =
        targets.iter().filter(|target| matches!(target.state, IncidentState::Open | IncidentState::Clearing)).count();
    let status = AnomalyRuleStatus {
        observed_generation: rule.metadata.generation,
        conditions: conditions::merge(&stored.conditions, &said, rule.metadata.generation, now),
        open: Some(i32::try_from(open).unwrap_or(i32::MAX)),
        targets,
    };
    Decision { rule: resolved, status }
}

fn resolve(rule: &AnomalyRule, observed: &Observed) -> Result<detect::Rule, Said> {
    let Some(baseline) = &observed.baseline else {
        return Err(Said::no(
            types::READY,
            reasons::REFERENCE_NOT_FOUND,
            format!(
                "baselineRef.name: found {:?}, which does not exist in this namespace; allowed is the name of a Baseline",
                rule.spec.baseline_ref.name
            ),
        ));
    };
    let metrics = MetricSet::new(&baseline.spec.custom_metrics);
    detect::resolve(&rule.spec, &metrics)
        .map_err(|error| Said::no(types::READY, reasons::INVALID_FIELD, error.to_string()))
}

/// A rule whose policy is missing still detects: it says so and works.
fn remediation_problem(rule: &AnomalyRule, observed: &Observed) -> Option<Said> {
    let remediate = rule.spec.remediate.as_ref()?;
    let Some(policy) = &observed.policy else {
        return Some(Said::no(
            types::READY,
            reasons::REFERENCE_NOT_FOUND,
            format!(
                "remediate.policyRef.name: found {:?}, which does not exist in this namespace; allowed is the name of a RemediationPolicy. The rule detects, nothing is fixed",
                remediate.policy_ref.name
            ),
        ));
    };
    if policy.spec.strategies.contains_key(&remediate.strategy) {
        return None;
    }
    let known: Vec<&str> = policy.spec.strategies.keys().map(String::as_str).collect();
    Some(Said::no(
        types::READY,
        reasons::INVALID_FIELD,
        format!(
            "remediate.strategy: found {:?}, allowed are the strategies of RemediationPolicy {:?}: {}. The rule detects, nothing is fixed",
            remediate.strategy,
            remediate.policy_ref.name,
            known.join(", ")
        ),
    ))
}

fn learning(rule: &str, resolved: &detect::Rule, observed: &Observed) -> Said {
    let metrics = observed.baseline.as_ref().map(|baseline| MetricSet::new(&baseline.spec.custom_metrics));
    let detector = &resolved.detector;
    let unjudged = observed.targets.iter().find(|(_, view)| view.incidents.get(rule) == Some(&IncidentState::Learning));
    let is_ready = |metric: &str| {
        let ready = |view: &TargetView| view.learnt.iter().any(|learnt| learnt.metric == metric && learnt.ready);
        !observed.targets.is_empty() && observed.targets.iter().all(|(_, view)| ready(view))
    };
    let judged = match (detector.waits_for_profile(), detector.needs_profile()) {
        (true, true) => detector.judged(resolved.metric),
        // As it is written: of the metric that it is about, not of all that it names.
        (true, false) => vec![resolved.metric],
        (false, _) => Vec::new(),
    };
    let name =
        |metric: usize| metrics.as_ref().and_then(|metrics| metrics.get(metric)).map_or("", |known| &*known.name);
    let waiting: Vec<&str> = judged.into_iter().map(name).filter(|metric| !is_ready(metric)).collect();
    if !waiting.is_empty() {
        Said::yes(
            types::LEARNING,
            reasons::INSUFFICIENT_HISTORY,
            format!(
                "{}: not enough history of at least one database; {} needs {}",
                waiting.join(", "),
                detector.name(),
                detector.needs()
            ),
        )
    } else if let Some((key, _)) = unjudged {
        let (detector, needs) = (detector.name(), detector.needs());
        let message = format!("{}: {detector} has given no verdict yet; it needs {needs}", key.pod);
        Said::yes(types::LEARNING, reasons::INSUFFICIENT_HISTORY, message)
    } else {
        Said::no(types::LEARNING, reasons::LEARNT, "every database can be judged")
    }
}
