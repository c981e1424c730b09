//! Facts for `when`: names with values that a policy's conditions read as `facts.NAME`.

use std::collections::BTreeMap;
use std::fmt;

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

/// Value of a fact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FactValue {
    /// Yes or no.
    Bool(bool),
    /// A figure; its unit is part of the fact's name.
    Number(f64),
}

impl fmt::Display for FactValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(formatter, "{value}"),
            Self::Number(value) => write!(formatter, "{value}"),
        }
    }
}

/// Facts by name. A fact that is not there was not looked at: it is neither true nor false.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts(pub BTreeMap<String, FactValue>);

impl Facts {
    /// Sets a yes-or-no fact.
    pub fn set(&mut self, name: &str, value: bool) {
        self.0.insert(name.to_owned(), FactValue::Bool(value));
    }

    /// Whether a yes-or-no fact is known to be true.
    pub fn is_true(&self, name: &str) -> bool {
        self.0.get(name) == Some(&FactValue::Bool(true))
    }

    /// As stored on an Anomaly: one entry a fact, the value as text.
    pub fn to_evidence(&self) -> Vec<Evidence> {
        self.0.iter().map(|(name, value)| Evidence { name: name.clone(), value: value.to_string() }).collect()
    }

    /// Reads what [`Facts::to_evidence`] wrote; entries that are neither a truth value nor a number are left out.
    pub fn from_evidence(evidence: &[Evidence]) -> Self {
        let read = |entry: &Evidence| {
            let value = match entry.value.parse() {
                Ok(value) => FactValue::Bool(value),
                Err(_) => FactValue::Number(entry.value.parse().ok()?),
            };
            Some((entry.name.clone(), value))
        };
        Self(evidence.iter().filter_map(read).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_come_back_as_they_were_stored() {
        let mut facts = Facts::default();
        facts.set(SAFE, true);
        facts.set(MISSING_INDEX, false);
        facts.0.insert("share".into(), FactValue::Number(0.25));
        assert_eq!(Facts::from_evidence(&facts.to_evidence()), facts);
        assert!(facts.is_true(SAFE) && !facts.is_true(MISSING_INDEX) && !facts.is_true("unheard_of"));
    }
}
