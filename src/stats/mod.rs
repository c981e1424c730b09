//! Mathematics over plain numbers: moments, order statistics, tails. Uses nothing of this crate.

mod divergence;
mod forecast;
mod moments;
mod order;
mod tail;
mod trend;

pub use divergence::{divergence, divergence_by_chance, divergence_parts};
pub use forecast::{Crossing, Forecast, Outlook, forecast};
pub use moments::Moments;
pub use order::{MAD_TO_SIGMA, MEAN_DEVIATION_TO_SIGMA, median, quantile, quantiles, robust_scale};
pub use tail::normal_tail;
pub use trend::{Line, chance_of_rise, theil_sen};
