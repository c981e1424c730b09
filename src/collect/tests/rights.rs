//! Missing rights, extensions and credentials: named, and healed without a restart of anything.

use super::*;
use crate::api::Tls;
use crate::database::postgresql::fixture::TestServer;
use crate::measure::STATEMENT_RATES;

fn names(unavailable: &[Unavailable]) -> Vec<&str> {
    unavailable.iter().flat_map(|unavailable| unavailable.metrics.iter().map(String::as_str)).collect()
}

#[tokio::test]
async fn a_role_without_pg_monitor_is_told_what_to_grant_and_heals() {
    let server = TestServer::start().await;
    server.sql("revoke pg_monitor from monitor").await;
    let mut watched = Watched::start(server.endpoint("monitor", "postgres"));
    let unavailable = watched.unavailable().await;
    assert_eq!(
        names(&unavailable),
        [
            "connection_count",
            "connection_usage",
            "lock_waits",
            "oldest_transaction",
            "response_time",
            "response_time_p95",
            "select_rate",
            "insert_rate",
            "update_rate",
            "delete_rate",
            "other_rate"
        ]
    );
    for blind in &unavailable {
        assert!(blind.reason.contains("GRANT pg_monitor TO \"monitor\""), "{blind:?}");
    }
    // What needs no right is there; the size of the log is left out.
    watched.value("throughput").await;
    watched.value("disk_usage").await;
    server.sql("grant pg_monitor to monitor").await;
    watched.until(|report| matches!(report, Report::Unavailable(all) if all.is_empty()).then_some(())).await;
    watched.value("connection_count").await;
    server.sql("select 1").await;
    watched.value("response_time").await;
    server.sql("revoke pg_monitor from monitor").await;
    watched.until(|report| matches!(report, Report::Unavailable(all) if all.len() == 2).then_some(())).await;
    let rounds = watched.rounds(3).await;
    assert!(rounds.iter().all(|values| values[index("connection_count")].is_nan()));
}

#[tokio::test]
async fn a_missing_extension_is_named_and_heals() {
    let server = TestServer::start().await;
    server.sql("drop extension pg_stat_statements").await;
    let mut watched = Watched::start(server.endpoint("monitor", "postgres"));
    let unavailable = watched.unavailable().await;
    assert_eq!(names(&unavailable)[..2], ["response_time", "response_time_p95"]);
    assert_eq!(names(&unavailable)[2..], STATEMENT_RATES);
    assert!(unavailable[0].reason.contains("CREATE EXTENSION pg_stat_statements"), "{unavailable:?}");
    server.sql("create extension pg_stat_statements").await;
    assert_eq!(watched.unavailable().await, []);
    server.sql("select 1").await;
    watched.value("response_time").await;
    // Prepared statements over the old extension must not live on.
    server.sql("drop extension pg_stat_statements").await;
    assert_eq!(watched.unavailable().await.len(), 1);
    server.sql("create extension pg_stat_statements").await;
    assert_eq!(watched.unavailable().await, []);
}

#[tokio::test]
async fn a_refused_function_blanks_its_own_group_only() {
    let server = TestServer::start().await;
    server.sql("revoke execute on function pg_control_system() from public").await;
    server.sql("revoke execute on function pg_database_size(oid), pg_database_size(name) from public").await;
    server.sql("revoke execute on function pg_ls_waldir() from pg_monitor").await;
    let mut watched = Watched::start(server.endpoint("monitor", "postgres"));
    let unavailable = watched.unavailable().await;
    assert_eq!(names(&unavailable), ["disk_usage"], "{unavailable:?}");
    assert_eq!(unavailable.len(), 2);
    watched.value("throughput").await;
    watched.value("connection_count").await;
    watched.value("transaction_id_age").await;
    server.sql("grant execute on function pg_control_system() to public").await;
    server.sql("grant execute on function pg_database_size(name) to monitor").await;
    watched.until(|report| matches!(report, Report::Unavailable(all) if all.is_empty()).then_some(())).await;
    watched.value("disk_usage").await;
}

#[tokio::test]
async fn a_wrong_password_is_reported_once_and_heals() {
    let server = TestServer::start().await;
    server.sql("alter role monitor password 'other'").await;
    let mut watched = Watched::start(server.endpoint("monitor", "postgres"));
    assert_eq!(watched.failed().await, "Authentication");
    let refused = watched.handle.with_connection(|_, _| Box::pin(async { Ok(()) })).await;
    assert_eq!(refused.map_err(|error| error.class()), Err("Authentication"));
    let rounds = watched.rounds(6).await;
    assert!(rounds.iter().flatten().all(|value| value.is_nan()));
    server.sql("alter role monitor password 'secret'").await;
    watched.connected().await;
    assert!(watched.handle.identity().is_some());
    let failures = watched.seen.iter().filter(|report| matches!(report, Report::Failed(_))).count();
    assert_eq!(failures, 1);
}

#[tokio::test]
async fn demanded_encryption_is_told_from_wrong_credentials_and_certificates_are_checked() {
    let server = TestServer::start().await;
    server.require_encryption().await;
    let plain = Endpoint { tls: Tls::Disable, ..server.endpoint("monitor", "postgres") };
    assert_eq!(Watched::start(plain).failed().await, "Tls");
    let encrypted = Endpoint { tls: Tls::Require, ..server.endpoint("monitor", "postgres") };
    assert_eq!(Watched::start(encrypted).failed().await, "Tls");
    let certificate = server.encrypt().await;
    let mut watched = Watched::start(Endpoint { tls: Tls::Require, ..server.endpoint("monitor", "postgres") });
    watched.until(|report| matches!(report, Report::Connected { .. }).then_some(())).await;
    let known =
        Endpoint { tls: Tls::VerifyFull, ca: Some(certificate.clone()), ..server.endpoint("monitor", "postgres") };
    Watched::start(known.clone()).connected().await;
    // The certificate is for the address, not for this name of it.
    assert_eq!(Watched::start(Endpoint { host: "localhost".into(), ..known.clone() }).failed().await, "Tls");
    assert_eq!(Watched::start(Endpoint { ca: None, ..known }).failed().await, "Tls");
}
