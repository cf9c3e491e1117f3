# SPDX-License-Identifier: MIT
#
# The front door. `make` builds, `make demo` shows, `make check` tests, `make help` lists the rest.
# The work is done by Meson and Ninja; each target first lets tools/bootstrap see to the tools.

PREFIX ?= /usr/local
SECONDS ?= 60

# Debian's own Python, where there is one: another one on PATH may lack the modules it serves.
PYTHON := $(firstword $(wildcard /usr/bin/python3) python3)
MESON  := meson
NINJA  := ninja

# One folder for each way of building. Those that run tests treat warnings as errors.
#   release    what is installed and measured, with debug information
#   asan       address and undefined-behaviour sanitizers, Evert's own checks on
#   tsan       thread sanitizer, by clang (gcc's runs out of fibres), Evert's own checks on
#   ucontext   the portable context switch, where release has the one in assembly
#   fuzz       the fuzz targets alone, by clang, with the sanitizers of asan
#   msan       memory sanitizer, by clang; for the long check
RELEASE  := --prefix=$(PREFIX) -Doptimization=2 -Ddebug=true
STRICT   := -Dtests=true -Dwerror=true
ASAN     := $(STRICT) -Doptimization=1 -Ddebug=true -Dchecks=on \
            -Db_sanitize=address,undefined -Dbench=false
TSAN     := $(STRICT) -Doptimization=1 -Ddebug=true -Dchecks=on \
            -Db_sanitize=thread -Db_lundef=false -Dbench=false
UCONTEXT := $(STRICT) -Doptimization=2 -Ddebug=true -Dswitch=ucontext -Dbench=false
COVERAGE := -Dtests=true -Doptimization=0 -Ddebug=true -Db_coverage=true -Dbench=false
FUZZ     := -Dwerror=true -Doptimization=1 -Ddebug=true -Db_sanitize=address,undefined \
            -Db_lundef=false -Dfuzz=enabled -Dtests=false -Dexamples=false -Dbench=false
MSAN     := $(STRICT) -Doptimization=1 -Ddebug=true -Dchecks=on \
            -Db_sanitize=memory -Db_lundef=false -Dexamples=false -Dbench=false
FOLDERS  := build/release build/asan build/tsan build/ucontext build/fuzz

# How long `make fuzz` gives each of its targets, and which these are.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= $(notdir $(wildcard fuzz/seeds/*))

# How often `make check-long` runs everything, to see whether a test sometimes fails; many at once,
# since it is on a machine that is loaded that such a one does.
REPEATS ?= 50

# $(call setup,folder,options): configures a folder once; Ninja sees to it from then on. Folders
# that need clang have it as the third word.
setup = @test -f $(1)/build.ninja || $(if $(3),CC=$(3)) $(MESON) setup $(1) $(2)

.PHONY: build demo check check-long check-release check-build coverage fuzz machines mutants \
        soak bench install clean format lint help
.DEFAULT_GOAL := build

build:
	@tools/bootstrap demo
	$(call setup,build/release,$(RELEASE))
	@$(NINJA) -C build/release

demo: build
	@$(PYTHON) tools/demo build/release

check: check-build
	@$(PYTHON) tests/tools/run.py $(FOLDERS)

check-long: check-build
	$(call setup,build/msan,$(MSAN),clang)
	@$(NINJA) -C build/msan
	@$(PYTHON) tests/tools/run.py --long $(FOLDERS) build/msan
	@$(PYTHON) tests/tools/run.py --repeat $(REPEATS) -j $$((5 * $$(nproc))) build/release
	@$(MAKE) --no-print-directory coverage mutants machines

# Whether the tests notice when the library is broken on purpose; in build/mutants.
mutants:
	@tools/bootstrap check
	@$(PYTHON) tests/tools/mutants.py

# Whether it works on other machines, which are emulated, and with another C library.
machines:
	@tools/bootstrap machines
	@$(PYTHON) tests/tools/machines.py build/machines

# `make build` sets the release folder up without what is strict; the stamp tells when it has it.
check-release:
	@tools/bootstrap check
	@test -f build/release/build.ninja || \
	    { $(MESON) setup build/release $(RELEASE) $(STRICT) && touch build/release/strict; }
	@test -f build/release/strict || \
	    { $(MESON) configure build/release $(STRICT) && touch build/release/strict; }
	@$(NINJA) -C build/release

