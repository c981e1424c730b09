//! The machine explored: one Remediation, an operator that may crash between any two writes, executors that may be
//! killed, a database that builds on without them, an approval that may be revoked at any time.
//!
//! The operator has no memory but what is written: a crash loses its decision and nothing else.

use stateright::{Checker, Model, Property};

use super::tests::{UID, World, approval, policy, report};
use super::*;
use crate::api::{ApprovalStatus, Decision as Vote, JobStatus, Mode, RemediationState as State, Transition};
use crate::heal::budget::Reservation;
use crate::heal::report::{FixReport, Outcome};

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Index {
    Absent,
    Building,
    Invalid,
    Valid,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Job {
    purpose: Purpose,
    attempt: u32,
    phase: JobPhase,
    outcome: Option<(Outcome, bool)>,
    /// The reason of its refusal passes.
    transient: bool,
    builds: bool,
}

/// The world, and the decision that the operator is about to carry out.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Stage {
    state: State,
    message: Option<String>,
    approved_by: Option<String>,
    applied: bool,
    known_jobs: Vec<String>,
    approved: bool,
    revocations: u8,
    reserved: bool,
    jobs: Vec<Job>,
    index: Index,
    kills: u8,
    samples: Option<bool>,
    /// Index into [`TIMES`].
    time: usize,
    /// When the way back was decided, as index into [`TIMES`].
    rolled_back: usize,
    put_offs: u8,
    /// No Job can be sent to the database.
    unreachable: bool,
    /// A person takes the step out of the strategy.
    unwanted: bool,
    pending: Option<Write>,
    /// The first thing that must never happen and did.
    fault: Option<&'static str>,
}

