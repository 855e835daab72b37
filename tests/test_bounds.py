"""Nothing is read or written before the first or after the last byte of an array, of any dtype, layout and length."""

from __future__ import annotations

import ctypes
import mmap
import sys
from itertools import product

import numpy as np
import pytest
from registry import BLOCK, LOSSES

import cecore

pytestmark = [
    pytest.mark.usefixtures("level"),
    pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect"),
    pytest.mark.thread_unsafe(reason="the memory is shared"),
]
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)

LENGTHS = [*range(68), BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 3]  # every rest of a vector and of a block
ROWS = [1, 3, 4, 65]
CLASSES = [*range(1, 10), 15, 16, 17, 24, 25, 32, 33, 47, 48, 49, 64, 65, 100]
PREDICTIONS = [np.float64, np.float32, np.float16, np.longdouble]
TARGETS = [*PREDICTIONS, *map(np.dtype, "?bBhHiIlLqQ")]


class Guarded:
    """Memory between two pages that nobody may touch."""

    def __init__(self, size):
        page = mmap.PAGESIZE
        self.stop = page + (size + page - 1) // page * page
        self.start = page
        self.memory = mmap.mmap(-1, self.stop + page)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        for place in (address, address + self.stop):
            if ctypes.CDLL(None, use_errno=True).mprotect(ctypes.c_void_p(place), page, 0):
                raise OSError(ctypes.get_errno(), "mprotect")

    def copy(self, values, at_end):
        """The values at the very end of the memory, or at its very start."""
        offset = self.stop - values.nbytes if at_end else self.start
        place = np.frombuffer(self.memory, values.dtype, values.size, offset).reshape(values.shape)
        place[...] = values
        return place

    def array(self, values, layout, at_end):
        """The values in another layout of memory, whose first and last number are its ends."""
        if layout == "strided":
            spread = np.full((*values.shape[:-1], max(2 * values.shape[-1] - 1, 0)), 77).astype(values.dtype)
            spread[..., ::2] = values
            return self.copy(spread, at_end)[..., ::2]
        if layout == "reversed":
            back = (slice(None, None, -1),) * values.ndim
            return self.copy(values[back], at_end)[back]
        if layout == "columns":
            return self.copy(values.T, at_end).T
        if layout == "swapped":
            values = values.astype(values.dtype.newbyteorder())
        return self.copy(values, at_end)


LAYOUTS = ["plain", "strided", "reversed", "columns", "swapped"]
PLACES = [Guarded(1 << 18) for _ in range(6)] if sys.platform != "win32" else []


def dtypes():
    """Every dtype of the predictions with every dtype of the targets."""
    yield from product(PREDICTIONS, TARGETS)
    ml_dtypes = pytest.importorskip("ml_dtypes")
    yield from product([ml_dtypes.bfloat16], [np.int64, np.float32, ml_dtypes.bfloat16])


@pytest.mark.parametrize("at_end", [True, False], ids=["end", "start"])
@pytest.mark.parametrize("layout", LAYOUTS)
@each_loss
def test_losses(loss, layout, at_end):
    rng = np.random.default_rng(0)
    if loss.binary:
        cases = [(n, 1, *pair) for i, n in enumerate(LENGTHS) for pair in list(dtypes())[i % 3 :: 3]]
    else:
        shapes = list(product(ROWS, CLASSES))
        cases = [(*shape, *pair) for i, shape in enumerate(shapes) for pair in list(dtypes())[i % 5 :: 5]]
    made, none = loss.kind(), loss.kind(reduction="none")
    for n, classes, dtype, target in cases:
        shape = (n,) if loss.binary else (n, classes)
        x = np.zeros(shape, dtype) if classes == 1 and not loss.binary else loss.predictions(rng, n, dtype, classes)
        if classes == 1 and not loss.binary and not loss.logits:
            x[...] = 1
        soft = np.dtype(target).kind not in "iub"
        t = loss.soft(rng, n, np.float64, classes) if soft else loss.hard(rng, n, classes)
        if np.dtype(target) == bool:
            t = t % 2 if loss.binary or classes > 1 else t * 0
        computed = np.float64 if dtype == np.longdouble else dtype
        given = (x, t.astype(target), rng.random(n).astype(dtype))
        outputs = (np.zeros(shape, computed), np.zeros(shape, computed), np.zeros(n, computed))
        arrays = zip(PLACES, (*given, *outputs), strict=True)
        p, t, w, gradient, hessian, value = [place.array(array, layout, at_end) for place, array in arrays]
        made.forward(p, t, sample_weight=w)
        made.backward(p, t, out=gradient)
        none.forward_backward(p, t, sample_weight=w, loss_out=value, gradient_out=gradient)
        none.gradient_hessian(p, t, gradient_out=gradient, hessian_out=hessian)
        none.backward(p, t, upstream=w, out=gradient)


@pytest.mark.parametrize("at_end", [True, False], ids=["end", "start"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_activations(layout, at_end):
    rng = np.random.default_rng(0)
    shapes = [(n,) for n in LENGTHS[1:]] + list(product(ROWS, CLASSES))
    for shape, dtype in product(shapes, PREDICTIONS):
        computed = np.float64 if dtype == np.longdouble else dtype
        values = rng.normal(size=shape).astype(dtype), rng.random(shape).astype(dtype), np.zeros(shape, computed)
        z, s, out = (place.array(v, layout, at_end) for place, v in zip(PLACES[:3], values, strict=True))
        for function in (cecore.sigmoid, cecore.log_sigmoid, cecore.softmax, cecore.log_softmax):
            function(z, out=out)
        cecore.softmax_backward(z, s, out=out)
        cecore.sigmoid_backward(z, s, out=out)
