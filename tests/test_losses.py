"""What holds for every loss of the registry, on every instruction-set level."""

from __future__ import annotations

import math
import threading

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reference import evaluate
from registry import BLOCK, LOSSES
from ulp import bits, inside, ulps, worst

import cecore

pytestmark = [
    pytest.mark.usefixtures("level"),
    pytest.mark.filterwarnings("ignore::cecore.InputWarning"),  # many rows here do not sum to 1, on purpose
]
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
each_clipped = pytest.mark.parametrize("loss", LOSSES[:2], ids=lambda loss: loss.name)
each_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32])

# the promises: ULP for hard and soft targets, and for the second derivative; +1 with weights, upstream or a mean
HARD, SOFT, SECOND = 2, 4, 6
EDGES = [0.0, -0.0, 1.0, 0.5, 1e-7, 1 - 1e-7, 1e-3, 1 - 1e-3, 1e-310, 1e-30, 0.3, 0.9]


def around(value, dtype):
    value = dtype(value)
    found = [float(value), float(np.nextafter(value, dtype(0))), float(np.nextafter(value, dtype(1)))]
    return [v for v in found if 0 <= v <= 1]


def edge_values(dtype):
    info = np.finfo(dtype)
    values = [v for edge in EDGES for v in around(edge, dtype)]
    return [*values, float(info.tiny), float(info.smallest_subnormal), float(1 - info.epsneg)]


def exact(loss, x, targets, **options):
    return evaluate(x, targets, binary=loss.binary, logits=loss.logits, **options)


# ---------------------------------------------------------------- against the definition


@each_dtype
@each_clipped
def test_values_and_derivatives_at_the_edges(loss, dtype):
    values = edge_values(dtype)
    for options in loss.combinations():
        one = loss.kind(reduction="none", **options)
        for targets, bound in (([0, 1], HARD), ([0.0, 1.0, 0.25, 1e-7, 1 - 1e-7, 1e-300, 0.7], SOFT)):
            p = np.array([p for p in values for _ in targets], dtype)
            t = np.array([t for _ in values for t in targets]).astype(dtype)
            if not loss.binary:
                p, t = np.stack([p, 1 - p], -1), np.stack([t, 1 - t], -1)
            want = exact(loss, p, t, reduction="none", **options)
            assert worst(one.forward(p, t), want.value, dtype) <= bound
            assert inside(one.backward(p, t), want.gradient, want.sizes[0], dtype, bound)
            assert worst(one.gradient_hessian(p, t)[1], want.second, dtype) <= SECOND


@each_dtype
@pytest.mark.parametrize("eps", [0.45, 0.49, 0.4999, 1e-7])
def test_soft_targets_near_the_clip(eps, dtype):
    """Where p is clipped, p - t cancels, but within the bound for the larger term."""
    near = [dtype(v) for v in (eps, 1 - eps, eps / 2, 1 - eps / 2, 0.25, 0.5)]
    t = np.array([v + i * np.spacing(v) for v in near for i in range(-40, 41, 5)], dtype)
    t = t[t <= 1]
    made = LOSSES[0].kind(reduction="none", eps=eps)
    for probability in (0.0, 1.0, eps / 3, 1 - eps / 3):
        p = np.full(t.shape, probability, dtype)
        want = exact(LOSSES[0], p, t, reduction="none", eps=eps)
        assert inside(made.backward(p, t), want.gradient, want.sizes[0], dtype, SOFT)


def test_a_tiny_soft_target_is_not_a_hard_one():
    made = LOSSES[0].kind(reduction="sum", eps=0)
    assert made.forward([0.0, 0.0], [0.0, 1e-200]) == math.inf
    for t in (1e-170, 1e-310, 5e-324):
        p, targets = np.array([0.0, 1e-200]), np.array([0.0, t])
        want = exact(LOSSES[0], p, targets, reduction="sum", eps=0)
        assert ulps(made.forward(p, targets), want.value, np.float64) <= SOFT