/// Now; long after every limit of a Job and of the measurement; after the plan has expired.
const TIMES: [i64; 3] = [1_000_000, 2_000_000, 900_000 + 86_400_000];

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Write {
    Enter { state: State, message: String, approved_by: Option<String>, applied: bool, jobs: Vec<String> },
    Reserve,
    Create(Purpose, u32),
    Delete(String),
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Step {
    Decide,
    Write,
    Crash,
    Approve,
    Revoke,
    Work(usize),
    Refuse(usize),
    PutOff(usize),
    Unreachable,
    TakeOut,
    Kill(usize),
    OrphanEnds(Index),
    Measure(bool),
    TimePasses,
}

struct Exploration {
    mode: Mode,
    kills: u8,
    put_offs: u8,
}

impl Exploration {
    fn decide(&self, stage: &Stage) -> Decision {
        let mut world = World::new(stage.state);
        world.policy = Some(policy(self.mode));
        world.status.message = stage.message.clone();
        world.status.approval = stage.approved_by.as_ref().map(|by| ApprovalStatus {
            by: by.clone(),
            decided_by: (by != "policy").then(|| "alice".to_owned()),
            plan_hash: world.spec.plan_hash.clone(),
        });
        world.status.applied_at = stage.applied.then(|| timestamp(950_000));
        world.status.jobs =
            stage.known_jobs.iter().map(|name| JobStatus { name: name.clone(), ..JobStatus::default() }).collect();
        if stage.approved {
            world.approvals = vec![approval(Vote::Approve, &world)];
        }
        if stage.reserved {
            let reservation = Reservation { uid: UID.into(), policy: "shop/standard".into(), at_ms: 950_000 };
            world.ledger = Some(vec![reservation]);
        }
        world.jobs = stage
            .jobs
            .iter()
            .map(|job| JobSeen {
                name: job_name(UID, job.purpose, job.attempt),
                purpose: job.purpose,
                attempt: job.attempt,
                phase: job.phase,
                report: job
                    .outcome
                    .map(|(outcome, changed)| FixReport { transient: job.transient, ..report(outcome, changed) }),
                hindrance: None,
                created_ms: 900_000,
                finished_ms: None,
            })
            .collect();
        let value = match stage.samples {
            Some(true) => 5.0,
            Some(false) => 90.0,
            None => f32::NAN,
        };
        world.samples = vec![(960_000, value), (970_000, value), (980_000, value)];
        world.now_ms = TIMES[stage.time];
        if stage.state == State::RollingBack {
            let at = timestamp(TIMES[stage.rolled_back]);
            world.status.transitions = vec![Transition { state: State::RollingBack, at, message: "said".into() }];
        }
        if stage.unreachable {
            world.destination = Err("the database pod has no address".into());
        }
        world.unwanted = stage.unwanted.then(|| "no step asks for it".to_owned());
        world.decide()
    }

    fn write(stage: &mut Stage, write: Write) {
        let apply_active = stage.jobs.iter().any(|job| job.purpose == Purpose::Apply && job.phase == JobPhase::Active);
        match write {
            Write::Enter { state, message, approved_by, applied, jobs } => {
                let over = is_terminal(stage.state) && stage.state != State::Unverified;
                if over && state != stage.state {
                    stage.fault = Some("a state that is over was left");
                }
                if state == State::RollingBack && stage.state != State::RollingBack {
                    stage.rolled_back = stage.time;
                }
                stage.state = state;
                stage.message = Some(message);
                stage.approved_by = approved_by.or(stage.approved_by.take());
                stage.applied |= applied;
                stage.known_jobs = if jobs.is_empty() { std::mem::take(&mut stage.known_jobs) } else { jobs };
            }
            Write::Reserve => stage.reserved = true,
            Write::Delete(name) => stage.jobs.retain(|job| job_name(UID, job.purpose, job.attempt) != name),
            Write::Create(purpose, attempt) => {
                if apply_active {
                    stage.fault = Some("a Job was created beside an executor that may still begin");
                }
                if purpose == Purpose::Apply && !stage.reserved {
                    stage.fault = Some("a Job without a reservation");
                }
                let later = stage.jobs.iter().any(|job| job.purpose == purpose && job.attempt > attempt);
                if later {
                    stage.fault = Some("an attempt that is over was begun again");
                }
                if !stage.jobs.iter().any(|job| job.purpose == purpose && job.attempt == attempt) {
                    let phase = JobPhase::Active;
                    stage.jobs.push(Job { purpose, attempt, phase, outcome: None, transient: false, builds: false });
                }
            }
        }
    }

    /// One step of an executor, as the protocol has it.
    fn work(stage: &mut Stage, number: usize) {
        let orphan = stage.index == Index::Building && !stage.jobs[number].builds;
        let job = &mut stage.jobs[number];
        let mut end = |outcome, changed| {
            job.phase = JobPhase::Succeeded;
            job.outcome = Some((outcome, changed));
        };
        match (job.purpose, stage.index) {
            // The claim is held by the orphan's session.
            (Purpose::Apply, Index::Building) if orphan => {}
            (Purpose::Apply, Index::Building) => {
                stage.index = Index::Valid;
                end(Outcome::Applied, true);
            }
            (Purpose::Apply, Index::Absent) => {
                stage.index = Index::Building;
                job.builds = true;
            }
            (Purpose::Apply, Index::Invalid) => stage.index = Index::Absent,
            (Purpose::Apply, Index::Valid) => end(Outcome::Adopted, false),
            (Purpose::Undo, Index::Building) => stage.index = Index::Invalid,
            (Purpose::Undo, Index::Invalid | Index::Valid) => {
                stage.index = Index::Absent;
                end(Outcome::Undone, true);
            }
            (Purpose::Undo, Index::Absent) => end(Outcome::NothingToUndo, false),
        }
    }
}

fn as_write(decision: Decision) -> Option<Write> {
    match decision {
        Decision::Wait { .. } => None,
        Decision::Reserve => Some(Write::Reserve),
        Decision::CreateJob { purpose, attempt } => Some(Write::Create(purpose, attempt)),
        Decision::DeleteJob { name } => Some(Write::Delete(name)),
        Decision::Enter { state, message, patch } => Some(Write::Enter {
            state,
            message,
            approved_by: patch.approval.map(|approval| approval.by),
            applied: patch.applied_at.is_some(),
            jobs: patch.jobs.unwrap_or_default().into_iter().map(|job| job.name).collect(),
        }),
    }
}

impl Model for Exploration {
    type State = Stage;
    type Action = Step;

    fn init_states(&self) -> Vec<Stage> {
        vec![Stage {
            state: State::Planned,
            message: None,
            approved_by: None,
            applied: false,
            known_jobs: vec![],
            approved: false,
            revocations: 0,
            reserved: false,
            jobs: vec![],
            index: Index::Absent,
            kills: self.kills,
            samples: None,
            time: 0,
            rolled_back: 0,
            put_offs: self.put_offs,
            unreachable: false,
            unwanted: false,
            pending: None,
            fault: None,
        }]
    }

    fn actions(&self, stage: &Stage, actions: &mut Vec<Step>) {
        actions.push(if stage.pending.is_some() { Step::Write } else { Step::Decide });
        if stage.pending.is_some() {
            actions.push(Step::Crash);
        }
        if self.mode == Mode::Suggest && stage.revocations < 2 {
            actions.push(if stage.approved { Step::Revoke } else { Step::Approve });
        }
        for (number, job) in stage.jobs.iter().enumerate().filter(|(_, job)| job.phase == JobPhase::Active) {
            actions.push(Step::Work(number));
            if job.purpose == Purpose::Apply && stage.index == Index::Absent {
                actions.push(Step::Refuse(number));
                if stage.put_offs > 0 {
                    actions.push(Step::PutOff(number));
                }
            }
            if stage.kills > 0 {
                actions.push(Step::Kill(number));
            }
        }
        let orphan = !stage.jobs.iter().any(|job| job.builds && job.phase == JobPhase::Active);
        if stage.index == Index::Building && orphan {
            actions.extend([Step::OrphanEnds(Index::Valid), Step::OrphanEnds(Index::Invalid)]);
        }
        if stage.applied && stage.samples.is_none() {
            actions.extend([Step::Measure(true), Step::Measure(false)]);
        }
        if stage.time + 1 < TIMES.len() {
            actions.push(Step::TimePasses);
        }
        if self.put_offs > 0 && !stage.unreachable {
            actions.push(Step::Unreachable);
        }
        if self.put_offs > 0 && !stage.unwanted {
            actions.push(Step::TakeOut);
        }
    }

    fn next_state(&self, last: &Stage, step: Step) -> Option<Stage> {
        let mut stage = last.clone();
        match step {
            Step::Decide => {
                let decision = self.decide(&stage);
                let permitted = self.mode == Mode::Auto || stage.approved;
                if matches!(decision, Decision::CreateJob { purpose: Purpose::Apply, .. }) {
                    let begins = stage.state == State::Reserved;
                    if !permitted {
                        stage.fault = Some("a Job without an approval");
                    } else if begins && stage.time == 2 {
                        stage.fault = Some("a Job for a plan that has expired");
                    } else if begins && stage.unwanted {
                        stage.fault = Some("a Job that nobody asks for any more");
                    } else if stage.unreachable {
                        stage.fault = Some("a Job that cannot be sent");
                    }
                }
                stage.pending = as_write(decision);
            }
            Step::Write => {
                let write = stage.pending.take()?;
                Self::write(&mut stage, write);
            }
            Step::Crash => stage.pending = None,
            Step::Approve => stage.approved = true,
            Step::Revoke => {
                stage.approved = false;
                stage.revocations += 1;
            }
            Step::Work(number) => Self::work(&mut stage, number),
            Step::Refuse(number) => {
                stage.jobs[number].phase = JobPhase::Failed;
                stage.jobs[number].outcome = Some((Outcome::Refused, false));
            }
            Step::PutOff(number) => {
                stage.put_offs -= 1;
                stage.jobs[number].phase = JobPhase::Failed;
                stage.jobs[number].outcome = Some((Outcome::Refused, false));
                stage.jobs[number].transient = true;
            }
            Step::Unreachable => stage.unreachable = true,
            Step::TakeOut => stage.unwanted = true,
            Step::Kill(number) => {
                stage.kills -= 1;
                stage.jobs[number].phase = JobPhase::Failed;
            }
            Step::OrphanEnds(index) => stage.index = index,
            Step::Measure(good) => stage.samples = Some(good),
            Step::TimePasses => stage.time += 1,
        }
        (stage != *last).then_some(stage)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nothing forbidden happens", |_, stage: &Stage| stage.fault.is_none()),
            Property::always("what is over agrees with the database", |_, stage: &Stage| {
                let quiet = stage.jobs.iter().all(|job| job.phase != JobPhase::Active);
                match stage.state {
                    State::Succeeded | State::Unverified | State::Verifying => stage.index == Index::Valid,
                    State::RolledBack | State::Failed | State::Refused | State::Expired | State::Superseded => {
                        quiet && stage.index == Index::Absent
                    }
                    _ => true,
                }
            }),
            Property::always("nothing is stuck", |model: &Self, stage: &Stage| {
                let moving = stage.jobs.iter().any(|job| job.phase == JobPhase::Active)
                    || stage.pending.is_some()
                    || matches!(stage.state, State::AwaitingApproval | State::Deferred)
                    || stage.time + 1 < TIMES.len()
                    || (stage.unreachable && stage.rolled_back == stage.time);
                is_terminal(stage.state) || moving || !matches!(model.decide(stage), Decision::Wait { .. })
            }),
            Property::sometimes("it can succeed", |_, stage: &Stage| stage.state == State::Succeeded),
            Property::sometimes("it can be taken back", |_, stage: &Stage| stage.state == State::RolledBack),
            Property::sometimes("it can stay unverified", |_, stage: &Stage| stage.state == State::Unverified),
            Property::sometimes("it can expire", |_, stage: &Stage| stage.state == State::Expired),
            Property::sometimes("it can fail without a change", |_, stage: &Stage| stage.state == State::Failed),
        ]
    }
}

#[test]
fn every_order_of_crashes_kills_and_revocations_is_safe() {
    for (mode, kills, put_offs) in
        [(Mode::Auto, 2, 0), (Mode::Suggest, 2, 0), (Mode::Auto, 1, 1), (Mode::Suggest, 0, 1)]
    {
        let checker = Exploration { mode, kills, put_offs }.checker().spawn_bfs().join();
        checker.assert_properties();
        assert!(checker.unique_state_count() > 500, "{}", checker.unique_state_count());
    }
}
