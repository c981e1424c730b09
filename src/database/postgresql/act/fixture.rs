//! A PostgreSQL server of its own for each test, and the narrow role that the executor works with.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use secrecy::SecretString;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection, Row};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::{Endpoint, FixReport, Interrupted, Limits, Order};
use crate::actions::add_index;
use crate::api::{AddIndex, Change, Plan, PlanTarget, Tls};
use crate::heal::machine::Purpose;
use crate::heal::plan;

pub const UID: &str = "0b9f3b9e-6d0a-4f0e-9d3f-0123456789ab";

pub struct Server {
    directory: TempDir,
    pub port: u16,
}

/// The server refuses to run as root.
fn command(program: &str) -> Command {
    let program = programs().join(program);
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0\n"));
    if root {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

fn programs() -> PathBuf {
    let found = (13..=18).rev().map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")));
    found.into_iter().find(|path| path.join("pg_ctl").exists()).unwrap_or_default()
}

fn run(command: &mut Command) {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Server {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let _ = Command::new("chown").arg("postgres").arg(directory.path()).output();
        let data = directory.path().join("data");
        run(command("initdb").args(["--auth=trust", "--no-sync", "--username=postgres", "-D"]).arg(&data));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { directory, port };
        server.control("start");
        server
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub fn control(&self, verb: &str) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories={} -c fsync=off",
            self.port,
            self.directory.path().display()
        );
        let log = self.directory.path().join("log");
        let mut command = command("pg_ctl");
        command.arg("-D").arg(self.data()).args(["-w", "-t", "30", "-m", "fast", "-o", &options]);
        // pg_ctl's child must not inherit a pipe that nobody closes.
        command.arg("-l").arg(log).arg(verb).stdout(std::process::Stdio::null());
        let status = command.status().unwrap();
        assert!(status.success(), "pg_ctl {verb}");
    }

    pub fn become_standby(&self) {
        self.control("stop");
        run(Command::new("touch").arg(self.data().join("standby.signal")));
        self.control("start");
    }

    pub async fn admin(&self) -> PgConnection {
        self.connect("postgres").await
    }

    pub async fn connect(&self, username: &str) -> PgConnection {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username(username)
            .database("postgres");
        PgConnection::connect_with(&options).await.unwrap()
    }

    pub fn endpoint(&self, username: &str, role: Option<&str>) -> Endpoint {
        Endpoint {
            host: "127.0.0.1".into(),
            port: self.port,
            username: username.into(),
            password: SecretString::from("unused"),
            role: role.map(str::to_owned),
            tls: Tls::Disable,
            ca: None,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut stop = command("pg_ctl");
        let _ = stop.arg("-D").arg(self.data()).args(["-m", "immediate", "-w", "stop"]).output();
    }
}

pub async fn execute(connection: &mut PgConnection, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(connection)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
}

pub async fn count(connection: &mut PgConnection, statement: &str) -> i64 {
    sqlx::query(AssertSqlSafe(statement.to_owned())).fetch_one(connection).await.unwrap().get(0)
}

/// Waits until the condition holds; fails after 20 s.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < deadline, "{what} did not come");
        sleep(Duration::from_millis(20)).await;
    }
}

/// A server with a table that belongs to the role `shop`, and the login role `fixer` that may become it.
pub struct Shop {
    pub server: Server,
    pub admin: PgConnection,
    pub endpoint: Endpoint,
    pub plan: Plan,
    pub limits: Limits,
    pub attempt: u32,
}

impl Shop {
    pub async fn open() -> Self {
        Self::with("public", "orders", "customer_id").await
    }

