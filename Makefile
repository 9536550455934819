# Everything a newcomer needs: `make dev` runs it, `make test` tests it. Both set up what they need first.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: dev test slow check bench chaos cluster fuzz wheel clean

dev: .venv/ready  ## start the service with the support team, some conversations and one waiting approval
	$(BIN)/gatewright dev

test: .venv/ready  ## run the tests
	$(BIN)/pytest -n 3 --dist worksteal  # they wait more than they compute

slow: .venv/ready  ## run the long tier: many kills, whole data sets
	$(BIN)/pytest -m slow

check: .venv/ready  ## lint, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: .venv/ready  ## measure against the references, in turns, and hold AgentDojo
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.agentdojo

CHAOS ?= --threads 200 --seconds 90

chaos: .venv/ready  ## kill, stop and cut off a whole installation while it works; long: CHAOS="--threads 2000 --seconds 900"
	$(BIN)/python -m benchmarks.chaos $(CHAOS)

FUZZ_SECONDS ?= 1200

fuzz: .venv/ready  ## fuzz the loader of rules, their evaluation and the masking, FUZZ_SECONDS each
	$(BIN)/uv pip install --quiet --python $(BIN)/python atheris
	for target in load judge mask; do \
		mkdir -p build/fuzz/$$target && nice $(BIN)/python tests/fuzz/rules.py $$target build/fuzz/$$target \
			tests/fuzz/seeds/$$target -max_total_time=$(FUZZ_SECONDS) -timeout=20 -artifact_prefix=build/fuzz/ || exit 1; \
	done

cluster: .venv/ready  ## start PostgreSQL and Kafka on this machine and say where they are; Ctrl-C stops them
	$(BIN)/python -m deploy.cluster

wheel: .venv/ready  ## build the wheel and try it in an environment of its own
	rm -rf dist build/wheel
	$(BIN)/uv build --quiet --wheel
	$(BIN)/uv venv --quiet --clear build/wheel
	$(BIN)/uv pip install --quiet --python build/wheel dist/*.whl
	cd build && wheel/bin/gatewright --help > /dev/null && GATEWRIGHT_SERVER__PORT=0 wheel/bin/gatewright doctor
	! build/wheel/bin/python -c "import torch" 2> /dev/null
	! build/wheel/bin/python -c "import shap" 2> /dev/null
	! build/wheel/bin/python -c "import ray" 2> /dev/null

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group dev --editable .
	touch $@

clean:
	rm -rf .venv dist build
