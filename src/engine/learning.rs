//! Learns the profiles of each target from its history, beside the engine.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::exceptions::LeftOut;
use super::handle::Learnt;
use super::settings::TargetSettings;
use super::task::{Task, now};
use crate::detect::schedule::{self, Window};
use crate::detect::{MetricDescriptor, MetricSet};
use crate::history::Store;
use crate::learn::{self, Clock, Findings, Hour, Options, Profile, Sample, UsualTimes};
use crate::measure::TargetKey;

const DAY_MS: i64 = 86_400_000;
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
    pub at: i64,
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
            learnt_at: Some(lessons.iter().map(|lesson| lesson.at).min().unwrap_or(now)),
            tried_at: now,
            complete: !failed && lessons.iter().any(|lesson| lesson.profile.ready),
        };
        self.shard.set_clock(index, clock);
        for lesson in &lessons {
            // After the loss of the history the profile that is there is better than none for a week.
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
        let mut failed = false;
        for (metric, meaning) in self.metrics.iter().enumerate() {
            let learnt = match self.before(meaning).await {
                Some((at, profile, findings)) if self.is_good(at, &profile) => {
                    Ok(Some(Lesson { metric, at, profile, findings }))
                }
                before => self.learnt(metric, meaning, before).await,
            };
            match learnt {
                Ok(lesson) => lessons.extend(lesson),
                Err(Unread) => failed = true,
            }
        }
        (lessons, failed)
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

    async fn learnt(
        &self,
        metric: usize,
        meaning: &MetricDescriptor,
        before: Option<(i64, Profile, Findings)>,
    ) -> Result<Option<Lesson>, Unread> {
        let (key, name, now) = (&self.key, &meaning.name, self.now);
        let unread = |error| {
            tracing::warn!(target = %key, metric = name, %error, "history cannot be read; what was learnt before stays");
            Unread
        };
        let learning = &self.settings.learning;
        let from = now - i64::from(learning.window_days) * DAY_MS;
        let mut samples = self.store.read(key, name, from, now).await.map_err(unread)?;
        // What is known to be another load is not what is normal.
        let left_out = self.left_out.windows(metric, Window { from, to: now });
        if !left_out.is_empty() {
            samples.retain(|sample| !schedule::holds(&left_out, sample.at));
        }
        let older = self.store.roll_ups(key, name, now - ROLL_UPS_MS, from).await.map_err(unread)?;
        let exercise = Exercise {
            clock: self.clock.clone(),
            options: Options {
                outlier_removal: learning.outlier_removal,
                daily: learning.daily,
                weekly: learning.weekly,
                minimum: meaning.minimum,
                maximum: meaning.maximum,
                window_days: learning.window_days,
                now,
            },
            samples,
            older: older.iter().map(|hour| Hour { at: hour.at, mean: hour.mean }).collect(),
            deploys: self.deploys.clone(),
            before,
        };
        let learnt = tokio::task::spawn_blocking(move || exercise.learn()).await.map_err(|_| Unread)?;
        let Some((profile, findings)) = learnt else { return Ok(None) };
        if let Err(error) = self.store.save_profile(key, name, now, &learn::encode(&profile, &findings)).await {
            tracing::debug!(target = %key, metric = name, %error, "profile not stored; it is learnt again at the next start");
        }
        Ok(Some(Lesson { metric, at: now, profile, findings }))
    }
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
    fn learn(&self) -> Option<(Profile, Findings)> {
        let profile = learn::learn_by(&self.clock, &self.samples, &self.options)?;
        let patterns = learn::find_patterns(&self.samples, &self.older, &self.deploys, &profile, &self.clock);
        let validation = self.before.as_ref().and_then(|(at, before, findings)| {
            let since = self.samples.partition_point(|sample| sample.at <= *at);
            let held = before.ready.then(|| learn::validate(before, &self.samples[since..], &self.clock));
            // What was learnt a moment ago has nothing to say yet, what came of the one before it has.
            held.filter(|held| held.held != learn::Held::TooEarly).or_else(|| findings.validation.clone())
        });
        let findings = Findings { time_zone: self.clock.name().to_owned(), patterns, validation };
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
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::api::Tls;
    use crate::database::postgresql::Endpoint;
    use crate::detect::Exception;
    use crate::detect::exception::Effect;
    use crate::engine::targets::series_of;
    use crate::engine::{Learning, RefreshPlan};
    use crate::measure::Role;

    const HOUR_MS: i64 = DAY_MS / 24;
    /// 2026-03-02 00:00:00 UTC.
    const MONDAY: i64 = 1_772_409_600_000;
    const METRIC: &str = "throughput";

    fn settings() -> TargetSettings {
        TargetSettings {
            key: TargetKey { namespace: "shop".into(), baseline: "orders".into(), pod: "orders-0".into() },
            endpoint: Endpoint {
                host: String::new(),
                port: 0,
                database: String::new(),
                username: String::new(),
                password: SecretString::default(),
                tls: Tls::default(),
                ca: None,
                application_name: String::new(),
            },
            interval: std::time::Duration::from_secs(10),
            statements_interval: std::time::Duration::from_secs(60),
            custom: Arc::default(),
            learning: Learning {
                window_days: 14,
                refresh: RefreshPlan::After(std::time::Duration::from_hours(24)),
                time_zone: jiff::tz::TimeZone::UTC,
                outlier_removal: true,
                daily: true,
                weekly: true,
            },
        }
    }

    fn course(store: &Store, role: Role, now: i64, scope: Scope) -> Course {
        let settings = settings();
        let metrics = Arc::new(MetricSet::new(&[]));
        let key = series_of(&settings.key, role, &metrics).key;
        Course {
            store: store.clone(),
            key,
            settings,
            metrics,
            left_out: LeftOut::default(),
            deploys: Arc::default(),
            clock: Arc::new(Clock::utc()),
            now,
            scope,
        }
    }

    /// A value each hour of these days before Monday.
    async fn fill(store: &Store, key: &TargetKey, days: std::ops::Range<i64>) {
        let series = store.target(key, &[METRIC.to_owned()]).await.unwrap();
        for hour in days.start * 24..days.end * 24 {
            store.append(&series, MONDAY - (hour + 1) * HOUR_MS, &[5.0]).await.unwrap();
        }
    }

    async fn store(directory: &tempfile::TempDir) -> Store {
        Store::open(directory.path().join("history.sqlite")).await.unwrap()
    }

    #[test]
    fn what_is_due_depends_on_age_readiness_and_what_could_be_read() {
        let (refresh, long, short) = (DAY_MS, DAY_MS, UNREADY_RETRY_MS);
        let of = |learnt_at, tried_at, complete, running| Progress { running, learnt_at, tried_at, complete };
        let table = [
            ("never learnt: the first lessons are under way", of(None, 0, false, false), 2 * long, None),
            ("complete and young", of(Some(0), 0, true, false), long - 1, None),
            ("complete and old", of(Some(0), 0, true, false), long, Some(Scope::All)),
            ("old, but under way", of(Some(0), 0, true, true), long, None),
            ("unready, tried just now", of(Some(0), 0, false, false), short - 1, None),
            ("unready, tried a while ago", of(Some(0), 0, false, false), short, Some(Scope::Missing)),
            ("unready, tried again since", of(Some(0), short, false, false), short + 1, None),
            ("unready and old", of(Some(0), short, false, false), long, Some(Scope::All)),
        ];
        for (name, progress, now, due) in table {
            assert_eq!(what_is_due(now, &progress, |at| at + refresh), due, "{name}");
        }
    }

    #[tokio::test]
    async fn an_unready_profile_is_learnt_again_after_an_import_and_a_ready_one_is_kept_until_it_is_old() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory).await;
        let key = settings().key;
        fill(&store, &key, 0..1).await;
        let learnt = async |now, scope| {
            let (lessons, failed) = course(&store, Role::Primary, now, scope).take().await;
            assert!(!failed);
            lessons.iter().map(|lesson| (lesson.at, lesson.profile.ready)).collect::<Vec<_>>()
        };
        assert_eq!(learnt(MONDAY, Scope::Missing).await, [(MONDAY, false)]);
        fill(&store, &key, 1..9).await;
        assert_eq!(learnt(MONDAY + 1, Scope::Missing).await, [(MONDAY + 1, true)]);
        assert_eq!(learnt(MONDAY + 2, Scope::Missing).await, [(MONDAY + 1, true)]);
        assert_eq!(learnt(MONDAY + 3, Scope::All).await, [(MONDAY + 3, true)]);
        assert_eq!(learnt(MONDAY + 3 + DAY_MS, Scope::Missing).await, [(MONDAY + 3 + DAY_MS, true)]);
    }

    #[tokio::test]
    async fn what_an_exception_covers_is_not_learnt_as_normal() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory).await;
        let key = settings().key;
        let series = store.target(&key, &[METRIC.to_owned()]).await.unwrap();
        for hour in 0..10 * 24 {
            let at = MONDAY - (hour + 1) * HOUR_MS;
            // A batch each night from 02:00 to 04:00.
            let value = if (2..4).contains(&(at / HOUR_MS % 24)) { 500.0 } else { 5.0 };
            store.append(&series, at, &[value]).await.unwrap();
        }
        let highest = async |left_out: LeftOut| {
            let course = Course { left_out, ..course(&store, Role::Primary, MONDAY, Scope::All) };
            let (lessons, _) = course.take().await;
            lessons.iter().map(|lesson| lesson.profile.statistics.maximum).fold(0.0, f64::max)
        };
        assert!(highest(LeftOut::default()).await > 400.0);
        let batch = Exception {
            calendar: schedule::Calendar::schedule("daily 02:00-04:00", None, "UTC").unwrap(),
            rules: Vec::new(),
            pods: Vec::new(),
            effect: Effect::Suppress(Vec::new()),
        };
        assert!(highest(LeftOut::of(vec![(Arc::new(batch), Vec::new())])).await < 10.0);
    }

    #[tokio::test]
    async fn spikes_that_follow_deploys_are_a_pattern_that_names_them() {
        const STEP_MS: i64 = 10 * 60_000;
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory).await;
        let series = store.target(&settings().key, &[METRIC.to_owned()]).await.unwrap();
        let begin = MONDAY - 10 * DAY_MS;
        let deploys = [1, 3, 4, 8].map(|day| begin + day * DAY_MS + day * 5 * HOUR_MS / 2);
        for step in 0..10 * 144 {
            let at = begin + step * STEP_MS;
            let follows = deploys.iter().any(|deploy| (1..STEP_MS).contains(&(at - deploy)) || at == *deploy);
            let value = if follows { 90.0 } else { 5.0 + (step % 7) as f32 / 10.0 };
            store.append(&series, at, &[value]).await.unwrap();
        }
        let found = async |deploys: &[i64]| {
            let course = Course { deploys: deploys.into(), ..course(&store, Role::Primary, MONDAY, Scope::All) };
            let patterns = course.take().await.0.remove(0).findings.patterns;
            let brief = patterns.into_iter().find(|pattern| pattern.kind == learn::PatternKind::BriefSpikes);
            brief.map(|pattern| pattern.sentence).unwrap_or_default()
        };
        let sentence = found(&deploys).await;
        assert!(sentence.starts_with("4 brief spikes in 10 days, after deploys"), "{sentence}");
        let sentence = found(&[]).await;
        assert!(sentence.starts_with("4 brief spikes") && !sentence.contains("deploys"), "{sentence}");
    }

    #[tokio::test]
    async fn a_refresh_says_whether_what_was_learnt_before_held_and_a_start_still_knows_it() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory).await;
        fill(&store, &settings().key, 2..12).await;
        let before = MONDAY - 2 * DAY_MS;
        let first = course(&store, Role::Primary, before, Scope::All).take().await.0;
        assert_eq!(first[0].findings.validation, None, "nothing was learnt before");
        fill(&store, &settings().key, 0..2).await;
        let held = course(&store, Role::Primary, MONDAY, Scope::All).take().await.0;
        let validation = held[0].findings.validation.clone();
        assert_eq!(validation.as_ref().map(|found| (found.held, found.samples)), Some((learn::Held::Yes, 47)));
        let started = course(&store, Role::Primary, MONDAY + 1, Scope::Missing).take().await.0;
        assert_eq!((started[0].at, &started[0].findings.validation), (MONDAY, &validation));
        let again = course(&store, Role::Primary, MONDAY + 2, Scope::All).take().await.0;
        assert_eq!(again[0].findings.validation, validation, "too little has come since to say anything new");
    }

    #[tokio::test]
    async fn what_was_learnt_by_another_clock_is_learnt_again() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory).await;
        fill(&store, &settings().key, 0..8).await;
        course(&store, Role::Primary, MONDAY, Scope::Missing).take().await;
        let mut other = course(&store, Role::Primary, MONDAY + 1, Scope::Missing);
        let zone = crate::detect::schedule::zone("Europe/Berlin").unwrap();
        other.clock = Arc::new(Clock::new(&zone, MONDAY - DAY_MS, MONDAY + DAY_MS));
        let lessons = other.take().await.0;
        assert_eq!((lessons[0].at, lessons[0].findings.time_zone.as_str()), (MONDAY + 1, "Europe/Berlin"));
    }

    #[tokio::test]
    async fn each_role_is_judged_by_a_history_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory).await;
        fill(&store, &settings().key, 0..8).await;
        let primary = course(&store, Role::Primary, MONDAY, Scope::Missing);
        let replica = course(&store, Role::Replica, MONDAY, Scope::Missing);
        assert_eq!((primary.key.pod.as_str(), replica.key.pod.as_str()), ("orders-0", "orders-0@replica"));
        assert_eq!(primary.take().await.0.len(), 1);
        assert_eq!(replica.take().await.0.len(), 0);
        fill(&store, &replica.key, 0..1).await;
        let lessons = replica.take().await.0;
        assert_eq!(lessons.iter().map(|lesson| lesson.profile.ready).collect::<Vec<_>>(), [false]);
    }

    #[tokio::test]
    async fn a_history_that_cannot_be_read_is_told_from_one_that_is_empty() {
        let directory = tempfile::tempdir().unwrap();
        let (lessons, failed) = course(&store(&directory).await, Role::Primary, MONDAY, Scope::Missing).take().await;
        assert!(lessons.is_empty() && !failed);
        let unreadable = Store::open(directory.path().join("missing").join("history.sqlite")).await.unwrap();
        let (lessons, failed) = course(&unreadable, Role::Primary, MONDAY, Scope::Missing).take().await;
        assert!(lessons.is_empty() && failed);
    }

    #[tokio::test]
    async fn a_metric_that_was_not_learnt_this_time_is_still_shown() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory).await;
        fill(&store, &settings().key, 0..8).await;
        let course = course(&store, Role::Primary, MONDAY, Scope::Missing);
        let (lessons, _) = course.take().await;
        let first = shown(&course.metrics, &lessons, &[]);
        let names =
            |shown: &[Learnt]| shown.iter().map(|learnt| (learnt.metric.clone(), learnt.at)).collect::<Vec<_>>();
        assert_eq!(names(&first), [(METRIC.to_owned(), MONDAY)]);
        assert_eq!(names(&shown(&course.metrics, &[], &first)), names(&first));
        let later: Vec<Lesson> = lessons.into_iter().map(|lesson| Lesson { at: MONDAY + 1, ..lesson }).collect();
        assert_eq!(names(&shown(&course.metrics, &later, &first)), [(METRIC.to_owned(), MONDAY + 1)]);
    }
}
