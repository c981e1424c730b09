//! The executor against a real server: what it leaves behind, whatever was left to it.

use std::time::Duration;

use sqlx::Connection;

use super::fixture::{Shop, UID, count, execute, until};
use crate::heal::machine::Purpose;
use crate::heal::report::Outcome;

const SIGNED: &str = "true:dbmedic key=0b9f3b9e-6d0a-4f0e-9d3f-0123456789ab:shop";

#[tokio::test]
#[ignore = "a process for other tests"]
async fn the_executor_as_a_process() {
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        arguments: crate::fix::Arguments,
    }
    let Ok(directory) = std::env::var("TEST_DIRECTORY") else { return };
    let (port, hash) = (std::env::var("TEST_PORT").unwrap(), std::env::var("TEST_PLAN_HASH").unwrap());
    let report = format!("{directory}/report");
    let arguments = [
        "fix",
        "--remediation",
        UID,
        "--plan-hash",
        &hash,
        "--purpose",
        "apply",
        "--host",
        "127.0.0.1",
        "--port",
        &port,
        "--credentials",
        &directory,
        "--report",
        &report,
        "--tls",
        "disable",
    ];
    let code = crate::fix::run(Command::parse_from(arguments).arguments).await;
    std::process::exit(i32::from(code));
}

#[tokio::test]
async fn an_index_is_built_signed_adopted_and_taken_back() {
    let mut shop = Shop::open().await;
    let report = shop.apply().await;
    assert_eq!(
        (report.outcome, report.changed, report.index_valid),
        (Outcome::Applied, true, Some(true)),
        "{report:?}"
    );
    assert_eq!(shop.indexes().await, [SIGNED]);
    let report = shop.apply().await;
    assert_eq!((report.outcome, report.changed), (Outcome::Adopted, false), "{report:?}");
    let report = shop.undo().await;
    assert_eq!((report.outcome, report.changed), (Outcome::Undone, true), "{report:?}");
    let report = shop.undo().await;
    assert_eq!((report.outcome, report.changed), (Outcome::NothingToUndo, false), "{report:?}");
    assert!(shop.indexes().await.is_empty());
    shop.assert_nothing_is_left_open().await;
    assert_eq!(count(&mut shop.admin, "select count(*) from public.orders").await, 2000);
}

#[tokio::test]
async fn a_build_whose_client_was_killed_is_adopted_and_never_started_twice() {
    let shop = Shop { attempt: 2, ..Shop::open().await };
    let mut writer = shop.writer().await;
    let directory = tempfile::tempdir().unwrap();
    let mut process = shop.spawn_process(directory.path());
    until("the build", || shop.building()).await;
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(shop.building().await, "the server builds on");
    let successor = shop.apply();
    let release = async {
        let sessions = "select count(*) from pg_stat_activity where application_name like 'dbmedic-act%'";
        until("the successor", || async { count(&mut shop.server.admin().await, sessions).await == 2 }).await;
        execute(&mut writer, "commit").await;
    };
    let (report, ()) = tokio::join!(successor, release);
    assert_eq!((report.outcome, report.changed), (Outcome::Adopted, false), "{report:?}");
    assert_eq!(shop.indexes().await, [SIGNED]);
    shop.assert_nothing_is_left_open().await;
}

#[tokio::test]
async fn the_process_reports_by_file_and_exit_code() {
    let shop = Shop::open().await;
    let directory = tempfile::tempdir().unwrap();
    let status = shop.spawn_process(directory.path()).wait().unwrap();
    assert_eq!(status.code(), Some(0));
    let report: super::FixReport =
        serde_json::from_slice(&std::fs::read(directory.path().join("report")).unwrap()).unwrap();
    assert_eq!(report.outcome, Outcome::Applied);
    let mut other = shop;
    other.plan.target.timeline = 7;
    let status = other.spawn_process(directory.path()).wait().unwrap();
    assert_eq!(status.code(), Some(3));
}

