//! What a collector is told, and what it has to say.

use std::time::{Duration, Instant};

use crate::api::CustomMetric;
use crate::database::postgresql::{DatabaseError, Endpoint};
use crate::learn::UsualTimes;
use crate::measure::{Identity, Role, Round, TargetKey, Unavailable};

/// What a collector looks at, and how often.
#[derive(Clone, Debug)]
pub struct CollectorConfig {
    /// Dense index of the target, given by the engine.
    pub target_index: usize,
    /// Name of the target.
    pub key: TargetKey,
    /// Where the database is and who connects.
    pub endpoint: Endpoint,
    /// Time between two rounds.
    pub interval: Duration,
    /// Time between two rounds over statements, tables and sizes too.
    pub statements_interval: Duration,
    /// The Baseline's own metrics.
    pub custom: Vec<CustomMetric>,
}

/// What a collector has to say. All but rounds are sent on change only.
#[derive(Clone, Debug)]
pub enum Report {
    /// The values of one instant. While there is no connection they come at each interval too, all absent.
    Round {
        /// The values.
        round: Round,
        /// Role of the server, as last seen.
        role: Role,
        /// When the round was complete, by a clock that never jumps.
        received: Instant,
    },
    /// A server answers, or another one than before.
    Connected {
        /// Which.
        identity: Identity,
        /// Its version for people, such as `15.18`.
        version: String,
    },
    /// No server answers as it should; sent once per class of error until there is a connection again.
    Failed(DatabaseError),
    /// What cannot be read, and what would help; all there is of it. Empty: everything can be read.
    Unavailable(Vec<Unavailable>),
    /// Counters began anew, so that the interval has no rates; the text says why.
    Reset(String),
    /// What the statements usually take, to be stored: when the quiet ends, for that is what an incident is compared
    /// with, and now and then before.
    UsualTimes(UsualTimes),
}
