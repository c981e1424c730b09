//! Verdict and observations to ranked causes and facts: which statements grew, why, and what would help.

pub mod advise;
pub mod estimate;
pub mod explain;
pub mod explainable;
pub mod looked;
pub mod predicates;
pub mod safe;
pub mod text;
