# make quickstart   train on the embedded videos        make test   run the tests        make help   everything
VENV ?= .venv
PYTHON ?= python3
# added to the command line of vidssl fit, such as FIT_ARGS="--trainer.max_epochs 5"
FIT_ARGS ?=
# added to the command line of pytest, such as TEST_ARGS="tests/data -x"
TEST_ARGS ?=
# in as many processes as there are cores; a file's tests share what they set up
IN_PARALLEL := -n auto --maxprocesses 8 --dist loadfile

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CODE := vidssl tests tools docs/conf.py docs/_site
ISSUE_FORMS := $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))

.PHONY: help install constraints quickstart test lint format docs dist clean

help:
	@echo "make quickstart   install, write the embedded videos, train on them, print what was learnt"
	@echo "                  FIT_ARGS=\"--trainer.max_epochs 5\" adds to the command line of vidssl fit"
	@echo "make test         install, run the tests in parallel; TEST_ARGS=\"tests/data -x\" adds to pytest's"
	@echo "make lint         install, check style, formatting and types, workflows and citation"
	@echo "make format       install, repair both where that can be done"
	@echo "make docs         install, build the documentation as a site: build/docs/index.html"
	@echo "make dist         install, build the source distribution and the wheel into dist, check their metadata"
	@echo "make install      install into VENV (now: $(VENV)) with PYTHON (now: $(PYTHON), 3.11 or later)"
	@echo "make constraints  write constraints.txt anew: the newest versions that setup.cfg allows; then run the tests"
	@echo "make clean        remove caches and what a build leaves; data, runs and VENV stay"

install: $(INSTALLED)

# again only when the dependencies may have changed
$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -c constraints.txt -e ".[dev]"
	@touch $@

constraints:
	.ci/constraints $(PYTHON)

quickstart: $(INSTALLED)
	$(BIN)/vidssl prepare synthetic --output data/synthetic
	$(BIN)/vidssl fit --config configs/quickstart.yaml $(FIT_ARGS)

test: $(INSTALLED)
	$(BIN)/pytest $(IN_PARALLEL) $(TEST_ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms $(ISSUE_FORMS)
	$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff

format: $(INSTALLED)
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

# warnings are errors: links and references that lead nowhere are among them
docs: $(INSTALLED)
	$(BIN)/python -m sphinx -W --keep-going -n -q -d build/doctrees docs build/docs

dist: $(INSTALLED)
	rm -rf dist build/lib build/bdist.*
	$(BIN)/pyproject-build
	$(BIN)/twine check --strict dist/*

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +
