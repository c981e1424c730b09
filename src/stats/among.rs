//! One among some: how far a value lies from the others, by robust figures of few.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use super::order::median;
use super::tail::normal_tail;

/// Fewest others that say anything: of two, neither is the odd one.
pub const FEWEST_OTHERS: usize = 3;

/// Of so many others the farthest one is left out: one wild value must not hide another.
const ONE_LEFT_OUT_OF: usize = 5;
/// What makes the spread of 3, 4, ... 20 others that of Student's distribution, once the farthest are left out: the ratio
/// of the quantiles of both at 1 % and 0.1 %. By simulation: 600,000 fleets of standard normal values each (xoshiro256++
/// seeded with the number of others, Box and Muller 1958); between 10 % and 0.01 % quantiles agree within 6 %.
const OF_FEW: [f64; 18] =
    [1.15, 1.14, 1.77, 1.60, 1.48, 1.43, 1.355, 1.645, 1.57, 1.51, 1.47, 1.425, 1.605, 1.555, 1.52, 1.49, 1.455, 1.58];
/// Of more than 20 the ratio is that of infinitely many and so much more, by number: as simulated for 22 to 80, within 2 %.
const OF_MANY: f64 = 0.85;
/// Least probability that is reckoned with: some 37 sigma.
const RAREST: f64 = 1e-300;

/// What is known of the others' spread before they are looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Known {
    /// Nothing, but that less than this is no spread; greater than 0.
    Least(f64),
    /// It is about this, as sure as if so many values had been seen, and not less.
    About(f64, f64),
}

/// Where the others lie, and how far from them one is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Among {
    /// Median of the others.
    pub median: f64,
    /// Signed distance of the one from the median in sigma: as rare among so many others as so many sigma are of a
    /// standard normal variable, however few they are. 37 at most.
    pub distance: f64,
    /// Probability that a further one of them would lie as far, to either side.
    pub probability: f64,
    scale: f64,
    freedom: f64,
}

/// Judges `own` among `others`, finite values. Reorders the others. `None` when there are fewer than [`FEWEST_OTHERS`].
///
/// The spread is the root of the mean square of the distances from the median, of every five others without the
/// farthest one, brought to the scale of Student's distribution with as many degrees of freedom as distances are left,
/// less one; a further value of the same kind lies off the median by √(1 + 1/n) more. The median absolute deviation
/// serves worse: of three to nine others it leaves half the degrees of freedom.
pub fn among(others: &mut [f32], own: f64, known: Known) -> Option<Among> {
    let count = others.len();
    if count < FEWEST_OTHERS {
        return None;
    }
    let centre = median(others)?;
    for other in others.iter_mut() {
        *other = (f64::from(*other) - centre).abs() as f32;
    }
    others.sort_unstable_by(f32::total_cmp);
    let left = count - count / ONE_LEFT_OUT_OF;
    let squares: f64 = others[..left].iter().map(|distance| f64::from(*distance).powi(2)).sum();
    let spread = (squares / left as f64).sqrt() * to_student(count, left);
    let freedom = left as f64 - 1.0;
    let (spread, freedom) = match known {
        Known::Least(least) => (spread.max(least), freedom),
        Known::About(usual, values) => {
            let both = ((values * usual * usual + freedom * spread * spread) / (values + freedom)).sqrt();
            (both.max(usual), values + freedom)
        }
    };
    let scale = (spread * (1.0 + 1.0 / count as f64).sqrt()).clamp(f64::MIN_POSITIVE, f64::MAX);
    let place = (own - centre) / scale;
    // To one side.
    let beyond = student_tail(place.abs(), freedom).clamp(RAREST, 0.5);
    let distance = place.signum() * sigmas(beyond);
    Some(Among { median: centre, distance, probability: 2.0 * beyond, scale, freedom })
}

impl Among {
    /// What lies so many sigma from the others' median.
    pub fn value_at(&self, distance: f64) -> f64 {
        let beyond = normal_tail(distance.abs()).clamp(RAREST, 0.5);
        let place = StudentsT::new(0.0, 1.0, self.freedom).map_or(0.0, |student| -student.inverse_cdf(beyond));
        self.median + distance.signum() * place.max(0.0) * self.scale
    }
}

/// Ratio of Student's scale to the root mean square of what is left of so many.
fn to_student(count: usize, left: usize) -> f64 {
    if let Some(factor) = count.checked_sub(FEWEST_OTHERS).and_then(|index| OF_FEW.get(index)) {
        return *factor;
    }
    // Of infinitely many: the root mean square of a normal variable within its central part.
    let share = left as f64 / count as f64;
    let end = sigmas((1.0 - share) / 2.0);
    let density = (-0.5 * end * end).exp() / std::f64::consts::TAU.sqrt();
    (1.0 - 2.0 * end * density / share).sqrt().recip() * (1.0 + OF_MANY / count as f64)
}

