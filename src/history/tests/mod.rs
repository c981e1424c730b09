//! The store against real files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::float_cmp, reason = "what is stored must be read back exactly")]

mod crash;
mod csv_transfer;
mod faults;
mod figures;
mod keeping;
mod model;
mod upkeep;

use std::path::PathBuf;

use super::*;
use crate::measure::TargetKey;

/// 2026-03-02 00:00:00 UTC, a Monday, in milliseconds since the Unix epoch.
const START: i64 = 1_772_409_600_000;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// 10 s in milliseconds.
const STEP: i64 = 10_000;

fn key(pod: &str) -> TargetKey {
    TargetKey { namespace: "shop".into(), baseline: "orders".into(), pod: pod.into() }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn file(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("history.db")
}

fn pairs(samples: &[Sample]) -> Vec<(i64, f32)> {
    samples.iter().map(|sample| (sample.at, sample.value)).collect()
}

async fn chunks(store: &Store) -> i64 {
    let database = store.database().await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM chunk").fetch_one(&database.writer).await.unwrap()
}

async fn open_rounds(store: &Store) -> i64 {
    let database = store.database().await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM round").fetch_one(&database.writer).await.unwrap()
}
