"""Sigmoid and softmax, their logarithms and derivatives."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mpmath import inf, mp, mpf
from reference import real
from reference import softmax as exact_softmax
from ulp import bits, ulp_of, worst

import cecore

pytestmark = pytest.mark.usefixtures("level")
each_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32])
EDGES = [0.0, -0.0, 1e-10, 1.0, 40.0, -40.0, 87.0, -87.0, 700.0, -708.0, 1e8, -1e20, math.inf, -math.inf, math.nan]


def rows_of(width):
    numbers = st.one_of(st.sampled_from(EDGES), st.floats(-80, 80, width=width))
    return hnp.arrays(
        np.float64 if width == 64 else np.float32,
        st.tuples(st.integers(0, 5), st.sampled_from([1, 2, 3, 7, 32, 33, 70])),
        elements=numbers,
    )


@each_dtype
@settings(max_examples=60)
@given(data=st.data())
def test_softmax_is_the_definition(dtype, data):
    x = data.draw(rows_of(64 if dtype == np.float64 else 32))
    classes = [exact_softmax([real(v) for v in row]) for row in x]
    probs, logs = cecore.softmax(x), cecore.log_softmax(x)
    normal = np.array([[not p < float(np.finfo(dtype).tiny) for p, _, _ in row] for row in classes], bool).reshape(
        x.shape
    )
    want = np.array([[p for p, _, _ in row] for row in classes], object).reshape(x.shape)
    assert worst(probs[normal], want[normal], dtype) <= 4
    assert np.abs(probs[~normal] - want[~normal].astype(float)).max(initial=0) <= 3 * float(
        np.finfo(dtype).smallest_subnormal
    )
    want = np.array([[log for _, _, log in row] for row in classes], object).reshape(x.shape)
    least = 2.0**12 * float(np.finfo(dtype).tiny)  # below, it may be made of subnormal exponentials
    large = np.array([[not abs(v) < least for v in row] for row in want], bool).reshape(x.shape)
    assert worst(logs[large], want[large], dtype) <= 4
    losses = cecore.CrossEntropyWithLogits(reduction="none").forward(x, np.zeros(len(x), int))
    if dtype == np.float64:
        np.testing.assert_allclose(losses, -logs[:, 0], rtol=8 * np.finfo(dtype).eps)


@each_dtype
def test_sigmoid_is_the_definition(dtype):
    rng = np.random.default_rng(0)
    x = np.concatenate([EDGES, rng.uniform(-80, 80, 500), rng.normal(size=500)]).astype(dtype)
    want = np.array([mpf(0) if v == -inf else 1 / (1 + mp.exp(-real(v))) for v in x], object)
    got = cecore.sigmoid(x)
    normal = np.array([not w < float(np.finfo(dtype).tiny) for w in want])
    assert worst(got[normal], want[normal], dtype) <= 4
    np.testing.assert_array_equal(cecore.sigmoid([-math.inf, math.inf, 0]), [0, 1, 0.5])
    np.testing.assert_allclose(cecore.sigmoid(-x) + got, np.where(np.isnan(x), np.nan, 1), rtol=2 * np.finfo(dtype).eps)


@each_dtype
def test_log_sigmoid_is_the_definition(dtype):
    rng = np.random.default_rng(0)
    x = np.concatenate([EDGES, rng.uniform(-80, 80, 500), rng.normal(size=500), rng.uniform(-700, 700, 99)])
    x = x.astype(dtype)
    want = [-inf if v == -inf else mpf(0) if v == inf else -mp.log1p(mp.exp(-real(v))) for v in x]
    got = cecore.log_sigmoid(x)
    normal = np.array([not abs(w) < float(np.finfo(dtype).tiny) for w in want])
    assert worst(got[normal], np.array(want, object)[normal], dtype) <= 2
    np.testing.assert_array_equal(cecore.log_sigmoid([-math.inf, math.inf]), [-math.inf, 0])
    assert not np.signbit(cecore.log_sigmoid([math.inf, 1e9])).any()  # 0, not -0
    np.testing.assert_array_equal(got, -cecore.BinaryCrossEntropyWithLogits(reduction="none")(x, np.ones(len(x))))


@each_dtype
@settings(max_examples=60)
@given(data=st.data())
def test_sigmoid_backward_is_the_definition(dtype, data):
    n = data.draw(st.integers(0, 40))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    s, u = cecore.sigmoid(rng.normal(0, 9, n).astype(dtype)), rng.normal(0, 9, n).astype(dtype)
    edges = data.draw(st.lists(st.sampled_from([0.0, 1.0, 0.5, 1e-30]), max_size=n))
    s[: len(edges)] = edges
    got = cecore.sigmoid_backward(u, s)
    assert got.dtype == dtype
    want = np.array([real(a) * (1 - real(a)) * real(b) for a, b in zip(s, u, strict=True)], object)
    normal = np.array([not abs(w) < float(np.finfo(dtype).tiny) for w in want], bool)
    assert worst(got[normal], want[normal], dtype) <= (1 if dtype == np.float32 else 3)
    assert np.abs(got[~normal].astype(float) - want[~normal].astype(float)).max(initial=0) <= 2 * float(
        np.finfo(dtype).smallest_subnormal
    )


def test_the_worst_error_of_sigmoid_backward():
    s, u = np.array([float.fromhex("0x1.2c2b3415efd6ep-3")]), np.array([float.fromhex("0x1.ff06f0bf2fcbcp+0")])
    want = np.array([real(s[0]) * (1 - real(s[0])) * real(u[0])], object)
    assert 2 < worst(cecore.sigmoid_backward(u, s), want, np.float64) <= 3  # so 2 would not be true


def test_sigmoid_backward_at_the_ends():
    u = [math.inf, -math.inf, math.nan, 1e300]
    for end in (0.0, 1.0):
        np.testing.assert_array_equal(cecore.sigmoid_backward(u, np.full(4, end)), np.zeros(4))
    np.testing.assert_array_equal(cecore.sigmoid_backward([1, math.nan], [math.nan, 0.5]), [math.nan, math.nan])
    z = np.random.default_rng(0).normal(0, 3, 300)
    y = np.random.default_rng(1).integers(0, 2, 300)
    p = cecore.sigmoid(z)
    chained = cecore.sigmoid_backward(cecore.BinaryCrossEntropy(eps=0).backward(p, y), p)
    np.testing.assert_allclose(chained, cecore.BinaryCrossEntropyWithLogits().backward(z, y), rtol=1e-12)


@each_dtype
@pytest.mark.parametrize("classes", [1, 3, 32, 33, 300])
def test_softmax_backward_is_the_product_with_the_jacobian(dtype, classes):
    rng = np.random.default_rng(classes)
    s, u = cecore.softmax(rng.normal(size=(9, classes)).astype(dtype)), rng.normal(size=(9, classes)).astype(dtype)
    got = cecore.softmax_backward(u, s)
    for row, (p, g) in enumerate(zip(s, u, strict=True)):
        p, g = [real(v) for v in p], [real(v) for v in g]
        center = sum((a * b for a, b in zip(p, g, strict=True)), mpf(0))
        largest = max(abs(v) for v in g)
        for k in range(classes):
            assert abs(real(got[row, k]) - p[k] * (g[k] - center)) <= 2 * ulp_of(p[k] * largest, dtype)
    u[0, 0], s[0] = math.inf, 1
    s[0, 0] = 0
    assert np.isfinite(cecore.softmax_backward(u, s)[0]).all()
    assert cecore.softmax_backward(u, s)[0, 0] == 0


ELEMENTWISE = cecore.sigmoid, cecore.log_sigmoid


@pytest.mark.parametrize("function", [cecore.softmax, cecore.log_softmax, *ELEMENTWISE], ids=lambda f: f.__name__)
@pytest.mark.parametrize("classes", [3, 40])
def test_layouts_outputs_and_axes(function, classes):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(70, 5, classes))
    want = function(x)
    assert want.dtype == np.float64
    out = np.full_like(x, math.nan)
    assert function(x, out=out) is out
    assert bits(out) == bits(want)
    in_place = x.copy()
    assert function(in_place, out=in_place) is in_place
    assert bits(in_place) == bits(want)
    spread = np.full((140, 5, classes), math.nan)[::2]
    assert function(x, out=spread) is spread
    np.testing.assert_array_equal(spread, want)
    for other in (np.asfortranarray(x), x[::-1][::-1], x.astype(">f8"), x.tolist()):
        np.testing.assert_array_equal(function(other), want)
    for row in (0, 69):
        np.testing.assert_array_equal(function(x[row, 0]), want[row, 0])
    if function not in ELEMENTWISE:
        for axis in (0, 1, -2):
            moved = np.moveaxis(x, -1, axis)
            np.testing.assert_array_equal(function(moved, axis=axis), np.moveaxis(want, -1, axis))
            out = np.ascontiguousarray(moved)
            assert function(out, axis=axis, out=out) is out
            np.testing.assert_array_equal(out, np.moveaxis(want, -1, axis))
    assert function(np.empty((0, 3))).shape == (0, 3)
    np.testing.assert_array_equal(function(np.array([[1, 2, 3]])), function(np.array([[1.0, 2, 3]])))


@pytest.mark.parametrize("classes", [3, 40, 600])
@pytest.mark.parametrize("upstream", [math.inf, math.nan])
def test_upstream_of_a_probability_of_zero(classes, upstream):
    s, u = np.full((2, classes), 1 / (classes - 1)), np.random.default_rng(0).normal(size=(2, classes))
    s[:, 1] = 0
    want = cecore.softmax_backward(u, s)
    u[:, 1] = upstream
    np.testing.assert_array_equal(cecore.softmax_backward(u, s), want)
    assert not want[:, 1].any()


@pytest.mark.parametrize("classes", [3, 40])
def test_outputs_of_softmax_backward(classes):
    rng = np.random.default_rng(0)
    s, u = cecore.softmax(rng.normal(size=(70, classes))), rng.normal(size=(70, classes))
    want = cecore.softmax_backward(u, s)
    for index in (0, 1):
        arrays = [u.copy(), s.copy()]
        assert cecore.softmax_backward(*arrays, out=arrays[index]) is arrays[index]
        assert bits(arrays[index]) == bits(want)
    np.testing.assert_array_equal(cecore.softmax_backward(u.T, s.T, axis=0), want.T)
    np.testing.assert_allclose(cecore.softmax_backward(u.astype(np.float32), s), want, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(cecore.softmax_backward(u.tolist(), s), want)


@pytest.mark.parametrize("n", [1, 15, 16, 17, 255, 256, 257, 1000])
def test_outputs_of_sigmoid_backward(n):
    rng = np.random.default_rng(n)
    s, u = cecore.sigmoid(rng.normal(size=n)), rng.normal(size=n)
    want = cecore.sigmoid_backward(u, s)
    for index in (0, 1):
        arrays = [u.copy(), s.copy()]
        assert cecore.sigmoid_backward(*arrays, out=arrays[index]) is arrays[index]
        assert bits(arrays[index]) == bits(want)
        memory = np.full(2 * n, 0.5)
        arrays[index] = memory[::2]
        arrays[index][...] = (u, s)[index]
        assert bits(np.ascontiguousarray(cecore.sigmoid_backward(*arrays, out=arrays[index]))) == bits(want)
    np.testing.assert_array_equal(cecore.sigmoid_backward(u.tolist(), s), want)
    np.testing.assert_array_equal(cecore.sigmoid_backward(u[::-1], s[::-1]), want[::-1])


def test_both_ways_give_the_same_gradient():
    rng = np.random.default_rng(1)
    z, labels = rng.normal(size=(300, 7)), rng.integers(0, 7, 300)
    probs = cecore.softmax(z)
    chained = cecore.softmax_backward(cecore.CrossEntropy(eps=0).backward(probs, labels), probs)
    np.testing.assert_allclose(chained, cecore.CrossEntropyWithLogits().backward(z, labels), rtol=1e-12, atol=1e-17)
    z, y = rng.normal(size=300), rng.integers(0, 2, 300)
    p = cecore.sigmoid(z)
    chained = cecore.BinaryCrossEntropy(eps=0).backward(p, y) * p * (1 - p)
    np.testing.assert_allclose(chained, cecore.BinaryCrossEntropyWithLogits().backward(z, y), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: cecore.softmax(1.0), ValueError, r"x has shape \(\): expected at least one dimension"),
        (lambda: cecore.softmax(np.empty((2, 0))), ValueError, "expected at least one class along axis 1"),
        (lambda: cecore.log_softmax([[1.0]], axis=2), ValueError, r"axis = 2 is out of range: x has shape \(1, 1\)"),
        (lambda: cecore.softmax([1.0], axis=None), TypeError, "axis = None: expected an integer"),
        (lambda: cecore.softmax(np.ones((2, 2)), axis=True), TypeError, "axis = True: expected an integer"),
        (lambda: cecore.softmax(np.ones((2, 2)), axis=1.0), TypeError, "axis = 1.0: expected an integer"),
        (lambda: cecore.softmax_backward(None, np.ones(3)), TypeError, "upstream is None: expected real numbers"),
        (lambda: cecore.sigmoid(1j), TypeError, "x has dtype complex128: expected real numbers"),
        (lambda: cecore.sigmoid(np.ones(2), out=np.ones(3)), ValueError, r"out has shape \(3,\)"),
        (lambda: cecore.sigmoid(np.ones(2), out=[1, 2]), TypeError, "out is a list"),
        (lambda: cecore.sigmoid_backward([1.0], [0.5, 0.5]), ValueError, r"upstream has shape \(1,\): expected \(2,\)"),
        (lambda: cecore.sigmoid_backward(None, [0.5]), TypeError, "upstream is None: expected real numbers"),
        (lambda: cecore.log_sigmoid(["a"]), TypeError, "x holds strings"),
        (lambda: cecore.softmax_backward([1.0], [0.5, 0.5]), ValueError, r"upstream has shape \(1,\): expected \(2,\)"),
    ],
)
def test_bad_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_overlapping_outputs():
    memory = np.ones(5)
    for function in (*ELEMENTWISE, cecore.softmax, cecore.log_softmax):
        with pytest.raises(ValueError, match="out shares memory with"):
            function(memory[:4], out=memory[1:])


def test_calls_from_many_threads():
    x = np.random.default_rng(0).normal(size=(4000, 20))
    want, found = bits(cecore.softmax(x)), []
    threads = [threading.Thread(target=lambda: found.append(bits(cecore.softmax(x)) == want)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 8


@each_dtype
@pytest.mark.parametrize("classes", [1, 2, 3, 10, 16, 32, 33, 300])
def test_a_probability_is_at_most_one(classes, dtype):
    """And 1 where the others vanish beside it, so that a loss on probabilities takes it."""
    rng = np.random.default_rng(classes)
    x = rng.normal(0, 30, (500, classes)).astype(dtype)
    probs = cecore.softmax(x)
    assert probs.max() <= 1
    x.sort()
    far = x[:, -1] - x[:, -2] > 40 if classes > 1 else np.ones(500, bool)
    np.testing.assert_array_equal(probs.max(axis=1)[far], 1)
    cecore.CrossEntropy().forward(probs, rng.integers(0, classes, 500))
