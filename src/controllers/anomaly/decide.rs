//! What follows for an Anomaly: look, plan a change, tell somebody, or say why nothing happens. Pure.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::ObjectMeta;

use super::observe::Observed;
use super::repeated;
use crate::actions::{self, PlanRequest};
use crate::api::conditions::{self, Said, reasons, types};
use crate::api::{
    ActionName, Anomaly, AnomalySpec, AnomalyState, AnomalyStatus, Band, IncidentState, LookedAt, Mode,
    ObjectReference, Plan, PlanTarget, Remediation, RemediationSpec, RemediationState, RootCause, RootCauseKind, Walk,
};
use crate::controllers::incidents;
use crate::detect::Detector;
use crate::diagnose::facts::{MISSING_INDEX, SAFE};
use crate::diagnose::{Diagnosis, Facts, NOT_VISIBLE};
use crate::engine::Connection;
use crate::heal::machine;
use crate::heal::plan;
use crate::heal::policy::{self, Policy, Strategy};
use crate::heal::walk::{self, Next, Walked};
use crate::measure::Role;

/// A cause that is not known, or a change that is not safe now, is looked at again this soon.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(15);

/// Facts older than this are looked at again before a change is planned from them.
const FRESH_MS: i64 = 5 * 60 * 1000;
/// A write of ours is in the cache after this time.
const JUST_LOOKED: Duration = Duration::from_secs(3);

/// A writer that lives has written the first status of an object after this time.
const WRITER_SECONDS: u64 = 3;

/// What to do.
pub enum Decision {
    /// The looking steps.
    Look,
    /// The looking steps again, because a plan needs facts of now: what they show is stored, whatever it is.
    LookAnew,
    /// A change: one Remediation.
    Plan { remediation: Box<Remediation>, status: AnomalyStatus },
    /// Tell people.
    Notify { note: String, status: AnomalyStatus },
    /// Nothing but words; `tell` are those that people have to be told beside.
    Say { status: AnomalyStatus, look_again: bool, tell: Option<String> },
    /// What was just looked at is not in the cache yet.
    Wait,
}

/// The status of an incident that can no longer be followed; `None` while it can.
pub fn ended(anomaly: &Anomaly, observed: &Observed, now: Timestamp) -> Option<AnomalyStatus> {
    let why = if observed.rule.is_none() {
        "its AnomalyRule was deleted"
    } else if observed.rule.as_ref().is_some_and(|rule| rule.spec.baseline_ref != anomaly.spec.baseline_ref) {
        "its AnomalyRule watches another Baseline now"
    } else if observed.baseline.is_none() {
        "its Baseline was deleted"
    } else if !observed.pod_present {
        "its database pod is gone"
    } else if observed.followed {
        "a later incident of the same rule and database has begun"
    } else {
        return None;
    };
    Some(AnomalyStatus {
        state: Some(AnomalyState::Resolved),
        resolved_at: Some(format!("{now:.3}")),
        ..incident(anomaly, &format!("no longer followed: {why}"), now)
    })
}

/// How long an object without status is left to its writer; `None` when that time is over.
pub fn wait_for_writer(anomaly: &Anomaly, now: Timestamp) -> Option<Duration> {
    let created = anomaly.metadata.creation_timestamp.as_ref()?.0;
    let age = u64::try_from(now.as_second() - created.as_second()).unwrap_or(0);
    (age < WRITER_SECONDS).then(|| Duration::from_secs(1))
}

/// Whether the walk of an incident has begun and its last word is missing.
pub fn is_unfinished(anomaly: &Anomaly) -> bool {
    anomaly.status.as_ref().and_then(|status| status.walk.as_ref()).is_some_and(|walk| !walk.finished)
}

/// The last word on an incident that is over, which may come before the end of its change; `None` until that.
pub fn concluded(anomaly: &Anomaly, observed: &Observed) -> Option<AnomalyStatus> {
    let state =
        |remediation: &Remediation| remediation.status.as_ref().and_then(|status| status.state).unwrap_or_default();
    if observed.remediations.iter().any(|one| !machine::is_terminal(state(one))) {
        return None;
    }
    let helped = observed.remediations.iter().find(|one| state(one) == RemediationState::Succeeded);
    let message = match helped {
        Some(one) => format!("step {} brought the metric back", one.spec.step + 1),
        None => "the incident is over".to_owned(),
    };
    let root_cause = anomaly.status.as_ref().and_then(|status| status.root_cause.clone());
    Some(AnomalyStatus { root_cause, ..words(anomaly, observed, message, true) })
}

