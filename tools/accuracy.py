"""Print the largest error of each scalar function, in ULP, next to the bound that its header states.

    python tools/accuracy.py                 search float64, and test a sample of float32 (a minute)
    python tools/accuracy.py --exhaustive    search float64, and test every float32 number (minutes)

The search for float64 has three steps. It computes the errors of many random arguments, compared with 80-bit
arithmetic. It climbs from the worst of them, by ever smaller steps. mpmath then confirms the worst argument.
The tool needs an x86 machine (80-bit long double). It exits with 1 if an error exceeds its bound.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import mpmath
import numpy as np

from cecore import _dispatch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from scalars import BOUNDS, EXACT, WIDE
from ulp import ulps

RANGES = {
    "neg_log": [(0.3, 1)],
    "log": [(0.3, 3)],
    "log1p": [(-0.6, 3)],
    "exp": [(-1, 1), (-700, 700)],
    "sigmoid": [(-3, 3), (-40, 40), (-700, -30)],
    "softplus_rest": [(0, 3), (0, 40), (30, 700)],
}


def apply(function: str, x: np.ndarray) -> np.ndarray:
    out = np.empty_like(x)
    _dispatch.kernels.evaluate(function, x, 1 - x, out)
    return out


def errors(function: str, x: np.ndarray, wide_type: type) -> np.ndarray:
    """Return the error for each argument in ULP, compared with a wider type; 0 if the result is not a normal number."""
    with np.errstate(all="ignore"):
        wide = WIDE[function](x.astype(wide_type))
        got = apply(function, x)
        info = np.finfo(x.dtype)
        usable = np.isfinite(wide) & (np.abs(wide) < info.max) & (np.abs(wide) >= info.tiny)
        usable &= (x >= 0) & (x <= 1) if function == "neg_log" else True
        exponent = np.frexp(np.where(usable, wide, 1))[1] - (53 if x.dtype == np.float64 else 24)
        error = np.abs((got.astype(wide_type) - wide) / np.ldexp(wide_type(1), exponent))
    return np.where(usable, error, 0).astype(np.float64)


def search(function: str, rng: np.random.Generator, rounds: int) -> tuple[float, float]:
    worst, where = 0.0, 0.0
    for low, high in RANGES[function]:
        for _ in range(rounds):
            x = rng.uniform(low, high, 1 << 18)
            e = errors(function, x, np.longdouble)
            best = x[np.argsort(e)[-64:]]
            for step in 10.0 ** -np.arange(4, 16):
                near = (best[:, None] * (1 + rng.uniform(-step, step, (best.size, 128)))).reshape(-1)
                near = np.concatenate([best, near[(near > low) & (near < high)]])
                best = near[np.argsort(errors(function, near, np.longdouble))[-64:]]
            exact = [ulps(apply(function, v[None])[0], EXACT[function](mpmath.mpf(v)), np.float64) for v in best]
            if max(exact) > worst:
                worst, where = max(exact), float(best[int(np.argmax(exact))])
    return worst, where


def every_float(function: str, stride: int) -> tuple[float, float]:
    worst, where = 0.0, 0.0
    for start in range(0, 1 << 32, 1 << 24):
        x = np.arange(start, start + (1 << 24), stride, dtype=np.uint32).view(np.float32)
        e = errors(function, x, np.float64)
        if e.max() > worst:
            worst, where = float(e.max()), float(x[e.argmax()])
    return worst, where


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--exhaustive", action="store_true", help="test every float32 number")
    parser.add_argument("--rounds", type=int, default=10, help="searches for each function and range")
    options = parser.parse_args()
    failed = False
    for level, kernels in _dispatch.usable.items():
        _dispatch.kernels = kernels
        for function in EXACT:
            for suffix, (worst, where) in (
                ("", search(function, np.random.default_rng(0), options.rounds)),
                ("f", every_float(function, 1 if options.exhaustive else 997)),
            ):
                bound = BOUNDS[function + suffix]
                failed |= worst >= bound
                name = f"{function}{suffix}"
                print(f"{level:9} {name:9} {worst:.4f} ULP at {where.hex():24} (bound {bound})", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
