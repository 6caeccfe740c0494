"""Capture, rounds, decoding and loading against transformers, TransformerLens and nnsight.

    cargo bench --bench model_peer --no-run
    python benches/peers/models.py --out docs/benchmarks.md

Every side is a process of its own that holds the same weights: the GGUF file as it is for us, its weights as
transformers dequantises them for the others. All are held to two threads (--threads) and asked in turn, at least
--repeats times (--long-repeats for what takes minutes); a figure is a median, a ratio that of the medians, its range that
of the turns. --only measures some cases; the page then has the others from --results, where all that was measured is kept.
"""

import argparse
import glob
import json
import os
import shlex
import subprocess
import sys
import tempfile

import curves
import page
from cases import Bench
from sides import ROOT, Sides, environment, machine


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", help="write the page here, as Markdown")
    parser.add_argument("--only", default="", help="substring of the cases to run: see the names that are printed")
    parser.add_argument(
        "--results", default=os.path.join(ROOT, "target/benchmarks.json"), help="what was measured so far"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--long-repeats", type=int, default=3)
    parser.add_argument("--sample", type=int, default=2000, help="comments to read")
    parser.add_argument(
        "--lens-sample", type=int, default=200, help="the first of them, that TransformerLens and nnsight read too"
    )
    parser.add_argument("--our-items", type=int, default=60, help="items of the study")
    parser.add_argument("--study-items", type=int, default=6, help="those of them that transformers is asked too")
    parser.add_argument("--study-repeats", type=int, help="default: as --long-repeats")
    parser.add_argument("--model", default=os.path.join(ROOT, ".models/SmolLM2-135M-Instruct.Q4_1.gguf"))
    parser.add_argument(
        "--data",
        default=os.environ.get("PROBITY_BENCHMARKS", os.path.join(ROOT, "../shared/data")),
        help="folder of the public benchmarks; cases on them are left out where it is not there",
    )
    parser.add_argument("--ours", help="our program; default: the newest target/release/deps/model_peer-*")
    parser.add_argument("--python", default=sys.executable, help="a Python with transformers")
    parser.add_argument("--lens-python", default=sys.executable, help="one with TransformerLens and nnsight")
    parser.add_argument(
        "--weights",
        default=os.path.join(tempfile.gettempdir(), "probity-peer-weights"),
        help="folder of the dequantised weights, made where it is not there",
    )
    arguments = parser.parse_args()
    built = [
        name for name in glob.glob(os.path.join(ROOT, "target/release/deps/model_peer-*")) if not name.endswith(".d")
    ]
    if not arguments.ours and not built:
        sys.exit("build our side first: cargo bench --bench model_peer --no-run")
    arguments.ours = arguments.ours or max(built, key=os.path.getmtime)
    return arguments


def load_results(path):
    if os.path.exists(path):
        with open(path) as file:
            return json.load(file)
    return {"rows": {}, "machine": {}, "versions": {}, "commands": []}


def commit():
    """Which commit is measured; pages may have changed since, such as the one that is being made."""
    ask = lambda *words: subprocess.run(["git", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    output = ask("describe", "--always")
    if output.returncode != 0:
        return "of an unknown version"
    changed = ask("status", "--porcelain", "--", "src", "benches", "Cargo.toml", "Cargo.lock").stdout.strip()
    return f"at {output.stdout.strip()}{'-dirty' if changed else ''}"


def main():
    arguments = parse()
    environment(arguments.threads)
    results = load_results(arguments.results)
    sides = Sides(arguments)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(arguments, sides, folder, {})
        if arguments.only in "machine" or not results["machine"]:
            results["machine"] = machine(arguments)
            print(json.dumps({name: f"{rate / 1e9:.1f}" for name, rate in results["machine"].items()}), flush=True)
        try:
            for case in [
                bench.load,
                bench.capture_equal,
                bench.capture_comments,
                bench.study,
                bench.generation,
                bench.peak,
            ]:
                case()
            curves.measure(bench)
        finally:
            results["rows"].update(bench.rows)
            results["versions"].update(sides.versions)
            sides.close()
            keep(arguments, results)
    if arguments.out:
        page.write(arguments.out, results)


def keep(arguments, results):
    # Without what is a place on this machine.
    settings = ["only", "threads", "repeats", "long_repeats", "sample", "lens_sample"]
    settings += ["our_items", "study_items", "study_repeats"]
    given = [(name, getattr(arguments, name)) for name in settings]
    words = [
        word for name, value in given if value not in (None, "") for word in (f"--{name.replace('_', '-')}", str(value))
    ]
    if not arguments.only:
        results["commands"] = []
    command = shlex.join(["python", "benches/peers/models.py", *words])
    if command not in results["commands"]:
        results["commands"].append(command)
    results.update(program=commit(), threads=arguments.threads)
    os.makedirs(os.path.dirname(os.path.abspath(arguments.results)), exist_ok=True)
    with open(arguments.results, "w") as file:
        json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
