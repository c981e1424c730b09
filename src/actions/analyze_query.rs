//! analyze_query: finds the statements that grew and plans them, never executing them.

use super::Action;
use crate::api::ActionName;

/// The action; its work is `diagnose` over what the operator's read-only connection looked up.
pub const ACTION: Action = Action {
    name: ActionName::AnalyzeQuery,
    text: "analyze_query",
    changing: false,
    description: "finds the statements that grew and reads their plans without executing them",
    plan: None,
};
