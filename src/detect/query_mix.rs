//! `detect.queryMix`: other kinds of statements than at this hour of the week.
//!
//! The executions by kind of the last `over` are compared with those that the profiles of the five rates expect for the
//! very same minutes. Their Kullback-Leibler divergence is freed of what chance alone gives so few executions, and has to
//! exceed both the rule's limit and what this database's own windows show: a limit alone, whatever its value, is exceeded
//! all the time by one database and never by another.

use std::collections::VecDeque;

use super::resolve::{metric_index, milliseconds};
use super::units::plain_number;
use super::window::DAY_MS;
use super::{Band, Detect, Evidence, FieldError, MetricSet, Sight};
use crate::api::{AnomalyRuleSpec, Sensitivity};
use crate::measure::{STATEMENT_RATES, StatementKind};
use crate::stats::{self, Pareto};

/// Kinds of statements.
const KINDS: usize = StatementKind::ALL.len();
/// Parts that the window slides by.
const PARTS: i64 = 12;
/// Pseudo-executions of the usual mix on both sides: fewer real ones than that make no distribution.
const WEIGHT: f64 = 20.0;
/// Past windows that are remembered: two weeks of hours.
const MOST_PAST: usize = 336;
/// Past windows below which there is no verdict: what is usual for this database is not known.
const FEWEST_PAST: usize = 24;
/// Share of the past windows that make the tail.
const TAIL: f64 = 0.2;
/// Days of history that are replayed.
const HISTORY_DAYS: i64 = 8;
/// Share of the window that has to be seen.
const COVERED: f64 = 0.75;
/// Intervals after which the last comparison is too old to be judged by.
const FRESH_INTERVALS: i64 = 3;
/// Intervals that one rate stands for at most.
const CREDITED_INTERVALS: i64 = 2;
const MINUTE_MS: i64 = 60_000;

/// Other kinds of statements than usual.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryMix {
    /// Least divergence, in nats.
    divergence: f64,
    over_ms: i64,
    /// Index of each kind's rate.
    rates: [usize; KINDS],
    /// The chance that is put up with.
    chance: f64,
}

/// What is remembered of one target.
#[derive(Clone, Debug, Default)]
pub struct QueryMixMemory {
    /// The window, oldest part first; the last one is open.
    parts: VecDeque<Part>,
    /// Executions by kind over some days, fading.
    usual: [f64; KINDS],
    /// Time of the last reading, and how far it was from the one before, in ms.
    last: Option<(i64, i64)>,
    /// When the next window without overlap is remembered.
    next_past: Option<i64>,
    past: VecDeque<f32>,
    tail: Option<Tail>,
    found: Option<Mix>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Part {
    number: i64,
    seen_ms: i64,
    counts: [f64; KINDS],
    typical: [f64; KINDS],
}

/// How often this database's windows diverge how far.
#[derive(Clone, Debug)]
struct Tail {
    /// Past divergences, ascending.
    sorted: Vec<f32>,
    threshold: f64,
    excesses: Option<Pareto>,
}

/// The comparison of the present window.
#[derive(Clone, Copy, Debug)]
struct Mix {
    at: i64,
    /// Without what chance alone gives, in nats.
    divergence: f64,
    /// Probability that a window of this database's normal life diverges so far; `None` while too few are known.
    chance: Option<f64>,
    counts: [f64; KINDS],
    typical: [f64; KINDS],
    seen_ms: i64,
    /// The kind that adds most to the divergence.
    carrier: usize,
}

impl Detect for QueryMix {
    type Memory = QueryMixMemory;

    const NAME: &'static str = "queryMix";
    const NEEDS_PROFILE: bool = true;
    const NEEDS: &'static str = "values of the statement rates over 7 days, and 24 windows";
    const JUDGES_ALL: bool = true;

    fn resolve(spec: &AnomalyRuleSpec, _: usize, metrics: &MetricSet) -> Option<Result<(usize, Self), FieldError>> {
        let written = spec.detect.query_mix.as_ref()?;
        let resolved = || {
            let divergence = plain_number(&written.divergence).filter(|nats| *nats > 0.0).ok_or_else(|| {
                let allowed = "a number of nats greater than 0, such as \"0.3\"";
                FieldError::new("detect.queryMix.divergence", &written.divergence, allowed)
            })?;
            let over_ms = milliseconds("detect.queryMix.over", &written.over)?;
            if !(10 * MINUTE_MS..=DAY_MS).contains(&over_ms) {
                return Err(FieldError::new("detect.queryMix.over", &written.over.0, "10m to 24h"));
            }
            let mut rates = [0; KINDS];
            for (rate, name) in rates.iter_mut().zip(STATEMENT_RATES) {
                *rate = metric_index("detect.queryMix", name, metrics)?;
            }
            let chance = match spec.sensitivity {
                Sensitivity::Low => 1e-4,
                Sensitivity::Medium => 1e-3,
                Sensitivity::High => 1e-2,
            };
            Ok((rates[0], Self { divergence, over_ms, rates, chance }))
        };
        Some(resolved())
    }

