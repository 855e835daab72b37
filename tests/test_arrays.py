"""What users pass: layouts, types and sources of arrays; outputs; errors and their messages."""

from __future__ import annotations

import math

import numpy as np
import pytest
from registry import BLOCK, LOSSES
from ulp import bits

import cecore

pytestmark = pytest.mark.usefixtures("level")
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
bce, ce, bce_logits, ce_logits = LOSSES[:4]


def layouts(array):
    """The same numbers in other layouts."""
    yield "list", array.tolist()
    yield "fortran", np.asfortranarray(array)
    yield "swapped", array.astype(array.dtype.newbyteorder())
    spread = np.zeros((array.shape[0] * 3, *array.shape[1:]), array.dtype)
    spread[::3] = array
    yield "strided", spread[::3]
    yield "reversed", np.ascontiguousarray(array[::-1])[::-1]
    raw = bytearray(b"\0" + array.tobytes())
    yield "unaligned", np.frombuffer(raw, array.dtype, offset=1).reshape(array.shape)
    readonly = array.copy()
    readonly.flags.writeable = False
    yield "read-only", readonly
    yield "memoryview", memoryview(np.ascontiguousarray(array))

    class Exotic:
        def __array__(self, dtype=None, copy=None):
            return np.array(array, dtype)

    yield "__array__", Exotic()


@each_loss
def test_layouts_give_the_bits_of_the_contiguous_copy(loss):
    rng = np.random.default_rng(0)
    n = BLOCK + 50
    p, t, w = loss.predictions(rng, n), loss.soft(rng, n), rng.random(n)
    for reduction in ("mean", "none"):
        made = loss.kind(reduction=reduction)
        want = bits(*made.forward_backward(p, t, sample_weight=w))
        for name, other in layouts(p):
            assert bits(*made.forward_backward(other, t, sample_weight=w)) == want, name
        for name, other in layouts(t):
            assert bits(*made.forward_backward(p, other, sample_weight=w)) == want, name
        for name, other in layouts(w):
            assert bits(*made.forward_backward(p, t, sample_weight=other)) == want, name


@pytest.mark.filterwarnings("ignore::cecore.InputWarning")  # some rows do not sum to 1, on purpose
@each_loss
def test_broadcast_arrays(loss):
    n = 2 * BLOCK + 1
    p = np.broadcast_to(0.25, n if loss.binary else (n, 3))
    made = loss.kind(reduction="sum")
    t = np.broadcast_to(1, n)
    assert made.forward(p, t) == made.forward(np.array(p), np.array(t))
    if not loss.logits:
        assert made.forward(p, t) == pytest.approx(n * math.log(4), rel=1e-15)


def test_other_prediction_types_are_float64():
    made = cecore.BinaryCrossEntropy(reduction="none")
    for p in (np.array([0, 1]), np.array([False, True]), np.array([0, 1], np.longdouble), [0, 1]):
        got = made.forward(p, [0, 1])
        assert got.dtype == np.float64
        np.testing.assert_array_equal(got, made.forward(np.array([0.0, 1.0]), [0, 1]))


def test_zero_dimensions():
    made = cecore.BinaryCrossEntropy(reduction="none")
    value, gradient = made.forward_backward(0.25, 1)
    assert type(value) is type(gradient) is np.ndarray
    assert value.shape == gradient.shape == ()
    assert value == math.log(4)
    assert cecore.binary_cross_entropy(np.float32(0.25), True) == pytest.approx(math.log(4), rel=2.0**-23)
    one_row = cecore.CrossEntropy(reduction="none")
    assert one_row.forward([0.25, 0.75], 0).shape == ()
    assert one_row.backward([0.25, 0.75], 0).tolist() == [-4, 0]


@pytest.mark.filterwarnings("ignore::cecore.InputWarning")  # some rows do not sum to 1, on purpose
def test_many_dimensions():
    rng = np.random.default_rng(3)
    p, y = rng.random((3, 4, 5)), rng.integers(0, 2, (3, 4, 5))
    made = cecore.BinaryCrossEntropy(reduction="none")
    np.testing.assert_array_equal(made.forward(p, y), made.forward(p.ravel(), y.ravel()).reshape(p.shape))
    labels = rng.integers(0, 5, (3, 4))
    made = cecore.CrossEntropy(reduction="none")
    np.testing.assert_array_equal(made.forward(p, labels), made.forward(p.reshape(12, 5), labels.ravel()).reshape(3, 4))
    assert made.backward(p, labels).shape == p.shape


