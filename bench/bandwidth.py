"""The bandwidth baseline: plain NumPy passes that read and write the bytes of a cell, with the same number of threads.

The inputs that the writing pass does not read go through `np.dot` of two halves, the fastest plain read.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from .cells import OUTPUTS, Cell, Problem, laid
from .peers import Skip

LEAST = 100_000  # bytes: the overhead of a call dominates the pass over a smaller array
LEAST_SHARED = 10_000_000  # bytes with several threads: here the overhead is the thread pool of Python
Pass = Callable[..., Any]


def bind(cell: Cell, problem: Problem, threads: int) -> Callable[[], Any]:
    if not cell.streams:
        raise Skip("labels choose the bytes that are read, or NumPy has no fast pass over the dtype")
    if problem.x.nbytes < (LEAST if threads == 1 else LEAST_SHARED):
        raise Skip("too small")
    each = cell.reduction == "none" and (cell.classes == 1 or cell.activation)  # a row's loss is a small part
    writes = len(OUTPUTS[cell.method]) if cell.method != "forward" or each else 0
    unread = list(problem.inputs)
    passes: list[tuple[Pass, tuple[np.ndarray, ...]]] = []
    if writes:
        operands = _operands(cell, problem)
        unread = unread[len(operands) :]
        passes.append((np.negative if len(operands) == 1 else np.add, operands))
    strided = not problem.x.flags.c_contiguous
    if unread:
        passes.insert(0, (np.dot, _halves(unread, problem.x.dtype, "strided" if strided else "contiguous")))
    run = partial(_run, passes, writes, problem)
    if threads == 1:
        return partial(run, lambda call, *arrays: call(*arrays), 1)
    pool = ThreadPoolExecutor(threads)
    return partial(run, lambda call, *arrays: list(pool.map(call, *arrays)), threads)


def _operands(cell: Cell, problem: Problem) -> tuple[np.ndarray, ...]:
    """Return what the writing pass reads: the predictions, and also the targets if shape and dtype are the same."""
    x, t = problem.x, problem.targets
    alike = t is not None and (t.shape, t.dtype) == (x.shape, x.dtype)
    return (x, t) if alike else (x,)


def _halves(inputs: list[np.ndarray], dtype: np.dtype, layout: str) -> tuple[np.ndarray, np.ndarray]:
    """Return two vectors that together have as many bytes as the inputs."""
    length = sum(array.nbytes for array in inputs) // (2 * dtype.itemsize)
    return laid(np.ones(length, dtype), layout), laid(np.ones(length, dtype), layout)


def _run(
    passes: list[tuple[Pass, tuple[np.ndarray, ...]]], writes: int, problem: Problem, spread: Callable, threads: int
) -> None:
    outputs = problem.outputs or tuple(problem.out() for _ in range(writes))
    for call, arrays in passes:
        arrays = arrays if call is np.dot else (*arrays, outputs[0])
        spread(call, *(arrays if threads == 1 else [_slices(array, threads) for array in arrays]))
    for output in outputs[1:]:
        spread(np.ndarray.fill, *((output, 0) if threads == 1 else (_slices(output, threads), [0] * threads)))


def _slices(array: np.ndarray, threads: int) -> list[np.ndarray]:
    """Split an array along its first axis, or a single row along its last axis."""
    if array.ndim > 1 and len(array) == 1:
        array = array[0]
    return np.array_split(array, threads)