check-build: check-release
	$(call setup,build/asan,$(ASAN))
	$(call setup,build/tsan,$(TSAN),clang)
	$(call setup,build/ucontext,$(UCONTEXT))
	$(call setup,build/fuzz,$(FUZZ),clang)
	@for folder in $(FOLDERS); do $(NINJA) -C $$folder || exit 1; done

# Which lines and branches the tests reach, with Evert's own checks off and on.
COVERED := build/coverage build/coverage-checks
coverage:
	@tools/bootstrap coverage
	$(call setup,build/coverage,$(COVERAGE) -Dchecks=off)
	$(call setup,build/coverage-checks,$(COVERAGE) -Dchecks=on)
	@for folder in $(COVERED); do \
	    $(NINJA) -C $$folder && find $$folder -name '*.gcda' -delete && \
	    $(PYTHON) tests/tools/run.py $$folder || exit 1; \
	done
	@$(PYTHON) tests/tools/coverage.py $(COVERED)

# Looks for inputs that break it, beginning where it ended the last time.
fuzz:
	@tools/bootstrap check
	$(call setup,build/fuzz,$(FUZZ),clang)
	@$(NINJA) -C build/fuzz
	@for target in $(FUZZ_TARGETS); do \
	    $(PYTHON) fuzz/run.py --seconds $(FUZZ_SECONDS) \
	        build/fuzz/fuzz/fuzz_$$target fuzz/seeds/$$target || exit 1; done

# Servers of each kind under clients of all kinds: SECONDS=600 for ten minutes, COUNT=1000 for
# fewer connections.
soak: check-release
	@EVERT_BUILD=build/release EVERT_SOURCE=. EVERT_LONG=1 SOAK_SECONDS=$(SECONDS) \
	    SOAK_COUNT=$(COUNT) $(PYTHON) tests/programs/soak.py

bench: build
	@tools/bootstrap bench peers
	@$(PYTHON) bench/peers/build.py build/release
	@status=0; $(PYTHON) bench/run.py build/release || status=$$?; \
	    $(PYTHON) bench/report.py build/bench docs && exit $$status

install: build
	@$(MESON) install -C build/release

clean:
	rm -rf build

C_FILES = $(shell find src include tests fuzz examples bench -name '*.[ch]')

format:
	@tools/bootstrap lint
	clang-format -i $(C_FILES)

lint: build
	@tools/bootstrap lint
	clang-format --dry-run -Werror $(C_FILES)
	@mkdir -p build/tidy
	sed 's/-mmemset-strategy=[^ ]*//' build/release/compile_commands.json \
	    >build/tidy/compile_commands.json # clang does not know it
	clang-tidy -p build/tidy --quiet --extra-arg=-Wno-unknown-warning-option \
	    $(shell find src examples -name '*.c' ! -name switch_ucontext.c)
	$(PYTHON) tools/analyze build/release
	codespell --skip fuzz/seeds src include tests fuzz examples bench tools *.md

help:
	@echo 'make            build the library and the examples in build/release'
	@echo 'make demo       show what Evert does'
	@echo 'make check      run the tests in each way of building'
	@echo 'make check-long the same, with the tests that take their time, and on other machines'
	@echo 'make coverage   say which lines and branches of the library the tests reach'
	@echo 'make fuzz       look for inputs that break it; FUZZ_SECONDS ($(FUZZ_SECONDS)) a target'
	@echo 'make mutants    break the library on purpose, and see whether the tests notice'
	@echo 'make machines   run the tests on other machines (emulated) and with another C library'
	@echo 'make soak       servers with 15,000 clients of every kind, for SECONDS (60)'
	@echo 'make bench      measure, and write docs/benchmarks.md'
	@echo 'make install    install under PREFIX ($(PREFIX)); DESTDIR is honoured'
	@echo 'make format     lay out the C files by .clang-format'
	@echo 'make lint       layout, clang-tidy, the analyzer of gcc, and spelling'
	@echo 'make clean      remove build/'
