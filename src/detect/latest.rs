//! The last values of targets that have peers, as columns beside the profiles'.

use std::collections::HashMap;

/// Last value and its time, per series, and who is with whom.
#[derive(Default)]
pub(super) struct Latest {
    /// `[series]`, as far as any has peers; meaningful where the time is.
    value: Vec<f32>,
    /// Milliseconds since the Unix epoch; [`NEVER`] before the first value.
    at: Vec<i64>,
    /// Group of each target.
    group: Vec<Option<u64>>,
    members: HashMap<u64, Vec<Member>>,
}

/// A target of a group.
#[derive(Clone, Copy)]
pub(super) struct Member {
    pub target: usize,
    pub first: usize,
    pub metrics: usize,
}

const NEVER: i64 = i64::MIN;

impl Latest {
    /// Puts a target with its series into a group; it leaves the one before.
    pub fn join(&mut self, target: usize, first: usize, metrics: usize, group: u64) {
        self.leave(target, first, metrics);
        if self.group.len() <= target {
            self.group.resize(target + 1, None);
        }
        self.group[target] = Some(group);
        self.members.entry(group).or_default().push(Member { target, first, metrics });
    }

    /// Forgets a target and its values.
    pub fn leave(&mut self, target: usize, first: usize, metrics: usize) {
        let Some(group) = self.group.get_mut(target).and_then(Option::take) else { return };
        if let Some(at) = self.at.get_mut(first..first + metrics) {
            at.fill(NEVER);
        }
        if let Some(members) = self.members.get_mut(&group) {
            members.retain(|member| member.target != target);
            if members.is_empty() {
                self.members.remove(&group);
            }
        }
    }

    /// Notes the values of a round, for the peers of a target that has any.
    pub fn note(&mut self, target: usize, first: usize, at: i64, values: &[f32]) {
        if self.peers(target).next().is_none() {
            return;
        }
        let end = first + values.len();
        if self.value.len() < end {
            self.value.resize(end, 0.0);
            self.at.resize(end, NEVER);
        }
        let latest = self.value[first..end].iter_mut().zip(&mut self.at[first..end]);
        for ((last, seen), value) in latest.zip(values) {
            if value.is_finite() {
                *last = *value;
                *seen = at;
            }
        }
    }

    /// The others in a target's group.
    pub fn peers(&self, target: usize) -> impl Iterator<Item = &Member> {
        let group = self.group.get(target).copied().flatten();
        let members = group.and_then(|group| self.members.get(&group));
        members.into_iter().flatten().filter(move |member| member.target != target)
    }

    /// Last value of a series and its time.
    pub fn value(&self, series: usize) -> Option<(f32, i64)> {
        let at = self.at.get(series).copied().filter(|at| *at != NEVER)?;
        Some((self.value[series], at))
    }
}
