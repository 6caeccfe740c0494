"""Reference numbers for behaviour metrics: BBQ scores by lm-eval's own functions on random predictions over real
items, and Winogender, risk-coverage, Wilson, McNemar and Pearson by NumPy, SciPy and statsmodels.

    pip install lm-eval scipy statsmodels
    python make_benchmarks.py --data ../shared/data

Only ids, indices and numbers are written, no text of any benchmark.
"""

import argparse
import csv
import glob
import importlib.util
import json
import os
import random

import numpy as np
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

parser = argparse.ArgumentParser()
parser.add_argument("--data", default="../shared/data")
parser.add_argument("--out", default="tests/fixtures/benchmarks.json")
options = parser.parse_args()

# The module is loaded by path: the package itself would bring in a model back end.
package = importlib.util.find_spec("lm_eval").submodule_search_locations[0]
spec = importlib.util.spec_from_file_location("bbq_utils", os.path.join(package, "tasks/bbq/utils.py"))
bbq = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bbq)


class Documents(list):
    def map(self, function):
        return Documents(function(row) for row in self)


rng = random.Random(20)
rows = []
for path in sorted(glob.glob(os.path.join(options.data, "bbq/data/*.jsonl"))):
    with open(path) as file:
        rows += rng.sample([json.loads(line) for line in file], 60)
documents = bbq.process_docs(Documents(rows))
with open(os.path.join(options.data, "bbq/additional_metadata.csv")) as file:
    target = {(row["category"], int(row["example_id"])): int(row["target_loc"]) for row in csv.DictReader(file)}


def facts(doc):
    unknown = [i for i in range(3) if doc["answer_info"][f"ans{i}"][1] == "unknown"][0]
    return doc["label"], target[doc["category"], doc["example_id"]], unknown


def scores(predictions):
    results = []
    for doc, option in zip(documents, predictions):
        # lm-eval puts the two named options first, then its ten wordings of "unknown".
        choices = bbq.doc_to_choice(doc)
        answer = choices.index(doc[f"ans{option}"]) if option is not None else -1
        results.append(bbq._process_results(doc, answer))
    aggregate = {"amb": bbq.agg_amb_bias_scores, "disamb": bbq.agg_disamb_bias_scores}
    found = {}
    for kind, function in aggregate.items():
        found[kind] = float(function([r[f"{kind}_bias_score"] for r in results]))
        for category in sorted({doc["category"] for doc in documents}):
            key = f"{kind}_bias_score_{category}"
            found[f"{kind} {category}"] = float(function([r[key] for r in results]))
    found["accuracy amb"] = float(bbq.agg_accuracy_amb([r["accuracy_amb"] for r in results]))
    found["accuracy disamb"] = float(bbq.agg_accuracy_disamb([r["accuracy_disamb"] for r in results]))
    return found


def other(doc):
    label, biased, unknown = facts(doc)
    return 3 - biased - unknown


makers = {
    "uniform": lambda doc: rng.randrange(3),
    "mostly biased": lambda doc: facts(doc)[1] if rng.random() < 0.7 else rng.randrange(3),
    "mostly unknown": lambda doc: facts(doc)[2] if rng.random() < 0.8 else rng.randrange(3),
    "mostly right": lambda doc: facts(doc)[0] if rng.random() < 0.85 else rng.randrange(3),
    "always biased": lambda doc: facts(doc)[1],
    "always anti-biased": other,
    "always unknown": lambda doc: facts(doc)[2],
    "some invalid": lambda doc: rng.choice([0, 1, 2, None]),
}
cases = {}
for name, make in makers.items():
    predictions = [make(doc) for doc in documents]
    text = "".join("-" if option is None else str(option) for option in predictions)
    cases[name] = {"chosen": text, "scores": scores(predictions)}
items = [
    [doc["category"], doc["example_id"], doc["question_index"], doc["context_condition"], *facts(doc)] for doc in documents
]

numbers = np.random.default_rng(3)


def area(confidence, right):
    """Plain loops: mean over k of the expected error rate among the k most confident, ties in random order."""
    order = sorted(set(confidence), reverse=True)
    risks, seen, errors = [], 0, 0.0
    for value in order:
        tied = [not r for c, r in zip(confidence, right) if c == value]
        for k in range(1, len(tied) + 1):
            risks.append((errors + np.mean(tied) * k) / (seen + k))
        seen, errors = seen + len(tied), errors + sum(tied)
    return float(np.mean(risks))


coverage = []
for ties in [False, True]:
    confidence = numbers.random(60)
    confidence = np.round(confidence, 1) if ties else confidence
    right = numbers.random(60) < confidence
    coverage.append({"confidence": confidence.tolist(), "right": right.tolist(), "area": area(confidence, right)})

with open(os.path.join(options.data, "winogender/data/occupations-stats.tsv")) as file:
    women = {row["occupation"]: float(row["bls_pct_female"]) for row in csv.DictReader(file, delimiter="\t")}
p_female = {name: [float(p) for p in numbers.random(2) * 0.5 + 0.003 * share] for name, share in women.items()}
r = np.corrcoef([np.mean(p_female[name]) for name in women], list(women.values()))[0, 1]
low, high = stats.pearsonr([np.mean(p_female[n]) for n in women], list(women.values())).confidence_interval(0.95)
winogender = {"p_female": p_female, "women": women, "r": float(r), "low": float(low), "high": float(high)}

proportions = [
    [k, n, *map(float, proportion_confint(k, n, method="wilson"))] for k, n in [(0, 7), (3, 7), (50, 60), (999, 1000)]
]
changes = [[b, c, float(mcnemar([[0, b], [c, 0]], exact=True).pvalue)] for b, c in [(1, 9), (12, 5), (0, 3), (140, 190)]]

with open(options.out, "w") as file:
    json.dump(
        {"items": items, "bbq": cases, "risk_coverage": coverage, "winogender": winogender,
         "wilson": proportions, "mcnemar": changes}, file, separators=(",", ":"),
    )
    file.write("\n")
