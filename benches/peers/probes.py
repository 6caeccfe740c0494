"""Logistic probes against scikit-learn on the same arrays, alternating in one run.

    cargo bench --bench probe_peer --no-run
    python benches/peers/probes.py --out docs/benchmarks-probes.md

Both sides start from the raw f32 states and standardise them (StandardScaler there). Both are held to two threads
(--threads). scikit-learn's tolerance is the largest power of ten, from its default 1e-4 down, whose objective lies
within 1e-4 of ours; objectives of both are computed here, in f64, on the same standardised f64 states. Medians of
--repeats alternating runs. Sweeps: the same folds, strengths and control labels on both sides; scikit-learn then
refits at the strength that ours chose. A sweep of scikit-learn takes minutes: it runs once unless --sweep-repeats, and
with --sample only its first fold and first four control draws do, their times multiplied (the table says so).
"""

import argparse
import glob
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--out", help="write the table here, as Markdown")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--repeats", type=int, default=5)
parser.add_argument("--sweep-repeats", type=int, default=1)
parser.add_argument("--sample", action="store_true", help="time one fold and four draws of scikit-learn's sweeps")
parser.add_argument("--only", default="", help="substring of the cases to run")
parser.add_argument("--peer", help="our program; default: the newest target/release/deps/probe_peer-*")
arguments = parser.parse_args()
for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"]:
    os.environ[name] = str(arguments.threads)

import numpy as np  # noqa: E402
import scipy  # noqa: E402
import sklearn  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402


