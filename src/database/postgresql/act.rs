//! The executor: makes one planned change, or takes it back, on a primary whose identity is the plan's.
//!
//! It is re-enterable: whatever a killed predecessor left (a running build, an INVALID index, a finished one) is read
//! from the catalogue first and adopted, mended or reported. A statement that succeeded proves nothing; the catalogue
//! does. Reading happens as the login role, because only it sees its own sessions; `SET ROLE` covers only the change.

mod build;
mod catalogue;
mod prechecks;
mod session;
mod undo;
mod watch;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

pub use session::Endpoint;

use std::time::Duration;

use tokio::time::Instant;

use crate::actions::add_index;
use crate::api::{AddIndex, Plan};
use crate::diagnose::text::printable;
use crate::heal::machine::Purpose;
use crate::heal::plan;
use crate::heal::report::{FixReport, Outcome};

/// Longest message, in characters.
const MESSAGE: usize = 1024;

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The change or its way back.
    pub purpose: Purpose,
    /// UID of the Remediation.
    pub uid: &'a str,
    /// Number of this attempt, from 1: what the first one finds, no earlier one can have made.
    pub attempt: u32,
    /// The plan.
    pub plan: &'a Plan,
    /// The hash that was let through.
    pub plan_hash: &'a str,
    /// The server and the credentials.
    pub endpoint: &'a Endpoint,
    /// Bounds.
    pub limits: Limits,
}

/// Bounds of the executor's waits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A transaction older than this would make the build wait for long: CREATE INDEX CONCURRENTLY waits for every
    /// older snapshot in the database.
    pub old_transaction: Duration,
    /// How long a precheck waits for its condition, and the way back for a predecessor's end.
    pub patience: Duration,
    /// `lock_timeout` of concurrent builds and drops: what waits for them is watched. Everything else has 900 ms.
    pub concurrent_lock: Duration,
    /// How long somebody may be seen waiting for a concurrent build or drop before that is cancelled. With the time
    /// between two looks of the watch before and after, nobody waits longer than a second.
    pub blocking: Duration,
    /// Time between two looks of the watch.
    pub watch: Duration,
    /// Time between two looks.
    pub poll: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            old_transaction: Duration::from_secs(30),
            patience: Duration::from_secs(60),
            concurrent_lock: Duration::from_secs(30),
            blocking: Duration::from_millis(400),
            watch: Duration::from_millis(250),
            poll: Duration::from_millis(200),
        }
    }
}

/// The connection was lost in the middle: the outcome is not known here, and the next attempt reads it from the catalogue.
#[derive(Clone, Debug, thiserror::Error)]
#[error("interrupted, the outcome is not known: {0}")]
pub struct Interrupted(pub String);

/// Why the work ended early.
#[derive(Debug)]
enum Stop {
    /// Not begun.
    Refused(String),
    /// Not begun, for a reason that passes.
    Deferred(String),
    /// Begun, or not possible now.
    Failed(String),
    /// Not known.
    Interrupted(String),
}

/// How the work ended well.
struct Done {
    outcome: Outcome,
    message: String,
    index_valid: Option<bool>,
}

/// The work in progress.
struct Work<'a> {
    order: &'a Order<'a>,
    index: &'a AddIndex,
    deadline: Instant,
    /// Whether something of ours may be in the database that was not there before.
    changed: bool,
}

/// Does the work and reports.
///
/// # Errors
/// [`Interrupted`] when the connection was lost and no report would be true.
pub async fn run(order: &Order<'_>) -> Result<FixReport, Interrupted> {
    let started_at = timestamp();
    let report = |outcome, changed, message: String, index_valid| FixReport {
        outcome,
        changed,
        transient: false,
        message: printable(&message, MESSAGE),
        index_valid,
        started_at: started_at.clone(),
        finished_at: timestamp(),
    };
    let index = match validate(order) {
        Ok(index) => index,
        Err(message) => return Ok(report(Outcome::Refused, false, message, None)),
    };
    let deadline = Instant::now() + Duration::from_secs(u64::from(order.plan.timeout_seconds));
    let mut work = Work { order, index, deadline, changed: false };
    let result = match order.purpose {
        Purpose::Apply => build::apply(&mut work).await,
        Purpose::Undo => undo::undo(&mut work).await,
    };
    match result {
        Ok(done) => Ok(report(done.outcome, work.changed, done.message, done.index_valid)),
        Err(Stop::Refused(message)) if !work.changed => Ok(report(Outcome::Refused, false, message, None)),
        Err(Stop::Deferred(message)) if !work.changed => {
            Ok(FixReport { transient: true, ..report(Outcome::Refused, false, message, None) })
        }
        Err(Stop::Refused(message) | Stop::Deferred(message) | Stop::Failed(message)) => {
            Ok(report(Outcome::Failed, work.changed, message, None))
        }
        Err(Stop::Interrupted(message)) => Err(Interrupted(printable(&message, MESSAGE))),
    }
}

/// Checks what needs no database: hash, statements, UID.
fn validate<'a>(order: &Order<'a>) -> Result<&'a AddIndex, String> {
    if order.uid.is_empty()
        || order.uid.len() > 50
        || !order.uid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    {
        return Err("the UID of the Remediation has another form than UIDs have".into());
    }
    if plan::hash(order.plan) != order.plan_hash {
        return Err("the plan is not the one that was let through: its hash differs".into());
    }
    let Some(index) = &order.plan.change.add_index else {
        return Err("the plan holds no change that is known here".into());
    };
    let rendered = add_index::statement(index).and_then(|statement| Ok((statement, add_index::undo(index)?)));
    match rendered {
        Ok((statement, undo)) if statement == order.plan.statement && undo == order.plan.undo => {}
        Ok(_) => return Err("the plan's statements are not those that its change renders to".into()),
        Err(error) => return Err(format!("the plan names an object that cannot exist: {error}")),
    }
    if index.name != add_index::index_name(&index.schema, &index.table, &index.columns) {
        return Err("the index has another name than its definition derives".into());
    }
    Ok(index)
}

fn timestamp() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}
