//! Everything that a decision on a Remediation depends on, read live where it guards an effect.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};

use super::job::{ATTEMPT_LABEL, Destination, PURPOSE_LABEL};
use super::wanted;
use crate::api::{
    Anomaly, AnomalyRule, AnomalyState, Remediation, RemediationApproval, RemediationPolicy, RemediationState as State,
};
use crate::controllers::stores::REMEDIATION_LABEL;
use crate::controllers::{Context, Error, call, remediation_policy, safeguards};
use crate::engine::Connection;
use crate::heal::FixReport;
use crate::heal::approval::ApprovalSeen;
use crate::heal::machine::{self, AnomalySeen, JobPhase, JobSeen, Purpose, Situation};
use crate::heal::policy::{self, Policy};
use crate::heal::verify;
use crate::measure::{StatementFigures, TargetKey};

/// Time after which a Job without a pod is one that gets none.
const POD_EXPECTED_MS: i64 = 10_000;
/// Reasons of a container that is about to start.
const UNDER_WAY: [&str; 2] = ["ContainerCreating", "PodInitializing"];

pub struct Observed {
    pub now_ms: i64,
    namespace: String,
    name: String,
    uid: String,
    created_ms: i64,
    status: crate::api::RemediationStatus,
    policy: Option<Policy>,
    unusable: Option<String>,
    blocked: Option<String>,
    requested_by: Option<String>,
    approvals: Vec<ApprovalSeen>,
    gate: Result<(), String>,
    pub ledger: Option<safeguards::Ledger>,
    other_in_flight: Option<String>,
    ahead: Option<String>,
    unwanted: Option<String>,
    anomaly: AnomalySeen,
    exempt: bool,
    target_present: bool,
    deleted: bool,
    pub destination: Result<Destination, String>,
    jobs: Vec<JobSeen>,
    samples: Vec<(i64, f32)>,
    statements: Option<StatementFigures>,
}

impl Observed {
    /// Attempts before this one that may have begun the change; one that the executor put off has not.
    pub fn predecessors(&self, purpose: Purpose, attempt: u32) -> u32 {
        let put_off = self.jobs.iter().filter(|job| job.purpose == purpose && job.was_put_off()).count();
        attempt.saturating_sub(1).saturating_sub(u32::try_from(put_off).unwrap_or(u32::MAX))
    }

    /// What the machine is asked.
    pub fn situation<'a>(&'a self, remediation: &'a Remediation, operator_user: &'a str) -> Situation<'a> {
        Situation {
            now_ms: self.now_ms,
            namespace: &self.namespace,
            name: &self.name,
            uid: &self.uid,
            created_ms: self.created_ms,
            spec: &remediation.spec,
            status: &self.status,
            policy: self.policy.as_ref(),
            unusable: self.unusable.clone(),
            blocked: self.blocked.clone(),
            requested_by: self.requested_by.clone(),
            operator_user,
            approvals: &self.approvals,
            gate: self.gate.clone(),
            ledger: self.ledger.as_ref().map(|ledger| ledger.reservations.as_slice()),
            other_in_flight: self.other_in_flight.clone(),
            ahead: self.ahead.clone(),
            unwanted: self.unwanted.clone(),
            destination: self.destination.as_ref().map(drop).map_err(Clone::clone),
            deleted: self.deleted,
            anomaly: self.anomaly,
            exempt: self.exempt,
            target_present: self.target_present,
            jobs: &self.jobs,
            samples: &self.samples,
            statements: self.statements,
        }
    }

    /// Name of the Secret with the credentials of the fix.
    pub fn executor_secret(&self) -> Option<&str> {
        self.policy.as_ref().and_then(|policy| policy.executor_secret.as_deref())
    }
}

