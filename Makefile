# The targets a stranger needs; `make` alone lists them.
PY := .venv/bin/python
# Compiled modules are kept whatever the environment says: without, each worker and each process that a test starts
# compiles the package and the tests anew.
WORKERS := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
PYTEST := PYTHONDONTWRITEBYTECODE= $(PY) -m pytest $(WORKERS)
MEASURED :=
# The types of NumPy 2 are written for 3.12 and later; elsewhere pyproject.toml names the oldest Python.
TARGET = $(shell $(PY) -c 'import sys; print("--python-version=3.12" if sys.version_info >= (3, 12) else "")')

.PHONY: help setup gpu-setup gpu-check train test test-all test-other lint docs bench bench-peers notebooks clean

help:
	@echo "make setup         create .venv with the locked packages"
	@echo "make train         set up, then run the three stages of the default plan"
	@echo "make test          set up, then lint and every test that is quick"
	@echo "make test-all      the same in another order and with the coverage, then the tests that take long"
	@echo "make test-other    the core with the other TensorFlow (.venv-other), where there is a Python for it"
	@echo "make lint          set up, then lint, types, import contracts and questions about the task"
	@echo "make notebooks     set up, then run every notebook and print how long it took"
	@echo "make docs          set up, then the documentation as pages in site/; a broken link is an error"
	@echo "make bench         set up, then the benchmarks behind the README's figures"
	@echo "make bench-peers   set up, then SetFit, PyTorch and Avalanche beside this package (two hours; .venv-peers, 1.7 GB)"
	@echo "make gpu-setup     the same as setup, with CUDA's packages (several GB)"
	@echo "make gpu-check     compare a GPU's training with the CPU's (after make gpu-setup)"
	@echo "make clean         remove .venv and caches; runs/ and registry/ stay"

setup:
	@scripts/setup

gpu-setup:
	@scripts/setup gpu

# Whatever the code, make's own is 2; the verdict stands in the output.
gpu-check: setup
	@$(PY) -m benchmarks.gpu_check

# Exit code 3 says that a gate held: the run is finished and its table says why.
train: setup
	@$(PY) -m progressive_tf.train --stages 3; code=$$?; \
	if [ $$code -eq 3 ]; then echo "make train: a gate did not promote its stage; the ways on stand above"; exit 0; fi; \
	exit $$code

lint: setup
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy $(TARGET)
	@.venv/bin/lint-imports
	@$(PY) scripts/count_task_questions.py --quiet

test: lint
	@$(PYTEST) -m "not slow" $(MEASURED)

# The coverage is that of the quick tests: counting costs half their time again, and would in the long ones too.
test-all: MEASURED := -p randomly --randomly-seed=1758686335 --cov --cov-report=
test-all: test
	@$(PYTEST) -m slow
	@echo "percent of lines and branches that the quick tests run (.venv/bin/python -m coverage report names the others):"
	@$(PY) -m coverage report --format=total
	@$(MAKE) --no-print-directory test-other

test-other: setup
	@scripts/test-other $(WORKERS)

docs: setup
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet
	@echo "site/index.html"

bench: setup
	@$(PY) -m benchmarks

bench-peers: setup
	@scripts/setup-peers
	@$(PY) -m benchmarks.few_labels
	@$(PY) -m benchmarks.against_trainer
	@$(PY) -m benchmarks.against_avalanche

notebooks: setup
	@$(PY) scripts/notebooks.py

clean:
	rm -rf .venv .venv-peers .venv-other .uv .setup.log build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
