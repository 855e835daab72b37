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
from scalars import NAMES, SCALARS, STATED, WITNESSES, any_exponential, evaluate
from ulp import bits, ulps

from cecore import _dispatch

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.usefixtures("level")


each = pytest.mark.parametrize("scalar", SCALARS, ids=NAMES)


@each
@pytest.mark.parametrize("edges", [False, True])
def test_error_is_within_the_bound(scalar, edges):
    """At random, and where numbers of all kinds meet the ends of their ranges and the cuts of the reductions."""
    rng = np.random.default_rng(7)
    for dtype in scalar.dtypes():
        for box in scalar.domain(dtype):
            free = [r.edges(dtype) if edges else r.draw(rng, 400, dtype) for r in box]
            if edges:
                free = [np.ascontiguousarray(a).reshape(-1) for a in np.meshgrid(*free)]
                few = rng.permutation(free[0].size)[:600]
                free = [a[few] for a in free]
            errors = scalar.errors(*free, exactly=True)
            worst = int(np.argmax(errors))
            assert errors[worst] < scalar.stated(dtype)[0], [float(a[worst]).hex() for a in free]


@each
def test_the_search_stays_within_the_bound(scalar):
    rng = np.random.default_rng(11)
    for dtype in scalar.dtypes():
        for box in scalar.domain(dtype):
            assert scalar.errors(*(r.draw(rng, 20_000, dtype) for r in box)).max() < scalar.stated(dtype)[0]


def test_the_witnesses_attain_the_stated_errors():
    if not _dispatch.kernels.has_fma:
        pytest.skip("the stated errors are those of fused multiply-add")
    stated = {(n, np.dtype(t).name): s.stated(t)[1] for n, s in zip(NAMES, SCALARS, strict=True) for t in s.dtypes()}
    assert set(WITNESSES) == set(stated)
    for (name, kind), place in WITNESSES.items():
        free = [np.array([float.fromhex(v)], kind) for v in place]
        got = SCALARS[NAMES.index(name)].errors(*free, exactly=True)[0]
        assert got == pytest.approx(stated[name, kind], abs=1e-4)


def test_every_statement_of_the_headers_is_tested():
    tested: dict[str, int] = {}
    for scalar in SCALARS:
        tested[scalar.name] = tested.get(scalar.name, 0) + len(scalar.dtypes())
    assert tested == {name: len(figures) for name, figures in STATED.items()}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_special_values(dtype):
    inf, nan = math.inf, math.nan
    names = {n: s for n, s in zip(NAMES, SCALARS, strict=True) if dtype in s.dtypes()}
    for name, free, want in [
        ("any_pair_log", [[1.0, 0.0, nan], [0.0] * 3], [0.0, inf, nan]),
        ("pair_log", [[1.0, nan], [0.0] * 2], [0.0, nan]),
        ("log1p_fraction", [[1.0, 1.0, 1.0], [0.0, nan, 1.0]], [0.0, nan, dtype(math.log(2))]),
        ("log1p_row", [[0.0, nan], [0.0] * 2], [0.0, nan]),
        ("log1p_unit", [[0.0, nan], [0.0] * 2], [0.0, nan]),
        ("exp_fraction", [[0.0, -0.0, nan]], [1.0, 1.0, nan]),
        ("exp_short_fraction", [[0.0, -0.0, nan]], [1.0, 1.0, nan]),
        ("any_exp_fraction", [[0.0, -0.0, -inf, -1e30, nan] * 2, [0.0] * 5 + [1.0] * 5], [1.0, 1.0, 0.0, 0.0, nan] * 2),
        ("exp_of_product", [[2.0] * 4, [0.0, inf, 1e30, nan], [0.0] * 4], [1.0, 0.0, 0.0, nan]),
        ("sigmoids", [[0.0, inf, -inf, nan, 500.0, -2000.0], [0.0] * 6], [0.5, 1.0, 0.0, nan, 1.0, 0.0]),
        ("row_exp", [[0.0, -0.0, nan], [0.0] * 3], [1.0, 1.0, nan]),
        ("power", [[0.0, 1.0, nan, 0.25, 1e-300], [2.5, 2.5, 2.5, 0.5, 100.0]], [0.0, 1.0, nan, 0.5, 0.0]),
    ]:
        if name in names:
            scalar = names[name]
            got = scalar.value(*scalar.call(*scalar.arguments(*(np.array(v, dtype) for v in free))))
            np.testing.assert_array_equal(got, np.array(want, dtype), err_msg=name)
            assert not np.signbit(got[~np.isnan(got)]).any(), name


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_exponentials_below_the_normal_numbers_are_rounded_once(dtype):
    low = -745.0 if dtype == np.float64 else -103.9
    x = np.linspace(low, -708 if dtype == np.float64 else -87, 500).astype(dtype)
    one = np.ones_like(x)
    powers = [mpmath.exp(mpmath.mpf(float(v)) * (1 + 2.0**-26)) for v in x]
    assert max(map(ulps, evaluate(16, one, -x, 0 * one), powers, [dtype] * len(x))) < 2
    sigmoids = [1 / (1 + mpmath.exp(-mpmath.mpf(float(v)))) for v in x]
    for short in (0, 1):
        e, n, scale = any_exponential(x, one * short)
        assert max(map(ulps, evaluate(18, n, e, scale), sigmoids, [dtype] * len(x))) < 2


