"""Word weights and logistic regression by scikit-learn, for tests/it/scorer.rs.

    python3 tests/reference/make_scorer.py

Writes scorer/acts.json (the bundled statements: words, idf, weights, decisions) and, where the Jigsaw comments lie
beside the checkout or under PROBITY_BENCHMARKS, scorer/jigsaw.json (one AUROC; no text and no word of them).
"""

import csv
import json
import os
import pathlib

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "tests/fixtures/scorer"


def fit(texts, labels, max_features=None):
    words = TfidfVectorizer(max_features=max_features)
    model = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000)
    model.fit(words.fit_transform(texts), labels)
    return words, model


def acts():
    rows = [json.loads(line) for line in open(ROOT / "data/moral_acts.jsonl", encoding="utf-8") if line.strip()]
    texts, labels = [row["text"] for row in rows], [row["label"] for row in rows]
    words, model = fit(texts, labels)
    value = {
        "words": list(words.get_feature_names_out()),
        "idf": [round(x, 12) for x in words.idf_],
        "weights": [round(x, 9) for x in model.coef_[0]],
        "intercept": round(model.intercept_[0], 9),
        "decisions": [round(x, 9) for x in model.decision_function(words.transform(texts))],
    }
    (OUT / "acts.json").write_text(json.dumps(value) + "\n")


def jigsaw():
    path = pathlib.Path(os.environ.get("PROBITY_BENCHMARKS", ROOT / "../shared/data")) / "jigsaw/comments.csv"
    if not path.exists():
        print(f"{path} is not there: jigsaw.json stays as it is")
        return
    seen = {}
    for row in csv.DictReader(open(path, encoding="utf-8", newline="")):
        seen.setdefault(row["id"], (row["comment_text"], int(row["toxic"])))
    # The same part and split as in the test: by the first and by the last digit of the id.
    rows = [(id, row) for id, row in seen.items() if id[0] in "0123456"]
    train = [row for id, row in rows if id[-1] in "0123456789ab"]
    test = [row for id, row in rows if id[-1] not in "0123456789ab"]
    words, model = fit([text for text, _ in train], [label for _, label in train], 5_000)
    scores = model.decision_function(words.transform([text for text, _ in test]))
    value = {"train": len(train), "test": len(test), "auroc": roc_auc_score([label for _, label in test], scores)}
    (OUT / "jigsaw.json").write_text(json.dumps(value) + "\n")


acts()
jigsaw()
