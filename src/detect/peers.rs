//! `detect.peers`: a database that departs from the others of its Baseline in the same role.
//!
//! Where the database and three others at least have learnt what is normal for each, distances from that are compared: a
//! database that is always busier is no odd one, and one that alone is busier than usual is. Else the values are compared as
//! they are.
//!
//! Databases differ all the time. So how far this one usually lies from its peers is learnt ([`Vigil`]), and a breach has
//! to be both: farther among them than the rule says, and an incident in this database's own life among them. It is
//! learnt live, for a history is of one database alone: until some 1,000 samples are known, a breach has to lie a sigma
//! farther than the rule says, and, where values are compared, than this database did before.

use super::exception::WhileExpected;
use super::sigma::{sides_in_sigma, width};
use super::vigil::{Begins, NEW_LIFE_MS, Vigil, accepted_a_week};
use super::{Band, Detect, Evidence, FieldError, MetricDescriptor, MetricSet, Sight};
use crate::api::AnomalyRuleSpec;
use crate::stats::{Among, FEWEST_OTHERS, Known, among};

/// Distance in sigma when the rule names none.
const USUAL_SIGMAS: f64 = 3.0;
/// What is known of the spread of distances from normal: a sigma, which is what each does by chance, as sure as if eight
/// values had been seen. Profiles of young databases are off by more, and so it is not believed without end.
const OF_PROFILES: Known = Known::About(1.0, 8.0);
/// Least spread of raw values that is believed, as a share of their median: what nobody would call a departure.
const LEAST_SHARE: f64 = 0.05;
/// Values below which raw values give no verdict.
const FEWEST_VALUES: u32 = 30;
/// Sigma that an early breach has to lie farther off: one sample in 30,000 instead of 700.
const EARLY_MARGIN: f64 = 1.0;
/// Share of the rule's distance within which an open breach is over: at the distance itself noise would end it.
const HELD_SHARE: f64 = 0.5;
/// Samples on end within it that end a breach which was open before the process started anew.
const HELD_CALM: u32 = 3;

/// Departs from its peers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peers {
    /// Breach when more than this many sigma below; sensitivity included.
    pub below: Option<f64>,
    /// Breach when more than this many sigma above; sensitivity included.
    pub above: Option<f64>,
    /// Least spread of raw values, in the metric's unit.
    least: f64,
    /// False incidents a week that are put up with.
    accepted: f64,
}

/// The last comparison of one target, what is usual for it, and room for the next: some 6 KB.
#[derive(Clone, Debug, Default)]
pub struct PeersMemory {
    found: Option<Comparison>,
    /// Whether what is usual is known by distances from normal, or by values.
    known_by: Option<bool>,
    /// Rounds on end that were compared otherwise than that.
    otherwise: u32,
    below: SideMemory,
    above: SideMemory,
    values: Vec<f32>,
    distances: Vec<f32>,
}

/// What is remembered of one side.
#[derive(Clone, Debug, Default)]
struct SideMemory {
    vigil: Vigil,
    /// Values seen before much is known, and the greatest distance among them.
    early: u32,
    greatest: f64,
    /// Begin of a breach before much is known.
    early_since: Option<i64>,
    breached: Option<bool>,
    /// Samples on end that would end a breach which was open before the process started anew; 0 when there was none.
    held: u32,
}

/// How one database compares with the others.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Comparison {
    /// Among distances from normal, or among values.
    among: Among,
    /// Centre and scale of the database's own normal, when distances from it were compared.
    own: Option<(f64, f64)>,
    /// Median of the others' values.
    median: f64,
    count: usize,
}

