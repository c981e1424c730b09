//! The change: adopt, mend or build, then read the post-condition.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::catalogue::{self, Index, Owner, comment_of};
use super::prechecks;
use super::session::{Session, application_name, code, describe, is_server_error, stopped};
use super::watch::{Waiters, Watch};
use super::{Done, Stop, Work};
use crate::database::postgresql::quote::quote_identifier;
use crate::heal::report::Outcome;

/// Most builds of one run. A second one follows only a wait that was cut by `lock_timeout`.
const TRIES: u32 = 2;
/// Time that a cut statement may take to answer.
const ANSWER: Duration = Duration::from_secs(30);
/// How long the session that cancels may take to learn that it did.
const CANCELLER: Duration = Duration::from_secs(1);
/// SQLSTATE `query_canceled`: by somebody, or by `statement_timeout`.
const CANCELLED: &str = "57014";

pub(super) async fn apply(work: &mut Work<'_>) -> Result<Done, Stop> {
    let mut session = Session::open(work).await?;
    let result = change(work, &mut session).await;
    session.close().await;
    result
}

async fn change(work: &mut Work<'_>, session: &mut Session) -> Result<Done, Stop> {
    session.check_identity(&work.order.plan.target, work.order.purpose).await?;
    await_claim(work, session).await?;
    // The wait for a predecessor may have been long enough for a failover.
    session.check_identity(&work.order.plan.target, work.order.purpose).await?;
    let mut builds = 0;
    let mut cut = None;
    let mut waiters = Waiters::default();
    loop {
        let table = prechecks::check_table(session, work).await?;
        match catalogue::index(session, work).await? {
            Some(index) => match settle(work, session, &index, builds).await? {
                Settled::Valid => return finish(work, session, builds).await,
                Settled::Wait(builder) => {
                    let limits = work.order.limits;
                    waiters.look(&mut session.connection, builder, limits).await.map_err(stopped)?;
                    sleep(limits.poll).await;
                }
                Settled::Invalid => drop_invalid(work, session).await?,
            },
            None if builds == TRIES => {
                let why = cut.unwrap_or_default();
                return Err(Stop::Failed(format!("{TRIES} builds were cut, and what they left is removed: {why}")));
            }
            None => {
                if let Some(name) = catalogue::equal_index(session, work).await? {
                    return Err(Stop::Refused(format!("an index of this definition exists already: {name:?}")));
                }
                prechecks::await_quiet(session, work, &table).await?;
                builds += 1;
                cut = build(work, session).await?;
            }
        }
    }
}

/// Waits for a predecessor whose session still holds the claim: its build is ours.
async fn await_claim(work: &Work<'_>, session: &mut Session) -> Result<(), Stop> {
    let mut waiters = Waiters::default();
    while !session.claim(work.order.uid).await? {
        if Instant::now() >= work.deadline {
            return Err(Stop::Interrupted("a predecessor still holds the claim of this Remediation".into()));
        }
        let builder: Option<i32> = sqlx::query_scalar(
            "select pid from pg_stat_activity where application_name = $1 and pid <> pg_backend_pid() \
             and usename = session_user and state = 'active' limit 1",
        )
        .bind(application_name(work.order.uid))
        .fetch_optional(&mut session.connection)
        .await
        .map_err(stopped)?;
        if let Some(builder) = builder {
            waiters.look(&mut session.connection, builder, work.order.limits).await.map_err(stopped)?;
        }
        sleep(work.order.limits.poll).await;
    }
    Ok(())
}

enum Settled {
    Valid,
    Invalid,
    /// This session still builds it.
    Wait(i32),
}

/// What an existing relation of the index's name means. One without a key is ours only if this attempt or an earlier one
/// can have begun it: the first one that finds it before its own build found a person's.
async fn settle(work: &Work<'_>, session: &mut Session, index: &Index, builds: u32) -> Result<Settled, Stop> {
    let name = &work.index.name;
    match index.owner(work.order.uid) {
        Owner::Foreign => {
            return Err(Stop::Refused(format!("{name:?} exists, with another definition, and is not ours")));
        }
        Owner::Other => return Err(Stop::Refused(format!("{name:?} belongs to another Remediation"))),
        Owner::Unsigned if builds == 0 && work.order.attempt <= 1 => {
            return Err(Stop::Refused(format!("{name:?} exists already, and is not ours")));
        }
        Owner::Ours | Owner::Unsigned => {}
    }
    if index.valid && index.ready {
        return Ok(Settled::Valid);
    }
    let table = catalogue::table(session, work).await?;
    let building = match (index.builder, table) {
        (Some(pid), _) => Some(pid),
        (None, Some(table)) => catalogue::builder_on(session, &table).await?,
        (None, None) => None,
    };
    match building {
        Some(pid) if Instant::now() >= work.deadline => {
            Err(Stop::Interrupted(format!("session {pid} still builds the index")))
        }
        Some(pid) => Ok(Settled::Wait(pid)),
        None => Ok(Settled::Invalid),
    }
}

