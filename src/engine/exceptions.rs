//! The exceptions that are applied: a plain value.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::settings::ExceptionSettings;
use super::task::Task;
use crate::detect::schedule::{Window, merged};
use crate::detect::{Exception, Rule};
use crate::measure::TargetKey;

/// The exceptions, by namespace and name.
#[derive(Default)]
pub(super) struct Exceptions {
    by_name: BTreeMap<(String, String), ExceptionSettings>,
}

impl Exceptions {
    /// Applies an exception from now on; false when it is applied already, just so.
    pub fn set(&mut self, settings: ExceptionSettings) -> bool {
        let name = (settings.namespace.clone(), settings.name.clone());
        if self.by_name.get(&name) == Some(&settings) {
            return false;
        }
        self.by_name.insert(name, settings);
        true
    }

    /// Forgets an exception; false when there is none.
    pub fn remove(&mut self, namespace: String, name: String) -> bool {
        self.by_name.remove(&(namespace, name)).is_some()
    }

    /// The exceptions for a target.
    pub fn for_target(&self, target: &TargetKey) -> impl Iterator<Item = &Arc<Exception>> {
        self.by_name
            .values()
            .filter(|settings| settings.namespace == target.namespace && settings.baseline == target.baseline)
            .map(|settings| &settings.exception)
            .filter(|exception| exception.is_for_pod(&target.pod))
    }
}

/// What a target's exceptions leave out of what is learnt of it.
#[derive(Clone, Debug, Default)]
pub(super) struct LeftOut {
    /// With the metrics of the rules that each is for.
    exceptions: Vec<(Arc<Exception>, Vec<usize>)>,
}

impl LeftOut {
    /// By these exceptions, each with the metrics of the rules that it is for.
    pub fn of(exceptions: Vec<(Arc<Exception>, Vec<usize>)>) -> Self {
        Self { exceptions }
    }

    /// The windows of a span whose samples of a metric are left out, merged.
    pub fn windows(&self, metric: usize, span: Window) -> Vec<Window> {
        let each = self.exceptions.iter();
        merged(each.flat_map(|(exception, judged)| exception.leaves_out(metric, judged, span)).collect())
    }
}

impl Task {
    /// Judges a target's rules by the exceptions as they are now.
    pub fn attach_exceptions(&mut self, index: usize) {
        let Some(Some(target)) = self.targets.get(index) else { return };
        let rules = self.rules.for_target(&target.settings.key);
        let exceptions: Vec<(u64, Arc<Exception>)> = self
            .exceptions
            .for_target(&target.settings.key)
            .flat_map(|exception| {
                let concerned = rules.iter().filter(|(_, rule)| exception.is_for_rule(&rule.name));
                concerned.map(|(id, _)| (*id, exception.clone()))
            })
            .collect();
        self.shard.set_exceptions(index, &exceptions);
    }

    /// What a target's exceptions leave out of what is learnt of it.
    pub fn left_out(&self, target: &TargetKey) -> LeftOut {
        self.left_out_by(target, |_| true)
    }

    /// What they leave out of what one rule remembers: those that are for other rules leave out nothing.
    pub fn left_out_of_rule(&self, target: &TargetKey, rule: u64) -> LeftOut {
        let name = self.rules.get(rule).map(|rule| rule.name.as_str());
        self.left_out_by(target, |exception| name.is_some_and(|name| exception.is_for_rule(name)))
    }

    fn left_out_by(&self, target: &TargetKey, concerns: impl Fn(&Exception) -> bool) -> LeftOut {
        let rules = self.rules.for_target(target);
        let exceptions = self.exceptions.for_target(target).filter(|exception| concerns(exception));
        let rules = || rules.iter().map(|(_, rule)| (rule.name.as_str(), &*rule.rule));
        LeftOut::of(exceptions.map(|exception| (exception.clone(), judged(exception, rules()))).collect())
    }
}

