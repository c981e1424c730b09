//! The whole on real parts: a real API server and controller-manager, a real PostgreSQL, the operator as its own process
//! with its own rights. One program, so that one control plane serves all of its tests.

mod approvals;
mod crash;
mod detectors;
mod exceptions;
mod faults;
mod kinds;
mod main_loop;
mod outcomes;
mod plugin;
mod shipped;
mod validation;
mod world;
