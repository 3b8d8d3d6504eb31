# Everything a fresh clone needs: `make demo` and `make test`. Only a Python must be there already: 3.11, or with
# `make test PYTHON=python3.12` another one of PYTHONS, which has an environment of its own.
PYTHON ?= python3.11
PYTHONS := 3.11 3.12 3.13
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
VENV := .venv$(if $(filter-out 3.11,$(VERSION)),-$(VERSION))
PY := $(VENV)/bin/python
LOCK := requirements-$(VERSION).lock
STAMP := $(VENV)/.installed
export BIN = $(CURDIR)/$(VENV)/bin
export LOCK
# Every command and child process imports thousands of modules, and compiling them takes longer than all else they do.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: dist notebooks setup demo test lint types test-unit test-integration test-slow coverage test-wheel test-flink-beam test-flink-large test-audit test-kill test-flink test-faults fuzz \
	flink-up flink-down flink-lock test-generate test-buckets test-pages test-dataflow bench bench-memory bench-train bench-quality bench-tables bench-peers bench-generate \
	bench-seeds bench-scale lock docs pictures clean

setup: $(STAMP)

$(STAMP): $(wildcard requirements-*.lock) pyproject.toml setup.py $(wildcard model/sampling/kernel/*.[ch])
	@test -f $(LOCK) || { echo "Linesmith needs Python 3.11, 3.12 or 3.13; set PYTHON=/path/to/python3.11"; exit 2; }
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock
	$(VENV)/bin/uv pip install --quiet --python $(PY) --require-hashes -r $(LOCK)
	$(VENV)/bin/uv pip install --quiet --python $(PY) --no-deps --no-build-isolation -e .
	touch $@

demo: ## The whole job on bundled real data; install, training and the rest are timed apart.
	@start=$$(date +%s); $(MAKE) --no-print-directory setup && \
	echo "install: $$(( $$(date +%s) - start )) s" && \
	$(VENV)/bin/linesmith demo --output demo-out --overwrite

test: lint types test-unit test-integration ## What CI runs first.

lint: setup ## Style, format, and which room may import which.
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports --no-cache

types: setup
	$(VENV)/bin/mypy

# Trained fixtures are made once per file, so a file stays on one worker.
PYTEST := $(VENV)/bin/pytest -n 2 --dist loadfile --durations=25

test-unit: setup ## What loads neither TensorFlow nor Beam.
	$(PYTEST) -m "not integration and not slow" tests

test-integration: setup ## Beam pipelines, trainings, child processes; then the examples in docstrings, in one process.
	$(PYTEST) -m "integration and not slow" tests
	$(VENV)/bin/pytest -n 0 --doctest-modules linesmith

test-slow: setup ## The tests that take more than ten seconds each.
	$(PYTEST) -m slow tests

coverage: setup ## Branch coverage of the whole suite; the figure stands in CONTRIBUTING.md.
	$(VENV)/bin/coverage erase
	$(VENV)/bin/pytest -n 2 --dist loadfile --cov --cov-report= tests
	$(VENV)/bin/pytest -n 0 --doctest-modules --cov --cov-append --cov-report=term linesmith | tail -n 30

test-wheel: setup ## The wheel in clean environments outside the checkout: generate, and every stage beside hostile files.
	bash tests/integration/wheel.sh

notebooks: setup ## Execute the notebooks of examples/ in clean kernels, and save what they print; some minutes.
	$(PY) -m tools.notebooks

dist: setup ## The wheel and the source distribution in dist/, the same bytes for the same commit.
	$(PY) -m tools.dist dist

test-audit: setup ## The privacy audit on 20 seeds of the right trainer and on planted bugs; about five minutes.
	$(PY) -m tests.integration.audit_table

fuzz: setup ## Every reader of what others give, FUZZ_SECONDS (600) of damaged inputs each; cases that fail are kept.
	$(PY) -m tests.fuzz

test-kill: setup ## Ten kill -9 of a plain and of a private training; about ten minutes.
	$(PY) tests/integration/kill_and_resume.py

flink-up: setup ## A Flink cluster on this machine: one JobManager, two TaskManagers, Beam's job server. Needs Java and Maven.
	$(PY) -m tools.flink.cluster up

flink-down: ## Stop it, in part started or not.
	@test ! -x $(PY) || $(PY) -m tools.flink.cluster down

flink-lock: setup ## Download the jars of tools/flink/job-server.pom.xml afresh and pin their digests.
	$(PY) -m tools.flink.cluster pin

test-flink: setup ## Every stage on a real Flink cluster, a TaskManager killed on the way; about three minutes.
	$(PY) -m tests.integration.flink_workflow

test-flink-beam: setup ## Foreign pipelines with linesmith.beam on the cluster: a batch, and a stream of ten minutes with a killed TaskManager.
	$(PY) -m tests.integration.flink_beam

test-flink-large: setup ## The same with 27,000 lines.
	$(PY) -m tests.integration.flink_workflow --lines 27000 --records 60000

test-faults: setup ## TaskManagers, drivers and the cluster killed, a disk filled: the table of docs/reliability.md.
	$(PY) -m tests.integration.flink_faults

test-generate: setup ## The same bytes for other workers, blocks, threads and after a kill -9; about five minutes.
	$(PY) -m tests.integration.same_bytes

STORES := tests/integration/servers/.bin/versitygw tests/integration/servers/.bin/fake-gcs-server

tests/integration/servers/.bin/versitygw: tests/integration/servers/s3/go.mod tests/integration/servers/s3/go.sum
	@command -v go >/dev/null || { echo "the stores are built with Go 1.26 or newer"; exit 2; }
	cd tests/integration/servers/s3 && go build -o ../.bin/versitygw github.com/versity/versitygw/cmd/versitygw

tests/integration/servers/.bin/fake-gcs-server: tests/integration/servers/gcs/go.mod tests/integration/servers/gcs/go.sum
	@command -v go >/dev/null || { echo "the stores are built with Go 1.26 or newer"; exit 2; }
	cd tests/integration/servers/gcs && go build -o ../.bin/fake-gcs-server github.com/fsouza/fake-gcs-server

test-buckets: setup $(STORES) ## The whole workflow in a bucket of a real S3 server and of one of Google's API; about four minutes.
	$(PY) -m tests.integration.servers.workflow s3 gcs

test-pages: setup $(STORES) ## The pages' commands for clusters and buckets, on a Flink cluster and on servers of this machine.
	$(PY) -m tests.integration.page_blocks

test-dataflow: setup ## The sdist that Dataflow's workers would install, in a clean environment, runs a worker's DoFns.
	bash tests/integration/dataflow_worker.sh

bench: setup ## How fast Linesmith is on this machine, as a table and a plot; a quarter of an hour.
	$(PY) -m benchmarks.overview

bench-memory: setup ## Anonymous memory of training from 10^5 to 10^7 records; about ten minutes.
	$(PY) benchmarks/memory.py

bench-train: setup ## Training beside stock Keras, the published peers and the machine's matmul rate; up to 40 minutes.
	$(PY) -m benchmarks.train

bench-quality: setup ## A report each for a model without privacy, with epsilon 8 and with epsilon 2; about 20 minutes.
	$(PY) -m benchmarks.quality models

bench-tables: setup ## Quality of our records on five public tables, 330 s of work each; about an hour.
	$(PY) -m benchmarks.quality_tables

bench-peers: setup ## Ours and six published tools on five public tables, judged by two yardsticks; about six hours.
	$(PY) -m benchmarks.quality_peers

bench-generate: setup ## Generation beside the naive loop, the peers and the matmul rate; up to 40 minutes.
	$(PY) -m benchmarks.generate

bench-scale: setup ## Time and memory from 10^4 to 10^7 lines, on this machine's runners and on Flink; up to 40 minutes.
	$(PY) -m benchmarks.scale

bench-seeds: setup ## A hundred thousand and a million start strings: time, memory, pairing; about ten minutes.
	$(PY) -m benchmarks.seeds

# Not with --quiet: that would hide the warnings from --strict, too.
docs: .venv-docs/.installed ## The documentation site in site/; every link and anchor must resolve. Open site/index.html.
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict

.venv-docs/.installed: requirements-docs.lock
	test -x .venv-docs/bin/python || $(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-docs.lock
	touch $@

pictures: setup ## The pictures in docs/images again: a demo of some minutes, its report in Chromium, a map.
	$(PY) -m tools.docs.pictures

lock: setup ## Resolve again for each Python; UPGRADE=--upgrade moves everything to the newest that resolves. Hashes, no addresses.
	for version in $(PYTHONS); do \
	  $(VENV)/bin/uv pip compile $(UPGRADE) --python-version $$version --no-header --no-annotate --generate-hashes --quiet \
	    --extra all --extra dev --constraint constraints.txt pyproject.toml -o requirements-$$version.lock || exit 1; \
	done
	$(VENV)/bin/uv pip compile $(UPGRADE) --python-version 3.11 --universal --no-header --no-annotate --generate-hashes --quiet \
	  --group docs -o requirements-docs.lock
	echo "uv==$$($(VENV)/bin/uv --version | cut -d' ' -f2)" | $(VENV)/bin/uv pip compile --python-version 3.11 --no-header \
	  --no-annotate --generate-hashes --quiet - -o requirements-bootstrap.lock

clean:
	rm -rf $(VENV) $(PYTHONS:%=.venv-%) .venv-docs build dist site *.egg-info demo-out