def test_every_lane_computes_the_same():
    for scalar in SCALARS:
        for dtype in scalar.dtypes():
            free = [r.draw(np.random.default_rng(5), 48, dtype) for r in scalar.domain(dtype)[0]]
            want = scalar.call(*scalar.arguments(*free))
            for shift in (1, 7, 15):
                got = scalar.call(*scalar.arguments(*(np.roll(a, shift) for a in free)))
                assert bits(*(np.roll(a, -shift) for a in got)) == bits(*want)


def test_rounding_errors_are_exact_with_fused_multiply_add():
    rng = np.random.default_rng(9)
    x, y = np.exp2(rng.uniform(-300, 300, (2, 500)))
    product, quotient = x * y, x / y
    got = zip(evaluate(22, x, y), evaluate(23, x, quotient, y), strict=True)
    for a, b, p, q, (lost, rest) in zip(x, y, product, quotient, got, strict=True):
        a, b = Fraction(a), Fraction(b)
        slack = 0 if _dispatch.kernels.has_fma else 2.0**-100
        assert abs(Fraction(lost) - (a * b - Fraction(p))) <= slack * abs(p)
        assert abs(Fraction(rest) - (a - Fraction(q) * b)) <= slack * abs(a)


def test_products_and_quotients_that_overflow():
    inf, nan, most = math.inf, math.nan, 1.7976931348623157e308
    x, y = np.array([1e300, -1e300, inf, nan, most, 0.0]), np.array([1e300, 1e300, 1.0, 1.0, 1.0, 5.0])
    np.testing.assert_array_equal(evaluate(24, x, y, 0 * y), [inf, -inf, inf, nan, most, 0.0])
    x, y = np.array([1e300, -1e300, inf, nan, most, 0.0]), np.array([1e-300, 1e-300, 1.0, 1.0, 1.0, 5.0])
    np.testing.assert_array_equal(evaluate(25, x, y, 0 * y), [inf, -inf, inf, nan, most, 0.0])
    np.testing.assert_array_equal(evaluate(26, x, y, 0 * y), [0.0] * 6)


def test_24_bits_are_those_of_float():
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.normal(size=500), 1 + np.arange(64) * 2.0**-25, [math.inf, -math.inf, 0.0, -0.0, math.nan]])
    for scale in (1.0, 2.0**900, 2.0**-900):
        assert bits(evaluate(27, x * scale)) == bits(x.astype(np.float32).astype(np.float64) * scale)


def test_the_constants_are_derived(level):
    if level != _dispatch.chosen:
        pytest.skip("once is enough")
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "coefficients.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.exhaustive
@each
def test_every_float(scalar):
    """Against double arithmetic; other free variables are at the start of their range."""
    if scalar.only_double:
        pytest.skip("there is no such function for float")
    boxes = scalar.domain(np.float32)
    low, high = min(box[0].low for box in boxes), max(box[0].high for box in boxes)
    largest = 0.0
    for start in range(0, 1 << 32, 1 << 24):
        x = np.arange(start, start + (1 << 24), dtype=np.uint32).view(np.float32)
        x = x[(x >= low) & (x <= high)]
        if x.size:
            errors = scalar.errors(x, *(np.full_like(x, r.low) for r in boxes[0][1:]))
            largest = max(largest, float(errors.max()))
    print(f"{scalar.name}: {largest:.4f} ULP over every float")
    assert largest < scalar.stated(np.float32)[0]


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
