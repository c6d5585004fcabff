# Two commands do all the set-up: `make demo` and `make test`. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install demo test chaos cluster lint bench run lock docs recording clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 12

install: $(VENV)/.installed ## Make .venv with everything that `orderkeep` needs

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' || \
		{ echo "Orderkeep needs Python 3.11 to 3.14; choose one with: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV) || \
		{ echo "Python's venv module is missing; on Debian: apt-get install python3-venv"; exit 1; }
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

demo: $(VENV)/.installed ## Run everything on real servers: make demo ARGS='--for 20s --json'
	@exec $(VENV)/bin/orderkeep demo $(ARGS)

run: $(VENV)/.installed ## Run ingest and the API with the settings of .env and the environment
	@exec $(VENV)/bin/orderkeep serve $(ARGS)

test: $(VENV)/.installed-dev ## Run the whole suite, or a part: make test ARGS='tests/unit -k order'
	@sh tests/install-browser
	$(VENV)/bin/python -m pytest $(ARGS)

chaos: $(VENV)/.installed-dev ## Break everything under load and prove that nothing is lost: make chaos ARGS='--sequences 100 --seed 7'
	@exec $(VENV)/bin/python -m tests.chaos $(ARGS)

cluster: $(VENV)/.installed-dev ## Restart a whole cluster part by part under load: make cluster ARGS='--seconds 300 --json'
	@exec $(VENV)/bin/python -m tests.cluster $(ARGS)

lint: $(VENV)/.installed-dev ## Check style, types and the direction of imports
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench: $(VENV)/.installed ## Measure the service beside its limits
	@exec $(VENV)/bin/orderkeep bench $(ARGS)

docs: $(VENV)/.installed ## Write .env.example and docs/settings.md from the settings' module
	cd docs && env -i PATH="$$PATH" ../$(VENV)/bin/orderkeep config --format env > ../.env.example
	cd docs && env -i PATH="$$PATH" ../$(VENV)/bin/orderkeep config --format markdown > settings.md

recording: $(VENV)/.installed-dev ## Record the page, and take its pictures: docs/walkthrough.gif, docs/page*.png
	@sh tests/install-browser
	$(VENV)/bin/python -m tests.e2e.recording docs

LOCK := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links --extra embedded --extra redis --group build pyproject.toml

lock: $(VENV)/.installed-dev ## Choose the newest versions of the dependencies and pin them by hash
	$(LOCK) --upgrade -o requirements.lock
	$(LOCK) --upgrade --group dev --constraint requirements.lock -o requirements-dev.lock

clean: ## Remove what was built, the demo's data included
	rm -rf $(VENV) .orderkeep .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
