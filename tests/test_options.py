"""Every option in every combination, against the definition, finite differences, and the absence of the option."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from reference import evaluate
from registry import BLOCK, LOSSES
from ulp import bits, inside, ulps, worst

pytestmark = [
    pytest.mark.usefixtures("level"),
    pytest.mark.filterwarnings("ignore::cecore.InputWarning"),  # many rows here do not sum to 1, on purpose
]
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
each_binary = pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss.binary], ids=lambda loss: loss.name)
each_row_loss = pytest.mark.parametrize(
    "loss", [loss for loss in LOSSES if not loss.binary], ids=lambda loss: loss.name
)

PROBABILITIES = [0.0, -0.0, 1.0, 0.5, 1e-7, 1 - 1e-7, 1e-3, 1 - 1e-3, 1e-310, 1e-30, 0.3, 0.9]
LOGITS = [0.0, -0.0, 1e-10, 1.0, -3.5, 40.0, -40.0, 88.0, -104.0, 700.0, -745.0, 1e8, -1e20, math.inf, -math.inf]


# ---------------------------------------------------------------- any call


def numbers(loss, width):
    if loss.logits:
        return st.one_of(st.sampled_from(LOGITS), st.floats(-50, 50, width=width), st.just(math.nan))
    return st.one_of(st.sampled_from(PROBABILITIES), st.floats(0, 1, width=width), st.just(math.nan))


def weights(n):
    return st.lists(st.sampled_from([0.0, 0.25, 1.0, 1.0, 3.7]), min_size=n, max_size=n)


@st.composite
def calls(draw, loss):
    """Arrays and options, edge values included; `hard` says whether every target is."""
    dtype = draw(st.sampled_from([np.float64, np.float32]))
    width = 64 if dtype == np.float64 else 32
    axis = -1
    if loss.binary:
        shape = draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=7))
        inner, classes = shape, 1
    else:
        inner = draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=4))
        classes = draw(st.sampled_from([1, 2, 3, 5, 33]))
        axis = draw(st.integers(-len(inner) - 1, len(inner)))
        shape = list(inner)
        shape.insert(axis % (len(inner) + 1), classes)
        shape = tuple(shape)
    x = draw(hnp.arrays(dtype, shape, elements=numbers(loss, width)))
    options = {}
    kind = draw(st.sampled_from(["hard", "soft", "one-hot"]))
    target = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(2.0**-20, 1, width=width))
    if kind == "soft":
        t = draw(hnp.arrays(dtype, shape, elements=target))
    elif loss.binary:
        t = draw(hnp.arrays(draw(st.sampled_from([dtype, np.int8, bool])), shape, elements=st.integers(0, 1)))
    else:
        t = draw(hnp.arrays(np.int64, inner, elements=st.integers(0, classes - 1)))
        if kind == "one-hot":
            t = np.moveaxis(np.eye(classes, dtype=draw(st.sampled_from([dtype, np.int16])))[t], -1, axis)
        elif draw(st.booleans()):
            options["ignore_index"] = draw(st.sampled_from([-100, 0, classes, 255]))
            t = np.where(draw(hnp.arrays(bool, inner)), options["ignore_index"], t)
    w = draw(st.none() | hnp.arrays(dtype, inner, elements=st.sampled_from([0.0, 1.0, 0.5, 3.0, 1e-3])))
    own = {
        "mean_over": st.sampled_from(["weights", "count"]),
        "label_smoothing": st.sampled_from([0.0, 0.1, 0.5, 1.0, 1e-5]),
    }
    if loss.binary:
        own["pos_weight"] = st.sampled_from([0.0, 1.0, 2.5])
        if shape and shape[-1]:
            own["pos_weight"] |= weights(shape[-1])
    else:
        own["class_weight"] = weights(classes)
    if loss.logits:
        own["focal_gamma"] = st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.7])
    else:
        own["eps"] = st.sampled_from([1e-7, 0.0, 1e-3])
        own["gradient_outside"] = st.sampled_from(["clipped", "zero"])
    for name in draw(st.sets(st.sampled_from(sorted(own)))):
        options[name] = draw(own[name])
    if axis != -1:
        options["axis"] = axis
    reduction = draw(st.sampled_from(["mean", "sum", "none"]))
    return x, t, w, kind != "soft", reduction, draw(st.sampled_from([1.0, -2.5, 0.1])), options


@each_loss
@settings(max_examples=300)
@given(data=st.data())
def test_any_call_is_the_definition(loss, data):
    x, t, w, hard, reduction, upstream, options = data.draw(calls(loss))
    made = loss.kind(reduction=reduction, **options)
    keywords = {"binary": loss.binary, "logits": loss.logits, "sample_weight": w, **options}
    with np.errstate(invalid="ignore"):  # mpmath takes infinities apart
        want = evaluate(x, t, upstream=upstream, reduction=reduction, **keywords)
    value_bound, gradient_bound, hessian_bound = (bound + 1 for bound in loss.bounds(hard, options))
    value = made.forward(x, t, sample_weight=w)
    if reduction == "none":
        assert inside(value, want.value, want.value, x.dtype, value_bound)
    elif math.isfinite(value):
        exact_terms = x.dtype == np.float64
        limit = 6e-15 * (value_bound if options.get("focal_gamma") else 1) if exact_terms else 2.0**-20
        least = 2.0**-1042 if exact_terms else float(np.finfo(np.float32).tiny)  # what subnormal terms have lost
        assert abs(value - want.value) <= limit * abs(want.value) + least
    else:
        assert ulps(value, want.value, np.float64) == 0
    gradient = made.backward(x, t, sample_weight=w, upstream=upstream)
    classes = 1 if loss.binary else x.shape[options.get("axis", -1)]
    if loss.binary and options.get("focal_gamma"):  # a subnormal probability is multiplied by its logarithm
        classes = 2048
    assert inside(gradient, want.gradient, want.sizes[0], x.dtype, gradient_bound, classes)
    first, second = made.gradient_hessian(x, t, sample_weight=w)
    assert inside(first, want.first, want.sizes[1], x.dtype, gradient_bound, classes)
    assert inside(second, want.second, want.sizes[2], x.dtype, hessian_bound, classes)
    assert bits(*made.forward_backward(x, t, sample_weight=w)) == bits(
        value, gradient if upstream == 1 else made.backward(x, t, sample_weight=w)
    )


def combinations(loss, rng, classes):
    """Options that all differ from their neutral values, each taken or not."""
    own = {"label_smoothing": 0.2, "mean_over": "count"}
    if loss.binary:
        own["pos_weight"] = 2.5
    else:
        own["class_weight"] = tuple(rng.uniform(0.5, 2, classes))
    if loss.logits:
        own["focal_gamma"] = 1.5
    for taken in product([False, True], repeat=len(own)):
        yield {name: value for (name, value), used in zip(own.items(), taken, strict=True) if used}


@each_loss
@pytest.mark.parametrize("targets", ["hard", "soft"])
def test_finite_differences(loss, targets):
    rng = np.random.default_rng(9)
    classes, step = 4, 1e-6
    x, t = loss.predictions(rng, 5, classes=classes), getattr(loss, targets)(rng, 5, classes=classes)
    x = x if loss.logits else 0.1 + 0.8 * x
    w = rng.uniform(0.5, 2, 5)
    for options in combinations(loss, rng, classes):
        made = loss.kind(reduction="sum", **options)
        gradient, hessian = made.gradient_hessian(x, t, sample_weight=w)
        for index in np.ndindex(x.shape):
            moved = np.zeros_like(x)
            moved[index] = step
            up, down = (made.forward(x + sign * moved, t, sample_weight=w) for sign in (1, -1))
            assert math.isclose(gradient[index], (up - down) / (2 * step), rel_tol=1e-6, abs_tol=1e-7), options
            up, down = (made.backward(x + sign * moved, t, sample_weight=w)[index] for sign in (1, -1))
            assert math.isclose(hessian[index], (up - down) / (2 * step), rel_tol=1e-5, abs_tol=1e-6), options


# ---------------------------------------------------------------- the same bits


def everything(loss, options, x, t, w=None):
    found = []
    for reduction in ("none", "mean", "sum"):
        made = loss.kind(reduction=reduction, **options)
        found += bits(*made.forward_backward(x, t, sample_weight=w), *made.gradient_hessian(x, t, sample_weight=w))
    return found


@each_loss
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("targets", ["hard", "soft"])
def test_neutral_values_are_absence(loss, dtype, targets):
    rng = np.random.default_rng(1)
    n, classes = BLOCK + 7, 5
    x, t = loss.predictions(rng, n, dtype, classes), getattr(loss, targets)(rng, n, classes=classes)
    w = rng.random(n)
    neutral = [{"label_smoothing": 0}, {"mean_over": "weights"}]
    neutral += [{"focal_gamma": 0}] if loss.logits else []
    neutral += [{"pos_weight": 1}, {"pos_weight": np.ones(n)}] if loss.binary else [{"class_weight": [1] * classes}]
    neutral += [{"ignore_index": -100}] if not loss.binary and targets == "hard" else []
    for weights in (None, w):
        want = everything(loss, {}, x, t, weights)
        for options in neutral:
            assert everything(loss, options, x, t, weights) == want, options
    assert everything(loss, {"mean_over": "count"}, x, t) == everything(loss, {}, x, t)


@each_row_loss
def test_weights_of_1_are_absence_beside_class_weights(loss):
    rng = np.random.default_rng(1)
    for _ in range(50):
        x, t = loss.predictions(rng, 7, classes=5), loss.hard(rng, 7, 5)
        made = loss.kind(class_weight=rng.uniform(0.5, 2, 5))
        assert bits(*made.forward_backward(x, t)) == bits(*made.forward_backward(x, t, sample_weight=np.ones(7)))


@each_row_loss
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("classes", [1, 2, 5, 33, 130])
def test_labels_and_one_hot_rows_have_the_same_bits(loss, dtype, classes):
    rng = np.random.default_rng(2)
    n = 70
    x, labels = loss.predictions(rng, n, dtype, classes), loss.hard(rng, n, classes)
    w = rng.random(n)
    one_hot = np.eye(classes)[labels]
    for options in combinations(loss, rng, classes):
        want = everything(loss, options, x, labels, w)
        for kind in (np.float64, np.float32, np.int8, bool):
            assert everything(loss, options, x, one_hot.astype(kind), w) == want, options


@each_row_loss
@pytest.mark.parametrize("classes", [3, 33, 300])
def test_rows_do_not_depend_on_their_neighbours(loss, classes):
    rng = np.random.default_rng(3)
    n = 150
    for dtype in (np.float64, np.float32):
        x, t = loss.predictions(rng, n, dtype, classes), loss.soft(rng, n, dtype, classes)
        t[::3] = np.eye(classes)[loss.hard(rng, len(t[::3]), classes)]
        x[5] = math.nan
        for options in combinations(loss, rng, classes):
            made = loss.kind(reduction="none", **options)
            value, gradient = made.forward_backward(x, t)
            _, hessian = made.gradient_hessian(x, t)
            order = rng.permutation(n)
            assert bits(*made.forward_backward(x[order], t[order])) == bits(value[order], gradient[order])
            for i in range(0, n, 13):
                one = slice(i, i + 1)
                assert bits(*made.forward_backward(x[one], t[one])) == bits(value[one], gradient[one])
                assert bits(made.gradient_hessian(x[one], t[one])[1]) == bits(hessian[one])


@each_row_loss
@pytest.mark.parametrize("classes", [4, 40])
def test_the_axis(loss, classes):
    rng = np.random.default_rng(4)
    x = loss.predictions(rng, 30, classes=classes).reshape(5, 6, classes)
    labels, t = loss.hard(rng, 30, classes).reshape(5, 6), loss.soft(rng, 30, classes=classes).reshape(5, 6, classes)
    w = rng.random((5, 6))
    last = loss.kind(reduction="none", label_smoothing=0.1)
    for axis in (0, 1, -2, -3):
        made = loss.kind(reduction="none", label_smoothing=0.1, axis=axis)
        moved = np.ascontiguousarray(np.moveaxis(x, -1, axis))
        for targets, aligned in ((labels, labels), (t, np.moveaxis(t, -1, axis))):
            value, gradient = last.forward_backward(x, targets, sample_weight=w)
            got = made.forward_backward(moved, aligned, sample_weight=w)
            assert bits(got[0]) == bits(value)
            np.testing.assert_array_equal(got[1], np.moveaxis(gradient, -1, axis))
            assert got[1].flags.c_contiguous
            out = np.full((2, *moved.shape), math.nan)[1]
            assert made.backward(moved, aligned, sample_weight=w, out=out) is out
            np.testing.assert_array_equal(out, got[1])
            in_place = moved.copy()
            made.backward(in_place, aligned, sample_weight=w, out=in_place)
            np.testing.assert_array_equal(in_place, got[1])
    one = loss.kind(reduction="none", label_smoothing=0.1, axis=0)
    assert bits(one.forward(x[0, 0], labels[0, 0])) == bits(last.forward(x, labels)[0, 0])
    assert one.backward(x[0, 0], labels[0, 0]).shape == (classes,)


# ---------------------------------------------------------------- one option at a time


@each_row_loss
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", "bhilqBHILQfd")
def test_the_ignored_label(loss, kind, dtype):
    rng = np.random.default_rng(5)
    x = loss.predictions(rng, 9, dtype, classes=4)
    labels = loss.hard(rng, 9, 4).astype(kind)
    ignored = int(np.iinfo(kind).max) if kind.isupper() else -100
    keep = np.array([1, 1, 0, 1, 0, 0, 1, 1, 0], bool)
    labels[~keep] = ignored
    x[~keep] = [[math.nan] * 4, [math.inf] * 4, [-1e9 if loss.logits else 7.0] * 4, [0] * 4]
    for options in combinations(loss, rng, 4):
        made = loss.kind(ignore_index=ignored, **options)
        value, gradient = made.forward_backward(x, labels)
        want, slopes = loss.kind(**options).forward_backward(x[keep], labels[keep])
        assert math.isclose(value, want, rel_tol=1e-14 if dtype == np.float64 else 1e-7)
        np.testing.assert_array_equal(gradient[keep], slopes)
        first, second = made.gradient_hessian(x, labels)
        for array in (gradient, first, second):
            assert not array[~keep].any()
            assert not np.signbit(array[~keep]).any()
        assert not loss.kind(reduction="none", ignore_index=ignored, **options).forward(x, labels)[~keep].any()
    none_left = np.full(9, ignored, kind)
    value, gradient = loss.kind(ignore_index=ignored).forward_backward(x, none_left)
    assert math.isnan(value)
    assert not gradient.any()
    assert loss.kind(ignore_index=ignored, reduction="sum").forward(x, none_left) == 0.0


@each_row_loss
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_large_labels_are_not_the_ignored_one(loss, dtype):
    x = loss.predictions(np.random.default_rng(0), 1, dtype, classes=3)
    for labels, ignored in (
        (np.array([2**64 - 100], np.uint64), -100),
        (np.array([-1], np.int64), 2**64 - 1),
        (np.array([2.0**60]), 2**60 + 1),
        (np.array([2**24 + 1], np.int32), 2**24),
        (np.array([2.0**63]), 2**63 + 1),
    ):
        with pytest.raises(ValueError, match=r"targets\[0\] = .* is not a class label: expected 0..2 or ignore_index"):
            loss.kind(ignore_index=ignored).forward(x, labels)
    for labels, ignored in (
        (np.array([2**31 - 1], np.int32), 2**31 - 1),
        (np.array([-(2.0**63)]), -(2**63)),
        (np.array([2.0**63]), 2**63),
        (np.array([2**63], np.uint64), 2**63),
        (np.array([2**24 + 1], np.longdouble), 2**24 + 1),
    ):
        assert loss.kind(ignore_index=ignored, reduction="none").forward(x, labels)[0] == 0
    with pytest.raises(ValueError, match=r"targets\[0\] = 1.00000001 is not a whole number"):
        loss.kind().forward(x, [1.00000001])


@pytest.mark.skipif(np.finfo(np.longdouble).eps >= np.finfo(np.float64).eps, reason="longdouble is float64 here")
@each_row_loss
def test_longdouble_labels_are_not_rounded(loss):
    x = loss.predictions(np.random.default_rng(0), 1, classes=3)
    eps = np.finfo(np.longdouble).eps
    for label in (1 + eps, 2 - eps, 2 + 2 * eps):  # whole numbers in float64
        with pytest.raises(ValueError, match=r"targets\[0\] = .* is not a whole number"):
            loss.kind().forward(x, np.array([label]))


@each_row_loss
def test_labels_are_not_rounded_to_the_computing_type(loss):
    classes = 2**24 + 6
    x = np.zeros((1, classes), np.float32)
    x[0, 2**24 + 1] = 1
    made = loss.kind(reduction="none", **loss.unclipped)
    found = {made.forward(x, np.array([2**24 + 1], kind))[0] for kind in (np.int64, np.int32, np.uint32, np.float64)}
    assert len(found) == 1
    assert found.pop() == pytest.approx(math.log(classes - 1 + math.e) - 1 if loss.logits else 0, rel=1e-6)


@each_row_loss
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_class_weights_of_any_size(loss, dtype):
    rng = np.random.default_rng(0)
    x, labels = loss.predictions(rng, 5, dtype), np.array([0, 1, 2, 0, 1])
    soft = loss.soft(rng, 5, dtype)
    for t in (labels, soft):
        made = loss.kind(class_weight=[1, 2, 3])
        want, slopes = made.forward_backward(x, t)
        for size in (1e300, 1e250, 1e-200, 1e-290):
            value, gradient = loss.kind(class_weight=[size, 2 * size, 3 * size]).forward_backward(x, t)
            assert value == pytest.approx(want, rel=1e-6)
            np.testing.assert_allclose(gradient, slopes, rtol=1e-5)
    value, _ = loss.kind(class_weight=[1e-20, 2e-20, 3e-20]).forward_backward(
        x, labels, sample_weight=np.full(5, 1e-30)
    )
    assert value == pytest.approx(loss.kind(class_weight=[1, 2, 3]).forward(x, labels), rel=1e-6)
    huge = loss.kind(reduction="sum", class_weight=[1e39] * 3)
    one = loss.kind(reduction="sum")
    for t in (labels, soft):
        assert huge.forward(x, t) == pytest.approx(1e39 * one.forward(x, t), rel=1e-6)


@each_row_loss
def test_products_of_two_weights_may_lie_beyond_float32(loss):
    rng = np.random.default_rng(7)
    x, labels = loss.predictions(rng, 40, np.float32), loss.hard(rng, 40)
    one = loss.kind(reduction="sum").forward(x, labels)
    for size in (1e-25, 1e25):
        made = loss.kind(reduction="sum", class_weight=[size] * 3)
        w = np.full(40, size, np.float32)
        assert made.forward(x, labels, sample_weight=w) == pytest.approx(float(w[0]) * size * one, rel=1e-6)


@each_row_loss
@pytest.mark.parametrize("classes", [2, 3, 60])
def test_derivatives_whose_weights_lie_beyond_float32(loss, classes):
    """The products of the two weights are infinite in float32, but not the results."""
    x = np.zeros((9, classes), np.float32)
    x[:, 0] = 60 if loss.logits else 1
    labels, w = np.zeros(9, int), np.full(9, 1e25, np.float32)
    options = {"reduction": "sum", "class_weight": [1e25] * classes}
    got = loss.kind(**options).forward_backward(x, labels, sample_weight=w)
    want = loss.kind(**options).forward_backward(x.astype(np.float64), labels, sample_weight=w)
    assert got[0] == pytest.approx(want[0], rel=1e-5)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(got[1], want[1].astype(np.float32), rtol=1e-5)
    in_place = x.copy()
    gradient = loss.kind(**options).backward(in_place, labels, sample_weight=w, out=in_place)
    np.testing.assert_array_equal(gradient, got[1])


HUGE = {"pos_weight": 1e300}, {"class_weight": [1e300] * 3}


def results_of_huge_weights(loss, options, x, t):
    """The results where the products of the two weights overflow, without the derivatives that are exactly 0."""
    made = loss.kind(reduction="sum", **options, **HUGE[not loss.binary])
    weights = np.full(len(x), 1e30)
    each = made.replace(reduction="none").forward(x, t, sample_weight=weights)
    found = [made.forward(x, t, sample_weight=weights), *each, *made.backward(x, t, sample_weight=weights).ravel()]
    gradient, hessian = made.gradient_hessian(x, t, sample_weight=weights)
    return np.array([*found, *gradient.ravel(), *hessian.ravel()])


@each_loss
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}], ids=str)
def test_products_of_weights_that_overflow_are_infinite(loss, dtype, options):
    rng = np.random.default_rng(6)
    x = loss.predictions(rng, 9, dtype)
    for t in (np.ones(9, int), loss.soft(rng, 9, dtype)):
        found = results_of_huge_weights(loss, options, x, t)
        assert np.all(np.isinf(found) | (found == 0))
        assert np.isinf(found[:10]).all()


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if not loss.binary], ids=lambda loss: loss.name)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_products_of_weights_that_overflow_do_not_make_nan_of_zero(loss, dtype):
    certain = {"ce": [[1.0, 0, 0], [0.5, 0.5, 0]], "ce_logits": [[800.0, 0, 0], [0, 0, 0]], "bce": [1.0, 0.5]}
    x = np.array(certain[loss.name], dtype)
    t = np.array([1.0, 0.25]) if loss.binary else np.array([0, 0])
    assert not np.isnan(results_of_huge_weights(loss, {} if loss.logits else {"eps": 0}, x, t)).any()


@each_row_loss
@pytest.mark.parametrize("place", [0, 1, 63, 64, 199])
def test_a_one_hot_row_without_weight_beside_distributions(loss, place):
    rng = np.random.default_rng(place)
    x = rng.dirichlet(np.ones(3), 200)
    targets = rng.dirichlet(np.ones(3), 200)
    targets[place] = [0, 1, 0]
    made = loss.kind(reduction="none", class_weight=[2, 0, 0.5])
    for method in (made.forward, made.backward, lambda *given: made.gradient_hessian(*given)[1]):
        alone = [method(x[i : i + 1], targets[i : i + 1]) for i in range(200)]
        np.testing.assert_array_equal(method(x, targets), np.concatenate(alone))
        assert not np.any(alone[place])
        assert np.any(alone[place - 1])


@each_row_loss
def test_huge_weights_of_rows_that_do_not_count(loss):
    x = np.array([[0.2, 0.3, 0.5], [0.5, 0.25, 0.25]])
    huge = np.array([1e150, 1e200])
    for made, labels in (
        (loss.kind(ignore_index=-1), [-1, -1]),
        (loss.kind(class_weight=[0, 1, 1]), [0, 0]),
    ):
        value, gradient = made.forward_backward(x, np.array(labels), sample_weight=huge)
        assert np.isnan(value)
        np.testing.assert_array_equal(gradient, np.zeros_like(x))
    tiny = np.array([1e150, 1e-220])
    value = loss.kind(ignore_index=-1).forward(x, np.array([-1, 0]), sample_weight=tiny)
    assert value == pytest.approx(loss.kind().forward(x[1:], np.array([0])), rel=1e-12)
    with pytest.raises(ValueError, match="sample_weight"):
        loss.kind(ignore_index=-1).forward(x, np.array([-1, 0]), sample_weight=np.array([np.inf, 1e-220]))


@each_row_loss
def test_a_divisor_of_zero_beside_terms_that_are_not(loss):
    made = loss.kind(label_smoothing=0.1, class_weight=[0, 1], **loss.unclipped)
    for row in ([1.0, 0.0], [0.5, math.nan]):
        for labels in ([0], np.array([[1.0, 0.0]])):
            value, gradient = made.forward_backward(np.array([row]), labels)
            assert math.isnan(value)
            np.testing.assert_array_equal(gradient, [[0, 0]])
            assert not np.signbit(gradient).any()
    with pytest.raises(ValueError, match="is not a class"):
        made.forward([[0.5, 0.5]], [7])


@pytest.mark.parametrize("gamma", [1e3, 1e6])
def test_large_focal_factors(gamma):
    z = np.array([-1000.0, -50, 0, 50, 1000, math.inf, -math.inf])
    for y in (0, 1):
        made = LOSSES[2].kind(focal_gamma=gamma, reduction="none")
        parts = *made.forward_backward(z, np.full(7, y)), *made.gradient_hessian(z, np.full(7, y))
        assert not any(np.isnan(part).any() for part in parts)
        made = LOSSES[3].kind(focal_gamma=gamma, reduction="none")
        rows = np.stack([z, np.zeros(7)], -1)
        parts = *made.forward_backward(rows, np.full(7, y)), *made.gradient_hessian(rows, np.full(7, y))
        assert not any(np.isnan(part).any() for part in parts)


@each_row_loss
def test_what_the_mean_divides_by(loss):
    rng = np.random.default_rng(6)
    x, labels = loss.predictions(rng, 6, classes=3), np.array([0, 1, 2, 0, 1, 9])
    w, v = np.array([1.0, 2, 0, 0.5, 1, 4]), np.array([0.5, 0.0, 2.0])
    made = {"class_weight": v, "ignore_index": 9}
    total = loss.kind(reduction="sum", **made).forward(x, labels, sample_weight=w)
    divisor = (w * np.append(v, 0)[np.minimum(labels, 3)]).sum()
    assert loss.kind(**made).forward(x, labels, sample_weight=w) == pytest.approx(total / divisor, rel=1e-15)
    assert loss.kind(mean_over="count", **made).forward(x, labels, sample_weight=w) == pytest.approx(
        total / 5, rel=1e-15
    )
    t = loss.soft(rng, 6)
    total = loss.kind(reduction="sum", class_weight=v).forward(x, t, sample_weight=w)
    value = loss.kind(class_weight=v).forward(x, t, sample_weight=w)
    assert value == pytest.approx(total / (w * (t @ v)).sum(), rel=1e-14)


@each_row_loss
def test_a_class_of_weight_zero_is_not_looked_at(loss):
    x = np.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])
    spoiled = x.copy()
    made = loss.kind(reduction="none", class_weight=[1, 1, 0])
    assert made.forward(x, [0, 2])[1] == 0
    if loss.logits:
        spoiled[1] = math.nan
        assert bits(*made.forward_backward(spoiled, [0, 2])) == bits(*made.forward_backward(x, [0, 2]))
    else:
        spoiled[:, 2] = 7.0
        soft = np.full((2, 3), 0.5)
        assert bits(*made.forward_backward(spoiled, soft)) == bits(*made.forward_backward(x, soft))
    soft = np.full((2, 3), 0.5)
    spoiled_soft = soft.copy()
    spoiled_soft[:, 2] = math.nan
    for y, kind in product((x, x.astype(np.float32)), (made, loss.kind(class_weight=[1, 1, 0]))):
        assert bits(*kind.forward_backward(y, spoiled_soft)) == bits(*kind.forward_backward(y, soft))


@each_row_loss
@pytest.mark.parametrize("classes", [3, 20, 40, 128, 129, 300, 1000])
def test_an_infinite_term_makes_the_loss_of_its_row_infinite(loss, classes):
    x, t = (
        np.zeros((3, classes)) if loss.logits else np.full((3, classes), 1 / classes),
        np.full((3, classes), 1 / classes),
    )
    x[0, 1] = x[2, -1] = -math.inf if loss.logits else 0
    made = loss.kind(reduction="none", **loss.unclipped)
    np.testing.assert_allclose(made.forward(x, t), [math.inf, math.log(classes), math.inf], rtol=1e-13)
    assert made.replace(reduction="sum").forward(x, t) == math.inf


@each_row_loss
@pytest.mark.parametrize("upstream", [math.inf, math.nan])
def test_upstream_of_what_does_not_count(loss, upstream):
    x, u = np.full((2, 3), 1 / 3), np.array([upstream, 1.0])
    for weight in (None, [1.0, 2, 3]):
        made = loss.kind(reduction="none", ignore_index=-1, class_weight=weight)
        got = made.backward(x, [-1, 1], upstream=u)
        np.testing.assert_array_equal(got[0], 0)
        np.testing.assert_array_equal(got[1], made.backward(x, [1, 1])[1])
    if not loss.logits:
        got = loss.kind(reduction="none").backward(x, [[0, 0.25, 0.5]] * 2, upstream=u)
        assert got[0].tolist()[0] == got[1].tolist()[0] == 0
        np.testing.assert_array_equal(got[0, 1:], -upstream)


@each_binary
def test_pos_weight_along_the_last_axis(loss):
    rng = np.random.default_rng(7)
    x, y = loss.predictions(rng, 600).reshape(150, 4), loss.hard(rng, 600).reshape(150, 4)
    weights = [0.5, 1.0, 3.0, 0.0]
    made = loss.kind(reduction="none", pos_weight=weights)
    value, gradient = made.forward_backward(x, y)
    for k, weight in enumerate(weights):
        one = loss.kind(reduction="none", pos_weight=weight)
        column, slopes = one.forward_backward(x[:, k].copy(), y[:, k])
        np.testing.assert_allclose(value[:, k], column, rtol=1e-15)
        np.testing.assert_allclose(gradient[:, k], slopes, rtol=1e-15)
    assert not value[:, 3][y[:, 3] == 1].any()


@each_binary
@pytest.mark.parametrize("columns", [3, 7, BLOCK + 1])
def test_pos_weight_whose_length_does_not_divide_a_block(loss, columns):
    """A block then starts in the middle of a row."""
    rng = np.random.default_rng(columns)
    n = 2 * BLOCK // columns + 3
    x, y = (array.reshape(n, columns) for array in (loss.predictions(rng, n * columns), loss.hard(rng, n * columns)))
    weights = rng.uniform(0.5, 2, columns)
    want = np.where(y == 1, weights, 1) * loss.kind(reduction="none").forward(x, y)
    np.testing.assert_allclose(loss.kind(reduction="none", pos_weight=weights).forward(x, y), want, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_two_columns_of_logits_are_the_binary_loss(dtype):
    binary, rows = LOSSES[2], LOSSES[3]
    rng = np.random.default_rng(8)
    z, y = rng.normal(0, 5, 300).astype(dtype), rng.integers(0, 2, 300)
    columns = np.stack([np.zeros_like(z), z], -1)
    tolerance = 8 * np.finfo(dtype).eps
    for gamma, smoothing in product((0.0, 2.0), (0.0, 0.1)):
        options = {"focal_gamma": gamma, "label_smoothing": smoothing, "reduction": "none"}
        one, two = binary.kind(pos_weight=3, **options), rows.kind(class_weight=[1, 3], **options)
        for t, both in ((y, y), (y * 0.7 + 0.1, np.stack([1 - (y * 0.7 + 0.1), y * 0.7 + 0.1], -1))):
            np.testing.assert_allclose(one.forward(z, t), two.forward(columns, both), rtol=tolerance)
            for got, want in zip(one.gradient_hessian(z, t), two.gradient_hessian(columns, both), strict=True):
                np.testing.assert_allclose(got, want[:, 1], rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------- logits: the extremes


@pytest.mark.parametrize("classes", [2, 24, 25, 300])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_gradient_of_a_class_near_1_is_relative(classes, dtype):
    """It is minus the sum of the other classes' gradients, which do not cancel."""
    rng = np.random.default_rng(classes)
    x, t = np.zeros((70, classes), dtype), np.full((70, classes), 1e-45 if dtype == np.float64 else 1e-32, dtype)
    x[:, 1], t[:, 1] = rng.uniform(20, 70, 70), rng.uniform(0.3, 1, 70)
    gradient = LOSSES[3].kind(reduction="none").backward(x, t).astype(np.float64)
    others = np.delete(gradient, 1, axis=1).sum(axis=1)
    assert (others > 0).all()
    np.testing.assert_allclose(gradient[:, 1], -others, rtol=16 * np.finfo(dtype).eps)


