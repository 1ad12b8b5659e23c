# make demo: see it work. make test: every check. Both set up what they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT := out
KWS := samples/keyword_spotter
LITERT_TORCH := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/edgehybrid/venv-litert-torch

.DEFAULT_GOAL := help
.PHONY: help demo test test-arm test-arm-few test-litert-torch bench-arm format lint types layers unit schemas bench clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 19

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[export,report]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[export-tflite,openvino,report,dev]'
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo ## Export the sample, then run it on a draining, heating device; leaves $(OUT)/demo.png
	@mkdir -p $(OUT)
	$(BIN)/edgehybrid export $(KWS)/model.onnx -o $(OUT)/kws.bundle --overwrite --effort quick \
	    --data $(KWS)/calibration.npz --eval-data $(KWS)/evaluation.npz
	$(BIN)/edgehybrid run $(OUT)/kws.bundle --data $(KWS)/test.npz \
	    --recording $(KWS)/pi4-ups.recording.jsonl --plot $(OUT)/demo.png

test: format lint types layers unit ## Every check: format, lint, types, layers, tests

format: $(VENV)/.dev
	$(BIN)/ruff format --check .

lint: $(VENV)/.dev
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/mypy

layers: $(VENV)/.dev
	$(BIN)/lint-imports

unit: $(VENV)/.dev
	$(BIN)/python -m pytest

schemas: $(VENV)/.dev ## Renew the JSON Schemas in docs/reference from the types
	$(BIN)/python -m edgehybrid.cli.documents

bench: $(VENV)/.dev ## Measure the figures in benchmarks/README.md and write benchmarks/results
	$(BIN)/python -m benchmarks

test-arm: $(VENV)/.dev ## The apps on emulated Raspberry Pis 3, 4 and 5 (minutes; needs apt, and namespaces of Linux 6.7)
	$(BIN)/python -m pytest -m arm tests/arm

test-arm-few: $(VENV)/.dev ## The part of test-arm that CI runs: one app on a Pi 5, or a line that says why not
	$(BIN)/python -m tests.arm.few

test-litert-torch: ## PyTorch models and the TFLite fallback, in an environment of their own (2.3 GB; not part of CI)
	test -x $(LITERT_TORCH)/bin/python || $(PYTHON) -m venv $(LITERT_TORCH)
	$(LITERT_TORCH)/bin/python -m pip install --quiet --disable-pip-version-check \
	    -e '.[export-litert-torch]' torch==2.13.0 pytest hypothesis pytest-benchmark # its pins do not fit constraints.txt
	$(LITERT_TORCH)/bin/python -m pytest -p no:anyio tests/exporters/test_litert_torch.py tests/exporters/model/test_torch_source.py

bench-arm: $(VENV)/.dev ## Instructions per inference of every point on Cortex-A72 and A76
	$(BIN)/python -m benchmarks.arm

clean: ## Remove the environment and everything that was made
	rm -rf $(VENV) $(OUT) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
