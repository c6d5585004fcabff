# Two commands do all the set-up: `make demo` and `make test`. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install demo test chaos cluster lint security bench run build docker-build up down status logs \
	deploy-check lock docs site package-check recording clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 15

install: $(VENV)/.installed ## Make .venv with everything that `orderkeep` needs

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' || \
		{ echo "Orderkeep needs Python 3.11 to 3.14; choose one with: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV) || \
		{ echo "Python's venv module is missing; on Debian: apt-get install python3-venv"; exit 1; }
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-site: requirements-site.lock $(VENV)/.installed
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-site.lock
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

demo: $(VENV)/.installed ## Run everything on real servers: make demo ARGS='--for 20s --json'
	@exec $(VENV)/bin/orderkeep demo $(ARGS)

run: $(VENV)/.installed ## Run ingest and the API with the settings of .env and the environment
	@exec $(VENV)/bin/orderkeep serve $(ARGS)

test: $(VENV)/.installed-dev ## Run the whole suite, or a part: make test ARGS='tests/unit -k order'
	@sh tests/install-tools
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

$(VENV)-security/.installed: requirements-security.lock
	test -x $(VENV)-security/bin/pip || $(PYTHON) -m venv $(VENV)-security
	$(VENV)-security/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-security.lock
	@touch $@

security: $(VENV)-security/.installed ## Look for known holes in the code and in what it needs; write build/orderkeep.cdx.json
	@$(VENV)-security/bin/python .ci/security $(ARGS)

bench: $(VENV)/.installed ## Measure the service beside its limits
	@exec $(VENV)/bin/orderkeep bench $(ARGS)

build: $(VENV)/.installed ## Build the wheel: dist/orderkeep-*.whl
	$(VENV)/bin/pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist/*.whl

docker-build: ## Build the container image orderkeep:local
	@$(NEEDS_DOCKER)
	docker build --tag orderkeep:local .

up: ## Start everything in containers: make up ARGS='--profile monitoring --profile redis'
	@$(NEEDS_COMPOSE)
	docker compose $(ARGS) up --detach --build

down: ## Stop the containers; their data stays, unless ARGS=--volumes
	@$(NEEDS_COMPOSE)
	docker compose --profile '*' down $(ARGS)

status: ## Show the containers and their health
	@$(NEEDS_COMPOSE)
	docker compose --profile '*' ps --all $(ARGS)

logs: ## Follow the containers' logs: make logs ARGS='ingest api'
	@$(NEEDS_COMPOSE)
	docker compose --profile '*' logs --follow --tail 100 $(ARGS)

deploy-check: ## Check Dockerfile, compose.yaml, the chart and the units with their own tools
	@sh deploy/check

docs: $(VENV)/.installed ## Write .env.example and docs/settings.md from the settings' module
	cd docs && env -i PATH="$$PATH" ../$(VENV)/bin/orderkeep config --format env > ../.env.example
	cd docs && env -i PATH="$$PATH" ../$(VENV)/bin/orderkeep config --format markdown > settings.md

site: $(VENV)/.installed-site ## Make the documents into a site, build/site, and check every link in them
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

package-check: $(VENV)/.installed ## Build wheel and sdist into dist, install the wheel elsewhere, and run its demo: ARGS=--broker=kafka
	@exec $(VENV)/bin/python -m tests.package_check $(ARGS)

recording: $(VENV)/.installed-dev ## Record the page, and take its pictures: docs/walkthrough.gif, docs/page*.png
	@sh tests/install-tools
	$(VENV)/bin/python -m tests.e2e.recording docs

NEEDS_DOCKER = command -v docker > /dev/null || \
	{ echo "make $@ needs Docker: https://docs.docker.com/engine/install/ (make demo needs none)"; exit 1; }
NEEDS_COMPOSE = docker compose version > /dev/null 2>&1 || \
	{ echo "make $@ needs Docker with its compose plugin: https://docs.docker.com/engine/install/ (make demo needs none)"; exit 1; }

PIN := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links
LOCK := $(PIN) --all-extras --group build pyproject.toml
LOCK_IMAGE := $(PIN) --extra kafka --extra nats --extra redis --extra otel --group build pyproject.toml
LOCK_SITE := $(PIN) --group site

lock: $(VENV)/.installed-dev ## Choose the newest versions of the dependencies and pin them by hash
	$(LOCK) --upgrade -o requirements.lock
	$(LOCK) --upgrade --group dev --constraint requirements.lock -o requirements-dev.lock
	$(LOCK_IMAGE) --upgrade --constraint requirements.lock -o requirements-image.lock
	$(LOCK_SITE) --upgrade --constraint requirements-dev.lock -o requirements-site.lock
	$(PIN) --group security --upgrade -o requirements-security.lock

clean: ## Remove what was built, the demo's data included
	rm -rf $(VENV) $(VENV)-* .orderkeep build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache
