"""Comparisons: errors in units in the last place, against exact mpmath numbers, and bits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from mpmath import isnan, mp, mpf

mp.dps = 60


def ulp_of(exact: Any, dtype: Any) -> mpf:
    """The spacing of the numbers of a type at an exact value."""
    bits, least = (53, -1074) if np.dtype(dtype) == np.float64 else (24, -149)
    if exact == 0:
        return mpf(2) ** least
    mantissa, exponent = abs(exact).man_exp if hasattr(abs(exact), "man_exp") else (1, 0)
    return mpf(2) ** max(exponent + int(mantissa).bit_length() - bits, least)


def ulps(got: Any, exact: Any, dtype: Any) -> float:
    """|got - exact| in ULPs; 0 for two NaN or the same infinity, also where the exact value overflows."""
    got, exact = float(got), mpf(exact)
    if isnan(exact) or math.isnan(got):
        return 0.0 if isnan(exact) and math.isnan(got) else math.inf
    limit = mpf(2) ** (1024 if np.dtype(dtype) == np.float64 else 128)
    if math.isinf(got) or abs(exact) >= limit:
        return (
            0.0
            if math.isinf(got) and abs(exact) >= limit * (1 - mpf(2) ** -20) and (got > 0) == (exact > 0)
            else math.inf
        )
    return float(abs(mpf(got) - exact) / ulp_of(exact, dtype))


def worst(got: Any, exact: Any, dtype: Any, sizes: Any = None) -> float:
    """The largest error in ULPs of the exact values, or of the sizes of their terms."""
    got, exact = np.asarray(got).reshape(-1), np.asarray(exact, object).reshape(-1)
    sizes = exact if sizes is None else np.asarray(sizes, object).reshape(-1)
    assert got.shape == exact.shape == sizes.shape
    errors = (ulps_of(s, g, e, dtype) for g, e, s in zip(got, exact, sizes, strict=True))
    return max(errors, default=0.0)


def ulps_of(size: Any, got: Any, exact: Any, dtype: Any) -> float:
    """Return |got - exact| in ULPs of a size. `ulps` overflows if the exact value is 0 and the error is not tiny."""
    error = ulps(got, exact, dtype)
    limit = mpf(2) ** (1024 if np.dtype(dtype) == np.float64 else 128)
    if error == 0 or not math.isfinite(got) or not abs(mpf(exact)) < limit:
        return error
    return float(abs(mpf(float(got)) - exact) / ulp_of(size, dtype))


def inside(got: Any, want: Any, sizes: Any, dtype: Any, bound: float, classes: int = 1) -> bool:
    """Within the bound, in ULP of the terms; what is lost below the normal numbers is not held against it.

    There each of a row's exponentials may lose half of the least number.
    """
    got, want, sizes = (np.asarray(a, object).reshape(-1) for a in (got, want, sizes))
    tiny = float(np.finfo(dtype).tiny)
    lost = tiny * 2.0**-20 + classes * float(np.finfo(dtype).smallest_subnormal) / 2
    for g, e, size in zip(got, want, sizes, strict=True):
        if ulps(g, e, dtype) <= bound or (size < tiny and abs(g - e) < lost):
            continue
        if worst([g], [e], dtype, [size]) > bound:
            return False
    return True


def bits(*arrays: Any) -> list[bytes]:
    """Of the numbers in C order and the machine's byte order. A NaN's sign and payload do not count."""
    found = [np.asarray(array) for array in arrays]
    found = [array.astype(array.dtype.newbyteorder("="), copy=False) for array in found]
    return [
        (np.where(np.isnan(array), array.dtype.type(np.nan), array) if array.dtype.kind == "f" else array).tobytes()
        for array in found
    ]