    fn judged(&self, _: usize) -> Vec<usize> {
        self.rates.to_vec()
    }

    fn history(&self) -> Option<i64> {
        Some(HISTORY_DAYS * DAY_MS)
    }

    fn take(&self, memory: &mut QueryMixMemory, sight: &Sight<'_>) {
        let Some(rates) = each(|kind| sight.value_of(self.rates[kind])) else { return };
        let Some(normals) = each(|kind| Some(sight.normal_of(self.rates[kind])?.centre)) else { return };
        // A time that is not later tells nothing of the rate, and must not hide how far apart the rates come.
        if memory.last.is_some_and(|(last, _)| sight.at <= last) {
            return;
        }
        let apart = memory.last.map_or(0, |(at, _)| sight.at.saturating_sub(at)).clamp(0, self.over_ms);
        // A rate is that of its own interval: after a gap it says nothing of the gap.
        let apart = match memory.last {
            Some((_, before)) if before > 0 => apart.min(before.saturating_mul(CREDITED_INTERVALS)),
            _ => apart,
        };
        memory.last = Some((sight.at, apart));
        if apart == 0 {
            return;
        }
        let seconds = apart as f64 / 1e3;
        let fading = (-(apart as f64) / (7 * DAY_MS) as f64).exp();
        let part = self.open_part(memory, sight.at);
        part.seen_ms += apart;
        for kind in 0..KINDS {
            part.counts[kind] += rates[kind].max(0.0) * seconds;
            part.typical[kind] += normals[kind].max(0.0) * seconds;
        }
        for (usual, rate) in memory.usual.iter_mut().zip(rates) {
            *usual = *usual * fading + rate.max(0.0) * seconds;
        }
        memory.found = self.compare(memory, sight.at);
        self.remember(memory, sight.at);
    }

    /// Only in the rounds over statements: between them nothing is new.
    fn exceeds(&self, memory: &QueryMixMemory, sight: &Sight<'_>) -> Option<bool> {
        let mix = memory.found.filter(|mix| mix.at == sight.at || is_fresh(memory, sight.at, mix))?;
        sight.value_of(self.rates[0])?;
        Some(mix.divergence > self.divergence && mix.chance? < self.chance)
    }

    /// One less the probability that a window of this database's normal life diverges so far.
    fn confidence(&self, memory: &QueryMixMemory, _: &Sight<'_>) -> f64 {
        memory.found.and_then(|mix| mix.chance).map_or(0.0, |chance| 1.0 - chance)
    }

    /// The typical rate of the kind that carries the divergence.
    fn band(&self, memory: &QueryMixMemory, _: &Sight<'_>) -> Band {
        let rate = |mix: Mix| mix.typical[mix.carrier] / (mix.seen_ms as f64 / 1e3);
        Band { centre: memory.found.map(rate).filter(|rate| rate.is_finite()), lower: None, upper: None }
    }

    fn carrier(&self, memory: &QueryMixMemory, sight: &Sight<'_>) -> usize {
        memory.found.map_or(sight.metric, |mix| self.rates[mix.carrier])
    }

