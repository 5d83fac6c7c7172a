# make install   set .venv up
# make demo   set everything up and run the main job
# make test   set everything up and pass the tests
# make fuzz   the property tests with fresh seeds, over and over for MINUTES (5)
# make faults kill and freeze hosts at work on one store, 1,000 times: minutes; prints a table
# make check  lint, types, import contract and size, without the tests: about a minute
# make size   the counts that the repository keeps to
# make lock   write constraints.lock (hashes) again after a change of constraints.txt or of the dependencies
# make locked set .venv up from constraints.lock, as the workflow does
# make leaderboard   validate the entries and build the board (results/leaderboard.md, .csv, .html)

PYTHON ?= python3
# Any torch from 2.11 on does; `make TORCH=torch==2.11.0 demo` on a machine whose driver wants another one.
TORCH ?= torch==2.13.0
BIN := .venv/bin
READY := .venv/.ready

ACTIVATE = echo 'next, so that your shell finds turncoat:  source $(CURDIR)/$(BIN)/activate'

install: $(READY)
	@$(ACTIVATE)

.PHONY: install demo test test-slow fuzz faults check lint types contract size lock locked leaderboard clean

# Two workers of half the cores each get more done than one of all: 12 minutes instead of 15 on two cores.
WORKERS ?= 2
demo: $(READY)
	$(BIN)/turncoat run demo --engine processes:$(WORKERS)
	@$(ACTIVATE)

test: $(READY)
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

# Each round has other examples. A failure ends it, and says what to add to the test as an @example.
MINUTES ?= 5
fuzz: $(READY)
	@end=$$(( $$(date +%s) + 60 * $(MINUTES) )); while [ "$$(date +%s)" -lt "$$end" ]; do \
	  $(BIN)/python -m pytest -q -x -m "hypothesis and not slow" --hypothesis-profile=fuzz || exit 1; done

faults: $(READY)
	PYTHONPATH=tests $(BIN)/python -m faults.campaign

check: lint types contract size

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

contract: $(READY)
	$(BIN)/lint-imports

size: $(READY)
	$(BIN)/python .ci/size.py --check

leaderboard: $(READY)
	$(BIN)/turncoat leaderboard build results/submissions

# torch first and by itself: whatever build it is, nothing later replaces it.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; this is " + sys.version)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $(READY)

# One lock for the oldest and the newest Python that the workflow tests; torch and what only torch needs are left out.
LOCK = $(BIN)/uv pip compile --quiet pyproject.toml --extra dev --constraint constraints.txt --override build/no-torch.txt \
  --python-platform linux --generate-hashes --no-annotate --custom-compile-command "make lock"
lock: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@mkdir -p build && echo "torch; sys_platform == 'none'" > build/no-torch.txt
	$(LOCK) --python-version 3.11 --output-file build/lock-3.11.txt > build/lock.log
	$(LOCK) --python-version 3.13 --output-file build/lock-3.13.txt > build/lock.log
	cmp build/lock-3.11.txt build/lock-3.13.txt
	cp build/lock-3.11.txt constraints.lock

# The same set-up, but nothing is installed whose hash is not in constraints.lock; only torch is apart (its build differs by machine).
locked:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement constraints.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip check
	@touch $(READY)

clean:
	rm -rf .venv runs build dist
