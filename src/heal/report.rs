//! What the executor says about its work: the termination message of the Job.

use serde::{Deserialize, Serialize};

/// How a run of the executor ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The change was made, and its post-condition read from the catalogue.
    Applied,
    /// A predecessor had made it, or was making it; the post-condition was read from the catalogue.
    Adopted,
    /// The change was taken back.
    Undone,
    /// There was nothing to take back.
    NothingToUndo,
    /// The work was not begun.
    Refused,
    /// The work was begun or could have been, and did not reach its post-condition.
    Failed,
}

/// The termination message of the Job, as JSON.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct FixReport {
    /// How it ended.
    pub outcome: Outcome,
    /// Whether this run may have changed anything in the database.
    pub changed: bool,
    /// Whether a refusal passes by itself, such as a long transaction: worth another attempt later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub transient: bool,
    /// For people; control characters removed.
    pub message: String,
    /// `indisvalid` at the end, when there is an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_valid: Option<bool>,
    /// RFC 3339, clock of the Job.
    pub started_at: String,
    /// RFC 3339, clock of the Job.
    pub finished_at: String,
}

impl FixReport {
    /// Exit code of the Job: 0 done, 1 failed after a possible change, 3 refused or failed with nothing changed.
    pub fn exit_code(&self) -> u8 {
        match self.outcome {
            Outcome::Applied | Outcome::Adopted | Outcome::Undone | Outcome::NothingToUndo => 0,
            Outcome::Failed if self.changed => 1,
            Outcome::Refused | Outcome::Failed => 3,
        }
    }
}