@each_loss
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_are_plain(loss, dtype):
    rng = np.random.default_rng(1)
    p, t = loss.predictions(rng, 5, dtype), loss.hard(rng, 5)
    for array in (loss.kind(reduction="none")(p, t), *loss.kind().gradient_hessian(p[:, None][:, 0], t)):
        assert type(array) is np.ndarray
        assert array.dtype == dtype
        assert array.flags.c_contiguous
        assert array.flags.owndata
    assert type(loss.kind()(p, t)) is float


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_labels_choose_the_same_in_any_number_of_dimensions(dtype):
    rng = np.random.default_rng(0)
    p, t = ce.predictions(rng, 5 * 700, dtype).reshape(5, 700, 3), rng.integers(0, 3, (5, 700))
    want = ce.kind(reduction="none").forward(p, t)
    for axis, spread in ((1, 1), (1, 2), (-1, 2)):
        x = np.repeat(np.moveaxis(p, -1, axis), spread, axis=2 if axis == 1 else 1)
        x = x[:, :, ::spread] if axis == 1 else x[:, ::spread]
        np.testing.assert_array_equal(ce.kind(reduction="none", axis=axis).forward(x, t), want)


@pytest.mark.filterwarnings("ignore::cecore.InputWarning")  # some rows do not sum to 1, on purpose
@each_loss
def test_arrays_of_many_dimensions_in_any_layout(loss):
    rng = np.random.default_rng(0)
    inner = (2, 3, 2, 3, 2, 3)
    n = math.prod(inner)
    shape = inner if loss.binary else (*inner, 3)
    x, t = loss.predictions(rng, n).reshape(shape), loss.soft(rng, n).reshape(shape)
    made = loss.kind(reduction="none")
    want = bits(*made.forward_backward(x, t))
    spread = np.zeros([2 * length for length in shape])
    apart = spread[(slice(None, None, 2),) * len(shape)]
    for other in (apart, np.empty(shape[::-1]).T):
        other[...] = x
        assert bits(*made.forward_backward(other, t)) == want
        other[...] = t
        assert bits(*made.forward_backward(x, other)) == want
        other[...] = 7
        assert bits(made.backward(x, t, out=other)) == want[1:]
    assert not spread[1::2].any()


# ---------------------------------------------------------------- outputs


@each_loss
def test_gradients_of_nothing_in_any_layout(loss):
    rng = np.random.default_rng(0)
    for n in (5, 3 * BLOCK):
        x, t = loss.predictions(rng, n), loss.hard(rng, n)
        out = np.full((2 * n, *x.shape[1:]), 7.0)
        loss.kind().backward(x, t, sample_weight=np.zeros(n), out=out[::2])
        assert not out[::2].any()
        assert (out[1::2] == 7).all()


@each_loss
@pytest.mark.parametrize("n", [3, BLOCK, BLOCK + 7])
def test_outputs(loss, n):
    rng = np.random.default_rng(n)
    p, t = loss.predictions(rng, n), loss.soft(rng, n)
    made = loss.kind(reduction="none")
    value, gradient = made.forward_backward(p, t)
    hessian = made.gradient_hessian(p, t)[1]
    for stride in (1, 2):
        v = np.empty((n * stride, *value.shape[1:]))[::stride]
        g = np.empty((n * stride, *p.shape[1:]))[::stride]
        h = np.empty_like(p)
        assert made.forward(p, t, out=v) is v
        assert made.backward(p, t, out=g) is g
        assert bits(v, g) == bits(value, gradient)
        v[...] = g[...] = 0
        got = made.forward_backward(p, t, loss_out=v, gradient_out=g)
        assert got[0] is v
        assert got[1] is g
        assert bits(v, g) == bits(value, gradient)
        assert made.gradient_hessian(p, t, gradient_out=g, hessian_out=h)[1] is h
        assert bits(h) == bits(hessian)
        assert bits(made.gradient_hessian(p, t, hessian_out=h)[0]) == bits(g)


