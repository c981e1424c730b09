#!/usr/bin/env bash
# All tests. The control plane must have been built before (make tools).
set -euo pipefail
cd "$(dirname "$0")/.."

if [ ! -x "${DBMEDIC_CLUSTER_PROGRAM:-target/tools/cluster}" ]; then
    echo "test: the control plane of the tests is not built; run \`make tools\` first (about 7 minutes)"
    exit 1
fi
echo "test: compiling (first time about 4 minutes), then unit tests (seconds) and tests on real parts (minutes)"
cargo test --locked --workspace
