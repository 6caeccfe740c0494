"""A random factor (wordings) crossed with clusters (groups of items): the two-way variance of a mean, by matrices.

    python random_factor.py              writes ../fixtures/statistics/random_factor.json
    python random_factor.py --coverage   prints how often intervals cover in worlds with crossed random effects

The factor's variance is what the variance of its levels' means leaves beyond what the clusters make of them; what it adds to
the variance of the overall mean is its own share of that, less what the clusters' standard error holds already.
"""
import json
import sys
from pathlib import Path

import numpy as np
from scipy import stats

OUT = Path(__file__).resolve().parent / "../fixtures/statistics/random_factor.json"


def indicator(labels):
    names = sorted(set(labels))
    return np.array([[label == name for name in names] for label in labels], float)


def two_way(values, labels, groups):
    """The variances, by projections and quadratic forms of all rows."""
    x, W, Z = np.asarray(values, float), indicator(labels), indicator(groups)
    n, (k, g) = len(x), (W.shape[1], Z.shape[1])
    to_means = (W / W.sum(0)).T                                  # [k, n]
    within_level = np.eye(n) - W @ to_means
    means = to_means @ x
    rest = within_level @ x
    by_group = Z.T @ (rest[:, None] * to_means.T)                # [g, k], what each group adds to each level's mean
    covariance = g / (g - 1) * by_group.T @ by_group
    centre = np.eye(k) - np.full((k, k), 1 / k)
    between = means.var(ddof=1) - np.trace(centre @ covariance) / (k - 1)
    between = max(between, 0.0)
    around_mean = Z.T @ (np.eye(n) - np.full((n, n), 1 / n))     # sums by group of the rows around their mean
    clustered = np.sqrt(g / (g - 1)) * around_mean / n
    weights = np.full(n, 1 / n)
    factor = weights @ W @ W.T @ weights - np.linalg.norm(clustered @ W) ** 2
    factor = max(factor, 0.0)
    return {
        "between": between,
        "within": rest @ rest / (n - k),
        "factor": factor,
        "added": factor * between,
        "clustered": np.linalg.norm(clustered @ x) ** 2,
    }


def design(rng, groups, each, levels, crossed):
    """One level for each item, in turn over items in random order within groups; or every level for every item."""
    of_group = np.repeat(np.arange(groups), each)
    if crossed:
        return np.tile(np.arange(levels), groups * each), np.repeat(of_group, levels)
    order = np.concatenate([group * each + rng.permutation(each) for group in rng.permutation(groups)])
    labels = np.empty(groups * each, int)
    labels[order] = np.arange(groups * each) % levels
    return labels, of_group


def world(rng, labels, groups, between, of_groups=0.5, own=1.0):
    effect = lambda sd, index: (sd * rng.standard_normal(index.max() + 1))[index]
    return effect(between, labels) + effect(of_groups, groups) + own * rng.standard_normal(len(labels))


def cases():
    rng = np.random.default_rng(17)
    for groups, each, levels, crossed, between in [(12, 3, 5, False, 0.8), (6, 1, 4, True, 0.5), (20, 1, 3, False, 0.0)]:
        labels, of_group = design(rng, groups, each, levels, crossed)
        values = np.round(world(rng, labels, of_group, between), 6)
        found = {name: value for name, value in two_way(values, labels, of_group).items() if name != "clustered"}
        yield {"labels": labels.tolist(), "groups": [str(group) for group in of_group], "values": values.tolist(), **found}


def coverage(worlds=2000, draws=2000):
    """Intervals with and without the factor: t by draws of both parts, each with its degrees of freedom."""
    rng = np.random.default_rng(0)
    print("groups items levels crossed between  clusters alone  with the factor")
    for groups, each, crossed, between in [
        *((40, 1, False, b) for b in (0.0, 0.3, 0.5, 1.0)),
        *((40, 4, False, b) for b in (0.0, 0.2, 0.3, 0.5, 1.0)),
        *((40, 1, True, b) for b in (0.0, 0.2, 0.5)),
    ]:
        levels, alone, both = 10, 0, 0
        for _ in range(worlds):
            labels, of_group = design(rng, groups, each, levels, crossed)
            x = world(rng, labels, of_group, between)
            found = two_way(x, labels, of_group)
            clustered, added, mean = found["clustered"], found["added"], abs(x.mean())
            alone += mean <= stats.t.ppf(0.975, groups - 1) * np.sqrt(clustered)
            error = np.sqrt(clustered + added)
            unsure = np.sqrt(
                clustered * rng.chisquare(groups - 1, draws) / (groups - 1)
                + added * rng.chisquare(levels - 1, draws) / (levels - 1)
            )
            both += mean <= np.quantile(np.abs(error * rng.standard_normal(draws) / unsure), 0.95) * error
        print(f"{groups:6} {each:5} {levels:6} {crossed!s:7} {between:7} {alone / worlds:15.3f} {both / worlds:16.3f}", flush=True)


if __name__ == "__main__":
    if "--coverage" in sys.argv:
        coverage()
    else:
        OUT.write_text(json.dumps({"versions": {"numpy": np.__version__}, "cases": list(cases())}) + "\n", encoding="utf-8")
