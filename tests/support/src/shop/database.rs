//! The database `orders` and the fault of the story.

use anyhow::{Context, Result, ensure};

use super::{FIXER_PASSWORD, MONITOR_PASSWORD, Options, Shop};
use crate::{Postgres, Settings, workspace};

const DROP_DBMEDIC_INDEXES: &str = "do $$ declare name text; begin for name in select indexrelid::regclass::text from \
     pg_index where indrelid = 'orders'::regclass and indexrelid::regclass::text like 'dbmedic%' loop execute 'drop \
     index ' || name; end loop; end $$";

const CUSTOMER_INDEXES: &str = "select count(*) from pg_index i join pg_attribute a on a.attrelid = i.indrelid and \
     a.attnum = i.indkey[0] where i.indrelid = 'orders'::regclass and a.attname = 'customer_id'";

impl Shop {
    /// Drops the index that the workload needs: the fault of the story.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn drop_index(&self) -> Result<()> {
        self.postgres.execute("orders", "drop index if exists orders_customer_id_idx").await?;
        self.postgres.execute("orders", DROP_DBMEDIC_INDEXES).await
    }

    /// Valid and invalid indexes on `orders` whose first column is `customer_id`.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn customer_indexes(&self) -> Result<(i64, i64)> {
        let count = |valid: &str| format!("{CUSTOMER_INDEXES} and {valid}");
        Ok((
            self.postgres.value("orders", &count("i.indisvalid")).await?,
            self.postgres.value("orders", &count("not i.indisvalid")).await?,
        ))
    }
}

pub(super) async fn database(settings: Settings, options: &Options) -> Result<Postgres> {
    let postgres = Postgres::start_with(settings).await?;
    postgres.create_database("orders").await?;
    let rows = options.rows;
    for sql in [
        "create role orders_owner".to_owned(),
        "create role orders_app login password 'app'".to_owned(),
        "grant create on schema public to orders_owner".to_owned(),
        "set role orders_owner; create table orders (id bigint generated always as identity primary key, customer_id \
         int not null, status text not null, amount numeric(10,2) not null, note text not null, created_at timestamptz \
         not null default now()); grant select, insert, update on orders to orders_app; reset role"
            .to_owned(),
        format!(
            "insert into orders (customer_id, status, amount, note, created_at) select (random() * {customers})::int, \
             case when random() < 0.9 then 'done' else 'open' end, (random() * 1000)::numeric(10,2), 'order ' || n, \
             now() - make_interval(secs => {rows} - n) from generate_series(1, {rows}) n",
            customers = options.customers()
        ),
        "create index orders_customer_id_idx on orders (customer_id)".to_owned(),
        "vacuum (analyze) orders".to_owned(),
    ] {
        postgres.execute("orders", &sql).await.with_context(|| format!("preparing the database: {sql}"))?;
    }
    roles(&postgres).await?;
    Ok(postgres)
}

/// Runs the quickstart's own script, as its reader would.
async fn roles(postgres: &Postgres) -> Result<()> {
    let output = tokio::process::Command::new("psql")
        .env("PGPASSWORD", Postgres::superuser_password()?)
        .args([
            "-h",
            &postgres.address().to_string(),
            "-p",
            &postgres.port().to_string(),
            "-U",
            "postgres",
            "-d",
            "orders",
        ])
        .args([
            "-v",
            &format!("monitor_password={MONITOR_PASSWORD}"),
            "-v",
            &format!("fixer_password={FIXER_PASSWORD}"),
        ])
        .args(["-v", "owner=orders_owner", "-q", "-f"])
        .arg(workspace().join("examples/quickstart/roles.sql"))
        .output()
        .await
        .context("psql is needed")?;
    ensure!(output.status.success(), "roles.sql: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