@each_loss
@pytest.mark.parametrize("n", [3, BLOCK, 2 * BLOCK + 7])
@pytest.mark.parametrize("targets", ["hard", "soft"])
def test_the_predictions_as_output(loss, n, targets):
    rng = np.random.default_rng(n)
    p, t = loss.predictions(rng, n), getattr(loss, targets)(rng, n)
    made = loss.kind()
    value, gradient = made.forward_backward(p, t)
    for place in (p.copy(), np.repeat(p, 2, 0)[::2]):
        got, same = made.forward_backward(place, t, gradient_out=place)
        assert same is place
        assert bits(got, place) == bits(value, gradient)
    if loss.binary:
        place = p.copy()
        none = loss.kind(reduction="none")
        assert bits(none.forward(place, t, out=place)) == bits(none.forward(p, t))


@each_loss
@pytest.mark.parametrize("classes", [1, 2, 3, 4, 255, 256, 257, 512])
def test_the_predictions_as_one_of_two_outputs(loss, classes):
    rng = np.random.default_rng(classes)
    n = BLOCK + 44
    p, made = loss.predictions(rng, n, classes=classes), loss.kind()
    for t in (loss.soft(rng, n, classes=classes), loss.hard(rng, n, classes=classes)):
        want = bits(*made.gradient_hessian(p, t))
        for name in ("gradient_out", "hessian_out"):
            place = p.copy()
            assert bits(*made.gradient_hessian(place, t, **{name: place})) == want


def test_a_memmap_as_output(tmp_path):
    rng = np.random.default_rng(0)
    p, y = rng.random(1000), rng.integers(0, 2, 1000)
    out = np.memmap(tmp_path / "gradient", np.float64, "w+", shape=1000)
    made = cecore.BinaryCrossEntropy()
    assert made.backward(p, y, out=out) is out
    assert bits(out) == bits(made.backward(p, y))


@each_loss
def test_a_call_that_raises_has_changed_no_input(loss):
    rng = np.random.default_rng(0)
    n = 3 * BLOCK
    p, t = loss.predictions(rng, n), loss.soft(rng, n)
    t[-1] = 1.5
    for place in (p.copy(), np.repeat(p, 2, 0)[::2]):
        before = place.copy()
        for targets in (t, t.tolist()):
            with pytest.raises(ValueError, match="outside"):
                loss.kind().backward(place, targets, out=place)
            assert bits(place) == bits(before)


# ---------------------------------------------------------------- errors

P, Y = np.array([0.5, 0.25]), np.array([0, 1])
ROWS, LABELS = np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]]), np.array([0, 2])


def with_(array, index, value):
    array = np.array(array, np.result_type(array, type(value)))
    array[index] = value
    return array