/// One build. `Some` when it was cut by a wait and may be tried again.
async fn build(work: &mut Work<'_>, session: &mut Session) -> Result<Option<String>, Stop> {
    let limit = work.deadline.saturating_duration_since(Instant::now());
    if limit.is_zero() {
        return Err(Stop::Refused("no time was left for the build".into()));
    }
    work.changed = true;
    let ended = match concurrently(work, session, work.order.plan.statement.clone(), limit).await {
        // It could not even begin.
        Err(stop @ (Stop::Refused(_) | Stop::Deferred(_))) => {
            work.changed = false;
            return Err(stop);
        }
        ended => ended?,
    };
    let error = match ended {
        Ended::Done => return Ok(None),
        Ended::Cut(reason) => {
            if catalogue::index(session, work).await?.is_some() {
                drop_invalid(work, session).await?;
            }
            work.changed = false;
            return Err(Stop::Deferred(format!("the build was cancelled: {reason}")));
        }
        Ended::Error(error) => error,
    };
    if !is_server_error(&error) {
        return Err(stopped(error));
    }
    let message = describe(&error);
    match code(&error).as_str() {
        // lock_not_available, deadlock_detected, duplicate_table: what is there now decides.
        "55P03" | "40P01" | "42P07" => Ok(Some(message)),
        _ => {
            if catalogue::index(session, work).await?.is_none() {
                work.changed = false;
            }
            Err(Stop::Failed(format!("the build failed: {message}")))
        }
    }
}

/// How a concurrent build or drop ended.
pub(super) enum Ended {
    Done,
    /// Cancelled by the watch, because somebody waited for it.
    Cut(String),
    Error(sqlx::Error),
}

/// Runs a concurrent build or drop as the role of the change, watched by a second session. The error ends the work.
pub(super) async fn concurrently(
    work: &Work<'_>,
    session: &mut Session,
    statement: String,
    limit: Duration,
) -> Result<Ended, Stop> {
    let mut watch = Watch::open(work, session).await?;
    session.become_role(&work.order.endpoint.username).await?;
    session.for_building(work.order.limits.concurrent_lock, limit).await?;
    let (result, reason) = {
        let execution = timeout(limit + ANSWER, session.execute(statement));
        let cancelling = watch.cancel_when_blocking(work);
        tokio::pin!(execution, cancelling);
        tokio::select! {
            result = &mut execution => {
                let cancelled = matches!(&result, Ok(Err(error)) if code(error) == CANCELLED);
                // Whoever is cancelled may hear of it before the one who cancels has its answer.
                let reason = if cancelled { timeout(CANCELLER, cancelling).await.ok() } else { None };
                (result, reason)
            }
            reason = &mut cancelling => ((&mut execution).await, Some(reason)),
        }
    };
    watch.close().await;
    let Ok(result) = result else {
        return Err(Stop::Interrupted("the server did not answer in time".into()));
    };
    let ended = match (result, reason) {
        (Ok(()), _) => Ended::Done,
        (Err(error), Some(reason)) if code(&error) == CANCELLED => Ended::Cut(reason),
        (Err(error), _) if !is_server_error(&error) => return Ok(Ended::Error(error)),
        (Err(error), _) => Ended::Error(error),
    };
    session.leave_role().await?;
    session.for_looking().await?;
    Ok(ended)
}

/// Removes an INVALID index of ours that nobody is building.
async fn drop_invalid(work: &mut Work<'_>, session: &mut Session) -> Result<(), Stop> {
    work.changed = true;
    let limit = work.deadline.saturating_duration_since(Instant::now()).max(ANSWER);
    let why = match concurrently(work, session, work.order.plan.undo.clone(), limit).await? {
        Ended::Done => {
            work.changed = false;
            return Ok(());
        }
        Ended::Cut(reason) => reason,
        Ended::Error(error) if is_server_error(&error) => describe(&error),
        Ended::Error(error) => return Err(stopped(error)),
    };
    Err(Stop::Failed(format!("an INVALID index of ours cannot be removed: {why}")))
}

/// Signs the index and reads the post-condition.
async fn finish(work: &mut Work<'_>, session: &mut Session, builds: u32) -> Result<Done, Stop> {
    sign(work, session).await?;
    let index = catalogue::index(session, work).await?;
    let good = index
        .is_some_and(|index| index.valid && index.ready && index.exact && index.owner(work.order.uid) == Owner::Ours);
    if !good {
        return Err(Stop::Failed("the index is not valid, ready, signed and as planned after the build".into()));
    }
    let name = &work.index.name;
    Ok(if builds > 0 {
        Done {
            outcome: Outcome::Applied,
            message: format!("index {name:?} is built and valid"),
            index_valid: Some(true),
        }
    } else {
        Done {
            outcome: Outcome::Adopted,
            message: format!("index {name:?} was built by an earlier attempt and is valid"),
            index_valid: Some(true),
        }
    })
}

/// Leaves the key of the Remediation at the index.
async fn sign(work: &Work<'_>, session: &mut Session) -> Result<(), Stop> {
    let quote = |name: &str| quote_identifier(name).map_err(|error| Stop::Failed(error.to_string()));
    // The UID holds letters, digits and dashes only: `validate` has seen to it.
    let statement = format!(
        "COMMENT ON INDEX {}.{} IS '{}'",
        quote(&work.index.schema)?,
        quote(&work.index.name)?,
        comment_of(work.order.uid)
    );
    session.become_role(&work.order.endpoint.username).await?;
    let result = session.execute(statement).await;
    if result.as_ref().is_err_and(|error| !is_server_error(error)) {
        return result.map_err(stopped);
    }
    session.leave_role().await?;
    result.map_err(|error| Stop::Failed(format!("the index cannot be signed: {}", describe(&error))))
}