/// Indices of the metrics that are judged by the rules that an exception is for.
fn judged<'a>(exception: &Exception, rules: impl Iterator<Item = (&'a str, &'a Rule)>) -> Vec<usize> {
    let mut judged: Vec<usize> =
        rules.filter(|(name, _)| exception.is_for_rule(name)).flat_map(|(_, rule)| rule.judged()).collect();
    judged.sort_unstable();
    judged.dedup();
    judged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::exception::Effect;
    use crate::detect::schedule::Calendar;
    use crate::detect::{MetricSet, resolve};

    fn settings(name: &str, pods: &[&str]) -> ExceptionSettings {
        let exception = Exception {
            calendar: Calendar::schedule("Mon 01:00-02:00", None, "UTC").unwrap(),
            rules: Vec::new(),
            pods: pods.iter().map(|pod| (*pod).to_owned()).collect(),
            effect: Effect::Suppress(Vec::new()),
        };
        ExceptionSettings {
            namespace: "shop".into(),
            name: name.into(),
            baseline: "orders".into(),
            exception: Arc::new(exception),
        }
    }

    fn count(exceptions: &Exceptions, namespace: &str, baseline: &str, pod: &str) -> usize {
        let target = TargetKey { namespace: namespace.into(), baseline: baseline.into(), pod: pod.into() };
        exceptions.for_target(&target).count()
    }

    #[test]
    fn only_the_exceptions_of_its_baseline_and_pod_are_a_targets_own() {
        let mut exceptions = Exceptions::default();
        assert!(exceptions.set(settings("maintenance", &[])));
        assert!(exceptions.set(settings("batch", &["orders-1"])));
        assert_eq!(count(&exceptions, "shop", "orders", "orders-0"), 1);
        assert_eq!(count(&exceptions, "shop", "orders", "orders-1"), 2);
        assert_eq!(count(&exceptions, "other", "orders", "orders-0"), 0);
        assert_eq!(count(&exceptions, "shop", "carts", "orders-0"), 0);
    }

    #[test]
    fn the_same_exception_again_changes_nothing_and_a_removed_one_is_gone() {
        let mut exceptions = Exceptions::default();
        assert!(exceptions.set(settings("maintenance", &[])));
        assert!(!exceptions.set(settings("maintenance", &[])));
        assert!(exceptions.set(settings("maintenance", &["orders-1"])));
        assert!(exceptions.remove("shop".into(), "maintenance".into()));
        assert!(!exceptions.remove("shop".into(), "maintenance".into()));
        assert_eq!(count(&exceptions, "shop", "orders", "orders-1"), 0);
    }

    #[test]
    fn an_exception_for_one_rule_leaves_every_metric_that_the_rule_judges_out_of_the_learning() {
        let metrics = MetricSet::new(&[]);
        let rule = |detect: serde_json::Value| {
            let spec = serde_json::json!({"baselineRef": {"name": "orders"}, "detect": detect});
            resolve(&serde_json::from_value(spec).unwrap(), &metrics).unwrap()
        };
        let together = rule(serde_json::json!({"multivariate": {"metrics": ["throughput", "disk_io"]}}));
        let mix = rule(serde_json::json!({"queryMix": {}}));
        let named = rule(serde_json::json!({"expression": "metrics.lock_waits > 5 && metrics.disk_io > 5"}));
        let rules = [("together", &together), ("mix", &mix), ("named", &named)];
        let week = Window { from: 0, to: 7 * 86_400_000 };
        let left_out = |of: &str| -> Vec<&str> {
            let mut exception = (*settings("batch", &[]).exception).clone();
            exception.rules = vec![of.to_owned()];
            let judged = judged(&exception, rules.into_iter());
            let left_out = LeftOut::of(vec![(Arc::new(exception), judged)]);
            let named = metrics.iter().enumerate().filter(|(metric, _)| !left_out.windows(*metric, week).is_empty());
            named.map(|(_, metric)| metric.name.as_str()).collect()
        };
        let sorted = |mut names: Vec<&'static str>| {
            names.sort_by_key(|name| metrics.index(name));
            names
        };
        assert_eq!(left_out("together"), sorted(vec!["throughput", "disk_io"]));
        assert_eq!(left_out("mix"), sorted(crate::measure::STATEMENT_RATES.to_vec()));
        assert_eq!(left_out("named"), sorted(vec!["lock_waits", "disk_io"]));
    }
}
