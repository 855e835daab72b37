"""Inputs that are legal but look like a mistake, inputs with the user's own rounding, and weights that repeat."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import READABLE
from registry import LOSSES
from ulp import bits

import cecore

pytestmark = pytest.mark.usefixtures("level")
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
bce, ce, bce_logits, ce_logits = LOSSES[:4]
METHODS = ("forward", "backward", "forward_backward", "gradient_hessian")
EPSILONS = {np.float64: 2.0**-52, np.float32: 2.0**-23, np.float16: 2.0**-10}
each_dtype = pytest.mark.parametrize("dtype", EPSILONS)
SWAPPED = "the first predictions are all exactly 0 or 1, but the targets are not: are the arguments swapped?"
UNNORMALIZED = "a row of probs does not sum to 1"


def warned(call):
    """The warnings of a call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return caught


# ---------------------------------------------------------------- swapped arguments


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int8, np.bool_, ">f8"])
def test_swapped_arguments(dtype):
    p, y = np.array([0.9, 0.2, 0.6]), np.array([1, 0, 1]).astype(dtype)
    for method in METHODS:
        [found] = warned(lambda: getattr(bce.kind(), method)(y, p))  # noqa: B023
        assert found.category is cecore.InputWarning
        assert str(found.message).startswith(SWAPPED)
    assert not warned(lambda: bce.kind()(p, y))
    assert not warned(lambda: bce.kind()(y, y))  # two hard ones
    assert not warned(lambda: bce_logits.kind()(y, p))  # logits may be anything
    assert not warned(lambda: bce.kind()(y, p * np.nan))  # NaN lies nowhere


def test_swapped_arguments_of_every_call():
    p, y = [0.9, 0.2, 0.6], [1, 0, 1]
    total = bce.kind().accumulator()
    for call in (lambda: bce.function(y, p), lambda: bce.kind()(y, p), lambda: total.update(y, p)):
        [found] = warned(call)
        assert str(found.message).startswith(SWAPPED)
        assert "binary_cross_entropy(probs, targets)" in str(found.message)


CHECKED = 256  # elements that a call looks at


@pytest.mark.parametrize("position", [0, 1, 100, CHECKED - 1])
def test_one_real_prediction_settles_it(position):
    p, y = np.full(1000, 0.5), np.ones(1000)
    assert warned(lambda: bce.kind()(y, p))
    y[position] = 0.75
    assert not warned(lambda: bce.kind()(y, p))
    y[position], y[CHECKED] = 1, 0.75
    assert warned(lambda: bce.kind()(y, p))
    p[:] = 1
    p[position] = 0.5  # one soft target is enough
    assert warned(lambda: bce.kind()(y, p))


# ---------------------------------------------------------------- rows that do not sum to 1


@pytest.mark.parametrize("classes", [2, 3, 16, 17, 100, 256, 257, 1024])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_rows_that_do_not_sum_to_1(classes, dtype):
    rng = np.random.default_rng(classes)
    near = 1e-2 if dtype == np.float16 else 1e-3
    p = rng.dirichlet(np.full(classes, 50.0), 4)
    labels = rng.integers(0, classes, 4)
    for factor, expected in (
        (1, 0),
        (1 + 0.7 * near, 0),
        (1 - 0.7 * near, 0),
        (1 + 1.6 * near, 1),
        (1 - 1.6 * near, 1),
    ):
        x = (p * factor).astype(dtype)
        for targets in (labels, p.astype(dtype)):
            for method in METHODS:
                found = warned(lambda: getattr(ce.kind(), method)(x, targets))  # noqa: B023
                assert len(found) == expected, (factor, method)
    assert str(found[0].message).startswith(UNNORMALIZED)


def test_long_rows_are_summed_with_distributions_only():
    for classes, expected in ((1024, 1), (1025, 0)):
        p = np.full((2, classes), 0.5 / classes)
        assert len(warned(lambda: ce.kind()(p, [0, 1]))) == expected  # noqa: B023
        assert len(warned(lambda: ce.kind()(p, p))) == 1  # noqa: B023


