//! The rules that are applied, and which of their incidents are open: a plain value.

use std::collections::HashMap;
use std::sync::Arc;

use super::settings::RuleSettings;
use crate::detect::Phase;
use crate::measure::TargetKey;

struct Named {
    id: u64,
    settings: Arc<RuleSettings>,
}

/// The rules, each under an id of its own: a rule that was deleted and made again is another one.
#[derive(Default)]
pub(super) struct Rules {
    by_name: HashMap<(String, String), Named>,
    by_id: HashMap<u64, Arc<RuleSettings>>,
    /// Onsets and phases of open incidents, by rule: they outlive a collector that is started anew, and begin with what
    /// the API has open.
    open: HashMap<TargetKey, HashMap<u64, (i64, Phase)>>,
    last_id: u64,
}

impl Rules {
    /// Applies a rule from now on; false when it is applied already, just so.
    pub fn set(&mut self, settings: RuleSettings) -> bool {
        let name = (settings.namespace.clone(), settings.name.clone());
        let present = self.by_name.get(&name).filter(|present| present.settings.uid == settings.uid);
        if present.is_some_and(|present| same(&present.settings, &settings)) {
            return false;
        }
        let id = present.map_or(self.last_id + 1, |present| present.id);
        if id > self.last_id {
            self.last_id = id;
            for open in &settings.open {
                let target = TargetKey {
                    namespace: settings.namespace.clone(),
                    baseline: settings.baseline.clone(),
                    pod: open.pod.clone(),
                };
                self.follow(&target, id, open.onset, open.phase);
            }
        }
        let settings = Arc::new(settings);
        self.by_id.insert(id, settings.clone());
        if let Some(replaced) = self.by_name.insert(name, Named { id, settings })
            && replaced.id != id
        {
            self.forget(replaced.id);
        }
        true
    }

    /// Forgets a rule and its incidents; false when there is none.
    pub fn remove(&mut self, namespace: String, name: String) -> bool {
        let Some(removed) = self.by_name.remove(&(namespace, name)) else { return false };
        self.forget(removed.id);
        true
    }

    fn forget(&mut self, id: u64) {
        self.by_id.remove(&id);
        self.open.retain(|_, incidents| {
            incidents.remove(&id);
            !incidents.is_empty()
        });
    }

    /// Ends an open incident for another reason than its metric, and gives the id of its rule; `None` when none is open.
    pub fn end(&mut self, target: &TargetKey, rule: String) -> Option<u64> {
        let id = self.by_name.get(&(target.namespace.clone(), rule))?.id;
        self.close(target, id).then_some(id)
    }

    /// Notes the phase that the incident of a rule and target entered.
    pub fn follow(&mut self, target: &TargetKey, id: u64, onset: i64, phase: Phase) {
        if phase.is_open() {
            self.open.entry(target.clone()).or_default().insert(id, (onset, phase));
        } else {
            self.close(target, id);
        }
    }

    fn close(&mut self, target: &TargetKey, id: u64) -> bool {
        let Some(incidents) = self.open.get_mut(target) else { return false };
        let closed = incidents.remove(&id).is_some();
        if incidents.is_empty() {
            self.open.remove(target);
        }
        closed
    }

    /// The rules for a target, with their ids.
    pub fn for_target(&self, target: &TargetKey) -> Vec<(u64, Arc<RuleSettings>)> {
        self.by_name
            .values()
            .filter(|rule| rule.settings.namespace == target.namespace && rule.settings.baseline == target.baseline)
            .map(|rule| (rule.id, rule.settings.clone()))
            .collect()
    }

    /// The rule of that id.
    pub fn get(&self, id: u64) -> Option<&Arc<RuleSettings>> {
        self.by_id.get(&id)
    }

    /// Onset and phase of the open incident of a rule and target.
    pub fn open(&self, target: &TargetKey, id: u64) -> Option<(i64, Phase)> {
        self.open.get(target)?.get(&id).copied()
    }

    /// Whether any incident of a target is open.
    pub fn any_open(&self, target: &TargetKey) -> bool {
        self.open.contains_key(target)
    }
}

