"""Means of columns over rows in clusters, with what may be said of them: by the definitions, in NumPy and SciPy.

Rows are the first axis of `values`; resamples and sign flips are of whole clusters.
"""
import functools

import numpy as np
from scipy import optimize, stats

from chacha8 import normals, resamples, signs

np.seterr(all="ignore")


class Clusters:
    def __init__(self, groups, draws, flips, seed):
        names = list(dict.fromkeys(groups))
        self.member = np.array([[group == name for group in groups] for name in names], float)
        self.sizes, self.g, self.seed = self.member.sum(1), len(names), seed
        self.times, self.signs = resamples(self.g, draws, seed), signs(self.g, flips, seed)
        self.exact = len(self.signs) == 2**self.g

    def moments(self, values, times=None, flip=1):
        """Means and standard errors, [draws, columns] each, where clusters count `times` and have the sign `flip`."""
        times, each = np.ones((1, self.g)) if times is None else times, []
        for sums in (self.member @ values).T:
            mean = (times * flip) @ sums / (times @ self.sizes)
            squares = (times * (flip * sums - np.outer(mean, self.sizes)) ** 2).sum(1)
            squares[squares <= 1e-24 * (sums @ sums)] = 0  # rounding of a column that does not vary
            each.append([mean, np.sqrt(self.g / (self.g - 1) * squares) / (times @ self.sizes)])
        return np.moveaxis(np.array(each), 0, -1)

    def interval(self, values, level):
        return percentiles(self.drawn(values), level, self.g)

    def drawn(self, values):
        """The mean of one column, and in each resample."""
        return np.append(np.mean(values), self.moments(np.reshape(values, (-1, 1)), self.times)[0])

    def studentised(self, values, owed=()):
        """Moments of the rows and, below them, of each resample. What is `owed` to others, deviations of a jackknife
        [k, columns], adds a normal number times each of them, and a variance as unsure as one of k - 1 degrees of freedom."""
        mean, error = np.concatenate([self.moments(values), self.moments(values, self.times)], 1)
        if (k := len(owed)) > 1:
            drawn = normals(len(self.times), 2 * k - 1, self.seed, "second source")
            mean[1:] += drawn[:, :k] @ owed
            unsure = np.append(1, (drawn[:, k:] ** 2).sum(1) / (k - 1))
            error = np.sqrt(error**2 + np.outer(unsure, (owed**2).sum(0)))
        return mean, error

    def band(self, values, level, owed=()):
        """Moments of the rows and, below them, of each resample; how many errors the simultaneous band reaches."""
        mean, error = self.studentised(values, owed)
        return mean, error, critical(abs(t(mean, error)), level)

    def bounds(self, values, owed, unit, joint, level):
        """Of the columns' means over a `unit`, [mean, error]: the estimate; the interval of each; one-sided bounds, the upper
        one for the first `joint` columns at once, the lower one of each."""
        mean, error = self.studentised(values, owed)
        below = t(mean, error)
        alone = lambda t, level: np.array([critical(column[:, None], level) for column in t.T])
        above = np.where(np.arange(len(unit[0])) < joint, critical(-below[:, :joint], level), alone(-below, level))
        reach = [-alone(below, (1 + level) / 2), alone(-below, (1 + level) / 2), above, -alone(below, level)]
        return np.vstack([mean[0] / unit[0], fieller(mean[0], error[0], *unit, np.array(reach))])

    def flipped(self, values, level):
        """p-values of each column, alone, by max-T and by its step-down; the |t| that max-T asks for."""
        t_of = lambda *flip: abs_t(*self.moments(values, *flip))
        observed, flipped = t_of()[0] * (1 - 1e-9), t_of(np.ones_like(self.signs), self.signs)
        p = lambda as_far: (as_far.sum(0) + (not self.exact)) / (len(self.signs) + (not self.exact))
        order = np.argsort(-observed, kind="stable")
        rest = np.maximum.accumulate(flipped[:, order[::-1]], 1)[:, ::-1]  # largest among those not yet rejected
        step_down = np.maximum.accumulate(p(rest >= observed[order]))[np.argsort(order)]
        largest = flipped.max(1, keepdims=True)
        return p(flipped >= observed), p(largest >= observed), step_down, critical(flipped, level)

    def family(self, values, level, margin, power, owed=(), unsure=0):
        """What may be said of each column among the others, as the report names it; without a margin no equivalence. The
        unit, 1, of the columns is `unsure` by so much."""
        ((mean, *_), (error, *_), reach), degrees = self.band(values, level, owed), self.g - 1
        ends = [np.where((error == 0) & (unsure == 0), mean, fieller(mean, error, 1, unsure, to)) for to in (-reach, reach)]
        p, p_max_t, p_step_down, in_family = self.flipped(values, level)
        alone = stats.t.ppf((1 + level) / 2, degrees)
        equivalence = {}
        if margin:
            tails = stats.t.cdf([-(margin + mean) / error, -(margin - mean) / error], degrees)
            equivalence["equivalence"] = np.transpose([np.full_like(mean, margin), *tails, tails.max(0)])
        return equivalence | {
            "band": np.transpose([mean, *ends]), "standard_error": error,
            "p": p, "p_max_t": p_max_t, "p_step_down": p_step_down, "q": stats.false_discovery_control(p),
            "detectable": detectable(degrees, alone, power) * error,
            "detectable_in_family": detectable(degrees, in_family, power) * error,
        }

    def leak(self, whole, rest):
        """95 % intervals of the share of a change that is gone, not a number where it is not sure or the rest goes the other way; of both changes."""
        whole, rest = self.drawn(whole), self.drawn(rest)
        around = lambda drawn: percentiles(drawn, 0.95, self.g)
        _, low, high = around(whole)
        share = around(1 - rest / whole) if (low > 0 or high < 0) and whole[0] * rest[0] >= 0 else [np.nan]
        return [*share, *around(whole), *around(rest)]

    def lowest_third(self, chosen, measured, level):
        """Mean of `measured` over the third of the clusters that are lowest by `chosen`, with one-sided bounds."""
        lowest = np.argsort(self.member @ chosen / self.sizes, kind="stable")[: self.g // 3]
        g, sums, sizes = len(lowest), (self.member @ measured)[lowest], self.sizes[lowest]
        mean = sums.sum() / sizes.sum()
        error = np.sqrt(g / (g - 1) * ((sums - mean * sizes) ** 2).sum()) / sizes.sum()
        return mean + np.array([0, -1, 1]) * stats.t.ppf(level, g - 1) * error

    def onsets(self, values, level, run):
        """By rule: the onset's place, its 95 % interval among the resamples, share without one, share of each place."""
        found = {}
        for rule, first in onsets(*self.band(values, level), run).items():
            counts = np.bincount(first[1:] + 1, minlength=values.shape[1] + 1)  # -1 is none
            ends = np.searchsorted(counts[1:].cumsum(), np.maximum(np.array([0.025, 0.975]) * counts[1:].sum(), 1))
            known = np.array([first[0], *ends], float)
            known[(known < 0) | (known == values.shape[1])] = np.nan
            found[rule] = [*known, *counts / len(self.times)]
        return found


def abs_t(mean, error):
    return np.nan_to_num(abs(np.where(mean == 0, 0, mean / error)), nan=0, posinf=np.inf)


def t(mean, error):
    """Of resamples, below what was measured."""
    off = np.where(error[0] == 0, 0, mean[1:] - mean[0])
    return np.where(off == 0, 0, off / error[1:])


def fieller(mean, error, unit, unsure, reach):
    """Where mean - bound * unit, the unit with an error of its own, lies `reach` errors from 0 (Fieller 1954)."""
    sure = unit**2 - (reach * unsure) ** 2
    bound = (mean * unit + reach * np.sqrt(error**2 * sure + (unsure * mean) ** 2)) / sure
    return np.where((sure > 0) & np.isfinite(reach), bound, np.copysign(np.inf, reach))


def critical(t, level):
    """The `level` quantile of the largest of each draw, with the observed one counted among them."""
    largest = np.sort(np.nan_to_num(t, nan=np.inf, posinf=np.inf, neginf=-np.inf).max(1))
    return np.append(largest, np.inf)[int(np.ceil(level * (len(largest) + 1))) - 1]


def percentiles(drawn, level, g):
    """Of the resamples, expanded for the number of clusters (Hesterberg 2015)."""
    tail = stats.norm.cdf(-np.sqrt(g / (g - 1)) * stats.t.ppf((1 + level) / 2, g - 1)) if g > 1 else (1 - level) / 2
    return [drawn[0], *np.quantile(drawn[1:], [tail, 1 - tail])]


@functools.cache
def detectable(degrees, critical, power):
    """In standard errors: where |t| > critical has this power, by the noncentral t, whose far tail may underflow."""
    far = lambda at: np.nan_to_num(stats.nct.cdf(-critical, degrees, at))
    short = lambda at: power - stats.nct.sf(critical, degrees, at) - far(at)
    return optimize.brentq(short, 0, 3 * critical + 10, xtol=1e-12) if np.isfinite(critical) else np.inf


def onsets(mean, error, reach, run):
    """The layer, by row of [draws, layers], of the first `run` beyond the band on one side (-1: none), of the best step
    and of the best broken line."""
    layers = mean.shape[1]
    sides = np.where(abs(mean) > reach * error, np.sign(mean), 0)
    runs = np.array([abs(sides[:, first:first + run].sum(1)) == run for first in range(layers - run + 1)])
    weight, offset = error[0] ** -2, np.arange(layers) - np.arange(1, layers)[:, None] + 1
    fits = {}
    for rule, shape in ("step", (offset > 0).astype(float)), ("line", np.maximum(offset, 0.0)):
        shape -= (shape @ weight / weight.sum())[:, None]
        fits[rule] = 1 + np.argmax((mean * weight @ shape.T) ** 2 / (shape**2 @ weight), 1)
    return {"run": np.where(runs.any(0), runs.argmax(0), -1), **fits}
