"""float16, and bfloat16 of ml_dtypes: computed in float32, or with options in double."""

from __future__ import annotations

import math

import numpy as np
import pytest
from registry import BLOCK, LOSSES
from ulp import bits

import cecore

pytestmark = pytest.mark.usefixtures("level")
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)


@pytest.fixture(params=["float16", "bfloat16"])
def half(request):
    if request.param == "float16":
        return np.dtype(np.float16)
    return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)


@each_loss
@pytest.mark.parametrize("targets", ["hard", "soft"])
@pytest.mark.parametrize("n", [0, 3, BLOCK + 9])
def test_results_are_those_of_float32_rounded(loss, half, targets, n):
    rng = np.random.default_rng(n)
    for classes in (4, 40):
        x = loss.predictions(rng, n, classes=classes).astype(half)
        wide = x.astype(np.float32)
        t, w = getattr(loss, targets)(rng, n, classes=classes), rng.random(n).astype(half)
        for options in ({}, {"label_smoothing": 0.1}):
            none, total = loss.kind(reduction="none", **options), loss.kind(**options)
            want = *none.forward_backward(wide, t), *none.gradient_hessian(wide, t)
            got = *none.forward_backward(x, t), *none.gradient_hessian(x, t)
            for one, other in zip(got, want, strict=True):
                assert one.dtype == half
                assert one.flags.c_contiguous
                with np.errstate(over="ignore"):
                    rounded = other.astype(half)
                steps = np.abs(one.view(np.int16).astype(int) - rounded.view(np.int16))
                assert steps.max(initial=0) <= (1 if options else 0)  # options: rounded from double
            value, gradient = total.forward_backward(x, t, sample_weight=w)
            assert type(value) is float
            wanted = total.forward(wide, t, sample_weight=w.astype(np.float32))
            assert bits(value) == bits(wanted)  # nothing is rounded to the half type on the way to a sum
            assert gradient.dtype == half


def test_conversions_are_those_of_numpy(half):
    every = np.arange(1 << 16, dtype=np.uint16).view(half)
    every = every[~np.isnan(every.astype(np.float32))]
    limits = np.sort(every.astype(np.float32))
    limits = limits[np.isfinite(limits)]
    halfway = ((limits[1:].astype(float) + limits[:-1]) / 2).astype(np.float32)
    near = np.concatenate([limits, halfway])
    near = np.concatenate([near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))])
    zero = np.zeros(1, half)
    assert cecore.sigmoid(zero)[0] == 0.5
    with np.errstate(over="ignore"):
        by_numpy = near.astype(half)
    # upstream passes through unchanged: the gradient of a saturated wrong prediction is 1
    logits = np.full(near.size, 3e4, half)
    got = cecore.BinaryCrossEntropyWithLogits(reduction="none").backward(
        logits, np.zeros(near.size, int), upstream=near
    )
    np.testing.assert_array_equal(got.astype(np.float32), by_numpy.astype(np.float32))
    read = cecore.BinaryCrossEntropyWithLogits(reduction="none").forward(every, np.zeros(every.size, int))
    positive = every.astype(np.float32) > 100
    np.testing.assert_array_equal(read[positive], every[positive])


def test_nan_stays(half):
    x = np.array([math.nan, -math.nan, math.inf], half)
    assert np.isnan(cecore.sigmoid(x)[:2].astype(float)).all()
    assert cecore.sigmoid(x)[2] == 1


@each_loss
def test_outputs(loss, half):
    rng = np.random.default_rng(0)
    for classes in (4, 40):
        x, t = loss.predictions(rng, 300, classes=classes).astype(half), loss.soft(rng, 300, classes=classes)
        made = loss.kind()
        want = made.backward(x, t)
        out = np.zeros_like(x)
        assert made.backward(x, t, out=out) is out
        assert bits(out) == bits(want)
        spread = np.zeros((600, *x.shape[1:]), half)[::2]
        assert made.backward(x, t, out=spread) is spread
        assert bits(spread) == bits(want)
        place = x.copy()
        assert made.backward(place, t, out=place) is place
        assert bits(place) == bits(want)
        with pytest.raises(ValueError, match="dtype float32: expected"):
            made.backward(x, t, out=np.zeros(x.shape, np.float32))


@pytest.mark.parametrize("function", [cecore.softmax, cecore.log_softmax, cecore.sigmoid], ids=lambda f: f.__name__)
def test_activations(function, half):
    x = np.random.default_rng(0).normal(size=(100, 7)).astype(half)
    got, want = function(x), function(x.astype(np.float32))
    assert got.dtype == half
    assert bits(got) == bits(want.astype(half))
    out = x.copy()
    assert function(out, out=out) is out
    assert bits(out) == bits(got)
    s = cecore.softmax(x)
    back = cecore.softmax_backward(x, s)
    assert back.dtype == half
    np.testing.assert_allclose(
        back.astype(float), cecore.softmax_backward(x.astype(float), s.astype(float)), rtol=2.0**-7, atol=1e-7
    )


def test_a_sum_of_many_does_not_overflow(half):
    n = 200_000
    logits, labels = np.zeros((n, 2), half), np.zeros(n, int)
    total = cecore.CrossEntropyWithLogits(reduction="sum").forward(logits, labels)
    assert total == pytest.approx(n * math.log(2), rel=1e-7)
    assert cecore.BinaryCrossEntropy(reduction="sum").forward(np.full(n, 0.5, half), labels) == pytest.approx(
        n * math.log(2), rel=1e-15
    )


def test_integers_are_not_taken_for_bfloat16():
    for kind in (np.uint16, np.int16):
        got = cecore.sigmoid(np.array([0, 1], kind))
        assert got.dtype == np.float64
        assert got[0] == 0.5
        assert cecore.BinaryCrossEntropy(reduction="none")(np.array([0, 1], kind), [0, 1]).dtype == np.float64


def test_single_numbers_in_the_other_byte_order(half):
    for value in (0.5, 2.0):
        number = np.array(value, half)
        other = number.astype(half.newbyteorder())
        for kind in (cecore.BinaryCrossEntropy, cecore.BinaryCrossEntropyWithLogits):
            want = kind().backward([0.5], [1], sample_weight=number, upstream=number)
            assert bits(kind().backward([0.5], [1], sample_weight=other, upstream=other)) == bits(want)
            assert kind(pos_weight=other).pos_weight == value
    with pytest.raises(ValueError, match=r"sample_weight = -1.0 is negative"):
        cecore.binary_cross_entropy(np.empty(0), np.empty(0), sample_weight=np.array(-1).astype(half.newbyteorder()))
