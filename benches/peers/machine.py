"""What the machine can do, by torch: matrix products and memory reads. Prints JSON."""

import json
import os
import time

import torch

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def best(work, seconds=1.5):
    """Shortest of many runs: a limit is what was reached once."""
    work()
    times, started = [], time.perf_counter()
    while time.perf_counter() - started < seconds or len(times) < 5:
        before = time.perf_counter()
        work()
        times.append(time.perf_counter() - before)
    return min(times)


def product(kind, rows, inner, columns):
    x, w = torch.randn(rows, inner, dtype=kind), torch.randn(columns, inner, dtype=kind)
    return 2 * rows * inner * columns / best(lambda: torch.nn.functional.linear(x, w))


def rows_by_weights(kind, rows, layers=30):
    """Bytes of weights read in a second where each of so many matrices of the model's shapes, more than fit a cache,
    is multiplied by a few rows."""
    shapes = [(576, 576), (192, 576), (192, 576), (576, 576), (1536, 576), (1536, 576), (576, 1536)] * layers
    weights = [torch.randn(shape, dtype=kind) for shape in shapes]
    inputs = {width: torch.randn(rows, width, dtype=kind) for width in (576, 1536)}

    def work():
        for weight in weights:
            torch.nn.functional.linear(inputs[weight.shape[1]], weight)

    return sum(weight.nbytes for weight in weights) / best(work)


def read(megabytes=1024):
    """A sum over a tensor far larger than any cache."""
    x = torch.ones(megabytes * 2**20 // 4)
    return x.nbytes / best(lambda: x.sum())


with torch.inference_mode():
    figures = {"read": read()}
    for name, kind in [("f32", torch.float32), ("bf16", torch.bfloat16)]:
        figures[f"{name} 1024x576x1536"] = product(kind, 1024, 576, 1536)
        figures[f"{name} 4096x4096x4096"] = product(kind, 4096, 4096, 4096)
        head = torch.randn(49152, 576, dtype=kind)
        row = torch.randn(1, 576, dtype=kind)
        figures[f"{name} unembedding"] = head.nbytes / best(lambda: torch.nn.functional.linear(row, head))
        for rows in (1, 8, 32):
            figures[f"{name} layers, {rows} rows"] = rows_by_weights(kind, rows)
    print(json.dumps(figures))