pub async fn observe(remediation: &Remediation, context: &Context) -> Result<Observed, Error> {
    let namespace = remediation.namespace().unwrap_or_default();
    let status = remediation.status.clone().unwrap_or_default();
    let state = status.state.unwrap_or_default();
    let stored_policy = policy_of(remediation, &namespace, context).await?;
    let resolved = stored_policy.as_ref().map(|stored| policy::resolve(&stored.spec));
    let policy = resolved.as_ref().and_then(|resolved| resolved.as_ref().ok());
    let guarded = guarded(remediation, &namespace, state, policy, context).await?;
    let key = TargetKey {
        namespace: namespace.clone(),
        baseline: remediation.spec.plan.target.baseline.clone(),
        pod: remediation.spec.plan.target.pod.clone(),
    };
    let incident = incident(remediation, &namespace, context).await?;
    let unwanted = match (state, policy, &incident) {
        (State::Running | State::Verifying | State::RollingBack | State::Unverified, ..) => None,
        (_, Some(policy), Some(incident)) => unwanted(remediation, policy, incident, context).await?,
        _ => None,
    };
    let (samples, statements) = measured(remediation, &status, &key, context).await;
    Ok(Observed {
        now_ms: jiff::Timestamp::now().as_millisecond(),
        name: remediation.name_any(),
        uid: remediation.uid().unwrap_or_default(),
        created_ms: remediation.creation_timestamp().map_or(0, |time| time.0.as_millisecond()),
        status,
        requested_by: stored_policy.as_ref().and_then(|policy| policy.spec.approvals.requested_by.clone()),
        unusable: resolved.as_ref().and_then(|resolved| resolved.as_ref().err().map(ToString::to_string)),
        policy: resolved.and_then(Result::ok),
        blocked: guarded.blocked,
        approvals: guarded.approvals,
        gate: guarded.gate,
        ledger: guarded.ledger,
        other_in_flight: guarded.other_in_flight,
        ahead: guarded.ahead,
        unwanted,
        exempt: incident.as_ref().is_some_and(|incident| {
            let view = context.engine.target(&key);
            view.is_some_and(|view| view.exempt.contains(&incident.spec.rule_ref.name))
        }),
        anomaly: anomaly(incident),
        deleted: remediation.metadata.deletion_timestamp.is_some(),
        target_present: context.stores.pods.get(&ObjectRef::new(&key.pod).within(&namespace)).is_some(),
        destination: destination(&key, context),
        jobs: jobs(remediation, &namespace, context).await?,
        samples,
        statements,
        namespace,
    })
}

/// The policy, if it is still the one that the plan was made under.
async fn policy_of(
    remediation: &Remediation,
    namespace: &str,
    context: &Context,
) -> Result<Option<RemediationPolicy>, Error> {
    let api: Api<RemediationPolicy> = Api::namespaced(context.client.clone(), namespace);
    let reference = &remediation.spec.policy_ref;
    let found = call("read the RemediationPolicy", api.get_opt(&reference.name)).await?;
    Ok(found.filter(|policy| policy.uid().as_deref() == Some(reference.uid.as_str())))
}

/// What guards the beginning of a change; it is not asked once the change has begun, except for a further attempt.
struct Guarded {
    approvals: Vec<ApprovalSeen>,
    gate: Result<(), String>,
    ledger: Option<safeguards::Ledger>,
    other_in_flight: Option<String>,
    ahead: Option<String>,
    blocked: Option<String>,
}

async fn guarded(
    remediation: &Remediation,
    namespace: &str,
    state: State,
    policy: Option<&Policy>,
    context: &Context,
) -> Result<Guarded, Error> {
    if matches!(state, State::Verifying | State::RollingBack | State::Unverified) {
        let gate = Err("not asked while a change is measured or taken back".to_owned());
        // A change that is watched on may be taken back long after it: not beside another one.
        let other_in_flight = if state == State::Unverified {
            let others = others(remediation, namespace, context).await?;
            others.iter().find(|other| in_flight(other, remediation, None)).map(|other| other.name_any())
        } else {
            None
        };
        return Ok(Guarded { approvals: Vec::new(), gate, ledger: None, other_in_flight, ahead: None, blocked: None });
    }
    let approvals: Api<RemediationApproval> = Api::namespaced(context.client.clone(), namespace);
    let approvals = call("list the RemediationApprovals", approvals.list(&ListParams::default()))
        .await?
        .items
        .into_iter()
        .filter(|approval| approval.spec.remediation == remediation.name_any())
        .map(|approval| ApprovalSeen {
            name: approval.name_any(),
            created_ms: approval.creation_timestamp().map_or(0, |time| time.0.as_millisecond()),
            spec: approval.spec,
        })
        .collect();
    let others = others(remediation, namespace, context).await?;
    let ledger = safeguards::ledger(&context.client, &context.settings.namespace).await?;
    let other_in_flight = others.iter().find(|other| in_flight(other, remediation, ledger.as_ref()));
    Ok(Guarded {
        approvals,
        gate: safeguards::gate(&context.client).await?,
        other_in_flight: other_in_flight.map(|other| other.name_any()),
        ahead: ahead(remediation, &others, policy, ledger.as_ref(), context),
        blocked: blocked(remediation, &others),
        ledger,
    })
}

/// The other Remediations of the namespace.
async fn others(
    remediation: &Remediation,
    namespace: &str,
    context: &Context,
) -> Result<Vec<std::sync::Arc<Remediation>>, Error> {
    let remediations: Api<Remediation> = Api::namespaced(context.client.clone(), namespace);
    let all = call("list the Remediations", remediations.list(&ListParams::default())).await?.items;
    Ok(all.into_iter().filter(|other| other.uid() != remediation.uid()).map(std::sync::Arc::new).collect())
}

