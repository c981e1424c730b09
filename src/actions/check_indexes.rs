//! check_indexes: looks for missing, duplicate and invalid indexes of the tables that the grown statements read.

use super::Action;
use crate::api::ActionName;

/// The action; its work is `diagnose` over what the operator's read-only connection looked up.
pub const ACTION: Action = Action {
    name: ActionName::CheckIndexes,
    text: "check_indexes",
    changing: false,
    description: "looks for missing, duplicate and invalid indexes of the tables that the grown statements read",
    plan: None,
};
