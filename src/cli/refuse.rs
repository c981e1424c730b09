//! `refuse NAME`: no to a planned change.

use super::arguments::Decide;
use super::cluster::Cluster;
use super::decide;
use super::failure::Failure;
use super::output::Output;
use crate::api::Decision;

/// Asks, and writes the refusal down.
pub(super) async fn run(cluster: &Cluster, output: &Output, arguments: &Decide) -> Result<u8, Failure> {
    decide::run(cluster, output, arguments, Decision::Refuse).await
}
