//! Databases at the edge: connect, observe, look and act. One folder per engine; no policy here.

pub mod postgresql;
