# `make demo` and `make test` do all their own set-up: libtorch into .libtorch/, a small model into .models/.
# Both are pinned by version and sha256 and skipped when there. A LIBTORCH of your own is respected.

CARGO ?= cargo
PYTHON ?= python3
MODEL := .models/SmolLM2-135M-Instruct.Q4_1.gguf

# Where `make bench-peers` puts what it measures against; a Python of your own that has it wins.
ifeq ($(origin PEER_PYTHON), undefined)
PEER_PYTHON := target/peers/bin/python
PEERS := target/peers/installed
endif

.PHONY: demo picture test check bench bench-peers fidelity schema setup clean

# The study on a small instruction-tuned model; writes out/demo/report.html. One package: without the features of the tests.
demo: setup
	$(CARGO) run --locked --release --package probity --example self_correction -- --model $(MODEL) --out out/demo

# The README's picture, docs/report.png, of that page; wants a Chromium.
picture:
	$(PYTHON) tools/picture.py

# All tests, doctests and examples. With the model at hand none of them may skip.
test: setup
	PROBITY_REQUIRE_MODEL=1 $(CARGO) test --locked --release

# What continuous integration asks for beyond the tests.
check: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --release --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked --release --package probity --lib -- -D warnings
	$(CARGO) clippy --locked --release --package probity --lib --features parquet -- -D warnings
	$(CARGO) test --locked --release --features parquet --test it activation_store::
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --release --package probity --no-deps --features gguf,schema

# Errors by family, site and precision against transformers' fixtures, to docs/fidelity.md.
fidelity: setup
	PROBITY_FIDELITY_TABLE=docs/fidelity.md $(CARGO) test --locked --release --test it families::every_site

# The JSON schema of report.json, from the types to docs/report.schema.json.
schema: setup
	PROBITY_WRITE_SCHEMA=1 $(CARGO) test --locked --release --package probity-tests --test it schema::the_file

bench: setup
	$(CARGO) bench --locked

# Against transformers, TransformerLens and nnsight, to docs/benchmarks.md; takes an hour or two on a machine at rest.
# PEER_FLAGS go to the script: benches/peers/models.py --help.
bench-peers: setup $(PEERS)
	$(CARGO) bench --locked --bench model_peer --no-run
	$(PEER_PYTHON) benches/peers/models.py --out docs/benchmarks.md $(PEER_FLAGS)

target/peers/installed: benches/peers/requirements.txt
	$(PYTHON) -m venv target/peers
	target/peers/bin/pip install --quiet --requirement benches/peers/requirements.txt
	touch $@

setup:
	$(PYTHON) tools/setup.py libtorch model

clean:
	$(CARGO) clean
	rm -rf out
