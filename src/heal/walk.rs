//! The walk over a strategy's steps. Its position follows from the Remediations that exist; nothing else remembers it.

use crate::actions;
use crate::api::{ActionName, RemediationState};
use crate::diagnose::Facts;

use super::machine;
use super::policy::{Step, Strategy};

/// A Remediation of this incident.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Walked {
    /// Index of its step.
    pub step: usize,
    /// Its state.
    pub state: RemediationState,
}

/// A step that would repeat a change which was taken back lately.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Barred {
    /// Index of the step.
    pub step: usize,
    /// Why, for people.
    pub reason: String,
}

/// What comes next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Next {
    /// The looking steps have to be done: there are no facts yet.
    Look,
    /// This step becomes a Remediation.
    Change {
        /// Index of the step.
        step: usize,
        /// Its action.
        action: ActionName,
    },
    /// People have to be told.
    Notify {
        /// Index of the step.
        step: usize,
    },
    /// Nothing now, and why.
    Wait(String),
    /// Nothing more, and why.
    Finished(String),
}

/// The next step.
///
/// `notified` are the indices of the notify steps that were done; `metric_back` says that the incident is over or
/// clearing. A step is tried once: refused, expired, superseded and failed ones are stepped over, and so are `barred`
/// ones. A notify step sees `no_fix_available` also when no changing step is left.
pub fn next(
    strategy: &Strategy,
    facts: Option<&Facts>,
    existing: &[Walked],
    notified: &[usize],
    barred: &[Barred],
    metric_back: bool,
) -> Next {
    if let Some(open) = existing.iter().find(|walked| !machine::is_terminal(walked.state)) {
        return Next::Wait(format!("step {} is {:?}", open.step + 1, open.state));
    }
    if existing.iter().any(|walked| walked.state == RemediationState::RollbackFailed) {
        return Next::Finished("the way back of a change failed: a person has to look".into());
    }
    if metric_back {
        return match existing.iter().find(|walked| walked.state == RemediationState::Succeeded) {
            Some(walked) => Next::Finished(format!("step {} brought the metric back", walked.step + 1)),
            None => Next::Wait("the metric is back inside its band".into()),
        };
    }
    if let Some(open) = existing.iter().find(|walked| walked.state == RemediationState::Unverified) {
        return Next::Wait(format!(
            "step {} was made, and there is too little data to tell whether it helped",
            open.step + 1
        ));
    }
    let Some(facts) = facts else {
        return if needs_facts(strategy) {
            Next::Look
        } else {
            walk(strategy, &Facts::default(), existing, notified, barred)
        };
    };
    walk(strategy, facts, existing, notified, barred)
}

fn walk(strategy: &Strategy, facts: &Facts, existing: &[Walked], notified: &[usize], barred: &[Barred]) -> Next {
    let changing = |step: &Step| actions::action(step.action).changing;
    let tried = |index: usize| {
        existing.iter().any(|walked| walked.step == index) || barred.iter().any(|barred| barred.step == index)
    };
    let left =
        strategy.steps.iter().enumerate().any(|(index, step)| changing(step) && !tried(index) && holds(step, facts));
    let mut told = facts.clone();
    if !left {
        told.0.insert("no_fix_available".into(), true);
    }
    for (index, step) in strategy.steps.iter().enumerate() {
        if changing(step) {
            if !tried(index) && holds(step, facts) {
                return Next::Change { step: index, action: step.action };
            }
        } else if step.action == ActionName::Notify && !notified.contains(&index) && holds(step, &told) {
            return Next::Notify { step: index };
        }
    }
    let mut message = match existing.len() + barred.len() {
        0 => "no step of the strategy applies".to_owned(),
        _ => "no step of the strategy is left".to_owned(),
    };
    for barred in barred {
        message.push_str(&format!("; step {}: {}", barred.step + 1, barred.reason));
    }
    Next::Finished(message)
}

/// A condition that cannot be evaluated does not hold: fail closed.
fn holds(step: &Step, facts: &Facts) -> bool {
    step.when.as_ref().is_none_or(|when| when.holds(facts).unwrap_or(false))
}

