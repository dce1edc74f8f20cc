# `make demo` and `make test` need nothing but Linux, Python 3.11 and a package registry.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SERVICES := common lexical vector memory orchestrator standalone
EDITABLE := $(foreach service,$(SERVICES),-e services/$(service))
BENCHMARKS := policy_alone cold_start judged agreement repeated replayed position_bias off_policy
IMAGES := lexical vector memory orchestrator standalone
SOURCES := services tests tools benchmarks docs

.PHONY: help demo test check api format lock clean bench-quality bench-speed

help: ## Show what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/.run: requirements.lock $(foreach service,$(SERVICES),services/$(service)/pyproject.toml)
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(EDITABLE)
	touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements-dev.lock
	touch $@

demo: $(VENV)/.run ## Set up, start everything, index 17,472 films, let simulated users teach it (DEMO_EXIT=1: end then)
	$(BIN)/honeyguide demo $(if $(DEMO_EXIT),--exit)

test: $(VENV)/.dev ## Run all tests, against real services
	$(BIN)/pytest

check: $(VENV)/.dev ## Lint, types, import contracts, protos, generated code, deployment manifests
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy services/common/src services/lexical/src services/vector/src services/memory/src \
	  services/orchestrator/src services/standalone/src tools benchmarks
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf breaking --against protos/baseline.binpb
	$(BIN)/python tools/generate_api.py --check
	$(BIN)/python tools/check_deploy.py

$(VENV)/.bench: $(VENV)/.dev benchmarks/requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r benchmarks/requirements.lock
	touch $@

bench-quality: $(VENV)/.bench ## Measure what learning is worth, hours (HONEYGUIDE_COLLECTIONS: a folder; QUICK=1: minutes)
	$(BIN)/python -m benchmarks.quality.quality
	test -n "$(QUICK)" || for part in $(BENCHMARKS); do $(BIN)/python -m benchmarks.quality.$$part || exit 1; done

bench-speed: $(VENV)/.bench ## Measure what it costs, beside the bare engines and peers (parts: PARTS="steps search"; QUICK=1: minutes)
	$(BIN)/python -m benchmarks.speed.speed $(PARTS)

api: $(VENV)/.dev ## Generate honeyguide.api from protos/
	$(BIN)/python tools/generate_api.py

format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
  --no-annotate $(foreach name,honeyguide $(foreach service,$(SERVICES),honeyguide-$(service)),--no-emit-package $(name))

LOCK_IMAGE := $(LOCK) --constraint requirements.lock

lock: ## Renew the lock files (needs uv)
	$(LOCK) requirements.in -o requirements.lock
	$(LOCK) --group dev requirements.in -o requirements-dev.lock
	$(LOCK) --constraint requirements-dev.lock benchmarks/requirements.in -o benchmarks/requirements.lock
	echo hatchling | $(LOCK_IMAGE) - -o deploy/requirements/build.lock
	for image in $(filter-out standalone,$(IMAGES)); do \
	  printf '%s\n' './services/common[telemetry]' ./services/$$image | \
	  $(LOCK_IMAGE) - -o deploy/requirements/$$image.lock || exit 1; done
	grep ./services requirements.in | $(LOCK_IMAGE) - -o deploy/requirements/standalone.lock

clean: ## Remove everything that was made
	rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
