"""Results against the definition in high precision: nothing is timed before it is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from reference import evaluate

from .cells import Cell, Problem, soft
from .contestants import Contestant

ELEMENTS = 1000  # at most, of the data of the cell, but a row at least
MOST_CLASSES = 1000  # of the reference, whose time grows with their square: the formula in long double has more
PARTS = {  # what a method returns, as the reference calls it
    "forward": ("value",),
    "function": ("value",),
    "backward": ("gradient",),
    "forward_backward": ("value", "gradient"),
    "gradient_hessian": ("first", "second"),
}


def check(cell: Cell, problem: Problem, contestants: Sequence[Contestant]) -> None:
    """Leave the program where a contestant's result on the first elements is wrong."""
    head = problem.head(cell.rows(ELEMENTS))
    wanted = expected(cell, head)
    for contestant in contestants:
        call = contestant.bind(cell, head)
        if call is None or contestant.tolerance is None:
            continue
        contestant.select()
        result = call()
        for name, got in zip(PARTS[cell.method], result if isinstance(result, tuple) else (result,), strict=True):
            relative = not cell.loss.logits or (contestant.relative and cell.targets is not soft)
            error = worst(got, wanted[name], 0 if relative else 0.1)
            if not error <= contestant.tolerance(got, problem.probs.dtype):  # NaN is wrong too
                raise SystemExit(
                    f"{cell.name}, {problem.probs.dtype}: {name} of {contestant.name} is off by {error:.1e}"
                )


def expected(cell: Cell, problem: Problem) -> dict[str, Any]:
    """The parts of the result, rounded to float64."""
    if cell.classes > MOST_CLASSES:
        wide = replace(problem, probs=problem.probs.astype(np.longdouble))
        return dict(zip(PARTS[cell.method], cell.formula(wide), strict=True))
    result = evaluate(
        problem.probs,
        problem.targets,
        binary=cell.loss.binary,
        logits=cell.loss.logits,
        sample_weight=problem.weights,
        reduction=cell.reduction,
    )
    return {name: np.asarray(getattr(result, name), float) for name in PARTS[cell.method]}


def worst(got: Any, wanted: np.ndarray, least: float) -> float:
    """The largest relative error, but of no less than a fraction `least` of the largest; infinite for a wrong 0."""
    error, size = np.abs(got - wanted), np.abs(wanted)
    size = np.maximum(size, least * size.max())
    return float(np.divide(error, size, out=np.where(error == 0, 0.0, np.inf), where=size != 0).max())
