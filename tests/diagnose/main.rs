//! Looking at and diagnosing a real PostgreSQL.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test may end where it stands")]

mod server;
mod trust;

use dbmedic::api::RootCauseKind;
use dbmedic::database::postgresql::look::look;
use dbmedic::diagnose::{Diagnosis, StatementGrowth, diagnose};
use server::{Server, script};
use sqlx::Row;
use sqlx::postgres::PgConnection;

const SHOP: &str = "
create extension pg_stat_statements;
create role monitor login; grant pg_monitor, pg_read_all_data to monitor;
create role blind login; grant pg_monitor to blind;
create table regions (id int primary key, code text);
insert into regions select n, 'r' || n from generate_series(1, 50) n;
create table customers (id int primary key, email text, region_id int);
insert into customers select n, 'c' || n || '@example.org', n % 50 + 1 from generate_series(1, 30000) n;
create table orders (id bigint primary key, customer_id int, status text, created timestamptz, total int, note text, extra json);
insert into orders
  select n, (n * 7919::bigint) % 10000, case when n % 20 = 0 then 'open' else 'done' end,
         timestamptz '2026-01-01' + n * interval '10 s', n % 1000, repeat('x', 40), '{}'
  from generate_series(1, 300000) n;
create table covered (a int, b int);
insert into covered select n % 10000, n % 7 from generate_series(1, 100000) n;
create index covered_a_b on covered (a, b);
analyze;";

/// Loads the shop; its statistics begin after the load.
async fn shop(connection: &mut PgConnection) {
    for part in [SHOP, "select pg_stat_force_next_flush()", "select pg_stat_reset()"] {
        script(connection, part).await;
    }
}

/// Whether the statement runs with its values in the text, which a session then shows, or prepared.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sent {
    Literals,
    Prepared,
}

/// Runs a statement in a session that stays idle after it; its growth as if it had been fast before.
async fn grown(
    server: &Server,
    application: &mut PgConnection,
    sql: &str,
    values: &[&str],
    sent: Sent,
) -> StatementGrowth {
    let mut statistics = server.connect("postgres").await;
    script(&mut statistics, "select pg_stat_statements_reset()").await;
    match sent {
        Sent::Prepared => {
            let arguments = if values.is_empty() { String::new() } else { format!("({})", values.join(", ")) };
            for part in ["deallocate all", &format!("prepare p as {sql}"), &format!("execute p{arguments}"), "select 1"]
            {
                script(application, part).await;
            }
        }
        Sent::Literals => {
            let numbered = values.iter().enumerate().rev();
            let filled =
                numbered.fold(sql.to_owned(), |text, (at, value)| text.replace(&format!("${}", at + 1), value));
            script(application, &filled).await;
        }
    }
    let row = sqlx::query(
        "select queryid, calls, rows from pg_stat_statements
         where query not like '%pg_stat_statements%' and query not ilike 'deallocate%' and query not ilike 'select $1'
         order by total_exec_time desc limit 1",
    )
    .fetch_one(&mut statistics)
    .await
    .expect("the statement was counted");
    server::close(statistics).await;
    let (calls, rows) = (row.get::<i64, _>("calls") as f64, row.get::<i64, _>("rows") as f64);
    StatementGrowth {
        query_id: row.get("queryid"),
        mean_before_ms: Some(0.2),
        calls_per_second_before: Some(10.0),
        calls: 600.0,
        mean_ms: 40.0,
        calls_per_second: 10.0,
        rows_per_call: rows / calls,
        total_ms: 24_000.0,
    }
}

async fn diagnosed(connection: &mut PgConnection, growth: &[StatementGrowth]) -> Diagnosis {
    let looked = look(connection, growth).await.expect("looked");
    diagnose(&looked)
}

/// `table(columns)` of the advised index, or the reason why there is none.
fn advice(diagnosis: &Diagnosis) -> String {
    if let Some(index) = &diagnosis.root_cause.missing_index {
        return format!("{}({})", index.table, index.columns.join(","));
    }
    let evidence = diagnosis.root_cause.evidence.first().map(|evidence| evidence.value.clone());
    format!("none: {}", evidence.unwrap_or_default())
}

