"""Check results before they are timed: against the definition in high precision, and against the results of cecore."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from mpmath import mpf
from reference import evaluate, softmax

from .cells import HALF, Cell, Problem
from .contestants import Contestant
from .peers import Skip
from .peers.numpy_peer import formula

ELEMENTS = 1000  # elements of the array on which results are checked, or one row if it is longer
MOST_CLASSES = {True: 100, False: 32}  # with labels or not: the time of the reference grows with the square
FAR = 1e-2  # two results agree loosely if they differ by less, relative to the element or to the median
SELDOM = 1e-5  # this fraction of the elements can differ by more, because peers clip differently or not at all
PARTS = {  # the parts of the result of a method, by the names of the reference
    "forward": ("value",),
    "function": ("value",),
    "backward": ("gradient",),
    "forward_backward": ("value", "gradient"),
    "gradient_hessian": ("first", "second"),
}


def parts(result: Any) -> list[np.ndarray]:
    """Return the parts of the result of any library as arrays; half types as float32."""
    return [_array(part) for part in (result if isinstance(result, tuple) else (result,))]


def _array(part: Any) -> np.ndarray:
    if hasattr(part, "detach"):  # a tensor; NumPy cannot convert one in bfloat16
        part = part.detach()
        part = part.float() if part.element_size() == 2 else part
    array = np.asarray(part)
    return array.astype(np.float32) if array.dtype.name in HALF else array


def check(cell: Cell, size: int, dtype: str, layout: str, contestant: Contestant, threads: int) -> None:
    """Raise Skip if the result on a small array is wrong, or if there is no result."""
    head, names = cell.problem(size, dtype, layout), PARTS[cell.method]
    wanted = expected(cell, size, dtype, layout)
    room = 2 if "focal_gamma" in cell.loss_options else 1  # its documented bounds are wider
    got = parts(attempted(attempted(contestant.bind, cell, head, threads)))
    for name, part, right in zip(names, got, wanted, strict=True):
        error = worst(part, right, least(cell, contestant))
        if not error <= room * contestant.tolerance(part, head.x.dtype):  # NaN is wrong too
            raise Skip(f"wrong {name}: off by {error:.1e}")


def least(cell: Cell, contestant: Contestant) -> float:
    """Return the share of the largest element to which the errors of smaller elements are relative."""
    if cell.form in HALF or cell.targets == "upstream":  # small results are subnormal, or differences
        return 1
    if cell.targets in ("soft", "blocks") or cell.options:  # derivatives are differences, which can be small
        return 0.1
    return 0 if contestant.relative or not cell.logits else 0.1


def attempted(call: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result of the call, or raise Skip with the name of its exception."""
    try:
        return call(*arguments)
    except Skip:
        raise
    except Exception as error:
        raise Skip(f"raises {type(error).__name__}") from error


@lru_cache(maxsize=8)
def expected(cell: Cell, size: int, dtype: str, layout: str) -> list[np.ndarray]:
    """Return the parts of the right result, rounded to float64.

    With many classes, the NumPy formula in long double replaces the reference.
    """
    problem = cell.problem(size, dtype, layout)
    if cell.classes > MOST_CLASSES[cell.labels and "smoothing" not in cell.options]:
        wide = replace(problem, x=problem.x.astype(np.longdouble), outputs=())
        return [np.array(part, float) for part in parts(formula(cell)(wide))]
    if cell.activation:
        return [activated(cell.job, problem)]
    result = evaluate(
        problem.x,
        problem.targets,
        binary=cell.loss.binary,
        logits=cell.loss.logits,
        sample_weight=problem.weights,
        **cell.loss_options,
    )
    return [np.asarray(getattr(result, name), float) for name in PARTS[cell.method]]


def activated(job: str, problem: Problem) -> np.ndarray:
    x = problem.x
    if job == "softmax_backward":
        return np.array([backward(u, s) for u, s in zip(problem.targets, x, strict=True)])
    rows = np.stack([np.zeros_like(x), x], axis=-1) if job == "sigmoid" else x
    exact = [softmax([mpf(float(v)) for v in row]) for row in rows]
    if job == "sigmoid":
        return np.array([float(row[1][0]) for row in exact])
    return np.array([[float(p[2 if job == "log_softmax" else 0]) for p in row] for row in exact])


def backward(upstream: np.ndarray, softmax: np.ndarray) -> list[float]:
    pairs = [(mpf(float(u)), mpf(float(s))) for u, s in zip(upstream, softmax, strict=True)]
    mean = sum(u * s for u, s in pairs)
    return [float(s * (u - mean)) for u, s in pairs]


def worst(got: np.ndarray, wanted: np.ndarray, least: float) -> float:
    """Return the largest relative error; it is infinite if an element should be 0 and is not.

    Errors of elements smaller than `least` times the largest element are relative to that bound.
    """
    same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
    error, size = np.where(same, 0.0, np.abs(got - wanted)), np.abs(wanted)
    size = np.where(same, 1.0, np.maximum(size, least * np.nanmax(size, initial=0)))
    return float(np.divide(error, size, out=np.where(error == 0, 0.0, np.inf), where=size != 0).max())


def agree(got: list[np.ndarray], ours: list[np.ndarray]) -> bool:
    """Return whether a whole result agrees with cecore's, loosely and nearly everywhere."""
    for part, right in zip(got, ours, strict=True):
        scale = np.abs(right.reshape(-1)[:100_000])
        close = np.isclose(part, right, FAR, FAR * float(np.nanmedian(scale)) if scale.size else 0, equal_nan=True)
        if np.count_nonzero(close) < close.size * (1 - SELDOM) - 1 * (close.size > 1000):
            return False
    return True
