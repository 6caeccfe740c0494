"""What is read, continued and compared."""

import csv
import json
import os

import numpy as np
from safetensors import safe_open

from sides import ROOT


def write_texts(folder, name, texts):
    path = os.path.join(folder, name + ".jsonl")
    with open(path, "w") as file:
        file.writelines(json.dumps({"id": str(number), "text": text}) + "\n" for number, text in enumerate(texts))
    return path


def equal_texts(tokenizer, rows, tokens):
    """Texts of just so many tokens from the bundled items, beginning with items that are not alike: nothing is shared."""
    items = prompts(96)
    texts = []
    for row in range(rows):
        text = " ".join(items[(11 * row + at) % len(items)] for at in range(tokens // 16 + 2))
        # Cut after a token, a text may come to other tokens: then a little later.
        ends = [end for _, end in tokenizer.encode(text).offsets]
        cut = next(text[:end] for end in ends[tokens - 1 :] if len(tokenizer.encode(text[:end]).ids) == tokens)
        texts.append(cut)
    return texts


def comments(data, count):
    """The first comments of the file, whole, in its order."""
    csv.field_size_limit(1 << 30)
    with open(os.path.join(data, "jigsaw/comments.csv"), newline="") as file:
        return [row["comment_text"] for _, row in zip(range(count), csv.DictReader(file))]


def prompts(count):
    """Texts of unlike length: contexts and questions of the bundled items."""
    with open(os.path.join(ROOT, "data/ambiguous_qa.jsonl")) as file:
        items = [json.loads(line) for _, line in zip(range(count), file)]
    assert len(items) == count
    return [f"{item['context']} {item['question']}" for item in items]


def compare_states(ours, theirs):
    """Of two files of states: the largest difference as a share of its address's largest state; the median cosine of a
    row with its like, the share of cosines of 0.999 and more, and the least by site."""
    worst, cosines = 0.0, {}
    with safe_open(ours, "np") as ours, safe_open(theirs, "np") as theirs:
        assert set(ours.keys()) == set(theirs.keys()), "the sides kept states of different addresses"
        for address in theirs.keys():
            a, b = ours.get_tensor(address).astype(np.float64), theirs.get_tensor(address).astype(np.float64)
            assert a.shape == b.shape, address
            worst = max(worst, np.abs(a - b).max() / np.abs(b).max())
            rows = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
            cosines.setdefault(address.partition(".")[2], []).append(rows)
    whole = np.concatenate([rows for site in cosines.values() for rows in site])
    return {
        "difference": float(worst),
        "median": float(np.median(whole)),
        "share": float((whole >= 0.999).mean()),
        "least": {site: float(np.concatenate(rows).min()) for site, rows in cosines.items()},
    }


def compare_ids(ours, theirs):
    """Rows with the same tokens throughout, and the mean share of tokens up to the first that differs."""
    assert [len(row) for row in ours] == [len(row) for row in theirs]
    agreed = [next((at for at, (a, b) in enumerate(zip(x, y)) if a != b), len(x)) for x, y in zip(ours, theirs)]
    same = sum(at == len(row) for at, row in zip(agreed, ours))
    return same, len(ours), sum(at / len(row) for at, row in zip(agreed, ours)) / len(ours)


def compare_answers(ours, theirs):
    """Of items answered on both sides: answers, those with the same text, those whose most probable option by the mean
    log-probability is the same, and the largest difference of option scores (nats) and of levels (share of the largest)."""
    asked = same = chosen = 0
    scores = levels = 0.0
    largest = max(abs(level) for item in ours.values() for answer in item["answers"] for level in answer["levels"])
    for their in theirs:
        parted = False
        for round, (a, b) in enumerate(zip(ours[their["id"]]["answers"], their["answers"], strict=True)):
            # Round 1 is a new conversation. After another answer the rest of one is another, with scores of its own.
            parted = parted and round > 1
            asked += 1
            same += a["text"] == b["text"]
            chosen += a["scored"] == int(np.argmax(np.array(b["totals"]) / np.array(b["tokens"])))
            if not parted:
                scores = max(scores, np.abs(np.subtract(a["totals"], b["totals"])).max())
                levels = max(levels, np.abs(np.subtract(a["levels"], b["levels"])).max() / largest)
            parted = parted or a["text"] != b["text"]
    return {"answers": asked, "same": same, "chosen": chosen, "scores": float(scores), "levels": float(levels)}


def spread(items, count):
    """So many of the items, spread evenly over their order by length."""
    size = lambda item: sum(map(len, item["instructed"] + item["options"]))
    ordered = sorted(items, key=size)
    count = min(count, len(ordered))
    return [ordered[(2 * place + 1) * len(ordered) // (2 * count)] for place in range(count)]