def test_tiny_losses_are_relative():
    binary = LOSSES[2].kind(reduction="none")
    assert binary.forward([40.0], [1])[0] == pytest.approx(4.248354255291589e-18, rel=9e-16)
    assert binary.backward([40.0], [1])[0] == pytest.approx(-4.248354255291589e-18, rel=9e-16)
    rows = LOSSES[3].kind(reduction="none")
    assert rows.forward(np.array([20, 0], np.float32), 0) == np.float32(2.0611537e-09)
    assert rows.forward([40.0, 0.0], 0) == 4.248354255291589e-18
    assert rows.backward([40.0, 0.0], 0)[0] == -4.248354255291589e-18
    assert rows.forward([0.0, -700.0, -700.0], 0) == pytest.approx(2 * math.exp(-700), rel=1e-15)


@pytest.mark.parametrize("classes", [3, 32, 33, 70])
def test_many_small_exponentials_beside_a_large_one(classes):
    """Their sum must not be what rounding lost beside 1."""
    for distance in (37.5, 40.17189885821536, 59.3, 600.0):
        logits = np.full((1, classes), -distance)
        logits[0, 0] = 0
        for options in ({}, {"label_smoothing": 1e-30}, {"focal_gamma": 1.0}):
            made = LOSSES[3].kind(reduction="none", **options)
            want = evaluate(logits, [0], binary=False, logits=True, reduction="none", **options)
            value_bound, gradient_bound, _ = LOSSES[3].bounds(True, options)
            value, gradient = made.forward_backward(logits, [0])
            if not options.get("focal_gamma") or distance < 300:  # else the square of the rest is subnormal
                assert worst(value, want.value, np.float64) <= value_bound
                assert worst(gradient, want.gradient, np.float64, want.sizes[0]) <= gradient_bound


