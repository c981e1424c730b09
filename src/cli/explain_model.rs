//! What `explain` knows: one incident, its cause, the changes made for it. Cleaned text only.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;

use super::text::{clean, hides};
use crate::api::{
    ActionName, Anomaly, AnomalyState, Evidence, IndexCandidate, Observed, Remediation, RemediationState, RiskLevel,
    RootCause, RootCauseKind, Severity, StatementEvidence, Transition, VerificationStatus,
};

/// An incident, or a change whose incident may be gone.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Explanation {
    /// The object that was asked for, as `kind.group/name`.
    pub object: String,
    pub namespace: String,
    pub anomaly: Option<Incident>,
    pub remediations: Vec<Fix>,
    pub next: String,
    #[serde(skip)]
    pub now: Timestamp,
}

/// What happened.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Incident {
    pub name: String,
    pub state: AnomalyState,
    pub severity: Severity,
    pub metric: String,
    pub unit: String,
    pub pod: String,
    pub baseline: String,
    pub rule: String,
    pub detector: String,
    pub onset: String,
    pub resolved_at: Option<String>,
    pub observed: Observed,
    pub deviation: Option<String>,
    pub evidence: Vec<Evidence>,
    pub cause: Option<RootCause>,
    pub walk: Option<String>,
}

/// What was, or will be, done.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fix {
    pub name: String,
    pub state: RemediationState,
    pub message: Option<String>,
    pub action: ActionName,
    pub strategy: String,
    pub step: i32,
    pub risk: RiskLevel,
    pub reasons: Vec<String>,
    pub statement: String,
    pub undo: String,
    /// The SQL holds characters that are not shown.
    pub hidden_characters: bool,
    pub plan_hash: String,
    pub decided_by: Option<String>,
    pub metric: String,
    pub verification: Option<VerificationStatus>,
    pub transitions: Vec<Transition>,
}

impl Explanation {
    /// Builds the model from the objects; `object` is the one that was asked for.
    pub(super) fn new(
        object: String,
        namespace: String,
        anomaly: Option<&Anomaly>,
        remediations: &[Remediation],
        now: Timestamp,
    ) -> Self {
        let anomaly = anomaly.map(incident);
        let remediations: Vec<Fix> = remediations.iter().map(fix).collect();
        let next = next_step(anomaly.as_ref(), &remediations, &namespace);
        Self { object, namespace, anomaly, remediations, next, now }
    }
}

fn incident(object: &Anomaly) -> Incident {
    let spec = &object.spec;
    let status = object.status.clone().unwrap_or_default();
    Incident {
        name: object.name_any(),
        state: status.state.unwrap_or_default(),
        severity: spec.severity,
        metric: clean(&spec.metric),
        unit: clean(&spec.unit),
        pod: clean(&spec.pod),
        baseline: clean(&spec.baseline_ref.name),
        rule: clean(&spec.rule_ref.name),
        detector: clean(&spec.detector),
        onset: clean(&spec.onset),
        resolved_at: status.resolved_at.as_deref().map(clean),
        observed: Observed { at: clean(&spec.observed.at), ..spec.observed.clone() },
        deviation: status.deviation.as_deref().map(clean),
        evidence: evidence(&status.evidence),
        cause: status.root_cause.as_ref().map(cause),
        walk: status.walk.map(|walk| clean(&walk.message)).filter(|message| !message.is_empty()),
    }
}

fn evidence(list: &[Evidence]) -> Vec<Evidence> {
    list.iter().map(|item| Evidence { name: clean(&item.name), value: clean(&item.value) }).collect()
}

fn cause(found: &RootCause) -> RootCause {
    let statement = |found: &StatementEvidence| {
        let mut statement =
            StatementEvidence { query_id: clean(&found.query_id), text: clean(&found.text), ..found.clone() };
        if let Some(node) = &mut statement.node {
            node.node_type = clean(&node.node_type);
            node.relation = clean(&node.relation);
            node.filter = node.filter.as_deref().map(clean);
        }
        statement
    };
    let index = |found: &IndexCandidate| IndexCandidate {
        schema: clean(&found.schema),
        table: clean(&found.table),
        columns: found.columns.iter().map(|column| clean(column)).collect(),
        ..found.clone()
    };
    RootCause {
        kind: found.kind,
        summary: clean(&found.summary),
        statements: found.statements.iter().map(statement).collect(),
        missing_index: found.missing_index.as_ref().map(index),
        facts: evidence(&found.facts),
        evidence: evidence(&found.evidence),
        looked: None,
    }
}

fn fix(object: &Remediation) -> Fix {
    let (spec, plan) = (&object.spec, &object.spec.plan);
    let status = object.status.clone().unwrap_or_default();
    let transition =
        |seen: &Transition| Transition { state: seen.state, at: clean(&seen.at), message: clean(&seen.message) };
    Fix {
        name: object.name_any(),
        state: status.state.unwrap_or_default(),
        message: status.message.as_deref().map(clean),
        action: spec.action,
        strategy: clean(&spec.strategy),
        step: spec.step,
        risk: plan.risk.level,
        reasons: plan.risk.reasons.iter().map(|reason| clean(reason)).collect(),
        statement: clean(&plan.statement),
        undo: clean(&plan.undo),
        hidden_characters: hides(&plan.statement) || hides(&plan.undo),
        plan_hash: clean(&spec.plan_hash),
        decided_by: status.approval.map(|approval| clean(&approval.decided_by.unwrap_or(approval.by))),
        metric: clean(&plan.verification.metric),
        verification: status.verification.map(|found| VerificationStatus { verdict: clean(&found.verdict), ..found }),
        transitions: status.transitions.iter().map(transition).collect(),
    }
}

fn next_step(anomaly: Option<&Incident>, fixes: &[Fix], namespace: &str) -> String {
    use RemediationState as State;
    if let Some(fix) = fixes.iter().find(|fix| fix.state == State::AwaitingApproval) {
        let name = &fix.name;
        return format!(
            "decide: kubectl dbmedic approve {name} -n {namespace}, or kubectl dbmedic refuse {name} -n {namespace}"
        );
    }
    if let Some(fix) = fixes.iter().find(|fix| fix.state == State::RollbackFailed) {
        return format!("clear it by hand: {} could not be undone, and its policy acts no more until then", fix.name);
    }
    let over = [State::Succeeded, State::Unverified, State::RolledBack, State::Failed];
    let ended = [State::Refused, State::Expired, State::Superseded];
    if let Some(fix) = fixes.iter().find(|fix| !over.contains(&fix.state) && !ended.contains(&fix.state)) {
        return format!("wait: {} is {:?}", fix.name, fix.state);
    }
    match anomaly {
        None => "nothing: the incident is gone".to_owned(),
        Some(incident) if incident.state == AnomalyState::Resolved => "nothing: it is over".to_owned(),
        Some(incident) => match &incident.cause {
            None => "wait: the cause is not yet known".to_owned(),
            Some(cause) if cause.kind == RootCauseKind::Unknown => {
                "look yourself: no cause was found that dbmedic knows how to mend".to_owned()
            }
            Some(_) => match fixes.iter().rev().find(|fix| fix.state == State::Succeeded) {
                Some(fix) => format!("wait until it is clear: {} succeeded", fix.name),
                None => incident.walk.clone().unwrap_or_else(|| "wait: a plan is being made".to_owned()),
            },
        },
    }
}
