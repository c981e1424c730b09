//! The change: adopt, mend or build, then read the post-condition.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::catalogue::{self, Index, Owner, comment_of};
use super::prechecks;
use super::session::{Session, code, describe, is_server_error, stopped};
use super::{Done, Stop, Work};
use crate::database::postgresql::quote::quote_identifier;
use crate::heal::report::Outcome;

/// Most builds of one run. A second one follows only a wait that was cut by `lock_timeout`.
const TRIES: u32 = 2;
/// Time that a cut statement may take to answer.
const ANSWER: Duration = Duration::from_secs(30);

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
    loop {
        let table = prechecks::check_table(session, work).await?;
        match catalogue::index(session, work).await? {
            Some(index) => match settle(work, session, &index).await? {
                Settled::Valid => return finish(work, session, builds).await,
                Settled::Wait => sleep(work.order.limits.poll).await,
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
    while !session.claim(work.order.uid).await? {
        if Instant::now() >= work.deadline {
            return Err(Stop::Interrupted("a predecessor still holds the claim of this Remediation".into()));
        }
        sleep(work.order.limits.poll).await;
    }
    Ok(())
}

enum Settled {
    Valid,
    Invalid,
    Wait,
}

/// What an existing relation of the index's name means.
async fn settle(work: &Work<'_>, session: &mut Session, index: &Index) -> Result<Settled, Stop> {
    let name = &work.index.name;
    match index.owner(work.order.uid) {
        Owner::Foreign => {
            return Err(Stop::Refused(format!("{name:?} exists, with another definition, and is not ours")));
        }
        Owner::Other => return Err(Stop::Refused(format!("{name:?} belongs to another Remediation"))),
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
        Some(_) => Ok(Settled::Wait),
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
    let Err(error) = concurrently(work, session, work.order.plan.statement.clone(), limit).await? else {
        return Ok(None);
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

/// Runs a concurrent build or drop as the role of the change. The outer error ends the work, the inner is the
/// statement's own.
pub(super) async fn concurrently(
    work: &Work<'_>,
    session: &mut Session,
    statement: String,
    limit: Duration,
) -> Result<Result<(), sqlx::Error>, Stop> {
    session.become_role(&work.order.endpoint.username).await?;
    session.for_building(work.order.limits.concurrent_lock, limit).await?;
    let Ok(result) = timeout(limit + ANSWER, session.execute(statement)).await else {
        return Err(Stop::Interrupted("the server did not answer in time".into()));
    };
    if result.as_ref().is_err_and(|error| !is_server_error(error)) {
        return Ok(result);
    }
    session.leave_role().await?;
    session.for_looking().await?;
    Ok(result)
}

/// Removes an INVALID index of ours that nobody is building.
async fn drop_invalid(work: &mut Work<'_>, session: &mut Session) -> Result<(), Stop> {
    work.changed = true;
    let limit = work.deadline.saturating_duration_since(Instant::now()).max(ANSWER);
    match concurrently(work, session, work.order.plan.undo.clone(), limit).await? {
        Ok(()) => {
            work.changed = false;
            Ok(())
        }
        Err(error) if is_server_error(&error) => {
            Err(Stop::Failed(format!("an INVALID index of ours cannot be removed: {}", describe(&error))))
        }
        Err(error) => Err(stopped(error)),
    }
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
