use secrecy::SecretString;

use super::*;
use crate::api::Tls;
use crate::database::postgresql::Endpoint;
use crate::detect::Exception;
use crate::detect::exception::Effect;
use crate::engine::targets::series_of;
use crate::engine::{Learning, RefreshPlan};
use crate::measure::Role;

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
            confidence: None,
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
async fn what_is_ready_is_not_given_up_for_what_is_not_also_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let full = store(&directory).await;
    let key = settings().key;
    fill(&full, &key, 0..9).await;
    course(&full, Role::Primary, MONDAY, Scope::Missing).take().await;
    let later = MONDAY + 30 * DAY_MS;
    let learnt = async |now, scope| {
        let (lessons, failed) = course(&full, Role::Primary, now, scope).take().await;
        assert!(!failed);
        lessons.iter().map(|lesson| (lesson.at, lesson.since, lesson.profile.ready)).collect::<Vec<_>>()
    };
    full.retain(&key, later, 14).await.unwrap();
    assert_eq!(learnt(later, Scope::All).await, [(MONDAY, later, true)], "no history at all");
    let series = full.target(&key, &[METRIC.to_owned()]).await.unwrap();
    for hour in 0..24 {
        full.append(&series, later + hour * HOUR_MS, &[7.0]).await.unwrap();
    }
    let next = later + DAY_MS;
    assert_eq!(learnt(next, Scope::All).await, [(MONDAY, next, true)], "a day of it");
    let started = next + 2 * DAY_MS;
    assert_eq!(learnt(started, Scope::Missing).await, [(MONDAY, started, true)], "the store has it after a restart");
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
async fn a_monthly_batch_is_learnt_from_hours_beyond_the_window_and_known_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory).await;
    let key = settings().key;
    // Until 2 March; at 02:00 of the first of December, January, February and March.
    let rounds = (0..100 * 144).map(|index| MONDAY - 100 * DAY_MS + index * DAY_MS / 144).map(|at| {
        let date = jiff::Timestamp::from_millisecond(at).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
        let value = if date.day() == 1 && date.hour() == 2 { 400.0 } else { 50.0 };
        (at, vec![value + (index_of(at) % 5) as f32])
    });
    store.import(&key, &[METRIC.to_owned()], rounds).await.unwrap();
    store.retain(&key, MONDAY, 14).await.unwrap();
    for (now, scope) in [(MONDAY, Scope::All), (MONDAY + 1, Scope::Missing)] {
        let lessons = course(&store, Role::Primary, now, scope).take().await.0;
        let monthly = &lessons[0].profile.monthly;
        assert_eq!(monthly.iter().map(|slot| (slot.day, slot.hour)).collect::<Vec<_>>(), [(1, 2)]);
        assert!((monthly[0].level - 404.0).abs() < 5.0, "{monthly:?}");
    }
    let declared = Exception {
        calendar: schedule::Calendar::schedule("1st 02:00-02:30", None, "UTC").unwrap(),
        rules: Vec::new(),
        pods: Vec::new(),
        effect: Effect::Suppress(Vec::new()),
    };
    let left_out = LeftOut::of(vec![(Arc::new(declared), Vec::new())]);
    let course = Course { left_out, ..course(&store, Role::Primary, MONDAY, Scope::All) };
    assert_eq!(course.take().await.0[0].profile.monthly, [], "what a person declared is not found besides");
}

fn index_of(at: i64) -> i64 {
    at / (DAY_MS / 144)
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
    let names = |shown: &[Learnt]| shown.iter().map(|learnt| (learnt.metric.clone(), learnt.at)).collect::<Vec<_>>();
    assert_eq!(names(&first), [(METRIC.to_owned(), MONDAY)]);
    assert_eq!(names(&shown(&course.metrics, &[], &first)), names(&first));
    let later: Vec<Lesson> = lessons.into_iter().map(|lesson| Lesson { at: MONDAY + 1, ..lesson }).collect();
    assert_eq!(names(&shown(&course.metrics, &later, &first)), [(METRIC.to_owned(), MONDAY + 1)]);
}
