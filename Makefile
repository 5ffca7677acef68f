# One command per chore; CI and the Dockerfile use the same words.
PYTHON ?= python3
VENV ?= .venv
EXTRAS ?= serve,export,loadtests,dev
BIN := $(VENV)/bin

.PHONY: help setup system demo serve check test verdicts networks graphs bench bench-serving bench-export bench-loadtests bench-explanations digits digits-resnet tabular sequence diabetes tumour two-digits digit-map digit-boxes digit-search minilm proto lock clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 15

setup: $(VENV)/.ready-$(EXTRAS) ## create the virtual environment with pinned packages

$(VENV)/.ready-$(EXTRAS): pyproject.toml constraints.txt
	@echo "creating $(VENV) with pinned packages: this takes about 4 minutes the first time"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@

system: ## install missing Debian packages that tests and benchmarks need (as root)
	@missing=; \
	command -v chromium > /dev/null || missing="$$missing chromium"; \
	command -v initdb > /dev/null || ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1 || missing="$$missing postgresql"; \
	command -v wrk > /dev/null || missing="$$missing wrk"; \
	test -z "$$missing" || (apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing)

demo: setup ## train, export, serve, compare, and move traffic by evidence: some minutes
	@$(BIN)/counterweight demo

serve: setup ## serve models/ until Ctrl-C
	@$(BIN)/counterweight serve models

check: setup ## run ruff, mypy --strict and hadolint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile

# Write bytecode, so that the thousand processes of the tests do not each compile it.
test: export PYTHONDONTWRITEBYTECODE =
test: setup ## run the whole suite, several files at a time, fast tests first
	@# Three at a time on two cores where tests wait for half of their time.
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile tests/house tests/serve tests/deployments tests/loadtests
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile tests/export
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile tests/e2e

verdicts: setup ## simulate rollouts and compare the verdicts with their targets: about 3 minutes
	$(BIN)/python -m tests.serve.rollout.table --fast

networks: setup ## run random networks through every step that changes a network: an hour
	$(BIN)/python -m tests.export.property.bench networks --count 5000

graphs: setup ## run random graphs through every step that changes a graph: an hour
	$(BIN)/python -m tests.export.property.bench graphs --count 5000

digits: setup ## train the digits model and export its variants to models/; also tabular, sequence, digits-resnet, diabetes, tumour, two-digits, digit-map, digit-boxes, digit-search
	$(BIN)/python -m export.recipes.digits
	$(BIN)/counterweight export export/recipes/digits.yaml

digits-resnet tabular sequence diabetes tumour two-digits digit-map digit-boxes digit-search: setup
	$(BIN)/python -m export.recipes.$(subst -,_,$@)
	$(BIN)/counterweight export export/recipes/$(subst -,_,$@).yaml

minilm: build/minilm ## export all-MiniLM-L6-v2, from the installed package or from the folder FROM
	$(BIN)/counterweight export export/recipes/minilm.yaml

build/minilm: setup
	$(BIN)/python -m export.recipes.minilm $(if $(FROM),--from $(FROM))

models/minilm/fp32: build/minilm
	$(BIN)/counterweight export export/recipes/minilm.yaml --only fp32

bench: bench-serving bench-export bench-loadtests bench-explanations ## run all benchmarks

bench-serving: digits models/minilm/fp32 ## compare the endpoint with FastAPI, MLServer, LitServe, BentoML and Ray Serve; needs wrk
	$(BIN)/python -m loadtests.peers.bench models --json build/bench-serving.json --picture build/bench-serving.svg

bench-export: minilm digits-resnet ## compare compression with Olive, NNCF and onnxruntime, in one run
	$(BIN)/python -m export.bench models --json build/bench-export.json

bench-loadtests: minilm digits-resnet ## measure capacity and latency of every variant of digits-resnet and MiniLM
	$(BIN)/python -m loadtests.bench models

bench-explanations: setup ## reject candidates that lean on a planted shortcut, and repeat published figures
	$(BIN)/python -m export.bench.explanation_bench --json build/bench-explanations.json

proto: setup ## generate serve/oip/inference_pb2.py from its .proto
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. serve/oip/inference.proto

lock: setup ## write the installed versions to constraints.txt
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt

clean: ## remove build results
	rm -rf build models .mypy_cache .pytest_cache .ruff_cache .hypothesis