BAD_CALLS = [
    (bce, (with_(P, 1, 1.5), Y), {}, ValueError, r"probs\[1\] = 1.5 is outside \[0, 1\]"),
    (bce, (with_(P, 0, -1e-15), Y), {}, ValueError, r"probs\[0\] = -1e-15 is just outside \[0, 1\]"),
    (bce, (with_(P, 0, -math.inf), Y), {}, ValueError, r"probs\[0\] = -inf is outside"),
    (bce, (2.0, 1), {}, ValueError, r"probs = 2.0 is outside \[0, 1\]"),
    (bce, (P.reshape(2, 1), with_(Y, 1, 2).reshape(2, 1)), {}, ValueError, r"targets\[1, 0\] = 2 is outside \[0, 1\]"),
    (bce, (P, [0.5, -0.25]), {}, ValueError, r"targets\[1\] = -0.25 is outside"),
    (bce, (with_(P, 0, math.nan), [2, 0]), {}, ValueError, r"targets\[0\] = 2 is outside"),
    (bce, (with_(P, 0, 2.0), [math.nan, 0]), {}, ValueError, r"probs\[0\] = 2.0 is outside"),
    (bce, (P, Y.reshape(2, 1)), {}, ValueError, r"probs has shape \(2,\), targets has shape \(2, 1\): expected equal"),
    (bce, (P, 1), {}, ValueError, r"probs has shape \(2,\), targets has shape \(\)"),
    (
        bce,
        (P, Y),
        {"sample_weight": [1, -1]},
        ValueError,
        r"sample_weight\[1\] = -1 is negative: weights must be finite",
    ),
    (bce, (P, Y), {"sample_weight": [math.nan, 1]}, ValueError, r"sample_weight\[0\] = nan is not a weight"),
    (bce, (P, Y), {"sample_weight": [math.inf, 1]}, ValueError, r"sample_weight\[0\] = inf is not a weight"),
    (
        bce,
        (P, Y),
        {"sample_weight": [[1], [1]]},
        ValueError,
        r"sample_weight has shape \(2, 1\), the losses have shape \(2,\): expected \(2,\)",
    ),
    (bce, (P, Y), {"sample_weight": [1.0] * 3}, ValueError, r"sample_weight has shape \(3,\), the losses have"),
    (bce, (P * 1j, Y), {}, TypeError, "probs has dtype complex128: expected real numbers"),
    (bce, ([[0.5], [0.5, 0.5]], Y), {}, ValueError, "probs is not an array of numbers"),
    (bce, (P.astype(np.float32), [1e300, 1]), {}, ValueError, r"targets\[0\] = 1e\+300 is outside"),
    (
        bce,
        (P.astype(np.float32), Y),
        {"sample_weight": np.array([1e300, 1])},
        ValueError,
        r"\[0\] = 1e\+300 is beyond the range of float32",
    ),
    (bce, (["a", "b"], Y), {}, TypeError, r"probs holds strings \(dtype <U1\): expected numbers"),
    (bce, ([0.5, None], Y), {}, TypeError, "probs has dtype object"),
    (bce, (P, np.array(["2020"], "M8[Y]")), {}, TypeError, r"targets has dtype datetime64\[Y\]"),
    (bce, (np.ma.array(P, mask=[0, 1]), Y), {}, TypeError, "probs is a masked array"),
    (bce, (P, np.ma.array(Y)), {}, TypeError, "targets is a masked array"),
    (ce, (ROWS, with_(LABELS, 1, 3)), {}, ValueError, r"targets\[1\] = 3 is not a class label: expected 0..2"),
    (ce, (ROWS, with_(LABELS, 0, -1)), {}, ValueError, r"targets\[0\] = -1 is not a class"),
    (ce, (ROWS, [1e19, 0]), {}, ValueError, r"targets\[0\] = 1e\+19 is not a class"),
    (ce, (ROWS, np.array([0, 2**64 - 1], np.uint64)), {}, ValueError, r"targets\[1\] = 18446744073709551615 is not a"),
    (ce, (ROWS, [0.5, 1.0]), {}, ValueError, r"targets\[0\] = 0.5 is not a whole number"),
    (ce, (ROWS, [0, math.nan]), {}, ValueError, r"targets\[1\] = nan is not a class"),
    (ce, (ROWS, [0, math.inf]), {}, ValueError, r"targets\[1\] = inf is not a class"),
    (ce, (with_(ROWS, (1, 2), 1.5), LABELS), {}, ValueError, r"probs\[1, 2\] = 1.5 is outside \[0, 1\]"),
    (ce, (with_(ROWS, (1, 1), -0.5), ROWS), {}, ValueError, r"probs\[1, 1\] = -0.5 is outside"),
    (ce, (ROWS, with_(ROWS, (0, 1), 1.5)), {}, ValueError, r"targets\[0, 1\] = 1.5 is outside \[0, 1\]"),
    (
        ce,
        (ROWS, ROWS[:, :2]),
        {},
        ValueError,
        r"targets has 2 columns, but probs has 3 classes: expected shape \(2, 3\), or \(2,\) for",
    ),
    (ce, (ROWS, LABELS), {"sample_weight": [-1, 1]}, ValueError, r"sample_weight\[0\] = -1 is negative"),
    (ce, (ROWS, ROWS), {"sample_weight": [1, math.nan]}, ValueError, r"sample_weight\[1\] = nan is not a weight"),
    (ce, (0.5, 0), {}, ValueError, r"probs has shape \(\): expected at least one dimension"),
    (ce, (np.empty((2, 0)), LABELS), {}, ValueError, r"probs has shape \(2, 0\): expected at least one class"),
    (bce_logits, (P, [0.5, 1.25]), {}, ValueError, r"targets\[1\] = 1.25 is outside \[0, 1\]"),
    (bce_logits, (P, Y.reshape(2, 1)), {}, ValueError, r"logits has shape \(2,\), targets has shape \(2, 1\)"),
    (bce_logits, (P, Y), {"sample_weight": [1, -1]}, ValueError, r"sample_weight\[1\] = -1 is negative"),
    (bce_logits, (P * 1j, Y), {}, TypeError, "logits has dtype complex128: expected real numbers"),
    (ce_logits, (ROWS, with_(LABELS, 1, 3)), {}, ValueError, r"targets\[1\] = 3 is not a class label: expected 0..2"),
    (ce_logits, (ROWS, with_(LABELS, 0, -1)), {}, ValueError, r"targets\[0\] = -1 is not a class"),
    (ce_logits, (ROWS, [0, 0.5]), {}, ValueError, r"targets\[1\] = 0.5 is not a whole number"),
    (ce_logits, (ROWS, with_(ROWS, (0, 1), 1.5)), {}, ValueError, r"targets\[0, 1\] = 1.5 is outside \[0, 1\]"),
    (ce_logits, (ROWS, LABELS), {"sample_weight": [1, math.nan]}, ValueError, r"sample_weight\[1\] = nan is not a"),
    (ce_logits, (0.5, 0), {}, ValueError, r"logits has shape \(\): expected at least one dimension"),
    (ce_logits, (np.empty((2, 0)), LABELS), {}, ValueError, r"logits has shape \(2, 0\): expected at least one class"),
]

