#!/usr/bin/env bash
# Everything that is checked without running the product: format, lints, generated files, architecture, licences.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'check: %s\n' "$*"; }

say "format"
cargo fmt --all --check
say "lints (the first time compiles everything: about 3 minutes)"
cargo clippy --locked --workspace --all-targets -- -D warnings
say "generated kinds are those in crds/"
cargo run --locked --quiet --bin dbmedic -- crds --check crds
say "architecture"
cargo test --locked --quiet --test architecture
if command -v cargo-deny >/dev/null; then
    say "licences, sources and duplicates of dependencies"
    cargo deny --log-level error check licenses bans sources
else
    say "licences are not checked: cargo-deny is not installed (cargo install --locked cargo-deny)"
fi
say "everything as it should be"
