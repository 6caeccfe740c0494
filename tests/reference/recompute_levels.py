"""python recompute_levels.py FOLDER: what report.json says of levels, anew from levels.csv, levels_by_fold.csv and the
report's settings. Fails where a number is off by 1e-9 of max(1, |x|).

Left out is what needs more than these files. The states: nulls, random_sd, of beyond_random_directions the null's bounds.
The probes' texts: probe_valid. What the answers were: the checks of behaviour, in_domain, items_agree. Who was asked in which
wording: the bounds of verdicts on instructions with several. The instruction selection, which shuffles items; the verdicts'
words, and those that are adjusted, which ask the same at other levels; windows, pairs of instructions, sensitivity.
"""
import csv, itertools, json, pathlib, sys
import numpy as np
from scipy import stats
from clustered import Clusters
folder, levels, by_fold, unit, group_of, worst = pathlib.Path(sys.argv[1]), {}, {}, {}, {}, {}
report = json.loads((folder / "report.json").read_text("utf-8"))
draws, flips, level, margin, power, seed, run = map(
    report["settings"].get, "draws flips level margin power seed consecutive".split())

def rows_of(name):  # with reading, name, round and address of each
    for row in csv.DictReader((folder / name).open(newline="", encoding="utf-8")):
        address = f"L{row['layer']}." * (row["layer"] > "") + row["site"]
        yield row, (row["reading"], row["instruction"], int(row["round"]), address)

for row, key in rows_of("levels.csv"):
    levels.setdefault((*key, row["metric"]), {})[row["item"]], group_of[row["item"]] = float(row["value"]), row["group"]
for row, key in rows_of("levels_by_fold.csv"):
    by_fold.setdefault(key, []).append(float(row["level"]))
    unit[key[0], key[-1]] = [float(row[name]) for name in ("class_distance", "class_distance_error")]
items = {key[0]: list(series) for key, series in levels.items()}
clusters = {reading: Clusters([group_of[item] for item in items[reading]], draws, flips, seed) for reading in items}
judged, plain = next(iter(items)), next((key[1:3] for key in levels if key[2] == 0), None)
own, of_control, after_control = "answer", "answer-of-control", "answer-after-control"

def at(row, **other):  # name and round of a condition, as in the csv
    words = {**row, **other}
    return ", then ".join(filter(None, [words["instruction"], words.get("then")])), words["round"]

control = {at(arm): at(arm, instruction=arm["control"]) for arm in report["conditions"] if arm.get("control")}
probes = lambda reading: (reading[:6] != "prompt" and report["answer_probes"]) or report["probes"]

def valid(reading):  # addresses whose probes tell texts left out apart, for as many as there are
    site, window = report["verdicts"][0]["site"], report["settings"]["window"]
    rows = [row for row in probes(reading) if row["address"] == f"L{row['layer']}." * (row["layer"] is not None) + site]
    if window:
        first, last = map(int, window.split(".")[0][1:].split("-"))
        rows = [row for row in rows if first <= row["layer"] <= last]
    wider = stats.norm.isf(0.025 / max(len(rows), 1)) / stats.norm.isf(0.025)
    low = lambda estimate, low: estimate is not None and estimate - wider * (estimate - low)
    return [row["address"] for row in rows if low(row["cross_auroc"], row["cross_auroc_low"]) > 0.5]

def compare(what, stated, ours):  # numbers, or objects of numbers; null is what is not finite
    stated = [number for part in stated for number in (part.values() if isinstance(part, dict) else [part])]
    stated, ours = np.array([stated, np.ravel(ours)], float)
    off = np.where(np.isnan(stated) & ~np.isfinite(ours), 0, abs(stated - ours) / np.fmax(1, abs(stated)))
    worst[what] = max(worst.get(what, 0), np.nan_to_num(off, nan=np.inf).max(initial=0))

# A change is a list of sides: how much each counts, its reading, its condition.
between = lambda reading, after, before: [(1, reading, after), (-1, reading, before)]
were_read = {key[:3] for key in by_fold}
read = lambda reading, where: (reading, *where) in were_read

