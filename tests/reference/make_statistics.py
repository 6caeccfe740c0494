"""Make the reference fixtures of metrics, intervals, tests and kinds of probes: what scikit-learn and SciPy compute.

    pip install -r requirements.txt
    python make_statistics.py

Writes ../fixtures/statistics: metrics.json, intervals.json, comparisons.json, calibration.json, kinds.json, shares.json.
What neither library has (expected calibration error, the tests of DeLong and of Obuchowski, shares of clustered rows) is computed here in plain
NumPy from its definition, over all pairs and all rows, without the shortcuts that the crate takes.
"""
import json
from pathlib import Path

import numpy as np
import scipy
import sklearn
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.special import expit
from scipy.stats import binomtest, bootstrap, norm
from scipy.stats import t as student
from sklearn.calibration import _sigmoid_calibration
from sklearn.covariance import ledoit_wolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import average_precision_score, balanced_accuracy_score, brier_score_loss, roc_auc_score

OUT = Path(__file__).resolve().parent / "../fixtures/statistics"
VERSIONS = {"numpy": np.__version__, "scipy": scipy.__version__, "scikit-learn": sklearn.__version__}


def write(name, value):
    OUT.mkdir(parents=True, exist_ok=True)
    value = {"versions": VERSIONS, **value}
    (OUT / name).write_text(json.dumps(value, default=lambda x: np.asarray(x).tolist()) + "\n", encoding="utf-8")


# --- metrics ------------------------------------------------------------------------------------------------------

def ece_equal_width(p, y, bins):
    total, edges = 0.0, np.linspace(0, 1, bins + 1)
    for b in range(bins):
        low = p >= 0 if b == 0 else p > edges[b]
        chosen = low & (p <= edges[b + 1])
        if chosen.any():
            total += chosen.sum() * abs(y[chosen].mean() - p[chosen].mean())
    return total / len(p)


def ece_equal_mass(p, y, bins):
    edges = np.quantile(p, np.linspace(0, 1, bins + 1))
    total = 0.0
    for b in range(bins):
        low = p >= edges[0] if b == 0 else p > edges[b]
        high = p <= edges[-1] if b == bins - 1 else p <= edges[b + 1]
        if (low & high).any():
            total += (low & high).sum() * abs(y[low & high].mean() - p[low & high].mean())
    return total / len(p)


def metrics():
    rng, cases = np.random.default_rng(0), []
    for number in range(30):
        n = int(rng.integers(5, 60))
        labels = rng.permutation(np.append([0, 1], rng.random(n) < rng.choice([0.1, 0.5, 0.9]))).astype(int)
        scores = np.round(1.5 * rng.normal(size=n + 2) + labels, 0 if number % 3 == 0 else 1 if number % 3 == 1 else 9)
        p = np.clip(np.round(expit(scores), 2), 0, 1) if number % 2 else expit(scores)
        if number % 5 == 0:
            p[:3] = [1.0, 1.0, 0.0]  # the edges of the first and the last bin
        weights = rng.integers(0, 4, n + 2)
        weights[:2] = 1
        weights[np.flatnonzero(labels == 1)[0]] = 2
        weights[np.flatnonzero(labels == 0)[0]] = 3
        case = {
            "labels": labels, "scores": scores, "weights": weights, "probabilities": p,
            "auroc": roc_auc_score(labels, scores),
            "weighted_auroc": roc_auc_score(labels, scores, sample_weight=weights),
            "average_precision": average_precision_score(labels, scores),
            "weighted_average_precision": average_precision_score(labels, scores, sample_weight=weights),
            "balanced_accuracy": balanced_accuracy_score(labels, scores > 0),
            "brier": brier_score_loss(labels, p),
            "ece": {str(bins): [ece_equal_width(p, labels, bins), ece_equal_mass(p, labels, bins)] for bins in (1, 5, 10, 15)},
        }
        cases.append(case)
    write("metrics.json", {"cases": cases})


# --- intervals ----------------------------------------------------------------------------------------------------

def intervals():
    rng, cases = np.random.default_rng(1), []
    statistics = {"mean": np.mean, "variance": np.var, "ratio": lambda x, axis: np.mean(x, axis) / np.std(x, axis)}
    for name, statistic in statistics.items():
        for level in (0.9, 0.95):
            data = rng.lognormal(size=40)
            found = bootstrap((data,), statistic, n_resamples=400, confidence_level=level, method="BCa", rng=rng)
            jackknife = [statistic(np.delete(data, i), axis=0) for i in range(len(data))]
            cases.append({
                "statistic": name, "level": level, "data": data, "estimate": statistic(data, axis=0), "jackknife": jackknife,
                "draws": found.bootstrap_distribution, "interval": list(found.confidence_interval),
            })
    # Many draws, so that another generator's draws lead to nearly the same bounds.
    data = rng.lognormal(size=60)
    found = bootstrap((data,), np.mean, n_resamples=200_000, method="BCa", rng=rng, batch=10_000)
    write("intervals.json", {"cases": cases, "mean": {"data": data, "interval": list(found.confidence_interval)}})


