//! The process of the Job is killed after each step of its talk with the database, on the way there and on the way back.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use dbmedic_test_support::Message;

use super::operator::seconds;
use super::scene::{Crash, MOST_FAILURES, Run, Scene, Story};

/// The database got the message, and the process died before it could read an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_fix_killed_at_any_step_before_it_builds_is_finished_by_the_next_attempt() -> Result<()> {
    killed(|n, build| n <= build).await
}

/// Apart from the other half so that the two run side by side.
#[tokio::test(flavor = "multi_thread")]
async fn a_fix_killed_at_any_step_of_its_build_and_after_it_is_finished_by_the_next_attempt() -> Result<()> {
    killed(|n, build| n > build).await
}

/// Kills the fix at those of its steps that are `chosen` by their number and that of the last message before the build.
async fn killed(chosen: fn(usize, usize) -> bool) -> Result<()> {
    let mut scene = Scene::open(Story::Helped).await?;
    let before = scene.database_proxy.message_count();
    let reference = reference(&mut scene).await?;
    let messages = scene.database_proxy.messages().split_off(before);
    let build = build(&messages).context("the fix builds nothing")?;
    let mut points = points(&messages, &["CREATE INDEX", "pg_try_advisory_lock", "COMMENT"]);
    points.retain(|n| chosen(*n, build));
    let most_builds = |n| if n == build + 5 || n == build + 6 { UNCOMMITTED } else { 1 };
    every_crash(&mut scene, &reference, &messages, points, Crash::Fix, most_builds).await
}

/// What did not help is taken back, whenever the process that takes it back dies.
#[tokio::test(flavor = "multi_thread")]
async fn an_undo_killed_at_any_step_is_finished_by_the_next_attempt() -> Result<()> {
    let mut scene = Scene::open(Story::TakenBack).await?;
    let reference = reference(&mut scene).await?;
    let messages = scene.database_proxy.messages().split_off(reference.until_measured);
    let drop = messages.iter().position(|message| message.sql.as_deref().is_some_and(|sql| sql.starts_with(DROP)));
    let drop = drop.context("the way back drops nothing")?;
    // A verification precedes each of these runs: every third of the statements round the drop.
    let mut points: BTreeSet<usize> = points(&messages, &[]).into_iter().step_by(3).collect();
    points.extend([drop + 5, drop + NEW, messages.len()]);
    every_crash(&mut scene, &reference, &messages, points, Crash::Undo, |_| 1).await
}

const DROP: &str = "DROP INDEX";

async fn reference(scene: &mut Scene) -> Result<Run> {
    let run = scene.run(None).await.context("without a crash")?;
    let faults = run.view.faults(scene.story, 1);
    ensure!(faults.is_empty(), "without a crash: {faults:?}");
    Ok(run)
}

/// Kills at each point in turn: it always ends as without.
async fn every_crash(
    scene: &mut Scene,
    reference: &Run,
    messages: &[Message],
    points: BTreeSet<usize>,
    crash: fn(usize) -> Crash,
    most_builds: impl Fn(usize) -> usize,
) -> Result<()> {
    let (begun, runs) = (Instant::now(), points.len());
    let mut table = format!("   n  attempts  seconds  killed after ({} messages)\n", messages.len());
    let without = reference.view.jobs.len();
    let _ = writeln!(table, "   -  {without:>8}  {:>7.1}  (nothing)", seconds(reference.succeeded));
    let mut failures = Vec::new();
    for n in points {
        let at = describe(messages, n);
        let mut run = scene.run(Some(crash(n))).await;
        // How often the fix looks at something that runs is not the same each time: near the end the moment may not come.
        if run.as_ref().is_ok_and(|run| !run.reached) {
            run = scene.run(Some(crash(n))).await;
        }
        let run = match run {
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
        let mut faults = run.view.faults(scene.story, most_builds(n));
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
    eprintln!("{table}{runs} kills in {:.0} s", begun.elapsed().as_secs_f64());
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// The server built the index and was never asked to commit that it is valid: PostgreSQL does this at the sync that
/// follows the execution. An INVALID index is left, and has to be built again.
const UNCOMMITTED: usize = 2;

/// How many messages precede the build.
fn build(messages: &[Message]) -> Option<usize> {
    messages.iter().position(|message| message.sql.as_deref().is_some_and(|sql| sql.starts_with("CREATE INDEX")))
}

/// Messages of a statement that is new to its session: parse, describe, sync, bind, execute, close, sync. One that was
/// prepared before begins with bind.
const NEW: usize = 7;

/// The messages after which a process is killed: the first one, the last one of each statement, and each of those
/// statements that leave something that outlives them.
fn points(messages: &[Message], changes: &[&str]) -> BTreeSet<usize> {
    let mut points = BTreeSet::from([1, messages.len()]);
    let mut executed = false;
    for (place, message) in messages.iter().enumerate() {
        let ends = message.kind == 'Q' || (message.kind == 'S' && executed);
        executed = !ends && (executed || message.kind == 'E');
        if ends {
            points.insert(place + 1);
        }
        if message.sql.as_deref().is_some_and(|sql| changes.iter().any(|change| sql.contains(change))) {
            points.extend(place + 1..=place + NEW);
        }
    }
    points
}

/// The message and the statement that it belongs to.
fn describe(messages: &[Message], n: usize) -> String {
    let until = &messages[..n.min(messages.len())];
    let kind = until.last().map_or(' ', |message| message.kind);
    let statement = until.iter().rev().find_map(|message| message.sql.clone()).unwrap_or_else(|| "(connecting)".into());
    format!("{kind} of {}", statement.chars().take(70).collect::<String>())
}