/// Another change of the same database that waits for its turn, or has just got it, and has the higher priority. Whoever
/// holds a place in the budget goes on: the other one waits for it.
fn ahead(
    remediation: &Remediation,
    others: &[std::sync::Arc<Remediation>],
    policy: Option<&Policy>,
    ledger: Option<&safeguards::Ledger>,
    context: &Context,
) -> Option<String> {
    if reserved_at(remediation, ledger).is_some() {
        return None;
    }
    let own = policy?.strategies.get(&remediation.spec.strategy)?.priority;
    let goes_first = |other: &&std::sync::Arc<Remediation>| {
        let waits = other.status.as_ref().is_some_and(|status| {
            machine::waits_for_database(status) || matches!(status.state, Some(State::Cleared | State::Reserved))
        });
        let reference = ObjectRef::new(&other.spec.policy_ref.name).within(&other.namespace().unwrap_or_default());
        let priority = context
            .stores
            .policies
            .get(&reference)
            .and_then(|policy| policy.spec.strategies.get(&other.spec.strategy).map(|strategy| strategy.priority));
        other.spec.plan.target.pod == remediation.spec.plan.target.pod && waits && priority.is_some_and(|its| its > own)
    };
    others.iter().find(goes_first).map(|other| other.name_any())
}

/// Whether another change of the same database goes first. Of two that are reserved the older reservation does: else
/// each would wait for the other.
fn in_flight(other: &Remediation, this: &Remediation, ledger: Option<&safeguards::Ledger>) -> bool {
    if other.spec.plan.target.pod != this.spec.plan.target.pod {
        return false;
    }
    match other.status.as_ref().and_then(|status| status.state) {
        Some(State::Running | State::Verifying | State::RollingBack) => true,
        Some(State::Cleared | State::Reserved) => match (reserved_at(other, ledger), reserved_at(this, ledger)) {
            (Some(others), Some(own)) => (others, other.uid()) < (own, this.uid()),
            (Some(_), None) => true,
            (None, _) => false,
        },
        _ => false,
    }
}

fn reserved_at(remediation: &Remediation, ledger: Option<&safeguards::Ledger>) -> Option<i64> {
    let uid = remediation.uid()?;
    ledger?.reservations.iter().find(|reservation| reservation.uid == uid).map(|reservation| reservation.at_ms)
}

fn blocked(remediation: &Remediation, others: &[std::sync::Arc<Remediation>]) -> Option<String> {
    let of_policy: Vec<_> =
        others.iter().filter(|other| other.spec.policy_ref.uid == remediation.spec.policy_ref.uid).cloned().collect();
    remediation_policy::rollback_failed(&of_policy).map(|failed| {
        format!("Remediation {failed} of this policy could not be undone; a person has to look at it and delete it")
    })
}

/// The incident, if it is still the one that the plan was made for.
async fn incident(remediation: &Remediation, namespace: &str, context: &Context) -> Result<Option<Anomaly>, Error> {
    let api: Api<Anomaly> = Api::namespaced(context.client.clone(), namespace);
    let reference = &remediation.spec.anomaly_ref;
    let found = call("read the Anomaly", api.get_opt(&reference.name)).await?;
    Ok(found.filter(|anomaly| anomaly.uid().as_deref() == Some(reference.uid.as_str())))
}

/// Why rule, policy and strategy do not ask for the change any more; read live, for a person may have just taken it out.
async fn unwanted(
    remediation: &Remediation,
    policy: &Policy,
    incident: &Anomaly,
    context: &Context,
) -> Result<Option<String>, Error> {
    let api: Api<AnomalyRule> = Api::namespaced(context.client.clone(), &remediation.namespace().unwrap_or_default());
    let reference = &incident.spec.rule_ref;
    let rule = call("read the AnomalyRule", api.get_opt(&reference.name)).await?;
    let rule = rule.filter(|rule| rule.uid().as_deref() == Some(reference.uid.as_str()));
    Ok(wanted::objection(&remediation.spec, policy, incident, rule.as_ref()))
}

fn anomaly(incident: Option<Anomaly>) -> AnomalySeen {
    match incident {
        None => AnomalySeen::Gone,
        Some(anomaly) => match anomaly.status.and_then(|status| status.state) {
            None | Some(AnomalyState::Open | AnomalyState::Predicted) => AnomalySeen::Open,
            Some(AnomalyState::Clearing) => AnomalySeen::Clearing,
            Some(AnomalyState::Resolved) => AnomalySeen::Resolved,
        },
    }
}

/// Where a Job finds the database, else why it would not.
fn destination(key: &TargetKey, context: &Context) -> Result<Destination, String> {
    let pod = context.stores.pods.get(&ObjectRef::new(&key.pod).within(&key.namespace));
    let pod = pod.ok_or("the database pod is gone")?;
    let baseline = context.stores.baselines.get(&ObjectRef::new(&key.baseline).within(&key.namespace));
    let baseline = baseline.ok_or("the Baseline is gone")?;
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).filter(|address| !address.is_empty());
    Ok(Destination {
        host: address.ok_or("the database pod has no address")?,
        port: baseline.spec.pods.port,
        tls: baseline.spec.connection.tls,
    })
}