impl SideMemory {
    /// Takes the distance to this side, in sigma; `limit`: that of the rule; `by_profile`: of distances from normal.
    fn take(&mut self, at: i64, distance: f64, limit: f64, by_profile: bool, accepted: f64) {
        if self.held > 0 {
            let since = *self.early_since.get_or_insert(at);
            let departs = distance > HELD_SHARE * limit && at.saturating_sub(since) < NEW_LIFE_MS;
            self.held = if departs { HELD_CALM } else { self.held - 1 };
            self.breached = Some(departs);
            return;
        }
        let early = self.vigil.is_open().is_none();
        let usual = if by_profile { limit } else { self.greatest.max(limit - EARLY_MARGIN) };
        let known = by_profile || self.early >= FEWEST_VALUES;
        let departs = known && distance > limit && distance > usual + EARLY_MARGIN;
        if early && departs {
            let since = *self.early_since.get_or_insert(at);
            self.breached = Some(true);
            // What departs is no lesson, unless it goes on until it is how life is.
            if at.saturating_sub(since) < NEW_LIFE_MS {
                return;
            }
        } else if early {
            self.early_since = None;
            self.early = self.early.saturating_add(1);
            self.greatest = self.greatest.max(distance);
            self.breached = known.then_some(false);
        }
        let begins = if distance > limit { Begins::Supported } else { Begins::Never };
        self.vigil.take(at, distance, accepted, begins);
        if let Some(open) = self.vigil.is_open() {
            self.breached = Some(open && distance > HELD_SHARE * limit);
        }
    }
}

impl Comparison {
    /// What would be that many scales from the others' median, in the metric's unit.
    fn value_at(&self, distance: f64) -> f64 {
        let place = self.among.value_at(distance);
        self.own.map_or(place, |(centre, scale)| centre + place * scale)
    }
}

impl Detect for Peers {
    type Memory = PeersMemory;

    const NAME: &'static str = "peers";
    const NEEDS_PROFILE: bool = false;
    const NEEDS: &'static str = "at least 3 other databases of the Baseline in the same role, and, without profiles, 30 values";
    const BAND_IS_OF_VALUES: bool = true;
    const WHILE_EXPECTED: WhileExpected = WhileExpected::ComparesWithPeers;

    fn resolve(
        spec: &AnomalyRuleSpec,
        metric: usize,
        metrics: &MetricSet,
    ) -> Option<Result<(usize, Self), FieldError>> {
        let written = spec.detect.peers.as_ref()?;
        let resolved = || {
            let sides = (written.below.as_ref(), written.above.as_ref());
            let (below, above) = sides_in_sigma("detect.peers", sides, spec.sensitivity)?;
            let usual = (below.is_none() && above.is_none()).then_some(USUAL_SIGMAS * width(spec.sensitivity));
            Ok((metric, Self {
                below: below.or(usual),
                above: above.or(usual),
                least: metrics.get(metric).map_or(0.0, step),
                accepted: accepted_a_week(spec.sensitivity),
            }))
        };
        Some(resolved())
    }

    fn take(&self, memory: &mut PeersMemory, sight: &Sight<'_>) {
        let PeersMemory { found, known_by, otherwise, below, above, values, distances } = memory;
        values.clear();
        distances.clear();
        sight.each_peer(|peer| {
            values.push(peer.value as f32);
            distances.extend(peer.normal.map(|normal| normal.sigmas(peer.value) as f32));
        });
        *found = self.compare(values, distances, sight);
        let Some(compared) = found else { return };
        let by_profile = compared.own.is_some();
        if known_by.is_some_and(|known| known != by_profile) {
            *otherwise += 1;
            if *otherwise < FEWEST_VALUES {
                // One that is late for a round changes nothing for good.
                *found = None;
                return;
            }
            // What was usual was measured otherwise.
            for side in [&mut *below, &mut *above] {
                *side = SideMemory { held: side.held, early_since: side.early_since, ..SideMemory::default() };
            }
        }
        (*known_by, *otherwise) = (Some(by_profile), 0);
        let found = compared;
        let distance = found.among.distance;
        let sides = f64::from(u8::from(self.below.is_some()) + u8::from(self.above.is_some()));
        for (side, limit, distance) in [(below, self.below, -distance), (above, self.above, distance)] {
            if let Some(limit) = limit {
                side.take(sight.at, distance, limit, by_profile, self.accepted / sides);
            }
        }
    }

