//! Writes rounds to the history in a task of its own, so that a slow disk never delays a verdict.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::history::{Health, HistoryError, Store, TargetSeries};
use crate::learn::UsualTimes;
use crate::measure::TargetKey;

/// Rounds that wait for the disk; beyond it they are dropped and counted, for memory is bounded and detection goes on.
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
    Round { series: Arc<Series>, at: i64, values: Vec<f32> },
    /// What each statement of a target usually takes.
    UsualTimes { target: TargetKey, times: UsualTimes },
    /// Remove what is older than these windows in days; `now` in milliseconds since the Unix epoch.
    Retain { windows: HashMap<TargetKey, u32>, now: i64 },
}

/// The recorder's queue.
#[derive(Clone)]
pub(super) struct Recorder {
    queue: mpsc::Sender<Entry>,
}

impl Recorder {
    /// Starts the task. `changed` is called whenever the store's health changes.
    pub fn start(
        store: Store,
        changed: impl Fn(&Health) + Send + 'static,
        cancel: CancellationToken,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, mut entries) = mpsc::channel::<Entry>(QUEUE);
        let mut writer = Writer { store, known: HashMap::new() };
        let task = tokio::spawn(async move {
            let mut health = writer.store.health();
            while let Some(Some(entry)) = cancel.run_until_cancelled(entries.recv()).await {
                if let Err(error) = writer.write(entry).await {
                    tracing::debug!(%error, "not written");
                }
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
                if writer.write(entry).await.is_err() {
                    break;
                }
            }
        });
        (Self { queue }, task)
    }

    /// Queues an entry; false when the queue is full and it is dropped.
    pub fn record(&self, entry: Entry) -> bool {
        self.queue.try_send(entry).is_ok()
    }
}

struct Writer {
    store: Store,
    known: HashMap<TargetKey, TargetSeries>,
}

impl Writer {
    async fn write(&mut self, entry: Entry) -> Result<(), HistoryError> {
        match entry {
            Entry::Round { series, at, values } => {
                let known = self.known.get(&series.key).is_some_and(|known| known.metrics() == series.metrics);
                if !known {
                    let opened = self.store.target(&series.key, &series.metrics).await?;
                    self.known.insert(series.key.clone(), opened);
                }
                match self.known.get(&series.key) {
                    Some(known) => self.store.append(known, at, &values).await,
                    None => Ok(()),
                }
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
