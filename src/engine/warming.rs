//! Makes the memory of detectors from the history, beside the engine: when a rule is attached or edited, at start, and
//! when a server has another role.
//!
//! Samples are kept for the Baseline's window only. A detector that looks at hours and longer, and farther back, begins with
//! the hourly figures of the time before ([`hours`]).
//!
//! It waits for the first lessons: what is normal is part of what a detector sees. A round that comes meanwhile is in the
//! history or among the target's recent rounds, mostly in both, and is taken once, by its time.

mod hours;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::exceptions::LeftOut;
use super::task::{Task, now};
use crate::detect::schedule::{Window, holds, merged, overlap};
use crate::detect::{MetricSet, Replay, Warmed};
use crate::history::{HistoryError, Store};
use crate::measure::{Role, TargetKey};

/// History is read in pieces of this length, to hold little of it at once.
const PIECE_MS: i64 = 86_400_000;

/// A memory that took its history.
pub(super) struct Warm {
    pub target: usize,
    pub incarnation: u64,
    pub rule: u64,
    /// `None` when the replay broke off.
    pub warmed: Option<Warmed>,
}

/// Which databases are peers: those of one Baseline in the same role.
#[derive(Default)]
pub(super) struct Groups {
    ids: HashMap<(String, String, bool), u64>,
}

impl Groups {
    pub fn of(&mut self, key: &TargetKey, role: Role) -> u64 {
        let next = self.ids.len() as u64;
        let name = (key.namespace.clone(), key.baseline.clone(), role == Role::Replica);
        *self.ids.entry(name).or_insert(next)
    }
}

impl Task {
    /// Begins the replay for every cold rule of a target for which none is under way.
    pub fn warm(&mut self, index: usize) {
        let Some(Some(target)) = self.targets.get(index) else { return };
        if !target.progress.has_lessons() {
            return;
        }
        let key = &target.settings.key;
        let cold = self.shard.cold(index).filter(|(rule, _)| !target.warming.contains(rule));
        let begun: Vec<(u64, Replay, LeftOut)> = cold
            .filter_map(|(rule, meaning)| {
                Some((rule, self.shard.replay(index, meaning)?, self.left_out_of_rule(key, rule)))
            })
            .collect();
        let Some(Some(target)) = self.targets.get_mut(index) else { return };
        for (rule, replay, left_out) in begun {
            target.warming.insert(rule);
            let course = Course {
                store: self.store.clone(),
                key: target.series.key.clone(),
                metrics: target.metrics.clone(),
                left_out,
                permits: self.replays.clone(),
            };
            let (incarnation, done) = (target.incarnation, self.warm.clone());
            tokio::spawn(async move {
                let warmed = course.take(replay, now()).await;
                // The engine may have gone meanwhile; then nobody needs it.
                let _ = done.send(Warm { target: index, incarnation, rule, warmed }).await;
            });
        }
    }

    /// Judges by that memory from now on.
    pub fn warmed(&mut self, warm: Warm) {
        let Warm { target: index, incarnation, rule, warmed } = warm;
        let Some(Some(target)) = self.targets.get_mut(index) else { return };
        if target.incarnation != incarnation {
            return;
        }
        target.warming.remove(&rule);
        let warmed = warmed.or_else(|| self.nothing_remembered(index, rule));
        if let (Some(warmed), Some(Some(target))) = (warmed, self.targets.get(index)) {
            let until = target.other_role_until;
            let recent = target.recent.iter().filter(|(at, _)| until.is_none_or(|until| *at > until));
            let recent = recent.map(|(at, values)| (*at, &**values));
            if self.shard.warm(index, rule, warmed, recent) {
                let name = self.rules.get(rule).map(|rule| rule.name.as_str());
                tracing::info!(target = %target.settings.key, rule = name, "the rule remembers its history");
            }
        }
        // It may have been edited meanwhile: then this was the memory of another rule.
        self.warm(index);
    }