def test_the_first_row_that_counts_is_the_one():
    p = np.array([[0.25, 0.25], [0.5, 0.5]])
    assert warned(lambda: ce.kind()(p, [0, 1]))
    assert not warned(lambda: ce.kind()(p[::-1], [0, 1]))
    assert not warned(lambda: ce.kind()(p, [0, 1], sample_weight=[0, 1]))
    assert not warned(lambda: ce.kind(ignore_index=-1)(p, [-1, 1]))
    assert warned(lambda: ce.kind(ignore_index=-1)(p[::-1], [-1, 1]))
    assert not warned(lambda: ce.kind()([[np.nan, 0.25], [0.5, 0.5]], [1, 1]))
    assert warned(lambda: ce.kind()([[np.nan, 0.25], [0.25, 0.5]], [1, 1]))
    assert not warned(lambda: ce.kind()(p, [0, 1], sample_weight=[0, 0]))
    many = np.concatenate([np.full((5000, 2), 0.25), p])
    for expected, last in ((1, 5000), (0, 5001)):
        labels = np.r_[np.full(last, -1), np.zeros(5002 - last, int)]
        assert len(warned(lambda: ce.kind(ignore_index=-1)(many, labels))) == expected  # noqa: B023
        assert len(warned(lambda: ce.kind()(many, labels * 0, sample_weight=labels + 1))) == expected  # noqa: B023
    assert not warned(lambda: ce.kind()(np.empty((0, 2)), np.empty(0, int)))
    assert not warned(lambda: ce.kind(axis=0)([[0.25, 0.75], [0.75, 0.25]], [0, 1]))
    assert warned(lambda: ce.kind(axis=0)([[0.25, 0.75], [0.5, 0.5]], [0, 1]))


def test_infinities_are_errors_and_not_warnings():
    for row in ([np.inf, 0.5], [-np.inf, 0.5], [2.0, -1.0]):
        with pytest.raises(ValueError, match="outside"):
            ce.kind()([row], [0])  # warnings are errors here


def test_checks_do_not_depend_on_the_callers_floating_point_errors():
    """Before the warning or the error, targets and weights are converted to float32, where some underflow."""
    x, tiny = np.array([[0.5, 0.25]], np.float32), np.array([[0.5, 1e-300]])
    with np.errstate(all="raise"):
        with pytest.warns(cecore.InputWarning, match="does not sum to 1"):
            ce.kind()(x, tiny)
        with pytest.raises(ValueError, match=r"probs\[0, 0\] = 1.5 is outside"):
            ce.kind()(x + 1, tiny, sample_weight=[1e-300 + 1])
        with pytest.raises(ValueError, match=r"targets\[1\] = 2.0 is outside"):
            bce.kind()(x[0], np.array([1e-300, 2.0]))
        assert ce.kind(class_weight=np.array([1, 1e-320], np.longdouble)).class_weight == (1.0, 1e-320)


def test_zero_logits_passed_as_probabilities():
    [found] = warned(lambda: cecore.cross_entropy(np.zeros((2, 3)), [0, 1]))
    assert "If these are logits, use CrossEntropyWithLogits" in str(found.message)


# ---------------------------------------------------------------- the warning itself


CALLS = {
    "function": lambda x, t: cecore.binary_cross_entropy(x, t) + 0,
    "object": lambda x, t: cecore.BinaryCrossEntropy()(x, t) + 0,
    "method": lambda x, t: cecore.BinaryCrossEntropy().gradient_hessian(x, t),
    "accumulator": lambda x, t: cecore.BinaryCrossEntropy().accumulator().update(x, t),
}


@pytest.mark.parametrize("kind", [list, np.array])
@pytest.mark.parametrize("name", CALLS)
def test_the_line_of_the_caller_is_named(name, kind):
    call = CALLS[name]
    [found] = warned(lambda: call(kind([1.0, 0.0]), kind([0.5, 0.5])))
    assert found.filename == __file__
    assert found.lineno == inspect.getsourcelines(call)[1]


def test_it_is_shown_once_for_each_line():
    rng = np.random.default_rng(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            cecore.cross_entropy(rng.random((4, 3)) / 9, [0, 1, 2, 0])  # other numbers, the same text
        cecore.cross_entropy(rng.random((4, 3)) / 9, [0, 1, 2, 0])
    assert len(caught) == 2


@pytest.mark.parametrize("kind", [list, np.array])
def test_nothing_is_computed_before_the_warning(kind):
    x, t = kind([1.0, 0.0]), kind([0.5, 0.5])
    out, total = np.full(2, 7.0), cecore.BinaryCrossEntropy().accumulator()
    with pytest.raises(cecore.InputWarning):
        cecore.BinaryCrossEntropy().backward(x, t, out=out)
    with pytest.raises(cecore.InputWarning):
        total.update(x, t)
    assert out.tolist() == [7, 7]
    assert total.count == 0


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [1280, 300_000])
def test_nothing_is_computed_before_the_warning_where_rounding_is_tolerated(dtype, n):
    x, out = np.ones(n, dtype), np.full(n, 7.0, dtype)
    x[::3] = 0
    for position in (0, 5, 255):
        given = x.copy()
        given[position] = 1 + np.finfo(dtype).eps
        with pytest.raises(cecore.InputWarning):
            cecore.BinaryCrossEntropy().backward(given, np.full(n, 0.5), out=out)
        assert (out == 7).all()