/// The first status of an incident whose writer ended before it could write one.
pub fn opened(anomaly: &Anomaly, now: Timestamp) -> AnomalyStatus {
    AnomalyStatus {
        state: Some(incidents::open_state(Detector::predicts_by_name(&anomaly.spec.detector))),
        deviation: Some(
            anomaly
                .spec
                .observed
                .sigmas
                .map_or_else(|| format!("{:.4}", anomaly.spec.observed.value), incidents::sigmas),
        ),
        ..incident(anomaly, "the incident is followed", now)
    }
}

fn incident(anomaly: &Anomaly, message: &str, now: Timestamp) -> AnomalyStatus {
    let stored = anomaly.status.clone().unwrap_or_default();
    let said = [Said::yes(types::READY, reasons::ACCEPTED, message)];
    AnomalyStatus {
        observed_generation: anomaly.metadata.generation,
        conditions: conditions::merge(&stored.conditions, &said, anomaly.metadata.generation, now),
        deviation: stored.deviation,
        evidence: stored.evidence,
        ..AnomalyStatus::default()
    }
}

pub fn decide(anomaly: &Anomaly, observed: &Observed) -> Decision {
    let stored = anomaly.status.clone().unwrap_or_default();
    let Some(cause) = &stored.root_cause else { return Decision::Look };
    let looked_lately = observed.looked_ago.is_some_and(|ago| ago < LOOK_AGAIN_AFTER);
    let untouched = observed.remediations.is_empty();
    let facts = Facts::from_evidence(&cause.facts);
    // A right that was missing may have been granted since.
    let half_blind =
        cause.missing_index.is_none() && cause.evidence.iter().any(|evidence| evidence.name == NOT_VISIBLE);
    let may_change =
        cause.kind == RootCauseKind::Unknown || half_blind || (facts.is_true(MISSING_INDEX) && !facts.is_true(SAFE));
    let look_again = untouched && may_change;
    if look_again && !looked_lately {
        return Decision::Look;
    }
    let say = |message: String, finished| Decision::Say {
        status: said(anomaly, observed, cause, message, finished),
        look_again,
        tell: None,
    };

    let Some(remediate) = observed.rule.as_ref().and_then(|rule| rule.spec.remediate.as_ref()) else {
        return say("the rule names no policy: nothing is done about it".into(), true);
    };
    let Some(stored_policy) = &observed.policy else {
        return say(
            format!("RemediationPolicy {:?} does not exist: nothing is done about it", remediate.policy_ref.name),
            false,
        );
    };
    let policy = match policy::resolve(&stored_policy.spec) {
        Ok(policy) => policy,
        Err(error) => {
            return say(format!("RemediationPolicy {:?} cannot be used: {error}", remediate.policy_ref.name), false);
        }
    };
    let Some(strategy) = policy.strategies.get(&remediate.strategy) else {
        return say(
            format!("RemediationPolicy {:?} has no strategy {:?}", remediate.policy_ref.name, remediate.strategy),
            false,
        );
    };
    let existing: Vec<Walked> = observed
        .remediations
        .iter()
        .map(|remediation| Walked {
            step: usize::try_from(remediation.spec.step).unwrap_or(0),
            state: remediation.status.as_ref().and_then(|status| status.state).unwrap_or_default(),
        })
        .collect();
    let notified: Vec<usize> =
        stored.walk.iter().flat_map(|walk| &walk.notified).filter_map(|step| usize::try_from(*step).ok()).collect();
    let uid = anomaly.uid().unwrap_or_default();
    let barred = repeated::barred(&uid, strategy, cause, &observed.on_database, observed.now);
    let metric_back = metric_back(anomaly, observed);
    match walk::next(strategy, Some(&facts), &existing, &notified, &barred, metric_back) {
        Next::Look => Decision::Look,
        Next::Wait(why) => say(why, false),
        Next::Finished(why) => Decision::Say {
            tell: barred
                .first()
                .filter(|_| !metric_back)
                .map(|barred| format!("{} A person has to look: {}.", cause.summary, barred.reason)),
            status: said(anomaly, observed, cause, why, true),
            look_again,
        },
        // What is not found or not safe at the first look may be at the next: nobody is woken for that.
        Next::Notify { .. } if look_again && observed.since_onset < observed.patience => {
            say("nothing can be done yet; the database is looked at again".into(), false)
        }
        Next::Notify { step } => {
            let mut status =
                said(anomaly, observed, cause, "no automatic fix is available: people were told".into(), false);
            if let Some(walk) = &mut status.walk {
                walk.notified.push(i32::try_from(step).unwrap_or(i32::MAX));
            }
            let why: String = barred.iter().map(|barred| format!(" {}.", barred.reason)).collect();
            Decision::Notify {
                note: format!("{} No automatic fix is available: a person has to look.{why}", cause.summary),
                status,
            }
        }
        Next::Change { .. } if Detector::predicts_by_name(&anomaly.spec.detector) => {
            say("it is predicted and not there yet: nothing is changed for it".into(), false)
        }
        // An index is planned from facts of now, and of this server.
        Next::Change { .. } if is_stale(cause, observed) => {
            if observed.looked_ago.is_some_and(|ago| ago < JUST_LOOKED) { Decision::Wait } else { Decision::LookAnew }
        }
        Next::Change { step, action } => change(anomaly, observed, cause, &policy, strategy, (step, action), &say),
    }
}

