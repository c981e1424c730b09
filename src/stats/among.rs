//! One among some: how far a value lies from the others, by robust figures of few.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::order::{MAD_TO_SIGMA, median};

/// Fewest others that say anything: of two, neither is the odd one.
pub const FEWEST_OTHERS: usize = 3;

/// Where the others lie, and how far from them one is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Among {
    /// Median of the others.
    pub median: f64,
    /// Their spread as a robust standard deviation, and what a further one of them would add; at least the floor.
    pub scale: f64,
    /// Signed distance of the one from the median, in scales.
    pub distance: f64,
    /// Probability that a further one of them would lie as far, to either side.
    pub probability: f64,
}

/// Judges `own` among `others`, finite values; `floor`: least spread that is believed, greater than 0. Reorders the
/// others. `None` when there are fewer than [`FEWEST_OTHERS`].
///
/// The median absolute deviation of n values is too small on average by n / (n - 0.8) (Croux and Rousseeuw 1992); a
/// further value of the same kind lies off their median by √(1 + 1/n) more; and a spread of n values is known as well
/// as n - 1 degrees of freedom are, so that the probability is Student's.
pub fn among(others: &mut [f32], own: f64, floor: f64) -> Option<Among> {
    let count = others.len();
    if count < FEWEST_OTHERS {
        return None;
    }
    let centre = median(others)?;
    for other in others.iter_mut() {
        *other = (f64::from(*other) - centre).abs() as f32;
    }
    let number = count as f64;
    let spread = median(others)? * MAD_TO_SIGMA * number / (number - 0.8);
    let scale = (spread.max(floor) * (1.0 + 1.0 / number).sqrt()).max(f64::MIN_POSITIVE);
    let distance = (own - centre) / scale;
    Some(Among { median: centre, scale, distance, probability: student_both(distance, number - 1.0) })
}

/// Probability that a variable of Student's distribution lies as far from 0, to either side.
fn student_both(distance: f64, degrees: f64) -> f64 {
    if !distance.is_finite() {
        return 0.0;
    }
    StudentsT::new(0.0, 1.0, degrees).map_or(1.0, |student| (2.0 * student.cdf(-distance.abs())).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fewer_than_three_others_say_nothing() {
        assert_eq!(among(&mut [], 1.0, 1.0), None);
        assert_eq!(among(&mut [1.0, 2.0], 1.0, 1.0), None);
    }

    #[test]
    fn one_far_from_three_alike_is_far_and_one_among_them_is_not() {
        let found = among(&mut [10.0, 10.5, 9.5], 20.0, 0.5).unwrap();
        assert!((found.median - 10.0).abs() < 1e-9);
        assert!(found.distance > 5.0 && found.probability < 0.05, "{found:?}");
        let found = among(&mut [10.0, 10.5, 9.5], 10.2, 0.5).unwrap();
        assert!(found.distance < 1.0 && found.probability > 0.5, "{found:?}");
    }

    #[test]
    fn one_wild_value_among_the_others_does_not_hide_it() {
        let found = among(&mut [10.0, 10.5, 9.5, 10.1, 1e6], 20.0, 0.5).unwrap();
        assert!(found.distance > 5.0, "{found:?}");
    }

    #[test]
    fn the_floor_keeps_those_that_are_all_alike_from_shouting() {
        let found = among(&mut [10.0; 9], 10.1, 0.5).unwrap();
        assert!(found.distance < 0.3, "{found:?}");
    }

    #[test]
    fn tabulated_probabilities_are_met() {
        // Two-sided 5 % points of Student's distribution.
        for (degrees, point) in [(2.0, 4.303), (4.0, 2.776), (9.0, 2.262), (30.0, 2.042)] {
            assert!((student_both(point, degrees) - 0.05).abs() < 1e-4, "{degrees}");
        }
        assert!(student_both(f64::NAN, 3.0) < 1e-9);
    }

    proptest! {
        #[test]
        fn shifting_and_scaling_all_alike_changes_no_distance(
            others in prop::collection::vec(-100.0_f32..100.0, 3..20), own in -100.0_f64..100.0,
        ) {
            let before = among(&mut others.clone(), own, 1.0).unwrap();
            let mut moved: Vec<f32> = others.iter().map(|other| other * 4.0 + 64.0).collect();
            let after = among(&mut moved, own * 4.0 + 64.0, 4.0).unwrap();
            prop_assert!((before.distance - after.distance).abs() < 1e-2 * (1.0 + before.distance.abs()));
            prop_assert!((0.0..=1.0).contains(&before.probability));
        }

        #[test]
        fn any_finite_others_are_answered(
            mut others in prop::collection::vec(prop::num::f32::NORMAL, 3..9), own in prop::num::f64::NORMAL,
        ) {
            let found = among(&mut others, own, 1e-9).unwrap();
            prop_assert!(found.scale > 0.0 && !found.probability.is_nan());
        }
    }
}