    pub async fn with(schema: &str, table: &str, column: &str) -> Self {
        let server = Server::start();
        let mut admin = server.admin().await;
        let quote = |name: &str| crate::database::postgresql::quote::quote_identifier(name).unwrap();
        let (quoted_schema, quoted_table, quoted_column) = (quote(schema), quote(table), quote(column));
        execute(
            &mut admin,
            &format!(
                "create role shop nologin; create role fixer login noinherit in role shop; \
                 create schema if not exists {quoted_schema}; grant all on schema {quoted_schema} to shop; \
                 create table {quoted_schema}.{quoted_table} (id int primary key, {quoted_column} int, other text); \
                 alter table {quoted_schema}.{quoted_table} owner to shop; \
                 insert into {quoted_schema}.{quoted_table} select g, g % 100, 'x' from generate_series(1, 2000) g"
            ),
        )
        .await;
        let system_identifier = sqlx::query("select system_identifier::text from pg_control_system()")
            .fetch_one(&mut admin)
            .await
            .unwrap()
            .get(0);
        let columns = vec![column.to_owned()];
        let index = AddIndex {
            name: add_index::index_name(schema, table, &columns),
            schema: schema.into(),
            table: table.into(),
            columns,
        };
        let plan = Plan {
            target: PlanTarget { database: "postgres".into(), system_identifier, timeline: 1, ..PlanTarget::default() },
            statement: add_index::statement(&index).unwrap(),
            undo: add_index::undo(&index).unwrap(),
            change: Change { add_index: Some(index) },
            timeout_seconds: 60,
            ..Plan::default()
        };
        let endpoint = server.endpoint("fixer", Some("shop"));
        let limits = Limits { poll: Duration::from_millis(50), ..Limits::default() };
        Self { server, admin, endpoint, plan, limits, attempt: 1 }
    }

    /// An open transaction that a build has to wait for. Of the login role's own, so that its young age is visible.
    pub async fn writer(&self) -> PgConnection {
        let mut writer = self.server.connect("fixer").await;
        execute(&mut writer, "set role shop; begin; update public.orders set other = 'y' where id = 1").await;
        writer
    }

    pub fn name(&self) -> &str {
        &self.plan.change.add_index.as_ref().unwrap().name
    }

    pub async fn run(&self, purpose: Purpose) -> Result<FixReport, Interrupted> {
        let plan_hash = plan::hash(&self.plan);
        let order = Order {
            purpose,
            uid: UID,
            attempt: self.attempt,
            plan: &self.plan,
            plan_hash: &plan_hash,
            endpoint: &self.endpoint,
            limits: self.limits,
        };
        super::run(&order).await
    }

    pub async fn apply(&self) -> FixReport {
        self.run(Purpose::Apply).await.unwrap()
    }

    pub async fn undo(&self) -> FixReport {
        self.run(Purpose::Undo).await.unwrap()
    }

    /// `valid:comment` of every index with our prefix.
    pub async fn indexes(&self) -> Vec<String> {
        let rows = sqlx::query(
            "select i.indisvalid::text || ':' || coalesce(obj_description(c.oid, 'pg_class'), '') || ':' || pg_get_userbyid(c.relowner) \
             from pg_class c join pg_index i on i.indexrelid = c.oid where c.relname like 'dbmedic\\_%'",
        )
        .fetch_all(&mut self.server.admin().await)
        .await
        .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    pub async fn assert_nothing_is_left_open(&self) {
        until("the end of the executor's sessions and locks", || async {
            let mut admin = self.server.admin().await;
            count(&mut admin, "select count(*) from pg_stat_activity where application_name like any (array['dbmedic-act%', 'dbmedic-watch%'])").await
                == 0
                && count(&mut admin, "select count(*) from pg_locks where locktype = 'advisory'").await == 0
        })
        .await;
    }

    pub async fn building(&self) -> bool {
        count(&mut self.server.admin().await, "select count(*) from pg_stat_progress_create_index").await > 0
    }

    /// The executor as a process of its own, so that it can be killed as a Job's container is.
    pub fn spawn_process(&self, directory: &Path) -> std::process::Child {
        std::fs::write(directory.join("username"), &self.endpoint.username).unwrap();
        std::fs::write(directory.join("password"), "unused\n").unwrap();
        std::fs::write(directory.join("role"), self.endpoint.role.as_deref().unwrap_or_default()).unwrap();
        Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "database::postgresql::act::tests::the_executor_as_a_process"])
            .env(crate::fix::PLAN_VARIABLE, serde_json::to_string(&self.plan).unwrap())
            .env("TEST_PLAN_HASH", plan::hash(&self.plan))
            .env("TEST_PORT", self.server.port.to_string())
            .env("TEST_DIRECTORY", directory)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap()
    }
}