def test_suspicion_is_of_the_numbers_that_count():
    for dtype in EPSILONS:
        near = dtype(4 * EPSILONS[dtype])
        for x in ([1 + near, 0], [0, 1 + near], [-near, 1]):
            assert warned(lambda: bce.kind()(np.array(x, dtype), [0.5, 0.5]))  # noqa: B023
        row = np.full(1001, -near, dtype)
        row[0] = 1
        assert not warned(lambda: ce.kind()(row[None], [0]))  # noqa: B023
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    assert not warned(lambda: ce.kind()(np.array([[1.03125, 0, 0]], bfloat16), [0]))


def test_an_error_in_the_row_of_suspicion_comes_first():
    p = [[0.5, 0.5], [2.0, -0.5]]
    for call in (
        lambda: ce.kind(ignore_index=-100)(p, [-100, 0]),
        lambda: ce.kind()([[np.nan, 0.5], [2.0, -0.5]], [0, 0]),
        lambda: ce.kind()(p, [0, 0], sample_weight=[0, 1]),
        lambda: bce.kind()([1, 0, 1], [0.5, 0.5, 1.5]),
    ):
        with pytest.raises(ValueError, match=r"probs\[1, 0\] = 2.0 is outside|targets\[2\] = 1.5 is outside"):
            call()


def test_long_float_rows_are_added_up_in_double():
    for n in (4_000_000, 6_000_001):
        p = np.full((1, n), 1 / n, np.float32)
        assert not warned(lambda: ce.kind()(p, p))  # noqa: B023


def test_the_search_for_a_row_gives_up():
    rows = np.full((200_000, 2), 0.25)
    labels = np.full(200_000, -1)
    labels[[100, 150_000]] = 0
    assert warned(lambda: ce.kind(ignore_index=-1)(rows, labels))
    labels[100] = -1
    assert not warned(lambda: ce.kind(ignore_index=-1)(rows, labels))


@each_loss
def test_a_warning_changes_no_result(loss):
    x, t = ([1.0, 0.0, 1.0], [0.5, 0.25, 1.0]) if loss.binary else ([[0.5, 0.25]] * 3, [0, 1, 0])
    each = loss.kind(reduction="none")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cecore.InputWarning)
        one_by_one = [each(x[i : i + 1], t[i : i + 1])[0] for i in range(3)]
        assert bits(each(x, t)) == bits(np.array(one_by_one))
        assert bits(each(np.array(x), np.array(t))) == bits(np.array(one_by_one))


@settings(max_examples=60)
@given(data=st.data())
def test_any_layout_warns_alike(data):
    draw = data.draw
    x = np.array([[0.25, 0.5], [0.5, 0.5]]) if draw(st.booleans()) else np.array([[0.5, 0.5], [0.25, 0.5]])
    t = np.array([0, 1])
    given_x, given_t = (READABLE[draw(st.sampled_from(sorted(READABLE)))](array) for array in (x, t))
    expected = len(warned(lambda: ce.kind()(x, t)))
    assert len(warned(lambda: ce.kind()(given_x, given_t))) == expected == (x[0, 0] == 0.25)


# ---------------------------------------------------------------- the user's own rounding


def results(loss, x, t, **keywords):
    """The bits of everything that a loss can return."""
    made = loss.kind(reduction="none", **keywords)
    total = loss.kind(**keywords).accumulator()
    total.update(x, t)
    everything = [loss.kind(**keywords)(x, t), total.value, *made.forward_backward(x, t), *made.gradient_hessian(x, t)]
    return [bits(np.asarray(array)) for array in everything]


