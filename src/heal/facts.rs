//! The facts that a strategy's `when` may ask for.

use std::collections::BTreeMap;

/// Names that `when` may use as `facts.NAME`. Any other name is an error of the policy, never silently false.
pub const KNOWN: &[&str] =
    &["duplicate_index", "invalid_index", "missing_index", "no_fix_available", "safe", "single_query_cause"];

/// Facts by name; a known one that was not established is false.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Facts(pub BTreeMap<String, bool>);

impl Facts {
    /// The value of a fact: false when it was not established.
    pub fn get(&self, name: &str) -> bool {
        self.0.get(name).copied().unwrap_or(false)
    }
}

impl<const N: usize> From<[(&str, bool); N]> for Facts {
    fn from(facts: [(&str, bool); N]) -> Self {
        Self(facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}
