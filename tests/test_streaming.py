"""Accumulators: the bits of one call, exact sums in any order, the same validation."""

from __future__ import annotations

import copy
import math
import pickle
import threading
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import strided
from registry import BLOCK, LOSSES
from ulp import bits

import cecore

pytestmark = pytest.mark.usefixtures("level")
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)


def variants(loss, classes=5):
    yield {}
    yield {"reduction": "sum"}
    yield {"mean_over": "count"}
    if loss.binary:
        yield {"pos_weight": 2.5, "label_smoothing": 0.1}
    else:
        yield {"class_weight": tuple(0.5 + np.arange(classes)), "ignore_index": 2}
        yield {"ignore_index": 2, "mean_over": "count", "label_smoothing": 0.1}


@each_loss
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_one_update_has_the_bits_of_the_call(loss, dtype):
    rng = np.random.default_rng(0)
    for n in (0, 1, 3, BLOCK, 3 * BLOCK + 7):
        x, t = loss.predictions(rng, n, dtype, 5), loss.hard(rng, n, 5)
        for options in variants(loss):
            made = loss.kind(**options)
            for w in (None, rng.random(n), rng.integers(0, 2, n).astype(bool)):
                total = made.accumulator()
                assert total.update(x, t, sample_weight=w) is None
                want = made.forward(x, t, sample_weight=w)
                assert bits(total.value) == bits(want) or (math.isnan(want) and math.isnan(total.value))
                other = made.accumulator()
                other.update(strided(x), t.tolist(), w)
                assert repr(other) == repr(total)


