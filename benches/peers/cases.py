"""The rows of the table: each asks both sides in turn for the same work, and checks that they say the same."""

import os
import statistics
from itertools import count

from sides import Side
from work import (comments, compare_answers, compare_ids, compare_states, equal_texts, prompts, spread, write_texts)

# Parameters of SmolLM2-135M: a token goes through those of its layers; the unembedding is the embedding once more.
LAYERS, HEAD = 30 * (2 * 576 * 576 + 2 * 192 * 576 + 3 * 1536 * 576), 49152 * 576
BYTES = {"f32": 4, "bf16": 2}


def medians(row):
    """Median seconds of a row: ours, theirs, their ratio, and its range over the turns."""
    ours, theirs = statistics.median(row["ours"]), statistics.median(row["theirs"])
    ratios = [b / a for a, b in zip(row["ours"], row["theirs"])]
    return ours, theirs, theirs / ours, min(ratios), max(ratios)


class Bench:
    """What the cases share."""

    def __init__(self, arguments, sides, folder, rows):
        self.arguments, self.sides, self.folder, self.rows = arguments, sides, folder, rows

    def wanted(self, case, data=None):
        """Whether to run this case, which may need a folder of the benchmarks."""
        wanted = self.arguments.only in case
        if wanted and data and not os.path.exists(os.path.join(self.arguments.data, data)):
            print(f"{case}: skipped, no {data} in {self.arguments.data}", flush=True)
            return False
        return wanted

    def file(self, name):
        return os.path.join(self.folder, name)

    def equal_texts(self, rows, tokens):
        return equal_texts(self.sides.tokenizer(), rows, tokens)

    def alternate(self, repeats, ours, theirs, warm=True):
        """Answers of both, asked in turn, after one unmeasured question each."""
        if warm:
            ours(), theirs()
        return [(ours(), theirs()) for _ in range(repeats)]

    def keep(self, case, turns, **row):
        """`row`: `work`, `target`, `peer`, `same` in words, `done` for rates, `flop` and `bytes` of ours for the share of
        the machine's limit."""
        ours, theirs = zip(*[(a["seconds"], b["seconds"]) for a, b in turns])
        self.rows[case] = {"ours": ours, "theirs": theirs, **row}
        mine, other, ratio, low, high = medians(self.rows[case])
        print(f"{case}: ours {mine:.3f} s, {row['peer']} {other:.3f} s, ratio {ratio:.2f} [{low:.2f}, {high:.2f}] "
              f"(wanted {row['target']}); {row['same']}", flush=True)

    def capture_equal(self):
        """8 texts of 128 tokens against all peers."""
        texts = write_texts(self.folder, "equal", self.equal_texts(8, 128))
        peers = [("f32", "transformers", 1.05), ("bf16", "transformers", 2), ("f32", "transformer_lens", 2), ("f32", "nnsight", 1.3)]
        for precision, peer, target in peers:
            case = f"capture 8x128 {precision} {peer}"
            if not self.wanted(case):
                continue
            asked = {"batch": 8} if peer == "transformers" else {}
            ours = lambda **more: self.sides[precision].ask("capture", texts=texts, **more)
            theirs = lambda **more: self.sides[peer].ask("capture", texts=texts, **asked, **more)
            a, b = ours(dump=self.file("ours")), theirs(dump=self.file("theirs"))
            assert a["tokens"] == b["tokens"] == 8 * 128, (a, b)
            same = self.same_states(precision) + (self.their_bf16(texts) if precision == "bf16" else "")
            turns = self.alternate(self.arguments.repeats, ours, theirs)
            self.keep(
                case, turns, peer=peer, target=target, precision=precision, flop=2 * LAYERS * 1024, done=[1024, "tokens"],
                work="capture, 30 layers x 3 sites, last token, 8 x 128 tokens", same=same,
            )
            if peer not in ("transformers",):
                self.sides.stop(peer)

    def same_states(self, precision, ours="ours"):
        found = compare_states(self.file(ours), self.file("theirs"))
        if precision == "f32":
            return f"states differ by {found['difference']:.1e} of the largest"
        least = ", ".join(f"{site} {cosine:.4f}" for site, cosine in sorted(found["least"].items()))
        return (f"cosine with transformers' f32: median {found['median']:.5f}, {found['share']:.1%} at least 0.999, least "
                f"by site: {least}")

    def their_bf16(self, texts):
        """How far transformers' own bf16 is from its f32, whose states lie in `theirs`."""
        side = self.sides.start("transformers_bf16")
        side.ask("capture", texts=texts, batch=8, dump=self.file("their_bf16"))
        side.close()
        return f"; transformers' own bf16 on the same texts: {self.same_states('bf16', 'their_bf16')}"

    def capture_comments(self):
        for precision, target in [("f32", 1.5), ("bf16", 2)]:
            case = f"capture comments {precision}"
            if not self.wanted(case, "jigsaw"):
                continue
            texts = comments(self.arguments.data, self.arguments.sample)
            path = write_texts(self.folder, "comments", texts)
            turns = self.alternate(
                self.arguments.long_repeats,
                lambda: self.sides[precision].ask("capture", texts=path, dump=self.file("ours")),
                lambda: self.sides["transformers"].ask("capture", texts=path, batch=16, dump=self.file("theirs")),
                warm=False,
            )
            a, b = turns[0]
            assert a["tokens"] == b["tokens"], (a, b)
            padding = b["tokens_run"] / b["tokens"] - 1
            self.keep(
                case, turns, peer="transformers", target=target, precision=precision, flop=2 * LAYERS * a["tokens"],
                done=[a["tokens"], "tokens"],
                work=f"capture of {len(texts)} comments of natural lengths, {a['tokens']} tokens",
                same=f"{self.same_states(precision)}; its padding adds {padding:.0%} tokens",
            )

    def generation(self):
        targets = {("f32", 1): 1.2, ("f32", 8): 1.3, ("f32", 32): 1.8, ("bf16", 1): 2, ("bf16", 8): 3, ("bf16", 32): 3}
        for (precision, batch), target in targets.items():
            case = f"generate 64, batch {batch}, {precision}"
            if not self.wanted(case):
                continue
            request = {"prompts": prompts(batch), "tokens": 64}
            turns = self.alternate(
                self.arguments.repeats,
                lambda: self.sides[precision].ask("generate", **request),
                lambda: self.sides["transformers"].ask("generate", **request),
            )
            a, b = turns[0]
            same, rows, agreed = compare_ids(a["ids"], b["ids"])
            # The first token comes from reading the prompts, the last is chosen and not run.
            steps, read = 64, a["prompt_tokens"]
            self.keep(
                case, turns, peer="transformers", target=target, precision=precision, done=[64 * batch, "tokens"],
                flop=2 * (LAYERS * (read + batch * 63) + HEAD * batch * steps),
                bytes=(LAYERS + HEAD) * BYTES[precision] * steps,
                work=f"greedy generation, 64 tokens, batch {batch}",
                same=f"{same} of {rows} rows the same 64 tokens, {agreed:.0%} of tokens before the first other one",
            )

    def study(self):
        case = "study f32"
        if not self.wanted(case, "bbq"):
            return
        probes, arguments = self.file("probes.safetensors"), self.arguments
        bbq = os.path.join(arguments.data, "bbq")
        ask = lambda: self.sides["f32"].ask("rounds", bbq=bbq, items=arguments.our_items, rounds=5, probes=probes)
        first = ask()
        chosen = spread(first["items"], arguments.study_items)
        turns = []
        for _ in range(arguments.long_repeats if arguments.study_repeats is None else arguments.study_repeats):
            ours = ask()
            theirs = self.sides["transformers"].ask("study", items=chosen, probes=probes)
            turns.append(({"seconds": ours["seconds"] / len(ours["items"])}, {"seconds": theirs["seconds"] / len(chosen)}))
        ours = {item["id"]: item for item in ours["items"]}
        assert sorted(first["addresses"]) == sorted(theirs["addresses"]), "levels of different addresses"
        for answer in (answer for item in theirs["items"] for answer in item["answers"]):
            levels = dict(zip(theirs["addresses"], answer["levels"]))
            answer["levels"] = [levels[address] for address in first["addresses"]]
        found = compare_answers(ours, theirs["items"])
        self.keep(
            case, turns, peer="transformers", target=10, precision="f32", done=[1, "items"],
            flop=2 * LAYERS * first["tokens"] / len(ours),
            work=f"multiple-choice study, rounds 0-5, levels at 90 addresses, {len(ours)} BBQ items: seconds an item",
            same=f"{found['same']} of {found['answers']} answers the same text, {found['chosen']} the same option by "
                 f"scores (of {len(chosen)} items that transformers was asked, spread evenly by length); scores differ by "
                 f"{found['scores']:.1e} nats, levels by {found['levels']:.1e} of the largest",
        )

    def load(self):
        case = "load gguf"
        if not self.wanted(case):
            return
        texts = write_texts(self.folder, "one", self.equal_texts(1, 16))

        def fresh(name, **asked):
            side = self.sides.start(name)
            side.ask("capture", texts=texts, **asked)
            seconds = side.age()
            side.close()
            return {"seconds": seconds, "load_seconds": side.loaded["load_seconds"]}

        turns = self.alternate(self.arguments.long_repeats, lambda: fresh("f32"), lambda: fresh("gguf", batch=1))
        ours, theirs = (statistics.median(turn[side]["load_seconds"] for turn in turns) for side in (0, 1))
        self.keep(case, turns, peer="transformers", target=5, precision="f32", done=[1, "loads"],
                  work="GGUF to first hidden state, whole fresh processes",
                  same=f"of that in the call that loads: ours {ours:.2f} s, transformers {theirs:.2f} s")

    def peak(self):
        """Ours alone."""
        for texts in sorted({min(size, self.arguments.sample) for size in (500, 1000, 2000)}):
            case = f"peak of {texts} texts"
            if not self.wanted(case, "jigsaw"):
                continue
            path = write_texts(self.folder, "peak", comments(self.arguments.data, texts))
            side = self.sides.start("f32")
            loaded = side.ask("memory")
            side.ask("capture", texts=path)
            after = side.ask("memory")
            side.close()
            over = after["peak"] - loaded["resident"]
            self.rows[case] = {
                "texts": texts, "over": over, "pooled": texts * 90 * 576 * 4, "loaded": loaded["resident"],
                "load_peak": loaded["peak"], "reset": after["reset"] and loaded["reset"],
            }
            print(f"{case}: {over / 1e6:.0f} MB over {loaded['resident'] / 1e6:.0f} MB, of which pooled output "
                  f"{texts * 90 * 576 * 4 / 1e6:.0f} MB", flush=True)