CUBE = np.full((2, 3, 4), 0.25)
BAD_OPTION_CALLS = [
    (
        ce,
        {"class_weight": [1, 2]},
        (ROWS, LABELS),
        r"class_weight has 2 weights, but axis -1 of probs \(2, 3\) has 3 classes",
    ),
    (
        ce_logits,
        {"class_weight": [1] * 4},
        (ROWS, LABELS),
        r"class_weight has 4 weights, but axis -1 of logits \(2, 3\) has 3 classes",
    ),
    (
        bce,
        {"pos_weight": [1, 2, 3]},
        (P, Y),
        r"pos_weight has 3 weights, but the last axis of probs \(2,\) has length 2",
    ),
    (bce_logits, {"pos_weight": [1.0]}, (0.5, 1), r"pos_weight has 1 weight, but logits is a single number"),
    (ce, {"axis": 2}, (ROWS, LABELS), r"axis = 2 is out of range: probs has shape \(2, 3\)"),
    (ce_logits, {"axis": -3}, (ROWS, LABELS), r"axis = -3 is out of range: logits has shape \(2, 3\)"),
    (ce_logits, {"axis": 1}, (np.empty((2, 0, 3)), CUBE), r"expected at least one class along axis 1"),
    (ce, {"ignore_index": -100}, (ROWS, ROWS), r"ignore_index needs class labels, but targets has shape \(2, 3\)"),
    (
        ce,
        {"ignore_index": -100},
        (ROWS, [0, 1000]),
        r"\[1\] = 1000 is not a class label: expected 0..2 or ignore_index -100",
    ),
    (
        ce_logits,
        {"ignore_index": 5},
        (ROWS, [5, -1]),
        r"\[1\] = -1 is not a class label: expected 0..2 or ignore_index 5",
    ),
    (ce, {"axis": 1}, (with_(CUBE, (1, 2, 3), 1.5), CUBE), r"probs\[1, 2, 3\] = 1.5 is outside"),
    (ce_logits, {"axis": 0}, (CUBE, with_(CUBE, (0, 2, 1), -1.0)), r"targets\[0, 2, 1\] = -1.0 is outside"),
    (ce, {"label_smoothing": 0.1}, (with_(ROWS, (0, 2), 2.0), [0, 1]), r"probs\[0, 2\] = 2.0 is outside"),
    (ce, {"class_weight": [1, 0, 1]}, (with_(ROWS, (1, 2), 2.0), ROWS), r"probs\[1, 2\] = 2.0 is outside"),
    (bce, {"pos_weight": 0}, ([2.0], [0]), r"probs\[0\] = 2.0 is outside"),
    (bce, {"label_smoothing": 0.1}, ([0.5, -1.0], [0, 1]), r"probs\[1\] = -1.0 is outside"),
    (bce, {"pos_weight": 2}, ([0.5, 0.5], [0, 1.5]), r"targets\[1\] = 1.5 is outside"),
    (bce_logits, {"focal_gamma": 2}, ([0.5, 0.5], [0, 1.5]), r"targets\[1\] = 1.5 is outside"),
    (ce_logits, {"focal_gamma": 2}, (ROWS, [0, 3]), r"targets\[1\] = 3 is not a class"),
]


@pytest.mark.parametrize(("loss", "arguments", "keywords", "error", "message"), BAD_CALLS)
@pytest.mark.parametrize("method", ["forward", "backward", "forward_backward", "gradient_hessian"])
def test_bad_calls(loss, arguments, keywords, error, message, method):
    for reduction in ("mean", "none"):
        with pytest.raises(error, match=message):
            getattr(loss.kind(reduction=reduction), method)(*arguments, **keywords)


