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

.PHONY: dist setup demo test lint types test-unit test-integration test-slow coverage test-wheel test-flink-large test-audit test-kill test-flink test-faults fuzz \
	flink-up flink-down flink-lock test-generate test-buckets test-dataflow bench-memory bench-train bench-quality bench-tables bench-generate \
	bench-seeds bench-scale lock clean

setup: $(STAMP)

$(STAMP): $(wildcard requirements-*.lock) pyproject.toml
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

.PHONY: dist setup demo test lint types test-unit test-integration test-slow coverage test-wheel test-flink-large test-audit test-kill test-flink test-faults fuzz \
	flink-up flink-down flink-lock test-generate test-buckets test-dataflow bench-memory bench-train bench-quality bench-tables bench-generate \
	  --no-annotate --generate-hashes --quiet - -o requirements-bootstrap.lock

clean:
	rm -rf $(VENV) $(PYTHONS:%=.venv-%) build dist *.egg-info demo-out
