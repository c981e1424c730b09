//! Mathematics over plain numbers: moments, order statistics, tails. Uses nothing of this crate.

mod among;
mod decayed_tail;
mod divergence;
mod forecast;
mod joint;
mod moments;
mod order;
mod pareto;
mod running_tail;
mod tail;
mod trend;

pub use among::{Among, FEWEST_OTHERS, Known, among};
pub use decayed_tail::{DecayedTail, DecayedTailOptions};
pub use divergence::{divergence_by_chance, divergence_parts};
pub use forecast::{Crossing, Forecast, Outlook, forecast};
pub use joint::{Distance, Joint, MOST_TOGETHER};
pub use moments::Moments;
pub use order::{MAD_TO_SIGMA, MEAN_DEVIATION_TO_SIGMA, median, middle, quantile, quantiles, robust_scale};
pub use pareto::{GREATEST_SHAPE, LEAST_SHAPE, Pareto};
pub use running_tail::RunningTail;
pub use tail::normal_tail;
pub use trend::{Line, chance_of_rise, theil_sen};
