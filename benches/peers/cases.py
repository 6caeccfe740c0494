"""The rows of the table: each asks both sides in turn for the same work, and checks that they say the same."""

import os
import statistics

from work import comments, compare_answers, compare_ids, compare_states, equal_texts, prompts, spread, write_texts

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

    def turns(self, repeats, *asks, warm=True):
        """Answers of all sides, asked in turn, after one unmeasured question each."""
        if warm:
            for ask in asks:
                ask()
        return [[ask() for ask in asks] for _ in range(repeats)]

    def keep(self, case, turns, **row):
        """`row`: `work`, `target`, `peer`, `same` in words, `done` for rates, `flop` and `bytes` of ours for the share of
        the machine's limit."""
        ours, theirs = zip(*[(a["seconds"], b["seconds"]) for a, b in turns])
        self.rows[case] = {"ours": ours, "theirs": theirs, **row}
        mine, other, ratio, low, high = medians(self.rows[case])
        print(
            f"{case}: ours {mine:.3f} s, {row['peer']} {other:.3f} s, ratio {ratio:.2f} [{low:.2f}, {high:.2f}] "
            f"(wanted {row['target']}); {row['same']}",
            flush=True,
        )

    def capture_equal(self):
        """8 texts of 128 tokens against all peers."""
        texts = write_texts(self.folder, "equal", self.equal_texts(8, 128))
        for peer, targets in [
            ("transformers", {"f32": 1.05, "bf16": 2}),
            ("transformer_lens", {"f32": 2}),
            ("nnsight", {"f32": 1.3}),
        ]:
            cases = {precision: f"capture 8x128 {precision} {peer}" for precision in targets}
            cases = {precision: case for precision, case in cases.items() if self.wanted(case)}
            if not cases:
                continue
            sides = [self.sides[precision] for precision in cases]
            theirs = lambda **more: self.sides[peer].ask("capture", texts=texts, batch=8, **more)
            tokens = [
                side.ask("capture", texts=texts, dump=self.file(name))["tokens"] for side, name in zip(sides, cases)
            ]
            assert {*tokens, theirs(dump=self.file("theirs"))["tokens"]} == {8 * 128}
            asks = [lambda side=side: side.ask("capture", texts=texts) for side in sides]
            turns = self.turns(self.arguments.repeats, *asks, theirs)
            for place, (precision, case) in enumerate(cases.items()):
                same = self.same_states(precision) + (self.their_bf16(texts) if precision == "bf16" else "")
                self.keep(
                    case,
                    [(turn[place], turn[-1]) for turn in turns],
                    peer=peer,
                    target=targets[precision],
                    precision=precision,
                    flop=2 * LAYERS * 1024,
                    done=[1024, "tokens"],
                    same=same,
                    work="capture, 30 layers x 3 sites, last token, 8 x 128 tokens",
                )
            if peer != "transformers":
                self.sides.stop(peer)

    def same_states(self, precision, file=None):
        """Of the states in the file `precision`, or another, and those in the file `theirs`."""
        found = compare_states(self.file(file or precision), self.file("theirs"))
        if precision == "f32":
            return f"states differ by {found['difference']:.1e} of the largest"
        least = ", ".join(f"{site} {cosine:.4f}" for site, cosine in sorted(found["least"].items()))
        return (
            f"cosine with transformers' f32: median {found['median']:.5f}, {found['share']:.1%} at least 0.999, least "
            f"by site: {least}"
        )

    def their_bf16(self, texts):
        """How far transformers' own bf16 is from its f32, whose states lie in `theirs`."""
        side = self.sides.start("transformers_bf16")
        side.ask("capture", texts=texts, batch=8, dump=self.file("their_bf16"))
        side.close()
        return f"; transformers' own bf16 on the same texts: {self.same_states('bf16', 'their_bf16')}"

    def capture_comments(self):
        """All against transformers, the first of them against the others; each pads batches of 16."""
        arguments = self.arguments
        for peer, count, targets in [
            ("transformers", arguments.sample, {"f32": 1.5, "bf16": 2}),
            ("transformer_lens", arguments.lens_sample, {"f32": 2}),
            ("nnsight", arguments.lens_sample, {"f32": 1.3}),
        ]:
            name = "capture comments" if peer == "transformers" else f"capture comments {peer}"
            cases = {precision: f"{name} {precision}" for precision in targets}
            cases = {precision: case for precision, case in cases.items() if self.wanted(case, "jigsaw")}
            if not cases:
                continue
            texts = comments(arguments.data, min(count, arguments.sample))
            path = write_texts(self.folder, "comments", texts)
            ask = lambda side, file, **batch: self.sides[side].ask("capture", texts=path, dump=self.file(file), **batch)
            asks = [lambda side=side: ask(side, side) for side in cases]
            turns = self.turns(arguments.long_repeats, *asks, lambda: ask(peer, "theirs", batch=16), warm=False)
            tokens, run = turns[0][-1]["tokens"], turns[0][-1]["tokens_run"]
            assert all(answer["tokens"] == tokens for turn in turns for answer in turn)
            for place, (precision, case) in enumerate(cases.items()):
                self.keep(
                    case,
                    [(turn[place], turn[-1]) for turn in turns],
                    peer=peer,
                    target=targets[precision],
                    precision=precision,
                    flop=2 * LAYERS * tokens,
                    done=[tokens, "tokens"],
                    work=f"capture of {len(texts)} comments of natural lengths, {tokens} tokens",
                    same=f"{self.same_states(precision)}; its padding makes {run} tokens of them",
                )
            if peer != "transformers":
                self.sides.stop(peer)

    def generation(self):
        for batch, targets in [
            (1, {"f32": 1.2, "bf16": 2}),
            (8, {"f32": 1.3, "bf16": 3}),
            (32, {"f32": 1.8, "bf16": 3}),
        ]:
            cases = {precision: f"generate 64, batch {batch}, {precision}" for precision in targets}
            cases = {precision: case for precision, case in cases.items() if self.wanted(case)}
            if not cases:
                continue
            request = {"prompts": prompts(batch), "tokens": 64}
            asks = [lambda name=name: self.sides[name].ask("generate", **request) for name in [*cases, "transformers"]]
            turns = self.turns(self.arguments.repeats, *asks)
            for place, (precision, case) in enumerate(cases.items()):
                ours, theirs = turns[0][place], turns[0][-1]
                same, rows, agreed = compare_ids(ours["ids"], theirs["ids"])
                # The first token comes from reading the prompts; the last is chosen and not run.
                self.keep(
                    case,
                    [(turn[place], turn[-1]) for turn in turns],
                    peer="transformers",
                    target=targets[precision],
                    precision=precision,
                    done=[64 * batch, "tokens"],
                    flop=2 * (LAYERS * (ours["prompt_tokens"] + batch * 63) + HEAD * batch * 64),
                    bytes=(LAYERS + HEAD) * BYTES[precision] * 64,
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
            turns.append(
                ({"seconds": ours["seconds"] / len(ours["items"])}, {"seconds": theirs["seconds"] / len(chosen)})
            )
        ours = {item["id"]: item for item in ours["items"]}
        assert sorted(first["addresses"]) == sorted(theirs["addresses"]), "levels of different addresses"
        for answer in (answer for item in theirs["items"] for answer in item["answers"]):
            levels = dict(zip(theirs["addresses"], answer["levels"]))
            answer["levels"] = [levels[address] for address in first["addresses"]]
        found = compare_answers(ours, theirs["items"])
        self.keep(
            case,
            turns,
            peer="transformers",
            target=10,
            precision="f32",
            done=[1, "items"],
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

        turns = self.turns(self.arguments.long_repeats, lambda: fresh("f32"), lambda: fresh("gguf", batch=1))
        ours, theirs = (statistics.median(turn[side]["load_seconds"] for turn in turns) for side in (0, 1))
        self.keep(
            case,
            turns,
            peer="transformers",
            target=5,
            precision="f32",
            done=[1, "loads"],
            work="GGUF to first hidden state, whole fresh processes",
            same=f"of that in the call that loads: ours {ours:.2f} s, transformers {theirs:.2f} s",
        )

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
                "texts": texts,
                "over": over,
                "pooled": texts * 90 * 576 * 4,
                "loaded": loaded["resident"],
                "load_peak": loaded["peak"],
                "reset": after["reset"] and loaded["reset"],
            }
            print(
                f"{case}: {over / 1e6:.0f} MB over {loaded['resident'] / 1e6:.0f} MB, of which pooled output "
                f"{texts * 90 * 576 * 4 / 1e6:.0f} MB",
                flush=True,
            )