@pytest.mark.parametrize("probability", [1e-30, 1e-100, 1e-290, 1e-310])
def test_sums_of_tiny_probabilities(probability):
    """Their product leaves the normal numbers."""
    p = np.full(3 * BLOCK, probability)
    assert LOSSES[0].kind(eps=0).forward(p, np.ones(p.size)) == pytest.approx(-math.log(probability), rel=6e-15)


@each_loss
def test_weights_cancel_in_the_mean(loss):
    rng = np.random.default_rng(0)
    p, t = loss.predictions(rng, 300), loss.soft(rng, 300)
    made = loss.kind()
    want, slope = made.forward_backward(p, t, sample_weight=np.full(300, 0.5))
    for weight in (1e305, 1e250, 1e-250, 1e-290):
        value, gradient = made.forward_backward(p, t, sample_weight=np.full(300, weight))
        assert value == pytest.approx(want, rel=1e-14)
        np.testing.assert_allclose(gradient, slope, rtol=1e-14, atol=4 * np.spacing(np.abs(slope).max()))


@each_loss
def test_a_gradient_whose_scale_overflows_is_an_error(loss):
    rng = np.random.default_rng(0)
    p, t, w = loss.predictions(rng, 3), loss.hard(rng, 3), np.full(3, 5e-324)
    assert loss.kind().forward(p, t, sample_weight=w) > 0
    for call in (loss.kind().backward, loss.kind().forward_backward):
        with pytest.raises(ValueError, match=r"^the gradient of the mean overflows float64: .*\. Multiply all weights"):
            call(p, t, sample_weight=w)
    with pytest.raises(ValueError, match=r"^the gradient of the mean overflows"):
        loss.kind().backward(p, t, sample_weight=w * 2.0**40, upstream=1e300)
    loss.kind(reduction="sum").backward(p, t, sample_weight=w)


@each_loss
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_weighted_losses_are_added_without_loss(loss, dtype):
    """A product of weight and loss may lie below the normal float32 numbers; below those of float64 digits are lost."""
    low = -80 if dtype is np.float32 else -650
    for n in (1, 5, BLOCK, BLOCK + 17):
        for exponent in (-20.0, low / 2.5, low / 1.5):
            size = np.full(n, exponent)
            size[1::3] /= 2
            w = np.full(n, 1e-20 if dtype is np.float32 else 1e-200) / (1 + np.arange(n) % 7)
            for soft in (0.0, 0.5):
                x, t = size, np.full(n, soft)
                if not loss.logits:
                    x = np.exp(size)
                if not loss.binary:
                    x = np.stack([x, np.zeros(n) if loss.logits else 1 - x], -1)
                    t = np.ones(n, int) if soft == 0 else np.stack([t, 1 - t], -1)
                x, w = x.astype(dtype), w.astype(dtype)
                made = loss.kind(reduction="sum", **loss.unclipped)
                one = loss.kind(reduction="none", **loss.unclipped)
                each = [mpmath.mpf(float(v)) for v in one.forward(x, t)]
                want = mpmath.fsum(v * mpmath.mpf(float(u)) for v, u in zip(each, w, strict=True))
                slack = mpmath.mpf(2) ** (-22 if dtype is np.float32 else -46) * want + n * mpmath.mpf(2) ** -1075
                assert abs(mpmath.mpf(made.forward(x, t, sample_weight=w)) - want) <= slack
                total = made.accumulator()
                total.update(x, t, w)
                assert total.value == made.forward(x, t, sample_weight=w)


def test_the_reported_weights_of_float32():
    loss = cecore.BinaryCrossEntropyWithLogits()
    z = np.float32([-60, -60])
    assert loss(z, [0, 0], sample_weight=np.float32([1e-20] * 2)) == pytest.approx(8.75651076269652e-27, rel=2.0**-22)
    z = np.float32([-40, -40])
    assert loss(z, [0, 0], sample_weight=np.float32([1e-25] * 2)) == pytest.approx(4.24835425529159e-18, rel=2.0**-22)
    assert loss(np.float32([3e38, 0]), [0, 0], sample_weight=[2, 2]) == pytest.approx(1.5e38, rel=1e-6)


