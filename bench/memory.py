"""The growth of peak memory during one call, each in a fresh process.

Linux only: it resets the high-water mark, so that making the inputs does not hide what the call allocates. The
formula is measured too: where it shows no growth, the measurement is blind.
"""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path

from .cells import SIZE, Cell
from .contestants import bind_cecore, bind_formula
from .progress import progress
from .report import table

LIMIT = 1024  # KiB


def report(jobs: Sequence[tuple[Cell, str]]) -> bool:
    """Print the growth for cells and dtypes; whether all of cecore's are within the limit and all formulas' above."""
    rows, fine = [], True
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for cell, dtype in jobs:
            progress(f"{cell.name}, {dtype}")
            ours, formula = (pool.apply(growth, (cell, dtype, formula)) for formula in (False, True))
            verdict = "FAIL" if ours > LIMIT else "BLIND" if formula <= LIMIT else "PASS"
            fine = fine and verdict == "PASS"
            rows.append((cell.name, dtype, str(ours), str(formula), verdict))
    progress("")
    print(f"Growth of peak memory in a call, {SIZE:,} elements, outputs preallocated; limit {LIMIT} KiB\n")
    print(table(("cell", "dtype", "cecore KiB", "NumPy formula KiB", "verdict"), rows, left=2))
    return fine


def growth(cell: Cell, dtype: str, formula: bool) -> int:
    """KiB by which a call raises the peak, once its arrays exist and a small call has been made."""
    bind = bind_formula if formula else bind_cecore
    problem = cell.problem(SIZE, dtype)
    bind(cell, problem.head(1000))()
    call = bind(cell, problem)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is resident
    before = peak()
    call()
    return peak() - before


def peak() -> int:
    """The high-water mark of resident memory, in KiB."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
