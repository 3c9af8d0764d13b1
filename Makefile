# `make help` lists the targets. What they need is Python 3.10 or newer, git and make; the rest they fetch.

.DEFAULT_GOAL := help
.PHONY: help venv tex browser demo test firefox test-torch gpu bench-frameworks audit-long fuzz mutation versions bench documents \
        generated check-generated site picture references wheel clean

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PEERS  := $(VENV)/.frameworks

# make test FRAMEWORKS=1: with the tests that need other packages, and none skipped because its package is missing.
FRAMEWORKS ?=
EVERYTHING := $(filter-out 0,$(FRAMEWORKS))
SPEC   ?= specs/peephole_lstm.yaml

TEX_PACKAGES := texlive-latex-base texlive-latex-recommended texlive-pictures
TEX_PACKAGES += $(if $(EVERYTHING),poppler-utils)
TEX_FILES    := scrartcl.cls tikz.sty booktabs.sty listings.sty mathtools.sty microtype.sty
HAS_TEX      := command -v pdflatex >/dev/null 2>&1 && kpsewhich $(TEX_FILES) >/dev/null 2>&1 \
                $(if $(EVERYTHING),&& command -v pdftoppm >/dev/null 2>&1)

HAS_CC := $(shell command -v cc || command -v gcc || command -v clang)

SAY   := printf '%-12s %s\n'
PIP   := $(BIN)/python -m pip --disable-pip-version-check -qq
BUILD := $(BIN)/lstmgen build

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(READY)  ## the environment, in .venv
	@:

# The stamp holds the folder it was made in: an environment that was moved is made anew.
ifneq ($(shell cat $(READY) 2>/dev/null),$(CURDIR))
.PHONY: $(READY)
endif

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  $(SAY) python "lstmgen needs Python 3.10 or newer; if you have one under another name:"; \
	  $(SAY) "" "make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  $(SAY) python "$(PYTHON) cannot make environments; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(SAY) venv "making $(VENV), which takes about a minute, once"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --editable '.[test]'
	@printf '%s\n' '$(CURDIR)' > $@

# PyTorch goes first, so that no other package's range chooses its version. Its wheels for the CPU alone lie on an index
# of its own: to use that one, give pip PIP_EXTRA_INDEX_URL.
$(PEERS): $(READY)
	@$(SAY) frameworks "installing PyTorch, JAX, Keras and ONNX Runtime, to compare with"
	@$(PIP) install --editable '.[torch]'
	@$(PIP) install --editable '.[frameworks]'
	@touch $@

# Without TeX everything but the PDFs works, so this never fails.
tex:  ## TeX, where it is missing and can be installed
	@$(HAS_TEX) && exit 0; \
	if ! command -v apt-get >/dev/null 2>&1; then root=none; \
	elif [ "$$(id -u)" = 0 ]; then root=; \
	elif sudo -n true 2>/dev/null; then root='sudo -n'; \
	else root=none; fi; \
	if [ "$$root" != none ]; then \
	  $(SAY) tex "installing $(TEX_PACKAGES)"; \
	  apt="$$root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300"; \
	  { $$apt update; $$apt install -y --no-install-recommends $(TEX_PACKAGES); } >/dev/null </dev/null; \
	  $(HAS_TEX) && exit 0; \
	fi; \
	$(SAY) tex "no complete TeX$(if $(EVERYTHING), with pdftoppm) is installed, so PDFs are skipped; they need"; \
	$(SAY) "" "Debian, Ubuntu: apt-get install --no-install-recommends $(TEX_PACKAGES)"; \
	$(SAY) "" "elsewhere: TeX Live or MiKTeX with KOMA-Script, TikZ, booktabs, listings, mathtools, microtype"

