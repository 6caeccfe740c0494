"""Capture, rounds, decoding and loading against transformers, TransformerLens and nnsight, alternating in one run.

    cargo bench --bench model_peer --no-run
    python benches/peers/models.py --out docs/benchmarks.md

Every side is a process of its own that holds the same weights: the GGUF file as it is for us, its weights as
transformers dequantises them for the others. All are held to two threads (--threads) and asked in turn, at least
--repeats times (--long-repeats for what takes minutes); a figure is a median, a ratio that of the medians, its range that
of the turns.
"""

import argparse
import csv
import glob
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", help="write the page here, as Markdown")
    parser.add_argument("--only", default="", help="substring of the cases to run")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--long-repeats", type=int, default=3)
    parser.add_argument("--sample", type=int, default=2000, help="comments to read")
    parser.add_argument("--model", default=os.path.join(ROOT, ".models/SmolLM2-135M-Instruct.Q4_1.gguf"))
    parser.add_argument("--data", default=os.path.join(ROOT, "../shared/data"), help="folder of the benchmarks")
    parser.add_argument("--ours", help="our program; default: the newest target/release/deps/model_peer-*")
    parser.add_argument("--weights", default=os.path.join(tempfile.gettempdir(), "probity-peer-weights"))
    arguments = parser.parse_args()
    if arguments.ours is None:
        programs = [name for name in glob.glob(os.path.join(ROOT, "target/release/deps/model_peer-*")) if not name.endswith(".d")]
        if not programs:
            sys.exit("build our side first: cargo bench --bench model_peer --no-run")
        arguments.ours = max(programs, key=os.path.getmtime)
    return arguments


