# What a developer runs and what CI runs. `make` alone lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Users' environment: pins for Python 3.11 to 3.13. The oracle (MXNet 1.9.1): below 3.12.
first = $(firstword $(foreach name,$(1),$(shell command -v $(name))))
PYTHON ?= $(call first,python3.11 python3.12 python3.13 python3)
ORACLE_PYTHON ?= $(call first,python3.11 python3.10 python3)
PIP := -m pip install --quiet --disable-pip-version-check

IN := .venv/bin
ORACLE := .venv-mxnet/bin
STRICT := server/src clients/python/src exporter/src tools demo
GENERATED_DOCS := tools/make_docs.py
DISTRIBUTIONS := server/pyproject.toml clients/python/pyproject.toml
OLD := .venv-mxnet-old/bin
OLDEST_MXNET := 1.5.0
BETWEEN_MXNETS := 1.6.0 1.7.0.post2 1.8.0.post0

##@ Use

.PHONY: serve
serve: .venv/serve.stamp ## serve models/ (ARGS="--grpc-port 0 ..." for flags of `gluonserve serve`)
	$(IN)/gluonserve serve models $(ARGS)

.PHONY: demo
demo: .venv/dev.stamp ## start the server, send pictures to every sample model, draw what was found
	$(IN)/python demo/demo.py $(ARGS)

##@ Prove

.PHONY: test
test: .venv/dev.stamp .venv-mxnet/oracle.stamp system .venv-perf/perf.stamp ## every test: users' environment, then live MXNet (ARGS="-k name")
	$(IN)/python -m pytest $(ARGS)
	$(ORACLE)/python -m pytest -m mxnet $(ARGS)

.PHONY: check
check: .venv/dev.stamp ## format, lint, types, generated files, import rules
	$(IN)/ruff format --check .
	$(IN)/ruff check .
	$(IN)/mypy $(STRICT)
	$(IN)/lint-imports --no-logo
	$(IN)/python tools/make_protos.py --check
	$(IN)/python $(GENERATED_DOCS) --check
	$(IN)/python tools/make_exporter_operators.py --check

.PHONY: soak
soak: .venv/dev.stamp ## good, broken and abandoned requests to a real server (REQUESTS=10000)
	GLUONSERVE_SOAK=$(or $(REQUESTS),10000) $(IN)/python -m pytest tests/integration/test_soak.py $(ARGS)

.PHONY: conformance
conformance: .venv/dev.stamp ## every recorded operator case, without MXNet, and 2,000 broken files (ARGS="Concat ..." for some cases)
	$(IN)/python -m tests.conforming $(ARGS)
	$(if $(ARGS),,$(IN)/python -m pytest -m slow tests/unit/loader/test_broken_imports.py)

.PHONY: live
live: .venv-mxnet/oracle.stamp ## operators asked of live MXNet with many drawn cases (DRAWN=50 examples each, ARGS="-k name"), and their list
	GLUONSERVE_DRAWN=$(or $(DRAWN),50) $(if $(ARGS),,GLUONSERVE_LIST_LIVE=1) \
	    $(ORACLE)/python -m pytest -m mxnet tests/conformance $(ARGS)

ZOO ?= .zoo/networks
BUILT_ZOO := $(filter file,$(origin ZOO))
.PHONY: zoo
zoo: .venv/dev.stamp $(if $(BUILT_ZOO),.venv-zoo/zoo.stamp) ## networks of ../shared/zoo, without MXNet: built first, or in folders: ZOO="FOLDER ..." (MATCH=lenet for some)
	$(if $(BUILT_ZOO),OMP_NUM_THREADS=1 .venv-zoo/bin/python $(SHARED_ZOO)/build.py --out $(ZOO) $(if $(MATCH),--only '$(MATCH)'))
	$(if $(BUILT_ZOO),OMP_NUM_THREADS=1 .venv-zoo/bin/python -m tests.zoo_recorder $(ZOO))
	$(IN)/python -m tests.zoo $(ZOO) $(if $(MATCH),--match '$(MATCH)') $(ARGS)

.PHONY: exporter-test
exporter-test: .venv-mxnet/oracle.stamp .venv-mxnet-old/old.stamp ## the exporter on the newest and the oldest MXNet that it supports
	$(ORACLE)/python -m pytest tests/exporter -m mxnet $(ARGS)
	$(OLD)/python -m pytest tests/exporter -m mxnet $(ARGS)

.PHONY: exporter-versions
exporter-versions: $(BETWEEN_MXNETS:%=.venv-mxnet-%/old.stamp) ## the exporter on the versions of MXNet between these
	for version in $(BETWEEN_MXNETS); do \
	    .venv-mxnet-$$version/bin/python -m pytest tests/exporter -m mxnet $(ARGS); \
	done

.PHONY: exporter-zoo
exporter-zoo: .venv/serve.stamp .venv-mxnet/oracle.stamp ## all 34 networks of MXNet's model zoo through export_model and `gluonserve serve`, compared over gRPC
	$(ORACLE)/python -m pytest tests/exporter/test_model_zoo.py -m "mxnet or slow" $(ARGS)

.PHONY: gpu-test
gpu-test: ## executors on an NVIDIA GPU, and a small benchmark; says so where there is none
	@if command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep GPU; then \
	    $(MAKE) .venv-gpu/gpu.stamp && .venv-gpu/bin/python -m pytest tests/gpu $(ARGS); \
	else echo "gpu-test: there is no NVIDIA GPU on this machine; nothing was tested"; fi

.PHONY: bench
bench: .venv/dev.stamp .venv-mxnet/oracle.stamp system ## measure; writes benchmarks/results/
	$(IN)/python -m benchmarks $(ARGS)