fn change(
    anomaly: &Anomaly,
    observed: &Observed,
    cause: &RootCause,
    policy: &Policy,
    strategy: &Strategy,
    (step, action): (usize, ActionName),
    say: &dyn Fn(String, bool) -> Decision,
) -> Decision {
    let plan = match plan(anomaly, observed, cause, policy, strategy, (step, action)) {
        Ok(plan) => plan,
        // What is missing (a connection, a primary) comes without any change of this object: it has to ask again.
        Err(why) => {
            return match say(format!("step {} cannot be planned: {why}", step + 1), false) {
                Decision::Say { status, tell, .. } => Decision::Say { status, look_again: true, tell },
                other => other,
            };
        }
    };
    if policy.mode == Mode::Observe {
        return say(format!("mode is observe: would run {}", plan.statement), true);
    }
    let (Some(stored_policy), Some(remediate)) =
        (&observed.policy, observed.rule.as_ref().and_then(|rule| rule.spec.remediate.as_ref()))
    else {
        return say("the policy is gone".into(), false);
    };
    let name = format!("{}-{}", anomaly.name_any(), step + 1);
    let plan_hash = plan::hash(&plan);
    let remediation = Remediation {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: anomaly.namespace(),
            labels: Some([("app.kubernetes.io/managed-by".to_owned(), "dbmedic".to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec: RemediationSpec {
            anomaly_ref: ObjectReference { name: anomaly.name_any(), uid: anomaly.uid().unwrap_or_default() },
            policy_ref: ObjectReference {
                name: stored_policy.name_any(),
                uid: stored_policy.uid().unwrap_or_default(),
            },
            strategy: remediate.strategy.clone(),
            step: i32::try_from(step).unwrap_or(i32::MAX),
            action,
            plan,
            plan_hash,
        },
        status: None,
    };
    let mut status = said(anomaly, observed, cause, format!("Remediation {name} was planned"), false);
    if !status.remediations.contains(&name) {
        status.remediations.push(name);
    }
    Decision::Plan { remediation: Box::new(remediation), status }
}

fn plan(
    anomaly: &Anomaly,
    observed: &Observed,
    cause: &RootCause,
    policy: &Policy,
    strategy: &Strategy,
    (step, action): (usize, ActionName),
) -> Result<Plan, String> {
    let build = actions::action(action).plan.ok_or("the action changes nothing")?;
    let step = strategy.steps.get(step).ok_or("the step does not exist")?;
    let Some(Connection::Connected(identity)) = observed.target.as_ref().map(|target| &target.connection) else {
        return Err("the database does not answer".into());
    };
    if identity.role == Role::Replica {
        return Err("the database is a replica: changes are made on the primary only".into());
    }
    let target = PlanTarget {
        baseline: anomaly.spec.baseline_ref.name.clone(),
        pod: anomaly.spec.pod.clone(),
        database: observed
            .baseline
            .as_ref()
            .map(|baseline| baseline.spec.connection.database.clone())
            .unwrap_or_default(),
        system_identifier: identity.system_identifier.clone(),
        timeline: identity.timeline,
    };
    let Band { lower, upper, .. } = band_to_measure_by(&anomaly.spec);
    build(&PlanRequest {
        target: &target,
        timeout: step.timeout,
        prescribed: step.prescribed.as_ref(),
        cause,
        metric: &anomaly.spec.metric,
        before: observed.median_since_onset.unwrap_or(anomaly.spec.observed.value),
        lower,
        upper,
        rollback_timeout: policy.rollback_timeout,
    })
    .map_err(|error| error.to_string())
}

/// The band that a change has to bring the metric back into; without bounds where the detector's is none of single values:
/// it would have a change undone for what it has nothing to do with, and its statements alone can show what it did.
fn band_to_measure_by(spec: &AnomalySpec) -> Band {
    if Detector::measures_by_name(&spec.detector) { spec.observed.band.clone() } else { Band::default() }
}

/// The engine is ahead of the object by one write: a change that has just helped must not be followed by another.
fn metric_back(anomaly: &Anomaly, observed: &Observed) -> bool {
    match observed.incident {
        Some(IncidentState::Open | IncidentState::NoData) => false,
        Some(_) => true,
        None => !matches!(
            anomaly.status.as_ref().and_then(|status| status.state),
            Some(AnomalyState::Open | AnomalyState::Predicted)
        ),
    }
}

/// Whether the facts are too old, or were seen on another server or in another database than there is now.
fn is_stale(cause: &RootCause, observed: &Observed) -> bool {
    let Some(looked) = &cause.looked else { return true };
    let Ok(at) = looked.at.parse::<jiff::Timestamp>() else { return true };
    let age_ms = observed.now.as_millisecond() - at.as_millisecond();
    age_ms > FRESH_MS || observed.here(&looked.at).is_some_and(|here| &here != looked)
}

/// Most time for a look, by the strategy that the rule names.
pub fn look_limit(observed: &Observed) -> Duration {
    let remediate = observed.rule.as_ref().and_then(|rule| rule.spec.remediate.as_ref());
    let policy = observed.policy.as_ref().and_then(|policy| policy::resolve(&policy.spec).ok());
    remediate
        .zip(policy)
        .and_then(|(remediate, policy)| policy.strategies.get(&remediate.strategy).map(Strategy::look_limit))
        .unwrap_or(policy::LOOK_LIMIT)
}

/// Whether a further look found more than other figures of the same cause, which are not worth a write each time.
pub fn is_news(anomaly: &Anomaly, diagnosis: &Diagnosis) -> bool {
    let stored = anomaly.status.as_ref().and_then(|status| status.root_cause.as_ref());
    stored.is_none_or(|stored| {
        let found = &diagnosis.root_cause;
        let same_index = match (&stored.missing_index, &found.missing_index) {
            (Some(stored), Some(found)) => stored.is_same_index(found) && stored.query_id == found.query_id,
            (stored, found) => stored.is_none() && found.is_none(),
        };
        stored.kind != found.kind || !same_index || stored.facts != found.facts
    })
}

/// The diagnosis as it is stored.
pub fn diagnosed(anomaly: &Anomaly, observed: &Observed, mut diagnosis: Diagnosis) -> AnomalyStatus {
    let looked: Option<LookedAt> = observed.here(&format!("{:.3}", observed.now));
    diagnosis.root_cause.looked = looked;
    let walk =
        anomaly.status.as_ref().and_then(|status| status.walk.clone()).map_or_else(String::new, |walk| walk.message);
    said(anomaly, observed, &diagnosis.root_cause, walk, false)
}

/// Why nothing could be found out yet.
pub fn waiting(anomaly: &Anomaly, observed: &Observed, why: &str) -> AnomalyStatus {
    let stored = anomaly.status.clone().unwrap_or_default();
    AnomalyStatus { root_cause: stored.root_cause.clone(), ..words(anomaly, observed, why.to_owned(), false) }
}

fn said(anomaly: &Anomaly, observed: &Observed, cause: &RootCause, message: String, finished: bool) -> AnomalyStatus {
    AnomalyStatus { root_cause: Some(cause.clone()), ..words(anomaly, observed, message, finished) }
}

fn words(anomaly: &Anomaly, observed: &Observed, message: String, finished: bool) -> AnomalyStatus {
    let notified = anomaly.status.as_ref().and_then(|status| status.walk.as_ref()).map(|walk| walk.notified.clone());
    AnomalyStatus {
        walk: Some(Walk {
            message: message.chars().filter(|character| !character.is_control()).take(1000).collect(),
            finished,
            notified: notified.unwrap_or_default(),
        }),
        remediations: observed.remediations.iter().map(|remediation| remediation.name_any()).collect(),
        ..AnomalyStatus::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_measured_by_bands_of_single_values_only() {
        let measured: Vec<&str> = Detector::NAMES
            .iter()
            .copied()
            .filter(|name| {
                let mut spec = AnomalySpec { detector: (*name).to_owned(), ..AnomalySpec::default() };
                spec.observed.band.upper = Some(10.0);
                band_to_measure_by(&spec).upper.is_some()
            })
            .collect();
        assert_eq!(measured, ["sigma", "limit", "peers"]);
    }
}
