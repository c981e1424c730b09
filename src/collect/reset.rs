//! Whether two observations speak of the same server with the same counters. Where they do not, nothing is subtracted.

use crate::measure::{DatabaseCounters, Identity, Observation, Role};

/// Why `current` must not be compared with `previous`; `None` when it may.
///
/// `stats_reset` alone does not tell: after the crash of a backend it is NULL and the server's start time is unchanged,
/// while every counter fell (observed with PostgreSQL 15.20).
pub fn between(previous: &Observation, current: &Observation) -> Option<String> {
    of_server(&previous.identity, &current.identity).or_else(|| {
        let (previous, current) = (previous.database.as_ref()?, current.database.as_ref()?);
        of_counters(previous, current)
    })
}

/// Whether another server, or another life of it, answers.
pub fn of_server(previous: &Identity, current: &Identity) -> Option<String> {
    if previous.system_identifier != current.system_identifier {
        Some("another server answers: its system identifier differs".into())
    } else if previous.role != current.role {
        Some(match current.role {
            Role::Primary => "the replica was promoted".into(),
            Role::Replica => "the primary became a replica".into(),
        })
    } else if previous.timeline != current.timeline {
        Some(format!("the timeline changed from {} to {}", previous.timeline, current.timeline))
    } else if previous.started_at != current.started_at {
        Some("the server was restarted".into())
    } else {
        None
    }
}

fn of_counters(previous: &DatabaseCounters, current: &DatabaseCounters) -> Option<String> {
    if previous.stats_reset != current.stats_reset {
        return Some("the database's statistics were reset".into());
    }
    let all = |counters: &DatabaseCounters| {
        [
            counters.xact_commit,
            counters.xact_rollback,
            counters.blks_read,
            counters.blks_hit,
            counters.tup_returned,
            counters.tup_fetched,
            counters.temp_bytes,
            counters.deadlocks,
        ]
    };
    let fell = all(previous).into_iter().zip(all(current)).any(|(earlier, later)| later < earlier);
    fell.then(|| "the database's statistics were lost, as after a crash".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation() -> Observation {
        let database = DatabaseCounters { xact_commit: 10, blks_hit: 10, stats_reset: Some(5), ..Default::default() };
        let identity = Identity { system_identifier: "7".into(), timeline: 1, started_at: 1, ..Default::default() };
        Observation { identity, database: Some(database), ..Default::default() }
    }

    fn reason(change: impl FnOnce(&mut Observation, &mut DatabaseCounters)) -> Option<String> {
        let mut current = observation();
        let mut database = current.database.unwrap_or_default();
        change(&mut current, &mut database);
        current.database = Some(database);
        between(&observation(), &current)
    }

    #[test]
    fn growing_counters_of_the_same_server_may_be_compared() {
        assert_eq!(reason(|_, database| database.xact_commit += 5), None);
        assert_eq!(reason(|_, _| ()), None);
    }

    #[test]
    fn a_change_of_server_role_timeline_or_life_is_a_reset() {
        assert!(reason(|seen, _| seen.identity.system_identifier = "8".into()).is_some());
        assert!(reason(|seen, _| seen.identity.role = Role::Replica).is_some());
        assert!(reason(|seen, _| seen.identity.timeline = 2).is_some());
        assert!(reason(|seen, _| seen.identity.started_at = 2).is_some());
    }

    #[test]
    fn a_counter_that_fell_is_a_reset_even_when_the_server_does_not_say_so() {
        assert!(reason(|_, database| database.blks_hit = 1).is_some());
        assert!(reason(|_, database| database.stats_reset = Some(6)).is_some());
        assert!(reason(|_, database| database.stats_reset = None).is_some());
    }

    #[test]
    fn counters_that_could_not_be_read_are_no_reset() {
        let blind = Observation { database: None, ..observation() };
        assert_eq!(between(&observation(), &blind), None);
        assert_eq!(between(&blind, &observation()), None);
    }
}
