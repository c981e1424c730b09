#!/usr/bin/env bash
# All tests. The control plane must have been built before (make tools).
set -euo pipefail
cd "$(dirname "$0")/.."

if [ ! -x "${DBMEDIC_CLUSTER_PROGRAM:-target/tools/cluster}" ]; then
    echo "test: the control plane of the tests is not built; run \`make tools\` first (about 5 minutes)"
    exit 1
fi
say() { printf 'test: %s\n' "$*"; }
second=() skipped=()

# Runs these targets. The tests wait for real processes on a machine that may be busy: what fails is tried once more,
# alone, and said.
run() {
    local log=target/test.log failed
    if cargo test --locked --workspace --no-fail-fast "$@" -- --test-threads=2 2>&1 | tee "$log"; then
        note_skipped "$log"
        return 0
    fi
    note_skipped "$log"
    mapfile -t failed < <(sed -nE 's/^test (.+) \.\.\. FAILED$/\1/p' "$log" | sort -u)
    if [ "${#failed[@]}" -eq 0 ] || [ "${#failed[@]}" -gt 4 ]; then
        say "${#failed[@]} tests failed: not tried again"
        return 1
    fi
    say "FAILED, and tried once more alone: ${failed[*]}"
    cargo test --locked --workspace "$@" -- --test-threads=1 --exact "${failed[@]}" || return 1
    second+=("${failed[@]}")
}

# Remembers the tests that said that they cannot be run here.
note_skipped() {
    local found
    mapfile -t found < <(sed -nE 's/^.*SKIPPED: (.+)$/\1/p' "$1" | sort -u)
    skipped+=("${found[@]}")
}

# What a glance at "ok" would not tell.
summary() {
    if [ "${#skipped[@]}" -gt 0 ]; then
        say "SKIPPED, so that nothing is known of them here:"
        printf '  %s\n' "${skipped[@]}"
    fi
    if [ "${#second[@]}" -gt 0 ]; then
        say "passed only at the second try:"
        printf '  %s\n' "${second[@]}"
    fi
}
trap summary EXIT

say "compiling (first time about 4 minutes)"
cargo test --locked --workspace --no-run --lib --bins --tests
say "unit tests, the architecture, the advisor on a real PostgreSQL, the test support (some 5 minutes on two cores)"
run --lib --bins --test architecture --test diagnose --test rules --test quality --test fuzz_targets --test support
say "the whole on a real control plane and a real PostgreSQL (some 20 minutes on two cores)"
run --test api
