//! Tests that cannot be run here say so, and do not look as if they had passed.

use std::io::Write as _;

/// Says that the running test was skipped and why. `scripts/test.sh` lists these lines at its end.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    // Not by a macro: what those print is shown for failed tests only.
    let _ = writeln!(std::io::stderr(), "\nSKIPPED: {}: {why}", thread.name().unwrap_or("a test"));
}
