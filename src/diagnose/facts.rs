//! Facts for `when`: names with truth values that a policy's conditions read as `facts.NAME`.

use std::collections::BTreeMap;

use crate::api::Evidence;

/// An index on a table would help, by statistics and plan.
pub const MISSING_INDEX: &str = "missing_index";
/// Every part of the rule for building it now holds.
pub const SAFE: &str = "safe";
/// No step that changes something can help: no index is missing, or building it is not safe now.
pub const NO_FIX_AVAILABLE: &str = "no_fix_available";
/// One statement has at least half of the growth.
pub const SINGLE_QUERY_CAUSE: &str = "single_query_cause";
/// A table of the statements has an index that is not valid.
pub const INVALID_INDEX: &str = "invalid_index";
/// A table of the statements has an index that another one makes needless.
pub const DUPLICATE_INDEX: &str = "duplicate_index";
/// A statement that grew compares in a way that no plain index serves.
pub const INEFFICIENT_PATTERN: &str = "inefficient_pattern";

/// Every name that `when` may use. Any other is an error of the policy, never silently false.
pub const KNOWN: &[&str] =
    &[DUPLICATE_INDEX, INEFFICIENT_PATTERN, INVALID_INDEX, MISSING_INDEX, NO_FIX_AVAILABLE, SAFE, SINGLE_QUERY_CAUSE];

/// Facts by name. One that is not there was not established: a condition reads it as false.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Facts(pub BTreeMap<String, bool>);

impl Facts {
    /// Sets a fact.
    pub fn set(&mut self, name: &str, value: bool) {
        self.0.insert(name.to_owned(), value);
    }

    /// Whether a fact was established and is true.
    pub fn is_true(&self, name: &str) -> bool {
        self.0.get(name).copied().unwrap_or(false)
    }

    /// As stored on an Anomaly: one entry a fact.
    pub fn to_evidence(&self) -> Vec<Evidence> {
        self.0.iter().map(|(name, value)| Evidence { name: name.clone(), value: value.to_string() }).collect()
    }

    /// Reads what [`Facts::to_evidence`] wrote; entries that are no truth value are left out.
    pub fn from_evidence(evidence: &[Evidence]) -> Self {
        Self(evidence.iter().filter_map(|entry| Some((entry.name.clone(), entry.value.parse().ok()?))).collect())
    }
}

impl<const N: usize> From<[(&str, bool); N]> for Facts {
    fn from(facts: [(&str, bool); N]) -> Self {
        Self(facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_come_back_as_they_were_stored() {
        let facts = Facts::from([(SAFE, true), (MISSING_INDEX, false)]);
        assert_eq!(Facts::from_evidence(&facts.to_evidence()), facts);
        assert!(facts.is_true(SAFE) && !facts.is_true(MISSING_INDEX) && !facts.is_true("unheard_of"));
    }
}
