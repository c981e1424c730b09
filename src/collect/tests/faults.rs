//! Servers that crash, restart, change their role or have no room left.

use super::*;
use crate::database::postgresql::fixture::TestServer;

async fn traffic(server: &TestServer) {
    for _ in 0..20 {
        server.sql("select count(*) from pg_class").await;
    }
}

#[tokio::test]
async fn the_crash_of_a_backend_gives_a_gap_and_no_rate_across_it() {
    let server = TestServer::start().await;
    let mut watched = Watched::start(server.endpoint("monitor", "postgres"));
    watched.connected().await;
    traffic(&server).await;
    watched.value("response_time").await;
    let mut victim = server.administrator("postgres").await;
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut victim).await.unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    assert_eq!(watched.failed().await, "Unreachable");
    assert_eq!(watched.handle.identity(), None);
    watched.connected().await;
    assert!(watched.reset().await.contains("lost"));
    let first = watched.rounds(1).await.remove(0);
    assert!(first[index("throughput")].is_nan() && first[index("response_time")].is_nan());
    watched.value("throughput").await;
    traffic(&server).await;
    watched.value("response_time").await;
}

#[tokio::test]
async fn a_restart_gives_absent_rounds_and_a_reset() {
    let mut server = TestServer::start().await;
    traffic(&server).await;
    let mut watched = Watched::start(server.endpoint("monitor", "postgres"));
    watched.value("throughput").await;
    server.stop();
    assert_eq!(watched.failed().await, "Unreachable");
    let rounds = watched.rounds(3).await;
    assert!(rounds.iter().flatten().all(|value| value.is_nan()));
    server.run().await;
    watched.connected().await;
    assert_eq!(watched.reset().await, "the server was restarted");
    let failures = watched.seen.iter().filter(|report| matches!(report, Report::Failed(_))).count();
    assert_eq!(failures, 1);
    watched.value("throughput").await;
}

#[tokio::test]
async fn a_promotion_resets_rates_and_ends_the_replication_lag() {
    let primary = TestServer::start().await;
    let replica = primary.replica().await;
    let mut watched = Watched::start(replica.endpoint("monitor", "postgres"));
    let before = watched.connected().await;
    assert_eq!(before.role, Role::Replica);
    assert_eq!(watched.unavailable().await, []);
    watched.value("transaction_id_age").await;
    primary.sql("create table a as select 1").await;
    watched.until(|report| value_of(report, "replication_lag").filter(|&lag| lag < 30.0)).await;
    assert_eq!(watched.role().await, Role::Replica);
    replica.sql("select pg_promote()").await;
    let after = watched.connected().await;
    assert_eq!((after.role, &after.system_identifier), (Role::Primary, &before.system_identifier));
    assert_eq!(watched.reset().await, "the replica was promoted");
    let first = watched.rounds(1).await.remove(0);
    assert!(first[index("throughput")].is_nan() && first[index("replication_lag")].is_nan());
    watched.value("throughput").await;
    assert_eq!(watched.role().await, Role::Primary);
}

#[tokio::test]
async fn a_replica_that_receives_nothing_has_no_lag_rather_than_none_behind() {
    let mut primary = TestServer::start().await;
    let replica = primary.replica().await;
    let mut watched = Watched::start(replica.endpoint("monitor", "postgres"));
    watched.value("replication_lag").await;
    primary.stop();
    let gone = |report: &Report| match report {
        Report::Round { round, .. } => round.values[index("replication_lag")].is_nan().then_some(()),
        _ => None,
    };
    watched.until(gone).await;
    watched.value("connection_count").await;
}

#[tokio::test]
async fn a_full_server_is_exhausted_and_not_unreachable() {
    let server = TestServer::start().await;
    server.sql("alter role monitor connection limit 1").await;
    let _only = server.monitor().await;
    let mut watched = Watched::start(server.endpoint("monitor", "postgres"));
    assert_eq!(watched.failed().await, "Exhausted");
}

#[tokio::test]
async fn a_server_that_stops_answering_costs_the_round_and_not_the_collector() {
    let server = TestServer::start().await;
    let mut watched = Watched::start(server.endpoint("monitor", "postgres"));
    watched.value("throughput").await;
    let pid = watched.handle.with_connection(|connection, _| {
        Box::pin(
            async move { Ok(sqlx::query_scalar::<_, i32>("select pg_backend_pid()").fetch_one(connection).await?) },
        )
    });
    let pid = nix::unistd::Pid::from_raw(pid.await.unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    assert_eq!(watched.failed().await, "Unreachable");
    watched.connected().await;
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).unwrap();
    watched.value("throughput").await;
}
