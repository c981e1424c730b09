#!/usr/bin/env bash
# The demo: builds the release programs and the demo's own program, then runs it. KEEP=1 leaves everything running.
set -euo pipefail
cd "$(dirname "$0")/.."
# Where Cargo builds, for CARGO_TARGET_DIR and its configuration may say another place.
target="$(cargo metadata --locked --no-deps --format-version 1 | sed -E 's/.*"target_directory":"([^"]+)".*/\1/')"

echo "demo: building the release programs (first time about 8 minutes on two cores, later ones some minutes)"
cargo build --locked --release --bins
# The demo's own program is not optimised: it waits, and the test support that it needs is built for the tests anyway.
echo "demo: building the demo (first time about 2 minutes)"
cargo build --locked --example demo

export DBMEDIC_PROGRAMS="$target/release"
if [ -n "${KEEP:-}" ]; then
    echo "demo: about two minutes; then everything it started goes on until Ctrl-C"
else
    echo "demo: about two minutes; everything it starts ends with it"
fi
exec "$target/debug/examples/demo"
