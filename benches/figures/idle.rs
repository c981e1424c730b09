//! The operator with nothing to do: start, memory, processor time, writes.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use dbmedic_test_support::shop::{OPERATOR, Operator, Shop};
use dbmedic_test_support::{ApiProxy, Cluster};
use kube::Api;

use super::Programs;
use super::database::Monitoring;
use super::machine::{processor_time, resident};
use super::story::await_learnt;
use super::table::{Figure, milliseconds, progress, quantile};

const STARTS: usize = 5;
const IDLE: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(30);
const GOAL_START_MS: f64 = 100.0;
const GOAL_MEMORY_MIB: f64 = 20.0;

/// From the start of the process to `/readyz`, against the start of a process that only prints its version.
///
/// # Errors
/// The operator does not get ready.
pub async fn starts(cluster: &Cluster, shop: &Shop, programs: &Programs) -> Result<Figure> {
    progress("start to ready");
    let mut taken = Vec::new();
    for _ in 0..STARTS {
        let operator = shop.start_operator(cluster).await?;
        taken.push(milliseconds(ready(&operator).await?));
        stop(operator).await?;
    }
    let mut bare = Vec::new();
    for _ in 0..STARTS {
        let began = Instant::now();
        Command::new(programs.dbmedic()).arg("--version").output()?;
        bare.push(milliseconds(began.elapsed()));
    }
    let (middle, worst) = (quantile(&mut taken, 0.5), quantile(&mut taken, 1.0));
    Ok(Figure::new("start → ready, median and worst of 5", format!("{middle:.0}, {worst:.0} ms"))
        .goal("≤ 100 ms", middle <= GOAL_START_MS)
        .against(format!("`dbmedic --version` starts and ends in {:.0} ms", quantile(&mut bare, 0.5))))
}

/// Looks each millisecond: the pause of `Operator::ready` is as long as what is measured.
async fn ready(operator: &Operator) -> Result<Duration> {
    while !matches!(operator.get("/readyz").await, Ok((200, _))) {
        anyhow::ensure!(operator.started.elapsed() < PATIENCE, "not ready{}", operator.process.log_end());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(operator.started.elapsed())
}

/// Ends an operator politely, so that the next one gets the Lease at once.
///
/// # Errors
/// It does not end.
pub async fn stop(operator: Operator) -> Result<()> {
    operator.process.signal(dbmedic_test_support::Signal::SIGTERM);
    operator.process.wait(PATIENCE).await?;
    Ok(())
}

/// A minute of one database at 10 s, over TLS: memory, processor time here and on the server.
///
/// # Errors
/// The operator does not get ready.
pub async fn minute(cluster: &Cluster, shop: &Shop) -> Result<Vec<Figure>> {
    let operator = shop.start_operator(cluster).await?;
    let pid = operator.process.pid();
    await_learnt(&Api::namespaced(cluster.client("admin").await?, &shop.namespace)).await?;
    tokio::time::sleep(Duration::from_secs(15)).await;
    progress("one idle minute: memory and processor time");
    let monitoring = Monitoring::begin(shop).await?;
    let (before, began) = (processor_time(pid)?, Instant::now());
    tokio::time::sleep(IDLE).await;
    let share = 100.0 * processor_time(pid)?.saturating_sub(before).as_secs_f64() / began.elapsed().as_secs_f64();
    let (all, anonymous) = resident(pid)?;
    let server = monitoring.end(shop).await?;
    stop(operator).await?;
    Ok(vec![
        server,
        Figure::new("idle resident memory, one database, 14 days learnt", format!("{all:.1} MiB"))
            .goal("≤ 20 MiB", all <= GOAL_MEMORY_MIB)
            .against(format!("{anonymous:.1} MiB of its own, the rest is the program's file; postgres_exporter 16.6")),
        Figure::new("CPU of the operator, one database at 10 s", format!("{share:.3} % of a core")),
    ])
}

/// Writes to the API server in a minute in which nothing happens.
///
/// # Errors
/// The operator does not get ready.
pub async fn writes(cluster: &Cluster, shop: &Shop) -> Result<Figure> {
    let proxy = ApiProxy::start(cluster).await?;
    let token = cluster.service_account_token(OPERATOR.0, OPERATOR.1).await?;
    let operator = shop.start_operator_with(proxy.kubeconfig(&token)?, "operator-0")?;
    await_learnt(&Api::namespaced(cluster.client("admin").await?, &shop.namespace)).await?;
    tokio::time::sleep(Duration::from_secs(15)).await;
    progress("one idle minute: writes to the API server");
    let (writes, requests) = (proxy.write_count(), proxy.request_count());
    tokio::time::sleep(IDLE).await;
    let later: Vec<String> =
        proxy.writes().split_off(writes).iter().map(|write| format!("{} {}", write.method, write.path)).collect();
    for write in &later {
        progress(&format!("written while nothing happened: {write}"));
    }
    let requests = proxy.request_count() - requests;
    stop(operator).await?;
    Ok(Figure::new("writes in a minute when nothing happens, without the Lease", later.len().to_string())
        .goal("0", later.is_empty())
        .against(format!("{requests} requests in all: the Lease (renewed each 2 s here) and watches")))
}