@pytest.mark.parametrize("classes", [2, 40])
def test_large_offsets_cancel(classes):
    made = LOSSES[3].kind(reduction="none")
    for offset in (1e8, -1e8, 1e20, 1e300):
        logits = np.full((1, classes), -math.inf)
        logits[0, :2] = offset
        value, gradient = made.forward_backward(logits, [0])
        assert value[0] == math.log(2)
        np.testing.assert_array_equal(gradient[0, :2], [-0.5, 0.5])
        assert not gradient[0, 2:].any()
    rng = np.random.default_rng(0)
    whole = rng.integers(-20, 20, (50, classes)).astype(float)
    labels = rng.integers(0, classes, 50)
    want = evaluate(whole, labels, binary=False, logits=True, reduction="none")
    value, gradient = made.forward_backward(whole + 2.0**40, labels)  # exact
    value_bound, gradient_bound, _ = LOSSES[3].bounds(True, {})
    assert worst(value, want.value, np.float64) <= value_bound
    assert worst(gradient, want.gradient, np.float64, want.sizes[0]) <= gradient_bound


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("classes", [2, 3, 16, 17, 33, 300, 1100])
def test_masked_classes_vanish(classes, dtype):
    """By -inf or by a number far below the others, among rows without masks."""
    rng = np.random.default_rng(classes)
    z = rng.normal(0, 3, (70, classes)).astype(dtype)
    labels, soft = rng.integers(0, classes, 70), rng.dirichlet(np.ones(classes), 70).astype(dtype)
    masked = rng.random(z.shape) < 0.3
    masked[np.arange(70), labels] = masked[::3] = False
    soft[masked] = 0
    made = LOSSES[3].kind(reduction="none")
    for targets in (labels, soft):
        whole = made.forward_backward(z, targets)
        value, gradient = made.forward_backward(np.where(masked, -np.inf, z), targets)
        assert not gradient[masked].any()
        for number in (-1e4, -1e9, float(np.finfo(dtype).min)):
            got = made.forward_backward(np.where(masked, dtype(number), z), targets)
            assert bits(*got) == bits(value, gradient)
        assert bits(value[::3], gradient[::3]) == bits(whole[0][::3], whole[1][::3])
        for i in (1, 2, 4):
            keep = ~masked[i]
            alone = made.forward_backward(z[i : i + 1, keep], _targets_of(targets, i, keep))
            np.testing.assert_allclose(value[i], alone[0][0], rtol=8 * np.finfo(dtype).eps)
            np.testing.assert_allclose(gradient[i, keep], alone[1][0], rtol=0, atol=8 * np.finfo(dtype).eps)


