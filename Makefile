# Two commands do all the set-up: `make demo` and `make test`.
# They make .venv when it is missing or broken, install into it, and reuse it from then on.

# The first Python that is new enough; another one: make demo PYTHON=python3.12
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
# Python compiles what is imported, a fifth of what is installed. Once, before many processes would do it side by side.
# Only for speed: what cannot be imported is an error of whoever needs it.
COMPILED := datasets, matplotlib.pyplot, transformers.models.llama.modeling_llama, transformers.trainer
COMPILED_TEST := hypothesis, lm_eval.evaluator, playwright.sync_api, ray, trl.trainer.sft_trainer
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt

# The stamps lie in .venv and carry its place: a deleted, moved or half-made environment is set up again.
HERE := $(shell pwd | cksum | cut -d' ' -f1)
INSTALLED := .venv/.installed-$(HERE)
INSTALLED_TEST := .venv/.installed-test-$(HERE)

# An advertisement of the theme's authors, which is printed as a warning.
export NO_MKDOCS_2_WARNING := 1

# An environment may forbid Python to keep what it has compiled: each process would then compile torch again.
export PYTHONDONTWRITEBYTECODE :=

# Workers train with one thread each; tests share the cores the same way.
export OMP_NUM_THREADS ?= 1

.PHONY: help demo test tests lint style types format docs report pictures recordings site installed installed-test venv

help:
	@echo "make demo    set up .venv and run the whole job on bundled data and check its answer by training: minutes on two cores"
	@echo "make test    set up .venv with the test tools; lint, types, documentation, tests"
	@echo "make lint    only lint and types"
	@echo "make format  format the code and fix what can be fixed"
	@echo "make docs    write docs/cli.md, api.md, constants.md and errors.md again from the code"
	@echo "make site    build the documentation into build/site; a warning is an error"

# The answer, and then what training says of it: solution, equal and natural weights trained at the budget.
demo: installed
	@$(BIN)/python -m mixlaw demo
	@$(BIN)/python -m mixlaw compare mixlaw-demo/mix.yaml --seeds 3 --against natural,equal --verbose
	@echo "The report: $(CURDIR)/mixlaw-demo/study/report/report.html"

# What takes a second comes first. Types are checked while the tests run, one of which builds the site; if that check
# fails, make says so at the end.
test: installed-test
	@$(MAKE) --no-print-directory style
	@$(MAKE) --no-print-directory --jobs=2 types tests

# One worker runs all tests of a file, which share what its fixtures have trained. Files begin in the order of their
# folders: docs and e2e hold the long ones, and the many short ones of unit even out when the workers end. Otherwise
# files with many tests would begin, and a file of few long tests could end alone.
# A worker more than there are cores: many tests wait for a process, a cluster or a browser.
tests: installed-test
	$(BIN)/python -m pytest -n $$(($$(getconf _NPROCESSORS_ONLN) + 1)) --dist loadfile --no-loadscope-reorder --durations=40

lint: style types

style: installed-test
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

types: installed-test
	$(BIN)/python -m pyright

format: installed-test
	$(BIN)/python -m ruff format .
	$(BIN)/python -m ruff check --fix .

docs: installed-test
	@for page in cli api constants errors; do \
		PYTHONPATH=tests $(BIN)/python tests/docs/$${page}_reference.py docs/$$page.md || exit 1; \
	done
	$(BIN)/python docs/report/build.py

# The technical report and the experiments' pages with their pictures and the PDF, by the system's Chromium.
report: installed-test
	$(BIN)/python docs/report/build.py --pdf

# The pictures of the pages, from a finished demo.
pictures: demo installed-test
	PYTHONPATH=tests $(BIN)/python tests/docs/pictures.py mixlaw-demo/study

# What each verb shows on a terminal, beside a demo of the runs that are kept for tests.
recordings: installed-test
	PYTHONPATH=tests:. $(BIN)/python tests/docs/recordings.py

site: installed-test
	$(BIN)/python -m mkdocs build --strict
	@echo "The documentation: $(CURDIR)/build/site/index.html"

# A make of its own: only then is a stamp seen to be gone that `venv` has deleted with a broken environment.
installed: venv
	@$(MAKE) -s --no-print-directory $(INSTALLED)

installed-test: venv
	@$(MAKE) -s --no-print-directory $(INSTALLED_TEST)

# Reused where its Python and pip work, made anew otherwise.
venv:
	@if [ -z "$(PYTHON)" ]; then \
		echo "mixlaw needs Python 3.11, 3.12 or 3.13; none was found. Say: make demo PYTHON=/path/to/python3.12" >&2; \
		exit 1; \
	fi
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		rm -rf .venv; \
		echo "making .venv with $(PYTHON)"; \
		$(PYTHON) -m venv .venv || { \
			rm -rf .venv; \
			echo "$(PYTHON) cannot make a virtual environment." >&2; \
			echo "On Debian and Ubuntu its venv module is a package of its own: apt-get install python3-venv" >&2; \
			exit 1; \
		}; \
	fi

$(INSTALLED): pyproject.toml constraints.txt
	@echo "installing mixlaw[train,report] into .venv (the first time some minutes)"
	@$(PIP) -e ".[train,report]"
	@$(BIN)/python -W ignore -c "import $(COMPILED)" || true
	@touch $@

$(INSTALLED_TEST): pyproject.toml constraints.txt
	@echo "installing mixlaw[train,report,docs,test] into .venv (the first time some minutes)"
	@$(PIP) -e ".[train,report,docs,test]"
	@$(BIN)/python -W ignore -c "import $(COMPILED)" & $(BIN)/python -W ignore -c "import $(COMPILED_TEST)"; wait || true
	@touch $(INSTALLED) $@
