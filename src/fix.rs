//! `dbmedic fix`: one change or its way back, inside a Job, with credentials that exist only there.
//!
//! It has no rights on the API server: the plan comes in the environment, the credentials as mounted files, and the
//! report goes to the termination log and the exit code.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use secrecy::SecretString;

use crate::api::{Plan, Tls};
use crate::database::postgresql::act::{self, Endpoint, Limits, Order};
use crate::heal::machine::Purpose;
use crate::heal::report::{FixReport, Outcome};

/// Environment variable that holds the plan as JSON.
pub const PLAN_VARIABLE: &str = "DBMEDIC_PLAN";
/// Exit code after a loss of the connection: there is no report, because none would be true.
const INTERRUPTED: u8 = 1;

/// Arguments of `dbmedic fix`.
#[derive(clap::Args, Clone, Debug)]
pub struct Arguments {
    /// UID of the Remediation.
    #[arg(long)]
    pub remediation: String,
    /// Hash of the plan that was let through.
    #[arg(long)]
    pub plan_hash: String,
    /// The change or its way back.
    #[arg(long, value_enum)]
    pub purpose: PurposeArgument,
    /// Number of this attempt among those that may have begun. An index that has no owner yet is adopted only by a later
    /// one than the first.
    #[arg(long, default_value_t = 1)]
    pub attempt: u32,
    /// Address of the database.
    #[arg(long)]
    pub host: String,
    /// Port of the database.
    #[arg(long, default_value_t = 5432)]
    pub port: u16,
    /// Directory with the files `username`, `password` and, when needed, `role` and `ca.crt`.
    #[arg(long)]
    pub credentials: PathBuf,
    /// Where the report is written.
    #[arg(long, default_value = "/dev/termination-log")]
    pub report: PathBuf,
    /// disable, prefer, require or verify-full.
    #[arg(long, default_value = "prefer", value_parser = tls)]
    pub tls: Tls,
}

/// The change or its way back.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PurposeArgument {
    /// Make the change.
    Apply,
    /// Take it back.
    Undo,
}

fn tls(text: &str) -> Result<Tls, String> {
    serde_json::from_value(serde_json::Value::from(text))
        .map_err(|_| "allowed are disable, prefer, require, verify-full".to_owned())
}

/// Runs, writes the report and gives the exit code: 0 done, 1 failed after a possible change or interrupted,
/// 3 refused or failed with nothing changed.
pub async fn run(arguments: Arguments) -> u8 {
    let report = match prepare(&arguments) {
        Ok((plan, endpoint)) => {
            let order = Order {
                purpose: match arguments.purpose {
                    PurposeArgument::Apply => Purpose::Apply,
                    PurposeArgument::Undo => Purpose::Undo,
                },
                uid: &arguments.remediation,
                attempt: arguments.attempt,
                plan: &plan,
                plan_hash: &arguments.plan_hash,
                endpoint: &endpoint,
                limits: Limits::default(),
            };
            match act::run(&order).await {
                Ok(report) => report,
                Err(interrupted) => {
                    tracing::error!(remediation = arguments.remediation, "{interrupted}");
                    return INTERRUPTED;
                }
            }
        }
        Err(message) => refused(message),
    };
    let code = report.exit_code();
    tracing::info!(remediation = arguments.remediation, outcome = ?report.outcome, changed = report.changed, "{}", report.message);
    match serde_json::to_vec(&report).map(|text| std::fs::write(&arguments.report, text)) {
        Ok(Ok(())) => code,
        // Without a report the operator has to find out by another attempt.
        Ok(Err(error)) => {
            tracing::error!("the report cannot be written: {error}");
            INTERRUPTED
        }
        Err(error) => {
            tracing::error!("the report cannot be rendered: {error}");
            INTERRUPTED
        }
    }
}

fn prepare(arguments: &Arguments) -> Result<(Plan, Endpoint), String> {
    let text = std::env::var(PLAN_VARIABLE).map_err(|_| format!("{PLAN_VARIABLE} is not set"))?;
    let plan = serde_json::from_str(&text).map_err(|error| format!("{PLAN_VARIABLE} is no plan: {error}"))?;
    Ok((plan, endpoint(arguments)?))
}

fn endpoint(arguments: &Arguments) -> Result<Endpoint, String> {
    let directory = &arguments.credentials;
    let required = |name: &str| {
        file(directory, name)?.filter(|text| !text.is_empty()).ok_or_else(|| format!("the Secret has no key {name}"))
    };
    Ok(Endpoint {
        host: arguments.host.clone(),
        port: arguments.port,
        username: required("username")?,
        password: SecretString::from(required("password")?),
        role: file(directory, "role")?.filter(|role| !role.is_empty()),
        tls: arguments.tls,
        ca: file(directory, "ca.crt")?.map(String::into_bytes),
    })
}

/// A mounted file without the line end that editors leave; `None` when it does not exist.
fn file(directory: &Path, name: &str) -> Result<Option<String>, String> {
    match std::fs::read_to_string(directory.join(name)) {
        Ok(text) => Ok(Some(text.strip_suffix('\n').unwrap_or(&text).to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("key {name} of the Secret cannot be read: {error}")),
    }
}

fn refused(message: String) -> FixReport {
    let now = format!("{:.3}", jiff::Timestamp::now());
    FixReport {
        outcome: Outcome::Refused,
        changed: false,
        transient: false,
        message,
        index_valid: None,
        started_at: now.clone(),
        finished_at: now,
    }
}
