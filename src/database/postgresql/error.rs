//! What went wrong with a database, by class: what a person must do differs by class, not by message.

use sqlx::postgres::PgDatabaseError;

use crate::diagnose::text;

/// Longest message that is kept, in characters.
const MESSAGE_LIMIT: usize = 300;

/// What went wrong, classified by SQLSTATE. The text is the server's own, without control characters.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DatabaseError {
    /// Wrong password, unknown role, or no `pg_hba.conf` entry (28P01, 28000).
    #[error("the server refuses the credentials: {0}")]
    Authentication(String),
    /// No server answers, or it is starting up or shutting down (57P01, 57P02, 57P03).
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// Encryption is demanded and not possible, or the certificate is not valid.
    #[error("encryption: {0}")]
    Tls(String),
    /// No connection slot is left (53300).
    #[error("the server has no connection slot left: {0}")]
    Exhausted(String),
    /// The server has no database of this name (3D000).
    #[error("the server has no such database: {0}")]
    NoDatabase(String),
    /// The role may not connect to the database (42501, while connecting).
    #[error("the role may not connect to the database: {0}")]
    ConnectDenied(String),
    /// The role may not do this (42501).
    #[error("the role lacks a right: {0}")]
    Permission(String),
    /// The server stopped a statement at its time limit, or at that for locks (57014, 55P03).
    #[error("time limit: {0}")]
    Timeout(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl DatabaseError {
    /// Name of the class, in `CamelCase`, for reasons of conditions and labels of metrics.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Authentication(_) => "Authentication",
            Self::Unreachable(_) => "Unreachable",
            Self::Tls(_) => "Tls",
            Self::Exhausted(_) => "Exhausted",
            Self::NoDatabase(_) => "NoDatabase",
            Self::ConnectDenied(_) => "ConnectDenied",
            Self::Permission(_) => "Permission",
            Self::Timeout(_) => "Timeout",
            Self::Other(_) => "Other",
        }
    }

    /// Whether the connection is lost: every further statement on it would fail too.
    pub fn is_connection_lost(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Tls(_) | Self::Authentication(_))
    }

    /// The message alone.
    pub fn message(&self) -> &str {
        match self {
            Self::Authentication(message)
            | Self::Unreachable(message)
            | Self::Tls(message)
            | Self::Exhausted(message)
            | Self::NoDatabase(message)
            | Self::ConnectDenied(message)
            | Self::Permission(message)
            | Self::Timeout(message)
            | Self::Other(message) => message,
        }
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(reported) => match reported.try_downcast_ref::<PgDatabaseError>() {
                Some(reported) => classify(reported.code(), reported.message()),
                None => Self::Other(printable(reported.message())),
            },
            sqlx::Error::Io(cause) if is_handshake(&cause) => Self::Tls(printable(&cause.to_string())),
            sqlx::Error::Io(cause) => Self::Unreachable(printable(&cause.to_string())),
            sqlx::Error::Tls(cause) => Self::Tls(printable(&cause.to_string())),
            // A stream that no longer makes sense is as good as none.
            sqlx::Error::Protocol(cause) => Self::Unreachable(printable(&format!("not understood: {cause}"))),
            other => Self::Other(printable(&other.to_string())),
        }
    }
}

/// Whether a failed read was a failed handshake, which arrives as one.
fn is_handshake(cause: &std::io::Error) -> bool {
    let Some(inner) = cause.get_ref() else { return false };
    inner.is::<rustls::Error>()
}

/// The class of an SQLSTATE (PostgreSQL manual, appendix A).
fn classify(code: &str, message: &str) -> DatabaseError {
    let text = printable(message);
    match code {
        // pg_hba.conf demands encryption: the server says so only in words, in the entry that it looked for.
        "28000" if message.contains("no encryption") || message.contains("SSL off") => DatabaseError::Tls(text),
        "28P01" | "28000" => DatabaseError::Authentication(text),
        "53300" => DatabaseError::Exhausted(text),
        "3D000" => DatabaseError::NoDatabase(text),
        "42501" => DatabaseError::Permission(text),
        "57014" | "55P03" => DatabaseError::Timeout(text),
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => DatabaseError::Unreachable(text),
        code if code.starts_with("08") => DatabaseError::Unreachable(text),
        _ => DatabaseError::Other(format!("{text} (SQLSTATE {code})")),
    }
}

/// A server's text, fit for people and of bounded length.
pub fn printable(text: &str) -> String {
    text::printable(text, MESSAGE_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_follow_the_sqlstate() {
        let hba = "no pg_hba.conf entry for host \"10.0.0.1\", user \"m\", database \"d\"";
        for (code, message, class) in [
            ("28P01", "password authentication failed for user \"m\"", "Authentication"),
            ("28000", hba, "Authentication"),
            ("28000", &format!("{hba}, no encryption"), "Tls"),
            ("53300", "sorry, too many clients already", "Exhausted"),
            ("42501", "permission denied for table a", "Permission"),
            ("57014", "canceling statement due to statement timeout", "Timeout"),
            ("55P03", "canceling statement due to lock timeout", "Timeout"),
            ("57P03", "the database system is starting up", "Unreachable"),
            ("57P01", "terminating connection due to administrator command", "Unreachable"),
            ("08006", "connection failure", "Unreachable"),
            ("3D000", "database \"x\" does not exist", "NoDatabase"),
            ("42501", "permission denied for database \"x\"", "Permission"),
        ] {
            assert_eq!(classify(code, message).class(), class, "{code} {message}");
        }
    }

    #[test]
    fn control_characters_of_a_server_do_not_get_through() {
        assert_eq!(printable("a\n\u{1b}[31mb\u{7}"), "a [31mb");
        assert_eq!(printable("a\u{202e}b"), "a b", "what changes the direction makes a text look like another");
        assert_eq!(printable(&"é".repeat(500)).chars().count(), MESSAGE_LIMIT);
    }
}
