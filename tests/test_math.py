"""The scalar functions against mpmath, within the bounds that their header states; the accumulator against integers."""

from __future__ import annotations

import math
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scalars import BOUNDS, EXACT, WIDE, WITNESSES
from ulp import ulps

from cecore import _dispatch

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.usefixtures("level")


def apply(function, x, y=None):
    x = np.ascontiguousarray(x)
    out = np.empty_like(x)
    _dispatch.kernels.evaluate(function, x, x if y is None else np.ascontiguousarray(y, x.dtype), out)
    return out


def bound(function, dtype):
    return BOUNDS[function if dtype == np.float64 else function + "f"]


def arguments(function, dtype, rng, n):
    info = np.finfo(dtype)
    one = dtype(1)
    if function == "exp":
        x = np.concatenate([rng.uniform(-745, 709, n), rng.uniform(-1, 1, n), rng.uniform(-1e-8, 1e-8, n)])
        x = x if dtype == np.float64 else np.clip(x, -103, 88)
        return x.astype(dtype)
    if function in ("sigmoid", "softplus_rest"):
        x = np.concatenate([rng.uniform(-708, 708, n), rng.uniform(-40, 40, n), rng.uniform(-3, 3, n), [0.0]])
        return (x if dtype == np.float64 else np.clip(x, -87, 87)).astype(dtype)
    near_one = one + np.arange(-50, 50).astype(dtype) * info.epsneg
    spread = np.exp(rng.uniform(math.log(float(info.smallest_subnormal)), math.log(float(info.max)), n)).astype(dtype)
    cuts = np.array([0.5, math.sqrt(0.5), math.sqrt(2), 1, 2, float(info.tiny), float(info.smallest_subnormal)], dtype)
    cuts = np.concatenate([cuts, np.nextafter(cuts, dtype(0)), np.nextafter(cuts, dtype(4))])
    x = np.concatenate([near_one, spread, cuts, rng.uniform(0.3, 2, n).astype(dtype), rng.random(n).astype(dtype)])
    if function == "neg_log":
        return x[x <= 1]
    if function == "log1p":
        return np.concatenate([x, -x[x < 1], rng.uniform(-0.5, 1, n).astype(dtype), -spread[spread < 1]])
    return x


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("function", EXACT)
def test_error_is_within_the_bound(function, dtype):
    x = arguments(function, dtype, np.random.default_rng(7), 1500)
    got = apply(function, x, 1 - x)
    errors = [ulps(g, EXACT[function](mpmath.mpf(float(v))), dtype) if v else 0 for g, v in zip(got, x, strict=True)]
    assert max(errors) < bound(function, dtype), x[int(np.argmax(errors))]


def test_the_stated_inputs_attain_the_stated_errors(level):
    if not _dispatch.kernels.has_fma:
        pytest.skip("the table is that of fused multiply-add")
    assert list(WITNESSES) == list(BOUNDS)
    for name, (error, place) in WITNESSES.items():
        dtype = np.float64 if name in EXACT else np.float32
        x = np.array([place], dtype)
        function = name if name in EXACT else name[:-1]
        got = ulps(apply(function, x, 1 - x)[0], EXACT[function](mpmath.mpf(float(x[0]))), dtype)
        assert got == pytest.approx(error, abs=1e-4)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_neg_log_takes_a_small_complement_as_exact(dtype):
    b = np.exp(np.random.default_rng(1).uniform(math.log(1e-30), math.log(0.5), 1500)).astype(dtype)
    got = apply("neg_log", 1 - b, b)
    exact = [-mpmath.log1p(-mpmath.mpf(float(v))) for v in b]
    assert max(ulps(g, e, dtype) for g, e in zip(got, exact, strict=True)) < bound("neg_log", dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_special_values(dtype):
    inf, nan = math.inf, math.nan
    for function, x, want in [
        ("log", [0.0, -0.0, 1.0, inf, -1.0, -inf, nan], [-inf, -inf, 0.0, inf, nan, nan, nan]),
        ("log1p", [-1.0, 0.0, -0.0, inf, -1.5, -inf, nan], [-inf, 0.0, -0.0, inf, nan, nan, nan]),
        ("exp", [0.0, -0.0, inf, -inf, nan, 1000.0, -1000.0], [1.0, 1.0, inf, 0.0, nan, inf, 0.0]),
    ]:
        got = apply(function, np.array(x, dtype))
        np.testing.assert_array_equal(got, np.array(want, dtype))
        np.testing.assert_array_equal(np.signbit(got)[~np.isnan(got)], np.signbit(want)[~np.isnan(want)])
    got = apply("neg_log", np.array([1.0, 0.0, nan], dtype), np.array([0.0, 1.0, nan], dtype))
    np.testing.assert_array_equal(got, [0.0, inf, nan])
    assert not np.signbit(got[0])


def test_power():
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.random(300), np.exp(rng.uniform(-140, 0, 300)), [1.0, 0.5, 1 - 2.0**-53, 1e-300]])
    for exponent in (0.1, 0.5, 1.0, 2.0, 2.5, 5.0):
        got = apply("power", x, np.full_like(x, exponent))
        exact = [mpmath.power(mpmath.mpf(float(v)), exponent) for v in x]
        errors = [ulps(g, e, np.float64) for g, e in zip(got, exact, strict=True) if e > 1e-307]
        assert max(errors) < 1
        np.testing.assert_array_equal(apply("power", np.array([0, np.nan]), np.full(2, exponent)), [0, np.nan])