def change(sides, addresses, metric="class_distance"):  # [items, addresses]
    each = lambda reading, where, item: [levels[(reading, *where, address, metric)][item] for address in addresses]
    of_items = lambda reading, where: np.array([each(reading, where, item) for item in items[sides[0][1]]])
    return sum(factor * of_items(*side) for factor, *side in sides)

def owed(sides, addresses):  # to the texts left out: the jackknife's deviations, [folds, addresses]
    of_folds = lambda reading, where: np.transpose([by_fold[(reading, *where, address)] for address in addresses])
    each = sum(factor * of_folds(*side) for factor, *side in sides)
    return (each - each.mean(0)) * np.sqrt((len(each) - 1) / len(each))

def units(sides, addresses):  # class distances and their errors, [2, addresses]
    return np.transpose([unit[sides[0][1], address] for address in addresses])

def mean(sides, addresses):  # of each item: addresses count by how far they tell apart
    weights, _ = units(sides, addresses)
    return change(sides, addresses) @ weights / weights.sum()

def effect(sides, addresses):
    """Places of the addresses of all layers, of their parts, and of each layer; their bounds, [5, places]."""
    l, (weights, unsure) = len(addresses), units(sides, addresses)
    parts = 4 if l >= 8 else min(2, l)
    joint = [range(l), *(range(part * l // parts, (part + 1) * l // parts) for part in range(parts * (parts > 1)))]
    inside = np.array([[place in part for part in [*joint, *([place] for place in range(l))]] for place in range(l)], float)
    values, deviations = (each(sides, addresses) * weights @ inside for each in (change, owed))
    sums = [weights @ inside, unsure @ inside]
    return joint, clusters[sides[0][1]].bounds(values, deviations, sums, len(joint), level)

def change_of(row):
    before = plain if row["against"] == "round0" else control[at(row)]
    return between(row.get("reading", judged), at(row), before)

for (reading, address), ours in unit.items():
    rows = [row for row in probes(reading) if row["address"] == address]
    compare("units", [row[name] for row in rows for name in ("class_distance", "class_distance_error")], ours * len(rows))
for row in report["levels"]:
    key = (row["reading"], *at(row), row["address"])
    series = [*levels[(*key, row["metric"])].values()]
    compare("levels", [row["interval"]], clusters[row["reading"]].interval(series, level))
    if row["metric"] == "class_distance":
        compare("levels by fold", [row["interval"]["estimate"]], np.mean(by_fold[key]))
together = slice(2 if report["settings"]["family"] == "round" else 1)
family = lambda row: [row["reading"], row["metric"], row["against"], *at(row)[together]]
for (reading, metric, *_), rows in itertools.groupby(report["changes"], family):
    rows, more = list(rows), ()
    each = lambda what, *more: np.hstack([what(change_of(row), [row["address"]], *more) for row in rows])
    if metric == "class_distance":
        distance, error = each(units)
        more = each(owed), error / distance
    tests = clusters[reading].family(each(change, metric), level, margin * bool(more), power, *more)
    for name, ours in tests.items():
        compare(name, [row[name] for row in rows], ours)
for row in report["transitions"]:
    place = {address: index for index, address in enumerate(row["addresses"])}
    for rule, ours in clusters[judged].onsets(change(change_of(row), place), level, run or 3).items():
        known = map(place.get, [row[rule]["address"], *(row[rule]["interval"] or [None, None])])
        compare(f"transitions: {rule}", [*known, row[rule]["none"], *row[rule]["shares"]], ours)

named = lambda verdict, name: next(check for check in verdict["checks"] if check["name"] == name)
critical, tail = stats.norm.ppf([(1 + level) / 2, power])

def check(verdict, name, passed, value):
    stated, found = named(verdict, name), (value[2] - value[1]) / 2 / critical * (critical + tail)
    passed = passed if clusters[own].g >= 20 else np.nan
    compare(name, [stated["passed"], stated["value"], stated["detectable"]], [passed, *value, found])

def checks(verdict, here, there, addresses, decisive, crossed):
    joint, (estimate, low, high, above, below) = effect(decisive, addresses)
    if crossed:
        most = np.argmin(above[: len(joint)])
        check(verdict, "internal_reduction", above[most] < -margin, [estimate[most], low[most], above[most]])
        random, found = named(verdict, "beyond_random_directions"), (high[most] - low[most]) / 2 / critical * tail
        compare(random["name"], [random["value"]["estimate"], random["detectable"]], [estimate[most], found])
        if plain and read(own, plain):
            joint, found = effect([(1, of_control, here), (-1, own, plain)], addresses)
            least = np.argmin(found[3, : len(joint)])
            check(verdict, "below_round0", found[3, least] < 0, found[[0, 1, 3], least])
    least = np.argmin(below)
    check(verdict, "no_reduction", below[least] > -margin, [estimate[least], below[least], high[least]])
    if crossed:
        two = [(1, of_control, here), (-1, own, there)], [(1, own, here), (-1, after_control, here)]
        two = [mean(sides, addresses) for sides in two]
    else:
        two = [mean(decisive, addresses[half::2]) for half in (0, 1)] if len(addresses) > 1 else []
    if two and clusters[own].g >= 9:
        part = np.mean([clusters[own].lowest_third(*pair, level) for pair in (two, two[::-1])], 0)
        check(verdict, "no_part_reduced", part[1] > -2 * margin, part)
    if read("answer-contrast", there):
        base = "answer-contrast-base" if read("answer-contrast-base", there) else own
        value = effect([(1, "answer-contrast", there), (-1, base, there)], addresses)[1][:3, 0]
        check(verdict, "positive_control", value[1] > margin or value[2] < -margin, value)

for verdict, more in zip([v for v in report["verdicts"] if v["control"] and v["addresses"]], report["evidence"]):
    here, there, addresses = at(verdict), control[at(verdict)], verdict["addresses"]
    compare("valid", [addresses == valid(own)], True)
    crossed = read(of_control, here) and read(after_control, here)
    four = lambda one, other: [(0.5, one, here), (-0.5, own, there), (0.5, own, here), (-0.5, other, here)]
    sides = {"conversation": four(of_control, after_control), "words": four(after_control, of_control)} if crossed else {}
    sides |= {"answer": between(own, here, there), "prompt": between("prompt", here, there)}
    decisive = sides["conversation" if crossed else "answer"]
    for of, rows in itertools.groupby([] if verdict.get("wordings") else verdict["changes"], lambda row: row["of"]):
        rows, there_valid = list(rows), valid("prompt") if of == "prompt" else addresses
        joint, bounds = effect(sides.pop(of), there_valid)
        ends = [there_valid.index(address) for row in rows for address in row["addresses"]]
        compare("changes", ends, [[part[0], part[-1]] for part in joint])
        stated = [part for row in rows for part in (row["interval"], row["above"], row["below"])]
        compare("changes", stated, bounds[:, : len(joint)].T)
    if not verdict.get("wordings"):
        compare("changes", [len(sides)], 0 if valid("prompt") else 1)
        checks(verdict, here, there, addresses, decisive, crossed)
    compare("items", [item["internal"] for item in more["items"]], mean(between(own, here, there), addresses))

    def leak(score, whole, rest, reading):
        whole = dict(zip(items[judged], whole))
        compare("leaks", score.values(), clusters[reading].leak(np.array([whole[item] for item in items[reading]]), rest))

    both = lambda reading: [address for address in addresses if address in valid(reading)]
    against = lambda reading, before: mean(between(reading, here, before), both(reading))
    if valid("prompt"):
        leak(verdict["leak"], mean(between("prompt", here, there), valid("prompt")), mean(decisive, addresses), own)
    for by, score in map(dict.values, more["leaks"]):
        if "reading" in by:
            leak(score, against(judged, there), against(by["reading"], there), by["reading"])
        else:
            leak(score, against(judged, there), against(judged, at(verdict, instruction=by["opposite"])) / 2, judged)
print("\n".join(f"{name:<26} {off:.0e}" for name, off in worst.items()), f"largest {max(worst.values()):.0e}", sep="\n")
sys.exit(not max(worst.values()) <= 1e-9)
