//! `detect.peers`: a database that departs from the others of its Baseline in the same role.
//!
//! Where the database and three others at least have learnt what is normal for each, distances from that are compared: a
//! database that is always busier is no odd one, and one that alone is busier than usual is. Else the values are compared as
//! they are.

use super::units::plain_number;
use super::{Band, Detect, Evidence, FieldError, MetricSet, Sight};
use crate::api::{AnomalyRuleSpec, Decimal, Sensitivity};
use crate::stats::{Among, FEWEST_OTHERS, among};

/// Distance in sigma when the rule names none.
const USUAL_SIGMAS: f64 = 3.0;
/// Factor on the sigmas of a rule of low sensitivity: as in `sigma`.
const LOW_SENSITIVITY: f64 = 1.5;
/// Factor on the sigmas of a rule of high sensitivity.
const HIGH_SENSITIVITY: f64 = 0.75;
/// Least spread of distances from normal that is believed, in sigma: what each does by chance.
const LEAST_SPREAD: f64 = 1.0;
/// Least spread of raw values that is believed, as a share of their median: what nobody would call a departure.
const LEAST_SHARE: f64 = 0.05;

/// Departs from its peers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peers {
    /// Breach when more than this many sigma below; sensitivity included.
    pub below: Option<f64>,
    /// Breach when more than this many sigma above; sensitivity included.
    pub above: Option<f64>,
}

/// The last comparison of one target, and room for the next.
#[derive(Clone, Debug, Default)]
pub struct PeersMemory {
    found: Option<Comparison>,
    values: Vec<f32>,
    distances: Vec<f32>,
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

impl Comparison {
    /// What would be that many scales from the others' median, in the metric's unit.
    fn value_at(&self, distance: f64) -> f64 {
        let place = self.among.median + distance * self.among.scale;
        self.own.map_or(place, |(centre, scale)| centre + place * scale)
    }
}

impl Detect for Peers {
    type Memory = PeersMemory;

    const NAME: &'static str = "peers";
    const NEEDS_PROFILE: bool = false;
    const NEEDS: &'static str = "at least 3 other databases of the Baseline in the same role";

    fn resolve(spec: &AnomalyRuleSpec, metric: usize, _: &MetricSet) -> Option<Result<(usize, Self), FieldError>> {
        let written = spec.detect.peers.as_ref()?;
        let factor = match spec.sensitivity {
            Sensitivity::Low => LOW_SENSITIVITY,
            Sensitivity::Medium => 1.0,
            Sensitivity::High => HIGH_SENSITIVITY,
        };
        let side = |field: &str, side: Option<&Decimal>| {
            side.map(|decimal| match plain_number(decimal) {
                Some(sigmas) if sigmas > 0.0 => Ok(sigmas * factor),
                _ => {
                    let allowed = "a number of sigma greater than 0, such as 3 or \"2.5\"";
                    Err(FieldError::new(format!("detect.peers.{field}"), decimal, allowed))
                }
            })
            .transpose()
        };
        let resolved = || {
            let (below, above) = (side("below", written.below.as_ref())?, side("above", written.above.as_ref())?);
            let usual = (below.is_none() && above.is_none()).then_some(USUAL_SIGMAS * factor);
            Ok((metric, Self { below: below.or(usual), above: above.or(usual) }))
        };
        Some(resolved())
    }

    fn take(&self, memory: &mut PeersMemory, sight: &Sight<'_>) {
        let PeersMemory { found, values, distances } = memory;
        values.clear();
        distances.clear();
        sight.each_peer(|peer| {
            values.push(peer.value as f32);
            distances.extend(peer.normal.map(|normal| normal.sigmas(peer.value) as f32));
        });
        let own = sight.normal_of(sight.metric).filter(|_| distances.len() >= FEWEST_OTHERS);
        *found = match own {
            Some(normal) => {
                let count = distances.len();
                let compared = among(distances, normal.sigmas(sight.value), LEAST_SPREAD);
                compared.zip(crate::stats::median(values)).map(|(among, median)| Comparison {
                    among,
                    own: Some((normal.centre, normal.scale)),
                    median,
                    count,
                })
            }
            None => crate::stats::median(values).and_then(|median| {
                let count = values.len();
                let floor = (LEAST_SHARE * median.abs()).max(f64::from(f32::EPSILON));
                among(values, sight.value, floor).map(|among| Comparison { among, own: None, median, count })
            }),
        };
    }