@pytest.mark.filterwarnings("ignore::cecore.InputWarning")  # some rows do not sum to 1, on purpose
@pytest.mark.parametrize(("loss", "options", "arguments", "message"), BAD_OPTION_CALLS)
@pytest.mark.parametrize("method", ["forward", "backward", "forward_backward", "gradient_hessian"])
def test_bad_calls_with_options(loss, options, arguments, message, method):
    for reduction in ("mean", "none"):
        with pytest.raises(ValueError, match=message):
            getattr(loss.kind(reduction=reduction, **options), method)(*arguments)


BAD_OUTPUTS = [
    (lambda p, y: {"out": [0.0, 0.0]}, TypeError, "out is a list: expected a numpy.ndarray"),
    (lambda p, y: {"out": np.empty(3)}, ValueError, r"out has shape \(3,\): expected \(2,\), the shape"),
    (
        lambda p, y: {"out": np.empty(2, np.float32)},
        ValueError,
        r"out has dtype float32: expected float64, .* np.empty\(\(2,\), np.float64\)",
    ),
    (lambda p, y: {"out": np.broadcast_to(0.5, 2)}, ValueError, "out is read-only"),
    (lambda p, y: {"out": y}, ValueError, "out shares memory with targets"),
    (lambda p, y: {"out": np.ma.array(p)}, TypeError, "out is a MaskedArray"),
    (lambda p, y: {"out": p[::-1]}, ValueError, "out shares memory with probs, but is not the same"),
    (lambda p, y: {"out": sharing(p, 0)}, ValueError, "out has elements that share their memory"),
    (lambda p, y: {"out": sharing(p, 4)}, ValueError, "out has elements that share their memory"),
]


def sharing(like, stride):
    """An array whose numbers overlap."""
    return np.lib.stride_tricks.as_strided(np.zeros(2 * like.size), like.shape, (stride,), writeable=True)


@pytest.mark.parametrize(("outputs", "error", "message"), BAD_OUTPUTS)
def test_bad_outputs(outputs, error, message):
    p, y = P.copy(), Y.astype(float)
    for method in ("forward", "backward"):
        with pytest.raises(error, match=message):
            getattr(bce.kind(reduction="none"), method)(p, y, **outputs(p, y))


def test_windows_are_no_output():
    """Not even of a call that works in place, which would raise an exception when its input has changed."""
    numbers = np.linspace(0.1, 0.9, 20)
    windows = np.lib.stride_tricks.as_strided(numbers, (18, 3), (8, 8), writeable=True)
    calls = [
        lambda out: cecore.softmax(np.zeros((18, 3)), out=out),
        lambda out: ce.kind().backward(out, np.zeros(18, int), out=out),
        lambda out: bce.kind().backward(out, np.ones((18, 3)), out=out),
    ]
    for call in calls:
        for out in (windows, windows[::-1]):
            with pytest.raises(ValueError, match="out has elements that share their memory"):
                call(out)
    np.testing.assert_array_equal(numbers, np.linspace(0.1, 0.9, 20))


def test_windows_that_share_one_number_are_no_output():
    for shape, strides in (((3, 3), (16, 8)), ((3, 3), (8, 16)), ((2, 3, 4), (88, 32, 8)), ((2, 2), (4, 8))):
        out = np.lib.stride_tricks.as_strided(np.full(40, 0.5), shape, strides, writeable=True)
        for function in (cecore.softmax, cecore.sigmoid):
            with pytest.raises(ValueError, match="out has elements that share their memory"):
                function(np.zeros(shape), out=out)


def test_an_overlap_that_is_too_hard_to_find():
    """It is then taken for one, as here."""
    memory, shape = np.full(1 << 17, 0.5), (11, 9, 11)
    targets = np.lib.stride_tricks.as_strided(memory, shape, (3304, 36424, 320))
    out = np.lib.stride_tricks.as_strided(memory[33217:], shape, (288, 33664, 3048), writeable=True)
    with pytest.raises(getattr(np, "exceptions", np).TooHardError):
        np.shares_memory(out, targets, max_work=10_000)
    with pytest.raises(ValueError, match="out shares memory with targets"):
        bce.kind().backward(np.full(shape, 0.5), targets, out=out)
    assert (memory == 0.5).all()


