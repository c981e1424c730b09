use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dbmedic_test_support::{ApiProxy, Cluster, Launch, Moment, PgProxy, Postgres, Signal, eventually};
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, ObjectMeta, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};

const PATIENCE: Duration = Duration::from_secs(30);

fn map(name: &str) -> ConfigMap {
    ConfigMap { metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }, ..ConfigMap::default() }
}

struct World {
    proxy: ApiProxy,
    /// Past the proxy.
    direct: Api<ConfigMap>,
    /// Through the proxy, with a service account's own rights.
    through: Api<ConfigMap>,
}

async fn world() -> Result<World> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("proxy").await?;
    let token = cluster.service_account_token(&namespace, "operator").await?;
    let user = format!("system:serviceaccount:{namespace}:operator");
    cluster.grant(&namespace, &user, "", &["configmaps"], &["create", "list", "watch"]).await?;
    let proxy = ApiProxy::start(cluster).await?;
    let kubeconfig = Kubeconfig::read_from(proxy.kubeconfig(&token)?)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    let through: Api<ConfigMap> = Api::namespaced(Client::try_from(config)?, &namespace);
    let direct = Api::namespaced(cluster.client("admin").await?, &namespace);
    eventually(PATIENCE, "the account's right", async || Ok(through.list(&ListParams::default()).await.ok())).await?;
    Ok(World { proxy, direct, through })
}

#[tokio::test]
async fn the_api_proxy_counts_writes_and_acts_before_and_after_them() -> Result<()> {
    let world = world().await?;
    let seen = Arc::new(AtomicUsize::new(0));
    let (first, second) = (Arc::clone(&seen), Arc::clone(&seen));
    world.proxy.at_write(1, Moment::BeforeSend, move || {
        first.fetch_add(1, Ordering::SeqCst);
    })?;
    world.proxy.at_write(2, Moment::BeforeReply, move || {
        second.fetch_add(10, Ordering::SeqCst);
    })?;
    world.through.create(&PostParams::default(), &map("one")).await?;
    ensure!(seen.load(Ordering::SeqCst) == 1);
    world.through.create(&PostParams::default(), &map("two")).await?;
    ensure!(seen.load(Ordering::SeqCst) == 11);
    ensure!(world.through.create(&PostParams::default(), &map("two")).await.is_err());
    let writes = world.proxy.writes();
    let statuses: Vec<_> = writes.iter().map(|write| write.status).collect();
    ensure!(statuses == [Some(201), Some(201), Some(409)] && writes[0].path.ends_with("/configmaps"), "{writes:?}");
    ensure!(world.proxy.request_count() > world.proxy.write_count());
    ensure!(world.proxy.at_write(3, Moment::BeforeSend, || ()).is_err());
    Ok(())
}

