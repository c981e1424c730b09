//! States that nobody reached by the machine's own way: none of them is a way to have a Job.

use super::tests::{World, policy};
use super::*;
use crate::api::{JobStatus, Mode};

#[test]
fn a_state_that_was_written_by_somebody_else_begins_nothing() {
    for state in
        [State::Planned, State::AwaitingApproval, State::Cleared, State::Deferred, State::Reserved, State::Running]
    {
        let mut world = World::new(state);
        world.policy = Some(policy(Mode::Suggest));
        let decision = world.decide();
        assert!(!matches!(decision, Decision::CreateJob { .. } | Decision::Reserve), "{state:?}: {decision:?}");
    }
}

#[test]
fn what_was_never_begun_is_not_taken_back() {
    let mut world = World::new(State::RollingBack);
    let Decision::Enter { state, message, .. } = world.decide() else { panic!("{:?}", world.decide()) };
    assert_eq!((state, message.as_str()), (State::Failed, "nothing was begun: no Job of it is known"));
    let name = job_name(super::tests::UID, Purpose::Apply, 1);
    world.status.jobs = vec![JobStatus { name, ..JobStatus::default() }];
    assert_eq!(world.decide(), Decision::CreateJob { purpose: Purpose::Undo, attempt: 1 });
}

#[test]
fn why_a_pod_does_not_start_is_said_once_and_taken_back() {
    let mut world = World::new(State::Running).with_job(Purpose::Apply, 1, JobPhase::Active, None);
    world.jobs[0].created_ms = world.now_ms - 1000;
    assert!(matches!(world.decide(), Decision::Wait { .. }));
    world.jobs[0].hindrance = Some("CreateContainerConfigError: secret \"fixer\" not found".into());
    let Decision::Enter { state, message, .. } = world.decide() else { panic!("{:?}", world.decide()) };
    assert_eq!(state, State::Running);
    assert!(message.contains("does not start: CreateContainerConfigError"), "{message}");
    world.status.message = Some(message);
    assert!(matches!(world.decide(), Decision::Wait { .. }));
    world.jobs[0].hindrance = None;
    let Decision::Enter { message, .. } = world.decide() else { panic!("{:?}", world.decide()) };
    assert_eq!(message, "the Job is running");
}