@each_dtype
@pytest.mark.parametrize("eps", [1e-7, 0.0])
@pytest.mark.filterwarnings("ignore::cecore.InputWarning")
def test_probabilities_just_outside_count_as_0_or_1(dtype, eps):
    rng = np.random.default_rng(0)
    near = 4 * EPSILONS[dtype]
    for n in (1, 7, 16, 255, 256, 257, 600):
        for position in {0, n // 2, n - 1, min(n - 1, 255), min(n - 1, 256)}:
            for outside, counts in ((-near, 0), (1 + near, 1), (-1e-30 if dtype == np.float64 else -near / 8, 0)):
                p, y = rng.random(n).astype(dtype), rng.integers(0, 2, n)
                p[position] = counts
                want = results(bce, p, y, eps=eps)
                p[position] = outside
                assert p[position] != counts
                assert results(bce, p, y, eps=eps) == want
                rows = np.stack([p, 1 - p], axis=-1)
                clean = np.clip(rows, 0, 1)
                assert results(ce, rows, y, eps=eps) == results(ce, clean, y, eps=eps)
                soft = np.stack([np.full(n, 0.25), np.full(n, 0.75)], axis=-1).astype(dtype)
                assert results(ce, rows, soft, eps=eps) == results(ce, clean, soft, eps=eps)


@each_loss
@each_dtype
@pytest.mark.filterwarnings("ignore::cecore.InputWarning")
def test_targets_just_outside_count_as_0_or_1(loss, dtype):
    rng = np.random.default_rng(1)
    computing = np.float64 if dtype == np.float64 else np.float32
    near = 4 * EPSILONS[computing]
    for n in (1, 17, 256, 300):
        x = loss.predictions(rng, n, dtype)
        clean = loss.soft(rng, n, computing)
        clean.reshape(-1)[[0, -1]] = 0, 1
        given = clean.copy()
        given.reshape(-1)[[0, -1]] = -near, 1 + near
        for keywords in ({}, {"label_smoothing": 0.125}):
            assert results(loss, x, given, **keywords) == results(loss, x, clean, **keywords)
        assert results(loss, x, given.astype(np.float64)) == results(loss, x, clean)


@each_dtype
@pytest.mark.filterwarnings("ignore::cecore.InputWarning")
def test_numbers_further_outside_are_errors(dtype):
    near = 4 * EPSILONS[dtype]
    for value in (-1.25 * near, 1 + 1.25 * near):
        p = np.array([0.5, 0.5, value], dtype)
        with pytest.raises(
            ValueError, match=r"probs\[2\] = .* is just outside \[0, 1\], by more than rounding explains"
        ):
            bce.kind()(p, [0, 1, 1])
        with pytest.raises(ValueError, match=r"probs\[0, 2\] = .* is just outside"):
            ce.kind()(p[None], [2])
        assert bce.kind()(p, [0, 1, 1], sample_weight=[1, 1, 0]) == bce.kind()(p[:2], [0, 1])
    computing = np.float64 if dtype == np.float64 else np.float32
    target = 1 + 1.25 * 4 * EPSILONS[computing]
    with pytest.raises(ValueError, match=r"targets\[1\] = .* is just outside"):
        bce.kind()(np.array([0.5, 0.5], dtype), np.array([1, target]))
    for value in (-(4 * EPSILONS[dtype]), 1 + 4 * EPSILONS[dtype]):  # a correct number does not hide a wrong one
        with pytest.raises(ValueError, match=r"probs\[300\] = 2.0 is outside"):
            bce.kind()(np.r_[np.full(300, value), 2.0].astype(dtype), np.ones(301))


def test_bfloat16_just_outside():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    p = np.array([1.03125, -0.03125, 0.5], bfloat16)
    assert results(bce, p, [1, 0, 1]) == results(bce, np.array([1, 0, 0.5], bfloat16), [1, 0, 1])
    with pytest.raises(ValueError, match=r"probs\[0\] = 1.0390625 is just outside"):
        bce.kind()(np.array([1.0390625], bfloat16), [1])
    with pytest.raises(ValueError, match=r"probs\[2\] = 2.0 is outside"):
        bce.kind()(np.array([1.03125, -0.03125, 2], bfloat16), [1, 0, 1])


@settings(max_examples=80)
@given(data=st.data())
@pytest.mark.parametrize("loss", [bce, ce], ids=["bce", "ce"])
def test_rounding_in_any_layout(loss, data):
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, classes = draw(st.sampled_from([1, 5, 33, 256, 700])), draw(st.sampled_from([2, 3, 30, 60]))
    dtype = draw(st.sampled_from(list(EPSILONS)))
    x = loss.predictions(rng, n, dtype, classes)
    near = np.clip(x.astype(np.float64), 0, 1)
    x[rng.random(x.shape) < 0.2] = 1 + dtype(3 * EPSILONS[dtype])
    x[rng.random(x.shape) < 0.2] = -EPSILONS[dtype]
    near = np.clip(x, 0, 1)
    soft = draw(st.booleans())
    t = loss.soft(rng, n, dtype, classes) if soft else loss.hard(rng, n, classes)
    weights = draw(st.sampled_from([None, rng.random(n)]))
    given_x, given_t = (READABLE[draw(st.sampled_from(sorted(READABLE)))](array) for array in (x, t))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cecore.InputWarning)
        made = loss.kind(label_smoothing=draw(st.sampled_from([0.0, 0.1])))
        want = made.forward_backward(near, t, sample_weight=weights)
        got = made.forward_backward(given_x, given_t, sample_weight=weights)
        assert [bits(np.asarray(a)) for a in got] == [bits(np.asarray(a)) for a in want]
        inside = x.copy()
        assert bits(made.backward(inside, t, sample_weight=weights, out=inside)) == bits(want[1])


