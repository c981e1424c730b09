//! What is measured on a server that works.

use sqlx::Connection;

use super::*;
use crate::database::postgresql::fixture::TestServer;

/// Keeps reading and writing until dropped.
struct Load(tokio::task::JoinHandle<()>);

impl Load {
    async fn on(server: &TestServer) -> Self {
        server.sql("create table orders as select i as id, i % 100 as customer from generate_series(1, 20000) i").await;
        let mut connection = server.administrator("postgres").await;
        Self(tokio::spawn(async move {
            for turn in 0_i32.. {
                let customer = turn % 100;
                let read = sqlx::query("select count(*) from orders where customer = $1").bind(customer);
                let _ = read.execute(&mut connection).await;
                let write = sqlx::query("update orders set customer = customer where id = $1").bind(customer);
                let _ = write.execute(&mut connection).await;
                if turn % 10 == 0 {
                    let _ = sqlx::query("select 1 / 0").execute(&mut connection).await;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[tokio::test]
async fn every_metric_of_a_primary_has_a_plausible_value_under_load() {
    let server = TestServer::start().await;
    let _load = Load::on(&server).await;
    let mut watched = Watched::start(server.endpoint("monitor", "postgres"));
    let identity = watched.connected().await;
    assert!(identity.system_identifier.parse::<u64>().is_ok() && identity.timeline == 1, "{identity:?}");
    assert_eq!(watched.unavailable().await, []);
    for metric in BUILT_IN.iter().filter(|metric| metric.name != "replication_lag") {
        watched.value(metric.name).await;
    }
    watched.until(|report| value_of(report, "throughput").filter(|&value| value > 10.0)).await;
    watched.until(|report| value_of(report, "error_rate").filter(|&value| value > 0.1 && value < 50.0)).await;
    let response_time = watched.value("response_time").await;
    assert!(response_time > 0.05, "{response_time}");
    watched.until(|report| value_of(report, "select_rate").filter(|&value| value > 5.0)).await;
    watched.until(|report| value_of(report, "update_rate").filter(|&value| value > 5.0)).await;
    assert_eq!(watched.value("connection_count").await, 2.0);
    // 30 less 3 reserved for superusers.
    assert!((watched.value("connection_usage").await - 100.0 * 2.0 / 27.0).abs() < 0.01);
    assert!(watched.value("disk_usage").await > 16e6);
    assert!(watched.value("dead_tuples").await > 0.0);
    assert!(!watched.seen.iter().any(|report| value_of(report, "replication_lag").is_some()));
    assert_eq!(watched.role().await, Role::Primary);
}

#[tokio::test]
async fn the_first_look_is_an_origin_and_statements_are_absent_between_their_rounds() {
    let server = TestServer::start().await;
    let _load = Load::on(&server).await;
    let mut watched = Watched::start(server.endpoint("monitor", "postgres"));
    let rounds = watched.rounds(9).await;
    assert!(rounds[0][index("throughput")].is_nan());
    assert!(rounds[0][index("response_time")].is_nan());
    assert!(!rounds[0][index("disk_usage")].is_nan());
    let dear = rounds.iter().filter(|values| !values[index("response_time")].is_nan()).count();
    assert!((3..=5).contains(&dear), "{dear} of 9");
    assert!(rounds[1..].iter().all(|values| !values[index("throughput")].is_nan()));
}

#[tokio::test]
async fn a_reset_of_the_statistics_gives_no_rate_and_says_so() {
    let server = TestServer::start().await;
    let _load = Load::on(&server).await;
    let mut watched = Watched::start(server.endpoint("monitor", "postgres"));
    watched.value("response_time").await;
    server.sql("select pg_stat_reset(); select pg_stat_statements_reset()").await;
    let mut reasons = [watched.reset().await, watched.reset().await];
    reasons.sort();
    assert_eq!(reasons, ["the database's statistics were reset", "the statements' statistics were reset"]);
    watched.value("response_time").await;
    watched.value("throughput").await;
}

#[tokio::test]
async fn building_an_index_does_not_move_the_response_time() {
    let server = TestServer::start().await;
    server.sql("create table big as select i as id, md5(i::text) as text from generate_series(1, 200000) i").await;
    let mut watched = Watched::start(server.endpoint("monitor", "postgres"));
    watched.rounds(3).await;
    server.sql("create index on big (text)").await;
    server.sql("select 1").await;
    let response_time = watched.value("response_time").await;
    assert!(response_time < 20.0, "{response_time}");
}

#[tokio::test]
async fn waiting_sessions_and_old_transactions_are_seen() {
    let server = TestServer::start().await;
    server.sql("create table a (b int); create role app login connection limit 1").await;
    let mut holder = server.administrator("postgres").await;
    sqlx::raw_sql("begin; lock table a").execute(&mut holder).await.unwrap();
    let mut waiter = server.administrator("postgres").await;
    let waiting = tokio::spawn(async move { sqlx::query("select * from a").execute(&mut waiter).await });
    let mut watched = Watched::start(server.endpoint("monitor", "postgres"));
    watched.until(|report| value_of(report, "lock_waits").filter(|&value| value == 1.0)).await;
    watched.until(|report| value_of(report, "oldest_transaction").filter(|&value| value > 0.3 && value < 60.0)).await;
    holder.close().await.unwrap();
    waiting.await.unwrap().unwrap();
    watched.until(|report| value_of(report, "lock_waits").filter(|&value| value == 0.0)).await;
}

#[tokio::test]
async fn the_tightest_connection_limit_counts() {
    let server = TestServer::start().await;
    server.sql("alter role monitor connection limit 4").await;
    let mut watched = Watched::start(server.endpoint("monitor", "postgres"));
    assert_eq!(watched.value("connection_usage").await, 25.0);
    server.sql("alter database postgres connection limit 2").await;
    watched.until(|report| value_of(report, "connection_usage").filter(|&value| value == 50.0)).await;
}

#[tokio::test]
async fn hostile_names_of_database_and_role_are_only_names() {
    let server = TestServer::start().await;
    let (database, role) = ("or'd\"ers; drop table a; -- x", "mon\"itor '; x");
    let quoted = |name: &str| crate::database::postgresql::quote::shown(name);
    server.sql(&format!("create database {}", quoted(database))).await;
    let grant = format!("create role {0} login password 'secret'; grant pg_monitor to {0}", quoted(role));
    server.sql(&grant).await;
    let mut watched = Watched::start(server.endpoint(role, database));
    let unavailable = watched.unavailable().await;
    assert_eq!(unavailable.len(), 1, "{unavailable:?}");
    assert!(unavailable[0].reason.contains("\"or'd\"\"ers; drop table a; -- x\""), "{unavailable:?}");
    server.sql_in(database, "create schema \"sta ts\"; create extension pg_stat_statements schema \"sta ts\"").await;
    let unavailable = watched.unavailable().await;
    let usage = "GRANT USAGE ON SCHEMA \"sta ts\" TO \"mon\"\"itor '; x\"";
    assert!(unavailable[0].reason.contains(usage), "{unavailable:?}");
    server.sql_in(database, &format!("grant usage on schema \"sta ts\" to {}", quoted(role))).await;
    assert_eq!(watched.unavailable().await, []);
    server.sql_in(database, "select 1").await;
    watched.value("response_time").await;
}

#[tokio::test]
async fn metrics_of_ones_own_are_numbers_or_say_why_not() {
    let server = TestServer::start().await;
    server.sql("create table secret (a int); create table counts (n int); grant select on counts to monitor").await;
    let custom = [
        ("custom_integer", "select 7"),
        ("custom_bigint", "select count(*) from counts"),
        ("custom_numeric", "select -1234.5678::numeric"),
        ("custom_float", "select 0.25::float4"),
        ("custom_boolean", "select true;"),
        ("custom_rows", "select generate_series(1, 1000000)"),
        ("custom_columns", "select 1, 2"),
        ("custom_empty", "select 1 where false"),
        ("custom_null", "select null::int"),
        ("custom_text", "select 'a'"),
        ("custom_denied", "select a from secret"),
        ("custom_typing", "selct 1"),
        ("custom_syntax", "select from from"),
        ("custom_slow", "select 1 from pg_sleep(30)"),
        ("custom_writing", "with x as (insert into counts values (1) returning 1) select count(*) from x"),
        ("custom_two", "select 1; select 2"),
        ("custom_setting", "select 1 where set_config('statement_timeout', '0', false) = '0'"),
        (
            "custom_last",
            "select current_setting('statement_timeout') = '2s' and current_setting('transaction_read_only') = 'on'",
        ),
    ];
    let mut watched = Watched::with_custom(server.endpoint("monitor", "postgres"), &custom);
    let unavailable = watched.unavailable().await;
    let reason = |name: &str| {
        let found = unavailable.iter().find(|unavailable| unavailable.metrics == [name]);
        found.map(|unavailable| unavailable.reason.as_str()).unwrap_or_default()
    };
    for (name, part) in [
        ("custom_rows", "more than one row"),
        ("custom_columns", "2 columns"),
        ("custom_empty", "no row"),
        ("custom_null", "NULL"),
        ("custom_text", "type TEXT"),
        ("custom_denied", "permission denied for table secret"),
        ("custom_typing", "found another statement"),
        ("custom_syntax", "syntax error"),
        ("custom_slow", "statement timeout"),
        ("custom_writing", "read-only transaction"),
        ("custom_two", "cannot insert multiple commands"),
    ] {
        let position = custom.iter().position(|&(other, _)| other == name).unwrap();
        let field = format!("customMetrics[{position}].query: ");
        assert!(reason(name).starts_with(&field) && reason(name).contains(part), "{name}: {:?}", reason(name));
    }
    assert_eq!(unavailable.len(), 11, "{unavailable:?}");
    let first = watched.rounds(1).await.remove(0);
    let own = |name: &str| {
        let position = custom.iter().position(|&(other, _)| other == name).unwrap();
        first[BUILT_IN.len() + position]
    };
    assert_eq!(own("custom_integer"), 7.0);
    assert_eq!(own("custom_bigint"), 0.0);
    assert_eq!(own("custom_numeric"), -1234.5678);
    assert_eq!(own("custom_float"), 0.25);
    assert_eq!(own("custom_boolean"), 1.0);
    assert_eq!(own("custom_setting"), 1.0);
    assert_eq!(own("custom_last"), 1.0);
    assert!(own("custom_slow").is_nan() && own("custom_rows").is_nan());
    assert!(!first[index("connection_count")].is_nan());
}

#[tokio::test]
async fn work_runs_over_the_kept_connection_and_leaves_no_trace() {
    let server = TestServer::start().await;
    let _load = Load::on(&server).await;
    let mut watched = Watched::start(server.endpoint("monitor", "postgres"));
    watched.value("response_time").await;
    let since = crate::collect::collector::epoch_ms() - 60_000;
    let handle = watched.handle.clone();
    let pid = |setting: &'static str| {
        handle.with_connection(move |connection, history| {
            Box::pin(async move {
                let grown = history.growth(since).len();
                sqlx::raw_sql(setting).execute(&mut *connection).await?;
                let pid: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut *connection).await?;
                let limit: String = sqlx::query_scalar("show lock_timeout").fetch_one(connection).await?;
                Ok((pid, limit, grown))
            })
        })
    };
    let first = pid("begin; set lock_timeout = 0").await.unwrap();
    assert!(first.1 == "0" && first.2 >= 2, "{first:?}");
    let second = pid("select 1").await.unwrap();
    assert_eq!((second.0, second.1.as_str()), (first.0, "300ms"));
    let failed = pid("select 1 / 0").await.unwrap_err();
    assert_eq!(failed.class(), "Other");
    let writing = pid("create table x (a int)").await.unwrap_err();
    assert!(writing.message().contains("read-only"), "{writing}");
    let busiest = handle.with_connection(move |_, history| Box::pin(async move { Ok(history.growth(since)) })).await;
    let busiest = busiest.unwrap()[0];
    let figures = handle.statements_since(since, &[busiest.query_id]).await.unwrap();
    assert!(figures.calls > 1.0 && figures.mean_ms > 0.0, "{figures:?}");
    assert!(handle.identity().is_some());
    watched.value("throughput").await;
}

#[tokio::test]
async fn what_statements_usually_take_is_handed_on_when_the_quiet_ends() {
    let server = TestServer::start().await;
    let _load = Load::on(&server).await;
    let mut watched = Watched::start(server.endpoint("monitor", "postgres"));
    for _ in 0..8 {
        watched.until(|report| matches!(report, Report::Round { .. }).then_some(())).await;
    }
    assert!(!watched.seen.iter().any(|report| matches!(report, Report::UsualTimes(_))), "nothing happened yet");
    watched.quiet.store(false, std::sync::atomic::Ordering::Relaxed);
    let times = watched
        .until(|report| match report {
            Report::UsualTimes(times) => Some(times.clone()),
            _ => None,
        })
        .await;
    assert!(!times.is_empty());
}
