# ctstyle: everything a fresh machine needs is python3 (3.11 or newer), make and a package index.
# `make` runs the quick configuration, `make test` the tests; both build .venv from the hashed lock first.

SHELL := bash
PYTHON ?= python3
CORES ?= $(shell $(PYTHON) -c "import os; print(os.cpu_count())")
CONFIG ?=
RUNS ?= 1
VENV := .venv
SNAKEMAKE := $(VENV)/bin/snakemake --cores $(CORES)
UV_VERSION := 0.13.9
COMPILE := $(VENV)/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --quiet \
	--custom-compile-command "make lock"
export PATH := $(abspath $(VENV))/bin:$(PATH)

.PHONY: all venv test test-all tiny report chaos bench clean config lock lint

all: venv
	@echo "The quick run: phantom and one real CT, from DICOM to tables, figures and the PDF; half an hour on 2 fast cores, an hour or more on slow ones."
	@echo "+ $(SNAKEMAKE) $(CONFIG)"
	@$(SNAKEMAKE) $(CONFIG)
	@echo "Tables: results/paper/tables (table2.md reads well). Figures: results/paper/figures. \`make report\`: one HTML file."

venv: $(VENV)/installed

$(VENV)/installed: envs/requirements.lock envs/uv.txt
	@echo "Setting up $(VENV) from envs/requirements.lock (6 GB, about 1 minute)."
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --require-hashes -r envs/uv.txt
	$(VENV)/bin/uv pip install --quiet --compile-bytecode --python $(VENV)/bin/python --require-hashes -r envs/requirements.lock
	@touch $@

test: venv lint
	@echo "The tests, with a tiny end-to-end run of the workflow; 9 to 23 minutes on 2 cores."
	$(VENV)/bin/python -m pytest tests/unit -n 2 -m "not slow"
	$(VENV)/bin/python -m pytest tests/workflow -n 2 --dist loadgroup -m "not slow"

test-all: venv
	@echo "The slow tests that \`make test\` leaves out (a whole tiny run on SLURM, a cut of the paper scale, chaos, the RO-Crate, exports in nnU-Net and MONAI, your own CT, 27,000 damaged files and scans); 16 to 50 minutes on 2 cores."
	$(VENV)/bin/python -m pytest tests/unit -n 2 -m slow
	$(VENV)/bin/python -m pytest tests/cluster tests/workflow -n 2 --dist loadgroup -m slow

lint: venv
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/snakefmt --check Snakefile rules
	$(VENV)/bin/mypy
	$(VENV)/bin/snakemake --lint

tiny: venv
	@echo "The same workflow on the tiny configuration, into results/tiny; about 6 minutes on 2 cores."
	@echo "+ $(SNAKEMAKE) --configfile tests/config/tiny.yaml"
	@$(SNAKEMAKE) --configfile tests/config/tiny.yaml

report: all
	@echo "Snakemake's report of the run as one HTML file; about 20 seconds."
	@test ! -e results/report.html || head -c 4096 results/report.html | grep -q "<title>Snakemake Report</title>" || \
		{ echo "results/report.html is no report of Snakemake's: move it away. Nothing was changed."; exit 1; }
	$(SNAKEMAKE) --report results/report.html $(CONFIG)

chaos: venv
	@echo "$(RUNS) run(s) that are killed again and again, each about 1 minute; a line for each in docs/chaos.tsv."
	$(VENV)/bin/python tests/chaos.py --runs $(RUNS)

bench: venv
	@echo "The hot paths beside their peers, into docs/performance.md; half an hour or more on an idle machine."
	$(VENV)/bin/python -m benchmarks

config: venv
	@echo "Writing config/config.yaml, config/schema and docs/config.md from ctstyle/study, and the picture in docs/architecture.md."
	$(VENV)/bin/python -m ctstyle.study.config
	$(VENV)/bin/python -m tests.flow

lock: venv
	@echo "Compiling envs/requirements.lock and envs/ctstyle.yaml from envs/requirements.in, and envs/uv.txt."
	$(COMPILE) envs/requirements.in -o envs/requirements.lock
	echo uv==$(UV_VERSION) | $(COMPILE) - -o envs/uv.txt
	$(VENV)/bin/python envs/conda_from_lock.py

clean:
	@echo "Removing what the default run made in results. Other runs, your own files, .snakemake and .venv stay."
	$(PYTHON) -m ctstyle.clean results
