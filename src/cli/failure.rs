//! Why a command failed, in words for people, and its exit code.

use std::time::Duration;

/// Exit code of every error without one of its own.
pub(super) const EXIT_ERROR: u8 = 1;
/// Exit code of wrong usage.
pub(super) const EXIT_USAGE: u8 = 2;
/// Exit code when anomalies at or above `--fail-on` are open.
pub(super) const EXIT_ANOMALIES: u8 = 3;
/// Exit code when the API server did not answer in time.
pub(super) const EXIT_TIMEOUT: u8 = 4;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error("the API server did not answer within {}: {what}", plain(.after))]
    Timeout { what: String, after: Duration },
    #[error("the API server refused: {message}\n{needs}")]
    Refused { message: String, needs: String },
    #[error("{0}")]
    Other(String),
}

impl Failure {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => EXIT_USAGE,
            Self::Timeout { .. } => EXIT_TIMEOUT,
            Self::Refused { .. } | Self::Other(_) => EXIT_ERROR,
        }
    }

    /// An error of the API, with what the caller needs when it is a matter of rights.
    pub(super) fn of_api(error: kube::Error, what: &str, needs: &str) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 403 => {
                Self::Refused { message: status.message.clone(), needs: needs.to_owned() }
            }
            // A path that the server does not know at all: the definitions are not installed.
            kube::Error::Api(status) if status.message.contains("page not found") => {
                Self::Other(format!("{what}: the kinds of dbmedic.io are not installed in this cluster (apply crds/)"))
            }
            kube::Error::Api(status) => Self::Other(format!("{what}: {}", status.message)),
            other => Self::Other(format!("{what}: {}", chain(&other))),
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = inner.source();
    }
    text
}

fn plain(duration: &Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{} ms", duration.as_millis())
    }
}
