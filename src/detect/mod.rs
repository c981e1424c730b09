//! Sample and profile to verdict, verdicts to incidents: what is anomalous, since when and for how long.
//!
//! Pure: time comes with the rounds. A rule is resolved once ([`resolve`]); after that a sample costs a few array
//! reads in the [`Shard`] that owns its target.
//!
//! A detector is one file here and one line in `detectors!` below.

mod columns;
mod incident;
mod metric_set;
mod recorded;
mod resolve;
mod shard;
pub mod stream;
mod units;
mod verdict;

pub use incident::{ChangeKind, Event, Incident, Phase, Step, Timing};
pub use metric_set::{MetricDescriptor, MetricSet};
pub use recorded::{Outcome, RecordedRule};
pub use resolve::{FieldError, Rule, resolve};
pub use shard::{Change, Dropped, Shard, TargetRule};
pub use verdict::{Band, Normal, Sight, Verdict};

use crate::api::AnomalyRuleSpec;

/// A way to tell a breach from what is normal: one file, one type.
trait Detect: Sized {
    /// Name of its field in `spec.detect`.
    const NAME: &'static str;
    /// Whether it has no verdict before the metric's profile is ready.
    const NEEDS_PROFILE: bool;

    /// Resolves its part of a spec for the metric of that index, which a detector may replace (share of a maximum).
    /// `None` when the spec has no such part.
    fn resolve(spec: &AnomalyRuleSpec, metric: usize, metrics: &MetricSet)
    -> Option<Result<(usize, Self), FieldError>>;

    /// Whether the value lies beyond the detector's bounds. `None`: no verdict. This is the path of every sample: cheap.
    fn exceeds(&self, sight: &Sight) -> Option<bool>;

    /// How sure it is, 0 to 1.
    fn confidence(&self, sight: &Sight) -> f64;

    /// The band that the value is judged by.
    fn band(&self, sight: &Sight) -> Band;
}

macro_rules! detectors {
    ($($module:ident::$detector:ident),+ $(,)?) => {
        $(mod $module;)+

        /// A detector, resolved.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Detector {
            $(
                #[doc = concat!("`detect.", stringify!($module), "`")]
                $detector($module::$detector)
            ),+
        }

        $(pub use $module::$detector;)+

        impl Detector {
            /// Names of all detectors.
            pub const NAMES: &'static [&'static str] = &[$(<$detector as Detect>::NAME),+];

            /// Name of its field in `spec.detect`.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$detector(_) => <$detector as Detect>::NAME),+ }
            }

            /// Whether it has no verdict before the metric's profile is ready.
            pub fn needs_profile(&self) -> bool {
                match self { $(Self::$detector(_) => <$detector as Detect>::NEEDS_PROFILE),+ }
            }

            fn resolve_each(
                spec: &AnomalyRuleSpec,
                metric: usize,
                metrics: &MetricSet,
            ) -> impl Iterator<Item = Result<(usize, Self), FieldError>> {
                [$(
                    <$detector as Detect>::resolve(spec, metric, metrics)
                        .map(|found| found.map(|(metric, detector)| (metric, Self::$detector(detector))))
                ),+].into_iter().flatten()
            }

            fn exceeds(&self, sight: &Sight) -> Option<bool> {
                match self { $(Self::$detector(detector) => detector.exceeds(sight)),+ }
            }

            fn confidence(&self, sight: &Sight) -> f64 {
                match self { $(Self::$detector(detector) => detector.confidence(sight)),+ }
            }

            fn band(&self, sight: &Sight) -> Band {
                match self { $(Self::$detector(detector) => detector.band(sight)),+ }
            }
        }
    };
}

detectors! {
    sigma::Sigma,
    limit::Limit,
}
