//! Learns the profiles of one target from its history, beside the engine.

use tokio::sync::{mpsc, oneshot};

use super::settings::TargetSettings;
use crate::detect::{MetricDescriptor, MetricSet};
use crate::history::Store;
use crate::learn::{self, Options, Profile, UsualTimes};
use crate::measure::TargetKey;

const DAY_MS: i64 = 86_400_000;

/// A profile of one metric, or none when there is no history.
pub(super) struct Lesson {
    pub metric: usize,
    pub at: i64,
    pub profile: Profile,
}

/// All profiles of one target.
pub(super) struct Lessons {
    pub target: usize,
    pub incarnation: u64,
    pub lessons: Vec<Lesson>,
}

/// Loads stored profiles that are young enough and learns the others, then hands all of them over at once.
///
/// `now` is in milliseconds since the Unix epoch. With `anew`, stored profiles are not used.
#[expect(clippy::too_many_arguments, reason = "a task of its own owns everything it needs")]
pub(super) async fn learn_target(
    store: Store,
    key: TargetKey,
    settings: TargetSettings,
    target: usize,
    incarnation: u64,
    now: i64,
    anew: bool,
    done: mpsc::Sender<Lessons>,
) {
    let metrics = MetricSet::new(&settings.custom);
    let mut lessons = Vec::with_capacity(metrics.len());
    for (metric, meaning) in metrics.iter().enumerate() {
        let lesson = match stored(&store, &key, &settings, meaning, metric, now, anew).await {
            Some(lesson) => Some(lesson),
            None => learnt(&store, &key, &settings, meaning, metric, now).await,
        };
        lessons.extend(lesson);
    }
    // The engine may have gone meanwhile; then nobody needs them.
    let _ = done.send(Lessons { target, incarnation, lessons }).await;
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

async fn stored(
    store: &Store,
    key: &TargetKey,
    settings: &TargetSettings,
    meaning: &MetricDescriptor,
    metric: usize,
    now: i64,
    anew: bool,
) -> Option<Lesson> {
    if anew {
        return None;
    }
    let (at, blob) = store.load_profile(key, &meaning.name).await.ok()??;
    let young = now - at < i64::try_from(settings.learning.refresh_every().as_millis()).unwrap_or(i64::MAX);
    let profile = Profile::decode(&blob).ok()?;
    // An unready profile is learnt again: history may have been imported since.
    (young && profile.ready).then_some(Lesson { metric, at, profile })
}

async fn learnt(
    store: &Store,
    key: &TargetKey,
    settings: &TargetSettings,
    meaning: &MetricDescriptor,
    metric: usize,
    now: i64,
) -> Option<Lesson> {
    let from = now - i64::from(settings.learning.window_days) * DAY_MS;
    let samples = match store.read(key, &meaning.name, from, now).await {
        Ok(samples) => samples,
        Err(error) => {
            tracing::warn!(target = %key, metric = meaning.name, %error, "history cannot be read; nothing learnt");
            return None;
        }
    };
    let options = Options {
        outlier_removal: settings.learning.outlier_removal,
        daily: settings.learning.daily,
        weekly: settings.learning.weekly,
        minimum: meaning.minimum,
        maximum: meaning.maximum,
        window_days: settings.learning.window_days,
        now,
    };
    let profile = tokio::task::spawn_blocking(move || learn::learn(&samples, &options)).await.ok()??;
    if let Err(error) = store.save_profile(key, &meaning.name, now, &profile.encode()).await {
        tracing::debug!(target = %key, metric = meaning.name, %error, "profile not stored; it is learnt again at the next start");
    }
    Some(Lesson { metric, at: now, profile })
}
