//! Writes rounds to the history in a task of its own, so that a slow disk never delays a verdict.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::history::{Health, Store, TargetSeries};

/// Rounds that wait for the disk; beyond it they are dropped and counted, for memory is bounded and detection goes on.
const QUEUE: usize = 4096;

/// One round to write.
pub(super) struct Entry {
    pub series: Arc<TargetSeries>,
    pub at: i64,
    pub values: Vec<f32>,
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
        let task = tokio::spawn(async move {
            let mut health = store.health();
            loop {
                let entry = tokio::select! {
                    biased;
                    entry = entries.recv() => entry,
                    () = cancel.cancelled() => None,
                };
                let Some(entry) = entry else { break };
                if let Err(error) = store.append(&entry.series, entry.at, &entry.values).await {
                    tracing::debug!(%error, "a round was not written");
                }
                let now = store.health();
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
                if store.append(&entry.series, entry.at, &entry.values).await.is_err() {
                    break;
                }
            }
        });
        (Self { queue }, task)
    }

    /// Queues a round; false when the queue is full and the round is dropped.
    pub fn record(&self, entry: Entry) -> bool {
        self.queue.try_send(entry).is_ok()
    }
}
