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
    ensure!(reference.view.faults().is_empty(), "without a crash: {:?}", reference.view.faults());
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
                continue;
            }
        };
        let mut faults = run.view.faults();
        let attempts = run.view.jobs.len();
        if !run.reached {
            faults.push("the moment never came".to_owned());
        }
        if faults.is_empty() && run.view.clone().without_attempts() != reference.view.clone().without_attempts() {
            faults.push(format!("another end: {:?}\ninstead of {:?}", run.view, reference.view));
        }
        let wrong = if faults.is_empty() { "" } else { "  WRONG" };
        let _ = writeln!(table, "{n:>4}  {attempts:>8}  {:>7.1}  {at}{wrong}", seconds(run.succeeded));
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

/// The messages after which a process is killed.
fn points(messages: &[Message]) -> BTreeSet<usize> {
    for (place, message) in messages.iter().enumerate() {
        eprintln!("{} {} {}", place + 1, message.kind, message.sql.clone().unwrap_or_default());
    }
    (1..=messages.len()).step_by(20).collect()
}

/// The message and the statement that it belongs to.
fn describe(messages: &[Message], n: usize) -> String {
    let until = &messages[..n.min(messages.len())];
    let kind = until.last().map_or(' ', |message| message.kind);
    let statement = until.iter().rev().find_map(|message| message.sql.clone()).unwrap_or_else(|| "(connecting)".into());
    format!("{kind} of {}", statement.chars().take(70).collect::<String>())
}
