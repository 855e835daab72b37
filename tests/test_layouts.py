"""Any layout, dtype, source and number of threads: the bits of the plain contiguous call on one thread."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import READABLE, WRITEABLE
from registry import BLOCK, LOSSES
from threads import threads
from ulp import bits

import cecore

pytestmark = [
    pytest.mark.usefixtures("level"),
    pytest.mark.filterwarnings("ignore::cecore.InputWarning"),  # many rows here do not sum to 1, on purpose
]
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
ml_dtypes = pytest.importorskip("ml_dtypes")
bfloat16 = np.dtype(ml_dtypes.bfloat16)

FLOATS = [np.dtype(kind) for kind in (np.float64, np.float32, np.float16, np.longdouble)] + [bfloat16]
INTEGERS = [np.dtype(kind) for kind in "bhilqBHILQ"]
ELEMENTWISE = ("sigmoid", "log_sigmoid", "sigmoid_backward")
FUNCTIONS = (*ELEMENTWISE, "softmax", "log_softmax", "softmax_backward")


def native(array):
    """As float64 if it is of a type that is computed as that."""
    dtype = array.dtype.newbyteorder("=")
    return array.astype(dtype if dtype in FLOATS and dtype != np.longdouble else np.float64)


@st.composite
def calls(draw, loss):
    """Plain arrays and the options."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    axis, options, classes = -1, {}, 1
    sizes = st.sampled_from([0, 1, 2, 3, 7, 8, 30, 70])
    if loss.binary:
        shape = inner = tuple(draw(st.lists(sizes, max_size=3)))
        if inner and draw(st.booleans()):
            shape = inner = (*inner[:-1], draw(st.sampled_from([BLOCK - 1, BLOCK, 3 * BLOCK + 5])))
    else:
        inner = tuple(draw(st.lists(sizes, max_size=2)))
        classes = draw(st.sampled_from([1, 2, 3, 10, 32, 33, 300]))
        axis = draw(st.integers(-len(inner) - 1, len(inner)))
        full = list(inner)
        full.insert(axis % (len(inner) + 1), classes)
        shape = tuple(full)
    if np.prod(shape) > 30_000:
        shape = inner = (3, 5) if loss.binary else None or inner
        if not loss.binary:
            inner = (3,)
            axis = draw(st.sampled_from([0, -1]))
            shape = (classes, 3) if axis == 0 else (3, classes)
    if axis != -1:
        options["axis"] = axis
    dtype = draw(st.sampled_from([*FLOATS, *INTEGERS, np.dtype(bool)]))
    x = np.asarray(rng.normal(0, 3, shape) if loss.logits else rng.random(shape)).astype(dtype)
    kind = draw(st.sampled_from(["hard", "soft", "one-hot"]))
    label_type = draw(st.sampled_from([*INTEGERS, np.dtype(np.float64), np.dtype(np.float16), np.dtype(np.longdouble)]))
    if kind == "soft":
        t = np.asarray(rng.random(shape)).astype(draw(st.sampled_from(FLOATS)))
    elif loss.binary:
        t = np.asarray(rng.integers(0, 2, shape)).astype(draw(st.sampled_from([label_type, np.dtype(bool), bfloat16])))
    else:
        t = np.asarray(rng.integers(0, min(classes, 100), inner))
        if kind == "hard":
            if draw(st.booleans()):
                options["ignore_index"] = 100
                t = np.where(rng.random(inner) < 0.2, 100, t)
            t = t.astype(label_type)
        else:
            t = np.moveaxis(np.eye(classes, dtype=draw(st.sampled_from([*FLOATS, *INTEGERS])))[t], -1, axis)
            t = np.ascontiguousarray(t).reshape(shape)
    weights = draw(st.sampled_from([None, *FLOATS, np.dtype(bool), np.dtype(np.int16)]))
    w = None if weights is None else np.asarray(rng.integers(0, 3, inner) * 0.7).astype(weights)
    if draw(st.booleans()):
        options["label_smoothing"] = 0.1
    if draw(st.booleans()):
        options["mean_over"] = "count"
    if draw(st.booleans()):
        if loss.binary:
            options["pos_weight"] = 2.5
        else:
            options["class_weight"] = tuple(rng.uniform(0.5, 2, classes))
    if loss.logits and draw(st.booleans()):
        options["focal_gamma"] = 1.5
    return x, t, w, options