fn needs_facts(strategy: &Strategy) -> bool {
    strategy.steps.iter().any(|step| {
        step.when.is_some()
            || matches!(step.action, ActionName::AnalyzeQuery | ActionName::CheckIndexes)
            || (step.action == ActionName::AddIndex && step.prescribed.is_none())
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::heal::condition;

    fn strategy() -> Strategy {
        let step = |action, when: &str| Step {
            action,
            when: (!when.is_empty()).then(|| condition::compile(when).unwrap()),
            timeout: Duration::from_secs(30),
            prescribed: None,
        };
        Strategy {
            steps: vec![
                step(ActionName::AnalyzeQuery, ""),
                step(ActionName::CheckIndexes, ""),
                step(ActionName::AddIndex, "facts.missing_index && facts.safe"),
                step(ActionName::AddIndex, "facts.safe"),
                step(ActionName::Notify, "facts.no_fix_available"),
            ],
            ..Strategy::default()
        }
    }

    fn facts() -> Facts {
        Facts::from([("missing_index", true), ("safe", true)])
    }

    fn walked(step: usize, state: RemediationState) -> Walked {
        Walked { step, state }
    }

    const CHANGE: fn(usize) -> Next = |step| Next::Change { step, action: ActionName::AddIndex };

    #[test]
    fn it_looks_first_and_takes_the_first_step_whose_condition_holds() {
        assert_eq!(next(&strategy(), None, &[], &[], &[], false), Next::Look);
        assert_eq!(next(&strategy(), Some(&facts()), &[], &[], &[], false), CHANGE(2));
        assert_eq!(next(&strategy(), Some(&Facts::from([("safe", true)])), &[], &[], &[], false), CHANGE(3));
    }

    #[test]
    fn a_change_that_did_not_help_is_stepped_over() {
        for state in [
            RemediationState::RolledBack,
            RemediationState::Failed,
            RemediationState::Refused,
            RemediationState::Expired,
            RemediationState::Superseded,
            RemediationState::Succeeded,
        ] {
            assert_eq!(next(&strategy(), Some(&facts()), &[walked(2, state)], &[], &[], false), CHANGE(3), "{state:?}");
        }
    }

    #[test]
    fn nothing_is_begun_while_a_change_is_under_way_or_unmeasured() {
        for state in [RemediationState::Planned, RemediationState::Verifying, RemediationState::Unverified] {
            assert!(matches!(next(&strategy(), Some(&facts()), &[walked(2, state)], &[], &[], false), Next::Wait(_)));
        }
    }

    #[test]
    fn people_are_told_once_when_nothing_is_left() {
        let tried = [walked(2, RemediationState::RolledBack), walked(3, RemediationState::Failed)];
        assert_eq!(next(&strategy(), Some(&facts()), &tried, &[], &[], false), Next::Notify { step: 4 });
        assert!(matches!(next(&strategy(), Some(&facts()), &tried, &[4], &[], false), Next::Finished(_)));
        assert_eq!(next(&strategy(), Some(&Facts::default()), &[], &[], &[], false), Next::Notify { step: 4 });
    }

    #[test]
    fn a_change_that_was_taken_back_lately_is_not_made_again_and_people_are_told() {
        let barred = |step| Barred { step, reason: "Remediation x made the same change".into() };
        assert_eq!(next(&strategy(), Some(&facts()), &[], &[], &[barred(2)], false), CHANGE(3));
        let both = [barred(2), barred(3)];
        assert_eq!(next(&strategy(), Some(&facts()), &[], &[], &both, false), Next::Notify { step: 4 });
        let Next::Finished(message) = next(&strategy(), Some(&facts()), &[], &[4], &both, false) else { panic!() };
        assert!(message.contains("step 3: Remediation x made the same change"), "{message}");
    }

    #[test]
    fn it_ends_when_the_metric_is_back_or_the_way_back_failed() {
        let done = [walked(2, RemediationState::Succeeded)];
        assert!(matches!(next(&strategy(), Some(&facts()), &done, &[], &[], true), Next::Finished(_)));
        assert!(matches!(next(&strategy(), Some(&facts()), &[], &[], &[], true), Next::Wait(_)));
        let lost = [walked(2, RemediationState::RollbackFailed)];
        assert!(matches!(next(&strategy(), Some(&facts()), &lost, &[], &[], false), Next::Finished(_)));
    }
}
