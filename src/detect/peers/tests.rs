//! Tests of the comparison with peers.

use serde_json::json;

use super::super::sight::{Around, Peer};
use super::super::testing::{MINUTE, noise, spec};
use super::super::{Alone, Normal};
use super::*;
use crate::learn::{Stretch, Tails};

const BOTH: Peers = Peers { below: Some(3.0), above: Some(3.0), least: 0.0, accepted: 0.1 };

fn normal(centre: f64, scale: f64) -> Normal<'static> {
    let tails = &Tails::GAUSSIAN;
    Normal { centre, scale, minimum: 0.0, maximum: f64::INFINITY, stretch: Stretch::NONE, tails, growth: 0.0 }
}

/// The own normal, and the peers' values with theirs.
struct Fleet(Option<Normal<'static>>, Vec<(f64, Option<Normal<'static>>)>);

impl Around for Fleet {
    fn normal_of(&self, _: usize) -> Option<Normal<'_>> {
        self.0
    }

    fn normal_at(&self, metric: usize, _: i64) -> Option<Normal<'_>> {
        self.normal_of(metric)
    }

    fn each_peer(&self, take: &mut dyn FnMut(Peer<'_>)) {
        self.1.iter().for_each(|(value, normal)| take(Peer { value: *value, age_ms: 0, normal: *normal }));
    }
}

/// What is said of a value after a day in which the database was like the fleet, or `usual`.
fn judged_after(usual: f64, value: f64, around: &dyn Around) -> (Option<bool>, Vec<Evidence>, Band) {
    let mut memory = PeersMemory::default();
    for minute in 0..1_500 {
        let sight = Sight::new(minute * MINUTE, 0, usual * (1.0 + 0.02 * noise(minute))).with_around(around);
        BOTH.take(&mut memory, &sight);
        assert_ne!(BOTH.exceeds(&memory, &sight), Some(true), "minute {minute}");
    }
    let (mut sight, mut found) = (Sight::new(0, 0, value).with_around(around), None);
    for minute in 1_500..1_505 {
        sight.at = minute * MINUTE;
        BOTH.take(&mut memory, &sight);
        found = BOTH.exceeds(&memory, &sight);
    }
    (found, BOTH.evidence(&memory, &sight, &MetricSet::default()), BOTH.band(&memory, &sight))
}

#[test]
fn a_peer_that_is_late_for_a_round_does_not_end_what_is_open() {
    let own = Some(normal(100.0, 2.0));
    let with_profiles = |count: usize| {
        let profiled = (0..count).map(|_| (100.0, own));
        Fleet(own, profiled.chain([(100.0, None)]).collect())
    };
    let mut memory = PeersMemory::default();
    let mut at = 0;
    let mut take = |value: f64, fleet: &Fleet| {
        at += MINUTE;
        let sight = Sight::new(at, 0, value).with_around(fleet);
        BOTH.take(&mut memory, &sight);
        BOTH.exceeds(&memory, &sight)
    };
    for minute in 0..2_000 {
        take(100.0 + 2.0 * noise(minute), &with_profiles(3));
    }
    let found = (0..10).map(|_| take(140.0, &with_profiles(3))).last();
    assert_eq!(found, Some(Some(true)));
    assert_eq!(take(140.0, &with_profiles(2)), None, "compared otherwise for a round");
    assert_eq!(take(140.0, &with_profiles(3)), Some(true));
}

/// What is said of a value of a database that was never seen before.
fn judged(value: f64, around: &dyn Around) -> Option<bool> {
    let mut memory = PeersMemory::default();
    let sight = Sight::new(0, 0, value).with_around(around);
    BOTH.take(&mut memory, &sight);
    BOTH.exceeds(&memory, &sight)
}

fn fleet() -> Fleet {
    Fleet(None, [100.0, 102.0, 99.0, 101.0, 98.0].map(|value| (value, None)).to_vec())
}

#[test]
fn fewer_than_three_peers_give_no_verdict() {
    assert_eq!(judged(1e9, &Alone), None);
    assert_eq!(judged(1e9, &Fleet(None, vec![(1.0, None), (2.0, None)])), None);
}

