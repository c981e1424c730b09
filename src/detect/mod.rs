//! Sample and profile to verdict, verdicts to incidents: what is anomalous, since when and for how long.
//!
//! Pure: time comes with the rounds. A rule is resolved once ([`resolve`]); after that a sample costs a few array
//! reads in the [`Shard`] that owns its target.
//!
//! A detector is one file here and one line in `detectors!` below.

mod columns;
mod evidence;
pub mod exception;
mod incident;
mod latest;
#[cfg(test)]
mod laws;
mod metric_set;
mod rate;
mod recorded;
mod replay;
mod resolve;
pub mod schedule;
mod shard;
mod sight;
pub mod stream;
mod surroundings;
#[cfg(test)]
mod testing;
mod units;
mod verdict;
mod vigil;
mod when;
mod window;

pub use evidence::{Evidence, Found};
pub use exception::Exception;
pub use incident::{ChangeKind, Event, Incident, Phase, Step, Timing};
pub use metric_set::{MetricDescriptor, MetricSet};
pub use pattern::accepted_chance;
pub use recorded::{Outcome, RecordedRule};
pub use replay::{Replay, Warmed};
pub use resolve::{FieldError, Rule, resolve};
pub use shard::{Change, Dropped, Shard, TargetRule};
pub use sight::{Alone, Around, Peer, Sight};
pub use verdict::{Band, Normal, Verdict};

use std::fmt::Debug;

use crate::api::AnomalyRuleSpec;
use exception::WhileExpected;
use verdict::PlainlyClear;

/// A way to tell a breach from what is normal: one file, one type.
///
/// A rule of it is for many databases. What it remembers of one is its `Memory`, which the shard keeps per rule and
/// target; the detector itself never changes. Each sample goes `take` (remember it), then `exceeds`, then, only beyond the
/// bounds, `confidence`. All are functions of memory and sight: no clock, no chance, nothing of later samples.
trait Detect: Sized {
    /// What is remembered between the samples of one target; `()` for a detector that judges each sample by itself. It
    /// is boxed: a large one costs only the rules that have it. Keep it bounded.
    type Memory: Default + Clone + Debug + Send + Sync + 'static;

    /// Name of its field in `spec.detect`.
    const NAME: &'static str;
    /// Whether it has no verdict before the metric's profile is ready; only then [`Sight::normal`] is filled.
    const NEEDS_PROFILE: bool;
    /// What there must be before its first verdict, for a person who waits for it.
    const NEEDS: &'static str;
    /// Whether a breach is about what is to come: its incident opens as `Predicted`, and nothing is fixed for it.
    const PREDICTS: bool = false;
    /// Whether its band holds for single values of the metric that it names, there and then: a change is measured by it.
    /// Not that of a level without its season, of where a value will be, nor one within which the value may lie.
    const BAND_IS_OF_VALUES: bool = false;
    /// Whether it judges all metrics of a database together: it is then stepped by every round with any value at all,
    /// and its replay has all metrics. Otherwise a round without a value of its metric passes it by.
    const JUDGES_ALL: bool = false;
    /// What it does while another load than usual is expected of a metric that it judges.
    const WHILE_EXPECTED: WhileExpected = WhileExpected::Silent;
    /// Whether its replay begins with one value for each hour, where the samples do not reach back as far as it wants:
    /// samples are kept for the Baseline's window, figures of hours for 400 days. For one that looks at hours and longer;
    /// not for one that judges the course of single samples, nor for one of all metrics.
    const TAKES_HOURS: bool = false;

    /// Resolves its part of a spec for the metric of that index, which a detector may replace (share of a maximum).
    /// `None` when the spec has no such part.
    fn resolve(spec: &AnomalyRuleSpec, metric: usize, metrics: &MetricSet)
    -> Option<Result<(usize, Self), FieldError>>;

    /// Indices of the metrics that it judges, for a rule on `metric`: an exception for one of them is for it.
    fn judged(&self, metric: usize) -> Vec<usize> {
        vec![metric]
    }

    /// Whether it has no verdict before the profile of its metric is ready.
    fn waits_for_profile(&self) -> bool {
        Self::NEEDS_PROFILE
    }

    /// Whether any verdict depends on what is normal for a metric that it judges.
    fn uses_profiles(&self) -> bool {
        true
    }

