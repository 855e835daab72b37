"""Rows of logits against mpmath: every mode, for class counts around the widths of registers, tiles and batches."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from mpmath import inf, log1p, mp, mpf
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
    kinds = KINDS if classes <= 300 else KINDS[1:2] + KINDS[6:8] if classes <= 1000 else ["sigma 20"]
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
    nothing = [mpf(0)] * 3
    top = max(range(len(tau)), key=lambda k: row.p[k])
    # sums without the most likely class, so that no other sum cancels
    small = [sum((parts[k][i] for k in used if k != top), mpf(0)) for i in range(3)]
    ratios = sum((parts[k][2] / row.rest[k] ** 2 for k in used if k != top), mpf(0))
    most = parts.get(top, nothing)
    first, second = [], []
    for j, (p, r) in enumerate(zip(row.p, row.rest, strict=True)):
        own = parts.get(j, nothing)
        others = small[1] if j == top else small[1] - own[1] + most[1]
        bends = p * p * (ratios if j == top else ratios - own[2] / r**2)
        if j != top and row.rest[top]:
            bends += most[2] * (p / row.rest[top]) ** 2
        first.append([p * others, -own[1] * r])
        second.append([p * r * (small[1] + most[1]), own[2], bends])
    return small[0] + most[0], first, second


MODES = {  # options, whether the rows have targets, and the bounds of loss, gradient and second derivative
    "labels": ({}, False, (4, 4, 8)),
    "smoothing": ({"label_smoothing": 0.1}, False, (4, 4, 8)),
    "targets": ({}, True, (4, 4, 8)),
    "focal": ({"focal_gamma": 2.0}, False, (12, 12, 12)),
    "focal root": ({"focal_gamma": 0.5}, False, (9, 9, 9)),
    "focal targets": ({"focal_gamma": 2.0}, True, (12, 12, 12)),
}


@functools.cache
def exact(mode: str, classes: int, dtype: type) -> tuple[list[mpf], list[tuple[list[mpf], list[mpf]]]]:
    """The losses, and for both derivatives the exact numbers and the sums of their terms' absolute values."""
    _, rows, labels, targets = sample(classes, dtype)
    options, has_targets, _ = MODES[mode]
    a = mpf(options.get("label_smoothing", 0))
    hot = [[mpf(int(k == label)) for k in range(classes)] for label in labels]
    taus = [[(1 - a) * t + a / classes for t in row] for row in hot]
    taus = [[mpf(float(t)) for t in row] for row in targets] if has_targets else taus
    found = [derivatives(row, tau, options.get("focal_gamma", 0)) for row, tau in zip(rows, taus, strict=True)]
    parts = []
    for order in (1, 2):
        terms = [term for result in found for term in result[order]]
        parts.append(([sum(t) for t in terms], [sum(map(abs, t)) for t in terms]))
    return [loss for loss, _, _ in found], parts


@each_dtype
@pytest.mark.parametrize("mode", list(MODES))
@each_count
def test_rows_are_the_definition(classes, mode, dtype):
    options, has_targets, bounds = MODES[mode]
    if classes > (300 if "focal" in mode else 5000) and mode != "labels":
        pytest.skip("slow in high precision")
    z, _, labels, targets = sample(classes, dtype)
    loss = cecore.CrossEntropyWithLogits(reduction="none", **options)
    t = targets if has_targets else labels
    value, gradient = loss.forward_backward(z, t)
    first, second = loss.gradient_hessian(z, t)
    np.testing.assert_array_equal(first, gradient)
    losses, parts = exact(mode, classes, dtype)
    assert worst(value, losses, dtype) <= bounds[0]
    small = float(np.finfo(dtype).tiny) * 2.0**10  # below, subnormal exponentials may have lost some bits
    for got, (want, sizes), bound in zip((gradient, second), parts, bounds[1:], strict=True):
        kept = [k for k, size in enumerate(sizes) if size > small]
        errors = worst(got.ravel()[kept], [want[k] for k in kept], dtype, [sizes[k] for k in kept])
        assert errors <= bound


@each_dtype
@each_count
def test_softmax_of_rows(classes, dtype):
    z, rows, _, _ = sample(classes, dtype)
    small = float(np.finfo(dtype).tiny) * 2.0**10
    got, want = cecore.softmax(z).ravel(), [p for row in rows for p in row.p]
    kept = [k for k, p in enumerate(want) if p > small]
    assert worst(got[kept], [want[k] for k in kept], dtype) <= 4
    assert worst(cecore.log_softmax(z), [-v for row in rows for v in row.loss], dtype) <= 4


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
    assert cecore.cross_entropy_with_logits(z, [0, 1, 0]) == pytest.approx(np.log(2), rel=4 * float(np.finfo(dtype).eps))
    z = np.random.default_rng(0).integers(-9, 9, (70, 60)).astype(dtype)
    labels = np.arange(70) % 60
    loss = cecore.CrossEntropyWithLogits(reduction="none")
    near, far = loss.forward_backward(z, labels), loss.forward_backward(z + offset, labels)
    for one, other in zip(near, far, strict=True):
        np.testing.assert_allclose(one, other, rtol=8 * np.finfo(dtype).eps)
