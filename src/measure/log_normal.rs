//! A quantile of execution times of which only each statement's mean and deviation are known.
//!
//! Each statement's times are taken as log-normal with that mean and deviation (method of moments:
//! sigma^2 = ln(1 + sd^2 / mean^2), mu = ln(mean) - sigma^2 / 2); all statements together are the mixture of these,
//! weighted by calls, whose quantile is found by bisection.

use statrs::function::erf::erf;

/// What is known about one statement's executions over an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    /// Executions.
    pub calls: f64,
    /// Mean in ms.
    pub mean: f64,
    /// Standard deviation in ms; 0 when all took the same time.
    pub deviation: f64,
}

struct Component {
    weight: f64,
    mu: f64,
    sigma: f64,
}

/// The quantile `probability` (0..1) in ms of all executions; `None` when nothing ran, or only in no time at all.
pub fn quantile(statements: &[Moments], probability: f64) -> Option<f64> {
    let components: Vec<Component> = statements
        .iter()
        .filter(|statement| statement.calls > 0.0 && statement.mean > 0.0)
        .map(|statement| {
            let ratio = statement.deviation / statement.mean;
            let variance = (ratio * ratio).ln_1p();
            Component { weight: statement.calls, mu: statement.mean.ln() - variance / 2.0, sigma: variance.sqrt() }
        })
        .collect();
    let total: f64 = components.iter().map(|component| component.weight).sum();
    if total <= 0.0 || !total.is_finite() {
        return None;
    }
    // Eight deviations to either side hold every quantile that anyone asks for.
    let mut low = components.iter().map(|part| part.mu - 8.0 * part.sigma).fold(f64::INFINITY, f64::min);
    let mut high = components.iter().map(|part| part.mu + 8.0 * part.sigma).fold(f64::NEG_INFINITY, f64::max);
    while high - low > 1e-6 {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if components.iter().map(|part| part.weight * below(part, middle)).sum::<f64>() < probability * total {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(high.exp()).filter(|value| value.is_finite())
}

/// Share of a component's executions whose logarithm is at most `x`.
fn below(component: &Component, x: f64) -> f64 {
    if component.sigma < 1e-9 {
        return if x >= component.mu { 1.0 } else { 0.0 };
    }
    0.5 * (1.0 + erf((x - component.mu) / (component.sigma * std::f64::consts::SQRT_2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: Option<f64>, expected: f64) {
        let found = found.expect("a quantile");
        assert!((found / expected - 1.0).abs() < 1e-4, "{found} instead of {expected}");
    }

    #[test]
    fn one_statement_gives_the_log_normal_quantile() {
        // sigma = 1, mu = 0: mean = e^0.5, deviation = mean * sqrt(e - 1); p95 = e^1.644854.
        let mean = 0.5_f64.exp();
        let deviation = mean * (1.0_f64.exp() - 1.0).sqrt();
        close(quantile(&[Moments { calls: 10.0, mean, deviation }], 0.95), 5.180_25);
    }

    #[test]
    fn executions_that_all_take_the_same_time_give_that_time() {
        close(quantile(&[Moments { calls: 3.0, mean: 4.0, deviation: 0.0 }], 0.95), 4.0);
    }

    #[test]
    fn a_slow_statement_shows_only_when_it_is_more_than_the_rest_of_the_share() {
        let fast = Moments { calls: 90.0, mean: 1.0, deviation: 0.0 };
        let slow = Moments { calls: 10.0, mean: 100.0, deviation: 0.0 };
        close(quantile(&[fast, slow], 0.95), 100.0);
        close(quantile(&[fast, Moments { calls: 2.0, ..slow }], 0.95), 1.0);
    }

    #[test]
    fn nothing_that_ran_gives_none() {
        assert_eq!(quantile(&[], 0.95), None);
        assert_eq!(quantile(&[Moments { calls: 0.0, mean: 1.0, deviation: 1.0 }], 0.95), None);
        assert_eq!(quantile(&[Moments { calls: 5.0, mean: 0.0, deviation: 0.0 }], 0.95), None);
    }
}
