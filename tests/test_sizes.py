"""More than 2^31 numbers: windows over a short array, each a number further, which need no memory of that size."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided
from ulp import bits

import cecore

pytestmark = pytest.mark.skipif(sys.maxsize < 2**33, reason="needs 64-bit addresses")


def windows(base, rows, length):
    """Row r is base[r : r + length]."""
    return as_strided(base, (rows, length), 2 * base.strides, writeable=False)


@pytest.mark.parametrize("method", ["sum", "mean"])
def test_elements(method):
    rows, length = 1 << 20, (1 << 11) + 1
    rng = np.random.default_rng(0)
    base = rng.random(rows + length - 1).astype(np.float32)
    labels = rng.integers(0, 2, base.size).astype(np.int8)
    p, t = windows(base, rows, length), windows(labels, rows, length)
    assert p.size > 2**31
    losses = cecore.binary_cross_entropy(base.astype(np.float64), labels, reduction="none")
    times = np.minimum(np.minimum(np.arange(base.size) + 1, length), base.size - np.arange(base.size))
    want = np.dot(losses, times) / (p.size if method == "mean" else 1)
    assert cecore.binary_cross_entropy(p, t, reduction=method) == pytest.approx(want, rel=1e-13)
    base[-1] = 1.5  # the last element alone
    with pytest.raises(ValueError, match=rf"probs\[{rows - 1}, {length - 1}\] = 1.5 is outside"):
        cecore.binary_cross_entropy(p, t)


def test_a_stride_of_zero():
    n = (1 << 31) + 300
    p, t = np.broadcast_to(np.float32(0.25), n), np.broadcast_to(True, n)
    total = cecore.BinaryCrossEntropy().accumulator()
    total.update(p, t)
    assert total.value == cecore.binary_cross_entropy(p, t) == cecore.binary_cross_entropy(p[:256], t[:256])
    assert total.count == n
    assert total.weight == n


@pytest.mark.parametrize("logits", [True, False])
def test_rows(logits):
    rows, classes = 70_000, 32_000
    rng = np.random.default_rng(1)
    base = rng.normal(0, 3, rows + classes - 1) if logits else rng.random(rows + classes - 1)
    base = base.astype(np.float32)
    x, t = windows(base, rows, classes), np.arange(rows) % classes
    assert x.size > 2**31
    kind = cecore.CrossEntropyWithLogits if logits else cecore.CrossEntropy
    losses = kind(reduction="none")(x, t)
    for row in (0, 1, rows // 2, rows - 1):
        assert bits(losses[row]) == bits(kind(reduction="none")(x[row].copy(), t[row]))
    t[-1] = classes
    with pytest.raises(ValueError, match=rf"targets\[{rows - 1}\] = {classes} is not a class"):
        kind().forward(x, t)
