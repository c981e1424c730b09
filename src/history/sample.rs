//! One value of one series.

/// One value of one series at one instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Milliseconds since the Unix epoch.
    pub at: i64,
    /// The value, in the metric's unit; never absent.
    pub value: f32,
}