@each_loss
@settings(max_examples=50)
@given(data=st.data())
def test_any_order_has_the_same_bits(loss, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    options = data.draw(st.sampled_from(list(variants(loss))))
    made = loss.kind(**options)
    sizes = data.draw(st.lists(st.sampled_from([0, 1, 7, BLOCK + 1]), min_size=1, max_size=6))
    batches = []
    for n in sizes:
        w = 10.0 ** rng.uniform(-100, 100, n) if data.draw(st.booleans()) else None
        batches.append((loss.predictions(rng, n, classes=5), loss.hard(rng, n, 5), w))

    one = made.accumulator()
    for batch in batches:
        one.update(*batch)
    parts = [made.accumulator() for _ in range(data.draw(st.integers(1, 4)))]
    for batch in data.draw(st.permutations(batches)):
        parts[data.draw(st.integers(0, len(parts) - 1))].update(*batch)
    merged = made.accumulator()
    for part in data.draw(st.permutations(parts)):
        if data.draw(st.booleans()):
            part = pickle.loads(pickle.dumps(part))
        if data.draw(st.booleans()):
            merged.merge(part)
        else:
            merged = part + merged
    assert repr(merged) == repr(one)
    assert merged._sums == one._sums

    # against exact arithmetic, of the losses as they are rounded one by one
    none = loss.kind(**{**options, "reduction": "none"})
    exact = sum((Fraction(v) for x, t, w in batches for v in none.forward(x, t, sample_weight=w).tolist()), Fraction(0))
    if made.reduction == "mean":
        divisor = one.count if made.mean_over == "count" else one.weight
        exact = exact / Fraction(divisor) if divisor else math.nan
    assert one.value == pytest.approx(float(exact), rel=1e-14, nan_ok=True)


@each_loss
def test_weight_and_count(loss):
    rng = np.random.default_rng(3)
    n = BLOCK + 5
    x, w = loss.predictions(rng, n, classes=4), rng.random(n)
    t = loss.hard(rng, n, 4)
    w[:9] = 0
    options = {} if loss.binary else {"class_weight": [1.0, 2.0, 0.0, 0.5], "ignore_index": 1}
    total = loss.kind(**options).accumulator()
    assert (total.weight, total.count) == (0.0, 0)
    assert math.isnan(total.value)
    for _ in range(2):
        total.update(x, t, w)
    each = w if loss.binary else np.where(t == 1, 0, w * np.array([1.0, 2.0, 0.0, 0.5])[t])
    assert total.weight == (math.fsum([*each, *each]) if loss.binary else pytest.approx(2 * math.fsum(each), rel=1e-15))
    assert total.count == 2 * (n if loss.binary else np.count_nonzero(t != 1))
    assert type(total.count) is int


@each_loss
def test_what_is_refused(loss):
    with pytest.raises(ValueError, match="reduction='none' has no sum"):
        loss.kind(reduction="none").accumulator()
    total = loss.kind().accumulator()
    rng = np.random.default_rng(0)
    total.update(loss.predictions(rng, 5), loss.hard(rng, 5))
    before = total._sums
    with pytest.raises(ValueError, match=r"targets\[4\] = 9"):
        total.update(loss.predictions(rng, 5), [0, 1, 0, 1, 9])
    with pytest.raises(TypeError, match="masked array"):
        total.update(np.ma.array(loss.predictions(rng, 5)), loss.hard(rng, 5))
    assert total._sums == before
    with pytest.raises(ValueError, match="other adds up"):
        total.merge(loss.kind(label_smoothing=0.1).accumulator())
    with pytest.raises(ValueError, match="other adds up"):
        total + loss.kind(reduction="sum").accumulator()
    for wrong in (loss.kind, None, 1):
        with pytest.raises(TypeError, match="is not a loss: pass an object such as CrossEntropy"):
            cecore.Accumulator(wrong)
    with pytest.raises(TypeError, match="other has type int: expected an Accumulator"):
        total.merge(1)
    with pytest.raises(TypeError):
        total + 1
    assert total._sums == before


def test_infinities_and_nan():
    loss = cecore.BinaryCrossEntropy(eps=0)
    for reduction in ("mean", "sum"):
        total = cecore.BinaryCrossEntropy(eps=0, reduction=reduction).accumulator()
        total.update([0.0], [1])
        total.update([0.5], [1])
        assert total.value == math.inf
        total.update([math.nan], [1])
        assert math.isnan(total.value)
    total = loss.accumulator()
    for scale in (1e-300, 1e300):
        total.update([0.5, 0.25], [1, 1], [scale, 3 * scale])
    assert total.value == pytest.approx((math.log(2) + 3 * math.log(4)) / 4, rel=1e-14)


@pytest.mark.parametrize("loss", [LOSSES[1], LOSSES[3]], ids=lambda loss: loss.name)
def test_infinities_with_a_divisor_of_zero(loss):
    """The smoothed target of another class can weigh something where the label's class weight is 0."""
    made = loss.kind(label_smoothing=0.1, class_weight=[0, 1], **({} if loss.logits else {"eps": 0}))
    x = np.array([[0.0, -math.inf] if loss.logits else [1.0, 0.0]])
    total, added = made.accumulator(), made.replace(reduction="sum").accumulator()
    total.update(x, [0])
    added.update(x, [0])
    assert total.weight == 0
    assert math.isnan(total.value)
    assert math.isnan(made.forward(x, [0]))
    assert added.value == made.replace(reduction="sum").forward(x, [0]) == math.inf


@each_loss
def test_nan_and_infinities_in_any_order(loss):
    """In the blocks of one call, and in the updates of an accumulator."""
    worst = (math.inf if loss.logits else 1.0) if loss.binary else [-math.inf, 0] if loss.logits else [0.0, 1.0]
    nothing = math.nan if loss.binary else [math.nan, 1.0]
    made = loss.kind(reduction="sum", **({} if loss.logits else {"eps": 0}))
    for order in ((worst, nothing), (nothing, worst), (worst, worst)):
        x = np.repeat(np.array(order), BLOCK, axis=0)
        t, total = np.zeros(len(x), int), made.accumulator()
        total.update(x[:BLOCK], t[:BLOCK])
        total.update(x[BLOCK:], t[BLOCK:])
        want = math.inf if order[0] is order[1] else math.nan
        np.testing.assert_equal([made.forward(x, t), total.value], [want, want])


@each_loss
def test_weights_beyond_a_sum(loss):
    rng = np.random.default_rng(0)
    x, t, w = loss.predictions(rng, 300), loss.hard(rng, 300), np.full(300, 1e308)
    total = loss.kind().accumulator()
    total.update(x, t, w)
    assert total.value == pytest.approx(loss.kind().forward(x, t, sample_weight=w), rel=1e-14)
    assert total.weight == math.inf
    total.update(x, t)
    assert total.value == pytest.approx(loss.kind().forward(x, t), rel=1e-14)
    if not loss.binary:
        total = loss.kind(class_weight=[1e150] * 3).accumulator()
        total.update(x, t, w)
        assert total.value == pytest.approx(loss.kind().forward(x, t), rel=1e-14)
        total = loss.kind(class_weight=[1e200] * 3).accumulator()
        with pytest.raises(ValueError, match="products of sample_weight and class_weight are too large"):
            total.update(x, t, w)
        assert total.count == 0


def test_copies_are_apart():
    total = cecore.BinaryCrossEntropy(reduction="sum").accumulator()
    total.update([0.5], [1])
    for other in (copy.copy(total), copy.deepcopy(total), total + total.__class__(total._loss)):
        other.update([0.5], [1])
        assert (total.count, other.count) == (1, 2)
    total.merge(total)
    assert total.value == 2 * math.log(2)


def test_updates_from_several_threads():
    loss = cecore.BinaryCrossEntropy()
    rng = np.random.default_rng(0)
    batches = [(rng.random(5000), rng.integers(0, 2, 5000)) for _ in range(40)]
    want, total = loss.accumulator(), loss.accumulator()
    for batch in batches:
        want.update(*batch)
    workers = [threading.Thread(target=lambda i=i: [total.update(*b) for b in batches[i::4]]) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert repr(total) == repr(want)


@each_loss
def test_sums_from_elsewhere_are_refused(loss):
    restore, (made, sums) = loss.kind().accumulator().__reduce__()
    assert restore(made, sums).count == 0
    for wrong in (("a", 1, 2, 3), (0, 0.0, 0), (0, 0, 0, 0), (0.0, 0.0, 0, 0), ()):
        with pytest.raises(ValueError, match="expected three integers and a float"):
            restore(made, wrong)
