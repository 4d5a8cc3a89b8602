# Every target sets up .venv by itself, from the lock.
PYTHON ?= python3
SERVE ?= 1
BIN := .venv/bin
unexport PYTHONDONTWRITEBYTECODE  # the tests start many processes, and each would compile this project again
WORKERS = $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))  # one more than processors: many tests wait
# The tests' files lie in memory where 4 GB are free for them: on a disk, each event of their many databases waits for it.
MEMORY = $(shell df -Pk /dev/shm 2>/dev/null | awk '$$6 == "/dev/shm" && $$4 > 4000000' | grep -q . && ! grep -q ' /dev/shm .*noexec' /proc/mounts && echo TMPDIR=/dev/shm)
CLEAN := -o tmp_path_retention_policy=failed -o tmp_path_retention_count=1

.PHONY: demo dev test test-fast test-cluster lint bench docs readers storm setup browser lock test-engines

demo: setup          ## ten days of synthetic data, the health table, then the UI on http://localhost:3000
	$(BIN)/data-assets demo $(if $(filter 0,$(SERVE)),--no-serve)

dev: setup           ## the UI and the daemon, on the same history
	DAGSTER_HOME=$(CURDIR) PYTHONWARNINGS='ignore:Function' $(BIN)/dagster dev

test: setup browser  ## the whole suite
	$(MEMORY) $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(CLEAN)

FAST := quality files ingest lake vendors/ib vendors/theta
test-fast: setup     ## unit and property tests, for the inner loop
	$(MEMORY) $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal $(CLEAN) -m "not slow" $(addprefix data_assets_tests/,$(FAST))

APT := DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300
CLUSTER := postgresql redis-server tini iproute2 procps ceph-mon ceph-osd radosgw
STORE := storage unfinished patient_store previous_revision
test-cluster: setup  ## real PostgreSQL, redis, Celery, Ceph and hosts in networks of their own, which the tests start themselves
	@(ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && for each in redis-server tini ip pgrep ceph-mon ceph-osd radosgw; do command -v $$each >/dev/null || exit 1; done) \
		|| ($(APT) update -qq && $(APT) install -y -qq --no-install-recommends $(CLUSTER)) \
		|| { echo 'make test-cluster was not run: it needs $(CLUSTER), which apt-get could not install'; exit 1; }
	TEST_CLUSTER=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(CLEAN) -rs data_assets_tests/cluster $(STORE:%=data_assets_tests/lake/test_%.py)

lint: setup
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/dg check defs && $(BIN)/dg check toml

bench: setup         ## every claim, measured beside what a user would pick instead
	$(BIN)/python -m benchmarks

docs: .venv-docs/installed  ## the docs site, in site/
	.venv-docs/bin/mkdocs build --quiet --strict

.venv-docs/installed: docs/requirements.lock
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { apt-get update -qq && apt-get install -y -qq python3-venv; }
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r docs/requirements.lock
	@touch $@

storm: setup         ## a hundred signals at drawn instants over every dataset, and what they leave
	$(BIN)/python -m data_assets_tests.storm 100

readers: setup       ## real engines of an older day read every dataset; needs Python 3.11 or 3.12
	@command -v java >/dev/null || { apt-get update -qq && apt-get install -y -qq openjdk-17-jre-headless; }
	$(BIN)/python -m readers

test-engines: setup  ## backtest engines and readers load what was exported, each in an environment of its own
	@command -v java >/dev/null || { apt-get update -qq && apt-get install -y -qq openjdk-17-jre-headless; }
	$(BIN)/python -m engines

setup: .venv/installed

.venv/installed: requirements.lock pyproject.toml hatch_build.py $(shell find data_assets -name '*.c')
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { echo 'data_assets needs Python 3.11, 3.12 or 3.13: make PYTHON=python3.12 ...'; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { apt-get update -qq && apt-get install -y -qq python3-venv; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

browser:             ## the tests drive a real Chromium
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { apt-get update -qq && apt-get install -y -qq chromium; }

lock:                ## after a change of dependencies; needs uv
	uv pip compile pyproject.toml --extra sandbox --extra postgres --extra celery --extra k8s --extra iceberg --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet --upgrade --output-file requirements.lock
	uv pip compile docs/requirements.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet --upgrade --output-file docs/requirements.lock
