"""Sizes of studies by SciPy's noncentral t, to tests/fixtures/planner.json.

    python tests/reference/make_planner.py

Written from the definitions, not from the library: the least number of groups at which the one-sided t test of the mean has
its power, Satterthwaite's degrees of freedom for the sum of two variances, the upper bound of a variance by chi-squared.
"""

import json
import math
from pathlib import Path

from scipy import stats

OUT = Path(__file__).resolve().parent.parent / "fixtures" / "planner.json"
LEVEL, MARGIN, POWER = 0.95, 0.2, 0.8


def power_of(groups, variance, fixed, folds, distance, tail):
    total = variance / groups + fixed
    parts = (variance / groups) ** 2 / (groups - 1) + fixed**2 / (folds - 1)
    degrees = total**2 / parts
    critical = stats.t.isf(tail, degrees)
    noncentral = distance / math.sqrt(total)
    # Both tails, as in a two-sided test; the far one is next to nothing.
    return stats.nct.sf(critical, degrees, noncentral) + stats.nct.cdf(-critical, degrees, noncentral)


def groups_for(variance, fixed, folds, distance, tail, power):
    """By walking up, from the least on that the verdict accepts."""
    z = stats.norm.isf(tail) + stats.norm.ppf(power)
    if fixed > 0 and power_of(10**7, variance, fixed, folds, distance, tail) < power:
        return None
    groups = max(20, int(0.8 * variance / max((distance / z) ** 2, 1e-12)))
    while groups > 20 and power_of(groups, variance, fixed, folds, distance, tail) >= power:
        groups -= max(1, groups // 50)
    groups = max(groups, 20)
    while power_of(groups, variance, fixed, folds, distance, tail) < power:
        groups += 1
    return groups


def column(variance, probe_error, distance_error):
    return {
        "addresses": ["L1.resid_post", "L1.resid_post"],
        "estimate": -0.1,
        "variance": variance,
        "probe_error": probe_error,
        "distance_error": distance_error,
    }


def case(name, gain, columns, stretches, effective, groups=24, items=48, icc=0.3, folds=10, texts=240, per_group=None):
    gain_precision = {
        "items": items, "groups": groups, "estimate": 0.05, "variance": gain, "intraclass_correlation": icc,
    }
    change = {
        "items": items, "groups": groups, "texts": texts, "folds": folds, "intraclass_correlation": icc,
        "stretches": [column(*c) for c in columns[:stretches]], "layers": [column(*c) for c in columns[stretches:]],
        "effective_stretches": effective[0], "effective_columns": effective[1],
    }
    own = items / groups
    m = per_group or own
    factor = ((1 + (m - 1) * icc) / m) / ((1 + (own - 1) * icc) / own)
    widened = (groups - 1) / stats.chi2.ppf(0.2, groups - 1)

    def size(requirements):
        unreachable = any(groups_for(v * factor, f, folds, d, t, p) is None for v, f, d, t, p in requirements)
        more = 1.0
        if unreachable:
            for _, f, d, t, p in requirements:
                allowed = (d / (stats.norm.isf(t) + stats.norm.ppf(p))) ** 2
                more = max(more, 2 * f / allowed)
        found = {}
        for key, wide in (("estimate", 1.0), ("upper", widened)):
            most = max(groups_for(v * factor * wide, f / more, folds, d, t, p) for v, f, d, t, p in requirements)
            found[key] = [math.ceil(most * m), most]
        found["texts"] = math.ceil(texts * more) if unreachable else None
        return found

    def fixed(c):
        return c[1] ** 2 + (MARGIN * c[2]) ** 2

    tail = 1 - LEVEL ** (1 / effective[0])
    power = POWER ** (1 / effective[1])
    return {
        "name": name,
        "precision": {"instruction": "L1", "round": 1, "gain": gain_precision, "change": change},
        "per_group": per_group,
        "gain": {str(g): size([(gain, 0.0, g, (1 - LEVEL) / 2, POWER)]) for g in (0.05, 0.1, 0.2)},
        "fall": {
            str(d): size([(columns[0][0], fixed(columns[0]), d - MARGIN, tail, POWER)]) for d in (0.3, 0.4, 0.8)
        },
        "none": size([(c[0], fixed(c), MARGIN, 1 - LEVEL, power) for c in columns]),
    }


def main():
    cases = [
        case("sure probes", 0.4, [(0.5, 0.01, 0.03), (0.8, 0.02, 0.05)], 1, (1.0, 1.5)),
        case("larger groups", 0.4, [(0.5, 0.01, 0.03), (0.8, 0.02, 0.05)], 1, (1.0, 1.5), per_group=5.0),
        case("probes that count", 0.2, [(0.3, 0.03, 0.1), (0.5, 0.05, 0.2), (0.9, 0.06, 0.2)], 2, (1.7, 2.4)),
        case("too few texts", 0.2, [(0.3, 0.15, 0.2), (0.5, 0.2, 0.3)], 1, (1.0, 1.8), texts=60),
        case("few groups", 1.1, [(2.0, 0.02, 0.1)], 1, (1.0, 1.0), groups=5, items=30, icc=0.0),
    ]
    OUT.write_text(json.dumps({"level": LEVEL, "margin": MARGIN, "power": POWER, "cases": cases}, indent=1) + "\n")
    for one in cases:
        print(one["name"], one["gain"], one["fall"], one["none"])


if __name__ == "__main__":
    main()
