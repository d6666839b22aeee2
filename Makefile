# Every target makes the environment it needs; only Python 3.11 to 3.13, make and git must be there before.
#   make book | test | test-site | test-click-path | notebooks | test-colab-versions |
#        test-dependencies | links | bench | mutants | lock | clean | help

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

CHAPTERS ?=
SITE_URL ?=
REPOSITORY ?=
FORCE ?=
FILES ?=
BENCH ?= gradients
WORKERS ?= 2
PYTHON313 ?= python3.13

export TF_CPP_MIN_LOG_LEVEL ?= 3
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYDEVD_DISABLE_FILE_VALIDATION := 1

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

NEED_SITE := test_site.py test_site_colab.py browser
NO_UNIT_TESTS := $(NEED_SITE) test_book.py test_structure.py
NBVAL := -q --nbval --nbval-current-env --nbval-cell-timeout=300 -p no:cacheprovider -n $(WORKERS) --dist loadscope
ONE_THREAD := TF_ENABLE_ONEDNN_OPTS=0 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 OMP_NUM_THREADS=1

# The first interpreter that runs and is in range; `python3` is asked first. PYTHON=... on the command line wins.
IN_RANGE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c '$(IN_RANGE)' 2>/dev/null && { echo "$$python"; break; }; done)

# $(call make-venv,FOLDER,INTERPRETER): an environment left half made by an interrupted run is made anew.
define make-venv
	$(1)/bin/python -m pip --version >/dev/null 2>&1 || "$(2)" -m venv --clear $(1)
endef


NEED_PYTHON313 = "$(PYTHON313)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null || { \
	echo "Colab runs Python 3.13 and there is no python3.13 here. Install it, or name it: PYTHON313=/path/to/python3.13" >&2; exit 1; }

.PHONY: help
help:  ## Say what each target does
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  make %-20s %s\n", $$1, $$2}'

