#!/usr/bin/env bash
# Every figure that dbmedic is held to, next to what it is compared with. Takes about 5 minutes after the build.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ ! -x "${DBMEDIC_CLUSTER_PROGRAM:-target/tools/cluster}" ]; then
    echo "bench: the control plane of the tests is not built; run \`make tools\` first (about 5 minutes)"
    exit 1
fi
echo "bench: the release programs, which are what is measured (first time about 8 minutes)"
cargo build --locked --release --bins
# The measuring program stands on the tests' dependencies, so that they are not compiled once more; our own code in it
# is optimised as in a release, for the engine and the history are measured inside of it, and so is what the history
# goes through. What it builds of `dbmedic` itself stays apart.
echo "bench: the measuring program (about 2 minutes)"
cargo bench --locked --profile dev --bench figures \
    --config 'profile.dev.package.dbmedic.opt-level="s"' \
    --config 'profile.dev.package.sqlx-core.opt-level="z"' \
    --config 'profile.dev.package.sqlx-sqlite.opt-level="z"' \
    --config 'profile.dev.package.tokio.opt-level="z"' \
    --config 'profile.dev.package.dbmedic.debug-assertions=false'