# Without a browser the tests of the page are skipped, so this never fails.
HAS_BROWSER := command -v chromedriver >/dev/null 2>&1 && { command -v chromium || command -v google-chrome; } >/dev/null 2>&1
browser:  ## Chromium for the tests of the page, where it is missing and can be installed
	@$(HAS_BROWSER) && exit 0; \
	if command -v apt-get >/dev/null 2>&1 && { [ "$$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then \
	  $(SAY) browser "installing chromium chromium-driver"; \
	  apt="$$([ "$$(id -u)" = 0 ] || echo sudo -n) env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300"; \
	  { $$apt update; $$apt install -y --no-install-recommends chromium chromium-driver; } >/dev/null </dev/null; \
	  $(HAS_BROWSER) && exit 0; \
	fi; \
	$(SAY) browser "no Chromium with chromedriver is installed, so the tests of the page are skipped; they need"; \
	$(SAY) "" "Debian: apt-get install --no-install-recommends chromium chromium-driver"

demo: venv tex  ## a peephole LSTM: module, derivation, PDF; then a character model trained with it
	@$(BUILD) $(SPEC) -o generated $$($(HAS_TEX) && echo --pdf || echo --no-pdf)
	@for file in generated/$(basename $(notdir $(SPEC))).*; do $(SAY) demo "$$file"; done
	@$(if $(HAS_CC),$(BUILD) $(SPEC) --target c -o build/c >/dev/null)
	@$(BIN)/python examples/char_model.py --short $(if $(HAS_CC),--in-c build/c)

# The tests run even where ruff finds something, so that one run tells all. FRAMEWORKS is for tests/conftest.py.
test: venv tex $(if $(EVERYTHING),$(PEERS) browser)  ## all tests; FRAMEWORKS=1: also against PyTorch, JAX, Keras and others
	@$(BIN)/ruff check --quiet --output-format concise .; style=$$?; \
	FRAMEWORKS=$(EVERYTHING) $(BIN)/python -m pytest -q -n auto && exit $$style

firefox: venv  ## the tests of the page in Firefox, where it is installed: Debian's firefox-esr
	@LSTMGEN_BROWSER=firefox $(BIN)/python -m pytest -q -n auto tests/test_page.py tests/test_page_latex.py

test-torch: venv $(PEERS)  ## the PyTorch output of every cell, compiled by torch.compile too
	@LSTMGEN_TORCH_LONG=1 $(BIN)/python -m pytest -q -n auto tests/test_torch_output.py

gpu: venv $(PEERS)  ## proofs and times of the PyTorch and JAX outputs on a GPU, where there is one
	@PYTHONPATH=. $(BIN)/python benchmarks/gpu.py

# On Debian: gcc-aarch64-linux-gnu, gcc-arm-linux-gnueabihf, qemu-user and clang make it complete.
C_TESTS := $(BIN)/python -m pytest -q -n auto tests/test_c_program.py -k every_cell
CROSS    = command -v $(1) >/dev/null && command -v $(2) >/dev/null || { $(SAY) test-c "no $(1) or $(2)"; exit 0; }; \
           $(SAY) test-c "$(1) under $(2)"; CC="$(1) -static" RUN=$(2) $(C_TESTS)
test-c: venv  ## the C of every cell: with sanitizers, with clang, and on other machines, as far as they are installed
	@$(SAY) test-c "address and undefined behaviour"
	@CC="cc -fsanitize=address,undefined -fno-sanitize-recover=all" $(C_TESTS)
	@command -v clang >/dev/null || { $(SAY) test-c "no clang"; exit 0; }; $(SAY) test-c clang; CC=clang $(C_TESTS)
	@$(call CROSS,aarch64-linux-gnu-gcc,qemu-aarch64)
	@$(call CROSS,arm-linux-gnueabihf-gcc,qemu-arm)

# COUNT claims of each kind for each spec, PAIRS of mistakes for each of some cells.
COUNT ?= 60
PAIRS ?= 20
audit-long: venv  ## audits thousands of true claims and of mutated ones, and pairs of mistakes
	@PYTHONPATH=. $(BIN)/python tests/rewriting.py $(COUNT)
	@PYTHONPATH=. $(BIN)/python tests/mistakes.py $(PAIRS)

# FAULTS of the thousands that the tool knows, drawn from one seed; 0 is all of them.
FAULTS ?= 300
FAULT_SEED ?= 0
mutation: venv  ## makes FAULTS faults on purpose, one at a time: do proofs and tests notice?
	@$(BIN)/python tests/mutation.py $(FAULTS) $(FAULT_SEED)

# The inputs that nobody would write, then cells that nobody wrote.
MINUTES ?= 20
CELLS ?= 500
fuzz: venv  ## throws mutated inputs at the reader for MINUTES, and proves CELLS random cells
	@PYTHONPATH=. $(BIN)/python tests/fuzz.py $(MINUTES)
	@PYTHONPATH=. $(BIN)/python tests/random_cells.py $(CELLS)

versions: venv  ## builds all specs with old and new Pythons, SymPys and NumPys: the same bytes?
	@$(BIN)/python tests/versions.py

bench: $(READY)  ## times generated modules and C beside PyTorch, JAX and autograd, and the generator: docs/performance.md
	@$(SAY) bench "installing what to compare with"
	@$(PIP) install --editable '.[bench]'
	@$(BIN)/python benchmarks/modules.py $(if $(QUICK),--quick)
	@$(if $(QUICK),true,$(BIN)/python benchmarks/generator.py)
	@$(if $(and $(HAS_CC),$(if $(QUICK),,full)),$(BIN)/python benchmarks/native.py)

bench-frameworks: venv $(PEERS)  ## times the PyTorch and JAX outputs beside other ways: docs/performance.md
	@PYTHONPATH=. $(BIN)/python benchmarks/frameworks.py $(if $(QUICK),--quick)

documents: venv tex  ## sets every document in every notation, tells what leaves its margins
	@$(BIN)/python tests/documents.py

generated: venv  ## rebuilds generated/ and docs/zoo.md from specs/
	@$(BUILD) specs/*.yaml -o generated --force
	@$(BIN)/python -m lstmgen.document.catalogue > docs/zoo.md

check-generated: venv  ## is generated/ what specs/ gives?
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && trap 'exit 1' INT TERM && \
	$(BUILD) specs/*.yaml -o "$$fresh" && \
	{ diff -ru -x '*.pdf' -x __pycache__ generated "$$fresh" || { \
	  $(SAY) generated "is out of step with specs/, as shown; to rebuild it: make generated"; exit 1; }; }

# The PDFs of all cells take some minutes: make site PDF= leaves them out.
PDF ?= 1
site: venv tex  ## the cells as a site, in build/site: pages, PDFs, an index with drawings, docs/ beside them; checks links
	@$(PIP) install --editable '.[site]'
	@$(BUILD) specs/*.yaml -o build/site/cells --html --force \
	  $$([ -n "$(PDF)" ] && $(HAS_TEX) && echo --pdf || echo --no-document)
	@$(BIN)/python tests/zoo_site.py build/site

# PAGE is the page with the adjoint of c; look at the picture whenever the document has changed.
PAGE ?= 4
picture: venv tex  ## docs/images/page.png, the page that README.md shows
	@$(BUILD) specs/peephole_lstm.yaml -o generated --pdf
	@pdftoppm -png -singlefile -r 80 -f $(PAGE) -l $(PAGE) -x 50 -y 30 -W 560 -H 840 \
	  generated/peephole_lstm.pdf docs/images/page
	@$(SAY) picture docs/images/page.png

references: $(PEERS)  ## records other implementations' results anew, in tests/references
	@$(BIN)/python tests/references/record.py

wheel: venv  ## wheel and source distribution, in dist/
	@$(BIN)/python -m build --no-isolation --outdir dist . >/dev/null
	@for file in dist/*; do $(SAY) wheel "$$file"; done

clean:  ## removes the environment and all that can be made anew, PDFs included
	@rm -rf $(VENV) dist build .pytest_cache .ruff_cache .mypy_cache .hypothesis *.egg-info generated/*.pdf
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
