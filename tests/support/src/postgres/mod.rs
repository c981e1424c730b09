//! A real PostgreSQL server.

mod files;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

use crate::certificate::Certificate;
use crate::eventually::eventually;
use crate::process::{Launch, Process, log_end};
use crate::scratch::{Scratch, free_port};

const PATIENCE: Duration = Duration::from_mins(1);

/// The superuser's name.
pub const SUPERUSER: &str = "postgres";

/// How a server is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens, usually 127.0.0.1; several servers take 127.0.0.2, 127.0.0.3, ...
    pub address: IpAddr,
    /// The port; `None` takes a free one.
    pub port: Option<u16>,
    /// Whether it offers TLS with a certificate of its own.
    pub tls: bool,
    /// Server parameters beyond those every test server has, which they override.
    pub parameters: Vec<(String, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port: None, tls: false, parameters: Vec::new() }
    }
}

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Sessions are ended and everything is written: a planned stop.
    Fast,
    /// Everything ends at once; the next start recovers: a crash of the server.
    Immediate,
    /// SIGKILL to the first process: its children notice by themselves.
    Killed,
}

/// A PostgreSQL server with `pg_stat_statements`, without durability. It is stopped and removed when this is dropped,
/// and at the latest when the program ends.
#[derive(Debug)]
pub struct Postgres {
    process: Option<Process>,
    settings: Settings,
    port: u16,
    programs: PathBuf,
    certificate: Option<Certificate>,
    directory: Scratch,
    start_time: Duration,
}

impl Postgres {
    /// Starts a server on 127.0.0.1 and a free port.
    ///
    /// # Errors
    /// PostgreSQL is not installed or does not start (its log's end is in the error).
    pub async fn start() -> Result<Self> {
        Self::start_with(Settings::default()).await
    }

