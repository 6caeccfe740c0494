"""Shortens a report.json to what docs/results keeps: python docs/results/shorten.py OUT/report.json > SHORT.json

Kept whole: model, provenance, protocol, conditions, settings, verdicts, evidence without the single items, selection, contributions over all layers.
Of behaviour the outcome's means by condition; of levels and changes the class distances of the residual stream, the
changes against the control, without nulls. The whole report comes back by running the command in the page.
"""
import json
import sys

report = json.load(open(sys.argv[1]))


def mean(series):
    return {**{key: series[key] for key in ("instruction", "round")}, "mean": sum(series["result"]) / len(series["result"])}


def kept(row):
    return row["metric"] == "class_distance" and row["address"].endswith(".resid_post")


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return [rounded(inner) for inner in value] if isinstance(value, list) else value


outcome = report["behaviour"]["outcome"]
short = {key: report[key] for key in ("model", "provenance", "protocol", "conditions", "settings", "verdicts", "selection")}
short["evidence"] = [{key: value for key, value in one.items() if key != "items"} for one in report["evidence"]]
short["contributions"] = [row for row in report["contributions"] if row["layer"] is None]
short["outcome"] = {"name": outcome["name"], "series": [mean(series) for series in outcome["series"]]}
short["levels"] = [row for row in report["levels"] if kept(row)]
short["changes"] = [
    {key: value for key, value in row.items() if key != "nulls"}
    for row in report["changes"]
    if kept(row) and row["against"] == "control"
]
short["transitions"] = [
    {**row, **{rule: {"address": row[rule]["address"], "interval": row[rule]["interval"], "none": row[rule]["none"]}
               for rule in ("run", "step", "line")}, "addresses": len(row["addresses"])}
    for row in report["transitions"]
    if row["against"] == "control" and row["addresses"][0].endswith(".resid_post")
]
keys = {key: json.dumps(rounded(value)) for key, value in short.items() if key not in ("levels", "changes", "transitions")}
lists = {key: "[\n  " + ",\n  ".join(json.dumps(rounded(row)) for row in short[key]) + "\n ]"
         for key in ("levels", "changes", "transitions")}
print("{\n" + ",\n".join(f' "{key}": {text}' for key, text in {**keys, **lists}.items()) + "\n}")
