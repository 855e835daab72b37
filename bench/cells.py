"""What is measured: one row of `CELLS` is one call of one loss on one kind of data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from registry import LOSSES, Loss

from . import formulas

CLASSES = 10
DTYPES = ("float64", "float32")
SIZE = 10_000_000
BINARY, CATEGORICAL, BINARY_LOGITS, ROW_LOGITS = LOSSES


@dataclass(frozen=True)
class Problem:
    """The arrays of one call; all of them have been written to."""

    probs: np.ndarray
    targets: np.ndarray
    weights: np.ndarray | None
    outputs: dict[str, np.ndarray]

    def head(self, rows: int) -> Problem:
        """The same call on the first rows."""
        weights = None if self.weights is None else self.weights[:rows]
        outputs = {name: output[:rows] for name, output in self.outputs.items()}
        return Problem(self.probs[:rows], self.targets[:rows], weights, outputs)


Targets = Callable[[Loss, np.random.Generator, int, Any, int], np.ndarray]


def hard_floats(loss: Loss, rng: np.random.Generator, rows: int, dtype: Any, classes: int) -> np.ndarray:
    return loss.hard(rng, rows, classes).astype(dtype)


def int8_labels(loss: Loss, rng: np.random.Generator, rows: int, dtype: Any, classes: int) -> np.ndarray:
    return loss.hard(rng, rows, classes).astype(np.int8)


def labels(loss: Loss, rng: np.random.Generator, rows: int, dtype: Any, classes: int) -> np.ndarray:
    return loss.hard(rng, rows, classes)


def soft(loss: Loss, rng: np.random.Generator, rows: int, dtype: Any, classes: int) -> np.ndarray:
    return loss.soft(rng, rows, dtype, classes)


def one_hot(loss: Loss, rng: np.random.Generator, rows: int, dtype: Any, classes: int) -> np.ndarray:
    return np.eye(classes, dtype=dtype)[loss.hard(rng, rows, classes)]


@dataclass(frozen=True)
class Cell:
    """A method of a loss (or ``"function"``), its data, and what it is compared with."""

    name: str
    loss: Loss
    method: str
    targets: Targets
    formula: Callable[[Problem], Any]
    outputs: tuple[str, ...] = ()  # keywords of preallocated outputs, all of the predictions' shape
    reduction: str = "mean"
    weighted: bool = False
    floor: bool = True  # whether a plain pass over memory moves the same bytes
    size: int | None = None  # in place of the run's: a fixed number of elements, reported per call
    classes: int = CLASSES

    def rows(self, size: int) -> int:
        return size if self.loss.binary else max(size // self.classes, 1)

    def problem(self, size: int, dtype: Any) -> Problem:
        """Random data of a number of elements."""
        rng = np.random.default_rng(0)
        rows = self.rows(size)
        probs = self.loss.predictions(rng, rows, dtype, self.classes)
        targets = self.targets(self.loss, rng, rows, dtype, self.classes)
        weights = rng.random(rows).astype(dtype) if self.weighted else None
        return Problem(probs, targets, weights, {name: np.full_like(probs, 1) for name in self.outputs})


CELLS = [
    Cell("bce forward, hard", BINARY, "forward", hard_floats, formulas.binary_mean),
    Cell("bce forward, int8", BINARY, "forward", int8_labels, formulas.binary_mean),
    Cell("bce forward, soft", BINARY, "forward", soft, formulas.binary_mean),
    Cell("bce forward, weighted", BINARY, "forward", hard_floats, formulas.binary_weighted, weighted=True),
    Cell("bce forward, none", BINARY, "forward", hard_floats, formulas.binary_losses, ("out",), reduction="none"),
    Cell("bce backward, hard", BINARY, "backward", hard_floats, formulas.binary_gradient, ("out",)),
    Cell(
        "bce forward_backward, hard", BINARY, "forward_backward", hard_floats, formulas.binary_both, ("gradient_out",)
    ),
    Cell(
        "bce gradient_hessian, hard",
        BINARY,
        "gradient_hessian",
        hard_floats,
        formulas.binary_derivatives,
        ("gradient_out", "hessian_out"),
    ),
    Cell("ce forward, labels", CATEGORICAL, "forward", labels, formulas.labels_mean, floor=False),
    Cell("ce forward, one-hot", CATEGORICAL, "forward", one_hot, formulas.one_hot_mean),
    Cell(
        "ce forward_backward, labels",
        CATEGORICAL,
        "forward_backward",
        labels,
        formulas.labels_both,
        ("gradient_out",),
        floor=False,
    ),
    Cell(
        "ce forward_backward, one-hot",
        CATEGORICAL,
        "forward_backward",
        one_hot,
        formulas.one_hot_both,
        ("gradient_out",),
    ),
    Cell("bce logits forward, hard", BINARY_LOGITS, "forward", hard_floats, formulas.binary_logits_mean),
    Cell(
        "bce logits forward_backward, hard",
        BINARY_LOGITS,
        "forward_backward",
        hard_floats,
        formulas.binary_logits_both,
        ("gradient_out",),
    ),
    Cell(
        "bce logits gradient_hessian, hard",
        BINARY_LOGITS,
        "gradient_hessian",
        hard_floats,
        formulas.binary_logits_derivatives,
        ("gradient_out", "hessian_out"),
    ),
    *(
        Cell(
            f"ce logits forward_backward, {classes} classes",
            ROW_LOGITS,
            "forward_backward",
            labels,
            formulas.row_logits_both,
            ("gradient_out",),
            floor=False,
            classes=classes,
        )
        for classes in (2, 10, 32, 100, 1000, 50_257)
    ),
    Cell(
        "ce logits forward_backward, soft, 10 classes",
        ROW_LOGITS,
        "forward_backward",
        soft,
        formulas.soft_row_logits_both,
        ("gradient_out",),
    ),
    Cell("bce object, 16 elements", BINARY, "forward", hard_floats, formulas.binary_mean, floor=False, size=16),
    Cell("bce function, 16 elements", BINARY, "function", hard_floats, formulas.binary_mean, floor=False, size=16),
]
