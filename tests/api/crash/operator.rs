//! The operator is killed after each of its writes.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dbmedic_test_support::{Moment, Write};

use super::scene::{Crash, MOST_FAILURES, Scene, Story};

/// More writes than one incident can need.
const MOST_WRITES: usize = 80;
/// Every so many writes one is lost instead.
const LOST_STRIDE: usize = 5;

/// The API server did it, and the operator never hears; now and then, the API server never gets it.
#[tokio::test(flavor = "multi_thread")]
async fn the_operator_killed_at_any_write_ends_where_it_would_have_without() -> Result<()> {
    let mut scene = Scene::open(Story::Helped).await?;
    let reference = scene.run(None).await.context("without a crash")?;
    ensure!(
        reference.view.faults(Story::Helped, 1).is_empty(),
        "without a crash: {:?}",
        reference.view.faults(Story::Helped, 1)
    );
    let mut table = format!("   n  {:<9} seconds  killed at\n", "write is");
    let _ =
        writeln!(table, "   -  {:<9} {:>7.1}  ({} writes)", "", seconds(reference.succeeded), reference.writes.len());
    let mut failures = Vec::new();
    for n in 1..=MOST_WRITES {
        let lost = (n % LOST_STRIDE == 0).then_some(Moment::Lost);
        let mut reached = false;
        for moment in [Some(Moment::BeforeReply), lost].into_iter().flatten() {
            let name = if moment == Moment::Lost { "lost" } else { "done" };
            let run = match scene.run(Some(Crash::Operator(n, moment))).await {
                Ok(run) => run,
                Err(error) => {
                    let _ = writeln!(table, "{n:>4}  {name:<9}  FAILED");
                    failures.push(format!("write {n} {name}: {error:#}"));
                    reached = true;
                    continue;
                }
            };
            reached |= run.reached;
            let mut faults = run.view.faults(Story::Helped, 1);
            if faults.is_empty() && run.view != reference.view {
                faults.push(format!("another end: {:?}\ninstead of {:?}", run.view, reference.view));
            }
            let at = if run.reached {
                run.writes.get(n - 1).map_or_else(String::new, write)
            } else {
                "(not reached)".into()
            };
            let _ = writeln!(
                table,
                "{n:>4}  {name:<9} {:>7.1}  {at}{}",
                seconds(run.succeeded),
                if faults.is_empty() { "" } else { "  WRONG" }
            );
            for fault in &faults {
                eprintln!("{fault}");
            }
            eprint!("{}", table.lines().last().map(|line| format!("{line}\n")).unwrap_or_default());
            failures.extend(faults.iter().map(|fault| format!("write {n} {name}, {at}: {fault}")));
        }
        if !reached || failures.len() >= MOST_FAILURES {
            break;
        }
    }
    eprintln!("{table}");
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

pub fn seconds(time: Option<Duration>) -> f64 {
    time.map_or(f64::NAN, |time| time.as_secs_f64())
}

/// Method and path, without what is the same in all of them.
fn write(write: &Write) -> String {
    let path = write.path.split("/namespaces/").last().unwrap_or_default();
    let path = path.split_once('/').map_or(path, |(_, path)| path);
    let status = write.status.map_or_else(|| "lost".to_owned(), |status| status.to_string());
    format!("{} {path} {status}", write.method)
}
