"""Results against the definition in high precision, and against cecore's: nothing is timed before it is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from mpmath import mpf
from reference import evaluate, softmax

from .cells import Cell, Problem
from .contestants import Contestant
from .peers import Skip, numpy_peer

ELEMENTS = 1000  # at most, of the data of the cell, but a row at least
MOST_CLASSES = {True: 100, False: 32}  # of the reference with labels or not, whose time grows with their square
FAR = 1e-2  # two results that agree loosely differ by less, relative, or absolute to the median
SELDOM = 1e-5  # but for so few of their elements: peers clip elsewhere, or not
PARTS = {  # what a method returns, as the reference calls it
    "forward": ("value",),
    "function": ("value",),
    "backward": ("gradient",),
    "forward_backward": ("value", "gradient"),
    "gradient_hessian": ("first", "second"),
}


def parts(result: Any) -> list[np.ndarray]:
    """Of any library, as arrays."""
    several = result if isinstance(result, tuple) else (result,)
    return [np.asarray(part.detach() if hasattr(part, "detach") else part) for part in several]


def check(cell: Cell, head: Problem, wanted: list[np.ndarray], contestant: Contestant, threads: int) -> None:
    """Raise Skip where the result on the first elements is wrong, or there is none."""
    names = PARTS[cell.method]
    got = parts(attempted(attempted(contestant.bind, cell, head, threads)))
    for name, part, right in zip(names, got, wanted, strict=True):
        relative = not cell.logits or (contestant.relative and cell.targets != "soft")
        error = worst(part, right, 0 if relative else 0.1)
        if not error <= contestant.tolerance(part, head.x.dtype):  # NaN is wrong too
            raise Skip(f"wrong {name}: off by {error:.1e}")


def attempted(call: Callable[..., Any], *arguments: Any) -> Any:
    """The result; what it raises is a word."""
    try:
        return call(*arguments)
    except Skip:
        raise
    except Exception as error:
        raise Skip(f"raises {type(error).__name__}") from error


def expected(cell: Cell, problem: Problem) -> list[np.ndarray]:
    """The parts of the result, rounded to float64; of many classes those of the formula in long double."""
    if cell.classes > MOST_CLASSES[cell.labels]:
        wide = replace(problem, x=problem.x.astype(np.longdouble), outputs=())
        return [np.array(part, float) for part in parts(numpy_peer.formula(cell)(wide))]
    if cell.activation:
        return [activated(cell.job, problem.x)]
    result = evaluate(
        problem.x,
        problem.targets,
        binary=cell.loss.binary,
        logits=cell.loss.logits,
        sample_weight=problem.weights,
        reduction=cell.reduction,
    )
    return [np.asarray(getattr(result, name), float) for name in PARTS[cell.method]]


def activated(job: str, x: np.ndarray) -> np.ndarray:
    rows = np.stack([np.zeros_like(x), x], axis=-1) if job == "sigmoid" else x
    exact = [softmax([mpf(float(v)) for v in row]) for row in rows]
    if job == "sigmoid":
        return np.array([float(row[1][0]) for row in exact])
    return np.array([[float(p[2 if job == "log_softmax" else 0]) for p in row] for row in exact])


def worst(got: np.ndarray, wanted: np.ndarray, least: float) -> float:
    """The largest relative error, but of no less than a fraction `least` of the largest; infinite for a wrong 0."""
    same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
    error, size = np.where(same, 0.0, np.abs(got - wanted)), np.abs(wanted)
    size = np.where(same, 1.0, np.maximum(size, least * np.nanmax(size, initial=0)))
    return float(np.divide(error, size, out=np.where(error == 0, 0.0, np.inf), where=size != 0).max())


def agree(got: list[np.ndarray], ours: list[np.ndarray]) -> bool:
    """Whether a whole result is, loosely and nearly everywhere, cecore's."""
    for part, right in zip(got, ours, strict=True):
        scale = np.abs(right.reshape(-1)[:100_000])
        close = np.isclose(part, right, FAR, FAR * float(np.nanmedian(scale)) if scale.size else 0, equal_nan=True)
        if np.count_nonzero(close) < close.size * (1 - SELDOM) - 1 * (close.size > 1000):
            return False
    return True