#[tokio::test]
async fn an_invalid_index_that_a_cancelled_build_left_is_dropped_and_built_again() {
    let mut shop = Shop::open().await;
    let mut writer = shop.writer().await;
    let cancel = async {
        until("the build", || shop.building()).await;
        let statement = "select count(pg_cancel_backend(pid)) from pg_stat_progress_create_index";
        count(&mut shop.server.admin().await, statement).await
    };
    let (report, _) = tokio::join!(shop.apply(), cancel);
    assert_eq!((report.outcome, report.changed), (Outcome::Failed, true), "{report:?}");
    assert_eq!(shop.indexes().await, ["false::shop"]);
    execute(&mut writer, "commit").await;
    shop.attempt = 2;
    let report = shop.apply().await;
    assert_eq!((report.outcome, report.changed), (Outcome::Applied, true), "{report:?}");
    assert_eq!(shop.indexes().await, [SIGNED]);
    shop.assert_nothing_is_left_open().await;
}

#[tokio::test]
async fn a_build_that_waits_too_long_is_cut_and_what_it_left_can_be_taken_back() {
    let mut shop = Shop::open().await;
    shop.limits.concurrent_lock = Duration::from_millis(300);
    let mut writer = shop.writer().await;
    let report = shop.apply().await;
    assert_eq!((report.outcome, report.changed), (Outcome::Failed, true), "{report:?}");
    assert!(report.message.contains("55P03"), "{report:?}");
    let report = shop.undo().await;
    assert_eq!(report.outcome, Outcome::Failed, "{report:?}");
    execute(&mut writer, "commit").await;
    let report = shop.undo().await;
    assert_eq!(report.outcome, Outcome::Undone, "{report:?}");
    assert!(shop.indexes().await.is_empty());
}

#[tokio::test]
async fn the_way_back_ends_a_build_that_is_still_running() {
    let shop = Shop::open().await;
    let mut writer = shop.writer().await;
    let directory = tempfile::tempdir().unwrap();
    let mut process = shop.spawn_process(directory.path());
    until("the build", || shop.building()).await;
    process.kill().unwrap();
    process.wait().unwrap();
    let release = async {
        until("the end of the build", || async { !shop.building().await }).await;
        execute(&mut writer, "commit").await;
    };
    let (report, ()) = tokio::join!(shop.undo(), release);
    assert_eq!((report.outcome, report.changed), (Outcome::Undone, true), "{report:?}");
    assert!(shop.indexes().await.is_empty());
    shop.assert_nothing_is_left_open().await;
}

#[tokio::test]
async fn another_server_timeline_database_plan_or_uid_is_refused_with_nothing_changed() {
    let shop = Shop::open().await;
    let good = shop.plan.clone();
    let mut other = shop;
    let changes: [(&str, fn(&mut crate::api::Plan)); 6] = [
        ("system identifier", |plan| plan.target.system_identifier = "1".into()),
        ("failover", |plan| plan.target.timeline = 2),
        ("renders", |plan| plan.statement.push_str("; drop table public.orders")),
        ("renders", |plan| plan.undo = "DROP TABLE public.orders".into()),
        ("another name", |plan| {
            let index = plan.change.add_index.as_mut().unwrap();
            index.name = "orders_pkey".into();
            plan.statement = crate::actions::add_index::statement(index).unwrap();
            plan.undo = crate::actions::add_index::undo(index).unwrap();
        }),
        ("no change", |plan| plan.change.add_index = None),
    ];
    for (reason, change) in changes {
        other.plan = good.clone();
        change(&mut other.plan);
        let report = other.apply().await;
        assert_eq!((report.outcome, report.changed), (Outcome::Refused, false), "{report:?}");
        assert!(report.message.contains(reason), "{report:?}");
    }
    other.plan = good;
    for (uid, hash, reason) in [(UID, "sha256:00", "hash"), ("x'; drop table t --", "", "UID")] {
        let order = super::Order {
            purpose: Purpose::Apply,
            uid,
            attempt: 1,
            plan: &other.plan,
            plan_hash: hash,
            endpoint: &other.endpoint,
            limits: other.limits,
        };
        let report = super::run(&order).await.unwrap();
        assert_eq!((report.outcome, report.changed), (Outcome::Refused, false));
        assert!(report.message.contains(reason), "{report:?}");
    }
    assert!(other.indexes().await.is_empty());
    other.assert_nothing_is_left_open().await;
}

