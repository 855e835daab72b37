"""Each formula of the kernels alone, over one block, against the definition; in every position and length."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import pytest
from mpmath import mpf
from reference import evaluate
from ulp import bits, inside

from cecore import _dispatch

pytestmark = pytest.mark.usefixtures("level")
each_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32])

BLOCK = 512
LENGTHS = [*range(1, 41), *range(BLOCK - 17, BLOCK + 1)]
SUM, GRADIENT, HESSIAN, EACH = 1, 2, 4, 8  # what is wanted of a block
LOGITS, POS_WEIGHT, POS_WEIGHTS, ZERO_OUTSIDE, ONLY_GENERAL = 1, 4, 8, 16, 32
WANTED = [EACH, GRADIENT, EACH | GRADIENT, SUM | GRADIENT, GRADIENT | HESSIAN]
EPS = 1e-7
OPTIONS = [
    {},
    {"pos_weight": 2.5},
    {"label_smoothing": 0.1},
    {"pos_weight": 0.3, "label_smoothing": 0.25},
    {"gradient_outside": "zero"},
    {"eps": 0.0},
    {"eps": 1e-3},
]
LOGIT_OPTIONS = [*OPTIONS[:4], *({"focal_gamma": g} for g in (1.0, 2.0, 0.5, 2.5, 1.7)),
                 {"focal_gamma": 2.0, "pos_weight": 3.0, "label_smoothing": 0.1}]  # fmt: skip


def padded(array, filling, dtype):
    """A copy that is padded to whole vectors, as the drivers do."""
    n = len(array)
    out = np.full(-(-n // 16) * 16, filling, dtype)
    out[:n] = array
    return out


def run(x, t, wanted, options, *, logits, w=None, general=False, factor=1.0, factors=None):
    """Return the sum, the losses, the gradient and the Hessian of a block; what is not wanted is NaN."""
    dtype, n = x.dtype, len(x)
    pos_weight = options.get("pos_weight", 1.0)
    flags = (LOGITS * logits) | (ONLY_GENERAL * general)
    flags |= POS_WEIGHT * (pos_weight != 1) | ZERO_OUTSIDE * (options.get("gradient_outside") == "zero")
    weights = padded(np.ones(n) if w is None else w, 0, dtype)
    wide = padded(np.full(n, factor) if factors is None else factors, 0, np.float64)
    wide[weights == 0] = 0
    with np.errstate(over="ignore", under="ignore"):
        narrow = wide.astype(dtype)
    outputs = [np.full(weights.size, np.nan, dtype) for _ in range(3)]
    arrays = (
        padded(x, 1, dtype), padded(t, 1, dtype), np.full(weights.size, pos_weight, dtype), weights, narrow, wide,
        *outputs,
    )  # fmt: skip
    constants = (
        options.get("eps", EPS), pos_weight, options.get("label_smoothing", 0.0),
        options.get("focal_gamma", 0.0), factor,
    )  # fmt: skip
    total = _dispatch.kernels.probe(
        n, wanted, flags, arrays, constants, w is not None or factors is not None, bool(np.any(narrow != wide))
    )
    return total, *(output[:n] for output in outputs)


def directed(logits, dtype):
    """Predictions where a formula changes its form, and ordinary ones."""
    rng = np.random.default_rng(3)
    if logits:
        near = [0.0, 1e-30, 1e-8, 0.3, 0.34657, 0.3466, 0.69, 1.0, 1.0397, 5.0, 17.0, 36.0, 37.5, 60.0, 79.9]
        far = [80.1, 87.0, 100.0, 104.0, 1e30, math.inf]
        far += [120.0, 699.9, 700.1, 708.0, 745.0, 746.0, 1e300] if dtype == np.float64 else []
        x = np.array(near + far)
        return np.concatenate([x, -x, rng.normal(0, 5, 8)]).astype(dtype)
    info = np.finfo(dtype)
    x = [0, 1e-300, 1e-40, EPS, 1e-3, 0.1, 0.25, 0.2928, 0.293, 0.5, math.sqrt(0.5), 0.7, 0.75, 0.999, 1 - EPS, 1]
    x = np.array([*x, info.tiny, info.smallest_subnormal, 1 - info.epsneg, *rng.random(8)]).astype(dtype)
    return np.concatenate([x, np.nextafter(x, dtype(0.5))])


TARGETS = (0.0, 1.0, 0.25, 0.5, 0.9, 1e-6)


@functools.cache
def cases(logits, dtype, index):
    """Predictions, targets, and the exact results: the same on every level."""
    options = (LOGIT_OPTIONS if logits else OPTIONS)[index]
    x = directed(logits, dtype)
    if options.get("focal_gamma"):  # a subnormal probability has lost its accuracy before it is multiplied
        least, most = (86, 105) if dtype == np.float32 else (707, 747)
        x = x[~((abs(x) > least) & (abs(x) < most))]
    x, t = (a.astype(dtype).reshape(-1) for a in np.meshgrid(x, TARGETS))
    exact_options = dict(options)
    if not logits:
        exact_options.setdefault("eps", EPS)
    if "pos_weight" in options:
        exact_options["pos_weight"] = float(dtype(options["pos_weight"]))
    return x, t, evaluate(x, t, binary=True, logits=logits, reduction="none", **exact_options)


def bound(options):
    if options.get("focal_gamma"):
        return (8 + 2 * options["focal_gamma"],) * 3
    return 4, 4, 8


def parameters():
    return [
        pytest.param(logits, index, id=f"{'logits' if logits else 'probabilities'}-{options}")
        for logits, list_ in ((False, OPTIONS), (True, LOGIT_OPTIONS))
        for index, options in enumerate(list_)
    ]


@each_dtype
@pytest.mark.parametrize(("logits", "index"), parameters())
def test_each_formula_is_the_definition(logits, index, dtype):
    options = (LOGIT_OPTIONS if logits else OPTIONS)[index]
    if dtype == np.float32 and options.get("eps") == 0:
        pytest.skip("computed in double")
    x, t, want = cases(logits, dtype, index)
    limits = bound(options)
    # ordinary predictions alone take the fast loops
    usual = np.abs(x) < (80 if dtype == np.float32 else 700) if logits else (x > 2e-3) & (x < 1 - 2e-3)
    everything = np.full(x.shape, True)
    for part, hard, wanted in itertools.product((everything, usual), (True, False), WANTED):
        places = np.flatnonzero(part & ((t == 0) | (t == 1)) if hard else part)
        for start in range(0, len(places), BLOCK):
            some = places[start : start + BLOCK]
            total, value, gradient, hessian = run(x[some], t[some], wanted, options, logits=logits)
            if wanted & EACH:
                assert inside(value, want.value[some], want.value[some], dtype, limits[0])
            if wanted & GRADIENT:
                assert inside(gradient, want.gradient[some], want.sizes[0][some], dtype, limits[1])
            if wanted & HESSIAN:
                assert inside(hessian, want.second[some], want.sizes[2][some], dtype, limits[2])
            if wanted & SUM:
                exact = sum(want.value[some], mpf(0))
                assert total == exact or abs(total - exact) <= sum_limit(options, dtype) * exact


def sum_limit(options, dtype):
    gamma = options.get("focal_gamma", 0)
    return (1e-14 if dtype == np.float64 else 2.0**-22) * (8 + 2 * gamma if gamma else 1)


# ---------------------------------------------------------------- the same bits in every loop, position and length


def mixed(logits, dtype, n, hard, usual=True):
    rng = np.random.default_rng(n)
    x = rng.normal(0, 6, n) if logits else rng.uniform(0.01, 0.99, n)
    if not usual:
        odd = directed(logits, dtype)
        x[rng.integers(0, n, n // 4)] = odd[rng.integers(0, len(odd), n // 4)]
    t = rng.random(n) < 0.5 if hard else rng.choice([0.0, 1.0, 0.2, 0.75], n)
    return x.astype(dtype), t.astype(dtype)


def each_bits(results, wanted):
    return bits(*(r for r, bit in zip(results[1:], (EACH, GRADIENT, HESSIAN), strict=True) if wanted & bit))


@each_dtype
@pytest.mark.parametrize(("logits", "index"), parameters())
def test_an_element_has_the_same_bits_in_every_loop(logits, index, dtype):
    options = (LOGIT_OPTIONS if logits else OPTIONS)[index]
    factor = 0.3 if dtype == np.float64 else float(np.float32(0.3))
    for hard, usual in itertools.product((True, False), (True, False)):
        x, t = mixed(logits, dtype, 200, hard, usual)
        ones = np.ones(200)
        for wanted in WANTED:
            want = each_bits(run(x, t, wanted, options, logits=logits, factor=factor), wanted)
            for other in (
                {"general": True},
                {"factors": np.full(200, factor)},
                {"w": ones, "factors": np.full(200, factor)},
                {"w": ones, "factors": np.full(200, factor), "general": True},
            ):
                assert each_bits(run(x, t, wanted, options, logits=logits, factor=factor, **other), wanted) == want
        together = each_bits(run(x, t, EACH | GRADIENT, options, logits=logits), EACH | GRADIENT)
        alone = [each_bits(run(x, t, w, options, logits=logits), w)[0] for w in (EACH, GRADIENT)]
        assert together == alone
        with_sum = each_bits(run(x, t, SUM | GRADIENT, options, logits=logits), GRADIENT)
        assert with_sum == alone[1:]
        if not (logits and dtype == np.float32):
            assert each_bits(run(x, t, GRADIENT | HESSIAN, options, logits=logits), GRADIENT) == alone[1:]
        assert run(x, t, SUM, options, logits=logits)[0] == run(x, t, SUM | GRADIENT, options, logits=logits)[0]
        sums = [run(x, t, SUM, options, logits=logits, w=w)[0] for w in (None, ones)]
        assert sums[0] == sums[1] or math.isnan(sums[0])


@each_dtype
@pytest.mark.parametrize("hard", [True, False])
@pytest.mark.parametrize("logits", [False, True])
def test_every_length_and_position(logits, hard, dtype):
    """The results of an element do not depend on the others; the sum has every element once."""
    x, t = mixed(logits, dtype, BLOCK, hard)
    rng = np.random.default_rng(1)
    w = rng.uniform(0.5, 2, BLOCK).astype(dtype)
    whole = run(x, t, EACH | GRADIENT, {}, logits=logits)
    curved = run(x, t, GRADIENT | HESSIAN, {}, logits=logits)
    exact = whole[1].astype(np.float64)
    for n in LENGTHS:
        first = int(rng.integers(0, BLOCK - n + 1))
        part = slice(first, first + n)
        got = run(x[part], t[part], EACH | GRADIENT, {}, logits=logits)
        assert bits(got[1], got[2]) == bits(whole[1][part], whole[2][part])
        got = run(x[part], t[part], GRADIENT | HESSIAN, {}, logits=logits)
        assert bits(got[2], got[3]) == bits(curved[2][part], curved[3][part])
        limit = 1e-14 if dtype == np.float64 else 4e-7
        for weights in (None, w[part]):
            total, _, gradient, _ = run(x[part], t[part], SUM | GRADIENT, {}, logits=logits, w=weights)
            want = math.fsum(exact[part] * (1.0 if weights is None else weights))
            assert abs(total / want - 1) < limit
            assert weights is not None or bits(gradient) == bits(whole[2][part])


@each_dtype
@pytest.mark.parametrize("hard", [True, False])
@pytest.mark.parametrize("logits", [False, True])
def test_one_odd_element_in_every_position(logits, hard, dtype):
    n = 43
    x, t = mixed(logits, dtype, n, hard)
    ones = np.ones(n)
    plain = {w: each_bits(run(x, t, w, {}, logits=logits), w) for w in (EACH | GRADIENT, GRADIENT | HESSIAN)}
    odd = [math.inf, -math.inf, 1e9, 720.0, -0.0] if logits else [0.0, 1.0, -0.0, 1e-300, 1e-7]
    bad = [] if logits else [-1e-6, 1.0001, 2.0, -math.inf, math.inf]
    for place in range(n):
        others = np.arange(n) != place
        for value, wanted in itertools.product([math.nan, *odd, *bad], plain):
            changed = x.copy()
            changed[place] = value
            total, *results = run(changed, t, wanted, {}, logits=logits)
            if value in bad:
                assert math.isnan(total)
            else:
                kept = [
                    np.where(others, r, p)
                    for r, p in zip(results, run(x, t, wanted, {}, logits=logits)[1:], strict=True)
                ]
                assert each_bits((0, *kept), wanted) == plain[wanted]
                for result, bit in zip(results, (EACH, GRADIENT, HESSIAN), strict=True):
                    assert not wanted & bit or math.isnan(result[place]) == math.isnan(value)
            assert math.isnan(run(changed, t, SUM, {}, logits=logits)[0]) == (value in bad or math.isnan(value))
            # without weight it counts for nothing, whatever it is
            weights = np.where(others, 1.0, 0.0)
            _, *results = run(changed, t, wanted, {}, logits=logits, w=weights)
            for result, bit in zip(results, (EACH, GRADIENT, HESSIAN), strict=True):
                assert not wanted & bit or (result[place] == 0 and not np.isnan(result).any())
        for target in (-1e-6, 1.5, math.inf):
            changed = t.copy()
            changed[place] = target
            assert math.isnan(run(x, changed, SUM, {}, logits=logits)[0])
            assert not math.isnan(run(x, changed, SUM, {}, logits=logits, w=np.where(others, 1.0, 0.0))[0])
            gap = x.copy()
            gap[place] = math.nan  # hides no other error
            assert math.isnan(run(gap, changed, GRADIENT, {}, logits=logits)[0])
        changed = t.copy()
        changed[place] = math.nan
        assert math.isnan(run(x, changed, SUM, {}, logits=logits)[0])
        for weight in (-1.0, math.nan, math.inf):
            for wanted in (SUM, EACH, GRADIENT, 0):
                assert math.isnan(run(x, t, wanted, {}, logits=logits, w=np.where(others, ones, weight))[0])


@pytest.mark.parametrize("logits", [False, True])
def test_factors_beyond_float(logits):
    """A product with a factor overflows or vanishes only if the result does."""
    x, t = mixed(logits, np.float32, 40, False)
    x[:4] = (-60.0, -70.0, 60.0, -50.0) if logits else (1e-7, 0.5, 0.75, 1e-6)
    t[:4] = (0.0, 0.0, 1.0, 0.0) if logits else (1.0, 0.5, 0.75, 1.0)
    plain = run(x, t, GRADIENT, {}, logits=logits)[2].astype(np.float64)
    for factor in (2.0**140, 2.0**-140, 2.0**30):
        with np.errstate(over="ignore"):
            want = (plain * factor).astype(np.float32)
        np.testing.assert_array_equal(run(x, t, GRADIENT, {}, logits=logits, factors=np.full(40, factor))[2], want)


@pytest.mark.parametrize("logits", [False, True])
def test_weighted_sums_beyond_float(logits):
    x, t = (np.full(20, -70 if logits else 1e-6, np.float32), np.ones(20, np.float32))
    total = run(x, t, SUM, {}, logits=logits, w=np.full(20, 3e38))[0]
    assert total == pytest.approx(20 * 3e38 * (70 if logits else -math.log(np.float32(1e-6))), rel=1e-6)


# ---------------------------------------------------------------- sums


@each_dtype
@pytest.mark.parametrize("options", [{}, {"pos_weight": 2.5}, {"label_smoothing": 0.1}], ids=str)
@pytest.mark.parametrize("logits", [False, True])
def test_sums_of_equal_elements(logits, options, dtype):
    """The errors of equal terms add up; a directed search, near ln 2 for each logarithm too."""
    rng = np.random.default_rng(2)
    if logits:
        x = np.concatenate([[0, 1e-6, 0.01, 0.05, 0.0902, 0.1, 1, 2, 5, 10, 20, 40], rng.normal(0, 4, 60)])
        x = np.concatenate([x, -x])
    else:
        x = np.concatenate([[0, 1e-7, 1e-3, 0.5, 0.95, 0.957603, 0.9785, 0.999, 1 - 1e-6, 1], rng.random(60)])
    x = x.astype(dtype)
    for target in (1.0, 0.0, 0.3):
        t = np.full(x.shape, target, dtype)
        want = evaluate(
            x, t, binary=True, logits=logits, reduction="none", **({} if logits else {"eps": EPS}), **options
        )
        for number, exact in zip(x, want.value, strict=True):
            for n in (BLOCK, 37):
                for weights in (None, np.full(n, 0.75)):
                    total = run(
                        np.full(n, number), np.full(n, t[0]), SUM, options, logits=logits, w=weights
                    )[0]  # fmt: skip
                    full = exact * n * (1 if weights is None else mpf(0.75))
                    assert abs(total - full) <= sum_limit(options, dtype) * full, (number, target, n)
