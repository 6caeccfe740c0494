"""Make the reference fixture of tests over many columns: what SciPy computes, and enumerations in plain NumPy.

    pip install -r requirements.txt
    python make_inference.py

Writes ../fixtures/inference/tests.json. SciPy has no max-T and no clusters of unequal size: those are enumerated here,
pattern by pattern and row by row.
"""
import itertools
import json
from pathlib import Path

import numpy as np
import scipy
from scipy.optimize import brentq
from scipy.stats import false_discovery_control, nct, permutation_test, t as student, ttest_1samp

OUT = Path(__file__).resolve().parent / "../fixtures/inference"


def clustered_t(values, groups):
    """t of each column's mean with the clustered standard error, row by row."""
    n, names = len(values), sorted(set(groups))
    mean = values.mean(0)
    residuals = np.array([(values[groups == g] - mean).sum(0) for g in names])
    g = len(names)
    error = np.sqrt(g / (g - 1) * (residuals**2).sum(0)) / n
    return mean, error, mean / error


def step_down(observed, flipped):
    """Westfall and Young's algorithm 4.1 over all patterns."""
    order = np.argsort(-observed)
    p, largest = np.ones(len(observed)), 0.0
    for rank, column in enumerate(order):
        rest = order[rank:]
        largest = max(largest, np.mean(flipped[:, rest].max(1) >= observed[column] * (1 - 1e-9)))
        p[column] = largest
    return p


def flips():
    rng, cases = np.random.default_rng(3), []
    for number in range(8):
        g = int(rng.integers(4, 11))
        sizes = rng.integers(1, 4, g) if number % 2 else np.ones(g, int)
        groups = np.repeat(np.arange(g), sizes)
        values = rng.normal(size=(g, 5))[groups] + 0.5 * rng.standard_t(4, size=(len(groups), 5)) + [2, 1, 0.5, 0, 0]
        order = rng.permutation(len(groups))
        values, groups = values[order], groups[order]
        mean, error, t = clustered_t(values, groups)
        signs = np.array(list(itertools.product([1, -1], repeat=g)))
        flipped = np.array([np.abs(clustered_t(values * pattern[groups][:, None], groups)[2]) for pattern in signs])
        observed = np.abs(t)
        case = {
            "values": values, "groups": [f"g{k}" for k in groups], "means": mean, "standard_errors": error, "t": t,
            "p": [np.mean(flipped[:, c] >= observed[c] * (1 - 1e-9)) for c in range(5)],
            "single_step": [np.mean(flipped.max(1) >= observed[c] * (1 - 1e-9)) for c in range(5)],
            "step_down": step_down(observed, flipped),
        }
        if not number % 2:
            absolute_t = lambda x, axis: np.abs(x.mean(axis)) / (x.std(axis, ddof=1) / np.sqrt(x.shape[axis]))
            case["scipy_p"] = [
                permutation_test((values[:, c],), absolute_t, permutation_type="samples", alternative="greater",
                                 vectorized=True, n_resamples=2**g).pvalue for c in range(5)]
            case["scipy_t"] = ttest_1samp(values, 0).statistic
            margin = 0.8
            above = ttest_1samp(values, -margin, alternative="greater").pvalue
            below = ttest_1samp(values, margin, alternative="less").pvalue
            case["tost"] = {"margin": margin, "p_no_reduction": above, "p_no_increase": below, "p": np.maximum(above, below)}
            case["interval"] = np.transpose(ttest_1samp(values, 0).confidence_interval(0.9))
        cases.append(case)
    return cases


def discoveries():
    rng, cases = np.random.default_rng(4), []
    for m in (1, 2, 7, 40):
        p = np.round(rng.uniform(size=m) ** 2, 2 if m == 40 else 9)  # with ties
        cases.append({"p": p, "bh": false_discovery_control(p, method="bh"), "by": false_discovery_control(p, method="by")})
    return cases


def power():
    cases = []
    for degrees in (2, 9, 49, 499):
        for critical in (student.isf(0.025, degrees), 3.2):
            chance = lambda effect: nct.sf(critical, degrees, effect) + np.nan_to_num(nct.cdf(-critical, degrees, effect))
            cases.append({
                "degrees": degrees, "critical": critical, "effects": [0.0, 0.5, 1.7, 4.0],
                "power": [chance(e) if e else 2 * student.sf(critical, degrees) for e in (0.0, 0.5, 1.7, 4.0)],
                "detectable": brentq(lambda effect: chance(effect) - 0.8, 0.01, 20, xtol=1e-12),
            })
    return cases


def cumulative():
    return [{"t": t, "degrees": d, "p": student.cdf(t, d)} for d in (1, 2.5, 7, 49, 1000) for t in (-6.0, -1.3, 0.0, 0.2, 2.2)]


OUT.mkdir(parents=True, exist_ok=True)
value = {"versions": {"numpy": np.__version__, "scipy": scipy.__version__}, "flips": flips(), "discoveries": discoveries(),
         "power": power(), "cumulative": cumulative()}
(OUT / "tests.json").write_text(json.dumps(value, default=lambda x: np.asarray(x).tolist()) + "\n", encoding="utf-8")