def test_the_constants_are_derived(level):
    if level != _dispatch.chosen:
        pytest.skip("once is enough")
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "coefficients.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.exhaustive
@pytest.mark.parametrize("function", EXACT)
def test_every_float(function):
    """Against double arithmetic, whose error is below 1e-8 ULP of float."""
    largest = 0.0
    for start in range(0, 1 << 32, 1 << 24):
        x = np.arange(start, start + (1 << 24), dtype=np.uint32).view(np.float32)
        with np.errstate(all="ignore"):
            wide = WIDE[function](x.astype(np.float64))
            keep = np.isfinite(wide) & (np.abs(wide) < np.finfo(np.float32).max) & (wide != 0)
            keep &= (x >= 0) & (x <= 1) if function == "neg_log" else True
            x, wide = x[keep], wide[keep]
            exponent = np.maximum(np.frexp(wide)[1] - 24, -149)
        if x.size:
            got = apply(function, x, 1 - x).astype(np.float64)
            largest = max(largest, np.abs((got - wide) / np.ldexp(1.0, exponent)).max())
    print(f"{function}: {largest:.4f} ULP over every float")
    assert largest < bound(function, np.float32)


# ---------------------------------------------------------------- the accumulator

finite = st.floats(min_value=0, allow_infinity=False, allow_nan=False)


@given(st.lists(finite, max_size=40))
def test_the_sum_is_exact_and_rounded_once(terms):
    got = _dispatch.kernels.exact_sum(np.array(terms, np.float64))
    total = sum(map(Fraction, terms), Fraction(0))
    try:
        want = float(total)
    except OverflowError:
        want = math.inf
    assert got == want
    assert math.copysign(1, got) == 1


@given(st.lists(finite, max_size=20), st.randoms())
def test_the_order_does_not_matter(terms, random):
    before = _dispatch.kernels.exact_sum(np.array(terms, np.float64))
    random.shuffle(terms)
    assert _dispatch.kernels.exact_sum(np.array(terms, np.float64)) == before


def test_ties_and_carries():
    exact_sum = _dispatch.kernels.exact_sum
    half_ulp = 2.0**-53
    tiny = 2.0**-1074
    for terms, want in [
        ([1.0, half_ulp], 1.0),
        ([1.0, half_ulp, tiny], 1.0 + 2 * half_ulp),
        ([1.0 + 2 * half_ulp, half_ulp], 1.0 + 4 * half_ulp),
        ([tiny] * 3, 3 * tiny),
        ([2.0**-1022 - tiny, tiny], 2.0**-1022),
        ([1.7976931348623157e308], 1.7976931348623157e308),
        ([1.7976931348623157e308] * 2, math.inf),
        ([math.inf, 1.0], math.inf),
        ([2.0**32 - 1] * 1000 + [2.0**-40] * 1000, (2.0**32 - 1) * 1000 + 1000 * 2.0**-40),
    ]:
        assert exact_sum(np.array(terms)) == want
    assert math.isnan(exact_sum(np.array([1.0, math.nan])))
    assert math.isnan(exact_sum(np.array([math.nan, math.inf])))
    assert math.isnan(exact_sum(np.array([math.inf, math.nan, 1.0])))
    assert exact_sum(np.array([math.inf, 0.0, math.inf])) == math.inf


@pytest.mark.parametrize("term", [2.0**32 - 1, 2.0**53 - 1, 2.0**980 - 2.0**927, 2.0**-1022 - 2.0**-1074])
def test_carries_are_passed_on_before_a_limb_overflows(term):
    limit = 1 << 29  # additions after which carries must be passed on
    for repeats in (limit, limit // 4):
        assert _dispatch.kernels.exact_sum(np.full(32, term), repeats) == term * 32 * repeats
