"""Print the largest error of each scalar function, in ULP, next to the bound that its header states.

    python tools/accuracy.py                       search, and test a sample of the float32 numbers (ten minutes)
    python tools/accuracy.py --exhaustive          search, and test every float32 number (an hour)
    python tools/accuracy.py --levels x86_v4       search on some levels only

The search has three steps. It computes the errors of many random arguments, compared with a wider type: 80-bit numbers
for float64, float64 for float32. It climbs from the worst of them, by ever smaller steps. High precision then confirms
the worst argument. Functions of one float32 number are also tested over all numbers of their domain, or every 997th.
The tool needs an x86 machine (80-bit long double). It exits with 1 if an error reaches its bound.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from cecore import _dispatch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from scalars import NAMES, SCALARS, Range, Scalar

Found = tuple[float, tuple[float, ...]]


def climb(scalar: Scalar, box: tuple[Range, ...], rng: np.random.Generator, dtype: type) -> Found:
    """Return the largest error of a search in a box of free variables, and where it is."""
    points = [r.draw(rng, 1 << 17, dtype) for r in box]
    for step in [0.0, *10.0 ** -np.arange(3, 16 if dtype is np.float64 else 8)]:
        if step:
            points = [np.repeat(p, 64) for p in points]
            moved = [p * (1 + rng.uniform(-step, step, p.size) * (np.arange(p.size) % 64 > 0)) for p in points]
            moved = [p if r.kind == "whole" else m for r, p, m in zip(box, points, moved, strict=True)]
            points = [np.clip(m, r.low, r.high).astype(dtype) for r, m in zip(box, moved, strict=True)]
        best = np.argsort(scalar.errors(*points))[-64:]
        points = [p[best] for p in points]
    exact = scalar.errors(*points, exactly=True)
    return float(exact.max()), tuple(float(p[exact.argmax()]) for p in points)


def every_float(scalar: Scalar, low: float, high: float, rest: tuple[float, ...], stride: int) -> Found:
    """Return the largest error over the float32 numbers from low to high, the other free variables being given."""
    worst, where = 0.0, 0.0
    for start in range(0, 1 << 32, 1 << 24):
        x = np.arange(start, start + (1 << 24), stride, dtype=np.uint32).view(np.float32)
        x = x[(x >= low) & (x <= high)]
        if x.size:
            errors = scalar.errors(x, *(np.full_like(x, v) for v in rest))
            worst, where = max((worst, where), (float(errors.max()), float(x[errors.argmax()])))
    return worst, (where, *rest)


def largest(scalar: Scalar, dtype: type, rounds: int, stride: int) -> Found:
    boxes = scalar.domain(dtype)
    found = [climb(scalar, box, np.random.default_rng(i), dtype) for box in boxes for i in range(rounds)]
    if dtype is np.float32 and all(r.kind == "whole" or r.low == r.high for r in boxes[0][1:]):
        low, high = min(box[0].low for box in boxes), max(box[0].high for box in boxes)
        for choice in range(int(max(r.high for r in boxes[0][1:])) + 1) if boxes[0][1:] else [None]:
            rest = () if choice is None else (float(choice),)
            found.append(every_float(scalar, low, high, rest, stride))
    return max(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exhaustive", action="store_true", help="test every float32 number")
    parser.add_argument("--rounds", type=int, default=10, help="searches for each function and box of arguments")
    parser.add_argument("--levels", nargs="+", default=list(_dispatch.usable), choices=_dispatch.usable)
    options = parser.parse_args()
    failed = False
    for level in options.levels:
        _dispatch.kernels = _dispatch.usable[level]
        for name, scalar in zip(NAMES, SCALARS, strict=True):
            for dtype in scalar.dtypes():
                worst, where = largest(scalar, dtype, options.rounds, 1 if options.exhaustive else 997)
                bound, _ = scalar.stated(dtype)
                failed |= worst >= bound
                kind = np.dtype(dtype).name
                print(
                    f"{level:9} {name:24} {kind:8} {worst:.4f} ULP (bound {bound}) at {[v.hex() for v in where]}",
                    flush=True,
                )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
