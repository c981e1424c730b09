//! The executor's one connection: settings, identity, claim, role.

use std::time::Duration;

use secrecy::SecretString;
use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::time::{Instant, sleep, timeout};

use super::{Order, Stop, Work};
use crate::api::{PlanTarget, Tls};
use crate::database::postgresql::connect;
use crate::database::postgresql::quote::quote_identifier;
use crate::heal::machine::Purpose;

/// What the Job is given to reach the server: its address and what the Secret holds.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Address of the pod.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Login role.
    pub username: String,
    /// Its password.
    pub password: SecretString,
    /// The role that may make the change, when it is not the login role.
    pub role: Option<String>,
    /// Encryption.
    pub tls: Tls,
    /// PEM of the certificate authority.
    pub ca: Option<Vec<u8>>,
}

/// Longest time for one look at the catalogue, and for a connection.
const LOOK: Duration = Duration::from_secs(10);
/// Longest wait behind a lock for everything that is not built concurrently: no client waits longer because of us.
const LOCK: Duration = Duration::from_millis(900);
/// Errors of a server that is starting, stopping or full: worth another try.
const PASSING: [&str; 4] = ["57P01", "57P03", "53300", "08006"];

pub(super) struct Session {
    pub(super) connection: PgConnection,
    version: i32,
    role: Option<String>,
}

impl Session {
    /// Connects, tries again for a while when that may help, and sets what every statement needs.
    pub(super) async fn open(work: &Work<'_>) -> Result<Self, Stop> {
        let order = work.order;
        let connection = connection(order, "dbmedic-act").await?;
        let mut session = Self { connection, version: 0, role: order.endpoint.role.clone() };
        session.version = sqlx::query_scalar("select current_setting('server_version_num')::int")
            .fetch_one(&mut session.connection)
            .await
            .map_err(stopped)?;
        // Listed last, temporary tables never stand in for catalogue ones.
        session.set("search_path", "pg_catalog, pg_temp").await?;
        session.set("idle_in_transaction_session_timeout", "10s").await?;
        session.for_looking().await?;
        Ok(session)
    }

    async fn set(&mut self, name: &str, value: &str) -> Result<(), Stop> {
        sqlx::query("select set_config($1, $2, false)")
            .bind(name)
            .bind(value)
            .execute(&mut self.connection)
            .await
            .map(|_| ())
            .map_err(stopped)
    }

    /// Settings of every statement that is no concurrent build.
    pub(super) async fn for_looking(&mut self) -> Result<(), Stop> {
        self.set("lock_timeout", &milliseconds(LOCK)).await?;
        self.set("statement_timeout", &milliseconds(LOOK)).await?;
        self.watch_client("1s").await
    }

    /// Settings of a concurrent build or drop. A killed client must not stop it: the successor adopts it.
    pub(super) async fn for_building(&mut self, lock: Duration, limit: Duration) -> Result<(), Stop> {
        self.set("lock_timeout", &milliseconds(lock)).await?;
        self.set("statement_timeout", &milliseconds(limit.max(Duration::from_millis(1)))).await?;
        self.watch_client("0").await
    }

    async fn watch_client(&mut self, interval: &str) -> Result<(), Stop> {
        // New in PostgreSQL 14.
        if self.version < 140_000 { Ok(()) } else { self.set("client_connection_check_interval", interval).await }
    }

    /// Refuses another server, a standby, and for a change a server that was failed over since the plan was made. A
    /// way back follows the index to the new primary: it is bound to the index by its key.
    pub(super) async fn check_identity(&mut self, target: &PlanTarget, purpose: Purpose) -> Result<(), Stop> {
        let recovering: bool =
            sqlx::query_scalar("select pg_is_in_recovery()").fetch_one(&mut self.connection).await.map_err(stopped)?;
        if recovering {
            return Err(Stop::Refused("the server is a standby".into()));
        }
        // The checkpoint's timeline lags behind a promotion; the log's does not.
        let (system, timeline, database): (String, i32, String) = sqlx::query_as(
            "select (select system_identifier::text from pg_control_system()), \
             ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int, current_database()::text",
        )
        .fetch_one(&mut self.connection)
        .await
        .map_err(stopped)?;
        if system != target.system_identifier {
            return Err(Stop::Refused(format!(
                "this is another cluster: its system identifier is {system}, the plan's is {}",
                target.system_identifier
            )));
        }
        if timeline != target.timeline && (purpose == Purpose::Apply || timeline < target.timeline) {
            return Err(Stop::Refused(format!(
                "the server is on timeline {timeline}, the plan was made on {}: there was a failover",
                target.timeline
            )));
        }
        if database != target.database {
            return Err(Stop::Refused(format!("this is database {database:?}, the plan's is {:?}", target.database)));
        }
        Ok(())
    }

    /// One try for the advisory lock of this Remediation. It is held by the connection that runs the change, so a
    /// predecessor whose build goes on without its client still holds it. Never a blocking wait: that would hold a
    /// snapshot for which the build waits.
    pub(super) async fn claim(&mut self, uid: &str) -> Result<bool, Stop> {
        sqlx::query_scalar("select pg_try_advisory_lock($1)")
            .bind(lock_key(uid))
            .fetch_one(&mut self.connection)
            .await
            .map_err(stopped)
    }

