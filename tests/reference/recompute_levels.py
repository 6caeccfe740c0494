"""python recompute_levels.py FOLDER: what report.json says of levels, anew from levels.csv and the report's settings.
Fails where a number is off by 1e-9 of max(1, |x|). The csv lacks the states (for nulls, random_sd and what the probes' texts
leave open of class distances: of these the estimates are compared, and the tests by sign flips), and behaviour; the
instruction selection, which shuffles items, is left out."""
import csv, itertools, json, pathlib, sys
import numpy as np
from clustered import Clusters
folder, levels, group_of, worst = pathlib.Path(sys.argv[1]), {}, {}, {}
report = json.loads((folder / "report.json").read_text("utf-8"))
draws, flips, level, margin, power, seed, run = map(
    report["settings"].get, "draws flips level margin power seed consecutive".split())
for row in csv.DictReader((folder / "levels.csv").open(newline="", encoding="utf-8")):
    key = row["reading"], row["instruction"], int(row["round"]), f"L{row['layer']}." * (row["layer"] > "") + row["site"]
    levels.setdefault((*key, row["metric"]), {})[row["item"]], group_of[row["item"]] = float(row["value"]), row["group"]
items = {key[0]: list(series) for key, series in levels.items()}
clusters = {reading: Clusters([group_of[item] for item in items[reading]], draws, flips, seed) for reading in items}
judged, plain = next(iter(items)), next((key[1:3] for key in levels if key[2] == 0), None)
apart = {row["address"]: row["class_distance"] for row in report["probes"]}

def at(row, **other):  # name and round of a condition, as in the csv
    words = {**row, **other}
    return ", then ".join(filter(None, [words["instruction"], words.get("then")])), words["round"]

control = {at(arm): at(arm, instruction=arm["control"]) for arm in report["conditions"] if arm.get("control")}

def compare(what, stated, ours):  # numbers, or objects of numbers; null is what is not finite
    stated = [number for part in stated for number in (part.values() if isinstance(part, dict) else [part])]
    stated, ours = np.array([stated, np.ravel(ours)], float)
    off = np.where(np.isnan(stated) & ~np.isfinite(ours), 0, abs(stated - ours) / np.fmax(1, abs(stated)))
    worst[what] = max(worst.get(what, 0), np.nan_to_num(off, nan=np.inf).max(initial=0))

def change(reading, metric, addresses, after, before):  # [items, addresses]
    after, before = ([levels[(reading, *side, address, metric)] for address in addresses] for side in (after, before))
    return np.array([[a[item] - b[item] for a, b in zip(after, before)] for item in items[reading]])

def change_of(row, addresses):
    before = plain if row["against"] == "round0" else control[at(row)]
    return change(row.get("reading", judged), row["metric"], addresses, at(row), before)

for row in report["levels"]:
    series = levels[(row["reading"], *at(row), row["address"], row["metric"])]
    compare("levels", [row["interval"]], clusters[row["reading"]].interval([*series.values()], level))
together = slice(2 if report["settings"]["family"] == "round" else 1)
family = lambda row: [row["reading"], row["metric"], row["against"], *at(row)[together]]
for (reading, metric, *_), rows in itertools.groupby(report["changes"], family):
    rows, each = zip(*[(row, change_of(row, [row["address"]])) for row in rows])
    if metric == "class_distance":
        compare("estimates", [row["band"]["estimate"] for row in rows], np.hstack(each).mean(0))
    for name, ours in clusters[reading].family(np.hstack(each), level, 0, power).items():
        if metric != "class_distance" or name in ("p", "p_max_t", "p_step_down", "q"):
            compare(name, [row[name] for row in rows], ours)
for row in report["transitions"]:
    place = {address: index for index, address in enumerate(row["addresses"])}
    for rule, ours in clusters[judged].onsets(change_of(row, place), level, run or 3).items():
        known = map(place.get, [row[rule]["address"], *(row[rule]["interval"] or [None, None])])
        compare(f"transitions: {rule}", [*known, row[rule]["none"], *row[rule]["shares"]], ours)
for verdict, more in zip([v for v in report["verdicts"] if v["control"] and v["addresses"]], report["evidence"]):
    def mean(reading, before=None, addresses=verdict["addresses"]):  # addresses count by how far they tell apart
        before = at(verdict, instruction=before) if before else control[at(verdict)]
        weights = np.array([apart[address] for address in addresses])
        return change(reading, "class_distance", addresses, at(verdict), before) @ weights / weights.sum()
    whole, rest = mean(judged), mean("answer")
    for part in verdict["changes"]:
        place, reading = verdict["addresses"].index, "answer" if part["of"] == "answer" else judged
        first, last = map(place, part["addresses"])
        ours = mean(reading, addresses=verdict["addresses"][first : last + 1]).mean()
        compare("changes", [part["interval"]["estimate"]], ours)
    compare("items", [item["internal"] for item in more["items"]], rest)
    for by, score in [*map(dict.values, more["leaks"]), ({"reading": "answer"}, verdict["leak"])]:
        reading, own = by.get("reading", judged), dict(zip(items[judged], whole))
        own = np.array([own[item] for item in items[reading]])
        left = mean(reading) if "reading" in by else mean(judged, by["opposite"]) / 2
        compare("leaks", score.values(), clusters[reading].leak(own, left))
print("\n".join(f"{name:<26} {off:.0e}" for name, off in worst.items()), f"largest {max(worst.values()):.0e}", sep="\n")
sys.exit(not max(worst.values()) <= 1e-9)
