"""Results against the definition in high precision: nothing is timed before it is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from reference import evaluate

from .cells import CLASSES, Cell, Problem
from .contestants import Contestant

ELEMENTS = 1000  # at most, of the data of the cell
PARTS = {  # what a method returns, as the reference calls it
    "forward": ("value",),
    "function": ("value",),
    "backward": ("gradient",),
    "forward_backward": ("value", "gradient"),
    "gradient_hessian": ("first", "second"),
}


def check(cell: Cell, problem: Problem, contestants: Sequence[Contestant]) -> None:
    """Leave the program where a contestant's result on the first elements is wrong."""
    head = problem.head(ELEMENTS if cell.loss.binary else ELEMENTS // CLASSES)
    wanted = expected(cell, head)
    for contestant in contestants:
        call = contestant.bind(cell, head)
        if call is None or contestant.tolerance is None:
            continue
        contestant.select()
        result = call()
        for name, got in zip(PARTS[cell.method], result if isinstance(result, tuple) else (result,), strict=True):
            error = worst(got, wanted[name])
            if not error <= contestant.tolerance(got, problem.probs.dtype):  # NaN is wrong too
                raise SystemExit(
                    f"{cell.name}, {problem.probs.dtype}: {name} of {contestant.name} is off by {error:.1e}"
                )


def expected(cell: Cell, problem: Problem) -> dict[str, Any]:
    """The parts of the result, rounded to float64."""
    result = evaluate(
        problem.probs,
        problem.targets,
        binary=cell.loss.binary,
        logits=cell.loss.logits,
        sample_weight=problem.weights,
        reduction=cell.reduction,
    )
    return {name: np.asarray(getattr(result, name), float) for name in PARTS[cell.method]}


def worst(got: Any, wanted: np.ndarray) -> float:
    """The largest relative error; infinite where only one of the two is 0."""
    error, size = np.abs(got - wanted), np.abs(wanted)
    return float(np.divide(error, size, out=np.where(error == 0, 0.0, np.inf), where=size != 0).max())