def _targets_of(targets, i, keep):
    return [keep[: targets[i]].sum()] if targets.ndim == 1 else targets[i : i + 1, keep]


@pytest.mark.parametrize("classes", [3, 40])
def test_weights_near_the_largest_number(classes):
    """Divided by a sum of exponentials they must not overflow."""
    most = 0.99 * float(np.finfo(np.float64).max)
    z = np.full((1, classes), -40.0)
    z[0, 0] = 0.353
    made = LOSSES[3].kind(reduction="sum")
    gradient = made.backward(z, [1], sample_weight=[most])
    assert np.isfinite(gradient).all()
    assert gradient[0, 0] == pytest.approx(most)
    weighted = LOSSES[3].kind(reduction="none", class_weight=[1e308] * classes)
    t = np.full((1, classes), 0.5 / (classes - 1))
    t[0, 0] = 0.5
    z[0, 0] = 600
    assert weighted.forward(z, t)[0] == np.inf


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("classes", [3, 33])
def test_infinite_logits(classes, dtype):
    inf, nan = math.inf, math.nan
    made = LOSSES[3].kind(reduction="none")
    rows = np.zeros((6, classes), dtype)
    rows[0, 1] = inf
    rows[1, :2] = inf
    rows[2] = -inf
    rows[3, 0] = -inf
    rows[4, 2] = nan
    value, gradient = made.forward_backward(rows, [1, 1, 1, 0, 1, 0])
    np.testing.assert_array_equal(value[:5], [0, nan, nan, inf, nan])
    assert value[5] == pytest.approx(math.log(classes), rel=1e-7)
    assert not gradient[0].any()
    assert np.isnan(gradient[[1, 2, 4]]).all()
    assert gradient[3, 0] == -1
    assert made.forward(rows[:1], [0])[0] == inf
    np.testing.assert_array_equal(made.backward(rows[:1], [0])[0, :3], [-1, 1, 0])
    masked = np.array([[0.0, 0.0, -inf]], dtype)
    assert LOSSES[3].kind(label_smoothing=0.1).forward(masked, [0]) == inf
    soft = LOSSES[3].kind(reduction="none").forward(masked, np.array([[0.5, 0.5, 0.0]], dtype))
    assert soft[0] == dtype(math.log(2))
    binary = LOSSES[2].kind(reduction="none")
    z, y = np.array([inf, -inf, inf, -inf, nan], dtype), np.array([1, 0, 0, 1, 1])
    value, gradient = binary.forward_backward(z, y)
    np.testing.assert_array_equal(value, [0, 0, inf, inf, nan])
    np.testing.assert_array_equal(gradient, [0, 0, 1, -1, nan])
    np.testing.assert_array_equal(binary.gradient_hessian(z, y)[1], [0, 0, 0, 0, nan])


@each_loss
@pytest.mark.parametrize("n", [3, 70, BLOCK + 5])
def test_in_place_with_options(loss, n):
    rng = np.random.default_rng(n)
    for classes in (4, 40):
        x = loss.predictions(rng, n, classes=classes)
        mixed = loss.soft(rng, n, classes=classes)
        mixed[::2] = np.round(mixed[::2]) if loss.binary else np.eye(classes)[loss.hard(rng, len(mixed[::2]), classes)]
        for t, options in product((loss.hard(rng, n, classes), mixed), combinations(loss, rng, classes)):
            made = loss.kind(**options)
            value, gradient = made.forward_backward(x, t)
            _, hessian = made.gradient_hessian(x, t)
            out = x.copy()
            assert made.forward_backward(out, t, gradient_out=out)[0] == value
            assert bits(out) == bits(gradient)
            out = x.copy()
            made.gradient_hessian(out, t, hessian_out=out)
            assert bits(out) == bits(hessian)