@pytest.mark.thread_unsafe(reason="the threads would map the same file")
@pytest.mark.parametrize("loss", [bce, ce], ids=lambda loss: loss.name)
@pytest.mark.parametrize("plain", [True, False])
def test_an_input_that_a_call_in_place_changes_unseen(loss, plain, tmp_path):
    """Targets that are the predictions' memory at another address: a file that is mapped twice."""
    n = BLOCK if loss.binary else BLOCK // 2
    shape = (3 * BLOCK,) if loss.binary else (3 * BLOCK // 2, 2)
    here = np.memmap(tmp_path / "numbers", np.float64, "w+", shape=shape)
    there = np.memmap(tmp_path / "numbers", np.float64, "r+", shape=shape)
    if plain:
        here, there = np.asarray(here), np.asarray(there)
    here[...] = np.linspace(0.9, 0.1, 3 * n) if loss.binary else 0.5
    x, t = here[n:], there[:-n]  # the targets of a block lie where the gradients of the block before it go
    with pytest.raises(ValueError, match="an array of the call changed during it, which works in place"):
        loss.kind(reduction="sum").backward(x, t, out=x)


def test_an_output_in_the_memory_of_an_input_of_another_kind():
    y = Y.astype(float)
    with pytest.raises(ValueError, match="out shares memory with"):
        bce.kind().backward(P, memoryview(y), out=y)


def test_an_output_in_the_memory_of_predictions_of_another_type():
    for kind in (np.int64, ">f8"):
        p = np.zeros(5, kind)
        with pytest.raises(ValueError, match="out shares memory with probs, but is not the same array"):
            bce.kind().backward(p, np.zeros(5), out=p.view(np.float64))
    p = np.full((3, 3), 0.25)
    with pytest.raises(ValueError, match="out shares memory with probs, but is not the same array"):
        bce.kind().backward(p, np.zeros((3, 3)), out=p.T)


def test_an_output_in_the_memory_of_the_predictions():
    memory = np.full(6, 0.5)
    for given in (memory[:5], memoryview(memory)[:5]):
        with pytest.raises(ValueError, match="out shares memory with"):
            bce.kind(reduction="none").forward(given, np.ones(5), out=memory[1:])


def test_what_stands_for_true():
    true = np.array([2, 0, 255], np.uint8).view(bool)
    assert cecore.binary_cross_entropy([0.25, 0.5, 0.5], true) == cecore.binary_cross_entropy(
        [0.25, 0.5, 0.5], [1, 0, 1]
    )
    assert cecore.cross_entropy(ROWS, true[:2]) == cecore.cross_entropy(ROWS, [1, 0])
    assert (
        cecore.binary_cross_entropy([0.25, 0.5, 0.5], [1, 0, 1], sample_weight=true) == (math.log(4) + math.log(2)) / 2
    )


def test_an_upstream_without_dimensions():
    rng = np.random.default_rng(0)
    for u in rng.normal(size=50):
        z, w = np.float32(rng.normal(size=())), np.array(rng.random())
        made = bce_logits.kind(reduction="none")
        want = bits(made.backward(z, 1.0, sample_weight=w, upstream=u))
        for t in (1, np.array(1.0)):
            assert bits(made.backward(np.array(z), t, sample_weight=w, upstream=np.array(u))) == want


def test_weights_whose_product_is_infinite():
    for loss in (ce, ce_logits):
        made = loss.kind(reduction="sum", class_weight=[1e200] * 3)
        for t in (LABELS, np.eye(3)[LABELS], ROWS):
            assert made.forward(ROWS, t, sample_weight=[1e200, 1e200]) == math.inf


def test_the_value_that_is_named_is_the_value_that_is_used():
    targets = np.array([1 + 1e-9, -0.5])  # the first is 1 in float32
    with pytest.raises(ValueError, match=r"targets\[1\] = -0.5 is outside"):
        cecore.binary_cross_entropy(P.astype(np.float32), targets)


def test_numbers_beyond_float64():
    for call in (
        lambda: bce.kind().backward(P, Y, upstream=10**400),
        lambda: bce.kind(eps=10**400),
        lambda: bce_logits.kind(focal_gamma=10**400),
        lambda: bce.kind(pos_weight=10**400),
    ):
        with pytest.raises(ValueError, match="is an integer beyond the range of float64"):
            call()


def test_an_error_has_no_other_behind_it():
    with pytest.raises(ValueError, match="outside") as caught:
        cecore.binary_cross_entropy([2.0], [1])
    assert caught.value.__context__ is None


def test_more_bad_outputs():
    p, y = P.copy(), Y.astype(float)
    for reduction in ("mean", "sum"):
        with pytest.raises(ValueError, match="out only works with reduction='none'"):
            bce.kind(reduction=reduction).forward(p, y, out=np.empty(2))
        with pytest.raises(ValueError, match="loss_out only works with reduction='none'"):
            bce.kind(reduction=reduction).forward_backward(p, y, loss_out=np.empty(()))
    g = np.empty(2)
    with pytest.raises(ValueError, match="one array is given for two results"):
        bce.kind().gradient_hessian(p, y, gradient_out=g, hessian_out=g)
    both = np.empty(3)
    with pytest.raises(ValueError, match="shares memory with"):
        bce.kind().gradient_hessian(p, y, gradient_out=both[:2], hessian_out=both[1:])
    with pytest.raises(ValueError, match=r"upstream has shape \(2,\): expected a number, since reduction is 'mean'"):
        bce.kind().backward(p, y, upstream=np.ones(2))
    with pytest.raises(ValueError, match=r"upstream has shape \(3,\): expected a number or \(2,\)"):
        bce.kind(reduction="none").backward(p, y, upstream=np.ones(3))


@each_loss
def test_the_error_that_is_named_is_one_that_counts(loss):
    x, t = np.full((5, 1, 2), 0.5), np.zeros((5, 1), int)
    x, t = (x[..., 0], t) if loss.binary else (x, t)
    w, position = np.array([[0.0], [1], [0], [1], [1]]), "3, 0" if loss.binary or loss.logits else "3, 0, 0"
    if loss.logits:
        t[[0, 2, 3]] = 9
    else:
        x[[0, 2, 3]] = 7
    with pytest.raises(ValueError, match=rf"{'targets' if loss.logits else 'probs'}\[{position}\] = "):
        loss.kind().forward(x, t, sample_weight=w)
    if not loss.binary:
        t[...] = [[9], [-1], [9], [9], [0]]
        with pytest.raises(ValueError, match=r"targets\[3, 0\] = 9 is not a class label"):
            loss.kind(ignore_index=-1).forward(np.full_like(x, 0.5), t, sample_weight=w)


@pytest.mark.filterwarnings("ignore::cecore.InputWarning")  # some rows do not sum to 1, on purpose
def test_the_error_that_is_named_is_one_that_counts_with_options():
    with pytest.raises(ValueError, match=r"probs\[0, 1\] = 7.0 is outside"):
        ce.kind(label_smoothing=0.1)([[0.5, 7.0]], [0])
    p, soft = [[0.5, 7.0, 0.25], [0.5, 0.25, 7.0]], np.full((2, 3), 0.25)
    with pytest.raises(ValueError, match=r"probs\[1, 2\] = 7.0 is outside"):
        ce.kind(class_weight=[1, 0, 1])(p, soft)
    with pytest.raises(ValueError, match=r"probs\[1, 1\] = 7.0 is outside"):
        bce.kind(pos_weight=[0, 1])([[7.0, 0.5], [0.5, 7.0]], np.ones((2, 2)))


def test_the_position_of_an_error_in_a_long_array():
    rng = np.random.default_rng(0)
    for n in (1000, 70_000):
        for position in (0, 255, 256, n // 2, n - 1):
            p, y = rng.random(n), rng.integers(0, 2, n)
            p[position] = 2
            for order in (slice(None), slice(None, None, -1)):
                where = position if order.step is None else n - 1 - position
                with pytest.raises(ValueError, match=rf"probs\[{where}\] = 2.0 is outside"):
                    cecore.binary_cross_entropy(p[order], y[order])


class Nullable:
    """As a nullable pandas or an Arrow column: it knows what is missing, and hides it from NumPy."""

    def __init__(self, missing, pandas):
        self.missing = missing
        if pandas:
            self.dtype = "Float64"
            self.isna = lambda: np.array(missing)
        else:
            self.null_count = sum(missing)
            self.is_null = lambda: np.array(missing)

    def __array__(self, dtype=None, copy=None):
        return np.where(self.missing, np.nan, 0.5)


@pytest.mark.parametrize("pandas", [True, False])
def test_missing_values(pandas):
    with pytest.raises(ValueError, match=r"probs\[1\] is missing: fill or drop"):
        cecore.binary_cross_entropy(Nullable([False, True], pandas), [0, 1])
    assert cecore.binary_cross_entropy(Nullable([False, False], pandas), [0, 1]) == math.log(2)
