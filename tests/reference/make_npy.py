"""One matrix in every form of npy file that is read, for tests/it/probe_files.rs.

    python3 tests/reference/make_npy.py
"""

import pathlib

import numpy as np
from numpy.lib import format as npy

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/fixtures/npy"
# Exact in half precision.
matrix = (np.arange(12).reshape(4, 3) - 5) / 8
for name in ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"]:
    for order in "CF":
        letters = name.replace("<", "little_").replace(">", "big_")
        np.save(OUT / f"{letters}_{order}.npy", np.asarray(matrix, dtype=name, order=order))
for version in [(2, 0), (3, 0)]:
    with open(OUT / f"version_{version[0]}.npy", "wb") as file:
        npy.write_array(file, matrix.astype("<f4"), version=version)
