"""Draws the table "by the size of the true change" of operating-characteristics.md: python docs/results/curve.py"""
import pathlib

HERE = pathlib.Path(__file__).parent
KINDS = [("internal", "#00664d"), ("some change", "#b8860b"), ("superficial", "#a63c00"), ("insufficient", "#777777")]
WIDTH, HEIGHT, LEFT, TOP, SIDE = 250, 190, 42, 34, 190

rows = []
for line in (HERE / "operating-characteristics.md").read_text().splitlines():
    cells = [cell.strip().removesuffix(" %") for cell in line.strip("|").split("|")]
    if len(cells) == 8 and cells[0].isdigit():
        d, auroc, change, internal, superficial, some, insufficient, _ = map(float, cells)
        rows.append((int(d), auroc, change, dict(zip(["internal", "superficial", "some change", "insufficient"], [internal, superficial, some, insufficient]))))
worlds = sorted({row[:2] for row in rows})


def panel(place, world):
    left, top = LEFT + place % 2 * WIDTH, TOP + place // 2 * (HEIGHT + 44)
    x = lambda change: left + change * SIDE
    y = lambda share: top + (1 - share / 100) * (HEIGHT - 30)
    parts = [f'<text x="{left}" y="{top - 10}" font-weight="bold">d = {world[0]:,}, AUROC {world[1]:.2f}</text>']
    parts += [f'<line x1="{x(0):.1f}" x2="{x(1):.1f}" y1="{y(s):.1f}" y2="{y(s):.1f}" stroke="#ddd"/>' for s in (0, 25, 50, 75, 100)]
    parts += [f'<text x="{left - 6}" y="{y(s) + 4:.1f}" text-anchor="end">{s}</text>' for s in (0, 50, 100)]
    parts += [f'<text x="{x(c):.1f}" y="{y(0) + 15:.1f}" text-anchor="middle">{c:g}</text>' for c in (0, 0.25, 0.5, 1)]
    parts.append(f'<line x1="{x(0.2):.1f}" x2="{x(0.2):.1f}" y1="{y(0):.1f}" y2="{y(100):.1f}" stroke="#999" stroke-dasharray="3 3"/>')
    points = sorted((change, shares) for *of, change, shares in rows if tuple(of) == world)
    for kind, colour in KINDS:
        line = " ".join(f"{x(change):.1f},{y(shares[kind]):.1f}" for change, shares in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x(change):.1f}" cy="{y(shares[kind]):.1f}" r="2.5" fill="{colour}"/>' for change, shares in points]
    return parts


size = (LEFT + 2 * WIDTH, TOP + 2 * (HEIGHT + 44) + 24)
parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" width="{size[0]}" font-family="sans-serif" font-size="11">',
         "<title>Share of verdicts by the true change of the level</title>",
         f'<rect width="{size[0]}" height="{size[1]}" fill="white"/>']
for place, world in enumerate(worlds):
    parts += panel(place, world)
for place, (kind, colour) in enumerate(KINDS):
    parts.append(f'<text x="{LEFT + place * 96}" y="{size[1] - 28}" fill="{colour}" font-weight="bold">{kind}</text>')
parts.append(f'<text x="{LEFT}" y="{size[1] - 10}">% of draws, by the true change in class distances; dashed: the margin</text></svg>')
(HERE / "operating-characteristics.svg").write_text("\n".join(parts) + "\n")