    fn exceeds(&self, memory: &PeersMemory, _: &Sight<'_>) -> Option<bool> {
        let distance = memory.found?.among.distance;
        Some(self.above.is_some_and(|above| distance > above) || self.below.is_some_and(|below| distance < -below))
    }

    /// One less the probability that one more of its peers would lie so far off, to either side.
    fn confidence(&self, memory: &PeersMemory, _: &Sight<'_>) -> f64 {
        memory.found.map_or(0.0, |found| 1.0 - found.among.probability)
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

#[cfg(test)]
mod tests {
    use super::super::sight::{Around, Peer};
    use super::super::{Alone, Normal};
    use super::*;
    use crate::learn::{Stretch, Tails};

    const BOTH: Peers = Peers { below: Some(3.0), above: Some(3.0) };

    fn normal(centre: f64, scale: f64) -> Normal<'static> {
        let tails = &Tails::GAUSSIAN;
        Normal { centre, scale, minimum: 0.0, maximum: f64::INFINITY, confidence: 1.0, stretch: Stretch::NONE, tails }
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

    fn judged(value: f64, around: &dyn Around) -> (Option<bool>, Vec<Evidence>, Band) {
        let mut memory = PeersMemory::default();
        let sight = Sight::new(0, 0, value).with_around(around);
        BOTH.take(&mut memory, &sight);
        let evidence = BOTH.evidence(&memory, &sight, &MetricSet::default());
        (BOTH.exceeds(&memory, &sight), evidence, BOTH.band(&memory, &sight))
    }

    #[test]
    fn fewer_than_three_peers_give_no_verdict() {
        assert_eq!(judged(1e9, &Alone).0, None);
        assert_eq!(judged(1e9, &Fleet(None, vec![(1.0, None), (2.0, None)])).0, None);
    }

    #[test]
    fn the_odd_one_among_values_is_a_breach_and_one_of_them_is_not() {
        let fleet = Fleet(None, [100.0, 102.0, 99.0, 101.0].map(|value| (value, None)).to_vec());
        for (value, breach) in [(100.0, false), (110.0, false), (150.0, true), (50.0, true)] {
            assert_eq!(judged(value, &fleet).0, Some(breach), "{value}");
        }
        let (_, evidence, band) = judged(150.0, &fleet);
        assert!((band.centre.unwrap() - 100.5).abs() < 1e-3);
        let found = |name: &str| evidence.iter().find(|one| one.name == name).unwrap().found.to_string();
        assert_eq!((found("peers"), found("peers' median"), found("own value")), ("4".into(), "100.5".into(), "150".into()));
    }

    #[test]
    fn a_database_that_is_always_busier_is_no_odd_one_and_one_that_alone_moved_is() {
        let peers = [(10.0, 10.0), (100.0, 100.0), (1_000.0, 1_000.0)];
        let peers = peers.map(|(value, centre)| (value, Some(normal(centre, centre / 10.0)))).to_vec();
        let fleet = Fleet(Some(normal(5_000.0, 500.0)), peers.clone());
        assert_eq!(judged(5_100.0, &fleet).0, Some(false));
        assert_eq!(judged(9_000.0, &fleet).0, Some(true));
        // All moved alike: a load that is everybody's is no departure from the others.
        let moved = peers.iter().map(|(value, normal)| (value * 1.8, *normal)).collect();
        assert_eq!(judged(9_000.0, &Fleet(Some(normal(5_000.0, 500.0)), moved)).0, Some(false));
    }

    #[test]
    fn without_enough_profiles_the_values_are_compared_as_they_are() {
        let mut peers = vec![(100.0, Some(normal(100.0, 1.0))); 2];
        peers.extend([(101.0, None), (99.0, None)]);
        let (breach, evidence, _) = judged(200.0, &Fleet(Some(normal(200.0, 1.0)), peers));
        assert_eq!(breach, Some(true));
        assert_eq!(evidence.last().map(|one| one.found.to_string()).as_deref(), Some("the values as they are"));
    }
}
