#!/usr/bin/env bash
# Every figure that dbmedic is held to, next to what it is compared with. Takes about 8 minutes after the build.
set -euo pipefail
cd "$(dirname "$0")/.."
# Where Cargo builds, for CARGO_TARGET_DIR and its configuration may say another place.
target="$(cargo metadata --locked --no-deps --format-version 1 | sed -E 's/.*"target_directory":"([^"]+)".*/\1/')"

if [ ! -x "${DBMEDIC_CLUSTER_PROGRAM:-target/tools/cluster}" ]; then
    echo "bench: the control plane of the tests is not built; run \`make tools\` first (about 5 minutes)"
    exit 1
fi
echo "bench: the release programs, which are what is measured (first time about 8 minutes)"
cargo build --locked --release --bins
# The measuring program brings the tests' dependencies with it, and Cargo would build the programs with their features.
programs="$target/bench"
mkdir -p "$programs"
cp "$target/release/dbmedic" "$target/release/kubectl-dbmedic" "$programs/"
echo "bench: the measuring program, with the same code in it (first time about 8 minutes)"
cargo build --locked --release --example figures
DBMEDIC_PROGRAMS="$programs" "$target/release/examples/figures"
