# Everything happens in .venv; `make` alone lists what there is.
#
#   make setup PYTHON=python3.11   build .venv with this Python (3.10 to 3.12)
#   make setup DEVICE=gpu          leave PaddlePaddle out, for the vendor's GPU wheel
#   make test WORKERS=8            more test processes
#   make demo-train TRAIN_SECONDS=300   train for this time
#   make compare COMPARE_SECONDS=300   train each method for this time
#   PIP_INDEX_URL and pip's other settings are honoured.

PYTHON  ?=
DEVICE  ?=
WORKERS ?= 2
TRAIN_SECONDS ?= 600
COMPARE_SECONDS ?= 600

python := .venv/bin/python
builder := $(or $(PYTHON),python3)
# PaddleSeg and VisualDL insist on a home folder that they can write to.
home := $(shell test -w "$${HOME:-/nowhere}" && echo "$$HOME" || echo "$(CURDIR)/.venv/home")

export OMP_NUM_THREADS ?= 1
export PYTHONUNBUFFERED := 1
unexport PYTHONPATH PYTHONHOME

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-train compare test lint clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1 | /p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "%-19s%s\n", $$1, $$2}'

setup: ## Build .venv from requirements.lock (does nothing when it is up to date)
	@command -v "$(builder)" >/dev/null || { \
	  echo "setup: $(builder) was not found: install Python 3.10, 3.11 or 3.12, or name one: make setup PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(builder)" tools/setup_environment.py $(if $(PYTHON),--this-python) $(if $(DEVICE),--device "$(DEVICE)")

demo: setup ## A trained network on 50 new scenes: scores, images and a page in output/demo
	@HOME="$(home)" $(python) tools/demo.py

demo-train: setup ## The same in output/demo_train, trained from nothing for TRAIN_SECONDS
	@HOME="$(home)" $(python) tools/demo.py --train_seconds $(TRAIN_SECONDS) --save_dir output/demo_train

compare: setup ## All methods after equal training on a CPU, side by side in output/compare
	@test -d output/compare/scenes || $(python) tools/make_scenes.py --output output/compare/scenes --seed 2026
	@HOME="$(home)" $(python) tools/compare.py --train_seconds $(COMPARE_SECONDS) \
	  --configs configs/demo/panoptic_deeplab_lite_scenes.yml configs/efficientps/efficientps_b0_scenes.yml \
	    configs/efficientps/efficientps_solov2_b0_scenes.yml configs/panoptic_fpn/panoptic_fpn_r18_scenes.yml \
	  --dataset_root output/compare/scenes --save_dir output/compare

test: setup ## Run the test suite
	@HOME="$(home)" $(python) -m pytest -n $(WORKERS) --dist loadfile

lint: setup ## Check style and formatting
	@$(python) -m ruff check .
	@$(python) -m ruff format --check .

clean: ## Remove .venv, caches and build products (never output/ or data/)
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
