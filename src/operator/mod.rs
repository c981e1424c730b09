//! The process: caches on every replica, effects only on the leader, a graceful end.

pub mod arguments;
mod fence;
mod http;
mod leader;
mod queues;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kube::client::ClientBuilder;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::controllers::baseline::Deploys;
use crate::controllers::{Backoff, Context, Looks, Settings, incidents, stores};
use crate::engine;
use crate::history;
use crate::telemetry::Telemetry;

/// Longest wait for the last rounds to be written when the process ends.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// How often it is looked at whether the first lists are complete: nothing else begins before.
const LOOK_AT_LISTS: Duration = Duration::from_millis(5);
/// How often it is said which kinds could not be listed yet.
const SAY_MISSING: Duration = Duration::from_secs(10);

/// Runs the operator until it is told to stop or loses its Lease.
pub async fn run(arguments: arguments::Arguments) -> anyhow::Result<()> {
    start_logging(&arguments);
    let fence = leader::fence(&arguments);
    let client = client(&fence).await?;
    let cancel = CancellationToken::new();
    let telemetry = Arc::new(Telemetry::default());
    let (changes_sender, mut changes) = mpsc::unbounded_channel();
    let stores = stores::start(&client, &arguments.watch_namespaces, &changes_sender, &cancel);
    http::serve(arguments.listen, stores.clone(), telemetry.clone(), cancel.clone()).await?;

    let tasks = TaskTracker::new();
    let leader::Leadership { mut held, leadership } = leader::compete(client.clone(), &arguments).await?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;

    let leading = async {
        // A follower's caches are warm, but nobody looks at what changes: leadership begins with a look at everything.
        while !*held.borrow_and_update() {
            tokio::select! {
                changed = held.changed() => changed.context("the Lease is no longer competed for")?,
                _ = changes.recv() => {}
            }
        }
        leader::adopt(&client, &arguments, &fence).await?;
        telemetry.set_leader(true);
        tracing::info!(identity = arguments.identity, "leading");
        let losing = async {
            Ok(tokio::select! {
                lost = held.wait_for(|held| !*held) => lost.map(|_| "the Lease was not renewed".to_owned())?,
                why = leader::lost(&client, &arguments, &fence) => why,
            })
        };
        let start = lead(&arguments, &client, &stores, changes, &telemetry, &cancel, &tasks);
        let why = until_lost(start, losing).await?;
        tracing::error!(why, "the Lease is lost; ending, for somebody else may act now");
        anyhow::bail!("the Lease was lost: {why}")
    };
    let outcome = tokio::select! {
        outcome = leading => outcome,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    tracing::info!("stopping");
    cancel.cancel();
    tasks.close();
    if tokio::time::timeout(LAST_WRITES, tasks.wait()).await.is_err() {
        tracing::warn!("the last rounds were not written in time");
    }
    // Released, so that a follower need not wait for its end.
    drop(held);
    leadership.ended().await;
    outcome
}

/// Starts everything that has effects.
async fn lead(
    arguments: &arguments::Arguments,
    client: &Client,
    stores: &stores::Stores,
    changes: mpsc::UnboundedReceiver<stores::Changed>,
    telemetry: &Arc<Telemetry>,
    cancel: &CancellationToken,
    tasks: &TaskTracker,
) -> anyhow::Result<()> {
    // No decision is made from a half-filled cache.
    listed(|| {
        stores.progress().iter().filter(|one| one.age_seconds(0).is_none()).map(|one| one.kind.clone()).collect()
    })
    .await;
    let store = history::Store::open_with(arguments.data_dir.join(history::FILE), arguments.history_cache_kib)
        .await
        .with_context(|| format!("cannot open the history in {}", arguments.data_dir.display()))?;
    let (incident_sender, incident_changes) = mpsc::unbounded_channel();
    let (noticed_sender, noticed) = mpsc::unbounded_channel();
    let (engine, engine_task) =
        engine::start(store, incident_sender, noticed_sender, telemetry.clone(), cancel.clone());
    let reporter = Reporter { controller: "dbmedic".into(), instance: Some(arguments.identity.clone()) };
    let context = Arc::new(Context {
        client: client.clone(),
        stores: stores.clone(),
        engine,
        settings: Settings {
            namespace: arguments.namespace.clone(),
            user: arguments.user.clone(),
            image: arguments.image.clone(),
        },
        recorder: Recorder::new(client.clone(), reporter),
        telemetry: telemetry.clone(),
        backoff: Backoff::default(),
        looks: Looks::default(),
        deploys: Deploys::default(),
    });
    tokio::spawn(cancel.clone().run_until_cancelled_owned(incidents::run(context.clone(), incident_changes)));
    queues::start(&context, changes, noticed, cancel);
    tasks.spawn(engine_task);
    Ok(())
}

/// Starts what has effects and waits for the loss of the Lease, which may come before the start is done.
async fn until_lost(
    start: impl Future<Output = anyhow::Result<()>>,
    losing: impl Future<Output = anyhow::Result<String>>,
) -> anyhow::Result<String> {
    let mut losing = std::pin::pin!(losing);
    tokio::select! {
        started = start => started?,
        why = &mut losing => return why,
    }
    losing.await
}

/// Waits until no kind is missing, and says now and then which are.
async fn listed(missing: impl Fn() -> BTreeSet<String>) {
    let mut say = tokio::time::Instant::now() + SAY_MISSING;
    loop {
        let kinds = missing();
        if kinds.is_empty() {
            return;
        }
        if tokio::time::Instant::now() >= say {
            let kinds: Vec<String> = kinds.into_iter().collect();
            tracing::warn!(kinds = kinds.join(","), "not listed yet: nothing is done before every kind is");
            say += SAY_MISSING;
        }
        tokio::time::sleep(LOOK_AT_LISTS).await;
    }
}

async fn client(fence: &fence::Fence) -> anyhow::Result<Client> {
    let mut config =
        Config::infer().await.context("no cluster: neither a kubeconfig nor a service account was found")?;
    // Reconciles have their own bounded calls and back-off; the client's own could block for minutes.
    config.default_retry = false;
    let builder = ClientBuilder::try_from(config).context("cannot make a client of the cluster's configuration")?;
    Ok(builder.with_layer(fence).build())
}

fn start_logging(arguments: &arguments::Arguments) {
    let filter = tracing_subscriber::EnvFilter::try_new(&arguments.log)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_writer(std::io::stderr);
    // A second start in the same process keeps the first one's log.
    let _ = match arguments.log_format {
        arguments::LogFormat::Text => builder.with_ansi(false).try_init(),
        arguments::LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_lease_that_is_lost_while_kinds_cannot_be_listed_ends_the_process() {
        let start = async {
            listed(|| ["anomalies".to_owned()].into()).await;
            Ok(())
        };
        let why = until_lost(start, ready(Ok("taken".into()))).await;
        assert_eq!(why.unwrap(), "taken");
    }

    #[tokio::test]
    async fn a_start_that_fails_is_an_error_and_one_that_succeeds_waits_for_the_loss() {
        let failed = until_lost(ready(Err(anyhow::anyhow!("no history"))), pending()).await;
        assert_eq!(failed.unwrap_err().to_string(), "no history");
        let started = Cell::new(false);
        let start = async {
            started.set(true);
            Ok(())
        };
        let losing = async {
            while !started.get() {
                tokio::task::yield_now().await;
            }
            Ok("taken".to_owned())
        };
        assert_eq!(until_lost(start, losing).await.unwrap(), "taken");
    }

    #[tokio::test(start_paused = true)]
    async fn leading_begins_when_the_last_kind_is_listed() {
        let asked = Cell::new(0);
        listed(|| {
            asked.set(asked.get() + 1);
            if asked.get() < 5000 { ["jobs".to_owned()].into() } else { BTreeSet::new() }
        })
        .await;
        assert_eq!(asked.get(), 5000);
    }
}