##@ Make

.PHONY: fix
fix: .venv/dev.stamp ## format and repair what the linter can repair
	$(IN)/ruff format .
	$(IN)/ruff check --fix .

.PHONY: protos
protos: .venv/dev.stamp ## protocol modules of server and client from protos/
	$(IN)/python tools/make_protos.py

.PHONY: docs
docs: .venv/dev.stamp ## generated pages of docs/, and the exporter's list of operators
	$(IN)/python $(GENERATED_DOCS)
	$(IN)/python tools/make_exporter_operators.py

.PHONY: samples
samples: .venv-mxnet/oracle.stamp ## train and export models/ again (about 20 minutes)
	$(ORACLE)/python models/training/lenet_digits.py
	$(ORACLE)/python models/training/resnet_digits.py
	$(ORACLE)/python models/training/toy_ssd.py

.PHONY: image
image: system ## container image with buildah (or: docker build .)
	deploy/image.sh build $(ARGS)

.PHONY: image-test
image-test: .venv/dev.stamp system ## build the image and run it for real
	deploy/image.sh test $(ARGS)

##@ Keep house

.PHONY: system
system: ## Debian packages that some tests want (installed as root, else named)
	@tools/install_system_packages.sh

.PHONY: pins
pins: ## write constraints*.txt from the environments as they are
	tools/write_pins.sh

.PHONY: clean
clean: ## remove environments, caches and what was made
	rm -rf .venv .venv-* .conformance .zoo .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache demo-output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name '*.egg-info' -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } \
	    /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	    /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

# Environments. A stamp is older than what it was made from, or the environment is current.

.venv/serve.stamp: constraints.txt $(DISTRIBUTIONS)
	$(PYTHON) -m venv .venv
	$(IN)/python $(PIP) -c constraints.txt pip
	$(IN)/python $(PIP) -c constraints.txt -e ./server -e ./clients/python
	touch $@

.venv/dev.stamp: .venv/serve.stamp pyproject.toml
	$(IN)/python $(PIP) -c constraints.txt --group dev
	touch $@

.venv-mxnet/oracle.stamp: constraints-mxnet.txt pyproject.toml $(DISTRIBUTIONS)
	$(ORACLE_PYTHON) -m venv .venv-mxnet
	$(ORACLE)/python $(PIP) -c constraints-mxnet.txt pip
	$(ORACLE)/python $(PIP) -c constraints-mxnet.txt -e './server[mxnet]' -e ./clients/python --group tests --group oracle
	$(ORACLE)/python $(PIP) --no-deps -e ./exporter
	touch $@

# The oldest MXNet that the exporter supports; the server is not installed beside it.
.venv-mxnet-old/old.stamp: constraints-mxnet.txt exporter/pyproject.toml
	$(ORACLE_PYTHON) -m venv .venv-mxnet-old
	$(OLD)/python $(PIP) mxnet==$(OLDEST_MXNET) numpy==1.23.5 pytest pytest-asyncio pytest-timeout
	$(OLD)/python $(PIP) --no-deps -e ./exporter
	touch $@

.venv-mxnet-%/old.stamp: exporter/pyproject.toml
	$(ORACLE_PYTHON) -m venv $(@D)
	$(@D)/bin/python $(PIP) mxnet==$* numpy==1.23.5 pytest pytest-asyncio pytest-timeout
	$(@D)/bin/python $(PIP) --no-deps -e ./exporter
	touch $@

# Users' environment with the CUDA build of ONNX Runtime in place of the other.
.venv-gpu/gpu.stamp: constraints.txt pyproject.toml $(DISTRIBUTIONS)
	$(PYTHON) -m venv .venv-gpu
	.venv-gpu/bin/python $(PIP) -c constraints.txt pip
	.venv-gpu/bin/python $(PIP) -c constraints.txt -e ./server -e ./clients/python --group tests
	.venv-gpu/bin/python -m pip uninstall --quiet --yes onnxruntime
	.venv-gpu/bin/python $(PIP) -c constraints.txt 'onnxruntime-gpu[cuda,cudnn]'
	touch $@

# Where public networks are built. gluonnlp's C file is of an older Cython than this Python takes;
# without it, the build makes another.
SHARED_ZOO := ../shared/zoo
NLP := gluonnlp-0.10.0
.venv-zoo/zoo.stamp: $(wildcard $(SHARED_ZOO)/requirements.txt)
	@test -d $(SHARED_ZOO) || { echo "zoo: there is no $(SHARED_ZOO); ZOO=FOLDER names built networks"; exit 1; }
	python3.11 -m venv .venv-zoo
	.venv-zoo/bin/python $(PIP) 'setuptools<70' wheel
	.venv-zoo/bin/python $(PIP) --no-deps -r $(SHARED_ZOO)/requirements.txt
	cd .venv-zoo && bin/python -m pip download --quiet --no-deps --no-build-isolation --no-binary :all: $(subst -0,==0,$(NLP))
	cd .venv-zoo && tar xzf $(NLP).tar.gz && rm $(NLP)/src/gluonnlp/data/fast_bert_tokenizer.c
	.venv-zoo/bin/python $(PIP) --no-deps --no-build-isolation .venv-zoo/$(NLP)
	touch $@

# Triton's load generator ships in an old client wheel; its Python package is not used.
.venv-perf/perf.stamp:
	$(PYTHON) -m venv .venv-perf
	.venv-perf/bin/python $(PIP) --no-deps tritonclient==2.48.0 nvidia-cuda-runtime-cu12==12.9.79
	touch $@
.PHONY: .venv-perf
.venv-perf: .venv-perf/perf.stamp
