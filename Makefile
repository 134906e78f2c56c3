# tomoprofile: `make demo` runs the whole workflow on a simulated scan, `make test` runs all tests.
# Needs Python >= 3.11, git and make; everything else is installed into .venv.

PYTHON ?= python3
# On Linux plain torch is the CUDA build of several GB. For a small CPU build set TORCH_INDEX to PyTorch's index of CPU
# wheels (envs/README.md).
TORCH_INDEX ?=
CORES ?= $(shell nproc 2>/dev/null || echo 2)

BIN := .venv/bin
INSTALLED := .venv/installed
BENCH := .venv-bench
PEERS := .venv-peers
export PATH := $(CURDIR)/$(BIN):$(PATH)

DEMO := snakemake --configfile config/demo/config.yaml --cores $(CORES)

.PHONY: help env demo demo-organs demo-federation docs test test-deep test-slurm test-browser test-gpu base lint format schema changes bench bench-objects bench-accuracy bench-segmentation bench-amplification bench-federation bench-profile bench-conversion bench-coverage bench-demo acceptance clean

help:
	@echo "make demo      simulate a scan, run every stage, compare the result with the truth (about 5 minutes)"
	@echo "make demo-organs  simulate seven torsos, label one, learn from all, compare with the truth (about 10 minutes)"
	@echo "make demo-federation  three simulated sites train one model over mutual TLS, beside models of their own (about ten minutes on two cores)"
	@echo "make test      all tests but the long sweeps"
	@echo "make test-deep  the long sweeps: many kills, cuts and faults; they write docs/reliability.md; hours"
	@echo "make test-slurm  all tests on a real SLURM cluster but the longest; they start it, and fail if it cannot be started"
	@echo "make test-browser  the tests of the report in Debian's Chromium; they fail if it is not available"
	@echo "make test-gpu  the tests that need a CUDA device"
	@echo "make acceptance  the acceptance gates on simulated scans, with the true mask and with networks: about an hour"
	@echo "make base      train the model that comes with the package, on simulated scans, into build/base: two hours"
	@echo "make docs      the documentation as a site in site/, with every link checked"
	@echo "make lint      ruff, snakefmt and snakemake --lint"
	@echo "make schema    write the configuration schema and the tables of config/README.md and docs/outputs.md"
	@echo "make changes   write docs/changes.md: what is done again after which change"
	@echo "make bench     benchmarks of scale, inference and report"
	@echo "make bench-demo  the demo with ten seeds (docs/benchmarks/demo.md): resumable, an hour"
	@echo "make bench-objects  labels and measures compared with cc3d, SimpleITK, scikit-image, PoreSpy: resumable, an hour"
	@echo "make bench-accuracy  errors of every measure against analytic shapes (docs/accuracy.md): about half an hour"
	@echo "make bench-conversion  time and memory of the conversion, beside zarr-python's own copy: a quarter of an hour"
	@echo "make bench-profile  time and memory of the profile by size and depth: a few minutes"
	@echo "make bench-coverage  how often intervals contain the truth (docs/benchmarks/coverage.md): about half an hour"
	@echo "make bench-segmentation  segmentation with few labels, beside other methods: resumable, five core-hours"
	@echo "make bench-amplification  what drawn training pairs are worth, in labelled cases: resumable, four core-hours"
	@echo "make bench-federation  a model of many sites beside local ones and one of all data: resumable, three core-hours"

env: $(INSTALLED)

$(INSTALLED): envs/cpu.txt envs/lock.txt pyproject.toml
	@echo "Setting up the environment in .venv (a few minutes)"
	$(PYTHON) -c 'import sys; sys.exit("tomoprofile needs Python 3.11 or later" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) -r envs/cpu.txt
	$(BIN)/python -m pip install --quiet -r envs/lock.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip check
	@touch $@

demo: $(INSTALLED)
	@echo "1/4 A scan with known truth is simulated, and found as your own scans are."
	test -e demo/truth/settings.json || tomoprofile phantom demo
	tomoprofile scan demo/raw --labels demo/labels --out demo/samples.tsv
	@echo "2/4 The first run proposes slices to label, and waits."
	$(DEMO)
	@echo "3/4 The truth labels three slices; with your own scans, you do."
	tomoprofile annotate demo/truth results/demo/phantom_A/to_label/slices.tsv demo/labels/phantom_A
	@echo "4/4 The same command goes on: it trains a network, segments, measures and writes the report."
	$(DEMO)
	@echo
	@echo "Report: $(CURDIR)/results/demo/phantom_A/report.html"
	@echo "Compared with the truth (docs/benchmarks/demo.md: how often each line holds):"
	@tomoprofile compare demo/truth results/demo/phantom_A | tee demo/compared.txt
	@grep -q "^ok" demo/compared.txt

ORGANS := snakemake --configfile config/demo_organs/config.yaml --cores $(CORES)

