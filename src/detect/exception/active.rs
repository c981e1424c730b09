//! The exceptions of one rule and target, and which of them are active: a comparison per sample.

use std::sync::Arc;

use super::{Effect, Exception, Expectation};
use crate::detect::{ChangeKind, Detector, Normal};

/// What a detector does while another load than usual is expected of a metric that it judges.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::detect) enum WhileExpected {
    /// It judges a course of values, or how metrics go together, which no expectation moves: there is no verdict.
    Silent,
    /// It judges each value by what is normal for it or by what is written down, and both move with the expectation.
    Moves,
    /// It judges as ever by what the other databases show of the same load, unless the load is not expected of all.
    ComparesWithPeers,
}

/// What counts now.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::detect) enum Active {
    /// Nothing known happens, or nothing that changes how the rule judges.
    #[default]
    None,
    /// There is no verdict.
    Suppressed,
    /// This is expected of metrics that the rule judges, by their index; never empty.
    Expected(Vec<(usize, Expectation)>),
}

impl Active {
    /// What is expected, by the index of the metric.
    pub fn expected(&self) -> &[(usize, Expectation)] {
        if let Self::Expected(expected) = self { expected } else { &[] }
    }

    /// Whether a value of a metric beyond a fixed limit is expected.
    pub fn covers(&self, metric: usize, value: f64, learnt: Option<&Normal>, above: bool) -> bool {
        self.expected().iter().any(|(of, expectation)| *of == metric && expectation.covers(value, learnt, above))
    }
}

/// The exceptions of one rule and target. Most have none: that costs them a pointer.
#[derive(Debug, Default)]
pub(in crate::detect) struct Exempt(Option<Box<Exceptions>>);

/// One or more exceptions, or what was active of the last ones.
#[derive(Debug)]
struct Exceptions {
    exceptions: Vec<Arc<Exception>>,
    active: Active,
    /// The span that `active` holds for, in ms since the Unix epoch.
    from: i64,
    until: i64,
    /// Whether an incident was open when what is active began.
    found_open: bool,
}

impl Exempt {
    /// Judges by these from the next sample on. What is active is kept until then, so that its end is noticed.
    pub fn set(&mut self, exceptions: Vec<Arc<Exception>>) {
        let (active, found_open) = match &mut self.0 {
            None if exceptions.is_empty() => return,
            None => (Active::None, false),
            Some(before) => (std::mem::take(&mut before.active), before.found_open),
        };
        self.0 = Some(Box::new(Exceptions { exceptions, active, from: i64::MAX, until: i64::MIN, found_open }));
    }

    /// From when on another exception may be active, where none is as of the last [`Exempt::refresh`]; `None` where one is.
    pub fn quiet_until(&self) -> Option<i64> {
        match &self.0 {
            None => Some(i64::MAX),
            Some(own) => (own.active == Active::None).then_some(own.until),
        }
    }

    /// Looks what is active at an instant; true when the rule is now silent, expecting or judging as ever, and was not.
    /// `open`: whether its incident is.
    pub fn refresh(&mut self, at: i64, metric: usize, detector: &Detector, open: bool) -> bool {
        let Some(own) = &mut self.0 else { return false };
        if own.from <= at && at < own.until {
            return false;
        }
        let (active, until) = own.at(at, metric, detector);
        (own.from, own.until) = (at, until);
        let changed = std::mem::discriminant(&active) != std::mem::discriminant(&own.active);
        own.active = active;
        if changed {
            own.found_open = open;
        }
        if own.exceptions.is_empty() {
            self.0 = None;
        }
        changed
    }

    /// What is active at an instant, and until when, whatever was looked at before.
    pub fn at(&self, at: i64, metric: usize, detector: &Detector) -> (Active, i64) {
        self.0.as_ref().map_or((Active::None, i64::MAX), |own| own.at(at, metric, detector))
    }

    /// What the last [`Exempt::refresh`] that was a change is told as.
    pub fn edge(&self) -> ChangeKind {
        if self.is_active() { ChangeKind::ExceptionBegan } else { ChangeKind::ExceptionOver }
    }

    /// Whether any exception is active, as of the last [`Exempt::refresh`].
    pub fn is_active(&self) -> bool {
        *self.active() != Active::None
    }

    /// Whether an incident was open when the exception that is active began.
    pub fn found_open(&self) -> bool {
        self.is_active() && self.0.as_ref().is_some_and(|own| own.found_open)
    }

    /// Whether there is no verdict, as of the last [`Exempt::refresh`].
    pub fn is_suppressed(&self) -> bool {
        *self.active() == Active::Suppressed
    }

    /// What is active, as of the last [`Exempt::refresh`].
    pub fn active(&self) -> &Active {
        self.0.as_ref().map_or(&Active::None, |own| &own.active)
    }
}

impl Exceptions {
    fn at(&self, at: i64, metric: usize, detector: &Detector) -> (Active, i64) {
        let (mut active, mut until) = (Active::None, i64::MAX);
        for exception in &self.exceptions {
            let calendar = &exception.calendar;
            until = until.min(calendar.next(at).map_or(i64::MAX, |window| window.from));
            if let Some(window) = calendar.current(at) {
                until = until.min(window.to);
                active = with(active, exception, &detector.judged(metric), detector.while_expected());
            }
        }
        (active, until)
    }
}

