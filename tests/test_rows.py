"""Rows of logits against mpmath: every mode, for class counts around the widths of registers, tiles and batches."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from mpmath import inf, isnan, log1p, mp, mpf
from ulp import worst

import cecore

mp.dps = 60
pytestmark = [pytest.mark.usefixtures("level"), pytest.mark.filterwarnings("ignore::cecore.InputWarning")]
CLASSES = [1, 2, 3, 7, 8, 9, 10, 31, 32, 33, 47, 48, 49, 63, 64, 65, 100, 257, 1000, 4097, 20000]
KINDS = ["plain", "sigma 20", "sigma 40", "sigma 1000", "+1000", "+1e8", "masked", "+inf", "sure", "far", "equal"]
each_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32])
each_count = pytest.mark.parametrize("classes", CLASSES)


def logits(kind: str, classes: int, rng: np.random.Generator) -> np.ndarray:
    z = rng.normal(0, 2, classes)
    if kind.startswith("sigma"):
        return rng.normal(0, float(kind.split()[1]), classes)
    if kind in ("+1000", "+1e8"):
        return z + float(kind)
    if kind == "masked":
        z[rng.random(classes) < 0.3] = -np.inf
        z[-1] = 0.5
    elif kind == "+inf":
        z[classes // 2] = np.inf
    elif kind == "sure":
        z[0] += 40
    elif kind == "far":
        z[1::2] = -1e30
    return np.full(classes, 0.3) if kind == "equal" else z


class Row:
    """The exact numbers of a row: p, 1 - p and -log p of each class."""

    def __init__(self, z: np.ndarray):
        exact = [mpf(float(v)) for v in z]
        largest = max(range(len(z)), key=lambda k: exact[k])
        top = exact[largest]
        if top == inf:
            exact = [mpf(0) if v == top else -inf for v in exact]
            top = mpf(0)
        e = [mpf(0) if v == -inf else mp.exp(v - top) for v in exact]
        rest = sum(e[:largest] + e[largest + 1 :], mpf(0))
        total = rest + 1
        self.p = [v / total for v in e]
        self.rest = [(rest if k == largest else rest + (1 - v)) / total for k, v in enumerate(e)]
        self.loss = [log1p(rest) + (top - v) for v in exact]

    def focal(self, k: int, g: float) -> tuple[mpf, mpf, mpf]:
        """The loss of class k, minus its derivative by log p, and r^2 times the second one."""
        p, r, loss = self.p[k], self.rest[k], self.loss[k]
        if not g:
            return loss, mpf(1), mpf(0)
        power, product = r**g, p * loss if p else mpf(0)
        slope = power * (1 + g * (product / r if r else p))
        return (power * loss if power else mpf(0)), slope, g * power * (2 * p * r + product * ((g - 1) * p - r))


@functools.cache
def sample(classes: int, dtype: type) -> tuple[np.ndarray, list[Row], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(classes)
    kinds = KINDS if classes <= 300 else KINDS[:2] + KINDS[5:8] if classes <= 1000 else ["sigma 20"]
    z = np.array([logits(kind, classes, rng) for kind in kinds]).astype(dtype)
    labels = rng.integers(0, classes, len(z))
    labels[::2] = z[::2].argmax(axis=1)
    targets = rng.random(z.shape) * (rng.random(z.shape) < 0.5)
    targets[:, -1] += 0.25
    return z, [Row(row) for row in z], labels, (targets / targets.max(axis=1, keepdims=True)).astype(dtype)


def derivatives(row: Row, tau: list[mpf], g: float) -> tuple[mpf, list[list[mpf]], list[list[mpf]]]:
    """The loss, and the terms of its first and second derivatives. Terms of tau 0 are left out."""
    used = [k for k, t in enumerate(tau) if t]
    parts = {k: [tau[k] * v for v in row.focal(k, g)] for k in used}
    total = sum((parts[k][1] for k in used), mpf(0))
    ratios = sum((parts[k][2] / row.rest[k] ** 2 for k in used if row.rest[k]), mpf(0))
    first, second = [], []
    for j, (p, r) in enumerate(zip(row.p, row.rest, strict=True)):
        own = parts.get(j, [mpf(0)] * 3)
        others = sum((parts[k][1] for k in used if k != j), mpf(0)) if len(used) < 400 else total - own[1]
        # a ratio is beyond all bounds where r vanishes; the others' sum leaves it out
        bends = (
            sum((parts[k][2] * (p / row.rest[k]) ** 2 for k in used if k != j and row.rest[k]), mpf(0))
            if g and len(used) < 400
            else p * p * (ratios - (own[2] / r**2 if r else 0))
            if g
            else mpf(0)
        )
        first.append([p * others, -own[1] * r])
        second.append([p * r * total, own[2], bends])
    return sum((parts[k][0] for k in used), mpf(0)), first, second


def check(loss, z, rows, targets, taus, g, dtype, bounds):
    """Compare the losses and derivatives with the exact ones, relative to the larger terms."""
    exact = [derivatives(row, tau, g) for row, tau in zip(rows, taus, strict=True)]
    value, gradient = loss.forward(z, targets), loss.backward(z, targets)
    first, second = loss.gradient_hessian(z, targets)
    np.testing.assert_array_equal(first, gradient)
    small = float(np.finfo(dtype).tiny) * 2.0**10

    def normal(got, want, sizes):  # below, subnormal exponentials may have lost some bits
        kept = [(float(a), w, s) for a, w, s in zip(got, want, sizes, strict=True) if isnan(s) or abs(s) > small]
        return zip(*kept, strict=True) if kept else ((), (), ())

    assert worst(value, [loss_ for loss_, _, _ in exact], dtype) <= bounds[0]
    for got, terms in ((gradient, 1), (second, 2)):
        flat = [term for parts in exact for term in parts[terms]]
        sums, sizes = [sum(t) for t in flat], [sum(map(abs, t)) for t in flat]
        got_, want_, size_ = normal(got.ravel(), sums, sizes)
        assert worst(list(got_), list(want_), dtype, list(size_)) <= bounds[terms]


@each_dtype
@each_count
def test_rows_with_labels(classes, dtype):
    z, rows, labels, _ = sample(classes, dtype)
    taus = [[mpf(k == label) for k in range(classes)] for label in labels]
    check(cecore.CrossEntropyWithLogits(reduction="none"), z, rows, labels, taus, 0, dtype, (4, 4, 8))


@each_dtype
@each_count
def test_softmax_of_rows(classes, dtype):
    z, rows, _, _ = sample(classes, dtype)
    assert worst(cecore.softmax(z), [p for row in rows for p in row.p], dtype) <= 4
    logs = cecore.log_softmax(z)
    assert worst(logs, [-v for row in rows for v in row.loss], dtype) <= 4


@each_dtype
@each_count
def test_rows_with_smoothed_labels(classes, dtype):
    z, rows, labels, _ = sample(classes, dtype)
    a = mpf(0.1)
    taus = [[(1 - a) * (k == label) + a / classes for k in range(classes)] for label in labels]
    loss = cecore.CrossEntropyWithLogits(reduction="none", label_smoothing=0.1)
    check(loss, z, rows, labels, taus, 0, dtype, (4, 4, 8))


@each_dtype
@each_count
def test_rows_with_targets(classes, dtype):
    z, rows, _, targets = sample(classes, dtype)
    taus = [[mpf(float(t)) for t in row] for row in targets]
    check(cecore.CrossEntropyWithLogits(reduction="none"), z, rows, targets, taus, 0, dtype, (4, 4, 8))


@each_dtype
@pytest.mark.parametrize("gamma", [0.5, 2.0])
@pytest.mark.parametrize("classes", [c for c in CLASSES if c <= 1000])
def test_rows_with_a_focal_factor(classes, gamma, dtype):
    z, rows, labels, targets = sample(classes, dtype)
    loss = cecore.CrossEntropyWithLogits(reduction="none", focal_gamma=gamma)
    taus = [[mpf(k == label) for k in range(classes)] for label in labels]
    check(loss, z, rows, labels, taus, gamma, dtype, (8 + 2 * gamma,) * 3)
    if classes <= 100:
        taus = [[mpf(float(t)) for t in row] for row in targets]
        check(loss, z, rows, targets, taus, gamma, dtype, (8 + 2 * gamma,) * 3)


@each_dtype
@pytest.mark.parametrize("classes", [2, 3, 48, 49, 100, 5000])
def test_rows_that_have_no_number(classes, dtype):
    z = np.zeros((5, classes), dtype)
    z[0, 0] = z[0, 1] = np.inf
    z[1] = -np.inf
    z[2, -1] = np.nan
    z[3, 0], z[3, -1] = np.inf, np.nan
    value, gradient = cecore.CrossEntropyWithLogits(reduction="none").forward_backward(z, np.zeros(5, int))
    for got in (value[:, None], gradient, cecore.softmax(z), cecore.log_softmax(z)):
        assert np.isnan(got[:4]).all() and not np.isnan(got[4]).any()
    weights = np.array([0.0, 0, 0, 0, 1])
    loss = cecore.CrossEntropyWithLogits(reduction="none")
    value, gradient = loss.forward_backward(z, np.zeros(5, int), sample_weight=weights)
    hessian = loss.gradient_hessian(z, np.zeros(5, int), sample_weight=weights)[1]
    for got in (value[:, None], gradient, hessian):
        assert not got[:4].any() and not np.signbit(got[:4]).any() and got[4].any()


@each_dtype
def test_large_common_offsets_cancel(dtype):
    offset = dtype(1e8 if dtype is np.float64 else 2.0**20)
    z = np.full((3, 2), offset)
    assert cecore.cross_entropy_with_logits(z, [0, 1, 0]) == pytest.approx(np.log(2), rel=4 * np.finfo(dtype).eps)
    z = np.random.default_rng(0).integers(-9, 9, (70, 60)).astype(dtype)
    labels = np.arange(70) % 60
    loss = cecore.CrossEntropyWithLogits(reduction="none")
    near, far = loss.forward_backward(z, labels), loss.forward_backward(z + offset, labels)
    for one, other in zip(near, far, strict=True):
        np.testing.assert_allclose(one, other, rtol=8 * np.finfo(dtype).eps)
