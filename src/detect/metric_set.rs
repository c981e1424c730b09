//! The metrics of a Baseline: names, units and bounds, in the order of its rounds.

use crate::api::CustomMetric;
use crate::measure::{BUILT_IN, Cadence, Metric};

/// What rules need to know about a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricDescriptor {
    /// Name.
    pub name: String,
    /// Unit; see [`Metric::unit`].
    pub unit: String,
    /// Physical minimum.
    pub minimum: Option<f64>,
    /// Physical maximum.
    pub maximum: Option<f64>,
    /// How often it has a new value.
    pub cadence: Cadence,
    /// Name of the metric that gives this one's share of its maximum in percent.
    pub share: Option<String>,
}

impl From<&Metric> for MetricDescriptor {
    fn from(metric: &Metric) -> Self {
        Self {
            name: metric.name.to_owned(),
            unit: metric.unit.to_owned(),
            minimum: metric.minimum,
            maximum: metric.maximum,
            cadence: metric.cadence,
            share: metric.share.map(str::to_owned),
        }
    }
}

impl From<&CustomMetric> for MetricDescriptor {
    fn from(metric: &CustomMetric) -> Self {
        Self {
            name: metric.name.clone(),
            unit: metric.unit.clone(),
            minimum: metric.minimum.map(|minimum| minimum as f64),
            maximum: None,
            cadence: Cadence::Light,
            share: None,
        }
    }
}

/// The metrics of a Baseline, in the order of the values of its rounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricSet {
    metrics: Vec<MetricDescriptor>,
}

impl MetricSet {
    /// The built-in metrics, followed by the Baseline's own in the order of its spec.
    pub fn new(custom: &[CustomMetric]) -> Self {
        BUILT_IN.iter().map(MetricDescriptor::from).chain(custom.iter().map(MetricDescriptor::from)).collect()
    }

    /// Index of a metric in the values of a round.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.metrics.iter().position(|metric| metric.name == name)
    }

    /// The metric of that index.
    pub fn get(&self, index: usize) -> Option<&MetricDescriptor> {
        self.metrics.get(index)
    }

    /// All metrics, in order.
    pub fn iter(&self) -> impl Iterator<Item = &MetricDescriptor> {
        self.metrics.iter()
    }

    /// Number of metrics: of values in a round.
    pub fn len(&self) -> usize {
        self.metrics.len()
    }

    /// Whether there are no metrics.
    pub fn is_empty(&self) -> bool {
        self.metrics.is_empty()
    }
}

impl FromIterator<MetricDescriptor> for MetricSet {
    fn from_iter<I: IntoIterator<Item = MetricDescriptor>>(metrics: I) -> Self {
        Self { metrics: metrics.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_baselines_own_metrics_follow_the_built_in_ones() {
        let custom = CustomMetric { name: "custom_queue".into(), minimum: Some(0), ..CustomMetric::default() };
        let metrics = MetricSet::new(std::slice::from_ref(&custom));
        assert_eq!(metrics.len(), BUILT_IN.len() + 1);
        assert_eq!(metrics.index("custom_queue"), Some(BUILT_IN.len()));
        assert_eq!(metrics.get(BUILT_IN.len()), Some(&MetricDescriptor::from(&custom)));
        for (index, metric) in BUILT_IN.iter().enumerate() {
            assert_eq!(metrics.index(metric.name), Some(index));
        }
        assert_eq!(metrics.index("custom_other"), None);
    }
}