#[tokio::test]
async fn the_missing_index_of_each_statement_is_found_and_traps_are_not_advised() {
    let server = Server::start();
    let mut application = server.connect("postgres").await;
    shop(&mut application).await;
    let mut monitor = server.connect("monitor").await;
    let mut wrong = Vec::new();
    for (sql, values, expected) in [
        ("select * from orders where customer_id = $1", &["42"][..], "orders(customer_id)"),
        ("select count(*), sum(total) from orders where customer_id = $1", &["42"], "orders(customer_id)"),
        ("select * from orders where customer_id = $1 and status = $2", &["42", "'open'"], "orders(customer_id)"),
        ("select * from orders where status = $2 and $1 = customer_id", &["42", "'done'"], "orders(customer_id)"),
        ("select * from orders where customer_id in ($1, $2, $3)", &["4", "5", "6"], "orders(customer_id)"),
        ("select * from orders where customer_id = any($1)", &["'{1,2}'"], "orders(customer_id)"),
        (
            "select * from orders where customer_id = $1 order by created desc limit $2",
            &["42", "10"],
            "orders(customer_id)",
        ),
        ("select * from orders where created > $1", &["'2026-02-04 17:00+00'"], "orders(created)"),
        (
            "select * from orders where created between $1 and $2",
            &["'2026-01-04'", "'2026-01-04 01:00'"],
            "orders(created)",
        ),
        ("select id from orders order by created desc limit 10", &[], "orders(created)"),
        (
            "select c.email, o.id from orders o join customers c on c.id = o.customer_id where c.id = $1",
            &["42"],
            "orders(customer_id)",
        ),
        ("select * from customers where email = $1", &["'c7@example.org'"], "customers(email)"),
        ("update orders set total = $1 where customer_id = $2", &["1", "42"], "orders(customer_id)"),
        ("delete from orders where customer_id = $1", &["9999999"], "orders(customer_id)"),
        (
            "with mine as (select * from orders where customer_id = $1) select sum(total) from mine",
            &["42"],
            "orders(customer_id)",
        ),
        ("select * from orders where status = $1", &["'done'"], "none"),
        ("select * from orders where status <> $1", &["'done'"], "none"),
        ("select * from regions where code = $1", &["'r7'"], "none"),
        ("select * from orders where note like $1", &["'%y%'"], "none"),
        ("select * from customers where lower(email) = $1", &["'c7@example.org'"], "none"),
        ("select sum(total) from orders", &[], "none"),
        ("select * from covered where a + 0 = $1", &["7"], "none"),
        ("select * from covered where a = $1", &["7"], "none"),
        ("select * from orders where extra::text = $1", &["'7'"], "none"),
    ] {
        for sent in [Sent::Prepared, Sent::Literals] {
            let growth = grown(&server, &mut application, sql, values, sent).await;
            let found = diagnosed(&mut monitor, &[growth]).await;
            let advised = advice(&found);
            println!("{sent:?}: {sql} -> {advised}; {}", found.root_cause.summary);
            let right = if expected == "none" { advised.starts_with("none") } else { advised == expected };
            if !right {
                wrong.push(format!("{sent:?} {sql}: expected {expected}, found {advised}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn the_cause_carries_figures_and_no_literal() {
    let server = Server::start();
    let mut application = server.connect("postgres").await;
    shop(&mut application).await;
    let mut monitor = server.connect("monitor").await;
    let growth = grown(
        &server,
        &mut application,
        "select id from orders where customer_id = 4242 and note <> 'secret'",
        &[],
        Sent::Prepared,
    )
    .await;
    let found = diagnosed(&mut monitor, std::slice::from_ref(&growth)).await;
    let cause = &found.root_cause;
    assert_eq!(cause.kind, RootCauseKind::MissingIndex);
    let index = cause.missing_index.as_ref().expect("an index");
    assert_eq!((index.schema.as_str(), index.table.as_str()), ("public", "orders"));
    assert!((index.table_rows - 300_000.0).abs() < 3_000.0, "{index:?}");
    assert!(index.size_bytes > 2_000_000 && index.size_bytes < 20_000_000, "{index:?}");
    assert!(index.gain > 0.8 && index.build_seconds > 0.5, "{index:?}");
    let node = cause.statements[0].node.as_ref().expect("a plan node");
    assert!(node.node_type.ends_with("Seq Scan") && node.relation == "public.orders" && node.cost_share >= 0.5);
    assert!(
        found.facts.is_true("missing_index")
            && found.facts.is_true("safe")
            && found.facts.is_true("single_query_cause")
    );
    assert!(!found.facts.is_true("no_fix_available"));
    let everything = format!("{found:?}");
    assert!(!everything.contains("4242") && !everything.contains("secret"), "{everything}");

    // A client of the simple protocol shows its values while it runs: the plan is made with them.
    let mut holder = server.connect("postgres").await;
    script(&mut holder, "begin; lock table regions").await;
    let looked = {
        let mut running = server.connect("postgres").await;
        script(&mut running, "select id from orders where customer_id = 777 and note <> 'hidden'").await;
        look(&mut monitor, &[growth]).await.expect("looked")
    };
    assert!(!looked.statements[0].generic, "the idle session still shows its last statement");
    assert!(!format!("{:?}", diagnose(&looked)).contains("777"));
}

#[tokio::test]
async fn hostile_names_are_diagnosed_as_what_they_are() {
    let server = Server::start();
    let mut application = server.connect("postgres").await;
    script(
        &mut application,
        r#"create extension pg_stat_statements;
        create role "own""er; alter role x" login; create role monitor login; grant pg_monitor, pg_read_all_data to monitor;
        create schema "Mixed Case""; --" authorization "own""er; alter role x";
        create table "Mixed Case""; --"."a""b; drop table x --" (id int, "sp ace""" int, "Col" text);
        insert into "Mixed Case""; --"."a""b; drop table x --" select n, n % 5000, 'x' from generate_series(1, 100000) n;
        alter table "Mixed Case""; --"."a""b; drop table x --" owner to "own""er; alter role x";
        alter role "own""er; alter role x" set search_path = "Mixed Case""; --";
        create table x (id int); analyze;"#,
    )
    .await;
    let mut monitor = server.connect("monitor").await;
    let written = r#"select * from "Mixed Case""; --"."a""b; drop table x --" where "sp ace""" = $1"#;
    let growth = grown(&server, &mut application, written, &["7"], Sent::Prepared).await;
    let found = diagnosed(&mut monitor, &[growth]).await;
    let index = found.root_cause.missing_index.clone().expect("an index");
    assert_eq!(index.schema, "Mixed Case\"; --");
    assert_eq!(index.table, "a\"b; drop table x --");
    assert_eq!(index.columns, ["sp ace\""]);

    // The owner writes the name without its schema: its own search path finds it.
    script(&mut application, "select pg_stat_statements_reset()").await;
    let mut owner = server.connect("own\"er; alter role x").await;
    script(&mut owner, r#"select * from "a""b; drop table x --" where "sp ace""" = 7"#).await;
    let id: i64 = sqlx::query_scalar("select queryid from pg_stat_statements where query like '%sp ace%'")
        .fetch_one(&mut application)
        .await
        .expect("counted");
    server::close(owner).await;
    let growth = StatementGrowth { query_id: id, calls: 10.0, mean_ms: 9.0, rows_per_call: 20.0, ..Default::default() };
    let found = diagnosed(&mut monitor, &[growth]).await;
    assert_eq!(found.root_cause.missing_index.map(|index| index.columns), Some(vec!["sp ace\"".to_owned()]));
    let kept: i64 = sqlx::query_scalar("select count(*) from pg_class where relname = 'x'")
        .fetch_one(&mut application)
        .await
        .expect("counted");
    assert_eq!(kept, 1, "nothing was executed");
}

#[tokio::test]
async fn a_role_without_read_rights_says_which_grant_is_missing() {
    let server = Server::start();
    let mut application = server.connect("postgres").await;
    shop(&mut application).await;
    let growth =
        grown(&server, &mut application, "select * from orders where customer_id = $1", &["42"], Sent::Prepared).await;
    let mut blind = server.connect("blind").await;
    let looked = look(&mut blind, &[growth]).await.expect("looked");
    let reason = looked.statements[0].plan.clone().expect_err("no plan");
    assert!(reason.contains("permission denied") && reason.contains("pg_read_all_data"), "{reason}");
    let found = diagnose(&looked);
    assert!(found.facts.is_true("no_fix_available") && !found.facts.is_true("missing_index"));
    assert_eq!(found.root_cause.kind, RootCauseKind::SlowerStatement);
    let first = &found.root_cause.evidence[0];
    assert!(first.name == "no_fix_available" && first.value.contains("pg_read_all_data"), "{first:?}");
}

#[tokio::test]
async fn invalid_and_needless_indexes_and_long_transactions_are_seen() {
    let server = Server::start();
    let mut application = server.connect("postgres").await;
    shop(&mut application).await;
    script(
        &mut application,
        "create index broken on orders (customer_id); create index half on covered (a);
         update pg_index set indisvalid = false where indexrelid = 'broken'::regclass;",
    )
    .await;
    let growth =
        grown(&server, &mut application, "select * from orders where customer_id = $1", &["42"], Sent::Prepared).await;
    let covered =
        grown(&server, &mut application, "select * from covered where b + a = $1", &["42"], Sent::Prepared).await;
    script(&mut application, "select pg_stat_statements_reset()").await;
    for sql in ["select * from orders where customer_id = 1", "select * from covered where b + a = 1"] {
        script(&mut application, sql).await;
    }
    let ids: Vec<i64> = sqlx::query_scalar(
        "select queryid from pg_stat_statements where query like '%from orders%' or query like '%b + a%' order by query desc",
    )
    .fetch_all(&mut application)
    .await
    .expect("counted");
    let orders = StatementGrowth { query_id: ids[0], ..growth };
    let covered = StatementGrowth { query_id: ids[1], mean_ms: 0.3, ..covered };
    let mut open = server.connect("postgres").await;
    script(&mut open, "begin; select 1").await;
    let mut monitor = server.connect("monitor").await;
    let mut looked = look(&mut monitor, &[orders, covered]).await.expect("looked");
    assert!(looked.load.oldest_transaction_seconds.is_some() && looked.load.oldest_transaction_pid.is_some());
    let found = diagnose(&looked);
    assert_eq!(advice(&found), "orders(customer_id)");
    assert!(found.facts.is_true("invalid_index") && found.facts.is_true("duplicate_index"), "{found:#?}");
    assert!(!found.facts.is_true("safe"), "an invalid twin of somebody else is in the way");
    looked.tables.iter_mut().for_each(|table| table.indexes.retain(|index| index.valid));
    assert!(diagnose(&looked).facts.is_true("safe"));
    looked.load.oldest_transaction_seconds = Some(31.0);
    let found = diagnose(&looked);
    assert!(!found.facts.is_true("safe") && found.facts.is_true("no_fix_available"));
}

#[tokio::test]
async fn a_locked_table_and_a_hostile_text_delay_and_change_nothing() {
    let server = Server::start();
    let mut application = server.connect("postgres").await;
    shop(&mut application).await;
    let growth =
        grown(&server, &mut application, "select * from orders where customer_id = $1", &["42"], Sent::Prepared).await;
    let mut holder = server.connect("postgres").await;
    script(&mut holder, "begin; lock table orders in access exclusive mode").await;
    let mut monitor = server.connect("monitor").await;
    let started = std::time::Instant::now();
    let looked = look(&mut monitor, std::slice::from_ref(&growth)).await.expect("looked");
    assert!(started.elapsed().as_secs_f64() < 2.0);
    assert!(looked.statements[0].plan.clone().is_err_and(|reason| reason.contains("locked")), "{looked:?}");
    script(&mut holder, "rollback").await;

    let looked = look(&mut monitor, &[growth]).await.expect("looked");
    assert!(looked.statements[0].plan.is_ok());
    let left: i64 = sqlx::query_scalar("select count(*) from pg_prepared_statements where name like 'dbmedic%'")
        .fetch_one(&mut monitor)
        .await
        .expect("counted");
    assert_eq!(left, 0);
    let unknown = StatementGrowth { query_id: 1, calls: 1.0, mean_ms: 1.0, ..Default::default() };
    let found = diagnosed(&mut monitor, &[unknown]).await;
    assert!(found.root_cause.summary.len() > 10 && found.facts.is_true("no_fix_available"));
}

#[tokio::test]
async fn a_function_that_the_planner_calls_cannot_change_anything() {
    let server = Server::start();
    let mut application = server.connect("postgres").await;
    shop(&mut application).await;
    // Said to be stable, so the planner calls it with constants for its estimate.
    script(
        &mut application,
        "create sequence proof;
         create function sneaky(int) returns int stable language sql security definer as $$ select nextval('proof')::int + $1 $$;",
    )
    .await;
    let text = "select * from orders where customer_id = sneaky($1)";
    let growth = grown(&server, &mut application, text, &["1"], Sent::Literals).await;
    let mut reader = server.connect("postgres").await;
    let last = "select last_value from proof";
    let before: i64 = sqlx::query_scalar(last).fetch_one(&mut reader).await.expect("read");
    assert!(before > 0);
    let mut monitor = server.connect("monitor").await;
    let looked = look(&mut monitor, &[growth]).await.expect("looked");
    assert_eq!(looked.statements.len(), 1);
    let after: i64 = sqlx::query_scalar(last).fetch_one(&mut reader).await.expect("read");
    assert_eq!(before, after);
}
