//! Nobody waits for long because of a concurrent build or drop. It lets reads and writes pass, but holds a lock
//! (`ShareUpdateExclusiveLock`) for which an `ALTER TABLE` has to wait, and behind that every statement on the table. A
//! second session sees this, and cancels ours: the build can come again, the application's queue must not grow.

use std::collections::HashMap;
use std::future::pending;
use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::time::{Instant, sleep, timeout};

use super::session::{Session, connection, stopped};
use super::{Limits, Stop, Work};

/// Sessions that wait for one of ours, for a lock behind which reads or writes of others queue, since when.
#[derive(Default)]
pub(super) struct Waiters(HashMap<i32, Instant>);

const WAITING: &str = "
select distinct l.pid from pg_locks l
where not l.granted and l.locktype = 'relation'
  and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  and $1 = any(pg_blocking_pids(l.pid))";

impl Waiters {
    /// Whether somebody waits for the session `builder` longer than allowed; the builder is cancelled then.
    pub(super) async fn look(
        &mut self,
        connection: &mut PgConnection,
        builder: i32,
        limits: Limits,
    ) -> Result<Option<String>, sqlx::Error> {
        let waiting: Vec<i32> = sqlx::query_scalar(WAITING).bind(builder).fetch_all(&mut *connection).await?;
        self.0.retain(|pid, _| waiting.contains(pid));
        let now = Instant::now();
        let longest = waiting.iter().map(|pid| (*self.0.entry(*pid).or_insert(now), *pid)).min();
        let Some((since, pid)) = longest.filter(|(since, _)| now.duration_since(*since) >= limits.blocking) else {
            return Ok(None);
        };
        // Our own role's sessions may be cancelled without pg_signal_backend. Found again in the same statement: a
        // number that was given to another role's session is never hit.
        sqlx::query(
            "select pg_cancel_backend(pid) from pg_stat_activity where pid = $1 and usename = session_user and state = 'active'",
        )
        .bind(builder)
        .fetch_all(connection)
        .await?;
        let waited = since.elapsed().as_millis();
        Ok(Some(format!("session {pid} waited {waited} ms for a lock because of it, and others behind that")))
    }
}

/// The second session.
pub(super) struct Watch {
    connection: PgConnection,
    builder: i32,
}

impl Watch {
    /// Connects, before anything begins: without this session nothing is built.
    pub(super) async fn open(work: &Work<'_>, session: &mut Session) -> Result<Self, Stop> {
        let builder =
            sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut session.connection).await.map_err(stopped)?;
        let connection = connection(work.order, "dbmedic-watch").await?;
        Ok(Self { connection, builder })
    }

    /// Ends the session, so that its place is free at once.
    pub(super) async fn close(self) {
        // The work is done whatever becomes of the goodbye.
        let _ = timeout(Duration::from_secs(2), self.connection.close()).await;
    }

    /// Returns once it cancelled the work, with the reason; as long as nobody waits, never.
    pub(super) async fn cancel_when_blocking(&mut self, work: &Work<'_>) -> String {
        let limits = work.order.limits;
        let mut waiters = Waiters::default();
        loop {
            sleep(limits.watch).await;
            match waiters.look(&mut self.connection, self.builder, limits).await {
                Ok(Some(reason)) => return reason,
                Ok(None) => {}
                // The session was lost; the work goes on, and another watches over it.
                Err(_) => match connection(work.order, "dbmedic-watch").await {
                    Ok(again) => self.connection = again,
                    // The server is gone, which the work itself finds out.
                    Err(_) => pending().await,
                },
            }
        }
    }
}