#[tokio::test]
async fn a_standby_is_refused() {
    let mut shop = Shop::open().await;
    shop.admin = {
        shop.server.become_standby();
        shop.server.admin().await
    };
    let report = shop.apply().await;
    assert_eq!((report.outcome, report.changed), (Outcome::Refused, false), "{report:?}");
    assert!(report.message.contains("standby"), "{report:?}");
}

#[tokio::test]
async fn hostile_names_stay_names() {
    let shop =
        Shop::with(r#"we"ird; drop schema public cascade; --"#, "Tä\"ble 'x' $$\n--", "co\"l); drop table x; --").await;
    let report = shop.apply().await;
    assert_eq!(report.outcome, Outcome::Applied, "{report:?}");
    assert_eq!(shop.indexes().await, [SIGNED]);
    assert!(!report.message.contains('\n'));
    assert_eq!(shop.undo().await.outcome, Outcome::Undone);
    let mut admin = shop.server.admin().await;
    assert_eq!(count(&mut admin, "select count(*) from pg_namespace where nspname = 'public'").await, 1);
}

#[tokio::test]
async fn a_missing_right_is_refused_and_the_grant_is_named() {
    let mut shop = Shop::open().await;
    execute(&mut shop.admin, "revoke shop from fixer").await;
    let report = shop.apply().await;
    assert_eq!((report.outcome, report.changed), (Outcome::Refused, false), "{report:?}");
    assert!(report.message.contains(r#"GRANT "shop" TO "fixer""#), "{report:?}");
    shop.endpoint.role = None;
    let report = shop.apply().await;
    assert_eq!(report.outcome, Outcome::Refused, "{report:?}");
    assert!(report.message.contains(r#"GRANT "shop" TO "fixer""#), "{report:?}");
    execute(&mut shop.admin, "grant shop to fixer; revoke create on schema public from shop").await;
    shop.endpoint.role = Some("shop".into());
    let report = shop.apply().await;
    assert_eq!(report.outcome, Outcome::Refused, "{report:?}");
    assert!(report.message.contains(r#"GRANT CREATE ON SCHEMA "public" TO "shop""#), "{report:?}");
    assert!(shop.indexes().await.is_empty());
}

#[tokio::test]
async fn what_is_not_ours_is_neither_adopted_nor_dropped() {
    let mut shop = Shop::open().await;
    let name = shop.name().to_owned();
    let foreign = [
        format!("create index \"{name}\" on public.orders (other)"),
        format!("create unique index \"{name}\" on public.orders (customer_id, id)"),
        format!("create index \"{name}\" on public.orders (customer_id) where id > 5"),
        format!("create index \"{name}\" on public.orders (customer_id desc)"),
        format!(
            "create index \"{name}\" on public.orders (customer_id); comment on index public.\"{name}\" is 'dbmedic key=other'"
        ),
        format!("create index \"{name}\" on public.orders (customer_id); comment on index public.\"{name}\" is 'mine'"),
    ];
    for statement in foreign {
        execute(&mut shop.admin, &statement).await;
        for purpose in [Purpose::Apply, Purpose::Undo] {
            let report = shop.run(purpose).await.unwrap();
            assert_eq!((report.outcome, report.changed), (Outcome::Refused, false), "{statement}: {report:?}");
        }
        execute(&mut shop.admin, &format!("drop index public.\"{name}\"")).await;
    }
    execute(&mut shop.admin, &format!("create table public.\"{name}\" ()")).await;
    assert_eq!(shop.apply().await.outcome, Outcome::Refused);
    assert_eq!(shop.undo().await.outcome, Outcome::Refused);
    execute(
        &mut shop.admin,
        &format!("drop table public.\"{name}\"; create index same on public.orders (customer_id)"),
    )
    .await;
    let report = shop.apply().await;
    assert!(report.outcome == Outcome::Refused && report.message.contains("same"), "{report:?}");
}

#[tokio::test]
async fn an_old_transaction_is_waited_for_and_then_refused_also_when_its_start_is_hidden() {
    let mut shop = Shop::open().await;
    shop.limits.old_transaction = Duration::ZERO;
    shop.limits.patience = Duration::from_millis(400);
    let mut reader = shop.server.admin().await;
    execute(&mut reader, "begin isolation level repeatable read; select 1").await;
    let report = shop.apply().await;
    assert_eq!((report.outcome, report.changed), (Outcome::Refused, false), "{report:?}");
    assert!(report.message.contains("pg_read_all_stats"), "{report:?}");
    reader.close().await.unwrap();
    let writer = shop.writer().await;
    let report = shop.apply().await;
    assert_eq!(report.outcome, Outcome::Refused, "{report:?}");
    assert!(report.message.contains("is open for") && report.transient, "{report:?}");
    writer.close().await.unwrap();
    until("a quiet database", || async { shop.apply().await.outcome == Outcome::Applied }).await;
}

#[tokio::test]
async fn a_table_column_or_server_that_is_not_there_is_refused() {
    let mut shop = Shop::open().await;
    execute(&mut shop.admin, "alter table public.orders rename column customer_id to buyer_id").await;
    let report = shop.apply().await;
    assert!(report.outcome == Outcome::Refused && report.message.contains("customer_id"), "{report:?}");
    execute(&mut shop.admin, "drop table public.orders").await;
    let report = shop.apply().await;
    assert!(report.outcome == Outcome::Refused && report.message.contains("does not exist"), "{report:?}");
    shop.endpoint.username = "nobody_of_this_name".into();
    let report = shop.apply().await;
    assert!(report.outcome == Outcome::Refused && report.message.contains("cannot connect"), "{report:?}");
    assert_eq!(shop.undo().await.outcome, Outcome::Failed, "the way back is tried again");
}

#[tokio::test]
async fn an_index_that_a_person_built_under_our_name_is_neither_signed_nor_dropped() {
    let mut shop = Shop::open().await;
    let statement = shop.plan.statement.clone();
    execute(&mut shop.admin, &statement).await;
    let report = shop.apply().await;
    assert_eq!((report.outcome, report.changed, report.transient), (Outcome::Refused, false, false), "{report:?}");
    assert!(report.message.contains("exists already"), "{report:?}");
    assert_eq!(shop.indexes().await, ["true::shop"]);
    shop.attempt = 2;
    let report = shop.apply().await;
    assert_eq!(report.outcome, Outcome::Adopted, "the first attempt died before its comment: {report:?}");
}

/// A transaction that a build has to wait for, and nobody else: it does not touch the table.
async fn reader(shop: &Shop) -> sqlx::PgConnection {
    let mut reader = shop.server.connect("fixer").await;
    execute(&mut reader, "begin isolation level repeatable read; select 1 from pg_class limit 1").await;
    reader
}

/// How long an ALTER TABLE waits once the index is being built. The reader is gone after it.
async fn alter_during_the_build(shop: &Shop, mut reader: sqlx::PgConnection) -> Duration {
    until("the build", || shop.building()).await;
    let mut application = shop.server.admin().await;
    let begun = std::time::Instant::now();
    execute(&mut application, "alter table public.orders add column later int").await;
    let waited = begun.elapsed();
    execute(&mut reader, "commit").await;
    waited
}

#[tokio::test]
async fn nobody_waits_behind_an_alter_table_that_waits_for_a_build() {
    let shop = Shop::open().await;
    let reader = reader(&shop).await;
    let (report, waited) = tokio::join!(shop.apply(), alter_during_the_build(&shop, reader));
    assert!(waited < Duration::from_secs(2), "{waited:?}");
    assert_eq!((report.outcome, report.changed, report.transient), (Outcome::Refused, false, true), "{report:?}");
    assert!(report.message.contains("waited"), "{report:?}");
    assert!(shop.indexes().await.is_empty(), "what the build left is removed");
    assert_eq!(shop.apply().await.outcome, Outcome::Applied);
    shop.assert_nothing_is_left_open().await;
}

#[tokio::test]
async fn nobody_waits_behind_a_build_whose_client_was_killed() {
    let mut shop = Shop::open().await;
    let reader = reader(&shop).await;
    let directory = tempfile::tempdir().unwrap();
    let mut process = shop.spawn_process(directory.path());
    until("the build", || shop.building()).await;
    process.kill().unwrap();
    process.wait().unwrap();
    shop.attempt = 2;
    let (report, waited) = tokio::join!(shop.apply(), alter_during_the_build(&shop, reader));
    assert!(waited < Duration::from_secs(2), "{waited:?}");
    assert_eq!(report.outcome, Outcome::Applied, "{report:?}");
    shop.assert_nothing_is_left_open().await;
}
