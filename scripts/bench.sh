#!/usr/bin/env bash
# Every figure that dbmedic is held to, next to what it is compared with. Takes about 5 minutes after the build.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ ! -x "${DBMEDIC_CLUSTER_PROGRAM:-target/tools/cluster}" ]; then
    echo "bench: the control plane of the tests is not built; run \`make tools\` first (about 5 minutes)"
    exit 1
fi
echo "bench: the release programs, and the measuring program with the same code in it (first time about 12 minutes)"
cargo build --locked --release --bins --example figures
target/release/examples/figures
