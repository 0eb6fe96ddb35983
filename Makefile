# NVMFS: a filesystem for persistent memory in user space.
#
# `make run` and `make test` install what is missing and do everything; `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PREFIX ?= /usr/local
DESTDIR ?=

NODE_MODULES := node_modules/.package-lock.json
BUILD_INFO := dist/.tsbuildinfo
SOURCES := $(shell find src mkfs native test bench -name '*.ts' 2>/dev/null)

# Tests are found by their sources, so that a compiled test whose source is gone is not run.
compiled = $(patsubst %.ts,dist/%.js,$(sort $(shell find $(1) -name '*.test.ts' 2>/dev/null)))
CHECK_TESTS = $(call compiled,test/unit test/model) $(addprefix dist/test/,fuzz/media.test.js fuzz/wire.test.js crash/short.test.js posix/engine.test.js)
ALL_TESTS = $(CHECK_TESTS) $(filter-out $(CHECK_TESTS),$(call compiled,test/crash test/fuzz)) $(call compiled,test/cli test/mount) dist/test/posix/mount.test.js

# addon: builds build/nvmfs.node
-include native/native.mk
# libnvm: build/libnvm.so, build/libnvm.a, build/libnvm-preload.so
-include native/libnvm/libnvm.mk
# bench-programs: the fixtures of the benchmark
-include bench/bench.mk

##@ Everyday use

.PHONY: help
help: ## print this list
	@awk 'BEGIN { FS = ":.*## "; print "usage: make TARGET" } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: build ## build everything, mount a demo volume, let two programs share a mapped file on it
	scripts/install-packages python3
	scripts/run-demo

.PHONY: test
test: ## install what the tests need and run all of them (as root, for the mounts)
	scripts/install-packages --file scripts/test-packages.txt xfsprogs btrfs-progs f2fs-tools dosfstools groff-base
	$(MAKE) build lint
	THOROUGH=1 scripts/run-tests $(ALL_TESTS)

.PHONY: check
check: build ## the quick tests: types, lint, unit and model tests; no root, no mount
	$(MAKE) --no-print-directory lint & lint=$$!; \
	status=0; TEST_JOBS=$${TEST_JOBS:-2} scripts/run-tests $(CHECK_TESTS) || status=$$?; \
	wait $$lint && exit $$status

.PHONY: conformance
conformance: build ## long, as root: the conformance table, stress-ng's stressors for STRESS_S (20) s each, pjdfstest where PJDFSTEST names its directory
	scripts/install-packages stress-ng
	scripts/run-tests dist/test/posix/mount.test.js
	scripts/run-suites

.PHONY: test-dax
test-dax: build ## long, as root: an emulated machine with persistent memory, killed KILLS (4) times under load; SEED=n does it again
	scripts/run-tests dist/test/dax-machine/machine.test.js

.PHONY: fuzz
fuzz: build ## damage FUZZ_IMAGES (100000) volumes, use, check and repair each; SEED=n does one again
	SEED='$(SEED)' FUZZ_IMAGES='$(or $(FUZZ_IMAGES),100000)' node --enable-source-maps dist/test/fuzz/main.js

##@ Crashes

.PHONY: crash
crash: build ## crash random workloads (SEED=n COUNT=n), or what a failure printed (WORKLOAD= STATE= MUTANT=)
	@node dist/test/crash/main.js

.PHONY: crash-long
crash-long: build ## all sequences of three operations of the metadata core, for hours, and all mutants
	@LENGTH=3 node dist/test/crash/main.js
	@node dist/test/crash/main.js mutants

.PHONY: crash-mutants
crash-mutants: build ## plant each missing or misplaced persist and fence, and print what catches it
	@node dist/test/crash/main.js mutants

##@ Building

.PHONY: deps
deps: $(NODE_MODULES) ## install the packages of package-lock.json, when they are missing or older than it

# No package needs an install script: fuse-native ships a compiled addon, and ours is built by `make addon`.
$(NODE_MODULES): package-lock.json
	@command -v npm >/dev/null || { echo 'npm is missing; install Node 20 or later with npm' >&2; exit 1; }
	npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

# A no-op when the fragment of the addon names the target; the headers come from packages.
.PHONY: addon
addon: | $(NODE_MODULES) ## compile the native addon (g++)

.PHONY: build
build: addon libnvm $(BUILD_INFO) ## compile everything; the commands in bin/ run from the checkout afterwards

$(BUILD_INFO): $(SOURCES) tsconfig.json scripts/bundle.mjs | $(NODE_MODULES)
	node node_modules/typescript/bin/tsc --incremental --tsBuildInfoFile $@
	node scripts/bundle.mjs
	@touch $@

.PHONY: lint
lint: build ## ESLint and the manual pages
	node node_modules/eslint/bin/eslint.js --max-warnings 0 .
	scripts/lint-man man/*.[38]

.PHONY: clean
clean: ## remove what was built (a mounted demo volume stays)
	rm -rf build dist .tap

.PHONY: distclean
distclean: clean ## also remove the installed packages
	rm -rf node_modules

##@ Installing

.PHONY: install
install: build ## install to $(DESTDIR)$(PREFIX); PREFIX is /usr/local
	DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' scripts/install-tree

.PHONY: uninstall
uninstall: ## remove what `make install` put there
	DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' scripts/uninstall-tree

##@ Measuring

.PHONY: bench
bench: build bench-programs ## print the table of benchmarks (as root)
	node dist/bench/run.js $(BENCH_FLAGS)
