# Auscult: everything runs in .venv, made here with the versions of constraints.txt.
#
#   make demo     simulated machine, training, daemon and broker: about a minute
#   make demo ARGS=--web   the same on a web page, until stopped
#   make test     every test               make lint    ruff and mypy
#   make bench    every benchmark (hours)  make clean   back to a fresh clone
#   make deb      a Debian package of the service, in dist
#
# PYTHON=python3.12        another interpreter (3.11 or newer)
# TORCH_INDEX=             torch as the Python index has it (on Linux: the build for CUDA)
# TESTS="tests/test_x.py"  some tests         BENCH=throughput  one benchmark
# ARGS="--seed 7"          more arguments for the demo, pytest or the benchmark

PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,$(shell \
	$(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# Four workers keep two cores busy: tests of processes and booted systems mostly wait.
BESIDE ?= -n 4 --dist loadgroup --no-loadscope-reorder
TESTS ?=
BENCH ?= *
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
SETUP := tools/setup_environment.py
WRITTEN_FOR := pyproject.toml constraints.txt $(SETUP) tools/torchaudio_importable.py
# The development environment holds all that the demo needs.
DEMO_ENVIRONMENT := $(if $(wildcard $(VENV)/.dev),$(VENV)/.dev,$(VENV)/.demo)

SETTING_UP := $(if $(wildcard $(BIN)/python),updating $(VENV),setting up $(VENV): some minutes)

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench deb clean python system-packages

help:
	@sed -n '2,13s/^# \{0,1\}//p' Makefile

demo: $(DEMO_ENVIRONMENT)
	@$(BIN)/auscult demo $(ARGS)

# With this variable set, each of the hundreds of programs of the tests compiles Auscult again.
test: $(VENV)/.dev system-packages
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest $(BESIDE) $(ARGS) $(TESTS)

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(VENV)/.dev system-packages
	@failed=0; for script in benchmarks/$(BENCH).py benchmarks/$(BENCH)/__main__.py; do \
		case "$$script" in benchmarks/_*) continue;; esac; \
		test -e "$$script" || continue; \
		module=$$(echo "$${script%.py}" | tr / . | sed 's/\.__main__$$//'); \
		echo "== $$module"; status=0; $(BIN)/python -m "$$module" $(ARGS) || status=$$?; \
		case $$status in 0) ;; 66) echo "left out";; *) failed=1;; esac; \
	done; exit $$failed

deb: $(DEMO_ENVIRONMENT)
	@$(BIN)/python tools/debian_package.py --out dist $(ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info demo runs .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find auscult monitor training tests benchmarks tools examples -name __pycache__ -type d -prune -exec rm -rf {} +

python:
	@test -n "$(PYTHON)" || { \
		echo "Python 3.11 or newer is needed, with its venv module (on Debian and Ubuntu:" \
		"sudo apt-get install python3 python3-venv), or make PYTHON=/path/to/python3.11" >&2; exit 69; }

system-packages: | python
	@$(PYTHON) tools/system_packages.py test

$(VENV)/.demo: $(WRITTEN_FOR) | python
	@echo "$(SETTING_UP)" >&2
	@$(PYTHON) $(SETUP) --venv $(VENV) --torch-index "$(TORCH_INDEX)" --extra train --extra demo \
		--extra web --extra notify
	@touch $@

$(VENV)/.dev: $(WRITTEN_FOR) | python
	@echo "$(SETTING_UP)" >&2
	@$(PYTHON) $(SETUP) --venv $(VENV) --torch-index "$(TORCH_INDEX)" \
		--extra train --extra demo --extra web --extra notify --extra fleet --extra dev
	@touch $@
