//! The way back: stop a build of ours that is still running, then drop the index if it is ours.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::build::{Ended, concurrently};
use super::catalogue::{self, Owner};
use super::session::{Session, application_name, code, describe, is_server_error, stopped};
use super::{Done, Stop, Work};
use crate::heal::report::Outcome;

/// Most drops of one run: one that was cut by a wait can be repeated.
const TRIES: u32 = 3;
/// How long a cancelled predecessor may take before its session is ended.
const AFTER_CANCEL: Duration = Duration::from_secs(5);

pub(super) async fn undo(work: &mut Work<'_>) -> Result<Done, Stop> {
    // The way back is tried again: what only passes is a failure, not a refusal.
    let mut session = Session::open(work).await.map_err(|stop| match stop {
        Stop::Refused(message) | Stop::Deferred(message) => Stop::Failed(message),
        other => other,
    })?;
    let result = take_back(work, &mut session).await;
    session.close().await;
    result
}

async fn take_back(work: &mut Work<'_>, session: &mut Session) -> Result<Done, Stop> {
    session.check_identity(&work.order.plan.target, work.order.purpose).await?;
    end_predecessor(work, session).await?;
    let name = &work.index.name;
    let mut last = String::new();
    for attempt in 0..=TRIES {
        let Some(index) = catalogue::index(session, work).await? else {
            return Ok(if work.changed {
                let message = format!("index {name:?} is dropped");
                Done { outcome: Outcome::Undone, message, index_valid: None }
            } else {
                let message = format!("index {name:?} does not exist");
                Done { outcome: Outcome::NothingToUndo, message, index_valid: None }
            });
        };
        if !matches!(index.owner(work.order.uid), Owner::Ours | Owner::Unsigned) {
            return Err(Stop::Refused(format!("{name:?} is not ours: it has another key or definition")));
        }
        if attempt == TRIES {
            break;
        }
        work.changed = true;
        let limit = work.deadline.saturating_duration_since(Instant::now()).max(work.order.limits.concurrent_lock);
        match concurrently(work, session, work.order.plan.undo.clone(), limit).await? {
            Ended::Done => {}
            Ended::Cut(reason) => last = reason,
            // undefined_object: somebody was quicker. lock_not_available, deadlock_detected, query_canceled: again.
            Ended::Error(error) if ["42704", "55P03", "40P01", "57014"].contains(&code(&error).as_str()) => {
                last = describe(&error);
            }
            Ended::Error(error) if is_server_error(&error) => {
                return Err(Stop::Failed(format!("the index cannot be dropped: {}", describe(&error))));
            }
            Ended::Error(error) => return Err(stopped(error)),
        }
    }
    Err(Stop::Failed(format!("index {name:?} is still there after {TRIES} tries: {last}")))
}

/// Takes the claim; a predecessor that holds it is cancelled, then ended: what it builds is no longer wanted.
async fn end_predecessor(work: &Work<'_>, session: &mut Session) -> Result<(), Stop> {
    let limits = work.order.limits;
    let begun = Instant::now();
    while !session.claim(work.order.uid).await? {
        if begun.elapsed() >= limits.patience {
            return Err(Stop::Failed("a predecessor still holds the claim of this Remediation".into()));
        }
        // Found and ended in the same statement, so that a reused pid is never hit. Our own role's sessions may be ended
        // without pg_signal_backend.
        let statement = if begun.elapsed() < AFTER_CANCEL {
            "select pg_cancel_backend(pid) from pg_stat_activity where application_name = $1 and pid <> pg_backend_pid() \
             and usename = session_user and state = 'active'"
        } else {
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1 and pid <> pg_backend_pid() \
             and usename = session_user"
        };
        sqlx::query(statement)
            .bind(application_name(work.order.uid))
            .fetch_all(&mut session.connection)
            .await
            .map_err(stopped)?;
        sleep(limits.poll).await;
    }
    Ok(())
}
