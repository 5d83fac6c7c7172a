# make demo   set everything up and run the main job
# make test   set everything up and pass the tests
# make fuzz   the property tests with fresh seeds, over and over for MINUTES (5)
# make check  lint, types and tests
# make leaderboard   validate the entries and build the board (results/leaderboard.md, .csv, .html)

PYTHON ?= python3
# Any torch from 2.11 on does; `make TORCH=torch==2.11.0 demo` on a machine whose driver wants another one.
TORCH ?= torch==2.13.0
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test test-slow fuzz check lint types leaderboard clean

demo: $(READY)
	$(BIN)/turncoat run demo

test: $(READY)
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

# Each round has other examples. A failure ends it, and says what to add to the test as an @example.
MINUTES ?= 5
fuzz: $(READY)
	@end=$$(( $$(date +%s) + 60 * $(MINUTES) )); while [ "$$(date +%s)" -lt "$$end" ]; do \
	  $(BIN)/python -m pytest -q -x -m "hypothesis and not slow" --hypothesis-profile=fuzz || exit 1; done

check: lint types test

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

leaderboard: $(READY)
	$(BIN)/turncoat leaderboard build results/submissions

# torch first and by itself: whatever build it is, nothing later replaces it.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; this is " + sys.version)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $(READY)

clean:
	rm -rf .venv runs build dist