# --- comparisons --------------------------------------------------------------------------------------------------

def compared(first, second, y, groups):
    """Variance and p-value of the difference of two AUROCs by the definition, over all pairs (Obuchowski 1997)."""
    placements, areas = [], []
    for s in (first, second):
        wins = (s[y == 1][:, None] > s[y == 0][None]) + 0.5 * (s[y == 1][:, None] == s[y == 0][None])
        placements.append((wins.mean(1), wins.mean(0)))
        areas.append(wins.mean())
    v10, v01 = (placements[0][k] - placements[1][k] for k in (0, 1))
    theta = areas[0] - areas[1]
    m, n, names = (y == 1).sum(), (y == 0).sum(), sorted(set(groups))
    x = {g: v10[groups[y == 1] == g] for g in names}
    z = {g: v01[groups[y == 0] == g] for g in names}
    i10, i01, clusters = sum(len(v) > 0 for v in x.values()), sum(len(v) > 0 for v in z.values()), len(names)
    dx = {g: v.sum() - len(v) * theta for g, v in x.items()}
    dz = {g: v.sum() - len(v) * theta for g, v in z.items()}
    s10 = i10 / ((i10 - 1) * m) * sum(d**2 for d in dx.values())
    s01 = i01 / ((i01 - 1) * n) * sum(d**2 for d in dz.values())
    s11 = clusters / (clusters - 1) * sum(dx[g] * dz[g] for g in names)
    variance = s10 / m + s01 / n + 2 * s11 / (m * n)
    return areas, np.sqrt(variance), 2 * norm.sf(abs(theta) / np.sqrt(variance))


def comparisons():
    rng, cases = np.random.default_rng(2), []
    for number in range(12):
        n = int(rng.integers(20, 90))
        y = (rng.random(n) < 0.4).astype(int)
        groups = rng.integers(0, 12, n) if number % 2 else np.arange(n)
        shared = rng.normal(size=n) + 0.7 * rng.normal(size=200)[groups]
        first, second = (np.round(shared + gain * y + rng.normal(size=n), number % 3) for gain in (1.0, 0.5))
        areas, standard_error, p = compared(first, second, y, groups)
        if number % 2 == 0:  # DeLong's covariance by NumPy's own, which must be the same
            parts = []
            for label in (1, 0):
                rows = [((s[y == label][:, None] > s[y != label]) + 0.5 * (s[y == label][:, None] == s[y != label])).mean(1)
                        for s in (first, second)]
                covariance = np.cov(rows)
                parts.append((covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]) / (y == label).sum())
            assert np.isclose(np.sqrt(sum(parts)), standard_error, rtol=1e-12)
        cases.append({"first": first, "second": second, "labels": y, "groups": [str(g) for g in groups], "clustered": bool(number % 2),
                      "areas": areas, "standard_error": standard_error, "p": p})
    write("comparisons.json", {"cases": cases})


# --- calibration --------------------------------------------------------------------------------------------------

def calibration():
    rng, cases = np.random.default_rng(3), []
    for number in range(6):
        n = 60 + 20 * number
        y = (rng.random(n) < [0.5, 0.2, 0.8][number % 3]).astype(int)
        f = [0.2, 1.0, 30.0][number // 2] * (rng.normal(size=n) + 1.2 * y - 0.4)
        scikit = _sigmoid_calibration(f, y)  # p = 1 / (1 + exp(a f + b))
        p, q = y.sum(), n - y.sum()
        targets = np.where(y == 1, (p + 1) / (p + 2), 1 / (q + 2))
        scale = np.abs(f).max()
        loss = lambda w: (np.logaddexp(0, w[0] * f / scale + w[1]) - targets * (w[0] * f / scale + w[1])).sum()
        slope, intercept = minimize(loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-12, "fatol": 1e-14, "maxiter": 10**5}).x
        nll = lambda log_t: np.logaddexp(0, np.where(y == 1, -f, f) / np.exp(log_t)).sum()
        temperature = np.exp(minimize_scalar(nll, bracket=(-3, 3), options={"xtol": 1e-12}).x)
        cases.append({"decisions": f, "labels": y, "scikit": [-scikit[0], -scikit[1]], "platt": [slope / scale, intercept],
                      "temperature": temperature})
    write("calibration.json", {"cases": cases})


