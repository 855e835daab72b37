"""Who is measured: one function for each contestant, that binds it to the arrays of a cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from cecore import _dispatch

from .cells import Cell, Problem

FORMULA, FLOOR = "NumPy formula", "memory floor"


@dataclass(frozen=True)
class Contestant:
    name: str
    bind: Callable[[Cell, Problem], Callable[[], Any] | None]  # None: does not take part in the cell
    tolerance: Callable[[Any, np.dtype], float] | None = None  # relative, of a part of the result; None: no check
    select: Callable[[], None] = lambda: None  # called before the timed calls
    relative: bool = False  # right for small gradients too


def bind_cecore(cell: Cell, problem: Problem) -> Callable[[], Any]:
    """The call as a user makes it."""
    loss = cell.loss.kind(reduction=cell.reduction)
    call = cell.loss.function if cell.method == "function" else getattr(loss, cell.method)
    weights = {} if problem.weights is None else {"sample_weight": problem.weights}
    return partial(call, problem.probs, problem.targets, **weights, **problem.outputs)


def bind_formula(cell: Cell, problem: Problem) -> Callable[[], Any]:
    """The formula that people copy."""
    return partial(cell.formula, problem)


def bind_floor(cell: Cell, problem: Problem) -> Callable[[], Any] | None:
    """A plain pass that reads and writes as many bytes."""
    if not cell.floor:
        return None
    return partial(_read_and_write, problem) if cell.outputs else partial(np.dot, *_halves(problem))


def _read_and_write(problem: Problem) -> None:
    first, *others = problem.outputs.values()
    np.add(problem.probs, problem.targets, out=first)
    for output in others:
        output.fill(0)


def _halves(problem: Problem) -> np.ndarray:
    """Two vectors that together hold as many bytes as the inputs."""
    inputs = [array for array in (problem.probs, problem.targets, problem.weights) if array is not None]
    length = sum(array.nbytes for array in inputs) // (2 * problem.probs.itemsize)
    return np.ones((2, length), problem.probs.dtype)


def tight(part: Any, dtype: np.dtype) -> float:
    """1e-14 for a float64 sum; of arrays and of float32, the documented bounds with some room."""
    return 1e-14 if np.ndim(part) == 0 and dtype == np.float64 else 8 * float(np.finfo(dtype).eps)


def loose(part: Any, dtype: np.dtype) -> float:
    """1e-5; of arrays in float32 less, as the formula's 1 - p has rounded a small p away."""
    return 1e-3 if np.ndim(part) and dtype == np.float32 else 1e-5


def cecore_at(level: str) -> Contestant:
    """Cecore, at one instruction-set level."""
    select = partial(setattr, _dispatch, "kernels", _dispatch.usable[level])
    return Contestant(f"cecore/{level}", bind_cecore, tight, select, relative=True)


def contestants(levels: Sequence[str]) -> list[Contestant]:
    return [*map(cecore_at, levels), Contestant(FORMULA, bind_formula, loose), Contestant(FLOOR, bind_floor)]
