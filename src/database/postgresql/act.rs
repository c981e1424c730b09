//! Act.
