# Everything is set up on the way: each target makes .venv and installs what it needs, once.
# ARGS goes to the program run: make test ARGS="-k tiling"

BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench accuracy translation-accuracy clean

help:  ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' Makefile

demo:  ## set up, then open napari with a segmented sample (no screen: write demo-output/)
	@tools/setup all
	@tools/demo $(ARGS)

test:  ## set up, then run the whole suite, a file of tests to a processor
	@tools/setup test
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile $(ARGS)

lint:  ## set up, then check style, types, layers and the manifest
	@tools/setup dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/npe2 validate src/napari_axongen/napari.yaml

bench:  ## set up, then print every figure as a ratio
	@tools/setup test
	$(BIN)/python -m benchmarks $(ARGS)

accuracy:  ## set up, then score the shipped segmenters on real images (docs/accuracy.md)
	@tools/setup test
	$(BIN)/python -m benchmarks.accuracy

translation-accuracy:  ## set up, then judge translations on real images (docs/translation-accuracy.md)
	@tools/setup test
	$(BIN)/python -m benchmarks.translation $(ARGS)

clean:  ## remove .venv and everything made by the targets above
	rm -rf .venv build dist demo-output .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