    /// Starts a server.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub async fn start_with(settings: Settings) -> Result<Self> {
        let start = Instant::now();
        let mut server = Self::prepare(settings)?;
        files::copy_template(&server.programs, &server.data())?;
        server.configure()?;
        server.start_again().await?;
        server.start_time = start.elapsed();
        Ok(server)
    }

    /// Starts a standby that follows `primary` by streaming. It answers queries when this returns.
    ///
    /// # Errors
    /// The copy fails or the standby does not start.
    pub async fn standby_of(primary: &Self, settings: Settings) -> Result<Self> {
        let start = Instant::now();
        let mut server = Self::prepare(settings)?;
        files::copy_primary(&server.programs, &server.data(), primary.address(), primary.port())?;
        server.configure()?;
        server.start_again().await?;
        server.start_time = start.elapsed();
        Ok(server)
    }

    fn prepare(settings: Settings) -> Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let programs = files::programs()?;
        let directory = Scratch::new("postgres")?;
        files::give_to_account(directory.path())?;
        let certificate = if settings.tls { Some(files::certificate(directory.path(), &settings)?) } else { None };
        let port = settings.port.map_or_else(|| free_port(settings.address), Ok)?;
        Ok(Self { process: None, settings, port, programs, certificate, directory, start_time: Duration::ZERO })
    }

    fn configure(&self) -> Result<()> {
        files::configure(&self.data(), &self.settings, self.port, self.certificate.as_ref())
    }

    /// Starts a stopped server again, on the same address and port, and waits until it answers.
    ///
    /// # Errors
    /// It runs already or does not start (its log's end is in the error).
    pub async fn start_again(&mut self) -> Result<()> {
        if self.process.as_ref().is_some_and(|process| process.ended().is_none()) {
            bail!("PostgreSQL on port {} runs already", self.port);
        }
        let process = Launch::new(self.programs.join("postgres"))
            .argument("-D")
            .argument(self.data())
            .account(files::account()?)
            // On QUIT the server ends all its children and frees its shared memory; KILL would leave that behind.
            .death_signal("QUIT")
            .log(self.log())
            .start()?;
        let process = self.process.insert(process);
        let options = options(self.settings.address, self.port, "postgres");
        eventually(PATIENCE, "PostgreSQL to answer", async || {
            if let Some(status) = process.ended() {
                bail!("PostgreSQL ended with {status}{}", process.log_end());
            }
            Ok(options.connect().await.ok())
        })
        .await
        .with_context(|| format!("starting PostgreSQL{}", log_end(&self.log())))?
        .close()
        .await?;
        Ok(())
    }

    /// Stops the server and waits for its end; its data stay.
    ///
    /// # Errors
    /// It does not run, or does not end within a minute.
    pub async fn stop(&mut self, how: Shutdown) -> Result<()> {
        let Some(process) = self.process.take() else { bail!("PostgreSQL on port {} does not run", self.port) };
        process.signal(match how {
            Shutdown::Fast => Signal::SIGINT,
            Shutdown::Immediate => Signal::SIGQUIT,
            Shutdown::Killed => Signal::SIGKILL,
        });
        process.wait(PATIENCE).await?;
        // The children of a killed server hold its shared memory until they notice; a new server refuses to start
        // beside them. Each runs in the data directory.
        let data = self.data();
        eventually(PATIENCE, "the server's children to end", async || Ok((!files::is_in_use(&data)).then_some(())))
            .await
    }

    /// Stops and starts the server.
    ///
    /// # Errors
    /// As [`Postgres::stop`] and [`Postgres::start_again`].
    pub async fn restart(&mut self, how: Shutdown) -> Result<()> {
        self.stop(how).await?;
        self.start_again().await
    }

    /// Makes a standby a primary and waits until it takes writes.
    ///
    /// # Errors
    /// It is no standby.
    pub async fn promote(&self) -> Result<()> {
        let promoted: bool = self.value("postgres", "SELECT pg_promote(true, 60)").await?;
        if !promoted {
            bail!("the standby on port {} was not promoted", self.port);
        }
        Ok(())
    }

    /// Refuses (or accepts again) connections without TLS, except those of the superuser.
    ///
    /// # Errors
    /// The server does not reread its rules.
    pub async fn demand_tls(&self, demand: bool) -> Result<()> {
        let loaded = "SELECT pg_conf_load_time()::text";
        let before: String = self.value("postgres", loaded).await?;
        files::write_access_rules(&self.data(), demand)?;
        self.execute("postgres", "SELECT pg_reload_conf()").await?;
        // Each new session shows when the first process, which admits sessions, last read its rules.
        eventually(PATIENCE, "the new access rules", async || {
            let now: String = self.value("postgres", loaded).await?;
            Ok((now != before).then_some(()))
        })
        .await
    }

    /// Where it listens.
    pub fn address(&self) -> IpAddr {
        self.settings.address
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The number of the first server process, or `None` while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// How long initialising (or copying) and starting took.
    pub fn start_time(&self) -> Duration {
        self.start_time
    }

    /// The server's log.
    pub fn log(&self) -> PathBuf {
        self.directory.path().join("postgres.log")
    }

    /// The certificate of the authority that clients have to trust, with TLS on.
    pub fn authority(&self) -> Option<&Path> {
        self.certificate.as_ref().map(|certificate| certificate.authority.as_path())
    }

    /// The superuser's password.
    ///
    /// # Errors
    /// There is no randomness to make one from.
    pub fn superuser_password() -> Result<&'static str> {
        files::password()
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Options to connect as superuser; change user and password for others.
    ///
    /// # Errors
    /// As [`Postgres::superuser_password`].
    pub fn options(&self, database: &str) -> Result<PgConnectOptions> {
        files::password()?;
        Ok(options(self.settings.address, self.port, database))
    }

    /// Connects as superuser.
    ///
    /// # Errors
    /// The server does not accept the connection.
    pub async fn connect(&self, database: &str) -> Result<PgConnection> {
        let options = self.options(database)?;
        options.connect().await.with_context(|| format!("connecting to {database} on port {}", self.port))
    }

    /// Runs statements, separated by semicolons, as superuser in a connection of their own.
    ///
    /// # Errors
    /// The server refuses one.
    pub async fn execute(&self, database: &str, sql: &str) -> Result<()> {
        let mut connection = self.connect(database).await?;
        let done = connection.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await;
        done.with_context(|| format!("running {sql}"))?;
        connection.close().await?;
        Ok(())
    }

    /// The one value that a query of the superuser yields.
    ///
    /// # Errors
    /// The server refuses it, or it yields no row.
    pub async fn value<T>(&self, database: &str, sql: &str) -> Result<T>
    where
        T: for<'row> sqlx::Decode<'row, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        let mut connection = self.connect(database).await?;
        let found = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await;
        let found = found.with_context(|| format!("running {sql}"))?;
        connection.close().await?;
        Ok(found)
    }

    /// Makes a database with `pg_stat_statements` in it.
    ///
    /// # Errors
    /// It exists already.
    pub async fn create_database(&self, name: &str) -> Result<()> {
        self.execute("postgres", &format!("CREATE DATABASE {}", quoted(name))).await?;
        self.execute(name, "CREATE EXTENSION pg_stat_statements").await
    }

    /// Makes a role that may log in, as member of these roles.
    ///
    /// # Errors
    /// It exists already, or one of the roles does not.
    pub async fn create_role(&self, name: &str, password: &str, member_of: &[&str]) -> Result<()> {
        let name = quoted(name);
        let mut sql = format!("CREATE ROLE {name} LOGIN PASSWORD '{}';", password.replace('\'', "''"));
        for role in member_of {
            write!(sql, "GRANT {} TO {name};", quoted(role))?;
        }
        self.execute("postgres", &sql).await
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // An immediate stop lets the server free its shared memory before its directory goes.
        if let Some(process) = self.process.take() {
            process.signal(Signal::SIGQUIT);
            let start = Instant::now();
            while process.ended().is_none() && start.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

fn options(address: IpAddr, port: u16, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host(&address.to_string())
        .port(port)
        .username(SUPERUSER)
        .password(files::password().unwrap_or_default())
        .database(database)
        .ssl_mode(PgSslMode::Disable)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