    fn evidence(&self, memory: &QueryMixMemory, _: &Sight<'_>, _: &MetricSet) -> Vec<Evidence> {
        let Some(mix) = memory.found else { return Vec::new() };
        let (count, typical): (f64, f64) = (mix.counts.iter().sum(), mix.typical.iter().sum());
        let mut evidence = vec![
            Evidence::number("divergence", mix.divergence, "nats"),
            Evidence::number("executions", count.round(), ""),
            Evidence::duration("over", mix.seen_ms),
        ];
        if let Some(chance) = mix.chance {
            evidence.push(Evidence::number("chance", 100.0 * chance, "%"));
        }
        for (kind, name) in STATEMENT_RATES.iter().enumerate() {
            let share = |of: f64, all: f64| if all > 0.0 { 100.0 * of / all } else { 0.0 };
            let (now, usual) = (share(mix.counts[kind], count), share(mix.typical[kind], typical));
            let name = name.trim_end_matches("_rate");
            evidence.push(Evidence::text(format!("share of {name}"), format!("{now:.1}%, typically {usual:.1}%")));
        }
        evidence
    }
}

impl QueryMix {
    fn open_part<'a>(&self, memory: &'a mut QueryMixMemory, at: i64) -> &'a mut Part {
        let number = at.div_euclid(self.over_ms / PARTS);
        if memory.parts.back().is_none_or(|part| part.number < number) {
            memory.parts.push_back(Part { number, ..Part::default() });
        }
        while memory.parts.front().is_some_and(|part| number.saturating_sub(part.number) > PARTS) {
            memory.parts.pop_front();
        }
        let last = memory.parts.len().saturating_sub(1);
        &mut memory.parts[last]
    }

    fn compare(&self, memory: &QueryMixMemory, at: i64) -> Option<Mix> {
        let mut sum = Part::default();
        for part in &memory.parts {
            sum.seen_ms += part.seen_ms;
            for kind in 0..KINDS {
                sum.counts[kind] += part.counts[kind];
                sum.typical[kind] += part.typical[kind];
            }
        }
        if (sum.seen_ms as f64) < COVERED * self.over_ms as f64 {
            return None;
        }
        let parts = stats::divergence_parts(&sum.counts, &sum.typical, &memory.usual, WEIGHT)?;
        let chance_alone = stats::divergence_by_chance(KINDS, sum.counts.iter().sum());
        let divergence = (parts.iter().sum::<f64>() - chance_alone).max(0.0);
        let carrier = (0..KINDS).max_by(|left, right| parts[*left].total_cmp(&parts[*right]))?;
        let chance = memory.tail.as_ref().map(|tail| tail.chance(divergence));
        let Part { counts, typical, seen_ms, .. } = sum;
        Some(Mix { at, divergence, chance, counts, typical, seen_ms, carrier })
    }

    /// Remembers each window that does not overlap the one before, unless it is a breach: an incident must not teach
    /// itself as normal.
    fn remember(&self, memory: &mut QueryMixMemory, at: i64) {
        let Some(mix) = memory.found.filter(|_| memory.next_past.is_none_or(|next| at >= next)) else { return };
        memory.next_past = Some(at.saturating_add(self.over_ms));
        if mix.divergence > self.divergence && mix.chance.is_some_and(|chance| chance < self.chance) {
            return;
        }
        memory.past.push_back(mix.divergence as f32);
        if memory.past.len() > MOST_PAST {
            memory.past.pop_front();
        }
        memory.tail = Tail::learn(&memory.past);
    }
}

fn is_fresh(memory: &QueryMixMemory, at: i64, mix: &Mix) -> bool {
    let apart = memory.last.map_or(0, |(_, apart)| apart);
    at.saturating_sub(mix.at) <= apart.saturating_mul(FRESH_INTERVALS)
}

impl Tail {
    fn learn(past: &VecDeque<f32>) -> Option<Self> {
        if past.len() < FEWEST_PAST {
            return None;
        }
        let mut sorted: Vec<f32> = past.iter().copied().collect();
        sorted.sort_unstable_by(f32::total_cmp);
        let place = ((1.0 - TAIL) * sorted.len() as f64) as usize;
        let threshold = sorted[place.min(sorted.len() - 1)];
        let excesses: Vec<f32> = sorted[place..].iter().map(|divergence| divergence - threshold).collect();
        let excesses = Pareto::fit(&excesses, excesses.len() as f64);
        Some(Self { sorted, threshold: f64::from(threshold), excesses })
    }

    /// Probability that a window of normal life diverges at least so far.
    fn chance(&self, divergence: f64) -> f64 {
        if divergence > self.threshold {
            return self.excesses.map_or(0.0, |excesses| TAIL * excesses.tail(divergence - self.threshold));
        }
        let below = self.sorted.partition_point(|past| f64::from(*past) < divergence);
        1.0 - below as f64 / self.sorted.len() as f64
    }
}

/// A value of each kind, when each has one.
fn each(mut of: impl FnMut(usize) -> Option<f64>) -> Option<[f64; KINDS]> {
    let mut values = [0.0; KINDS];
    for (kind, value) in values.iter_mut().enumerate() {
        *value = of(kind)?;
    }
    Some(values)
}

#[cfg(test)]
mod tests;
