//! Effects on a real API server and real databases, one module per subject. The parts come from `dbmedic-test-support`.

mod kinds;