async fn jobs(remediation: &Remediation, namespace: &str, context: &Context) -> Result<Vec<JobSeen>, Error> {
    let uid = remediation.uid().unwrap_or_default();
    let selector = ListParams::default().labels(&format!("{REMEDIATION_LABEL}={uid}"));
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), namespace);
    let jobs = call("list the Jobs", jobs.list(&selector)).await?.items;
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let pods = call("list the Jobs' pods", pods.list(&selector)).await?.items;
    Ok(jobs
        .iter()
        .filter(|job| job.owner_references().iter().any(|owner| owner.uid == uid))
        .filter_map(|job| seen(job, &pods))
        .collect())
}

fn seen(job: &Job, pods: &[Pod]) -> Option<JobSeen> {
    let status = job.status.clone().unwrap_or_default();
    let ended = |type_: &str| {
        status.conditions.iter().flatten().find(|condition| condition.type_ == type_ && condition.status == "True")
    };
    let (phase, finished) = match (ended("Complete"), ended("Failed")) {
        (Some(condition), _) => (JobPhase::Succeeded, condition.last_transition_time.clone()),
        (None, Some(condition)) => (JobPhase::Failed, condition.last_transition_time.clone()),
        (None, None) => (JobPhase::Active, None),
    };
    let name = job.name_any();
    let own: Vec<&Pod> =
        pods.iter().filter(|pod| pod.owner_references().iter().any(|owner| owner.name == name)).collect();
    let report = own
        .iter()
        .flat_map(|pod| pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten()))
        .filter_map(|container| container.state.as_ref()?.terminated.as_ref()?.message.as_deref())
        .find_map(|message| serde_json::from_str::<FixReport>(message).ok());
    Some(JobSeen {
        purpose: match job.labels().get(PURPOSE_LABEL)?.as_str() {
            "undo" => Purpose::Undo,
            _ => Purpose::Apply,
        },
        attempt: job.labels().get(ATTEMPT_LABEL)?.parse().ok()?,
        created_ms: job.creation_timestamp().map_or(0, |time| time.0.as_millisecond()),
        finished_ms: finished.map(|time| time.0.as_millisecond()),
        hindrance: (phase == JobPhase::Active).then(|| hindrance(job, &own)).flatten(),
        name,
        phase,
        report,
    })
}

/// Why no pod of a Job runs: what the kubelet says of a container that waits, what the scheduler says, or that there
/// is no pod after a while.
fn hindrance(job: &Job, pods: &[&Pod]) -> Option<String> {
    let Some(pod) = pods.iter().max_by_key(|pod| pod.creation_timestamp()) else {
        let age = jiff::Timestamp::now().as_millisecond() - job.creation_timestamp()?.0.as_millisecond();
        let name = job.name_any();
        return (age > POD_EXPECTED_MS).then(|| {
            format!("there is none; kubectl describe job {name} says why (is there a service account dbmedic-fix?)")
        });
    };
    let status = pod.status.as_ref()?;
    let waiting = status.container_statuses.iter().flatten().find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref().filter(|reason| !UNDER_WAY.contains(reason))?;
        Some((reason.to_owned(), waiting.message.clone().unwrap_or_default()))
    });
    let unscheduled = || {
        let condition =
            status.conditions.iter().flatten().find(|one| one.type_ == "PodScheduled" && one.status == "False")?;
        Some((condition.reason.clone()?, condition.message.clone().unwrap_or_default()))
    };
    waiting.or_else(unscheduled).map(|(reason, message)| format!("{reason}: {message}"))
}

/// The metric and the targeted statements since the change.
async fn measured(
    remediation: &Remediation,
    status: &crate::api::RemediationStatus,
    key: &TargetKey,
    context: &Context,
) -> (Vec<(i64, f32)>, Option<StatementFigures>) {
    let applied = status.applied_at.as_deref().and_then(|at| at.parse::<jiff::Timestamp>().ok());
    let Some(applied) = applied.map(jiff::Timestamp::as_millisecond) else { return (Vec::new(), None) };
    let verification = &remediation.spec.plan.verification;
    let samples = context.engine.samples(key, &verification.metric, applied).await;
    let Some(target) = context.engine.target(key) else { return (samples, None) };
    if !matches!(target.connection, Connection::Connected(_)) || verification.query_ids.is_empty() {
        return (samples, None);
    }
    let query_ids: Vec<i64> = verification.query_ids.iter().filter_map(|id| id.parse().ok()).collect();
    let from_ms = verify::statements_from_ms(verification, applied);
    (samples, target.collector.statements_since(from_ms, &query_ids).await)
}
