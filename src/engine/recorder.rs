//! Writes rounds to the history in a task of its own, so that a slow disk never delays a verdict.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::history::{Health, HistoryError, Store, TargetSeries};
use crate::learn::UsualTimes;
use crate::measure::TargetKey;
use crate::telemetry::Telemetry;

/// Entries that wait for the disk; beyond it they are dropped and counted, for memory is bounded and detection goes on.
const QUEUE: usize = 4096;
/// Days of samples that are kept of a target that is no longer watched: the longest window.
const UNWATCHED_DAYS: u32 = 30;

/// A series in the history: a target in one of its roles, and the names of its metrics.
#[derive(Debug)]
pub(super) struct Series {
    pub key: TargetKey,
    pub metrics: Vec<String>,
}

/// Something to write.
pub(super) enum Entry {
    /// A round.
    Round { series: Arc<Series>, at: i64, values: Arc<[f32]> },
    /// What each statement of a target usually takes.
    UsualTimes { target: TargetKey, times: UsualTimes },
    /// Remove what is older than these windows in days; `now` in milliseconds since the Unix epoch.
    Retain { windows: HashMap<TargetKey, u32>, now: i64 },
}

impl Entry {
    /// A word for metrics and logs.
    fn kind(&self) -> &'static str {
        match self {
            Self::Round { .. } => "round",
            Self::UsualTimes { .. } => "usual_times",
            Self::Retain { .. } => "retention",
        }
    }
}

/// The recorder's queue.
#[derive(Clone)]
pub(super) struct Recorder {
    queue: mpsc::Sender<Entry>,
    telemetry: Arc<Telemetry>,
}

impl Recorder {
    /// Starts the task. `changed` is called whenever the store's health changes.
    pub fn start(
        store: Store,
        telemetry: Arc<Telemetry>,
        changed: impl Fn(&Health) + Send + 'static,
        cancel: CancellationToken,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, mut entries) = mpsc::channel::<Entry>(QUEUE);
        let mut writer = Writer { store, telemetry: telemetry.clone(), known: HashMap::new(), warned: HashSet::new() };
        let task = tokio::spawn(async move {
            let mut health = writer.store.health();
            while let Some(Some(entry)) = cancel.run_until_cancelled(entries.recv()).await {
                writer.write(entry).await;
                let now = writer.store.health();
                if now != health {
                    match &now {
                        Health::Working => tracing::info!("the history can be written again"),
                        Health::Unwritable(reason) | Health::Corrupt(reason) => {
                            tracing::error!(reason, "the history is not kept; detection goes on");
                        }
                    }
                    changed(&now);
                    health = now;
                }
            }
            // What is queued when the process stops is still written: it is at most a few rounds.
            while let Ok(entry) = entries.try_recv() {
                writer.write(entry).await;
                if matches!(writer.store.health(), Health::Unwritable(_)) {
                    break;
                }
            }
        });
        (Self { queue, telemetry }, task)
    }

    /// Queues an entry. When the queue is full it is dropped and counted.
    pub fn record(&self, entry: Entry) {
        if let Err(error) = self.queue.try_send(entry) {
            self.telemetry.history_lost(error.into_inner().kind(), "queue");
        }
    }
}

struct Writer {
    store: Store,
    telemetry: Arc<Telemetry>,
    known: HashMap<TargetKey, (Arc<Series>, TargetSeries)>,
    /// Classes of errors that were told.
    warned: HashSet<&'static str>,
}

impl Writer {
    /// Writes an entry; what cannot be written is counted, and told once per class of error.
    async fn write(&mut self, entry: Entry) {
        let kind = entry.kind();
        let Err(error) = self.try_write(entry).await else { return };
        self.telemetry.history_lost(kind, error.class());
        if self.warned.insert(error.class()) {
            tracing::warn!(entry = kind, %error, "lost for the history; further ones of this class are only counted");
        }
    }

    async fn try_write(&mut self, entry: Entry) -> Result<(), HistoryError> {
        match entry {
            Entry::Round { series, at, values } => {
                if let Some((known, opened)) = self.known.get(&series.key)
                    && Arc::ptr_eq(known, &series)
                {
                    return self.store.append(opened, at, &values).await;
                }
                let opened = self.store.target(&series.key, &series.metrics).await?;
                let appended = self.store.append(&opened, at, &values).await;
                self.known.insert(series.key.clone(), (series, opened));
                appended
            }
            Entry::UsualTimes { target, times } => self.store.save_usual_times(&target, &times.encode()).await,
            Entry::Retain { windows, now } => {
                for key in self.store.targets().await? {
                    let days = windows.get(&key).copied().unwrap_or(UNWATCHED_DAYS);
                    self.store.retain(&key, now, days).await?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series() -> Arc<Series> {
        let key = TargetKey { namespace: "shop".into(), baseline: "orders".into(), pod: "orders-0".into() };
        Arc::new(Series { key, metrics: vec!["throughput".into()] })
    }

    fn round(series: &Arc<Series>, at: i64, values: &[f32]) -> Entry {
        Entry::Round { series: series.clone(), at, values: values.into() }
    }

    async fn stores(directory: &tempfile::TempDir) -> Store {
        Store::open(directory.path().join("history.sqlite")).await.unwrap()
    }

    #[tokio::test]
    async fn an_entry_that_cannot_be_written_is_counted_and_costs_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let (store, telemetry, cancel) =
            (stores(&directory).await, Arc::<Telemetry>::default(), CancellationToken::new());
        let (recorder, task) = Recorder::start(store.clone(), telemetry.clone(), |_| {}, cancel.clone());
        let series = series();
        recorder.record(round(&series, 1000, &[1.0, 2.0]));
        recorder.record(round(&series, i64::MAX, &[1.0]));
        recorder.record(round(&series, 2000, &[3.0, 4.0]));
        recorder.record(round(&series, 3000, &[5.0]));
        cancel.cancel();
        task.await.unwrap();
        let text = telemetry.text();
        assert!(text.contains(r#"dbmedic_history_lost_total{entry="round",reason="shape"} 2"#), "{text}");
        assert!(text.contains(r#"dbmedic_history_lost_total{entry="round",reason="instant"} 1"#), "{text}");
        let kept = store.read(&series.key, "throughput", 0, 10_000).await.unwrap();
        assert_eq!(kept.iter().map(|sample| sample.at).collect::<Vec<_>>(), [3000]);
    }

    #[tokio::test]
    async fn what_the_queue_has_no_room_for_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        let telemetry = Arc::<Telemetry>::default();
        let (recorder, task) =
            Recorder::start(stores(&directory).await, telemetry.clone(), |_| {}, CancellationToken::new());
        // Nothing is taken from the queue before this task waits.
        for at in 0..QUEUE {
            recorder.record(round(&series(), at as i64, &[1.0]));
        }
        recorder.record(Entry::UsualTimes { target: series().key.clone(), times: UsualTimes::default() });
        task.abort();
        let text = telemetry.text();
        assert!(text.contains(r#"dbmedic_history_lost_total{entry="usual_times",reason="queue"} 1"#), "{text}");
    }
}