#[test]
fn the_odd_one_among_values_is_a_breach_and_one_of_them_is_not() {
    for (value, breach) in [(100.0, false), (110.0, false), (200.0, true), (20.0, true)] {
        assert_eq!(judged_after(100.0, value, &fleet()).0, Some(breach), "{value}");
    }
    let (_, evidence, band) = judged_after(100.0, 200.0, &fleet());
    assert!((band.centre.unwrap() - 100.0).abs() < 1e-3);
    assert!(band.upper.is_some_and(|upper| (110.0..180.0).contains(&upper)), "{band:?}");
    let found = |name: &str| evidence.iter().find(|one| one.name == name).unwrap().found.to_string();
    assert_eq!((found("peers"), found("peers' median"), found("own value")), ("5".into(), "100".into(), "200".into()));
}

#[test]
fn a_database_that_always_differs_is_none_until_it_differs_more() {
    assert_eq!(judged_after(300.0, 300.0, &fleet()).0, Some(false));
    assert_eq!(judged_after(300.0, 900.0, &fleet()).0, Some(true));
}

#[test]
fn raw_values_say_nothing_before_some_were_seen_and_then_soon_do() {
    let mut memory = PeersMemory::default();
    let around = fleet();
    let mut feed = |minutes: std::ops::Range<i64>, value: f64| {
        let mut found = None;
        for minute in minutes {
            let sight = Sight::new(minute * MINUTE, 0, value).with_around(&around);
            BOTH.take(&mut memory, &sight);
            found = BOTH.exceeds(&memory, &sight);
        }
        found
    };
    assert_eq!(feed(0..10, 100.0), None);
    assert_eq!(feed(10..40, 101.0), Some(false));
    assert_eq!(feed(40..42, 200.0), Some(true));
    assert_eq!(feed(42..44, 100.0), Some(false));
}

#[test]
fn one_lock_wait_among_idle_peers_is_no_breach_and_two_dozen_are() {
    let metrics = MetricSet::new(&[]);
    let index = metrics.index("lock_waits").unwrap();
    let rule = spec(json!({"metric": "lock_waits", "peers": {"above": 3}}));
    let (_, rule) = Peers::resolve(&rule, index, &metrics).unwrap().unwrap();
    let idle = Fleet(None, vec![(0.0, None); 9]);
    let mut memory = PeersMemory::default();
    for (minute, value, breach) in (0..50).map(|minute| (minute, 0.0, false)).chain([(50, 1.0, false), (51, 24.0, true)])
    {
        let sight = Sight::new(minute * MINUTE, index, value).with_around(&idle);
        rule.take(&mut memory, &sight);
        assert_eq!(rule.exceeds(&memory, &sight).unwrap_or(false), breach, "minute {minute}");
    }
}

/// A fleet whose values are all noise; databases `levels` times as busy.
fn false_incidents(others: usize, level: f64, with_profiles: bool) -> usize {
    let mut memory = PeersMemory::default();
    let (mut incidents, mut was) = (0, false);
    for minute in 0..2 * 7 * 24 * 60_i64 {
        let draw = |peer: i64| {
            let seed = minute * 64 + peer * 4;
            100.0 + 8.0 * (noise(seed) + noise(seed + 1) + noise(seed + 2))
        };
        let of = |centre: f64| with_profiles.then(|| normal(centre, 8.0 * centre / 100.0));
        let peers = (1..=others as i64).map(|peer| (draw(peer), of(100.0))).collect();
        let around = Fleet(of(100.0 * level), peers);
        let sight = Sight::new(minute * MINUTE, 0, level * draw(0)).with_around(&around);
        BOTH.take(&mut memory, &sight);
        let is = BOTH.exceeds(&memory, &sight) == Some(true);
        incidents += usize::from(is && !was);
        was = is;
    }
    incidents
}

#[test]
fn a_clean_fleet_has_next_to_no_incident_whatever_its_size_and_level() {
    for (others, level, with_profiles) in
        [(3, 1.0, false), (3, 3.0, false), (4, 1.0, false), (9, 3.0, false), (3, 1.0, true), (9, 3.0, true)]
    {
        let found = false_incidents(others, level, with_profiles);
        assert!(found <= 1, "{others} others, level {level}, profiles {with_profiles}: {found} in two weeks");
    }
}