@each_loss
def test_a_weight_that_float32_rounds_to_0_counts_as_0_but_its_element_is_checked(loss):
    rng = np.random.default_rng(3)
    for n in (1, 2, BLOCK, 3 * BLOCK + 5):
        x, t, w = loss.predictions(rng, n + 1, np.float32), loss.hard(rng, n + 1), rng.random(n + 1)
        w[n // 2] = 1e-60
        zeros = np.where(w == 1e-60, 0, w)
        bad = t.copy()
        bad[n // 2] = 9
        for made in (loss.kind(), loss.kind(label_smoothing=0.1)):
            total = made.accumulator()
            for call in (made.forward_backward, made.gradient_hessian, total.update):
                with pytest.raises(ValueError, match=rf"targets\[{n // 2}\] = 9"):
                    call(x, bad, sample_weight=w)
                same = [call(x, t, sample_weight=given) for given in (w, zeros)]
                assert same[0] is None or bits(*same[0]) == bits(*same[1])
            copy = x.copy()
            with pytest.raises(ValueError, match="= 9"):
                made.backward(copy, bad, sample_weight=w, out=copy)
            assert bits(copy) == bits(x)
            alone = np.full(n + 1, 1e-60)
            assert math.isnan(made.forward(x, t, sample_weight=alone))
            with pytest.raises(ValueError, match="= 9"):
                made.forward(x, bad, sample_weight=alone)


@each_loss
def test_upstream_of_any_kind(loss):
    rng = np.random.default_rng(0)
    p, t = loss.predictions(rng, 5), loss.hard(rng, 5)
    p[0] = np.nan
    weights = np.array([1.0, 1, 0, 1, 1])
    made = loss.kind(reduction="none")
    for upstream in (0.0, 2, np.float32(2), np.int8(-1), math.nan, math.inf, np.array([0, 1, math.nan, math.inf, -2])):
        got = made.backward(p, t, sample_weight=weights, upstream=upstream)
        with np.errstate(invalid="ignore"):  # mpmath takes infinities apart
            want = exact(loss, p, t, sample_weight=weights, upstream=upstream, reduction="none")
        assert worst(got, want.gradient, np.float64) <= loss.bounds(True, {})[1] + 1
        assert not got[2].any()


@each_loss
def test_upstream_beyond_float32(loss):
    """Its product with a derivative can be an ordinary number of float32."""
    x, y = (np.float32([-12, 12, -11]), np.array([0, 1, 0])) if loss.logits else (np.float32([1e-6] * 3), np.ones(3))
    upstream = 1e39 if loss.logits else 1e-42
    if not loss.binary:
        x, y = np.stack([x, 0 * x if loss.logits else 1 - x], axis=-1), (1 - y).astype(int)
    for sign in (1, -1):
        got = loss.kind().backward(x, y, upstream=sign * upstream)
        assert got.dtype == np.float32
        want = loss.kind().backward(x.astype(np.float64), y, upstream=sign * upstream)
        assert 1e-37 < np.abs(want).max() < 1e36
        np.testing.assert_allclose(got, want, rtol=1e-6)


@each_clipped
def test_eps_below_float32(loss):
    p, y = np.float32([0, 1]), np.array([1, 0])
    p, y = (p, y) if loss.binary else (np.stack([1 - p, p], axis=-1), y)
    made = loss.kind(eps=1e-44, reduction="sum")
    got = made.backward(p, y, upstream=1e-20)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, made.backward(p.astype(np.float64), y, upstream=1e-20), rtol=1e-6)
    assert 1e23 < np.abs(got).max() < 1e25


@each_loss
def test_arrays_beside_float32_predictions_are_rounded_to_float32(loss):
    """Also with options for which everything is computed in double."""
    rng = np.random.default_rng(0)
    x, soft, w, u = loss.predictions(rng, 300, np.float32), loss.soft(rng, 300), rng.random(300), rng.normal(size=300)
    weight = {"pos_weight": 1e-35} if loss.binary else {"class_weight": [1e-35, 1, 2]}
    rounded = [array.astype(np.float32) for array in (soft, w, u)]
    for options in ({}, weight):
        made = loss.kind(reduction="none", **options)
        t = np.clip(rounded[0], 0, 1)
        want = made.backward(x, t, sample_weight=rounded[1], upstream=rounded[2])
        assert bits(made.backward(x, soft, sample_weight=rounded[1], upstream=rounded[2])) == bits(want)
        assert bits(made.backward(x, t, sample_weight=w, upstream=rounded[2])) == bits(want)
        assert bits(made.backward(x, t, sample_weight=rounded[1], upstream=u)) == bits(want)


@each_dtype
@each_loss
def test_sums_of_many(loss, dtype):
    rng = np.random.default_rng(5)
    n = 5 * BLOCK + 77
    p, t = loss.predictions(rng, n, dtype), loss.hard(rng, n)
    want = exact(loss, p, t)
    limit = 2.0**-24 if dtype == np.float32 else 1e-15
    assert abs(loss.kind().forward(p, t) / want.value - 1) < limit
    weights = rng.random(n).astype(dtype)
    want = exact(loss, p, t, sample_weight=weights)
    assert abs(loss.kind().forward(p, t, sample_weight=weights) / want.value - 1) < limit


@each_dtype
@each_clipped
@pytest.mark.parametrize("probability", [0.5, 0.95, 0.957603, 0.999, 1e-7, 1e-12, 1 - 1e-15])
def test_sums_of_constant_blocks(loss, probability, dtype):
    """Near ln 2 per logarithm, and where every term rounds the same way."""
    p = np.full(3 * BLOCK, probability, dtype)
    t = np.ones(p.size, int)
    if not loss.binary:
        p, t = np.stack([p, 1 - p], -1), 0 * t
    want = exact(loss, p, t)
    assert abs(loss.kind().forward(p, t) / want.value - 1) < (6e-15 if dtype == np.float64 else 2.0**-26)


@each_loss
def test_finite_differences(loss):
    rng = np.random.default_rng(9)
    p, t = loss.predictions(rng, 6), loss.soft(rng, 6)
    p = p if loss.logits else 0.1 + 0.8 * p
    made = loss.kind()
    gradient = made.backward(p, t)
    for index in np.ndindex(p.shape):
        step = np.zeros_like(p)
        step[index] = 1e-6
        slope = (made.forward(p + step, t) - made.forward(p - step, t)) / 2e-6
        assert math.isclose(gradient[index], slope, rel_tol=1e-7, abs_tol=1e-8)


# ---------------------------------------------------------------- the same bits


@each_dtype
@each_loss
@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 40, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
def test_every_entry_point_gives_the_same_bits(loss, dtype, n):
    rng = np.random.default_rng(n)
    p = loss.predictions(rng, n, dtype)
    for t in (loss.hard(rng, n), loss.soft(rng, n, dtype)):
        for reduction in ("mean", "sum", "none"):
            made = loss.kind(reduction=reduction)
            value, gradient = made.forward(p, t), made.backward(p, t)
            assert bits(*made.forward_backward(p, t)) == bits(value, gradient)
            assert bits(made(p, t)) == bits(value)
            assert bits(loss.function(p, t, reduction=reduction)) == bits(value)
            ones = np.ones(n)
            assert bits(*made.forward_backward(p, t, sample_weight=ones)) == bits(value, gradient)
            assert bits(*made.forward_backward(p, t, sample_weight=ones.astype(bool))) == bits(value, gradient)
            if reduction == "sum" and not (loss.binary and loss.logits and dtype == np.float32):
                assert bits(made.gradient_hessian(p, t)[0]) == bits(gradient)
            if reduction == "none":
                assert bits(made.backward(p, t, upstream=ones)) == bits(gradient)


@each_dtype
@each_loss
def test_target_types_give_the_same_bits(loss, dtype):
    rng = np.random.default_rng(3)
    n = 2 * BLOCK + 11
    p, labels = loss.predictions(rng, n, dtype, 2), loss.hard(rng, n, 2)
    made = loss.kind(reduction="none")
    total = loss.kind()
    want = bits(*made.forward_backward(p, labels), *made.gradient_hessian(p, labels), total.forward(p, labels))
    targets = [labels.astype(kind) for kind in "?bBhHiIlLqQfd"] + [labels.astype(">i4"), labels.astype(np.float16)]
    if not loss.binary:
        targets += [np.eye(2, dtype=kind)[labels] for kind in "?bBhHiIlLqQfd"]
    for t in targets:
        got = bits(*made.forward_backward(p, t), *made.gradient_hessian(p, t), total.forward(p, t))
        assert got == want, t.dtype


@each_dtype
def test_two_columns_are_the_binary_loss(dtype):
    binary, categorical = LOSSES[0], LOSSES[1]
    rng = np.random.default_rng(4)
    p, y = rng.random(700).astype(dtype), rng.integers(0, 2, 700)
    columns = np.stack([1 - p, p], -1)
    chosen = np.where(y == 1, p, 1 - p)
    for reduction in ("none", "mean", "sum"):
        got = categorical.kind(reduction=reduction).forward(columns, y)
        want = binary.kind(reduction=reduction).forward(chosen, np.ones(700))
        assert bits(got) == bits(want) if reduction == "none" else got == pytest.approx(want, rel=1e-15)
    by_p = categorical.kind().backward(columns, y)
    np.testing.assert_allclose(by_p[:, 1] - by_p[:, 0], binary.kind().backward(p, y), rtol=1e-6)


@each_loss
def test_elements_do_not_depend_on_their_neighbours(loss):
    rng = np.random.default_rng(8)
    n = 2 * BLOCK + 3
    p = loss.predictions(rng, n)
    t = loss.soft(rng, n)
    t[::3] = np.round(t[::3]) if loss.binary else np.eye(3)[rng.integers(0, 3, len(t[::3]))]
    made = loss.kind(reduction="none")
    value, gradient = made.forward_backward(p, t)
    _, hessian = made.gradient_hessian(p, t)
    order = rng.permutation(n)
    assert bits(made.forward(p[order], t[order])) == bits(value[order])
    assert bits(made.backward(p[order], t[order])) == bits(gradient[order])
    assert bits(made.gradient_hessian(p[order], t[order])[1]) == bits(hessian[order])
    for i in range(0, n, 17):
        assert bits(made.forward(p[i : i + 1], t[i : i + 1])) == bits(value[i])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("inside", [False, True])
def test_every_way_of_the_derivatives_gives_the_same_bits(dtype, weighted, inside):
    """Hard targets alone, several blocks at once, or beside a soft one, which comes first in its block or does not."""
    rng = np.random.default_rng(12)
    n = 9 * BLOCK + 11
    p = rng.uniform(0.01, 0.99, n).astype(dtype)
    if not inside:
        p[::7], p[3::7] = 0, 1
    t = rng.integers(0, 2, n).astype(dtype)
    made = cecore.BinaryCrossEntropy(reduction="sum")
    weights = {"sample_weight": (rng.integers(0, 4, n) / 3).astype(dtype)} if weighted else {}
    wanted = made.gradient_hessian(p, t, **weights)
    assert bits(made.backward(p, t, **weights)) == bits(wanted[0])
    for first in 0, 5:
        mixed = t.copy()
        mixed[first::BLOCK] = 0.5
        kept = mixed == t
        for array, same in zip(made.gradient_hessian(p, mixed, **weights), wanted, strict=True):
            assert bits(array[kept]) == bits(same[kept])
    for other in t.astype(np.int8), t.astype(bool), t.astype(np.float16):
        assert [bits(array) for array in made.gradient_hessian(p, other, **weights)] == [bits(a) for a in wanted]
    if inside:
        zero = cecore.BinaryCrossEntropy(reduction="sum", gradient_outside="zero")
        assert [bits(array) for array in zero.gradient_hessian(p, t, **weights)] == [bits(a) for a in wanted]


@each_loss
@pytest.mark.parametrize("targets", ["hard", "soft"])
def test_tails_of_every_length(loss, targets):
    """Losses of each length are the first of a longer array; their sum is the sum of the definition's."""
    rng = np.random.default_rng(6)
    longest = 2 * BLOCK + 40
    p, t = loss.predictions(rng, longest), getattr(loss, targets)(rng, longest)
    none, total = loss.kind(reduction="none"), loss.kind(reduction="sum")
    losses, gradient = none.forward_backward(p, t)
    for n in range(longest):
        assert bits(none.forward(p[:n], t[:n])) == bits(losses[:n])
        assert bits(none.backward(p[:n], t[:n])) == bits(gradient[:n])
        value, slope = total.forward_backward(p[:n], t[:n])
        assert math.isclose(value, math.fsum(losses[:n]), rel_tol=4e-15)
        assert bits(slope) == bits(gradient[:n])


# ---------------------------------------------------------------- NaN, infinities, weights


@each_dtype
@each_loss
def test_nan_in_every_position(loss, dtype):
    rng = np.random.default_rng(2)
    n = BLOCK + 9
    p, t = loss.predictions(rng, n, dtype), loss.hard(rng, n)
    none = loss.kind(reduction="none")
    clean, slopes = none.forward_backward(p, t)
    for i in range(n):
        spoiled = p.copy()
        spoiled[i] = np.nan
        value, gradient = none.forward_backward(spoiled, t)
        assert np.isnan(value[i])
        assert np.isnan(gradient[i]).any()
        others = np.arange(n) != i
        assert bits(value[others], gradient[others]) == bits(clean[others], slopes[others])
        assert math.isnan(loss.kind().forward(spoiled, t))
        weights = others.astype(float)
        value, gradient = loss.kind(reduction="sum").forward_backward(spoiled, t, sample_weight=weights)
        assert math.isclose(value, clean[others].astype(float).sum(), rel_tol=1e-6)
        assert not np.asarray(gradient[i]).any()


@each_dtype
@each_loss
def test_a_factor_of_0_leaves_nan(loss, dtype):
    rng = np.random.default_rng(2)
    predictions, targets = loss.predictions(rng, 3, dtype), loss.hard(rng, 3)
    predictions[...] = np.nan
    for options in ({},) if loss.logits else ({}, {"eps": 0}, {"eps": 5e-324}):
        slopes = loss.kind(reduction="sum", **options).backward(predictions, targets, upstream=0)
        assert np.isnan(slopes).any(axis=tuple(range(1, slopes.ndim))).all()


@each_loss
def test_nan_in_soft_targets_is_data(loss):
    p, t = np.full((4, 2), 0.5), np.full((4, 2), 0.25)
    p, t = (p[:, 0], t[:, 0]) if loss.binary else (p, t)
    t[2] = np.nan
    value = loss.kind(reduction="none").forward(p, t)
    np.testing.assert_array_equal(np.isnan(value), [False, False, True, False])
    assert math.isnan(loss.kind().forward(p, t))


@each_loss
def test_nothing_to_average(loss):
    rng = np.random.default_rng(1)
    for n, weights in ((0, None), (5, np.zeros(5))):
        p, t = loss.predictions(rng, n), loss.hard(rng, n)
        value, gradient = loss.kind().forward_backward(p, t, sample_weight=weights)
        assert math.isnan(value)
        assert gradient.shape == p.shape
        assert not gradient.any()
        assert loss.kind(reduction="sum").forward(p, t, sample_weight=weights) == 0.0


@each_dtype
@each_clipped
def test_the_clipped_ends_have_the_same_bits(loss, dtype):
    for eps in (1e-7, 1e-3, 1e-30, 1e-300, 0.49):
        none = loss.kind(reduction="none", eps=eps)
        if loss.binary:
            value = none.forward(np.array([0, 1, 1, 0], dtype), np.array([1, 0, 1, 0]))
        else:
            value = none.forward(np.array([[0, 1]] * 2 + [[1, 0]] * 2, dtype), np.array([0, 0, 0, 0]))
        assert value[0] == value[1]
        assert ulps(value[0], -math.log(eps), dtype) <= 2
        assert value[2] == value[3]
        assert ulps(value[2], -math.log1p(-eps), dtype) <= 2
        scalar = loss.kind(eps=eps).forward(*((dtype(0), 1) if loss.binary else (np.array([0, 1], dtype), 0)))
        assert scalar == pytest.approx(-math.log(eps), rel=6e-16 if dtype == np.float64 else 2.0**-23)


def test_no_clipping_is_honest():
    loss = LOSSES[0].kind(eps=0, reduction="none")
    p, y = np.array([0.0, 1.0, 0.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0, 1.0, 0.5])
    np.testing.assert_array_equal(loss.forward(p, y), [math.inf, math.inf, 0, 0, math.inf])
    np.testing.assert_array_equal(loss.backward(p, y), [-math.inf, math.inf, 1, -1, -math.inf])
    np.testing.assert_array_equal(loss.gradient_hessian(p, y)[1], [math.inf, math.inf, 1, 1, math.inf])
    assert LOSSES[0].kind(eps=0).forward(p, y) == math.inf


@each_loss
def test_weight_zero_is_never_looked_at(loss):
    rng = np.random.default_rng(12)
    p, t = loss.predictions(rng, 6), loss.soft(rng, 6)
    p[1], t[2], p[3] = np.nan, np.nan, math.inf if loss.logits else 7.0
    weights = np.array([1, 0, 0, 0, 2, 1.0])
    made = loss.kind()
    keep = weights > 0
    value, gradient = made.forward_backward(p, t, sample_weight=weights)
    want, slope = made.forward_backward(p[keep], t[keep], sample_weight=weights[keep])
    assert value == pytest.approx(want, rel=1e-15)
    assert bits(gradient[keep]) == bits(slope)
    assert not gradient[~keep].any()
    assert not np.signbit(gradient[~keep]).any()
    first, second = made.gradient_hessian(p, t, sample_weight=weights)
    assert not first[~keep].any()
    assert not second[~keep].any()


@each_dtype
@each_loss
@pytest.mark.parametrize("targets", ["hard", "soft"])
def test_weight_zero_is_never_looked_at_with_smoothed_targets(loss, targets, dtype):
    rng = np.random.default_rng(13)
    x, t = loss.predictions(rng, 4, dtype), getattr(loss, targets)(rng, 4)
    made, none = loss.kind(label_smoothing=0.1, reduction="sum"), loss.kind(label_smoothing=0.1, reduction="none")
    weights = np.array([2.0, 0, 0, 1])
    want, slope = made.forward_backward(x, t, sample_weight=weights)
    for wrong in (math.nan, math.inf if loss.logits else 7.0):
        x[1:3] = wrong
        value, gradient = made.forward_backward(x, t, sample_weight=weights)
        assert bits(value, gradient) == bits(want, slope)
        assert none.forward(x, t, sample_weight=weights)[1:3].tolist() == [0, 0]


def test_a_label_reads_its_own_entry_alone():
    loss = LOSSES[1].kind(reduction="none")
    p = np.array([[0.5, np.nan, 7.0], [-1.0, 0.25, np.nan]])
    np.testing.assert_array_equal(loss.forward(p, [0, 1]), -np.log([0.5, 0.25]))
    np.testing.assert_array_equal(loss.backward(p, [0, 1]), [[-2, 0, 0], [0, -4, 0]])
    np.testing.assert_array_equal(loss.backward(p, [[1, 0, 0], [0, 1, 0]]), [[-2, 0, 0], [0, -4, 0]])


@each_loss
@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 1000))
@settings(max_examples=30)
def test_weights_scale_the_sum_and_cancel_in_the_mean(loss, scale, seed):
    rng = np.random.default_rng(seed)
    p, t = loss.predictions(rng, 50), loss.hard(rng, 50)
    total = loss.kind(reduction="sum")
    weights = np.full(50, scale)
    assert total.forward(p, t, sample_weight=weights) == pytest.approx(scale * total.forward(p, t), rel=1e-14)
    mean = loss.kind()
    assert mean.forward(p, t, sample_weight=weights) == pytest.approx(mean.forward(p, t), rel=1e-14)
    assert mean.forward(p, t) >= 0