# ---------------------------------------------------------------- weights that repeat


@each_loss
def test_a_number_and_axes_of_length_1_repeat(loss):
    rng = np.random.default_rng(0)
    shape = (4, 3)  # of the losses
    x = loss.predictions(rng, 12, classes=5)
    x = x.reshape(shape if loss.binary else (*shape, 5))
    t = loss.hard(rng, 12, 5).reshape(shape)
    for made in (loss.kind(), loss.kind(reduction="none"), loss.kind(mean_over="count")):
        for weight in (2, 2.0, np.float32(2), np.array(2), True, rng.random((4, 1)), rng.random((1, 3)), [[0.5]]):
            full = np.broadcast_to(weight, shape).copy()
            for method in METHODS:
                got = getattr(made, method)(x, t, sample_weight=weight)
                want = getattr(made, method)(x, t, sample_weight=full)
                assert (
                    [bits(np.asarray(a)) for a in got] == [bits(np.asarray(a)) for a in want]
                    if isinstance(got, tuple)
                    else bits(np.asarray(got)) == bits(np.asarray(want))
                )
    total, other = loss.kind().accumulator(), loss.kind().accumulator()
    total.update(x, t, 0.5)
    other.update(x, t, np.full(shape, 0.5))
    assert total.value == other.value
    assert total.weight == other.weight == 6


@each_loss
def test_weights_are_not_aligned_by_a_guess(loss):
    x = np.full((3, 3) if loss.binary else (3, 3, 2), 0.5)
    t = np.zeros((3, 3), int)
    with pytest.raises(ValueError, match=r"pass shape \(3, 1\) for one weight per row, or \(1, 3\) for one per column"):
        loss.kind()(x, t, sample_weight=[1, 2, 3])
    x, t = x[:2], t[:2]
    with pytest.raises(ValueError, match=r"pass shape \(2, 1\) for one weight per row$"):
        loss.kind()(x, t, sample_weight=[1, 2])
    with pytest.raises(ValueError, match=r"pass shape \(1, 3\) for one weight per column$"):
        loss.kind()(x, t, sample_weight=[1, 2, 3])
    for shape in ((3, 1), (2, 2), (1, 2, 3), (6,)):
        with pytest.raises(ValueError, match=r"sample_weight has shape .*, the losses have shape \(2, 3\): expected"):
            loss.kind()(x, t, sample_weight=np.ones(shape))
    for n in (2, 0):
        for weight, problem in (
            (-1.0, "is negative"),
            (np.inf, "is not a weight"),
            (np.float32("nan"), "is not a weight"),
        ):
            with pytest.raises(ValueError, match=rf"sample_weight = {weight} {problem}: weights must be finite"):
                loss.kind()(x[:n], t[:n], sample_weight=weight)


# ---------------------------------------------------------------- sums of accumulators, names


@each_loss
def test_sum_of_accumulators(loss):
    rng = np.random.default_rng(0)
    x, t = loss.predictions(rng, 30), loss.hard(rng, 30)
    parts = [loss.kind().accumulator() for _ in range(3)]
    for i, part in enumerate(parts):
        part.update(x[i::3], t[i::3])
    before = [part.value for part in parts]
    total = sum(parts)
    assert (total.count, total.weight) == (30, 30.0)
    assert total.value == (parts[2] + parts[0] + parts[1]).value
    assert [part.value for part in parts] == before  # they do not change
    assert sum(parts[:1]) is not parts[0]
    for other in (1, 0.0, None, "a"):
        with pytest.raises(TypeError):
            other + parts[0]


def test_names_that_are_public():
    assert sorted(dir(cecore)) == sorted(cecore.__all__)
    for loss in LOSSES:
        public = {name for name in dir(loss.kind()) if not name.startswith("_")}
        options = set(inspect.signature(loss.kind).parameters) - {"positional", "unknown"}
        assert public == options | {*METHODS, "accumulator", "replace"}
        shown = inspect.getdoc(loss.kind)
        assert "dataclass" not in shown
        assert "As `" not in shown
