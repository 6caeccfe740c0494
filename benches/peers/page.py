"""docs/benchmarks.md from the measured rows. What stands there after the line BY_HAND is kept."""

import os
import platform

from cases import medians
from curves import drawing, slope

BY_HAND = "<!-- What follows is written by hand and kept by benches/peers/models.py. -->"

# Of the rows, whatever was measured when.
ORDER = [
    "capture 8x128 f32 transformers",
    "capture comments",
    "capture 8x128 bf16",
    "capture",
    "study",
    "generate",
    "load",
    "peak",
    "curves",
]


def cpu():
    with open("/proc/cpuinfo") as file:
        lines = [line.partition(":") for line in file]
    names = [value.strip() for key, _, value in lines if key.startswith("model name")]
    flags = next(value.split() for key, _, value in lines if key.startswith("flags"))
    of_note = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) / 2**20
    return f"{names[0]}, {len(names)} cores ({', '.join(of_note)}), {memory:.0f} GiB"


def best_product(machine, precision):
    return max(rate for name, rate in machine.items() if name.startswith(f"{precision} ") and "x" in name)


def limit(row, machine):
    """What share of the machine's measured limits the row reaches."""
    seconds, shares = medians(row)[0], []
    if row.get("flop"):
        shares.append(f"{row['flop'] / seconds / best_product(machine, row['precision']):.0%} of products")
    if row.get("bytes"):
        shares.append(f"{row['bytes'] / seconds / machine['read']:.0%} of reads")
    return ", ".join(shares)


def peer(row):
    return row["peer"].replace("transformer_lens", "TransformerLens")


def rate(row, seconds):
    amount, unit = row["done"]
    if unit == "tokens":
        return f"{seconds:.2f} s, {amount / seconds:.0f}/s"
    return f"{seconds:.2f} s"


def table(rows, machine):
    lines = [
        "| work | ours | precision | peer | its | ratio (range) | target | met | of the machine's limit |",
        "|---|--:|---|---|--:|--:|--:|---|---|",
    ]
    for row in rows:
        ours, theirs, ratio, low, high = medians(row)
        met = "yes" if ratio >= row["target"] else "**no**"
        lines.append(
            f"| {row['work']} | {rate(row, ours)} | {row['precision']} | {peer(row)} | {rate(row, theirs)} | "
            f"{ratio:.2f} ({low:.2f}-{high:.2f}) | {row['target']} | {met} | {limit(row, machine)} |"
        )
    return "\n".join(lines)


def peaks(rows):
    lines = ["| texts | peak over the loaded model, MB | pooled output in that | the rest |", "|--:|--:|--:|--:|"]
    for row in rows:
        over, pooled = row["over"] / 1e6, row["pooled"] / 1e6
        lines.append(f"| {row['texts']} | {over:.0f} | {pooled:.0f} | {over - pooled:.0f} |")
    loaded, peak = max(row["loaded"] for row in rows) / 1e6, max(row["load_peak"] for row in rows) / 1e6
    how = "" if all(row["reset"] for row in rows) else " The system did not let the peak be reset after loading."
    return (
        "\n".join(lines)
        + f"\n\nTarget: at most 600 MB. Resident with the model loaded: {loaded:.0f} MB; peak while loading: {peak:.0f} MB.{how}"
    )


def limits(machine):
    lines = ["| | f32 | bf16 |", "|---|--:|--:|"]
    for name, label in [
        ("1024x576x1536", "product 1024 x 576 x 1536"),
        ("4096x4096x4096", "product 4096 x 4096 x 4096"),
    ]:
        lines.append(
            f"| {label}, GFLOP/s | "
            + " | ".join(f"{machine[f'{kind} {name}'] / 1e9:.0f}" for kind in ("f32", "bf16"))
            + " |"
        )
    for name, label in [("unembedding", "1 row by the unembedding, GB/s of weights read")] + [
        (f"layers, {rows} rows", f"{rows} row{'s' * (rows > 1)} by the layers' matrices, GB/s of weights read")
        for rows in (1, 8, 32)
    ]:
        lines.append(
            f"| {label} | " + " | ".join(f"{machine[f'{kind} {name}'] / 1e9:.1f}" for kind in ("f32", "bf16")) + " |"
        )
    return "\n".join(lines) + f"\n\nReading 1 GiB once (a sum): {machine['read'] / 1e9:.1f} GB/s."


def sizes(curves):
    lines = ["| size | | seconds at each size | slope |", "|---|---|---|--:|"]
    for curve in curves:
        points = ", ".join(f"{size}: {seconds:.3g}" for size, seconds in curve["points"])
        lines.append(f"| {curve['name']} | {curve['what']} | {points} | {slope(curve['points']):.2f} |")
    return "\n".join(lines)


def write(path, results):
    rows, machine = results["rows"], results["machine"]
    order = lambda case: next(at for at, kind in enumerate(ORDER) if case.startswith(kind))
    rows = {case: rows[case] for case in sorted(rows, key=order)}
    timed = [row for row in rows.values() if "ours" in row]
    curves = [row for case, row in rows.items() if case.startswith("curves")]
    held = [row for case, row in rows.items() if case.startswith("peak")]
    kept = ""
    if os.path.exists(path):
        with open(path) as file:
            kept = file.read().partition(BY_HAND)[2]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    commands = "\n".join(dict.fromkeys(results["commands"]))
    sittings = "" if len(results["commands"]) == 1 else " The rows were measured in several runs of the script."
    sections = [
        f"""# Benchmarks

Made by `make bench-peers`; [the script](../benches/peers/models.py) says how it measures, [the cases](../benches/peers/cases.py)
what each side does. SmolLM2-135M-Instruct: the same weights on both sides, {results['threads']} threads each, our processes and the peer's in turn
within one run; medians, and for ratios their range over the turns. Above 1: ours is faster. Times are from texts to results,
tokenising included.{sittings}

- Machine: {cpu()}; {platform.system()}
- Python {platform.python_version()}, {versions}; ours {results["program"]}

```sh
{commands}
```

## Against Python

{table(timed, machine)}

"Of products": 2 FLOP x parameters x tokens, attention left out, as a share of the faster of the two products below, in the
row's precision. "Of reads": weights x passes, as a share of reading memory.

## Same results
"""
    ]
    sections.append(
        "\n".join(f"- {row['work']}, {row['precision']}, {peer(row)}: {row['same']}." for row in timed) + "\n"
    )
    if held:
        sections.append(f"## Peak memory\n\nCapture of 90 addresses, pooled, f32, fresh processes.\n\n{peaks(held)}\n")
    sections.append(f"## The machine's limits\n\nBy torch, best of many runs, {results['threads']} threads.\n\n{limits(machine)}\n")
    if curves:
        drawn = os.path.splitext(path)[0] + "-size.svg"
        with open(drawn, "w") as file:
            file.write(drawing(curves))
        sections.append(f"""## Cost against size

Ours alone, f32, medians; slope of the line through the logarithms, 1 is linear.

![Time against size, both relative to the smallest]({os.path.basename(drawn)})

{sizes(curves)}
""")
    with open(path, "w") as file:
        file.write("\n".join(sections) + f"\n{BY_HAND}\n" + kept.lstrip("\n").join(["\n" * bool(kept.strip()), ""]))
