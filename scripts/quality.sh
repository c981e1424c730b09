#!/usr/bin/env bash
# How well the engine tells what is anomalous, into docs/quality.md. NAB=<folder>: the development series, too.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "quality: the measuring program (first time about 8 minutes, with the tests' dependencies)"
# It stands on the tests' dependencies; our own code in it is optimised, for it goes through millions of samples.
exec cargo bench --locked --profile dev --bench quality \
    --config 'profile.dev.package.dbmedic.opt-level=3' \
    --config 'profile.dev.package.dbmedic.debug-assertions=false'
