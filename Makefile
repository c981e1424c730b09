# What a person does with this source tree. `make` alone lists it.

.DEFAULT_GOAL := help
.PHONY: help tools build check test demo bench quality clean

# Programs that `make tools` may have installed for this machine.
export PATH := $(HOME)/.cargo/bin:/usr/local/go/bin:$(PATH)

help: ## Lists what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

tools: ## Installs what is missing (root) or names it, and builds the tests' control plane (first time about 5 minutes)
	@scripts/tools.sh

build: ## Builds the release programs (first time about 8 minutes)
	@echo "build: the release programs; the first time takes about 8 minutes on two cores, later ones some minutes"
	cargo build --locked --release --bins

check: ## Format, lints, generated files, architecture, licences (first time about 3 minutes)
	@scripts/check.sh

test: tools ## All tests, on a real control plane and a real PostgreSQL (about 25 minutes after the build, on two cores)
	@scripts/test.sh

bench: ## Measures every figure next to what it is compared with (about 8 minutes after the build)
	@scripts/bench.sh

quality: ## How well the engine judges, into docs/quality.md (about 10 minutes after the build; NAB=<folder> for the development series)
	@scripts/quality.sh

demo: tools ## A database loses an index and gets it back, on real parts (about 2 minutes after the build; KEEP=1 keeps it running)
	@scripts/demo.sh

clean: ## Removes everything that was built, the control plane too
	cargo clean
