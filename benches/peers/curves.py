"""Cost against size, of ours alone: what should be linear, and is it."""

import math
import os
import statistics

from work import prompts, write_texts


def slope(points):
    """Of the least-squares line through the logarithms: 1 is linear."""
    xs, ys = zip(*[(math.log(size), math.log(seconds)) for size, seconds in points])
    x, y = statistics.mean(xs), statistics.mean(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys)) / sum((a - x) ** 2 for a in xs)


def measure(bench):
    """Puts each curve into the rows: `curve NAME` holds `what`, `points` of size and median seconds."""
    arguments, side = bench.arguments, lambda: bench.sides["f32"]
    bbq = os.path.join(arguments.data, "bbq")

    def capture(rows, tokens, layers=None):
        path = write_texts(bench.folder, "curve", bench.equal_texts(rows, tokens))
        return side().ask("capture", texts=path, layers=layers)

    def study(items, rounds):
        probes = bench.file("probes.safetensors")
        return side().ask("rounds", bbq=bbq, items=items, rounds=rounds, probes=probes)

    def generate(rows, tokens):
        return side().ask("generate", prompts=prompts(rows), tokens=tokens)

    by_items, by_rounds = lambda size: study(size, 3), lambda size: study(8, size)
    studies = [by_items, by_rounds]
    doubling = [1, 2, 4, 8, 16, 32, 64]
    curves = {
        "tokens of a text": ([64 * step for step in doubling], lambda size: capture(1, size), "1 text, 90 addresses"),
        "texts": (doubling, lambda size: capture(size, 64), "64 tokens each, 90 addresses"),
        "layers read": (
            [1, 2, 4, 8, 16, 30],
            lambda size: capture(8, 128, size),
            "8 x 128 tokens, 3 sites of the first layers",
        ),
        "items": (doubling, by_items, "of a study, rounds 0-3"),
        "rounds": (list(range(1, 11)), by_rounds, "of a study, after round 0, 8 items"),
        "tokens generated": ([4 * step for step in doubling], lambda size: generate(8, size), "batch 8"),
    }
    for name, (sizes, ask, what) in curves.items():
        case = f"curves {name}"
        if not bench.wanted(case, "bbq" if ask in studies else None):
            continue
        ask(sizes[0])
        # One turn over all sizes after the other, so that a disturbance does not fall on one size.
        turns = [[ask(size)["seconds"] for size in sizes] for _ in range(arguments.long_repeats)]
        points = [(size, statistics.median(times)) for size, times in zip(sizes, zip(*turns))]
        bench.rows[case] = {"name": name, "what": what, "points": points}
        print(
            f"{case}: slope {slope(points):.2f}; " + ", ".join(f"{size}: {seconds:.3f} s" for size, seconds in points),
            flush=True,
        )


def drawing(curves):
    """Cost relative to the smallest size against size relative to it, both in powers of two, as SVG."""
    width, height, left, top, side = 640, 430, 56, 24, 350
    colours = ["#1b6ca8", "#c8553d", "#588157", "#7b2d8b", "#b8860b", "#444444"]
    place = lambda size, cost: (left + side * math.log2(size) / 6, top + side - side * math.log2(max(cost, 0.5)) / 7.3)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for power in range(8):
        x, y = place(2**power, 2**power)
        parts.append(f'<path d="M{left} {y:.1f}H{left + side}" stroke="#e4e4e4"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{2**power}x</text>')
        if power < 7:
            parts.append(f'<path d="M{x:.1f} {top}V{top + side}" stroke="#e4e4e4"/>')
            parts.append(f'<text x="{x:.1f}" y="{top + side + 18}" text-anchor="middle">{2**power}x</text>')
    (x, y), (right, high) = place(1, 1), place(64, 64)
    parts.append(f'<path d="M{x:.1f} {y:.1f}L{right:.1f} {high:.1f}" stroke="#999999" stroke-dasharray="4 4"/>')
    parts.append(f'<text x="{left + side / 2}" y="{height - 8}" text-anchor="middle">size (dashed: linear)</text>')
    parts.append(f'<text x="{left}" y="{top - 8}">time</text>')
    for number, (colour, curve) in enumerate(zip(colours, curves)):
        first, base = curve["points"][0]
        spots = [place(size / first, seconds / base) for size, seconds in curve["points"]]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.extend(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in spots)
        y = top + 16 + 22 * number
        parts.append(f'<path d="M{left + side + 24} {y - 4}h20" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{left + side + 50}" y="{y}">{curve["name"]} ({slope(curve["points"]):.2f})</text>')
    return "\n".join([*parts, "</svg>", ""])