class Side:
    """A process that answers requests."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.loaded = self.answer()

    def ask(self, do, **request):
        self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args} ended early")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Sides:
    """Starts a side when it is first asked for."""

    def __init__(self, arguments):
        self.arguments, self.running = arguments, {}

    def __getitem__(self, name):
        if name not in self.running:
            self.running[name] = self.start(name)
        return self.running[name]

    def start(self, name):
        arguments = self.arguments
        if name in ("f32", "bf16"):
            return Side(arguments.ours, arguments.model, name)
        if not os.path.exists(os.path.join(arguments.weights, "model.safetensors")):
            side = Side(sys.executable, os.path.join(HERE, "transformers_side.py"), arguments.model)
            side.ask("save", folder=arguments.weights)
            side.close()
        return Side(sys.executable, os.path.join(HERE, "transformers_side.py"), arguments.weights)

    def close(self):
        for side in self.running.values():
            side.close()
        self.running = {}


def alternate(repeats, ours, theirs):
    """Answers of both, asked in turn after one unmeasured question each."""
    ours(), theirs()
    return [(ours(), theirs()) for _ in range(repeats)]


def report(name, target, turns, note=""):
    ours, theirs = [[answer["seconds"] for answer in side] for side in zip(*turns)]
    ratio = statistics.median(theirs) / statistics.median(ours)
    ratios = [b / a for a, b in zip(ours, theirs)]
    print(f"{name}: ours {statistics.median(ours):.3f} s, peer {statistics.median(theirs):.3f} s, ratio {ratio:.2f} "
          f"[{min(ratios):.2f}, {max(ratios):.2f}] (wanted {target}){note}", flush=True)


def write_texts(folder, name, texts):
    path = os.path.join(folder, name + ".jsonl")
    with open(path, "w") as file:
        file.writelines(json.dumps({"id": str(number), "text": text}) + "\n" for number, text in enumerate(texts))
    return path


def equal_texts(rows, tokens):
    """Texts of just so many tokens, each beginning otherwise; each word is one token."""
    words = [" river", " stone", " market", " window", " letter", " winter", " garden", " bridge"]
    return ["".join(words[(row + at) % len(words)] for at in range(tokens)) for row in range(rows)]


def comments(data, count):
    csv.field_size_limit(1 << 30)
    with open(os.path.join(data, "jigsaw/comments.csv"), newline="") as file:
        return [row["comment_text"] for _, row in zip(range(count), csv.DictReader(file))]


def prompts(count):
    """Beginnings of texts, of unlike length: contexts and questions of the bundled items."""
    with open(os.path.join(ROOT, "data/ambiguous_qa.jsonl")) as file:
        items = [json.loads(line) for _, line in zip(range(count), file)]
    return [f"{item['context']} {item['question']}" for item in items]


def difference(ours, theirs):
    """Largest difference of states as a share of the largest state of its address, and cosines of rows."""
    import numpy as np
    from safetensors import safe_open

    worst, cosines = 0.0, []
    with safe_open(ours, "np") as ours, safe_open(theirs, "np") as theirs:
        if set(ours.keys()) != set(theirs.keys()):
            sys.exit("the sides kept states of different addresses")
        for address in theirs.keys():
            a, b = ours.get_tensor(address).astype(np.float64), theirs.get_tensor(address).astype(np.float64)
            worst = max(worst, np.abs(a - b).max() / np.abs(b).max())
            cosines.append((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))
    cosines = np.concatenate(cosines)
    return worst, cosines.min(), np.median(cosines)


def agreement(ours, theirs):
    """Rows with the same tokens, and the share of tokens before the first that differs."""
    same = sum(a == b for a, b in zip(ours, theirs))
    first = [next((at for at, (x, y) in enumerate(zip(a, b)) if x != y), len(a)) for a, b in zip(ours, theirs)]
    return f"; {same} of {len(ours)} rows the same {len(ours[0])} tokens, first difference at {min(first)}"


def capture_equal(sides, arguments, folder):
    texts = write_texts(folder, "equal", equal_texts(8, 128))
    for precision, target in [("f32", 1.05), ("bf16", 2)]:
        case = f"capture 8x128 {precision}"
        if arguments.only not in case:
            continue
        ours, theirs = (os.path.join(folder, name) for name in ("ours", "theirs"))
        a = sides[precision].ask("capture", texts=texts, dump=ours)
        b = sides["transformers"].ask("capture", texts=texts, batch=8, dump=theirs)
        assert a["tokens"] == b["tokens"] == 8 * 128, (a, b)
        worst, least, middle = difference(ours, theirs)
        turns = alternate(arguments.repeats, lambda: sides[precision].ask("capture", texts=texts),
                          lambda: sides["transformers"].ask("capture", texts=texts, batch=8))
        report(case, target, turns, f"; states differ by {worst:.1e}, cosine {least:.5f}, median {middle:.6f}")


def capture_comments(sides, arguments, folder):
    texts = write_texts(folder, "comments", comments(arguments.data, arguments.sample))
    for precision, target in [("f32", 1.5), ("bf16", 2)]:
        case = f"capture comments {precision}"
        if arguments.only not in case:
            continue
        ours, theirs = (os.path.join(folder, name) for name in ("ours", "theirs"))
        turns = [(sides[precision].ask("capture", texts=texts, dump=ours),
                  sides["transformers"].ask("capture", texts=texts, batch=16, dump=theirs))
                 for _ in range(arguments.long_repeats)]
        a, b = turns[0]
        assert a["tokens"] == b["tokens"], (a, b)
        worst, least, middle = difference(ours, theirs)
        report(f"{case}, {arguments.sample} texts", target, turns,
               f"; {a['tokens']} tokens, states differ by {worst:.1e}, cosine {least:.5f}, median {middle:.6f}")


def generation(sides, arguments, folder):
    targets = {("f32", 1): 1.2, ("f32", 8): 1.3, ("f32", 32): 1.8, ("bf16", 1): 2, ("bf16", 8): 3, ("bf16", 32): 3}
    for (precision, batch), target in targets.items():
        case = f"generate 64, batch {batch}, {precision}"
        if arguments.only not in case:
            continue
        texts = prompts(batch)
        turns = alternate(arguments.repeats, lambda: sides[precision].ask("generate", prompts=texts, tokens=64),
                          lambda: sides["transformers"].ask("generate", prompts=texts, tokens=64))
        a, b = turns[0]
        rate = 64 * batch / statistics.median(turn[0]["seconds"] for turn in turns)
        report(case, target, turns, f"; ours {rate:.1f} tokens/s, reading {a['reading_seconds']:.3f} s"
               + agreement(a["ids"], b["ids"]))


def main():
    arguments = parse()
    for name in ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"]:
        os.environ[name] = str(arguments.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["HF_HUB_OFFLINE"] = "1"
    sides = Sides(arguments)
    with tempfile.TemporaryDirectory() as folder:
        for case in [capture_equal, generation, capture_comments]:
            case(sides, arguments, folder)
    sides.close()


if __name__ == "__main__":
    main()
