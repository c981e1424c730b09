//! Learns the profiles of each target from its history, beside the engine.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::exceptions::LeftOut;
use super::handle::Learnt;
use super::settings::TargetSettings;
use super::task::{Task, now};
use crate::detect::schedule::{self, Window};
use crate::detect::{MetricDescriptor, MetricSet};
use crate::history::{HistoryError, READ_TOGETHER, Store};
use crate::learn::{self, Clock, Findings, Hour, Options, Profile, Sample, UsualTimes};
use crate::measure::TargetKey;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// How far back hours are looked at for what comes once a month: as long as the history keeps them.
const ROLL_UPS_MS: i64 = 400 * DAY_MS;
/// Where nothing is ready or a history could not be read, it is tried again this often: imported history is found.
const UNREADY_RETRY_MS: i64 = 15 * 60_000;

/// How far the learning of one target is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// It is being learnt now.
    running: bool,
    /// When the oldest profile was learnt, ms since the Unix epoch; `None` before the first lessons.
    learnt_at: Option<i64>,
    /// When it was tried last, ms since the Unix epoch.
    tried_at: i64,
    /// Some profile is ready, and every history could be read.
    complete: bool,
}

impl Progress {
    /// Whether the first lessons are over: what could be learnt is known.
    pub fn has_lessons(&self) -> bool {
        self.learnt_at.is_some()
    }
}

/// What is learnt anew.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scope {
    /// Every metric.
    All,
    /// What is not stored, too old or not ready.
    Missing,
}

/// The profile of one metric.
pub(super) struct Lesson {
    pub metric: usize,
    /// When the profile was learnt, ms since the Unix epoch.
    pub at: i64,
    /// Until when it holds counts from here, ms since the Unix epoch: later than `at` where nothing better could be learnt.
    pub since: i64,
    pub profile: Profile,
    pub findings: Findings,
}

/// What was learnt of one target. Metrics without history are left out.
pub(super) struct Lessons {
    pub target: usize,
    pub incarnation: u64,
    pub lessons: Vec<Lesson>,
    /// By which they were learnt.
    pub clock: Arc<Clock>,
    /// Some history could not be read.
    pub failed: bool,
}

impl Task {
    /// Begins to learn a target, unless that is under way.
    pub fn learn(&mut self, index: usize, scope: Scope) {
        let Some(Some(target)) = self.targets.get(index) else { return };
        let left_out = self.left_out(&target.settings.key);
        let Some(Some(target)) = self.targets.get_mut(index) else { return };
        if std::mem::replace(&mut target.progress.running, true) {
            return;
        }
        let now = now();
        let course = Course {
            store: self.store.clone(),
            key: target.series.key.clone(),
            settings: target.settings.clone(),
            metrics: target.metrics.clone(),
            left_out,
            deploys: self.deploys.get(&target.settings.key.namespace).cloned().unwrap_or_default(),
            clock: Arc::new(target.settings.learning.clock(now)),
            now,
            scope,
        };
        let (incarnation, done) = (target.incarnation, self.lessons.clone());
        tokio::spawn(async move {
            let (lessons, failed) = course.take().await;
            let clock = course.clock.clone();
            // The engine may have gone meanwhile; then nobody needs them.
            let _ = done.send(Lessons { target: index, incarnation, lessons, clock, failed }).await;
        });
    }

    /// Begins to learn the targets for which it is time; `now` in ms since the Unix epoch.
    pub fn learn_what_is_due(&mut self, now: i64) {
        for index in 0..self.targets.len() {
            let Some(target) = &self.targets[index] else { continue };
            if let Some(scope) = what_is_due(now, &target.progress, |at| target.settings.learning.refresh.next(at)) {
                self.learn(index, scope);
            }
        }
    }

    /// Judges by what was learnt from now on.
    pub fn learnt(&mut self, lessons: Lessons) {
        let Lessons { target: index, incarnation, lessons, clock, failed } = lessons;
        let Some(Some(target)) = self.targets.get_mut(index) else { return };
        if target.incarnation != incarnation {
            return;
        }
        let now = now();
        target.progress = Progress {
            running: false,
            learnt_at: Some(lessons.iter().map(|lesson| lesson.since).min().unwrap_or(now)),
            tried_at: now,
            complete: !failed && lessons.iter().any(|lesson| lesson.profile.ready),
        };
        self.shard.set_clock(index, clock);
        for lesson in &lessons {
            // The store may have lost what the memory still has.
            if !lesson.profile.ready && self.shard.is_ready(index, lesson.metric) {
                continue;
            }
            self.shard.set_profile(index, lesson.metric, Some(&lesson.profile));
        }
        tracing::info!(target = %target.settings.key, metrics = lessons.len(), "learnt what is normal");
        let metrics = target.metrics.clone();
        self.update_view(index, |view| view.learnt = shown(&metrics, &lessons, &view.learnt));
        self.warm(index);
    }
}

