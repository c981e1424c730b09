//! A PostgreSQL server of its own for one test, gone when dropped.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

/// A running server that listens on a socket in its own directory only.
pub struct Server {
    directory: tempfile::TempDir,
    binaries: PathBuf,
}

impl Server {
    /// Makes a cluster with `pg_stat_statements` and starts it.
    pub fn start() -> Self {
        let binaries = binaries();
        let directory = tempfile::Builder::new().prefix("dbmedic-pg-").tempdir().expect("a directory");
        if nix::unistd::geteuid().is_root() {
            assert!(Command::new("chown").arg("postgres").arg(directory.path()).status().expect("chown").success());
        }
        let server = Self { directory, binaries };
        let data = server.path("data");
        server.run("initdb", &["-D", &data, "-A", "trust", "-U", "postgres", "--no-sync"]);
        let options = format!(
            "-c listen_addresses= -c unix_socket_directories={} -c shared_preload_libraries=pg_stat_statements \
             -c fsync=off -c autovacuum=off",
            server.directory.path().display()
        );
        server.run("pg_ctl", &["-D", &data, "-w", "-l", &server.path("log"), "-o", &options, "start"]);
        server
    }

    /// Connects as this role, without a password.
    pub async fn connect(&self, role: &str) -> PgConnection {
        let options = PgConnectOptions::new_without_pgpass();
        let options = options.socket(self.directory.path()).username(role).database("postgres");
        options.disable_statement_logging().connect().await.expect("a connection")
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let program = self.binaries.join(program);
        let mut command = if nix::unistd::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        // The server inherits the output of pg_ctl: a pipe would never be closed.
        let command = command.args(arguments).current_dir(self.directory.path());
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(status.expect("a PostgreSQL program").success(), "{arguments:?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if Path::new(&self.path("data/postmaster.pid")).exists() {
            self.run("pg_ctl", &["-D", &self.path("data"), "-m", "immediate", "-w", "stop"]);
        }
    }
}

/// Runs a script of several statements.
pub async fn script(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.expect("the script runs");
}

/// Ends a connection in order.
pub async fn close(connection: PgConnection) {
    connection.close().await.expect("closed");
}

/// The newest PostgreSQL: `PG_BIN`, or where Debian's packages put it.
fn binaries() -> PathBuf {
    if let Ok(path) = std::env::var("PG_BIN") {
        return path.into();
    }
    let versions =
        std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed, or PG_BIN names its programs");
    let newest = versions
        .filter_map(Result::ok)
        .max_by_key(|version| version.file_name().to_string_lossy().parse::<u32>().unwrap_or_default());
    newest.expect("a version").path().join("bin")
}
