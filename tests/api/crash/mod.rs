//! Crashes: the operator and the fix are killed at every step of the story in turn, and it always ends the same.
//!
//! One shop serves all runs of a test. A run is one fault and one crash; between two runs everything that the run left
//! is removed. Not by chance: steps are counted, and each is the last one once.

mod fix;
mod operator;
mod reset;
mod scene;
mod view;