/// What is to be learnt now, if anything; all times in ms.
fn what_is_due(now: i64, progress: &Progress, refresh: impl Fn(i64) -> i64) -> Option<Scope> {
    let learnt_at = progress.learnt_at.filter(|_| !progress.running)?;
    if now >= refresh(learnt_at) {
        Some(Scope::All)
    } else {
        (!progress.complete && now - progress.tried_at >= UNREADY_RETRY_MS).then_some(Scope::Missing)
    }
}

/// What is shown of the lessons. A metric without one keeps what was shown: it is still judged by that.
fn shown(metrics: &MetricSet, lessons: &[Lesson], before: &[Learnt]) -> Vec<Learnt> {
    let of_metric = |(index, meaning): (usize, &MetricDescriptor)| match lessons.iter().find(|one| one.metric == index)
    {
        Some(lesson) => Some(Learnt {
            metric: meaning.name.clone(),
            unit: meaning.unit.clone(),
            at: lesson.at,
            statistics: lesson.profile.statistics,
            days: lesson.profile.days,
            confidence: lesson.profile.confidence,
            ready: lesson.profile.ready,
            findings: lesson.findings.clone(),
        }),
        None => before.iter().find(|learnt| learnt.metric == meaning.name).cloned(),
    };
    metrics.iter().enumerate().filter_map(of_metric).collect()
}

/// The learning of one target: a task of its own owns everything it needs.
struct Course {
    store: Store,
    key: TargetKey,
    settings: TargetSettings,
    metrics: Arc<MetricSet>,
    left_out: LeftOut,
    /// When there were deploys in its namespace, milliseconds since the Unix epoch.
    deploys: Arc<[i64]>,
    clock: Arc<Clock>,
    /// Milliseconds since the Unix epoch.
    now: i64,
    scope: Scope,
}

/// A history that could not be read.
struct Unread;

impl Course {
    /// Loads stored profiles that are young enough and learns the others; true when some history could not be read.
    async fn take(&self) -> (Vec<Lesson>, bool) {
        let mut lessons = Vec::with_capacity(self.metrics.len());
        let mut due = Vec::new();
        for (metric, meaning) in self.metrics.iter().enumerate() {
            match self.before(meaning).await {
                Some((at, profile, findings)) if self.is_good(at, &profile) => {
                    lessons.push(Lesson { metric, at, since: at, profile, findings });
                }
                before => due.push(Due { metric, meaning, before }),
            }
        }
        let mut failed = false;
        while !due.is_empty() {
            let together: Vec<Due<'_>> = due.drain(..due.len().min(READ_TOGETHER)).collect();
            let names: Vec<&str> = together.iter().map(|due| due.meaning.name.as_str()).collect();
            let Ok(read) = self.read(&names).await else {
                failed = true;
                continue;
            };
            for (due, samples) in together.into_iter().zip(read) {
                match self.learnt(due, samples).await {
                    Ok(lesson) => lessons.extend(lesson),
                    Err(Unread) => failed = true,
                }
            }
        }
        (lessons, failed)
    }

    /// First instant of the window.
    fn begin(&self) -> i64 {
        self.now - i64::from(self.settings.learning.window_days) * DAY_MS
    }

    /// The window of these metrics.
    async fn read(&self, names: &[&str]) -> Result<Vec<Vec<Sample>>, Unread> {
        self.store.read_many(&self.key, names, self.begin(), self.now).await.map_err(|error| self.unread(names, &error))
    }

    fn unread(&self, names: &[&str], error: &HistoryError) -> Unread {
        let metrics = names.join(", ");
        tracing::warn!(target = %self.key, metrics, %error, "history cannot be read; what was learnt before stays");
        Unread
    }

    /// What is stored of a metric, and when that was learnt; `None` when it was learnt by another clock.
    async fn before(&self, meaning: &MetricDescriptor) -> Option<(i64, Profile, Findings)> {
        let (at, bytes) = self.store.load_profile(&self.key, &meaning.name).await.ok()??;
        let (profile, findings) = learn::decode(&bytes).ok()?;
        (findings.time_zone == self.clock.name()).then_some((at, profile, findings))
    }

    /// Whether a stored profile is good enough to go on with.
    fn is_good(&self, at: i64, profile: &Profile) -> bool {
        // An unready profile is learnt again: history may have been imported since.
        self.scope == Scope::Missing && profile.ready && self.now < self.settings.learning.refresh.next(at)
    }

