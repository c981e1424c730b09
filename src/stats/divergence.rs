//! How far one distribution over a few kinds is from another.

/// What each of a few kinds adds to the Kullback-Leibler divergence of the shares of `counts` from those of `typical`, in
/// nats: the sum is 0 when they are alike; some may be negative.
///
/// `typical` is smoothed towards `usual` by `weight` pseudo-counts, and `counts` towards what comes of that (additive
/// smoothing after Lidstone, with another prior than a uniform one): a kind that was never seen makes no infinity, and a
/// few executions do not make a distribution. Counts that are not positive and finite are 0. `None` when nothing at all
/// was counted.
pub fn divergence_parts<const KINDS: usize>(
    counts: &[f64; KINDS],
    typical: &[f64; KINDS],
    usual: &[f64; KINDS],
    weight: f64,
) -> Option<[f64; KINDS]> {
    let [counts, typical, usual] = [counts, typical, usual].map(|counts| counts.map(countable));
    let total = |of: &[f64; KINDS]| of.iter().sum::<f64>();
    if total(&counts) <= 0.0 {
        return None;
    }
    // Half an execution of each kind, after Jeffreys: a kind that was never seen is rare, not impossible.
    let prior = usual.map(|count| (count + 0.5) / (total(&usual) + 0.5 * KINDS as f64));
    let (count, count_typical) = (total(&counts), total(&typical));
    Some(std::array::from_fn(|kind| {
        let expected = (typical[kind] + weight * prior[kind]) / (count_typical + weight);
        let found = (counts[kind] + weight * expected) / (count + weight);
        if found > 0.0 { found * (found / expected).ln() } else { 0.0 }
    }))
}

/// The divergence that `count` independent executions of so many kinds have on average without any difference:
/// (k - 1) / 2n, the mean of a chi-squared variable over twice the count (Wilks 1938; Miller and Madow 1955).
pub fn divergence_by_chance(kinds: usize, count: f64) -> f64 {
    if count > 0.0 { kinds.saturating_sub(1) as f64 / (2.0 * count) } else { f64::INFINITY }
}

fn countable(count: f64) -> f64 {
    // Far beyond any count, and near enough that no share of it vanishes.
    if count.is_finite() { count.clamp(0.0, 1e30) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn divergence<const KINDS: usize>(
        counts: &[f64; KINDS],
        typical: &[f64; KINDS],
        usual: &[f64; KINDS],
        weight: f64,
    ) -> Option<f64> {
        divergence_parts(counts, typical, usual, weight).map(|parts| parts.iter().sum::<f64>().max(0.0))
    }

    #[test]
    fn known_shares_have_their_divergence() {
        let (found, typical) = ([50e6, 50e6], [90e6, 10e6]);
        let expected = 0.5 * (0.5_f64 / 0.9).ln() + 0.5 * (0.5_f64 / 0.1).ln();
        assert!((divergence(&found, &typical, &typical, 20.0).unwrap() - expected).abs() < 1e-5);
        assert!(divergence(&found, &found, &typical, 20.0).unwrap() < 1e-9);
    }

    #[test]
    fn a_handful_of_executions_of_what_is_usual_is_no_divergence() {
        let usual = [1_000.0, 100.0, 100.0, 10.0, 1.0];
        let found = divergence(&[3.0, 0.0, 0.0, 0.0, 0.0], &[0.0; 5], &usual, 20.0).unwrap();
        assert!(found < 0.01, "{found}");
    }

    #[test]
    fn nothing_counted_has_no_distribution() {
        assert_eq!(divergence(&[0.0; 5], &[1.0; 5], &[1.0; 5], 20.0), None);
        assert_eq!(divergence(&[f64::NAN, -1.0], &[1.0; 2], &[1.0; 2], 20.0), None);
        assert!(divergence_by_chance(5, 0.0).is_infinite());
    }

    #[test]
    fn chance_alone_gives_what_it_is_said_to_give() {
        // Five kinds in a fixed mix, drawn in a sequence that repeats nothing: 400 windows of 200 executions.
        let shares = [0.6, 0.2, 0.1, 0.07, 0.03];
        let mut state = 88_172_645_463_325_252_u64;
        let mut sum = 0.0;
        for _ in 0..400 {
            let mut counts = [0.0; 5];
            for _ in 0..200 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let mut left = (state >> 11) as f64 / (1_u64 << 53) as f64;
                let kind = shares.iter().position(|share| {
                    left -= share;
                    left < 0.0
                });
                counts[kind.unwrap_or(4)] += 1.0;
            }
            sum += divergence(&counts, &shares.map(|share| share * 1e9), &shares, 0.0).unwrap();
        }
        let (mean, expected) = (sum / 400.0, divergence_by_chance(5, 200.0));
        assert!((mean / expected - 1.0).abs() < 0.15, "{mean} {expected}");
    }

    proptest! {
        #[test]
        fn any_counts_give_a_finite_divergence(
            counts in prop::array::uniform5(any::<f64>()), typical in prop::array::uniform5(any::<f64>()),
            usual in prop::array::uniform5(any::<f64>()),
        ) {
            if let Some(found) = divergence(&counts, &typical, &usual, 20.0) {
                prop_assert!(found.is_finite() && found >= 0.0, "{found}");
            }
        }
    }
}
