use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dbmedic_test_support::{Postgres, Settings, Shutdown, eventually};
use sqlx::postgres::PgSslMode;
use sqlx::{ConnectOptions as _, Connection as _};

#[tokio::test]
async fn data_survive_every_kind_of_restart() -> Result<()> {
    let mut server = Postgres::start().await?;
    eprintln!("PostgreSQL ready in {:.2} s", server.start_time().as_secs_f64());
    server.create_database("orders").await?;
    server.execute("orders", "CREATE TABLE t (n int); CHECKPOINT").await?;
    let mut expected = 0_i64;
    for how in [Shutdown::Fast, Shutdown::Immediate, Shutdown::Killed] {
        server.execute("orders", "SET synchronous_commit = on; INSERT INTO t VALUES (1)").await?;
        expected += 1;
        server.restart(how).await?;
        let found: i64 = server.value("orders", "SELECT count(*) FROM t").await?;
        ensure!(found == expected, "{found} rows after {how:?}, expected {expected}");
    }
    let statements: i64 = server.value("orders", "SELECT count(*) FROM pg_stat_statements").await?;
    ensure!(statements > 0);
    Ok(())
}

#[tokio::test]
async fn a_standby_follows_on_another_address_and_can_be_promoted() -> Result<()> {
    let primary = Postgres::start().await?;
    let second = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let settings = Settings { address: second, port: Some(primary.port()), ..Settings::default() };
    let standby = Postgres::standby_of(&primary, settings).await?;
    ensure!(standby.value::<bool>("postgres", "SELECT pg_is_in_recovery()").await?);
    primary.execute("postgres", "CREATE TABLE t (n int)").await?;
    eventually(Duration::from_secs(20), "the standby to follow", async || {
        let there: bool = standby.value("postgres", "SELECT to_regclass('t') IS NOT NULL").await?;
        Ok(there.then_some(()))
    })
    .await?;
    standby.promote().await?;
    standby.execute("postgres", "INSERT INTO t VALUES (1)").await?;
    primary.promote().await.err().context("a primary was promoted")?;
    Ok(())
}

#[tokio::test]
async fn roles_log_in_with_their_password_and_with_tls_when_it_is_demanded() -> Result<()> {
    let server = Postgres::start_with(Settings { tls: true, ..Settings::default() }).await?;
    server.create_role("mon'itor \"x\"", "se'cret", &["pg_monitor"]).await?;
    let role = server.options("postgres")?.username("mon'itor \"x\"");
    ensure!(role.clone().password("wrong").connect().await.is_err());
    let role = role.password("se'cret");
    role.connect().await?.close().await?;
    server.demand_tls(true).await?;
    ensure!(role.connect().await.is_err());
    let authority = server.authority().context("TLS is on")?;
    let verified = role.clone().ssl_mode(PgSslMode::VerifyFull).ssl_root_cert(authority);
    verified.connect().await?.close().await?;
    server.demand_tls(false).await?;
    role.connect().await?.close().await?;
    Ok(())
}

#[tokio::test]
async fn a_dropped_server_leaves_no_process() -> Result<()> {
    let server = Postgres::start().await?;
    let pid = server.pid().context("it runs")?;
    drop(server);
    ensure!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    Ok(())
}