    /// Learns a metric anew. What is ready is not given up, nor its stored form, for what is not: after the loss of the
    /// history it is better than nothing for a week, also over a restart.
    async fn learnt(&self, due: Due<'_>, samples: Vec<Sample>) -> Result<Option<Lesson>, Unread> {
        let Due { metric, meaning, before } = due;
        let (key, name, now) = (&self.key, &meaning.name, self.now);
        let learning = &self.settings.learning;
        let older = self.store.roll_ups(key, name, now - ROLL_UPS_MS, self.begin()).await;
        let older = older.map_err(|error| self.unread(&[name.as_str()], &error))?;
        let mut exercise = Exercise {
            clock: self.clock.clone(),
            options: Options {
                outlier_removal: learning.outlier_removal,
                daily: learning.daily,
                weekly: learning.weekly,
                minimum: meaning.minimum,
                maximum: meaning.maximum,
                confidence: learning.confidence,
                window_days: learning.window_days,
                now,
            },
            samples,
            older: older.iter().map(|hour| Hour { at: hour.at, mean: hour.mean, maximum: hour.maximum }).collect(),
            deploys: self.deploys.clone(),
            before: before.clone(),
        };
        let (exceptions, span) = (self.left_out.clone(), Window { from: now - ROLL_UPS_MS, to: now });
        let learn = move || {
            exercise.leave_out(&exceptions.windows(metric, span));
            exercise.learn()
        };
        let learnt = tokio::task::spawn_blocking(learn).await.map_err(|_| Unread)?;
        let better =
            learnt.filter(|(profile, _)| profile.ready || before.as_ref().is_none_or(|(_, old, _)| !old.ready));
        let Some((profile, findings)) = better else {
            let kept = before.filter(|(_, profile, _)| profile.ready);
            return Ok(kept.map(|(at, profile, findings)| Lesson { metric, at, since: now, profile, findings }));
        };
        if let Err(error) = self.store.save_profile(key, name, now, &learn::encode(&profile, &findings)).await {
            tracing::debug!(target = %key, metric = name, %error, "profile not stored; it is learnt again at the next start");
        }
        Ok(Some(Lesson { metric, at: now, since: now, profile, findings }))
    }
}

/// A metric that is to be learnt anew.
struct Due<'a> {
    metric: usize,
    meaning: &'a MetricDescriptor,
    /// What is stored of it, and when that was learnt.
    before: Option<(i64, Profile, Findings)>,
}

/// Everything that one metric is learnt from: a thread of its own owns it.
struct Exercise {
    clock: Arc<Clock>,
    options: Options,
    /// In order of time.
    samples: Vec<Sample>,
    /// Hours before the window.
    older: Vec<Hour>,
    deploys: Arc<[i64]>,
    /// The profile that holds until now, and when it was learnt.
    before: Option<(i64, Profile, Findings)>,
}

impl Exercise {
    /// What is known to be another load is not what is normal.
    fn leave_out(&mut self, windows: &[Window]) {
        if windows.is_empty() {
            return;
        }
        self.samples.retain(|sample| !schedule::holds(windows, sample.at));
        // A peak that a person declared is not found as a pattern besides: it would count twice.
        self.older.retain(|hour| !schedule::overlap(windows, hour.at, hour.at + HOUR_MS));
    }

    fn learn(&self) -> Option<(Profile, Findings)> {
        let mut profile = learn::learn_by(&self.clock, &self.samples, &self.older, &self.options)?;
        let patterns = learn::find_patterns(&self.samples, &self.older, &self.deploys, &profile, &self.clock);
        // Without a season there is one band for all hours.
        if self.options.daily || self.options.weekly {
            profile.monthly = patterns.monthly;
        }
        let validation = self.before.as_ref().and_then(|(at, before, findings)| {
            let since = self.samples.partition_point(|sample| sample.at <= *at);
            let held = before.ready.then(|| learn::validate(before, &self.samples[since..], &self.clock));
            // What was learnt a moment ago has nothing to say yet, what came of the one before it has.
            held.filter(|held| held.held != learn::Held::TooEarly).or_else(|| findings.validation.clone())
        });
        let findings = Findings { time_zone: self.clock.name().to_owned(), patterns: patterns.found, validation };
        Some((profile, findings))
    }
}

/// Hands over what the statements of a target usually take, as it was stored; nothing when there is none.
pub(super) async fn load_usual_times(store: Store, key: TargetKey, done: oneshot::Sender<UsualTimes>) {
    let stored = store.load_usual_times(&key).await.unwrap_or_else(|error| {
        tracing::warn!(target = %key, %error, "what the statements usually take cannot be read; it is learnt anew");
        None
    });
    // The collector may have gone on without.
    let _ = done.send(stored.and_then(|bytes| UsualTimes::decode(&bytes)).unwrap_or_default());
}

#[cfg(test)]
mod tests;
