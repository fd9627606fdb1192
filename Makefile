# Everything the book needs, in one command each: `make book` or `make test`.
# The commands without make are in notebooks/README.md.

# The first Python that TensorFlow has wheels for; choose another with PYTHON=...
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	2>/dev/null && echo $$python && break; done)
VENV = .venv
RUN = $(VENV)/bin/python
STAMP = $(VENV)/.installed

export TF_CPP_MIN_LOG_LEVEL ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK = 1

help:
	@echo "make book       run every chapter and make the pages: build/book/index.html"
	@echo "make test       run all tests, the notebooks included"
	@echo "make lab        open JupyterLab in notebooks/"
	@echo "make notebooks  run the notebooks and store their outputs in place"
	@echo "make lint       check the style of code and notebooks"
	@echo "make clean      remove the pages and caches; data and .venv stay"

book: $(STAMP)
	$(RUN) notebooks/book.py

test: $(STAMP)
	$(RUN) -m pytest -n 2 --dist worksteal
	$(RUN) notebooks/book.py --test

lab: $(STAMP)
	$(RUN) -m jupyterlab notebooks

notebooks: $(STAMP)
	$(RUN) notebooks/book.py --in-place

lint: $(STAMP)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

clean:
	rm -rf build .pytest_cache .ruff_cache
	find tfgen tests notebooks benchmarks -name __pycache__ -prune -exec rm -rf {} +

# The packages: installed once, and again when the requirements change.
$(STAMP): requirements.txt pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
		echo "No Python 3.11, 3.12 or 3.13 found: TensorFlow has no other wheels."; \
		echo "Install one (https://www.python.org/downloads/), or name yours:"; \
		echo "    make PYTHON=/path/to/python3.12"; \
		exit 1; fi
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
		echo "$(PYTHON) does not run or is no Python 3.11, 3.12 or 3.13."; exit 1; }
	@$(RUN) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || { \
		echo "$(PYTHON) cannot make a virtual environment: its venv module is incomplete."; \
		echo "On Debian and Ubuntu: sudo apt install python3-venv"; \
		rm -rf $(VENV); exit 1; }
	@echo "Installing TensorFlow, Keras and Jupyter in $(VENV): a few minutes, once."
	$(RUN) -m pip install -r requirements.txt
	@touch $(STAMP)

.PHONY: help book test lab notebooks lint clean
