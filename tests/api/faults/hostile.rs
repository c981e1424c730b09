//! Names with quotes, spaces and SQL in them, through the whole loop.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dbmedic_test_support::Postgres;
use dbmedic_test_support::shop::Options;
use serde_json::json;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};
use tokio::task::JoinSet;

use super::World;

const SCHEMA: &str = "sal\"es'); drop schema public cascade; --";
const TABLE: &str = "or\"ders; drop table control; --";
const COLUMN: &str = "cust omer\"id' or ''='";
const OWNER: &str = "own\"er; drop role orders_app; --";
const MONITOR: &str = "mon\"itor' ; drop table control; --";
const APPLICATION: &str = "a\"pp '; --";
const ROWS: u32 = 300_000;

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

async fn prepare(postgres: &Postgres) -> Result<()> {
    let (schema, table, column) = (quoted(SCHEMA), quoted(TABLE), quoted(COLUMN));
    let (owner, monitor, application) = (quoted(OWNER), quoted(MONITOR), quoted(APPLICATION));
    let sql = format!(
        "create role {owner}; create role {monitor} login password 'm'; create role {application} login password 'a';
         grant pg_monitor, pg_read_all_data to {monitor}; grant {owner} to dbmedic_fixer;
         create schema {schema} authorization {owner}; grant usage on schema {schema} to {application};
         create table {schema}.{table} (id int primary key, {column} int not null, note text not null);
         alter table {schema}.{table} owner to {owner}; grant select on {schema}.{table} to {application};
         create table control as select 1 as one;
         insert into {schema}.{table} select n, (random() * {customers})::int, 'order ' || n from generate_series(1, {ROWS}) n;
         create index {index} on {schema}.{table} ({column});",
        customers = ROWS / 20,
        index = quoted("i \"x\"; --"),
    );
    postgres.execute("orders", &sql).await?;
    postgres.execute("orders", &format!("analyze {schema}.{table}")).await
}

/// Four clients that read by the column with the bad name.
async fn workload(postgres: &Postgres) -> Result<JoinSet<()>> {
    let sql =
        format!("select id, note from {}.{} where {} = $1 limit 10", quoted(SCHEMA), quoted(TABLE), quoted(COLUMN));
    let mut clients = JoinSet::new();
    for client in 0..4 {
        let options = postgres.options("orders")?.username(APPLICATION).password("a");
        let mut connection = options.connect().await?;
        let sql = sql.clone();
        clients.spawn(async move {
            let mut customer = client;
            loop {
                customer = (customer * 31 + 7) % 15_000;
                let query = sqlx::query(AssertSqlSafe(sql.clone())).bind(customer);
                if connection.execute(query).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }
    Ok(clients)
}

/// Everything of the database that a fix could change, but for indexes that dbmedic built.
async fn inventory(postgres: &Postgres) -> Result<String> {
    let sql = "select string_agg(line, e'\\n' order by line) from (
        select format('%s %s %s', relkind, relnamespace::regnamespace, relname) as line from pg_class
          where relnamespace <> 'pg_toast'::regnamespace and relname not like 'dbmedic%'
        union all select 'role ' || rolname from pg_roles union all select 'schema ' || nspname from pg_namespace) all_of_it";
    postgres.value("orders", sql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn names_full_of_quotes_and_sql_are_diagnosed_and_fixed_and_change_nothing_else() -> Result<()> {
    let world = World::open(Options { rows: 1000, ..Options::default() }).await?;
    world.shop.import_history(2.0).await?;
    let postgres = &world.shop.postgres;
    prepare(postgres).await?;
    for (name, data) in [
        ("orders-monitor", json!({"username": MONITOR, "password": "m"})),
        ("orders-fixer", json!({"username": "dbmedic_fixer", "password": "fixer-password", "role": OWNER})),
    ] {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
        world.apply(&secret.to_string()).await?;
    }
    let _operator = world.operator().await?;
    let _clients = workload(postgres).await?;
    world.learnt().await?;
    world.rule_is("slow-queries", dbmedic::api::IncidentState::Normal).await?;

    postgres.execute("orders", &format!("drop index {}.{}", quoted(SCHEMA), quoted("i \"x\"; --"))).await?;
    let before = inventory(postgres).await?;
    let remediation = world.fixed().await?;
    let anomaly = world.one_anomaly().await?;
    let missing = anomaly.status.unwrap_or_default().root_cause.and_then(|cause| cause.missing_index);
    let missing = missing.context("no index was found missing")?;
    ensure!((missing.schema.as_str(), missing.table.as_str()) == (SCHEMA, TABLE), "{missing:?}");
    ensure!(missing.columns == [COLUMN], "{missing:?}");
    let statement = &remediation.spec.plan.statement;
    ensure!(statement.contains(&quoted(TABLE)) && statement.contains(&quoted(COLUMN)), "{statement}");

    let after = inventory(postgres).await?;
    ensure!(before == after, "something else changed:\n{before}\n\n{after}");
    let indexes: i64 = postgres
        .value(
            "orders",
            "select count(*) from pg_index i join pg_class c on c.oid = i.indexrelid where c.relname like 'dbmedic%' and \
             i.indisvalid",
        )
        .await?;
    ensure!(indexes == 1, "{indexes} valid indexes");
    let control: i32 = postgres.value("orders", "select one from control").await?;
    ensure!(control == 1);
    Ok(())
}