#[test]
fn a_database_that_is_always_busier_is_no_odd_one_and_one_that_alone_moved_is() {
    let peers = [(10.0, 10.0), (100.0, 100.0), (1_000.0, 1_000.0)];
    let peers = peers.map(|(value, centre)| (value, Some(normal(centre, centre / 10.0)))).to_vec();
    let fleet = Fleet(Some(normal(5_000.0, 500.0)), peers.clone());
    assert_eq!(judged(5_100.0, &fleet), Some(false));
    assert_eq!(judged(9_000.0, &fleet), Some(true));
    // All moved alike: a load that is everybody's is no departure from the others.
    let moved = peers.iter().map(|(value, normal)| (value * 1.8, *normal)).collect();
    assert_eq!(judged(9_000.0, &Fleet(Some(normal(5_000.0, 500.0)), moved)), Some(false));
}

#[test]
fn without_enough_profiles_the_values_are_compared_as_they_are() {
    let mut peers = vec![(100.0, Some(normal(100.0, 1.0))); 2];
    peers.extend([(101.0, None), (99.0, None), (100.0, None)]);
    let (breach, evidence, _) = judged_after(100.0, 200.0, &Fleet(Some(normal(100.0, 1.0)), peers));
    assert_eq!(breach, Some(true));
    assert_eq!(evidence.last().map(|one| one.found.to_string()).as_deref(), Some("the values as they are"));
}

#[test]
fn six_sigma_more_than_its_peers_are_found_within_a_quarter_of_an_hour() {
    let around = |minute: i64| {
        let peers = (1..=4).map(|peer| (100.0 + 8.0 * gaussian(minute * 8 + peer), Some(normal(100.0, 8.0))));
        Fleet(Some(normal(100.0, 8.0)), peers.collect())
    };
    let mut memory = PeersMemory::default();
    let found = (0..3_000).find(|minute| {
        let (around, more) = (around(*minute), if *minute >= 2_900 { 48.0 } else { 0.0 });
        let sight = Sight::new(minute * MINUTE, 0, 100.0 + more + 8.0 * gaussian(minute * 8)).with_around(&around);
        BOTH.take(&mut memory, &sight);
        BOTH.exceeds(&memory, &sight) == Some(true)
    });
    assert!(found.is_some_and(|minute| (2_900..2_915).contains(&minute)), "{found:?}");
}

/// Nearly normal noise with variance 1, the same for the same number.
fn gaussian(number: i64) -> f64 {
    (0..3).map(|part| noise(number * 4 + part)).sum()
}

#[test]
fn a_breach_that_was_open_before_a_restart_goes_on_until_it_is_plainly_over_and_is_no_lesson() {
    for own in [None, Some(normal(100.0, 2.0))] {
        let around = Fleet(own, vec![(99.0, own), (100.0, own), (101.0, own), (100.5, own)]);
        let mut memory = PeersMemory::default();
        BOTH.resume(&mut memory);
        let mut at = 0;
        let mut feed = |minutes: i64, value: f64| {
            let mut found = Vec::new();
            for _ in 0..minutes {
                at += MINUTE;
                let sight = Sight::new(at, 0, value).with_around(&around);
                BOTH.take(&mut memory, &sight);
                found.push(BOTH.exceeds(&memory, &sight));
            }
            found
        };
        let open = feed(200, 200.0);
        assert!(open.iter().all(|found| *found == Some(true)), "it is open, and stays so: {own:?} {open:?}");
        assert_eq!(feed(1, 100.0), [Some(false)]);
        assert_eq!(feed(1, 200.0), [Some(true)], "one value near the others ends nothing");
        let back = feed(200, 100.0);
        assert!(back.iter().all(|found| *found != Some(true)), "it is over");
        assert_eq!(back.last(), Some(&Some(false)));
        assert_eq!(feed(2, 200.0).last(), Some(&Some(true)), "what it was in the breach was not learnt as usual");
    }
}