    /// What was usual is not known any more: the breach goes on until the distance is plainly over, and is no lesson.
    fn resume(&self, memory: &mut PeersMemory) {
        for side in [&mut memory.below, &mut memory.above] {
            side.held = HELD_CALM;
        }
    }

    fn exceeds(&self, memory: &PeersMemory, _: &Sight<'_>) -> Option<bool> {
        memory.found?;
        let sides = [(self.below, &memory.below), (self.above, &memory.above)];
        let watched = sides.into_iter().filter(|(limit, _)| limit.is_some()).map(|(_, side)| side.breached);
        // One side that is breached is enough; clear is what is known of each.
        let known = watched.clone().all(|breached| breached.is_some());
        watched.flatten().any(|breached| breached).then_some(true).or(known.then_some(false))
    }

    /// One less the probability that this database's normal life lies as far from its peers, to the side that the rule
    /// watches, or to either where it watches both; in an incident, that of the rarest in it. Until that is known: that
    /// one more of its peers would lie so far off.
    fn confidence(&self, memory: &PeersMemory, _: &Sight<'_>) -> f64 {
        let Some(found) = memory.found else { return 0.0 };
        let sides = [(self.below, &memory.below), (self.above, &memory.above)];
        let watched = sides.iter().filter(|(limit, _)| limit.is_some());
        let least = watched.clone().map(|(_, side)| side.vigil.probability()).try_fold(1.0_f64, |least, one| {
            one.map(|one| least.min(one))
        });
        let probability = least.map_or(found.among.probability, |least| least * watched.count() as f64);
        (1.0 - probability).max(0.0)
    }

    fn sigmas(&self, memory: &PeersMemory, _: &Sight<'_>) -> Option<f64> {
        memory.found.map(|found| found.among.distance)
    }

    fn band(&self, memory: &PeersMemory, _: &Sight<'_>) -> Band {
        let Some(found) = memory.found else { return Band::default() };
        Band {
            centre: Some(found.value_at(0.0)),
            lower: self.below.map(|below| found.value_at(-below)),
            upper: self.above.map(|above| found.value_at(above)),
        }
    }

    fn evidence(&self, memory: &PeersMemory, sight: &Sight<'_>, metrics: &MetricSet) -> Vec<Evidence> {
        let Some(found) = memory.found else { return Vec::new() };
        let unit = metrics.get(sight.metric).map_or_else(String::new, |metric| metric.unit.clone());
        let how = if found.own.is_some() { "what is normal for each" } else { "the values as they are" };
        vec![
            Evidence::number("peers' median", found.median, unit.clone()),
            Evidence::number("own value", sight.value, unit),
            Evidence::number("peers", found.count as f64, ""),
            Evidence::number("distance from them", found.among.distance, "sigma"),
            Evidence::text("compared by", how),
        ]
    }
}

impl Peers {
    fn compare(&self, values: &mut [f32], distances: &mut [f32], sight: &Sight<'_>) -> Option<Comparison> {
        let median = crate::stats::median(values)?;
        let normal = sight.normal_of(sight.metric).filter(|_| distances.len() >= FEWEST_OTHERS);
        if let Some(normal) = normal {
            let count = distances.len();
            let among = among(distances, normal.sigmas(sight.value), OF_PROFILES)?;
            return Some(Comparison { among, own: Some((normal.centre, normal.scale)), median, count });
        }
        let count = values.len();
        let least = (LEAST_SHARE * median.abs()).max(self.least).max(f64::from(f32::EPSILON));
        let among = among(values, sight.value, Known::Least(least))?;
        Some(Comparison { among, own: None, median, count })
    }
}

/// What nobody would call a departure in that unit, whatever the level: one of what is counted, a per cent, and what a
/// server does by itself. 0 where the unit says nothing.
fn step(metric: &MetricDescriptor) -> f64 {
    match metric.unit.as_str() {
        "" => 0.0,
        "B" | "B/s" => 1_048_576.0,
        // ms, s, %, /s, and counted nouns.
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests;