# The sheet is config/demo_organs/samples.tsv: `tomoprofile scan` wrote it, and its columns `role` and `reference` were
# filled in. One page is made; the same command without names makes all seven.
demo-organs: $(INSTALLED)
	@echo "1/2 Seven torsos are simulated; one has labels."
	test -e demo/organs/truth/cases.json || \
		tomoprofile phantom demo/organs --anatomy --seed 2 --cases 7 --labelled 1 --size 64 60 76
	@echo "2/2 All are registered to the labelled one, pairs are drawn, a network is trained, a scan without labels is segmented."
	$(ORGANS) results/demo_organs/case_A_003/report.html
	@echo
	@echo "Its report: $(CURDIR)/results/demo_organs/case_A_003/report.html"
	@echo "What was drawn and which cases were left out: $(CURDIR)/results/demo_organs/models/default/docs/README.md"

# Server, coordinator and three sites are processes on this machine; none of them is left behind.
demo-federation: $(INSTALLED)
	rm -rf demo/federation
	python config/demo_federation/run.py demo/federation

# Each process takes a file at a time; a process with torch takes about 1 GB.
BESIDE := -n $(CORES) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# The cluster tests mostly wait for the queue, so they run alongside the others; their output is shown afterwards.
test: $(INSTALLED)
	@log=$$(mktemp); pytest -m "not deep" tests/slurm > $$log 2>&1 & slurm=$$!; trap 'kill $$slurm' INT TERM; \
	pytest $(BESIDE) -m "not gpu and not deep" --ignore tests/slurm; others=$$?; \
	echo "The tests on a SLURM cluster, which ran at the same time:"; \
	wait $$slurm; failed=$$?; cat $$log; rm $$log; \
	exit $$((others || failed))

# One after the other: kills at random moments need to know how long a stage takes.
test-deep: $(INSTALLED)
	rm -rf .reliability
	pytest -m "deep and not gpu" --ignore tests/slurm
	TOMOPROFILE_SLURM_REQUIRED=1 pytest -m deep tests/slurm
	python tests/reliability.py

test-slurm: $(INSTALLED)
	TOMOPROFILE_SLURM_REQUIRED=1 pytest --ignore tests/slurm/test_rehearsal.py tests/slurm

test-browser: $(INSTALLED)
	TOMOPROFILE_BROWSER_REQUIRED=1 pytest tests/browser

test-gpu: $(INSTALLED)
	pytest -m gpu

# Finished columns are kept in the folder gates/, which git ignores.
acceptance: $(INSTALLED)
	pytest tests/acceptance
	python -m benchmarks.gates gates

# Continues where it was stopped.
base: $(INSTALLED)
	tomoprofile base build/base

lint: $(INSTALLED)
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	snakemake --lint --configfile config/demo/config.yaml --config samples=tests/samples.tsv

format: $(INSTALLED)
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

docs: $(INSTALLED)
	mkdocs build
	@echo "Open $(CURDIR)/site/index.html; for its search: python -m http.server --directory site"

schema: $(INSTALLED)
	tomoprofile schema

changes: $(INSTALLED)
	TOMOPROFILE_WRITE_PAGES=1 pytest -m deep tests/workflow/test_changes.py

bench: $(INSTALLED)
	python benchmarks/scale.py
	python -m benchmarks.inference
	python -m benchmarks.report

# Finished seeds are kept in the folder build/demo_seeds, which git ignores.
bench-demo: $(INSTALLED)
	python -m benchmarks.demo_seeds build/demo_seeds

# The peers have a separate environment; shared packages have the same versions there.
$(BENCH)/installed: envs/bench.txt envs/lock.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet -r envs/bench.txt
	$(BENCH)/bin/python -m pip check
	@touch $@

# DATA: folder of real scans; without it they are left out.
bench-objects bench-accuracy: export PYTHONPATH := workflow/scripts
bench-objects: $(BENCH)/installed
	for section in peers stage depth; do \
		$(BENCH)/bin/python -m benchmarks.objects $$section $(if $(DATA),--data $(DATA)) || exit 1; \
	done

bench-accuracy: $(BENCH)/installed
	$(BENCH)/bin/python -m benchmarks.accuracy

# nnU-Net, a random forest and dipy, beside the packages of the workflow, which stay as they are.
$(PEERS)/installed: envs/peers.txt $(INSTALLED)
	python -m venv --clear $(PEERS)
	python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' > \
		$$($(PEERS)/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/workflow.pth
	$(PEERS)/bin/python -m pip install --quiet -r envs/peers.txt
	$(PEERS)/bin/python -m pip check
	@touch $@

# Without the peers their runs are not in the plan.
bench-segmentation bench-amplification: export PYTHONPATH := workflow/scripts
bench-segmentation bench-amplification: bench-%: $(INSTALLED)
	$(MAKE) $(PEERS)/installed || echo "The peers cannot be installed here; the others are compared."
	$$(test -e $(PEERS)/installed && echo $(PEERS)/bin/python || echo python) -m benchmarks.$* run

bench-federation: export PYTHONPATH := workflow/scripts
bench-federation: $(INSTALLED)
	python -m benchmarks.federation run

bench-profile: $(INSTALLED)
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m benchmarks.profile

bench-conversion: $(INSTALLED)
	python -m benchmarks.conversion

bench-coverage: $(INSTALLED)
	python -m benchmarks.coverage

clean:
	rm -rf results/demo demo .pytest_cache .ruff_cache .hypothesis
