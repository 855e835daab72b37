"""Inputs on which cross-entropy code has publicly been reported to be wrong, to overflow or to crash."""

from __future__ import annotations

import re

import numpy as np
import pytest
from mpmath import mpf
from torture_cases import CLASSES, case_of, dtype_of, rows
from ulp import ulp_of, ulps

import cecore

ROWS = rows()
HALVES = {"float16": (11, -24), "bfloat16": (8, -133)}  # bits of the mantissa, exponent of the least number


def spacing(exact, dtype):
    if dtype not in HALVES:
        return ulp_of(exact, dtype)
    bits, least = HALVES[dtype]
    return max(ulp_of(exact, np.float32) * mpf(2) ** (24 - bits), mpf(2) ** least)


def error(got, exact, dtype):
    """`ulps`, for the half types too."""
    wide = np.float32 if dtype in HALVES else np.dtype(dtype)
    found = ulps(got, exact, wide)
    return found * float(ulp_of(exact, wide) / spacing(exact, dtype)) if np.isfinite(found) and found else found


def computed(case):
    """The results of cecore, one array or number for each part of `exact`."""
    if case.method == "call":
        return [getattr(cecore, case.function)(case.x)]
    made = getattr(cecore, CLASSES[case.function])(**case.options)
    got = getattr(made, case.method)(case.x, case.targets, sample_weight=case.sample_weight)
    return list(got) if case.method == "gradient_hessian" else [got]


@pytest.mark.usefixtures("level")
@pytest.mark.filterwarnings("ignore::cecore.InputWarning")  # some rows do not sum to 1, on purpose
@pytest.mark.parametrize("index", range(len(ROWS)), ids=[row["name"] for row in ROWS])
def test_torture(index):
    if ROWS[index]["dtype"] == "bfloat16":
        pytest.importorskip("ml_dtypes")
    case = case_of(ROWS[index])
    if case.error:
        with pytest.raises({"ValueError": ValueError, "TypeError": TypeError}[case.error]):
            computed(case)
        return
    for got, exact in zip(computed(case), case.exact, strict=True):
        assert np.shape(got) == exact.shape
        if isinstance(got, np.ndarray):
            assert got.dtype == dtype_of(case.dtype)
        for g, e in zip(np.asarray(got).reshape(-1), exact.reshape(-1), strict=True):
            assert error(g, e, case.unit) <= case.tolerance, (float(g), float(e))


def test_the_collection():
    assert len(ROWS) >= 60
    assert len({row["name"] for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", row["source"])
    assert len({row["source"] for row in ROWS}) >= 25