def states(n, d, seed=7):
    """Noise and 32 shared factors of falling size, columns of very unequal scale and offset; labels from a logistic
    model along one direction."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d), dtype=np.float32)
    size = 6 / np.sqrt(1 + np.arange(32, dtype=np.float32))
    x += (rng.standard_normal((n, 32), dtype=np.float32) * size) @ rng.standard_normal((32, d), dtype=np.float32)
    scores = x @ rng.standard_normal(d).astype(np.float32)
    y = rng.random(n) < 1 / (1 + np.exp(-1.5 * scores / scores.std()))
    x *= np.exp(rng.standard_normal(d)).astype(np.float32)
    x += rng.standard_normal(d).astype(np.float32)
    return x, y


class Ours:
    def __init__(self, folder, x, y):
        path = os.path.join(folder, "case.safetensors")
        save_file({"x": x, "y": y.astype(np.uint8)}, path)
        programs = [name for name in glob.glob("target/release/deps/probe_peer-*") if not name.endswith(".d")]
        program = arguments.peer or max(programs, key=os.path.getmtime)
        self.process = subprocess.Popen([program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("our side ended early")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def objective(z, y, alpha, weights, intercept):
    weights = weights.astype(np.float64)
    scores = z @ weights + intercept
    return np.logaddexp(0, np.where(y, -scores, scores)).sum() + alpha / 2 * weights @ weights


def peer_fit(x, y, alpha, tol):
    started = time.perf_counter()
    scaler = StandardScaler()
    model = LogisticRegression(C=1 / alpha, tol=tol, max_iter=100_000).fit(scaler.fit_transform(x), y)
    return time.perf_counter() - started, model


rows, notes = [], []


def report(case, ours, theirs, target, detail):
    ratio = statistics.median(theirs) / statistics.median(ours)
    rows.append((case, statistics.median(ours), statistics.median(theirs), ratio, target, detail))
    print(f"{case}: ours {statistics.median(ours):.3f} s, scikit-learn {statistics.median(theirs):.3f} s, "
          f"ratio {ratio:.2f} (wanted {target}); {detail}", flush=True)


def fits(folder, n, d):
    x, y = states(n, d)
    ours = Ours(folder, x, y)
    z = StandardScaler().fit_transform(x.astype(np.float64))
    for name, alpha in [("d", float(d)), ("1", 1.0)]:
        case = f"fit {n}x{d}, alpha {name}"
        if arguments.only not in case:
            continue
        answer = ours.ask("fit", alpha)
        raw = np.array(answer["weights"])
        mean, scale = x.astype(np.float64).mean(0), x.astype(np.float64).std(0)
        best = objective(z, y, alpha, raw[:-1] * scale, raw[-1] + raw[:-1] @ mean)
        for tol in [1e-4, 1e-5, 1e-6, 1e-7, 1e-8]:
            _, model = peer_fit(x, y, alpha, tol)
            theirs = objective(z, y, alpha, model.coef_[0], model.intercept_[0])
            if theirs / best - 1 < 1e-4:
                break
        times = [(ours.ask("fit", alpha)["seconds"], peer_fit(x, y, alpha, tol)[0]) for _ in range(arguments.repeats)]
        peak = answer["peak_bytes"]
        copies = peak[1] / x.nbytes if peak[1] else float("nan")
        report(case, *zip(*times), "1", f"objective ours/theirs - 1 = {best / theirs - 1:.1e}, tol {tol:.0e}, "
               f"{model.n_iter_[0]} iterations, converged {answer['fit']['converged']}, "
               f"{answer['fit']['solver_runs']} linfa run(s), the process's peak, raw states included: {copies:.2f} f32 designs")
    ours.close()


def sweep(folder, n, d, folds=5, count=8, draws=20):
    case = f"sweep {n}x{d}, {folds} folds x {count} strengths"
    if arguments.only not in case:
        return
    x, y = states(n, d)
    ours = Ours(folder, x, y)
    low, high = d * 1e-3, d * 1e3
    plain, whole = ([], []), ([], [])
    for _ in range(arguments.sweep_repeats):
        answer = ours.ask("sweep", low, high, count, folds, draws)
        fold_of = np.array(answer["fold_of"])
        plain[0].append(answer["sweep_seconds"])
        whole[0].append(answer["seconds"])
        timed_folds = 1 if arguments.sample else folds
        timed_draws = min(4, draws) if arguments.sample else draws
        seconds, worst = 0.0, 0.0
        for strength in answer["curve"]["tried"]:
            losses = 0.0
            for fold in range(timed_folds):
                train, test = fold_of != fold, fold_of == fold
                started = time.perf_counter()
                scaler = StandardScaler().fit(x[train])
                model = LogisticRegression(C=1 / strength["alpha"], max_iter=100_000)
                model.fit(scaler.transform(x[train]), y[train])
                scores = model.decision_function(scaler.transform(x[test]))
                losses += np.logaddexp(0, np.where(y[test], -scores, scores)).sum()
                seconds += (time.perf_counter() - started) * folds / timed_folds
            worst = max(worst, abs(losses / n / strength["log_loss"] - 1))
        seconds += peer_fit(x, y, answer["alpha"], 1e-4)[0]
        plain[1].append(seconds)
        for labels in answer["draw_labels"][:timed_draws]:
            seconds += peer_fit(x, np.array(labels), answer["alpha"], 1e-4)[0] * draws / timed_draws
        whole[1].append(seconds)
        unconverged = sum(not strength["converged"] for strength in answer["curve"]["tried"])
        bad = sum(not fit["converged"] for fit in answer["draws"])
    peak = answer["peak_bytes"]
    agree = "scikit-learn: one fold x 5" if arguments.sample else f"held-out log-loss differs by {worst:.1e} at most"
    detail = (f"chosen alpha {answer['alpha']:.4g}; {agree}; strengths with an "
              f"unconverged fold: {unconverged}; the process's peak: {peak[1] / x.nbytes:.2f} f32 designs")
    report(case, *plain, "5", detail)
    report(f"{case}, and {draws} control draws", *whole, "10", f"unconverged draws: {bad}"
           + ("; scikit-learn: four draws x 5" if arguments.sample else ""))
    ours.close()


def cpu():
    with open("/proc/cpuinfo") as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor()


with tempfile.TemporaryDirectory() as folder:
    for n, d in [(10_000, 576), (2_000, 4_096), (10_000, 4_096)]:
        fits(folder, n, d)
    sweep(folder, 2_000, 576)
    sweep(folder, 10_000, 4_096)

if arguments.out:
    with open(arguments.out, "w") as file:
        file.write(f"""# Logistic probes against scikit-learn

Made by `python benches/peers/probes.py --out docs/benchmarks-probes.md` (after `cargo bench --bench probe_peer --no-run`):
its head says what is timed. {cpu()}; {arguments.threads} threads each; Python {platform.python_version()}, NumPy
{np.__version__}, SciPy {scipy.__version__}, scikit-learn {sklearn.__version__}. Seconds are medians; ratio above 1: ours is faster.

| case | ours, s | scikit-learn, s | ratio | wanted | |
|---|--:|--:|--:|--:|---|
""")
        for case, ours, theirs, ratio, target, detail in rows:
            file.write(f"| {case} | {ours:.3f} | {theirs:.3f} | {ratio:.2f} | {target} | {detail} |\n")
