//! The demo: a database loses an index and gets it back, on a real API server and a real PostgreSQL. See the README.
//!
//! `make demo` builds the release programs and runs this; `KEEP=1` leaves everything running.

mod acts;
mod observer;
mod people;
mod screen;
mod stage;
mod timeline;

use std::process::ExitCode;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

use acts::Ending;
use stage::Stage;

/// What a shell shows for a program that was interrupted.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    // Dropping what runs stops it: PostgreSQL, control plane, operator, and their files are gone afterwards.
    let outcome = tokio::select! {
        outcome = demo() => outcome,
        () = interrupted() => {
            screen::progress("interrupted: everything is stopped and removed");
            return ExitCode::from(INTERRUPTED);
        }
    };
    match outcome {
        Ok((mut stage, endings)) => {
            let code = verdict(&endings);
            if std::env::var_os("KEEP").is_some_and(|keep| !keep.is_empty() && keep != "0") {
                keep(&mut stage).await;
            }
            code
        }
        Err(error) => {
            println!("demo: the stage could not be set: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn demo() -> Result<(Stage, Vec<Ending>)> {
    let mut stage = Stage::set().await?;
    let endings = acts::play(&mut stage).await;
    Ok((stage, endings))
}

/// Leaves everything running until somebody has seen enough.
async fn keep(stage: &mut Stage) {
    match stage.invite().await {
        Ok(()) => interrupted().await,
        Err(error) => println!("demo: how to look around could not be written: {error:#}"),
    }
    screen::progress("stopping everything");
}

/// Says how it ended, as the last line.
fn verdict(endings: &[Ending]) -> ExitCode {
    let failed: Vec<String> = endings
        .iter()
        .filter_map(|ending| ending.failure.as_ref().map(|why| format!("act {} was not: {why}", ending.act)))
        .collect();
    let good = endings.len() - failed.len();
    if failed.is_empty() {
        println!("demo: {good} of {} acts as expected", endings.len());
        return ExitCode::SUCCESS;
    }
    println!("demo: {good} of {} acts as expected; {}", endings.len(), failed.join("; "));
    ExitCode::FAILURE
}

async fn interrupted() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => (),
        _ = terminate.recv() => (),
    }
}
