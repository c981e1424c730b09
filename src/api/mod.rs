//! The kinds that people and the operator write, as they are stored: types, schema and CEL rules only.
//!
//! Nothing here is resolved: durations are still text, references still names. The border of each core
//! folder turns a spec once into what it means; see [`crate::detect::resolve`] for the pattern.

#![allow(clippy::duplicated_attributes, reason = "the printer columns of a kind repeat the same keys")]
#![allow(clippy::doc_markdown, reason = "doc comments become the descriptions of the schema")]

mod anomaly;
mod anomaly_exception;
mod anomaly_rule;
mod baseline;
pub mod conditions;
pub mod crds;
mod detectors;
mod plan;
mod remediation;
mod remediation_approval;
mod remediation_policy;
mod text;

pub use anomaly::{
    Anomaly, AnomalySpec, AnomalyState, AnomalyStatus, Band, Evidence, IndexCandidate, LookedAt, Observed, PlanNode,
    RootCause, RootCauseKind, StatementEvidence, Walk,
};
pub use anomaly_exception::{AnomalyException, AnomalyExceptionSpec, AnomalyExceptionStatus, DateRange};
pub use anomaly_rule::{
    AnomalyRule, AnomalyRuleSpec, AnomalyRuleStatus, IncidentState, Remediate, Sensitivity, Severity, TargetState,
};
pub use baseline::{
    Baseline, BaselineSpec, BaselineStatus, Collection, Connection, CustomMetric, DatabaseStatus, Engine, MetricStatus,
    PatternStatus, Pods, Refresh, Seasonality, Statistics, Tls, Unavailable, ValidationStatus,
};
pub use detectors::{
    DegradationDetector, Detect, Direction, ForecastDetector, LimitDetector, MultivariateDetector, PatternDetector,
    PeersDetector, QueryMixDetector, Side, SigmaDetector, TrendDetector,
};
pub use plan::{AddIndex, Change, Plan, PlanTarget, Risk, RiskLevel, Verification};
pub use remediation::{
    ApprovalStatus, JobStatus, Measured, Remediation, RemediationSpec, RemediationState, RemediationStatus, Transition,
    VerificationStatus,
};
pub use remediation_approval::{Decision, RemediationApproval, RemediationApprovalSpec};
pub use remediation_policy::{
    ActionName, Approvals, Backoff, Executor, Limits, Mode, Priority, RemediationPolicy, RemediationPolicySpec,
    RemediationPolicyStatus, Retries, Step, Strategy,
};
pub use text::{Decimal, DecimalError, DurationError, DurationText, LocalReference, ObjectReference};

/// API group of every kind.
pub const GROUP: &str = "dbmedic.io";
/// The only served and stored version.
pub const VERSION: &str = "v1alpha1";
