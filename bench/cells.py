"""The cells of the bench: a cell is one call on one kind of data, and `CELLS` holds all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from registry import BLOCK, LOSSES, Loss

DTYPES = ("float64", "float32")
LAYOUTS = ("contiguous", "strided")
SIZE = 10_000_000
SIZES = (16, 1_000, 100_000, SIZE, 100_000_000)
WIDE = (1000, 50_257)
CLASSES = (2, 3, 10, 32, 100, *WIDE)
ACTIVATIONS = ("sigmoid", "softmax", "log_softmax")
BINARY_TARGETS = ("hard", "int8", "soft", "weighted", "1 % NaN", "blocks", "subnormals")
RARE = 100  # one prediction in 100 is NaN or subnormal
BY_NAME = {loss.name: loss for loss in LOSSES}
OUTPUTS = {  # the keywords of the arrays that a method can write its results to
    "forward": ("out",),
    "backward": ("out",),
    "forward_backward": ("gradient_out",),
    "gradient_hessian": ("gradient_out", "hessian_out"),
}


@dataclass(frozen=True)
class Problem:
    """The arrays of one call. All of them have been written to, so that none of their pages is missing."""

    x: np.ndarray
    targets: Any = None
    weights: Any = None
    outputs: tuple[np.ndarray, ...] = ()  # reused in every call; empty if the call makes new arrays

    @property
    def inputs(self) -> list[np.ndarray]:
        return [array for array in (self.x, self.targets, self.weights) if array is not None]

    def out(self, index: int = 0) -> np.ndarray:
        """Return the array for a result: the reused one, or a new one."""
        return self.outputs[index] if self.outputs else np.empty(self.x.shape, self.x.dtype)


def laid(array: np.ndarray, layout: str) -> np.ndarray:
    """Return a copy. A strided copy is every second number along the last axis of an array twice as large."""
    if layout == "contiguous":
        return array.copy()
    view = np.ones((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)[..., ::2]
    view[...] = array
    return view


@dataclass(frozen=True)
class Cell:
    """A method of a loss, or an activation, with the kind of its data and the place of its results."""

    job: str  # the name of a loss in the registry, or an activation
    method: str = "forward"  # or "function": the function of the loss instead of its object
    targets: str = ""  # one of BINARY_TARGETS, or for classes "labels", "masked" (labels), "one-hot" or "soft"
    classes: int = 1
    reduction: str = "mean"
    results: str = ""  # where array results go: "out=", "fresh" or "in place"

    @property
    def name(self) -> str:
        method = "none" if self.reduction == "none" and self.method == "forward" else self.method
        first = self.job if self.job in ACTIVATIONS else f"{self.job.replace('_', ' ')} {method}"
        several = f"{self.classes:,} classes" if self.classes > 1 else ""
        kind = "" if self.targets == "labels" and self.job == "ce_logits" else self.targets
        return ", ".join(filter(None, (first, kind, several, self.results)))

    @property
    def loss(self) -> Loss:
        return BY_NAME[self.job]

    @property
    def activation(self) -> bool:
        return self.job in ACTIVATIONS

    @property
    def logits(self) -> bool:
        return self.activation or self.loss.logits

    @property
    def hard(self) -> bool:
        """Return whether all binary targets are 0 or 1, so that one logarithm per element is enough."""
        return self.targets not in ("soft", "blocks")

    @property
    def labels(self) -> bool:
        """Return whether the targets are class labels."""
        return self.targets in ("labels", "masked")

    @property
    def streams(self) -> bool:
        """Return whether a plain pass over memory can move the same bytes.

        It cannot if labels choose which probabilities are read.
        """
        return self.method != "function" and not (self.job == "ce" and self.labels)

    def rows(self, size: int) -> int:
        return max(size // self.classes, 1)

    def problem(self, size: int, dtype: Any, layout: str = "contiguous") -> Problem:
        """Return random data with the given number of elements."""
        rng = np.random.default_rng(0)
        rows = self.rows(size)
        if self.activation:
            shape = (rows, self.classes) if self.classes > 1 else rows
            return self._with_outputs(Problem(laid(rng.normal(0, 3, shape).astype(dtype), layout)), layout)
        x = self.loss.predictions(rng, rows, dtype, self.classes)
        rare = rng.integers(0, rows, max(rows // RARE, 1))
        if self.targets == "1 % NaN":
            x[rare] = np.nan
        if self.targets == "subnormals":
            x[rare] = np.finfo(dtype).tiny / 4
        targets = TARGETS[self.targets](self.loss, rng, rows, np.dtype(dtype), self.classes)
        if self.targets == "masked":  # a tenth of the classes, but never the class of the label
            masked = rng.random(x.shape) < 0.1
            masked[np.arange(rows), targets] = False
            x[masked] = -np.inf
        weights = laid(rng.random(rows).astype(dtype), layout) if self.targets == "weighted" else None
        return self._with_outputs(Problem(laid(x, layout), laid(targets, layout), weights), layout)

    def head(self, problem: Problem, size: int, layout: str) -> Problem:
        """Return the same call on copies of the first elements."""
        rows = self.rows(size)
        copies = [None if a is None else laid(a[:rows], layout) for a in (problem.x, problem.targets, problem.weights)]
        return self._with_outputs(Problem(*copies), layout)

    def _with_outputs(self, problem: Problem, layout: str) -> Problem:
        if self.results == "in place":
            return replace(problem, outputs=(problem.x,))
        keywords = OUTPUTS[self.method] if self.results == "out=" else ()
        return replace(problem, outputs=tuple(laid(np.ones_like(problem.x), layout) for _ in keywords))


Targets = Callable[[Loss, np.random.Generator, int, np.dtype, int], np.ndarray]


def hard_floats(loss: Loss, rng: np.random.Generator, rows: int, dtype: np.dtype, classes: int) -> np.ndarray:
    return loss.hard(rng, rows, classes).astype(dtype)


def int8_labels(loss: Loss, rng: np.random.Generator, rows: int, dtype: np.dtype, classes: int) -> np.ndarray:
    return loss.hard(rng, rows, classes).astype(np.int8)


def labels(loss: Loss, rng: np.random.Generator, rows: int, dtype: np.dtype, classes: int) -> np.ndarray:
    return loss.hard(rng, rows, classes)


def soft(loss: Loss, rng: np.random.Generator, rows: int, dtype: np.dtype, classes: int) -> np.ndarray:
    return loss.soft(rng, rows, dtype, classes)


def one_hot(loss: Loss, rng: np.random.Generator, rows: int, dtype: np.dtype, classes: int) -> np.ndarray:
    targets = np.zeros((rows, classes), dtype)
    targets[np.arange(rows), loss.hard(rng, rows, classes)] = 1
    return targets


def blocks(loss: Loss, rng: np.random.Generator, rows: int, dtype: np.dtype, classes: int) -> np.ndarray:
    """Return hard and soft targets in alternate blocks: a kernel that expects another block of the same kind is always
    wrong.
    """
    targets = soft(loss, rng, rows, dtype, classes)
    return np.where(np.arange(rows) // BLOCK % 2 == 0, np.round(targets), targets)


TARGETS: dict[str, Targets] = {
    **dict.fromkeys(("hard", "weighted", "1 % NaN", "subnormals"), hard_floats),
    "int8": int8_labels,
    "soft": soft,
    "blocks": blocks,
    "labels": labels,
    "masked": labels,
    "one-hot": one_hot,
}

NEW = ("out=", "fresh")  # results do not overwrite the predictions


def _cells() -> Iterator[Cell]:
    for targets in BINARY_TARGETS:
        yield Cell("bce", "forward", targets)
        for results in NEW:
            yield Cell("bce", "forward", targets, reduction="none", results=results)
            yield Cell("bce", "backward", targets, results=results)
            yield Cell("bce", "forward_backward", targets, results=results)
    yield Cell("bce", "function", "hard")
    yield Cell("bce_logits", "forward", "hard")
    for results in NEW:
        yield Cell("bce", "gradient_hessian", "hard", results=results)
        yield Cell("bce_logits", "forward_backward", "hard", results=results)
        yield Cell("bce_logits", "forward_backward", "soft", results=results)
        yield Cell("bce_logits", "gradient_hessian", "hard", results=results)
    for targets in ("labels", "one-hot"):
        yield from (Cell("ce", "forward", targets, classes) for classes in (10, *WIDE))
        yield from (Cell("ce", "forward_backward", targets, 10, results=results) for results in NEW)
    for classes in CLASSES:
        yield Cell("ce_logits", "forward", "labels", classes)
        yield from (Cell("ce_logits", "forward_backward", "labels", classes, results=results) for results in NEW)
        # The gradient becomes the logits of the next call: the gradient of the sum stays between -1 and 1.
        yield Cell("ce_logits", "forward_backward", "labels", classes, "sum", "in place")
    for classes, results in product((10, 1000), NEW):
        yield Cell("ce_logits", "forward_backward", "soft", classes, results=results)
        yield Cell("ce_logits", "forward_backward", "masked", classes, results=results)
        yield Cell("softmax", "forward", "", classes, "none", results)
        yield Cell("log_softmax", "forward", "", classes, "none", results)
    yield from (Cell("sigmoid", "forward", "", reduction="none", results=results) for results in NEW)


CELLS = {cell.name: cell for cell in _cells()}