@each_loss
@settings(max_examples=150)
@given(data=st.data())
def test_any_call_has_the_bits_of_the_plain_one(loss, data):
    draw = data.draw
    x, t, w, options = draw(calls(loss))
    reduction = draw(st.sampled_from(["mean", "sum", "none"]))
    made = loss.kind(reduction=reduction, **options)
    readable, writeable = st.sampled_from(sorted(READABLE)), st.sampled_from(sorted(WRITEABLE))
    upstream = 1.5
    if reduction == "none" and draw(st.booleans()):
        shape = made.forward(native(x), native(t) if t.shape == x.shape else t.astype(np.int64)).shape
        upstream = np.asarray(np.random.default_rng(1).normal(size=shape)).astype(draw(st.sampled_from(FLOATS)))
    px, pt = native(x), t if t.dtype.kind in "iub" else native(t)
    pw, pu = (None if w is None else native(w)), native(upstream) if np.ndim(upstream) else upstream
    with threads(1, 1 << 16):
        value, gradient = made.forward_backward(px, pt, sample_weight=pw)
        scaled = made.backward(px, pt, sample_weight=pw, upstream=pu)
        first, second = made.gradient_hessian(px, pt, sample_weight=pw)

    ox, ot = READABLE[draw(readable)](x), READABLE[draw(readable)](t)
    ow = None if w is None else READABLE[draw(readable)](w)
    ou = READABLE[draw(readable)](upstream) if np.ndim(upstream) else upstream
    loss_out = WRITEABLE[draw(writeable)](value) if reduction == "none" and draw(st.booleans()) else None
    outs = [WRITEABLE[draw(writeable)](gradient) if draw(st.booleans()) else None for _ in range(4)]
    for out in (loss_out, *outs):
        if out is not None:
            out[...] = 0
    if px.dtype == x.dtype and draw(st.booleans()):
        outs[1] = ox = WRITEABLE[draw(writeable)](x)
    with threads(draw(st.integers(1, 16)), draw(st.sampled_from([1, 1000]))):
        got = made.forward_backward(ox, ot, sample_weight=ow, loss_out=loss_out, gradient_out=outs[0])
        assert bits(*got) == bits(value, gradient)
        assert loss_out is None or got[0] is loss_out
        assert outs[0] is None or got[1] is outs[0]
        assert bits(made.forward(ox, ot, sample_weight=ow)) == bits(value)
        got = made.gradient_hessian(ox, ot, sample_weight=ow, gradient_out=outs[2], hessian_out=outs[3])
        assert bits(*got) == bits(first, second)
        got = made.backward(ox, ot, sample_weight=ow, upstream=ou, out=outs[1])
        assert bits(got) == bits(scaled)
        assert got.dtype.newbyteorder("=") == px.dtype
    if outs[1] is None:
        assert got.flags.c_contiguous


def view(draw, matrix, shape):
    """Some rows and columns of a matrix, in some order."""
    axes = []
    for length, n in zip(matrix.shape, shape, strict=True):
        step = draw(st.integers(1, max(1, (length - 1) // max(n - 1, 1))))
        first = draw(st.integers(0, length - 1 - (n - 1) * step))
        places = slice(first, first + (n - 1) * step + 1, step)
        axes.append(places if draw(st.booleans()) else slice(places.stop - 1, first - 1 if first else None, -step))
    return matrix[tuple(axes)]


@each_loss
@settings(max_examples=300)
@given(data=st.data())
def test_views_of_one_matrix(loss, data):
    """An output may lie between the numbers of another array; in the same memory as any, it may only be x itself."""
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from([(1, 1), (1, 7), (5, 1), (3, 2), (4, 5), (2, 8)]))
    matrix = rng.random((10, 16))
    x, t, out = (view(draw, matrix, shape) for _ in range(3))
    if draw(st.booleans()):
        t = rng.random(shape)
    if draw(st.integers(0, 3)) == 0:
        out = x
    made = loss.kind(reduction="sum")
    want = made.backward(x.copy(), t.copy())
    before = matrix.copy()
    same = x.ctypes.data == out.ctypes.data and all(
        a == b for a, b, length in zip(x.strides, out.strides, shape, strict=True) if length > 1
    )
    if np.shares_memory(out, t) or (np.shares_memory(out, x) and not same):
        with pytest.raises(ValueError, match="out shares memory with"):
            made.backward(x, t, out=out)
    else:
        assert made.backward(x, t, out=out) is out
        assert bits(np.ascontiguousarray(out)) == bits(want)
        out[...] = np.nan
    others = ~np.isnan(matrix)
    np.testing.assert_array_equal(matrix[others], before[others])


@settings(max_examples=200)
@given(data=st.data())
@pytest.mark.parametrize("name", FUNCTIONS)
def test_any_activation_has_the_bits_of_the_plain_one(name, data):
    draw = data.draw
    function = getattr(cecore, name)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = tuple(draw(st.lists(st.sampled_from([1, 2, 5, 33, 70]), min_size=1, max_size=3)))
    x = rng.normal(0, 3, shape).astype(draw(st.sampled_from([*FLOATS, *INTEGERS])))
    given = [x] if not name.endswith("_backward") else [rng.normal(size=shape).astype(draw(st.sampled_from(FLOATS))), x]
    options = {} if name in ELEMENTWISE else {"axis": draw(st.integers(-len(shape), len(shape) - 1))}
    with threads(1, 1 << 16):
        want = function(*map(native, given), **options)
    others = [READABLE[draw(st.sampled_from(sorted(READABLE)))](array) for array in given]
    out = WRITEABLE[draw(st.sampled_from(sorted(WRITEABLE)))](want) if draw(st.booleans()) else None
    if native(x).dtype == x.dtype and draw(st.booleans()):
        out = others[-1] = WRITEABLE[draw(st.sampled_from(sorted(WRITEABLE)))](x)
    with threads(draw(st.integers(1, 16))):
        got = function(*others, **options, out=out)
    assert bits(got) == bits(want)
    assert out is None or got is out