# --- kinds of probes ----------------------------------------------------------------------------------------------

def kinds():
    rng, cases = np.random.default_rng(4), []
    for name, n, d, share in (("tall", 90, 8, 0.4), ("wide", 24, 40, 0.5), ("rare", 80, 12, 0.15)):
        y = np.arange(n) < share * n
        rng.shuffle(y)
        x = (rng.normal(size=(n, d)) @ (np.eye(d) + 0.3 * rng.normal(size=(d, d)))) * rng.uniform(0.2, 5, d) + rng.normal(size=d)
        x[:, :3] += 1.5 * y[:, None]
        x = x.astype(np.float32).astype(np.float64)

        z = (x - x.mean(0)) / x.std(0)
        ridge = {str(alpha): RidgeClassifier(alpha=alpha, solver="cholesky").fit(z, y).decision_function(z) for alpha in (0.5, 10.0, float(d))}

        means = np.array([x[y].mean(0), x[~y].mean(0)])
        within = x - np.where(y[:, None], means[0], means[1])
        scale = within.std(0)
        _, auto = ledoit_wolf(within / scale, assume_centered=True)
        # In units of the spread within the classes, scikit-learn's target of the shrinkage (mean variance times the
        # identity) is the crate's.
        discriminant = {}
        for key, shrinkage in (("ledoit_wolf", auto), ("0.3", 0.3), ("1", 1.0)):
            lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(x / scale, y)
            discriminant[key] = lda.decision_function(x / scale)
        log_odds = np.log(y.sum() / (~y).sum())
        cases.append({"name": name, "x": x, "labels": y.astype(int), "ridge": ridge, "shrinkage": auto, "discriminant": discriminant,
                      "log_prior_odds": log_odds, "difference": means[0] - means[1], "midpoint": means.mean(0)})
    write("kinds.json", {"cases": cases})


# --- shares of clustered rows -------------------------------------------------------------------------------------

def score_interval(p, n, z):
    """Where |share - x| = z sqrt(x (1 - x) / n), from the definition."""
    beyond = lambda x: abs(p - x) - z * np.sqrt(x * (1 - x) / n)
    low = 0.0 if p == 0 else brentq(beyond, 1e-15, p - 1e-12, xtol=1e-15)
    high = 1.0 if p == 1 else brentq(beyond, p + 1e-12, 1 - 1e-15, xtol=1e-15)
    return low, high


def effective_rows(holds, groups, level):
    """Rows over the design effect and the price of few clusters (Korn and Graubard 1998)."""
    n, names, p = len(holds), np.unique(groups), holds.mean()
    g = len(names)
    if g == n:
        return float(n)
    if 0 < p < 1:
        # The variance of a mean of rows in clusters is that of the sums of residuals, over n^2.
        sums = np.array([(holds[groups == name] - p).sum() for name in names])
        effect = max(1.0, g * sums.var(ddof=1) / n**2 / (holds.var(ddof=1) / n))
    else:
        effect = np.mean([(groups == group).sum() for group in groups])
    quantile = lambda degrees: student.isf((1 - level) / 2, degrees)
    return n / effect * (quantile(n - 1) / quantile(g - 1)) ** 2


def shares():
    rng, cases = np.random.default_rng(5), []
    for number in range(24):
        n, clusters, level = int(rng.integers(8, 90)), int(rng.integers(3, 30)), [0.95, 0.9, 0.99][number % 3]
        groups = np.arange(n) if number % 6 == 5 else rng.integers(0, clusters, n)
        held = rng.choice([0.1, 0.5, 0.9], n if number % 6 == 5 else clusters)[groups]
        holds = (rng.random(n) < held).astype(float)
        if number in (4, 9):
            holds[:] = number % 2
        if number % 6 == 5:
            ci = binomtest(int(holds.sum()), n).proportion_ci(level, method="wilson")
            assert np.allclose([ci.low, ci.high], score_interval(holds.mean(), n, norm.isf((1 - level) / 2)), atol=1e-12)
        rows = effective_rows(holds, groups, level)
        cases.append({"holds": holds.astype(int), "groups": [str(g) for g in groups], "level": level, "share": holds.mean(),
                      "effective": rows, "interval": score_interval(holds.mean(), rows, norm.isf((1 - level) / 2))})
    write("shares.json", {"cases": cases})


if __name__ == "__main__":
    for step in (metrics, intervals, comparisons, calibration, kinds, shares):
        print(step.__name__, flush=True)
        step()
