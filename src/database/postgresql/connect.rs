//! Connecting: the endpoint, encryption and the limits that hold for every statement of the session.

use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Connection};

use super::error::DatabaseError;
use crate::api::Tls;

/// How long a connection may take to be there.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How long the server lets one statement of a read-only session run.
pub const STATEMENT_LIMIT: Duration = Duration::from_secs(2);

/// The session's settings, given at its start, so that `RESET ALL` comes back to them. Whatever queues behind a lock
/// gives up at once, a statement that takes long is stopped, nothing can be written, and a transaction that was left
/// open by a lost client ends.
const SETTINGS: [(&str, &str); 6] = [
    ("lock_timeout", "300ms"),
    ("statement_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("default_transaction_read_only", "on"),
    // Just-in-time compilation would cost more than any of these statements.
    ("jit", "off"),
    // A rollback to be sure, outside of any transaction, is no warning for our log.
    ("client_min_messages", "error"),
];

/// Where a database is and who connects to it.
#[derive(Clone)]
pub struct Endpoint {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Name of the database.
    pub database: String,
    /// Name of the role.
    pub username: String,
    /// Password of the role.
    pub password: SecretString,
    /// Whether the connection is encrypted.
    pub tls: Tls,
    /// Certificate authorities in PEM; `None`: those of the system.
    pub ca: Option<Vec<u8>>,
    /// `application_name` of the session, by which it is known in `pg_stat_activity`.
    pub application_name: String,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Endpoint")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("database", &self.database)
            .field("username", &self.username)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// Connects with the limits of a read-only session.
///
/// # Errors
/// Classified; [`DatabaseError::Unreachable`] when no connection is there within five seconds.
pub async fn connect(endpoint: &Endpoint) -> Result<PgConnection, DatabaseError> {
    let options = options(endpoint)?.options(SETTINGS);
    match tokio::time::timeout(CONNECT_LIMIT, PgConnection::connect_with(&options)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(match error.into() {
            // Connecting asks for no other right.
            DatabaseError::Permission(message) => DatabaseError::ConnectDenied(message),
            error => error,
        }),
        Err(_) => Err(DatabaseError::Unreachable(format!("no connection within {} s", CONNECT_LIMIT.as_secs()))),
    }
}

/// The endpoint in the driver's terms, without any session settings.
///
/// # Errors
/// [`DatabaseError::Authentication`] when a name or the password holds a NUL byte, which would end it early on the wire
/// and let what follows be read as another parameter.
pub fn options(endpoint: &Endpoint) -> Result<PgConnectOptions, DatabaseError> {
    let password = endpoint.password.expose_secret();
    for (field, text) in
        [("database", endpoint.database.as_str()), ("username", &endpoint.username), ("password", password)]
    {
        if text.contains('\0') {
            return Err(DatabaseError::Authentication(format!("{field} holds a NUL byte")));
        }
    }
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&endpoint.host)
        .port(endpoint.port)
        .database(&endpoint.database)
        .username(&endpoint.username)
        .password(password)
        .application_name(&endpoint.application_name)
        .ssl_mode(match endpoint.tls {
            Tls::Disable => PgSslMode::Disable,
            Tls::Prefer => PgSslMode::Prefer,
            Tls::Require => PgSslMode::Require,
            Tls::VerifyFull => PgSslMode::VerifyFull,
        })
        // Statements and their parameters do not belong in our log.
        .disable_statement_logging();
    if let Some(authorities) = &endpoint.ca {
        options = options.ssl_root_cert_from_pem(authorities.clone());
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::postgresql::fixture::TestServer;

    fn endpoint() -> Endpoint {
        Endpoint {
            host: "127.0.0.1".into(),
            port: 5432,
            database: "orders".into(),
            username: "monitor".into(),
            password: "secret".into(),
            tls: Tls::Prefer,
            ca: None,
            application_name: "dbmedic-monitor".into(),
        }
    }

    #[test]
    fn a_nul_byte_cannot_smuggle_a_parameter_in() {
        let hostile = Endpoint { username: "monitor\0options\0-c statement_timeout=0".into(), ..endpoint() };
        assert_eq!(options(&hostile).map_err(|error| error.class()).err(), Some("Authentication"));
    }

    #[test]
    fn the_password_is_never_printed() {
        assert!(!format!("{:?}", endpoint()).contains("secret"));
    }

    #[tokio::test]
    async fn a_database_that_is_missing_or_forbidden_is_told_from_a_server_that_is_away() {
        let server = TestServer::start().await;
        server.sql("create database closed").await;
        server.sql("revoke connect on database closed from public").await;
        for (database, class) in [("nowhere", "NoDatabase"), ("closed", "ConnectDenied")] {
            let refused = connect(&server.endpoint("monitor", database)).await;
            assert_eq!(refused.map_err(|error| error.class()).err(), Some(class), "{database}");
        }
    }

    #[tokio::test]
    async fn a_closed_port_is_unreachable() {
        let nowhere = Endpoint { port: 1, ..endpoint() };
        assert_eq!(connect(&nowhere).await.map_err(|error| error.class()).err(), Some("Unreachable"));
    }
}
