# make demo   the whole pipeline, end to end, on this machine
# make ui     the same, and the Prefect UI stays up with both deployments served
# make replicas  the same with PostgreSQL, Redis, two servers and two workers for each pool
# make check  lint, types and every test that starts no program, in a minute and a half
# make test   everything tested; make test T=tests/core/git runs a part of it
# make test-engines, make test-versions  the builds on four Docker Engines; the tests on each Python and Prefect
# make audit  known vulnerabilities in what production installs
# make bench  what updates of the GitOps repository, whole deliveries and triggers cost, against a script and chartpress
# make load   updates and builds by the hundred, by one worker and by two; make load N="--nothing 20 --real 6 --builds 2"
# make lock, make docs, make screenshots   what is made from something else, made anew

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A virtual environment without compiled bytecode makes the Prefect server start three times slower.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo ui replicas check test test-engines test-versions audit lint parts test-parts bench load lock docs screenshots clean

demo: $(VENV)/.ready parts
	@$(BIN)/python -m tests.sandbox.demo

ui: $(VENV)/.ready parts
	@$(BIN)/python -m tests.sandbox.demo --stay

replicas: $(VENV)/.ready test-parts
	@$(BIN)/python -m tests.sandbox.replicas

check: $(VENV)/.ready lint
	QUICK=1 $(BIN)/pytest -q -n 4 --dist worksteal -m "not service"

test: $(VENV)/.ready test-parts $(if $(T),,lint)
	$(BIN)/pytest $(or $(T),-n 2 --dist loadgroup --no-loadscope-reorder tests/flows tests)

test-engines: $(VENV)/.ready
	@tests/sandbox/parts.sh engines
	@$(BIN)/python -m tests.sandbox.engines

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

parts:
	@tests/sandbox/parts.sh

test-parts:
	@tests/sandbox/parts.sh tests

$(VENV)/.ready: requirements-dev.lock pyproject.toml
	@tests/sandbox/parts.sh python
	@echo 'Making $(VENV) from requirements-dev.lock, about a minute'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -qq --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# They have an environment of their own: their dependencies must not decide ours. The versions are those that were
# tried; raise them when `make lock audit` works with newer ones.
$(VENV)/tools/.ready: Makefile
	@tests/sandbox/parts.sh python
	@$(PYTHON) -m venv $(VENV)/tools
	@$(VENV)/tools/bin/pip install -qq --disable-pip-version-check uv==0.13.9 pip-audit==2.10.1
	@touch $@

# requirements-dev.lock is for this folder; requirements.lock for production, with the same versions and without the
# developers' tools. No registry's address goes into them: they install from whichever one a machine is set up for.
COMPILE = $(VENV)/tools/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --quiet --custom-compile-command "make lock"
lock: $(VENV)/tools/.ready
	$(COMPILE) --all-extras --group dev --upgrade -o requirements-dev.lock
	$(COMPILE) --all-extras --group install --constraints requirements-dev.lock --upgrade -o requirements.lock

audit: $(VENV)/tools/.ready
	@$(VENV)/tools/bin/python .ci/audit $(VENV)/tools/bin/pip-audit

test-versions: $(VENV)/.ready $(VENV)/tools/.ready test-parts
	@$(BIN)/python -m tests.versions $(VENV)/tools/bin/uv $(V)

bench: $(VENV)/.ready $(VENV)/bench/.ready parts
	$(BIN)/python -m tests.bench.gitops
	$(BIN)/python -m tests.bench.builds
	$(BIN)/python -m tests.bench.events

load: $(VENV)/.ready test-parts
	@$(BIN)/python -m tests.bench.load $(N)

# What we are measured against has a virtual environment of its own: it is no part of the lock file. Its version is the
# one docs/performance.md measures; change both together.
$(VENV)/bench/.ready: $(VENV)/.ready
	@$(PYTHON) -m venv $(VENV)/bench
	@$(VENV)/bench/bin/pip install -qq --disable-pip-version-check chartpress==2.4.0
	@touch $@

docs: $(VENV)/.ready
	$(BIN)/python docs/generate.py

screenshots: $(VENV)/.ready test-parts
	$(BIN)/pytest -q -m browser tests/flows/test_operator.py tests/flows/test_board.py --pictures docs/images

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