/// What a standard normal variable exceeds with that probability.
fn sigmas(beyond: f64) -> f64 {
    -Normal::standard().inverse_cdf(beyond)
}

/// Probability that a variable of Student's distribution exceeds `place`.
fn student_tail(place: f64, freedom: f64) -> f64 {
    if !place.is_finite() {
        return 0.0;
    }
    StudentsT::new(0.0, 1.0, freedom).map_or(0.5, |student| student.cdf(-place))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HALF: Known = Known::Least(0.5);

    #[test]
    fn fewer_than_three_others_say_nothing() {
        assert_eq!(among(&mut [], 1.0, HALF), None);
        assert_eq!(among(&mut [1.0, 2.0], 1.0, HALF), None);
    }

    #[test]
    fn one_far_from_three_alike_is_far_and_one_among_them_is_not() {
        let found = among(&mut [10.0, 10.5, 9.5], 40.0, HALF).unwrap();
        assert!((found.median - 10.0).abs() < 1e-9);
        assert!(found.distance > 3.0 && found.probability < 0.003, "{found:?}");
        let found = among(&mut [10.0, 10.5, 9.5], 10.2, HALF).unwrap();
        assert!(found.distance < 1.0 && found.probability > 0.5, "{found:?}");
    }

    #[test]
    fn one_wild_value_among_the_others_does_not_hide_it() {
        let found = among(&mut [10.0, 10.5, 9.5, 10.1, 1e6], 20.0, HALF).unwrap();
        assert!(found.distance > 3.0, "{found:?}");
    }

    #[test]
    fn the_least_spread_keeps_those_that_are_all_alike_from_shouting() {
        let found = among(&mut [10.0; 9], 10.1, HALF).unwrap();
        assert!(found.distance < 0.3, "{found:?}");
    }

    #[test]
    fn three_sigma_are_as_rare_among_three_as_among_thirty() {
        let mut state = 17_u64;
        let mut noise = || {
            let mut uniform = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((state >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
            };
            (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()
        };
        for count in [3, 4, 5, 9, 10, 17, 30] {
            let fleets = 40_000;
            let (mut one_in_ten, mut three_sigma) = (0.0, 0.0);
            for _ in 0..fleets {
                let mut others: Vec<f32> = (0..count).map(|_| noise() as f32).collect();
                let found = among(&mut others, noise(), Known::Least(1e-9)).unwrap();
                one_in_ten += f64::from(u8::from(found.probability < 0.1));
                three_sigma += f64::from(u8::from(found.distance.abs() > 3.0));
            }
            let ratios = [one_in_ten / (0.1 * f64::from(fleets)), three_sigma / (0.0027 * f64::from(fleets))];
            assert!(ratios.iter().all(|ratio| (0.7..=1.4).contains(ratio)), "{count}: {ratios:?}");
        }
    }

    #[test]
    fn a_spread_that_is_known_makes_few_others_say_more() {
        let alone = among(&mut [0.3, -0.8, 1.1], 8.0, Known::Least(1.0)).unwrap();
        let known = among(&mut [0.3, -0.8, 1.1], 8.0, Known::About(1.0, 8.0)).unwrap();
        assert!(alone.distance < 3.0 && known.distance > 3.0, "{alone:?} {known:?}");
    }

    #[test]
    fn the_value_at_a_distance_has_that_distance() {
        let others = [10.0, 11.0, 9.0, 10.4, 12.0];
        let found = among(&mut others.clone(), 20.0, HALF).unwrap();
        for distance in [-4.0, -1.0, 0.0, 2.0, 3.0] {
            let again = among(&mut others.clone(), found.value_at(distance), HALF).unwrap();
            assert!((again.distance - distance).abs() < 1e-6, "{distance}: {again:?}");
        }
    }

    proptest! {
        #[test]
        fn shifting_and_scaling_all_alike_changes_no_distance(
            others in prop::collection::vec(-100.0_f32..100.0, 3..20), own in -100.0_f64..100.0,
        ) {
            let before = among(&mut others.clone(), own, Known::Least(1.0)).unwrap();
            let mut moved: Vec<f32> = others.iter().map(|other| other * 4.0 + 64.0).collect();
            let after = among(&mut moved, own * 4.0 + 64.0, Known::Least(4.0)).unwrap();
            prop_assert!((before.distance - after.distance).abs() < 1e-2 * (1.0 + before.distance.abs()));
            prop_assert!((0.0..=1.0).contains(&before.probability));
        }

        #[test]
        fn any_finite_others_are_answered(
            mut others in prop::collection::vec(prop::num::f32::NORMAL, 3..9), own in prop::num::f64::NORMAL,
        ) {
            for known in [Known::Least(1e-9), Known::About(1.0, 8.0)] {
                let found = among(&mut others, own, known).unwrap();
                prop_assert!(found.distance.abs() < 40.0 && (0.0..=1.0).contains(&found.probability), "{found:?}");
                prop_assert!(!found.value_at(3.0).is_nan());
            }
        }
    }
}
