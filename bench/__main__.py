"""The command line: ``python -m bench --help``."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Sequence

import numpy as np

import cecore
from cecore import _dispatch

from . import memory, scaling
from .cells import CELLS, DTYPES, SIZE, Cell
from .contestants import cecore_at, contestants
from .progress import progress
from .report import goals, timings
from .timing import measure


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Check, then time.")
    parser.add_argument("--cells", metavar="PATTERN", default="", help='those with this in "NAME, DTYPE"')
    parser.add_argument("--levels", nargs="+", choices=_dispatch.usable, default=list(_dispatch.usable))
    parser.add_argument("--size", type=int, help=f"elements (default: {SIZE:,})")
    parser.add_argument("--rounds", type=int, help="timings of each contestant (default: 9)")
    parser.add_argument("--quick", action="store_true", help="a million elements, 3 rounds")
    parser.add_argument("--memory", action="store_true", help=f"peak memory of every method, at {SIZE:,} elements")
    parser.add_argument("--scaling", action="store_true", help="one thread against all, beside PyTorch's")
    given = parser.parse_args()
    given.size = given.size or (1_000_000 if given.quick else SIZE)
    given.rounds = given.rounds or (3 if given.quick else 9)
    return given


def time_all(jobs: Sequence[tuple[Cell, str]], size: int, rounds: int, levels: Sequence[str]) -> None:
    """Print the tables and the verdicts."""
    field, results = contestants(levels), []
    for number, (cell, dtype) in enumerate(jobs, 1):
        label = f"{number}/{len(jobs)}  {cell.name}, {dtype}"
        results.append(measure(cell, dtype, cell.size or size, field, rounds, label))
    progress("")
    print(f"cecore {cecore.__version__}, NumPy {np.__version__}, Python {platform.python_version()}, one thread")
    print(f"{size:,} elements, median wall time of {rounds} interleaved rounds; spread: IQR over median\n")
    print(timings(results), goals(results, cecore_at(_dispatch.chosen).name), sep="\n\n")


def main() -> int:
    given = options()
    if given.memory:
        return 0 if memory.report(given.cells) else 1
    if given.scaling:
        return 0 if scaling.report() else 1
    jobs = [(cell, dtype) for cell in CELLS for dtype in DTYPES if given.cells in f"{cell.name}, {dtype}"]
    if not jobs:
        raise SystemExit(f"no cell has {given.cells!r} in its name")
    time_all(jobs, given.size, given.rounds, given.levels)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