@each_loss
def test_long_rows_and_many_classes(loss):
    if loss.binary:
        pytest.skip("one number an element")
    rng = np.random.default_rng(21)
    for classes in (1, 2, 7, 8, 9, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 255, 256, 257, 600):
        p, t = loss.predictions(rng, 5, classes=classes), loss.soft(rng, 5, classes=classes)
        t[1] = np.eye(classes)[classes // 2]
        made = loss.kind(reduction="none")
        value, gradient = made.forward_backward(p, t)
        _, hessian = made.gradient_hessian(p, t)
        rows = slice(3) if classes < 100 else slice(1, 2)
        want = exact(loss, p[rows], t[rows], reduction="none")
        for got, part, size, bound in (
            (value, want.value, want.value, SOFT),
            (gradient, want.gradient, want.sizes[0], SOFT),
            (hessian, want.second, want.sizes[2], SECOND),
        ):
            assert worst(got[rows], part, np.float64, size) <= bound
        label = np.array([classes // 2])
        assert bits(*made.forward_backward(p[1:2], label)) == bits(value[1:2], gradient[1:2])
        assert bits(made.gradient_hessian(p[1:2], label)[1]) == bits(hessian[1:2])


@pytest.mark.skipif(np.finfo(np.longdouble).eps > 1e-18, reason="the reference needs a wider type")
@each_dtype
def test_rows_of_every_length_modulo_the_registers(dtype):
    """Of more classes than panels have, in one piece and in two, with a far logit, and in place."""
    rng = np.random.default_rng(22)
    loss = cecore.CrossEntropyWithLogits(reduction="none")
    for classes in (*range(49, 82), *range(2 * BLOCK - 1, 2 * BLOCK + 34)):
        z = rng.normal(0, 3, (3, classes)).astype(dtype)
        labels = np.array([0, classes - 1, classes // 2])
        z[2, -2] = -1e9
        wide = np.exp(z.astype(np.longdouble))
        own = wide[range(3), labels]
        others = wide.copy()
        others[range(3), labels] = 0
        gradient = wide / wide.sum(1, keepdims=True)
        gradient[range(3), labels] = -others.sum(1) / wide.sum(1)
        value, got = loss.forward_backward(z, labels)
        for part, want in ((value, np.log1p(others.sum(1) / own)), (got, gradient)):
            assert np.max(np.abs(part - want) / np.spacing(np.abs(want).astype(dtype))) <= 3
        assert bits(*loss.forward_backward(z, labels, gradient_out=z)) == bits(value, got)


@each_loss
@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_a_legal_call_changes_no_input(loss, seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 600))
    assume(n)
    p, t, w = loss.predictions(rng, n), loss.soft(rng, n), rng.random(n)
    p[0] = np.nan
    copies = p.copy(), t.copy(), w.copy()
    loss.kind().forward_backward(p, t, sample_weight=w)
    assert bits(p, t, w) == bits(*copies)


# ---------------------------------------------------------------- threads, divisors


@each_loss
def test_calls_from_many_threads(loss):
    rng = np.random.default_rng(0)
    n = 40_000  # the GIL is released
    p, t = loss.predictions(rng, n), loss.hard(rng, n)
    made = loss.kind()
    want, found = bits(*made.forward_backward(p, t)), []

    def call():
        for _ in range(20):
            found.append(bits(*made.forward_backward(p, t)) == want)

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 120


@pytest.mark.parametrize("n", [5, 109, 117, BLOCK, 10 * BLOCK + 3])
@pytest.mark.parametrize("seed", range(5))
def test_the_divisor_is_exact(n, seed):
    rng = np.random.default_rng((n, seed))
    w = rng.random(n) * 10.0 ** rng.uniform(-3, 3, n)  # what the additions lose may be more than an ULP of the sum
    logits, targets = np.zeros(n), np.zeros(n)  # every derivative is weight / (2 * sum of the weights)
    gradient = LOSSES[2].kind().backward(logits, targets, sample_weight=w)
    divisor = mpmath.fsum(map(mpmath.mpf, w.tolist()))
    assert worst(gradient, [mpmath.mpf(v) / divisor / 2 for v in w.tolist()], np.float64) <= 0.501


def test_minus_zero_is_zero_beside_soft_targets():
    """In whole blocks and in parts of them: the limit is that of +0."""
    p, t = np.full(BLOCK, 0.3), np.full(BLOCK, 0.5)
    p[7] = -0.0
    for n in (BLOCK, BLOCK - 1):
        gradient = LOSSES[0].kind(eps=0, reduction="sum").backward(p[:n], t[:n])
        assert gradient[7] == -np.inf