    /// Becomes the role that may make the change, when there is one.
    pub(super) async fn become_role(&mut self, login: &str) -> Result<(), Stop> {
        let Some(role) = self.role.clone() else { return Ok(()) };
        let quoted = quote_identifier(&role).map_err(|error| Stop::Refused(format!("the Secret's role: {error}")))?;
        match self.execute(format!("SET ROLE {quoted}")).await {
            Ok(()) => Ok(()),
            Err(error) if is_server_error(&error) => Err(Stop::Refused(format!(
                "cannot become role {role:?}: {}; needed: GRANT {quoted} TO {}",
                describe(&error),
                quote_identifier(login).unwrap_or_default()
            ))),
            Err(error) => Err(stopped(error)),
        }
    }

    /// Becomes the login role again.
    pub(super) async fn leave_role(&mut self) -> Result<(), Stop> {
        if self.role.is_some() {
            self.execute("RESET ROLE".into()).await.map_err(stopped)?;
        }
        Ok(())
    }

    /// Sends one statement whose names were quoted by the one quoting function.
    pub(super) async fn execute(&mut self, statement: String) -> Result<(), sqlx::Error> {
        // Bound as a prepared statement: the server refuses a second statement in the text.
        sqlx::query(AssertSqlSafe(statement)).persistent(false).execute(&mut self.connection).await.map(|_| ())
    }

    /// Ends the session in an orderly way, so that its lock and its place are free at once.
    pub(super) async fn close(self) {
        // The work is done and reported whatever becomes of the goodbye.
        let _ = timeout(Duration::from_secs(2), self.connection.close()).await;
    }
}

/// Name of the executor's sessions.
pub(super) fn application_name(uid: &str) -> String {
    format!("dbmedic-act/{uid}")
}

/// Connects, and tries again for a while when that may help. The session's name begins with `prefix`.
pub(super) async fn connection(order: &Order<'_>, prefix: &str) -> Result<PgConnection, Stop> {
    let options = options(order, prefix)?;
    let patience = Instant::now() + order.limits.patience.min(Duration::from_secs(30));
    loop {
        let message = match timeout(LOOK, options.connect()).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) if !may_pass(&error) => {
                return Err(Stop::Refused(format!("cannot connect: {}", describe(&error))));
            }
            Ok(Err(error)) => describe(&error),
            Err(_) => "no answer within 10 s".to_owned(),
        };
        if Instant::now() >= patience {
            return Err(Stop::Deferred(format!("cannot connect: {message}")));
        }
        sleep(order.limits.poll).await;
    }
}

fn options(order: &Order<'_>, prefix: &str) -> Result<PgConnectOptions, Stop> {
    let endpoint = order.endpoint;
    let server = connect::Endpoint {
        host: endpoint.host.clone(),
        port: endpoint.port,
        database: order.plan.target.database.clone(),
        username: endpoint.username.clone(),
        password: endpoint.password.clone(),
        tls: endpoint.tls,
        ca: endpoint.ca.clone(),
        application_name: format!("{prefix}/{}", order.uid),
    };
    connect::options(&server).map_err(|error| Stop::Refused(format!("cannot connect: {error}")))
}

/// Key of the advisory lock: the first eight bytes of SHA-256 over a fixed prefix and the UID.
fn lock_key(uid: &str) -> i64 {
    let digest = Sha256::digest(format!("dbmedic remediation {uid}"));
    digest.iter().take(8).fold(0_i64, |key, byte| (key << 8) | i64::from(*byte))
}

fn milliseconds(duration: Duration) -> String {
    format!("{}ms", duration.as_millis().min(i32::MAX as u128))
}

fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(inner) => inner.code().is_some_and(|code| PASSING.contains(&code.as_ref())),
        _ => false,
    }
}

/// Whether the server itself answered with an error, and lives on.
pub(super) fn is_server_error(error: &sqlx::Error) -> bool {
    // Class 57P: the server, or somebody on it, ends the session.
    matches!(error, sqlx::Error::Database(inner) if !inner.code().is_some_and(|code| code.starts_with("57P")))
}

/// SQLSTATE of a server's error.
pub(super) fn code(error: &sqlx::Error) -> String {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default().into_owned()
}

/// What the server said, with its code; never a statement or a password.
pub(super) fn describe(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(inner) => format!("{} (SQLSTATE {})", inner.message(), code(error)),
        None => error.to_string(),
    }
}

/// An error of a look: the server's own one fails the work, a lost connection leaves the outcome open.
pub(super) fn stopped(error: sqlx::Error) -> Stop {
    // An answer of another form than the server documents is no lost connection: it would be the same again.
    let strange = matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::RowNotFound);
    if strange || is_server_error(&error) {
        Stop::Failed(describe(&error))
    } else {
        Stop::Interrupted(describe(&error))
    }
}
