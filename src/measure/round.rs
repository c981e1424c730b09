//! One round: all values of one target at one instant.

use std::fmt;

/// A value that could not be had. Never zero: missing data is neither normal nor success.
pub const ABSENT: f32 = f32::NAN;

/// A database pod under one Baseline.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TargetKey {
    /// Namespace of Baseline and pod.
    pub namespace: String,
    /// Name of the Baseline.
    pub baseline: String,
    /// Name of the pod.
    pub pod: String,
}

impl fmt::Display for TargetKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.namespace, self.baseline, self.pod)
    }
}

/// All values of one target at one instant, in metric order: the built-in ones, then the Baseline's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// Dense index of the target, given by the engine.
    pub target: usize,
    /// Milliseconds since the Unix epoch.
    pub at: i64,
    /// Values; [`ABSENT`] where there is none.
    pub values: Vec<f32>,
}