/// What counts when one more exception is active, for a detector that judges these metrics. Silence goes before every
/// expectation.
fn with(active: Active, exception: &Exception, judged: &[usize], while_expected: WhileExpected) -> Active {
    match &exception.effect {
        Effect::Suppress(metrics) if metrics.is_empty() || metrics.iter().any(|metric| judged.contains(metric)) => {
            Active::Suppressed
        }
        Effect::Suppress(_) => active,
        Effect::Expect(expected) => {
            let mut own = expected.iter().filter(|(metric, _)| judged.contains(metric)).copied().peekable();
            if own.peek().is_none() {
                return active;
            }
            match (while_expected, active) {
                (_, Active::Suppressed) => Active::Suppressed,
                // What is expected of all shows in all.
                (WhileExpected::ComparesWithPeers, active) if exception.pods.is_empty() => active,
                (WhileExpected::ComparesWithPeers | WhileExpected::Silent, _) => Active::Suppressed,
                (WhileExpected::Moves, Active::None) => Active::Expected(own.collect()),
                (WhileExpected::Moves, Active::Expected(mut all)) => {
                    all.extend(own);
                    Active::Expected(all)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::detect::testing::spec;
    use crate::detect::{MetricSet, exception, resolve};

    /// A Sunday in the exception's hour.
    const NOW: i64 = (3 * 24 + 3) * 3_600_000 + 1;

    fn exception(effect: &Value) -> Arc<Exception> {
        let mut spec = json!({"baselineRef": {"name": "orders"}, "schedule": "Sun 03:00-04:00"});
        for (field, value) in effect.as_object().unwrap() {
            spec[field] = value.clone();
        }
        Arc::new(exception::resolve(&serde_json::from_value(spec).unwrap(), &MetricSet::new(&[])).unwrap())
    }

    fn active(detect: &Value, effects: &[Value]) -> Active {
        let rule = resolve(&spec(detect.clone()), &MetricSet::new(&[])).unwrap();
        let mut exempt = Exempt::default();
        exempt.set(effects.iter().map(exception).collect());
        exempt.at(NOW, rule.metric, &rule.detector).0
    }

    fn word(active: &Active) -> &'static str {
        match active {
            Active::None => "as ever",
            Active::Suppressed => "silent",
            Active::Expected(_) => "expecting",
        }
    }

    #[test]
    fn an_exception_is_for_the_rules_that_judge_its_metric_and_for_no_other() {
        let together = |metrics: &[&str]| json!({"multivariate": {"metrics": metrics}});
        let expression = |metric: Option<&str>, text: &str| json!({"metric": metric, "expression": text});
        let mix = || json!({"queryMix": {}});
        for (detect, of_throughput, of_select_rate) in [
            (json!({"metric": "throughput", "sigma": {"above": 3}}), "silent", "as ever"),
            (together(&["throughput", "disk_io"]), "silent", "as ever"),
            (together(&["response_time", "disk_io"]), "as ever", "as ever"),
            (together(&[]), "silent", "silent"),
            (mix(), "as ever", "silent"),
            (expression(None, "metrics.throughput > 5 && metrics.disk_io > 5"), "silent", "as ever"),
            (expression(Some("disk_io"), "current > 5 && metrics.throughput > 5"), "silent", "as ever"),
            (expression(Some("disk_io"), "current > 5"), "as ever", "as ever"),
            (expression(Some("throughput"), "metrics.disk_io > 5"), "as ever", "as ever"),
        ] {
            let found = |metric: &str| word(&active(&detect, &[json!({"suppress": true, "metrics": [metric]})]));
            assert_eq!((found("throughput"), found("select_rate")), (of_throughput, of_select_rate), "{detect}");
            assert_eq!(word(&active(&detect, &[json!({"suppress": true})])), "silent", "{detect}");
        }
    }

    #[test]
    fn a_silent_metric_is_silent_in_its_share_of_the_maximum_too() {
        let limit = json!({"metric": "connection_count", "limit": {"above": "85%"}});
        let silence = |metric: &str| json!({"suppress": true, "metrics": [metric]});
        assert_eq!(word(&active(&limit, &[silence("connection_count")])), "silent");
        assert_eq!(word(&active(&limit, &[silence("throughput")])), "as ever");
    }

    #[test]
    fn each_detector_does_what_it_can_while_another_load_is_expected() {
        let of_metric = |detector: &str, fields: Value| json!({"metric": "throughput", detector: fields});
        for (detect, expected, of_this_pod) in [
            (of_metric("sigma", json!({"above": 3})), "expecting", "expecting"),
            (of_metric("limit", json!({"above": 3})), "expecting", "expecting"),
            (of_metric("expression", json!("current > baseline_mean")), "expecting", "expecting"),
            (of_metric("peers", json!({})), "as ever", "silent"),
            (of_metric("pattern", json!({})), "silent", "silent"),
            (of_metric("trend", json!({})), "silent", "silent"),
            (of_metric("degradation", json!({})), "silent", "silent"),
            (of_metric("forecast", json!({"above": 3})), "silent", "silent"),
            (json!({"multivariate": {"metrics": ["throughput", "disk_io"]}}), "silent", "silent"),
            (json!({"multivariate": {"metrics": ["response_time", "disk_io"]}}), "as ever", "as ever"),
            (json!({"queryMix": {}}), "as ever", "as ever"),
        ] {
            let load = || json!({"expect": {"throughput": "10x"}});
            let mut limited = load();
            limited["pods"] = json!(["orders-0"]);
            assert_eq!(word(&active(&detect, &[load()])), expected, "{detect}");
            assert_eq!(word(&active(&detect, &[limited])), of_this_pod, "{detect}");
            let silence = json!({"suppress": true, "metrics": ["throughput", "select_rate", "disk_io"]});
            assert_eq!(word(&active(&detect, &[silence, load()])), "silent", "{detect}");
        }
    }
}
