# `make demo` and `make test` are all a user needs; both set up everything in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WEB := src/slidescore/review/web
VIEWER := $(WEB)/vendor/openseadragon.min.js

.PHONY: demo test lint bench torture format clean web docs-pictures

demo: $(STAMP) $(VIEWER)
	$(BIN)/slidescore score sample_slides --out runs/demo

# Two processes, a file of tests each: the tests of whole runs keep all cores busy by themselves.
test: $(STAMP) $(VIEWER)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)
	$(BIN)/python benchmarks/run_all.py

torture: $(STAMP)
	$(BIN)/python benchmarks/torture.py --count 1000 --write docs/trust.md

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev,stats]"
	@touch $@

# The viewer of `slidescore review`, from the lock file. All else works without it, so a machine without npm goes on.
web: $(VIEWER)
	@test -e $(VIEWER)

$(VIEWER): $(WEB)/package.json $(WEB)/package-lock.json
	@if command -v npm > /dev/null && (cd $(WEB) && npm ci --silent --ignore-scripts --no-audit --no-fund); then \
	  mkdir -p $(@D) && \
	  cp $(WEB)/node_modules/openseadragon/LICENSE.txt $(@D)/openseadragon-LICENSE.txt && \
	  cp $(WEB)/node_modules/openseadragon/build/openseadragon/openseadragon.min.js $@ && touch $@; \
	else \
	  echo "No npm, or npm could not install: slidescore review will have no viewer. Everything else works without it."; \
	fi

# The pictures of docs/review.md, drawn by the browser tests.
docs-pictures: $(STAMP) $(VIEWER)
	SLIDESCORE_DOCS_PICTURES=1 $(BIN)/python -m pytest tests/review/browser/test_pictures.py -k draw

clean:
	rm -rf $(VENV) runs build dist $(WEB)/node_modules $(WEB)/vendor
