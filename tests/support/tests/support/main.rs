//! The test support itself, on the real parts.

mod cluster;
mod node;
mod postgres;
mod proxies;