# The stamp goes first and comes back last, so an install that fails half way leaves none.
$(READY): pyproject.toml requirements/lock.txt
	@if [ -z "$(PYTHON)" ]; then \
		echo "No Python 3.11, 3.12 or 3.13 on the path. Install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; fi
	@"$(PYTHON)" -c '$(IN_RANGE)' || { echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13" >&2; exit 1; }
	@rm -f $@
	$(call make-venv,$(VENV),$(PYTHON))
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/lock.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: book
book: $(READY)  ## Build the site from the stored outputs (SITE_URL=..., REPOSITORY=OWNER/NAME if it is published)
	@SITE_URL="$(SITE_URL)" REPOSITORY="$(REPOSITORY)" $(BIN)/python book/build_site.py

.PHONY: notebooks
notebooks: $(READY)  ## Re-execute the chapters that changed (CHAPTERS="trick gaussian", FORCE=1)
	@$(BIN)/python book/notebooks.py --workers $(WORKERS) $(if $(FORCE),--force) $(CHAPTERS)

# Cheap failures come first: style, then unit, structure and drift tests, then the site, then the notebooks.
.PHONY: test
test: $(READY)  ## Run every check: style, unit tests, drift, the site, the notebooks twice
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -q -n $(WORKERS) $(addprefix --ignore=tests/,$(NEED_SITE))
	$(BIN)/python book/build_site.py --fresh
	$(BIN)/python -m pytest -q tests/test_site.py tests/test_site_colab.py
	PYTHONHASHSEED=1 $(BIN)/python book/build_site.py --fresh --output build/again
	diff -rq book/_build/html build/again/_build/html
	$(BIN)/python -m pytest $(NBVAL) book/chapters
	$(ONE_THREAD) $(BIN)/python -m pytest $(NBVAL) book/chapters

.PHONY: test-colab-versions
test-colab-versions: .venv-colab/.ready  ## Run the notebooks and unit tests under the versions that Colab ships
	.venv-colab/bin/python -m pytest $(NBVAL) book/chapters
	.venv-colab/bin/python -m pytest -q -n $(WORKERS) tests companion $(addprefix --ignore=tests/,$(NO_UNIT_TESTS))

.venv-colab/.ready: pyproject.toml requirements/colab.txt requirements/colab-tests.txt
	@$(NEED_PYTHON313)
	@rm -f $@
	$(call make-venv,.venv-colab,$(PYTHON313))
	.venv-colab/bin/python -m pip install --quiet -r requirements/colab-tests.txt
	.venv-colab/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# The site as it is published, but for an address on loopback.
PORT ?= 8711
PUBLISHED := build/published

.PHONY: published
published: $(READY)
	@SITE_URL=http://127.0.0.1:$(PORT) REPOSITORY=owner/course $(BIN)/python book/build_site.py --output $(PUBLISHED)

.PHONY: test-click-path
test-click-path: published .venv-click/.ready  ## Open each notebook from its button in an environment like Colab's, and run it
	PYTHONPATH=book $(BIN)/python tests/click_path.py $(PUBLISHED)/_build/html --port $(PORT) --python .venv-click/bin/python --chapters $(CHAPTERS)

.PHONY: test-site
test-site: published $(VENV)/lighthouse/.ready  ## Look at every page in a browser: errors, requests, search, sliders, keyboard, layout, access
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup tests/browser --ignore=tests/browser/test_lighthouse.py --site $(PUBLISHED)/_build/html
	$(BIN)/python -m pytest -q tests/browser/test_lighthouse.py --site $(PUBLISHED)/_build/html

$(VENV)/lighthouse/.ready: tests/browser/package-lock.json $(READY)
	$(BIN)/python tests/browser/install_lighthouse.py
	@touch $@

.venv-click/.ready: requirements/colab.txt
	@$(NEED_PYTHON313)
	@rm -f $@
	$(call make-venv,.venv-click,$(PYTHON313))
	.venv-click/bin/python -m pip install --quiet -r requirements/colab.txt
	@touch $@

.PHONY: bench
bench: .venv-bench/.ready $(if $(filter bnn,$(BENCH)),.venv-bench-tfk/.ready)  ## Compare speed with peers (BENCH=gradients, vae, bnn or flows)
	.venv-bench/bin/python benchmarks/$(BENCH).py

.venv-bench/.ready: pyproject.toml requirements/lock.txt $(wildcard benchmarks/requirements*.txt) $(READY)
	@rm -f $@
	$(call make-venv,.venv-bench,$(BIN)/python)
	.venv-bench/bin/python -m pip install --quiet --require-hashes -r requirements/lock.txt
	.venv-bench/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
	grep -o '^[A-Za-z0-9._-]*==[^ ;]*' requirements/lock.txt > .venv-bench/constraints.txt
	.venv-bench/bin/python -m pip install --quiet -c .venv-bench/constraints.txt -r benchmarks/requirements.txt
	.venv-bench/bin/python -m pip install --quiet --no-deps -r benchmarks/requirements-no-deps.txt
	@touch $@

# tfp.layers is made of Keras 2, which does not go with Keras 3 in one process: it has an environment of its own.
.venv-bench-tfk/.ready: .venv-bench/.ready
	@rm -f $@
	$(call make-venv,.venv-bench-tfk,$(BIN)/python)
	.venv-bench-tfk/bin/python -m pip install --quiet -c .venv-bench/constraints.txt \
		tensorflow tensorflow-probability tf-keras scikit-learn setuptools
	@touch $@

.PHONY: mutants
mutants: .venv-mutants/.ready  ## Plant small faults in gradients and bounds; every one must fail a test (FILES="...")
	.venv-mutants/bin/python tests/mutants.py --workers $(WORKERS) $(FILES)

.venv-mutants/.ready: requirements/lock.txt $(READY)
	@rm -f $@
	$(call make-venv,.venv-mutants,$(BIN)/python)
	.venv-mutants/bin/python -m pip install --quiet --require-hashes -r requirements/lock.txt
	grep -o '^[A-Za-z0-9._-]*==[^ ;]*' requirements/lock.txt > .venv-mutants/constraints.txt
	.venv-mutants/bin/python -m pip install --quiet -c .venv-mutants/constraints.txt 'cosmic-ray==8.7.*' coverage
	@touch $@

.PHONY: lock
lock: .venv-lock/.ready  ## Refresh requirements/lock.txt: exact versions with hashes
	.venv-lock/bin/uv pip compile pyproject.toml --all-extras --universal --fork-strategy fewest \
		--python-version 3.11 --generate-hashes --no-header --upgrade --quiet \
		--no-emit-package reparameterization-companion -o requirements/lock.txt

.venv-lock/.ready:
	$(call make-venv,.venv-lock,$(PYTHON))
	.venv-lock/bin/python -m pip install --quiet uv
	@touch $@

# Unit tests only: what is drawn on the pages belongs to the exact versions of requirements/lock.txt.
RESOLUTION ?= highest
.PHONY: test-dependencies
test-dependencies: .venv-$(RESOLUTION)/.ready  ## Run the unit tests on the oldest or newest packages allowed (RESOLUTION=lowest-direct, highest)
	.venv-$(RESOLUTION)/bin/python -m pytest -q -n $(WORKERS) tests companion $(addprefix --ignore=tests/,$(NO_UNIT_TESTS))

.venv-lowest-direct/.ready .venv-highest/.ready: .venv-%/.ready: pyproject.toml .venv-lock/.ready
	@rm -f $@
	$(call make-venv,.venv-$*,$(PYTHON))
	.venv-lock/bin/uv pip install --quiet --python .venv-$*/bin/python --resolution $* -e '.[test]'
	@touch $@

.PHONY: links
links: $(READY)  ## Ask every address that the book links to whether it is still there (needs a network)
	@rm -rf build/links && mkdir -p build/links
	@$(BIN)/jupyter-book build book --builder linkcheck --path-output build/links >build/links/log 2>&1 || true
	@grep --quiet 'build \(succeeded\|finished with problems\)' build/links/log || { tail -40 build/links/log >&2; exit 1; }
	@$(BIN)/python .github/scripts/broken_links.py build/links/_build/html/output.json

.PHONY: clean
clean:  ## Remove the environments and everything that was built
	rm -rf .venv .venv-colab .venv-click .venv-bench .venv-bench-tfk .venv-mutants .venv-lowest-direct .venv-highest .venv-lock book/_build build *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
