//! A real PostgreSQL server for tests: in a directory of its own, on a free port, gone when dropped.

#![allow(clippy::missing_panics_doc, clippy::panic, reason = "a fixture that fails is a test that fails")]

use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tempfile::TempDir;

use super::connect::{Endpoint, connect, options};
use crate::api::Tls;

/// How long a server may take to start.
const START_LIMIT: Duration = Duration::from_mins(1);

/// A server.
pub struct TestServer {
    directory: TempDir,
    port: u16,
    process: Option<Child>,
}

impl TestServer {
    /// A new server with `pg_stat_statements` loaded and created in the database `postgres`, and a role `monitor` with
    /// `pg_monitor`.
    pub async fn start() -> Self {
        let directory = Self::directory();
        let output = as_postgres("initdb")
            .args(["--no-sync", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(data(&directory))
            .output()
            .expect("initdb");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let access = "local all postgres trust\nhost all postgres 127.0.0.1/32 trust\n\
            host replication postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
        std::fs::write(data(&directory).join("pg_hba.conf"), access).expect("pg_hba.conf");
        let server = Self::boot(directory).await;
        server
            .sql(
                "create extension pg_stat_statements; create role monitor login password 'secret'; \
                 grant pg_monitor to monitor",
            )
            .await;
        server
    }

    /// A replica of this server.
    pub async fn replica(&self) -> Self {
        let directory = Self::directory();
        let output = as_postgres("pg_basebackup")
            .args([
                "--host=127.0.0.1",
                "--username=postgres",
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--no-sync",
            ])
            .arg(format!("--port={}", self.port))
            .arg("-D")
            .arg(data(&directory))
            .output()
            .expect("pg_basebackup");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self::boot(directory).await
    }

    fn directory() -> TempDir {
        let directory = TempDir::with_prefix("dbmedic-postgresql-").expect("a directory");
        if is_root() {
            let chown = Command::new("chown").arg("postgres:postgres").arg(directory.path()).status();
            assert!(chown.expect("chown").success());
        }
        directory
    }

    async fn boot(directory: TempDir) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        let mut server = Self { directory, port, process: None };
        server.run().await;
        server
    }

    /// Starts the server again after [`TestServer::stop`].
    pub async fn run(&mut self) {
        let mut command = as_postgres("postgres");
        command.arg("-D").arg(data(&self.directory)).arg("-k").arg(self.directory.path());
        for setting in [
            &format!("port={}", self.port),
            "listen_addresses=127.0.0.1",
            "shared_preload_libraries=pg_stat_statements",
            "fsync=off",
            "max_connections=30",
            "autovacuum=off",
        ] {
            command.arg("-c").arg(setting);
        }
        let process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("postgres");
        self.process = Some(process);
        let began = Instant::now();
        while self.superuser("postgres").await.is_err() {
            let process = self.process.as_mut().expect("running");
            if began.elapsed() > START_LIMIT || process.try_wait().expect("a status").is_some() {
                let _ = process.kill();
                let mut text = String::new();
                let _ = process.stderr.take().expect("a pipe").read_to_string(&mut text);
                panic!("the server does not start: {text}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Nobody reads what else it says; a full pipe must not stop it.
        let mut errors = self.process.as_mut().and_then(|process| process.stderr.take()).expect("a pipe");
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
    }

    /// Lets nobody but the superuser in without encryption, which the server does not have.
    pub async fn require_encryption(&self) {
        let access = "host all postgres 127.0.0.1/32 trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
        std::fs::write(data(&self.directory).join("pg_hba.conf"), access).expect("pg_hba.conf");
        self.sql("select pg_reload_conf()").await;
    }

    /// Encrypts, with a certificate for 127.0.0.1 that it returns.
    pub async fn encrypt(&self) -> Vec<u8> {
        let openssl = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "server.key", "-out", "server.crt"])
            .current_dir(data(&self.directory))
            .output()
            .expect("openssl");
        assert!(openssl.status.success(), "{}", String::from_utf8_lossy(&openssl.stderr));
        if is_root() {
            let files = ["server.key", "server.crt"].map(|file| data(&self.directory).join(file));
            assert!(Command::new("chown").arg("postgres:postgres").args(files).status().expect("chown").success());
        }
        self.sql("alter system set ssl = on").await;
        self.sql("select pg_reload_conf()").await;
        std::fs::read(data(&self.directory).join("server.crt")).expect("server.crt")
    }

    /// Stops the server at once, as a crash would.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let pid = nix::unistd::Pid::from_raw(process.id().cast_signed());
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGQUIT);
            let _ = process.wait();
        }
    }

    /// TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How a role connects to a database. The password is that of `monitor`.
    pub fn endpoint(&self, username: &str, database: &str) -> Endpoint {
        Endpoint {
            host: "127.0.0.1".into(),
            port: self.port,
            database: database.into(),
            username: username.into(),
            password: "secret".into(),
            tls: Tls::Prefer,
            ca: None,
            application_name: "dbmedic-monitor".into(),
        }
    }

    /// A read-only session of the role `monitor` in the database `postgres`.
    pub async fn monitor(&self) -> PgConnection {
        connect(&self.endpoint("monitor", "postgres")).await.expect("a session")
    }

    async fn superuser(&self, database: &str) -> Result<PgConnection, sqlx::Error> {
        options(&self.endpoint("postgres", database)).expect("options").application_name("test").connect().await
    }

    /// A session of the superuser.
    pub async fn administrator(&self, database: &str) -> PgConnection {
        self.superuser(database).await.expect("a session")
    }

    /// Runs statements as the superuser in the database `postgres`.
    pub async fn sql(&self, sql: &str) {
        self.sql_in("postgres", sql).await;
    }

    /// Runs statements as the superuser in a database. The session ends, and with it its figures are published.
    pub async fn sql_in(&self, database: &str, sql: &str) {
        let mut connection = self.administrator(database).await;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("the statements");
        connection.close().await.expect("closed");
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn data(directory: &TempDir) -> PathBuf {
    directory.path().join("data")
}

/// A program of PostgreSQL, as the user `postgres` when we are root, which the server refuses to be. It ends with us.
fn as_postgres(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.arg(programs().join(program)).current_dir("/");
    command
}

/// Where the server's programs are: on the PATH, or the newest of Debian's versions.
fn programs() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A link on the PATH leads to where all of them are.
    let on_path = std::env::split_paths(&path).find_map(|directory| directory.join("initdb").canonicalize().ok());
    on_path.and_then(|initdb| initdb.parent().map(Path::to_owned)).unwrap_or_else(|| {
        let versions = std::fs::read_dir(Path::new("/usr/lib/postgresql")).expect("PostgreSQL installed");
        let newest = versions.flatten().filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        });
        newest.max().expect("a version of PostgreSQL").1
    })
}
