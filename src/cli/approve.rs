//! `approve NAME`: yes to a planned change, to the very plan that was read and shown.

use super::arguments::Decide;
use super::cluster::Cluster;
use super::decide;
use super::failure::Failure;
use super::output::Output;
use crate::api::Decision;

/// Shows the plan, asks, and writes the approval down.
pub(super) async fn run(cluster: &Cluster, output: &Output, arguments: &Decide) -> Result<u8, Failure> {
    decide::run(cluster, output, arguments, Decision::Approve).await
}
