//! The process of the Job is killed after each step of its talk with the database.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use dbmedic_test_support::Message;

use super::operator::seconds;
use super::scene::{Crash, MOST_FAILURES, Scene};

/// The database got the message, and the process died before it could read an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_fix_killed_at_any_step_is_finished_by_the_next_attempt() -> Result<()> {
    let mut scene = Scene::open().await?;
    let before = scene.database_proxy.message_count();
    let reference = scene.run(None).await.context("without a crash")?;
    ensure!(reference.view.faults(1).is_empty(), "without a crash: {:?}", reference.view.faults(1));
    let messages = scene.database_proxy.messages().split_off(before);
    let mut table = format!("   n  attempts  seconds  killed after ({} messages)\n", messages.len());
    let mut failures = Vec::new();
    for n in points(&messages) {
        let at = describe(&messages, n);
        let run = match scene.run(Some(Crash::Fix(n))).await {
            Ok(run) => run,
            Err(error) => {
                let _ = writeln!(table, "{n:>4}  FAILED  {at}");
                failures.push(format!("message {n}, {at}: {error:#}"));
                if failures.len() >= MOST_FAILURES {
                    break;
                }
                continue;
            }
        };
        let mut faults = run.view.faults(if is_uncommitted(&messages, n) { 2 } else { 1 });
        let attempts = run.view.jobs.len();
        if !run.reached {
            faults.push("the moment never came".to_owned());
        }
        if faults.is_empty() && run.view.clone().without_attempts() != reference.view.clone().without_attempts() {
            faults.push(format!("another end: {:?}\ninstead of {:?}", run.view, reference.view));
        }
        let wrong = if faults.is_empty() { "" } else { "  WRONG" };
        let _ = writeln!(table, "{n:>4}  {attempts:>8}  {:>7.1}  {at}{wrong}", seconds(run.succeeded));
        for fault in &faults {
            eprintln!("{fault}");
        }
        eprint!("{}", table.lines().last().map(|line| format!("{line}\n")).unwrap_or_default());
        failures.extend(faults.iter().map(|fault| format!("message {n}, {at}: {fault}")));
        if failures.len() >= MOST_FAILURES {
            break;
        }
    }
    eprintln!("{table}");
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// Messages between two kills where nothing changes in the database.
const STRIDE: usize = 20;
/// What changes something that outlives the message: its every message is the last one once.
const CHANGES: [&str; 2] = ["CREATE INDEX", "pg_try_advisory_lock"];

/// Whether the server built the index and was never asked to commit that it is valid: PostgreSQL does this at the sync
/// that follows the execution. An INVALID index is left, and has to be built again.
fn is_uncommitted(messages: &[Message], n: usize) -> bool {
    let build =
        messages.iter().position(|message| message.sql.as_deref().is_some_and(|sql| sql.starts_with(CHANGES[0])));
    build.is_some_and(|place| n == place + 5 || n == place + 6)
}

/// The messages after which a process is killed: all of a change, the first and the last one, and each so many-th.
fn points(messages: &[Message]) -> BTreeSet<usize> {
    let changes = messages.iter().enumerate().filter(|(_, message)| {
        message.sql.as_deref().is_some_and(|sql| CHANGES.iter().any(|change| sql.contains(change)))
    });
    let mut points: BTreeSet<usize> = (1..=messages.len()).step_by(STRIDE).collect();
    for (place, message) in changes {
        // Of the build each message (parse, describe, sync, bind, execute, close, sync), of the claim the last one.
        let build = message.sql.as_deref().is_some_and(|sql| sql.starts_with(CHANGES[0]));
        points.extend(if build { place + 1..=place + 7 } else { place + 7..=place + 7 });
    }
    // The comment that signs the index: executed, and synced.
    let comment =
        messages.iter().position(|message| message.sql.as_deref().is_some_and(|sql| sql.starts_with("COMMENT")));
    points.extend(comment.into_iter().flat_map(|place| [place + 5, place + 7]));
    points.insert(messages.len());
    points
}

/// The message and the statement that it belongs to.
fn describe(messages: &[Message], n: usize) -> String {
    let until = &messages[..n.min(messages.len())];
    let kind = until.last().map_or(' ', |message| message.kind);
    let statement = until.iter().rev().find_map(|message| message.sql.clone()).unwrap_or_else(|| "(connecting)".into());
    format!("{kind} of {}", statement.chars().take(70).collect::<String>())
}