/// What is open counts only when a rule is new: after that the engine knows better than the API.
fn same(left: &RuleSettings, right: &RuleSettings) -> bool {
    left.rule == right.rule && left.baseline == right.baseline && left.severity == right.severity
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Severity;
    use crate::detect::{self, Detector, Limit};
    use crate::engine::OpenIncident;

    fn target(pod: &str) -> TargetKey {
        TargetKey { namespace: "shop".into(), baseline: "orders".into(), pod: pod.into() }
    }

    fn rule(name: &str, uid: &str, open: &[(&str, i64, Phase)]) -> RuleSettings {
        RuleSettings {
            namespace: "shop".into(),
            name: name.into(),
            uid: uid.into(),
            baseline: "orders".into(),
            rule: Arc::new(detect::Rule {
                metric: 0,
                detector: Detector::Limit(Limit { below: None, above: Some(1.0) }),
                for_ms: 0,
                resolve_after_ms: 0,
                minimum_confidence: 0.0,
            }),
            severity: Severity::High,
            open: open.iter().map(|&(pod, onset, phase)| OpenIncident { pod: pod.into(), onset, phase }).collect(),
        }
    }

    fn ids(rules: &Rules, pod: &str) -> Vec<u64> {
        let mut ids: Vec<u64> = rules.for_target(&target(pod)).into_iter().map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn a_new_rule_takes_over_what_the_api_has_open_and_an_edited_one_keeps_its_own() {
        let mut rules = Rules::default();
        assert!(rules.set(rule("slow", "1", &[("orders-0", 7, Phase::Clearing)])));
        assert_eq!(rules.open(&target("orders-0"), 1), Some((7, Phase::Clearing)));
        assert!(!rules.set(rule("slow", "1", &[])), "nothing to apply");
        let mut edited = rule("slow", "1", &[("orders-1", 9, Phase::Open)]);
        Arc::make_mut(&mut edited.rule).for_ms = 5;
        assert!(rules.set(edited));
        assert_eq!(ids(&rules, "orders-0"), [1]);
        assert_eq!(rules.get(1).map(|rule| rule.rule.for_ms), Some(5));
        assert_eq!(rules.open(&target("orders-0"), 1), Some((7, Phase::Clearing)));
        assert_eq!(rules.open(&target("orders-1"), 1), None);
    }

    #[test]
    fn a_rule_that_was_made_again_is_another_one_and_leaves_nothing_of_the_old_open() {
        let mut rules = Rules::default();
        rules.set(rule("slow", "1", &[("orders-0", 7, Phase::Open)]));
        assert!(rules.set(rule("slow", "2", &[])));
        assert_eq!(ids(&rules, "orders-0"), [2]);
        assert!(rules.get(1).is_none());
        assert!(!rules.any_open(&target("orders-0")));
    }

    #[test]
    fn ending_one_incident_leaves_the_others_open() {
        let mut rules = Rules::default();
        rules.set(rule("slow", "1", &[("orders-0", 7, Phase::Open), ("orders-1", 7, Phase::Open)]));
        rules.set(rule("full", "2", &[("orders-0", 8, Phase::Open)]));
        assert_eq!(rules.end(&target("orders-0"), "slow".into()), Some(1));
        assert_eq!(rules.end(&target("orders-0"), "slow".into()), None, "it is over already");
        assert_eq!(rules.end(&target("orders-0"), "other".into()), None);
        assert_eq!(rules.open(&target("orders-0"), 2), Some((8, Phase::Open)));
        assert_eq!(rules.open(&target("orders-1"), 1), Some((7, Phase::Open)));
    }

    #[test]
    fn an_incident_is_open_until_it_is_resolved_or_its_rule_removed() {
        let mut rules = Rules::default();
        rules.set(rule("slow", "1", &[]));
        rules.follow(&target("orders-0"), 1, 7, Phase::Pending);
        assert!(!rules.any_open(&target("orders-0")));
        rules.follow(&target("orders-0"), 1, 7, Phase::Open);
        rules.follow(&target("orders-0"), 1, 7, Phase::Clearing);
        assert_eq!(rules.open(&target("orders-0"), 1), Some((7, Phase::Clearing)));
        rules.follow(&target("orders-0"), 1, 7, Phase::Normal);
        assert!(!rules.any_open(&target("orders-0")));
        rules.follow(&target("orders-0"), 1, 9, Phase::Open);
        assert!(rules.remove("shop".into(), "slow".into()));
        assert!(!rules.remove("shop".into(), "slow".into()));
        assert!(!rules.any_open(&target("orders-0")));
    }

    #[test]
    fn only_the_rules_of_the_targets_baseline_and_namespace_are_its_own() {
        let mut rules = Rules::default();
        rules.set(rule("slow", "1", &[]));
        rules.set(RuleSettings { baseline: "carts".into(), ..rule("carts", "2", &[]) });
        rules.set(RuleSettings { namespace: "other".into(), ..rule("slow", "3", &[]) });
        assert_eq!(ids(&rules, "orders-0"), [1]);
    }
}
