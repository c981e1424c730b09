//! What the engine shows the controllers.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::handle::TargetView;
use super::settings::Noticed;
use super::task::Task;
use crate::api::IncidentState;

impl Task {
    /// Shows the state of each incident of a target, and tells its collector whether all is quiet.
    pub fn publish_incidents(&self, index: usize) {
        let Some(target) = &self.targets[index] else { return };
        let breached = |state| matches!(state, IncidentState::Pending | IncidentState::Open | IncidentState::Clearing);
        let is_breached = self.shard.states(index).any(|(_, state)| breached(state))
            // An open incident without data is no less open.
            || self.rules.any_open(&target.settings.key)
            // What a known peak or a maintenance takes is not what it usually takes.
            || self.shard.exempt(index).next().is_some();
        target.quiet.store(!is_breached, Ordering::Relaxed);
        let mut views = self.views.write().unwrap_or_else(PoisonError::into_inner);
        let Some(view) = views.get_mut(&target.settings.key) else { return };
        let exempt = self.shard.exempt(index).filter_map(|id| self.rules.get(id));
        view.exempt = exempt.map(|rule| rule.name.clone()).collect();
        for (id, state) in self.shard.states(index) {
            let Some(rule) = self.rules.get(id) else { continue };
            if view.incidents.get(&rule.name) != Some(&state) {
                view.incidents.insert(rule.name.clone(), state);
            }
        }
        if view.incidents.len() > self.shard.states(index).count() {
            let names: Vec<&str> = self
                .shard
                .states(index)
                .filter_map(|(id, _)| self.rules.get(id))
                .map(|rule| rule.name.as_str())
                .collect();
            view.incidents.retain(|name, _: &mut IncidentState| names.contains(&name.as_str()));
        }
    }

    /// Changes what is shown of a target, and says so.
    pub fn update_view(&self, index: usize, update: impl FnOnce(&mut TargetView)) {
        let Some(Some(target)) = self.targets.get(index) else { return };
        let key = &target.settings.key;
        if let Some(view) = self.views.write().unwrap_or_else(PoisonError::into_inner).get_mut(key) {
            update(view);
        }
        let _ = self.noticed.send(Noticed::Target(key.clone()));
    }
}