    /// The memory of a rule whose replay broke off: empty, for the next one would break off as well.
    fn nothing_remembered(&self, index: usize, rule: u64) -> Option<Warmed> {
        let (_, meaning) = self.shard.cold(index).find(|(id, _)| *id == rule)?;
        let name = self.rules.get(rule).map(|rule| rule.name.as_str());
        tracing::error!(rule = name, "the history broke off the rule's replay; it begins without it");
        Some(self.shard.replay(index, meaning)?.finish())
    }
}

/// The replay of one rule and target, with everything that it needs.
struct Course {
    store: Store,
    key: TargetKey,
    metrics: Arc<MetricSet>,
    left_out: LeftOut,
    permits: Arc<Semaphore>,
}

impl Course {
    /// Takes the history up to now. Where it cannot be read the rule begins with what could be: better a detector that
    /// has to learn than none.
    async fn take(self, mut replay: Replay, now_ms: i64) -> Option<Warmed> {
        let _permit = self.permits.acquire().await.ok()?;
        let wanted = replay.wants();
        let names: Vec<&str> =
            wanted.iter().filter_map(|metric| Some(self.metrics.get(*metric)?.name.as_str())).collect();
        let begin = now_ms.saturating_sub(replay.history());
        let span = Window { from: begin, to: now_ms };
        let left_out = replay.judges().iter().flat_map(|metric| self.left_out.windows(*metric, span)).collect();
        let left_out: Arc<[Window]> = merged(left_out).into();
        let mut from = match self.store.extent(&self.key).await {
            Ok(Some((first, _))) => begin.max(first),
            Ok(None) => now_ms,
            Err(_) => begin,
        };
        if let Some(name) = names.first().filter(|_| from > begin && replay.takes_hours()) {
            let (instants, values) = self.hours(name, begin, from, &left_out).await;
            let (columns, left_out) = ([values], left_out.clone());
            let feed = move || feed(replay, &instants, &columns, &left_out);
            replay = tokio::task::spawn_blocking(feed).await.ok()?;
        }
        loop {
            let last = from.saturating_add(PIECE_MS) > now();
            // Whatever was written until now: what came later is among the recent rounds.
            let to = if last { i64::MAX } else { from + PIECE_MS };
            let (instants, columns) = match self.store.read_rounds(&self.key, &names, from, to).await {
                Ok(read) => read,
                Err(error) => {
                    tracing::warn!(target = %self.key, %error, "history cannot be read; the rule begins with what could be");
                    return Some(replay.finish());
                }
            };
            let left_out = left_out.clone();
            let feed = move || feed(replay, &instants, &columns, &left_out);
            replay = tokio::task::spawn_blocking(feed).await.ok()?;
            if last {
                return Some(replay.finish());
            }
            from = to;
        }
    }

    /// The hours of a metric before its samples: the middle of each, and a value. None when they cannot be read.
    async fn hours(&self, metric: &str, from: i64, samples_from: i64, left_out: &[Window]) -> (Vec<i64>, Vec<f32>) {
        let to = samples_from.saturating_add(PIECE_MS);
        let read = async {
            let mut hours = self.store.roll_ups(&self.key, metric, from, to).await?;
            hours.retain(|hour| !overlap(left_out, hour.at, hour.at.saturating_add(hours::HOUR_MS)));
            Ok::<_, HistoryError>((hours, self.store.read(&self.key, metric, samples_from, to).await?))
        };
        match read.await {
            Ok((hours, samples)) => hours::before(samples_from, &hours, &samples),
            Err(error) => {
                tracing::warn!(target = %self.key, %error, "hours cannot be read; the rule begins with the samples");
                (Vec::new(), Vec::new())
            }
        }
    }
}

fn feed(mut replay: Replay, instants: &[i64], columns: &[Vec<f32>], left_out: &[Window]) -> Replay {
    let mut values = Vec::with_capacity(columns.len());
    // What is known to be another load is no course to remember.
    for (round, at) in instants.iter().enumerate().filter(|(_, at)| !holds(left_out, **at)) {
        values.clear();
        values.extend(columns.iter().map(|column| column.get(round).copied().unwrap_or(f32::NAN)));
        replay.take(*at, &values);
    }
    replay
}

#[cfg(test)]
mod tests;
