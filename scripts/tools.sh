#!/usr/bin/env bash
# Makes everything present that building, testing and the demo need, and builds the control plane of the tests.
# As root on Debian missing things are installed; otherwise the command that installs each is named.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly rust_needed=1.94 go_needed=1.26 go_installed=1.26.8
readonly kubernetes=1.36.3
missing=0

say() { printf 'tools: %s\n' "$*"; }

# Whether the version $1 is at least $2.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

can_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

# What is missing ($1) and the command that brings it ($2): run by root, else named, with who has to run it ($3).
need() {
    if can_install; then
        say "installing $1"
        bash -c "$2"
    else
        say "missing: $1; ${3:-as root}: $2"
        missing=1
    fi
}

debian_packages() {
    local packages=()
    command -v cc >/dev/null || packages+=(build-essential)
    command -v pkg-config >/dev/null || packages+=(pkg-config)
    command -v curl >/dev/null || packages+=(curl ca-certificates)
    command -v git >/dev/null || packages+=(git)
    command -v openssl >/dev/null || packages+=(openssl)
    command -v setpriv >/dev/null || packages+=(util-linux)
    if ! command -v initdb >/dev/null && ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
        packages+=(postgresql)
    fi
    [ ${#packages[@]} -eq 0 ] && return
    need "${packages[*]}" "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq ${packages[*]}"
}

rust() {
    local found
    found=$(rustc --version 2>/dev/null | cut -d ' ' -f 2 || true)
    if [ -z "$found" ] || ! at_least "$found" "$rust_needed"; then
        if command -v rustup >/dev/null; then
            need "Rust $rust_needed or newer (found ${found:-none})" "rustup update stable" "as yourself"
        else
            need "Rust $rust_needed or newer (found ${found:-none})" \
                "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal -c clippy,rustfmt" "as yourself"
        fi
    fi
}

go_language() {
    local found packaged architecture
    found=$(go version 2>/dev/null | sed -E 's/^go version go([0-9.]+).*/\1/' || true)
    if [ -n "$found" ] && at_least "$found" "$go_needed"; then
        return
    fi
    packaged=$(apt-cache policy golang-go 2>/dev/null | sed -nE 's/^ *Candidate: [0-9]*:?([0-9.]+).*/\1/p' || true)
    if [ -n "$packaged" ] && at_least "$packaged" "$go_needed"; then
        need "Go $go_needed or newer (found ${found:-none})" "DEBIAN_FRONTEND=noninteractive apt-get install -y -qq golang-go"
        return
    fi
    case $(uname -m) in aarch64 | arm64) architecture=arm64 ;; *) architecture=amd64 ;; esac
    need "Go $go_needed or newer (found ${found:-none})" \
        "curl -fsSL https://go.dev/dl/go$go_installed.linux-$architecture.tar.gz | { rm -rf /usr/local/go && tar -C /usr/local -xz; }"
}

# One program with etcd, the API server, the controllers and kubectl.
control_plane() {
    local source=tests/cluster output=target/tools/cluster version=k8s.io/component-base/version wanted
    wanted=$( (cat "$source"/go.mod "$source"/go.sum "$source"/*.go && echo "$kubernetes" && uname -m) | sha256sum | cut -d ' ' -f 1)
    mkdir -p target/tools
    if [ -x "$output" ] && [ "$(cat "$output.built-from" 2>/dev/null)" = "$wanted" ]; then
        say "the control plane is up to date ($output)"
        return
    fi
    say "building the control plane of the tests; the first time takes about 5 minutes on 2 cores, later ones seconds"
    local packages log=target/tools/cluster-build.log started=$SECONDS pid
    (cd "$source" && go mod download) || { say "its sources could not be fetched"; exit 1; }
    packages=$(cd "$source" && go list -deps . | wc -l)
    (
        cd "$source"
        CGO_ENABLED=0 exec go build -v -trimpath -ldflags \
            "-s -w -X $version.gitVersion=v$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=36" \
            -o "../../$output.new" .
    ) >"$log" 2>&1 &
    pid=$!
    local next=15
    while kill -0 "$pid" 2>/dev/null; do
        sleep 1
        if [ $((SECONDS - started)) -ge "$next" ]; then
            say "  $((SECONDS - started)) s: $(wc -l <"$log") packages compiled, of $packages at most"
            next=$((next + 15))
        fi
    done
    if ! wait "$pid"; then
        tail -n 20 "$log"
        say "building the control plane failed; the whole log is $log"
        exit 1
    fi
    mv "$output.new" "$output"
    echo "$wanted" >"$output.built-from"
    say "built $output in $((SECONDS - started)) s"
}

export PATH="$HOME/.cargo/bin:/usr/local/go/bin:$PATH"
debian_packages
rust
go_language
if [ "$missing" = 1 ]; then
    say "install the missing things above and run this again"
    exit 1
fi
control_plane
