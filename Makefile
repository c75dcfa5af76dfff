# Everything below needs python3 (3.11 to 3.13) with pip and venv, and make. No root, no server.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -q
UV_COMPILE := env -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS $(BIN)/uv pip compile -q \
	--no-config --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow test-gpu test-net test-guest check proto docs bench bench-dataplane bench-drain bench-elastic bench-faults bench-loadtest bench-overload bench-peers bench-renewals soak lock clean

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null \
		|| sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1: \2/p' Makefile

.venv/locked: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		"EAIS needs Python 3.11 or newer; name one: make install PYTHON=python3.11")'
	@echo "making .venv from requirements.lock"
	@rm -rf .venv
	@$(PYTHON) -m venv .venv
	@$(PIP) install --require-hashes -r requirements.lock
	@touch $@

.venv/installed: .venv/locked pyproject.toml
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

install: .venv/installed ## make .venv from the lock, with EAIS in it

demo: install ## attach an embedded pool, run real models remotely, check every answer
	@$(BIN)/eais demo $(ARGS)

test: install ## the tests, about twenty minutes on two cores
	$(BIN)/python -m pytest -m "not slow and not gpu and not net" $(ARGS)

test-slow: install ## the tests that take long or need the package index
	$(BIN)/python -m pytest -m slow $(ARGS)

test-gpu: install ## conformance, shares, parity and residue on an NVIDIA GPU; skipped without one
	$(BIN)/python -m pytest -m gpu tests/gpu $(ARGS)

test-net: install ## vNICs by the kernel, between namespaces, as root; skipped with the reason elsewhere
	$(BIN)/python -m pytest -m "net and not slow" tests/net $(ARGS)

test-guest: install ## a front-end at the lowest and the newest of its ranges; `test-slow` has them
	$(BIN)/python -m pytest -m guest tests/meta/test_guest.py $(ARGS)

check: install ## format, lint, types, import floors, generated code and docs, wheel
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python tools/gen_proto.py --check
	$(BIN)/python tools/gen_docs.py --check
	$(BIN)/python tools/check_wheel.py

proto: install ## make eais/rpc/v1 from proto/
	$(BIN)/python tools/gen_proto.py

docs: install ## make the parts of docs/ that are the code's own words
	$(BIN)/python tools/gen_docs.py

bench: install ## the benchmarks, one JSON object on one line each
	@for file in benchmarks/*.py; do echo "== $$file" && $(BIN)/python $$file --json $(ARGS) || exit 1; done
	@echo "== benchmarks/faults, short" && $(BIN)/python -m benchmarks.faults --json --seconds 15

bench-elastic: install ## triple, halve and stop the load of an instance whose ratio is auto
	@$(BIN)/python -m benchmarks.elastic --json $(ARGS)

bench-faults: install ## kill and freeze a pool's processes under load for three minutes
	@$(BIN)/python -m benchmarks.faults --json $(ARGS)

bench-loadtest: install ## whether a load test's percentiles are right, and how much load a core makes
	@$(BIN)/python -m benchmarks.loadtest --json $(ARGS)

bench-overload: install ## offer one worker ten times the load that it can carry
	@$(BIN)/python -m benchmarks.overload --json $(ARGS)

bench-peers: install ## ours beside Triton, KServe and mosec, where PEERS_DIR holds them
	@$(BIN)/python -m benchmarks.peers --json $(ARGS)

bench-renewals: install ## renew all certificates of a pool every 5 s under load for ten minutes
	@$(BIN)/python -m benchmarks.renewals --json $(ARGS)

bench-drain: install ## move an instance between two hosts, back and forth, under load
	@$(BIN)/python -m benchmarks.drain --json $(ARGS)

bench-dataplane: install ## what a call costs beyond its model's run, beside the floors
	@$(BIN)/python -m benchmarks.dataplane --json $(ARGS)

soak: install ## ten million calls, then an hour of everything (ARGS="--minutes 10"): nothing may grow
	@$(BIN)/python -m benchmarks.soak.flood --json
	@$(BIN)/python -m benchmarks.soak --json $(ARGS)

lock: ## resolve both locks anew, for every platform and Python that is supported
	@test -x $(BIN)/uv || $(MAKE) install
	$(UV_COMPILE) pyproject.toml --extra dev -o requirements.lock
	$(UV_COMPILE) --group proto -o requirements-proto.lock

clean: ## take away what the other targets made
	rm -rf .venv .venv-proto dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find eais client server pool tests tools benchmarks -name __pycache__ -prune -exec rm -rf {} +