    /// How much recent history its memory wants, in ms: it is replayed through `take` when the rule is attached or
    /// edited, when the process starts and when a server changes its role. Until that is done there is no verdict.
    /// `None`: the memory begins empty with the next sample.
    fn history(&self) -> Option<i64> {
        None
    }

    /// Remembers a sample. Called once for each, in order of time, whether from history or live, before it is judged.
    /// Gaps show in `sight.at`: absent values are not handed over. In a replay there are no peers, and what is normal
    /// is what is known at the time of the replay.
    fn take(&self, _memory: &mut Self::Memory, _sight: &Sight<'_>) {}

    /// Remembers that an incident of it is open, as it was before the process started anew: what ends one may be another
    /// thing than what does not begin one.
    fn resume(&self, _memory: &mut Self::Memory) {}

    /// Whether the value lies beyond the detector's bounds. `None`: no verdict, also while the memory is not enough:
    /// what is not known is never clear. This is the path of every sample: cheap.
    fn exceeds(&self, memory: &Self::Memory, sight: &Sight<'_>) -> Option<bool>;

    /// Values that are clear without [`Detect::take`] and [`Detect::exceeds`]: of a detector that remembers nothing and
    /// judges each value by itself. `None`: it has to see every one.
    fn plainly_clear(&self) -> Option<PlainlyClear> {
        None
    }

    /// How sure it is, 0 to 1: 0.999 means that one sample in a thousand of this series' normal life would look so.
    fn confidence(&self, memory: &Self::Memory, sight: &Sight<'_>) -> f64;

    /// The band that the value is judged by, in the unit of `carrier`'s metric.
    fn band(&self, memory: &Self::Memory, sight: &Sight<'_>) -> Band;

    /// Signed distance in sigma of what it judges by, where that is not the value's distance from the learnt centre.
    fn sigmas(&self, _memory: &Self::Memory, _sight: &Sight<'_>) -> Option<f64> {
        None
    }

    /// Index of the metric that the verdict speaks of: its value is shown, its band is [`Detect::band`].
    fn carrier(&self, _memory: &Self::Memory, sight: &Sight<'_>) -> usize {
        sight.metric
    }

    /// Why, for a person: slope, persistence, time to a limit, carrying metrics. Asked for only when an incident
    /// changes. At most [`MOST_EVIDENCE`] are kept.
    fn evidence(&self, _memory: &Self::Memory, _sight: &Sight<'_>, _metrics: &MetricSet) -> Vec<Evidence> {
        Vec::new()
    }
}

/// Most pieces of evidence for one change.
pub const MOST_EVIDENCE: usize = 16;

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

        /// What a detector remembers; without an allocation where that is nothing.
        #[derive(Clone, Debug)]
        enum Remembered {
            $($detector(Box<<$detector as Detect>::Memory>)),+
        }

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

            /// Whether it, as it is written, has no verdict before the profile of its metric is ready.
            pub fn waits_for_profile(&self) -> bool {
                match self { $(Self::$detector(detector) => detector.waits_for_profile()),+ }
            }

            /// Whether any verdict depends on what is normal for a metric that it judges.
            pub fn uses_profiles(&self) -> bool {
                match self { $(Self::$detector(detector) => detector.uses_profiles()),+ }
            }

            /// What there must be before its first verdict, for a person who waits for it.
            pub fn needs(&self) -> &'static str {
                match self { $(Self::$detector(_) => <$detector as Detect>::NEEDS),+ }
            }

            /// Whether a breach is about what is to come.
            pub fn predicts(&self) -> bool {
                match self { $(Self::$detector(_) => <$detector as Detect>::PREDICTS),+ }
            }

            /// Whether the detector of that name speaks of what is to come; false for a name that is not known.
            pub fn predicts_by_name(name: &str) -> bool {
                $(name == <$detector as Detect>::NAME && <$detector as Detect>::PREDICTS)||+
            }

            /// Whether a change may be measured by the band of the detector of that name; false for one that is not known.
            pub fn measures_by_name(name: &str) -> bool {
                $(name == <$detector as Detect>::NAME && <$detector as Detect>::BAND_IS_OF_VALUES)||+
            }

            /// Whether it judges all metrics of a database together.
            pub fn judges_all(&self) -> bool {
                match self { $(Self::$detector(_) => <$detector as Detect>::JUDGES_ALL),+ }
            }

            /// Indices of the metrics that it judges, for a rule on `metric`.
            pub fn judged(&self, metric: usize) -> Vec<usize> {
                match self { $(Self::$detector(detector) => detector.judged(metric)),+ }
            }

            fn while_expected(&self) -> WhileExpected {
                match self { $(Self::$detector(_) => <$detector as Detect>::WHILE_EXPECTED),+ }
            }

            /// Whether its replay begins with values of hours where the samples do not reach back as far as it wants.
            pub fn takes_hours(&self) -> bool {
                match self { $(Self::$detector(_) => <$detector as Detect>::TAKES_HOURS),+ }
            }

            /// How much recent history its memory wants to have replayed, in ms; `None` for none.
            pub fn history(&self) -> Option<i64> {
                match self { $(Self::$detector(detector) => detector.history()),+ }
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

            /// An empty memory of this detector.
            pub fn memory(&self) -> Memory {
                Memory(match self { $(Self::$detector(_) => Remembered::$detector(Box::default())),+ })
            }

            /// Remembers a sample. A memory of another detector is left as it is.
            pub fn take(&self, memory: &mut Memory, sight: &Sight<'_>) {
                match (self, &mut memory.0) {
                    $((Self::$detector(detector), Remembered::$detector(memory)) => detector.take(memory, sight),)+
                    _ => {}
                }
            }

            /// Remembers that its incident is open. A memory of another detector is left as it is.
            pub fn resume(&self, memory: &mut Memory) {
                match (self, &mut memory.0) {
                    $((Self::$detector(detector), Remembered::$detector(memory)) => detector.resume(memory),)+
                    _ => {}
                }
            }

            fn exceeds(&self, memory: &Memory, sight: &Sight<'_>) -> Option<bool> {
                match (self, &memory.0) {
                    $((Self::$detector(detector), Remembered::$detector(memory)) => detector.exceeds(memory, sight),)+
                    _ => None,
                }
            }

            fn plainly_clear(&self) -> Option<PlainlyClear> {
                match self { $(Self::$detector(detector) => detector.plainly_clear()),+ }
            }

            fn confidence(&self, memory: &Memory, sight: &Sight<'_>) -> f64 {
                match (self, &memory.0) {
                    $((Self::$detector(detector), Remembered::$detector(memory)) => detector.confidence(memory, sight),)+
                    _ => 0.0,
                }
            }

            fn band(&self, memory: &Memory, sight: &Sight<'_>) -> Band {
                match (self, &memory.0) {
                    $((Self::$detector(detector), Remembered::$detector(memory)) => detector.band(memory, sight),)+
                    _ => Band::default(),
                }
            }

            fn sigmas(&self, memory: &Memory, sight: &Sight<'_>) -> Option<f64> {
                match (self, &memory.0) {
                    $((Self::$detector(detector), Remembered::$detector(memory)) => detector.sigmas(memory, sight),)+
                    _ => None,
                }
            }

            fn carrier(&self, memory: &Memory, sight: &Sight<'_>) -> usize {
                match (self, &memory.0) {
                    $((Self::$detector(detector), Remembered::$detector(memory)) => detector.carrier(memory, sight),)+
                    _ => sight.metric,
                }
            }

            fn evidence(&self, memory: &Memory, sight: &Sight<'_>, metrics: &MetricSet) -> Vec<Evidence> {
                let mut evidence = match (self, &memory.0) {
                    $((Self::$detector(detector), Remembered::$detector(memory)) => {
                        detector.evidence(memory, sight, metrics)
                    })+
                    _ => Vec::new(),
                };
                evidence.truncate(MOST_EVIDENCE);
                evidence
            }
        }
    };
}

/// What a detector remembers of one target: see [`Detector::memory`].
#[derive(Clone, Debug)]
pub struct Memory(Remembered);

detectors! {
    sigma::Sigma,
    limit::Limit,
    pattern::Pattern,
    multivariate::Multivariate,
    peers::Peers,
    trend::Trend,
    degradation::Degradation,
    expression::Expression,
    query_mix::QueryMix,
    forecast::Forecast,
}
