//! Mathematics over plain numbers: moments, order statistics, tails. Uses nothing of this crate.

mod decayed_tail;
mod moments;
mod order;
mod tail;

pub use decayed_tail::{DecayedTail, DecayedTailOptions};
pub use moments::Moments;
pub use order::{MAD_TO_SIGMA, MEAN_DEVIATION_TO_SIGMA, median, quantile, quantiles, robust_scale};
pub use tail::normal_tail;
