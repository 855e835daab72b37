"""Accumulators: the bits of one call, exact sums in any order, the same validation."""

from __future__ import annotations

import copy
import math
import pickle
import threading
from fractions import Fraction
from functools import partial

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


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if not loss.binary], ids=lambda loss: loss.name)
def test_a_target_that_is_nan_with_class_weights(loss):
    for options in ({}, {"reduction": "sum"}, {"mean_over": "count"}):
        made = loss.kind(class_weight=[1, 2], **options)
        total = made.accumulator()
        total.update([[0.5, 0.5]], [[math.nan, 0.5]])
        assert math.isnan(total.value)
        assert math.isnan(made.forward([[0.5, 0.5]], [[math.nan, 0.5]]))


def test_a_weighted_float32_loss_that_overflows():
    made = cecore.BinaryCrossEntropyWithLogits(reduction="sum")
    total = made.accumulator()
    call = np.array([-3e38], np.float32), [1], [2]
    total.update(*call)
    assert total.value == made.forward(*call[:2], sample_weight=call[2])


@pytest.mark.parametrize("loss", [LOSSES[1], LOSSES[3]], ids=lambda loss: loss.name)
def test_infinities_with_a_divisor_of_zero(loss):
    """The smoothed target of another class can weigh something where the label's class weight is 0."""
    made = loss.kind(label_smoothing=0.1, class_weight=[0, 1], **loss.unclipped)
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
    made = loss.kind(reduction="sum", **loss.unclipped)
    for order in ((worst, nothing), (nothing, worst), (worst, worst)):
        x = np.repeat(np.array(order), BLOCK, axis=0)
        t, total = np.zeros(len(x), int), made.accumulator()
        total.update(x[:BLOCK], t[:BLOCK])
        total.update(x[BLOCK:], t[BLOCK:])
        want = math.inf if order[0] is order[1] else math.nan
        np.testing.assert_equal([made.forward(x, t), total.value], [want, want])


@each_loss
@pytest.mark.parametrize("n", [2, 300])
def test_weights_whose_sum_overflows(loss, n):
    """Every method and the accumulator raise the same error, also if only two updates together overflow."""
    rng = np.random.default_rng(0)
    x, t, w = loss.predictions(rng, n), loss.hard(rng, n), np.full(n, 1e308)
    made, total = loss.kind(), loss.kind().accumulator()
    calls = [made.forward, made.backward, made.forward_backward, total.update]
    if not loss.binary:
        calls.append(loss.kind(class_weight=[1e200] * 3).forward)  # the products overflow
    for call in calls:
        with pytest.raises(ValueError, match=r"^the sum of the weights overflows float64\. Divide all weights"):
            call(x, t, sample_weight=w)
    total.update(x[:1], t[:1], w[:1])
    before = total._sums
    for more in (partial(total.update, x[1:2], t[1:2], w[1:2]), partial(total.merge, total)):
        with pytest.raises(ValueError, match=r"^the sum of the weights overflows float64"):
            more()
        assert total._sums == before
    with pytest.raises(ValueError, match="targets"):  # what is outside its domain is reported first
        made.forward(x, t + 5, sample_weight=w)


@each_loss
@pytest.mark.parametrize("options", [{"reduction": "sum"}, {"mean_over": "count"}], ids=str)
def test_where_the_sum_of_the_weights_is_no_divisor_it_may_overflow(loss, options):
    made = loss.kind(**options)
    x = np.zeros(2) if loss.binary else np.eye(3)[:2]  # a loss of about 0 in the first row
    if loss.logits:
        x = x * 2000 + (0 if not loss.binary else 1000)
    elif loss.binary:
        x = x + 1
    t = np.array([1, 1])
    total = made.accumulator()
    for _ in range(2):
        total.update(x[:1], t[:1] if loss.binary else [0], [1e308])
    assert total.weight == math.inf
    assert total.value == made.forward(x[[0, 0]], t if loss.binary else [0, 0], sample_weight=[1e308, 1e308])
    total = made.accumulator()
    total.update(x[[0, 0]], t if loss.binary else [0, 0], [1e308, 1e308])
    assert total.weight == math.inf


@each_loss
@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1.0, 1e150, 1e250])
@pytest.mark.parametrize("n", [1, 7, BLOCK, BLOCK + 3])
def test_weights_of_any_size_are_looked_at(loss, scale, n):
    """No weight is scaled to 0: bad inputs are found, and infinite losses count, whatever other weights there are."""
    rng = np.random.default_rng(4)
    x, t, w = loss.predictions(rng, n + 1), loss.hard(rng, n + 1), np.full(n + 1, scale)
    w[-1] = 1e-200
    made = loss.kind(**loss.unclipped)
    bad = t.copy()
    bad[-1] = 7
    for call in (made.forward, made.backward, made.forward_backward, made.gradient_hessian, made.accumulator().update):
        with pytest.raises(ValueError, match=rf"targets\[{n}\] = 7"):
            call(x, bad, sample_weight=w)
    x[-1] = (-np.inf if loss.logits else 0) if loss.binary else ([-np.inf, 0, 0] if loss.logits else [0, 0.5, 0.5])
    t[-1] = 1 if loss.binary else 0
    total = made.accumulator()
    total.update(x, t, w)
    assert total.value == math.inf == made.forward(x, t, sample_weight=w)


@each_loss
def test_a_value_equals_the_forward_pass(loss):
    """Also for weights of unusual size, and where products of weight and loss overflow float32."""
    rng = np.random.default_rng(5)
    for dtype, low, high in ((np.float64, -290, 290), (np.float32, -25, 25)):
        for n in (1, 3, BLOCK + 9):
            w = (10.0 ** rng.uniform(low, high, n)).astype(dtype)
            x, t = loss.predictions(rng, n, dtype), loss.hard(rng, n)
            total = loss.kind().accumulator()
            total.update(x, t, w)
            assert total.value == loss.kind().forward(x, t, sample_weight=w)


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
    for wrong in (("a", 1, 2, 3), (0, 0.0, 0), (0, 0, 0, 0), (0.0, 0.0, 0, 0), (), (0, 0.0, -1, 0), (-1, 0.0, 0, 0)):
        with pytest.raises(ValueError, match="expected three integers >= 0 and a float, as in its pickle"):
            restore(made, wrong)