#[tokio::test]
async fn a_client_killed_at_its_write_has_written_exactly_if_it_was_sent() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let world = world().await?;
    let namespace = world.direct.namespace().context("a namespace")?;
    let token = cluster.service_account_token(namespace, "operator").await?;
    for (name, moment, written) in [("before", Moment::Lost, false), ("after", Moment::BeforeReply, true)] {
        let number = world.proxy.write_count() + 1;
        let url = format!("{}/api/v1/namespaces/{namespace}/configmaps", world.proxy.url());
        let body = serde_json::to_string(&map(name))?;
        let (send, receive) = std::sync::mpsc::channel::<dbmedic_test_support::Process>();
        // The action waits for the handle, which exists only after the start.
        world.proxy.at_write(number, moment, move || {
            if let Ok(process) = receive.recv() {
                process.kill();
            }
        })?;
        let client = Launch::new("curl")
            .arguments(["-sS", "-X", "POST", "-H", "Content-Type: application/json", "-H"])
            .argument(format!("Authorization: Bearer {token}"))
            .arguments(["-d", &body, &url])
            .start()?;
        send.send(client.clone())?;
        let status = client.wait(PATIENCE).await?;
        ensure!(std::os::unix::process::ExitStatusExt::signal(&status) == Some(Signal::SIGKILL as i32));
        ensure!(world.direct.get_opt(name).await?.is_some() == written, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn watches_stream_through_the_api_proxy_and_end_when_it_goes_away() -> Result<()> {
    let world = world().await?;
    let mut events = Box::pin(world.through.watch(&WatchParams::default(), "0").await?);
    world.direct.create(&PostParams::default(), &map("seen")).await?;
    tokio::time::timeout(PATIENCE, async {
        while let Some(event) = events.try_next().await? {
            if matches!(&event, WatchEvent::Added(map) if map.metadata.name.as_deref() == Some("seen")) {
                return Ok(());
            }
        }
        anyhow::bail!("the watch ended")
    })
    .await??;
    world.proxy.go_away();
    let rest = tokio::time::timeout(PATIENCE, async { while let Ok(Some(_)) = events.try_next().await {} }).await;
    ensure!(rest.is_ok(), "the watch goes on");
    ensure!(world.through.list(&ListParams::default()).await.is_err());
    world.proxy.come_back();
    world.through.list(&ListParams::default()).await?;
    Ok(())
}

struct Database {
    server: Postgres,
    proxy: PgProxy,
    options: PgConnectOptions,
}

async fn database() -> Result<Database> {
    let server = Postgres::start().await?;
    let proxy = PgProxy::start("127.0.0.1:0".parse()?, (server.address(), server.port()).into()).await?;
    let options = server.options("postgres")?.port(proxy.address().port());
    Ok(Database { server, proxy, options })
}

#[tokio::test]
async fn the_postgres_proxy_counts_messages_and_acts_around_them() -> Result<()> {
    let database = database().await?;
    let mut connection = database.options.connect().await?;
    connection.execute(sqlx::raw_sql("CREATE TABLE one (n int)")).await?;
    let messages = database.proxy.messages();
    ensure!(messages[0].kind == '^', "{messages:?}");
    let last = messages.last().context("a message")?;
    ensure!(last.kind == 'Q' && last.sql.as_deref() == Some("CREATE TABLE one (n int)"), "{last:?}");

    // Before its answer the server has done it; before it is sent, not.
    let proxy = Arc::new(database.proxy);
    for (table, moment, there) in [("two", Moment::BeforeReply, true), ("three", Moment::Lost, false)] {
        let cutter = Arc::clone(&proxy);
        proxy.at_message(proxy.message_count() + 1, moment, move || cutter.cut())?;
        let statement = sqlx::AssertSqlSafe(format!("CREATE TABLE {table} (n int)"));
        ensure!(connection.execute(sqlx::raw_sql(statement)).await.is_err());
        let question = format!("SELECT to_regclass('{table}') IS NOT NULL");
        ensure!(database.server.value::<bool>("postgres", &question).await? == there, "{table}");
        connection =
            eventually(PATIENCE, "a new connection", async || Ok(database.options.connect().await.ok())).await?;
    }
    connection.close().await?;
    Ok(())
}

#[tokio::test]
async fn the_postgres_proxy_goes_away_and_comes_back() -> Result<()> {
    let database = database().await?;
    let mut connection = database.options.connect().await?;
    database.proxy.go_away();
    ensure!(connection.execute("SELECT 1").await.is_err());
    ensure!(database.options.connect().await.is_err());
    database.proxy.come_back();
    database.options.connect().await?.close().await?;
    Ok(())
}

#[tokio::test]
async fn the_postgres_proxy_counts_the_sessions_it_is_for_and_ends_them_after_a_message() -> Result<()> {
    let server = Postgres::start().await?;
    let address = (server.address(), server.port()).into();
    let proxy = PgProxy::start_for("127.0.0.1:0".parse()?, address, "fix/").await?;
    let options = server.options("postgres")?.port(proxy.address().port());
    let mut other = options.clone().application_name("monitor").connect().await?;
    other.execute("SELECT 1").await?;
    ensure!(proxy.message_count() == 0, "{:?}", proxy.messages());

    let mut fix = options.application_name("fix/1").connect().await?;
    let acted = Arc::new(AtomicUsize::new(0));
    let acts = Arc::clone(&acted);
    proxy.after_message(proxy.message_count() + 1, move || {
        acts.fetch_add(1, Ordering::SeqCst);
    })?;
    ensure!(fix.execute(sqlx::raw_sql("CREATE TABLE one (n int)")).await.is_err());
    // The server got it, and goes on without its client.
    let question = "SELECT to_regclass('one') IS NOT NULL";
    eventually(PATIENCE, "the table", async || Ok(server.value::<bool>("postgres", question).await?.then_some(())))
        .await?;
    ensure!(acted.load(Ordering::SeqCst) == 1);
    other.execute("SELECT 1").await?;
    Ok(())
}
