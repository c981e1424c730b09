//! Speaks to a running collector: work over its kept connection, and what it knows.

use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::PgConnection;
use tokio::sync::{mpsc, oneshot, watch};

use crate::database::postgresql::DatabaseError;
use crate::database::postgresql::statements::StatementHistory;
use crate::measure::{Identity, StatementFigures};

/// How long work over the kept connection may hold the rounds up.
pub(super) const WORK_LIMIT: Duration = Duration::from_secs(30);

/// The kept connection and what was seen of the statements, or why there is no connection.
pub(super) type Access<'a> = Result<(&'a mut PgConnection, &'a StatementHistory), DatabaseError>;
pub(super) type Work = Box<dyn for<'a> FnOnce(Access<'a>) -> BoxFuture<'a, ()> + Send>;

/// What is asked of a collector.
pub(super) enum Command {
    Work(Work),
    Since { since_ms: i64, query_ids: Vec<i64>, reply: oneshot::Sender<Option<StatementFigures>> },
}

/// Speaks to a running collector. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CollectorHandle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) identity: watch::Receiver<Option<Identity>>,
}

impl CollectorHandle {
    /// Runs `work` over the kept connection between two rounds. The session is read-only, with the limits of
    /// [`crate::database::postgresql::connect::connect`]; settings and transactions that the work leaves are undone.
    ///
    /// # Errors
    /// The work's own; that of the last attempt to connect while there is no connection; a timeout after 30 s.
    pub async fn with_connection<T, F>(&self, work: F) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut PgConnection, &'c StatementHistory) -> BoxFuture<'c, Result<T, DatabaseError>>
            + Send
            + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let work = boxed(move |access: Access<'_>| {
            let work = access.map(|(connection, history)| work(connection, history));
            Box::pin(async move {
                let done = match work {
                    Ok(work) => work.await,
                    Err(error) => Err(error),
                };
                // Whoever asked may have gone away.
                let _ = reply.send(done);
            })
        });
        if self.commands.send(Command::Work(work)).await.is_err() {
            return Err(DatabaseError::Unreachable("the collector has ended".into()));
        }
        let gave_up = || DatabaseError::Timeout(format!("not done within {} s", WORK_LIMIT.as_secs()));
        answer.await.unwrap_or_else(|_| Err(gave_up()))
    }

    /// What these statements did together since `since_ms` (ms since the Unix epoch): see [`StatementHistory::since`].
    pub async fn statements_since(&self, since_ms: i64, query_ids: &[i64]) -> Option<StatementFigures> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Since { since_ms, query_ids: query_ids.to_vec(), reply };
        self.commands.send(command).await.ok()?;
        answer.await.ok().flatten()
    }

    /// Which server answers; `None` while there is no connection.
    pub fn identity(&self) -> Option<Identity> {
        self.identity.borrow().clone()
    }
}

/// Lets the compiler see that the closure works for every lifetime.
fn boxed<F>(work: F) -> Work
where
    F: for<'a> FnOnce(Access<'a>) -> BoxFuture<'a, ()> + Send + 'static,
{
    Box::new(work)
}
