"""The cells of the bench: a cell is one call on one kind of data, and `CELLS` holds all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import product
from typing import Any

import numpy as np
from registry import BLOCK, LOSSES, Loss

DTYPES = ("float64", "float32")
LAYOUTS = ("contiguous", "strided")
SIZE = 10_000_000
SIZES = (16, 1_000, 100_000, SIZE, 100_000_000)
ORDINARY_SIZES = (1_000, 100_000, SIZE)
WIDE = (1000, 50_257)
CLASSES = (2, 3, 10, 32, 100, *WIDE)
SEVERAL = (2, 3, 10, 100, 1000)
ACTIVATIONS = ("sigmoid", "softmax", "log_softmax", "softmax_backward")
BINARY_TARGETS = ("hard", "int8", "soft", "weighted", "1 % NaN", "blocks", "subnormals")
SELDOM = ("1 % NaN", "blocks", "subnormals")  # targets that are not an ordinary use
RARE = 100  # one prediction in 100 is NaN or subnormal
HALF = ("float16", "bfloat16") if find_spec("ml_dtypes") else ("float16",)
LISTED = 1000  # elements at most of a cell with lists
COLUMNS = 10  # of a cell with one pos_weight for each column
SIDE = 128  # pixels, at most, of the images of a cell with axis=1
BY_NAME = {loss.name: loss for loss in LOSSES}
OUTPUTS = {  # the keywords of the arrays that a method can write its results to
    "forward": ("out",),
    "backward": ("out",),
    "forward_backward": ("gradient_out",),
    "gradient_hessian": ("gradient_out", "hessian_out"),
}
OPTIONS: dict[str, Callable[[int], dict[str, Any]]] = {  # the options of the loss, for a number of classes
    "weights": lambda classes: {},  # the call gets `sample_weight`
    "class weights": lambda classes: {"class_weight": tuple(1 + np.arange(classes) % 3 / 2)},
    "pos_weight": lambda classes: {"pos_weight": 3.0},
    "pos_weight per column": lambda classes: {"pos_weight": tuple(1 + np.arange(COLUMNS) / 4)},
    "smoothing": lambda classes: {"label_smoothing": 0.1},
    "gamma 2": lambda classes: {"focal_gamma": 2.0},
    "gamma 1.7": lambda classes: {"focal_gamma": 1.7},
}


def dtype_named(name: Any) -> np.dtype:
    """Return the dtype. bfloat16 has one if ml_dtypes is installed."""
    if name != "bfloat16":
        return np.dtype(name)
    from ml_dtypes import bfloat16

    return np.dtype(bfloat16)


def epsilon(dtype: np.dtype) -> float:
    return 2.0**-7 if dtype.name == "bfloat16" else float(np.finfo(dtype).eps)


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

    def lists(self) -> tuple[list[Any], list[Any]]:
        """Return the predictions and the targets as lists."""
        return self.x.tolist(), self.targets.tolist()

    def out(self, index: int = 0) -> np.ndarray:
        """Return the array for a result with the shape of the predictions: the reused one, or a new one."""
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
    options: tuple[str, ...] = ()  # keys of OPTIONS
    form: str = ""  # how the arrays come: one of HALF, "lists", "column" (of two), "axis=1" (images of classes)
    unusual: str = ""  # a key of UNUSUAL: what the rows of logits have

    @property
    def name(self) -> str:
        method = "none" if self.reduction == "none" and self.method == "forward" else self.method
        first = self.job if self.activation else f"{self.job.replace('_', ' ')} {method}"
        several = f"{self.classes:,} classes" if self.classes > 1 else ""
        kind = "" if self.activation or (self.targets == "labels" and self.job == "ce_logits") else self.targets
        return ", ".join(filter(None, (first, kind, several, *self.options, self.unusual, self.form, self.results)))

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

        It cannot if labels choose which probabilities are read, and NumPy has no fast pass over half types.
        """
        chosen = self.job == "ce" and self.labels
        return self.method != "function" and not (chosen or self.form in (*HALF, "lists"))

    @property
    def ordinary(self) -> bool:
        """Return whether the cell is an ordinary use, which the run measures unless it is asked for something else."""
        seldom = self.results in ("fresh", "in place") or self.targets in SELDOM or self.method == "function"
        like_soft = self.targets == "one-hot" and self.classes != 10  # the same calls as with soft targets
        return not (seldom or like_soft or self.unusual or (self.job == "ce" and self.classes > 1000))

    @property
    def beyond(self) -> bool:
        """Return whether only the contestants that know every option take part, unless others say that they do."""
        each_row = self.reduction == "none" and self.classes > 1 and not self.activation
        return bool(self.options or self.form or self.unusual or each_row)

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Return the only dtypes of the cell; nothing if it takes any."""
        return (self.form,) if self.form in HALF else ("float64",) if self.form == "lists" else ()

    @property
    def loss_options(self) -> dict[str, Any]:
        """Return the keywords of the loss."""
        options = {} if self.reduction == "mean" else {"reduction": self.reduction}
        for option in self.options:
            options |= OPTIONS[option](self.classes)
        return {**options, "axis": 1} if self.form == "axis=1" else options

    def rows(self, size: int) -> int:
        rows = max(size // self.classes, 1)
        if "pos_weight per column" in self.options:
            return max(rows // COLUMNS, 1) * COLUMNS
        side = image_side(rows)
        return rows // side**2 * side**2 if self.form == "axis=1" else rows

    def problem(self, size: int, dtype: Any, layout: str = "contiguous") -> Problem:
        """Return random data with the given number of elements."""
        rng = np.random.default_rng(0)
        rows, dtype = self.rows(size), dtype_named(*self.dtypes or (dtype,))
        if self.activation:
            return self._with_outputs(self._activated(rng, rows, dtype, layout), layout)
        x = self.loss.predictions(rng, rows, dtype, self.classes)
        rare = rng.integers(0, rows, max(rows // RARE, 1))
        if self.targets == "1 % NaN":
            x[rare] = np.nan
        if self.targets == "subnormals":
            x[rare] = np.finfo(dtype).tiny / 4
        targets = TARGETS[self.targets](self.loss, rng, rows, dtype, self.classes)
        if self.targets == "masked":
            mask(x, targets, rng, 0.1)
        weighted = self.targets == "weighted" or "weights" in self.options
        weights = rng.random(rows).astype(dtype) if weighted else None
        if self.unusual:
            UNUSUAL[self.unusual](x, targets, rng)
        arrays = [None if a is None else self._shaped(a, rows) for a in (x, targets, weights)]
        arrays = [None if a is None else laid(a, layout) for a in arrays]
        if self.form == "column":
            arrays[0] = np.stack([1 - x, x], axis=1)[:, 1]
        return self._with_outputs(Problem(*arrays), layout)

    def _activated(self, rng: np.random.Generator, rows: int, dtype: np.dtype, layout: str) -> Problem:
        shape = (rows, self.classes) if self.classes > 1 else rows
        x = rng.normal(0, 3, shape)
        if self.job != "softmax_backward":
            return Problem(laid(x.astype(dtype), layout))
        e = np.exp(x)
        softmax = e / e.sum(axis=-1, keepdims=True)
        return Problem(laid(softmax.astype(dtype), layout), laid(rng.normal(0, 1, shape).astype(dtype), layout))

    def _shaped(self, array: np.ndarray, rows: int) -> np.ndarray:
        """Return an array of rows as the cell has it: as images, or as rows of columns."""
        if "pos_weight per column" in self.options:
            return array.reshape(-1, COLUMNS)
        if self.form != "axis=1":
            return array
        side = image_side(rows)
        images = array.reshape(-1, side, side, *array.shape[1:])
        return images if array.ndim == 1 else np.moveaxis(images, -1, 1)

    def _with_outputs(self, problem: Problem, layout: str) -> Problem:
        if self.results == "in place":
            return replace(problem, outputs=(problem.x,))
        keywords = OUTPUTS[self.method] if self.results == "out=" else ()
        each_row = self.method == "forward" and self.classes > 1 and not self.activation
        like = np.ones(len(problem.x), problem.x.dtype) if each_row else np.ones_like(problem.x)
        return replace(problem, outputs=tuple(laid(like, layout) for _ in keywords))


def image_side(rows: int) -> int:
    """Return the side of square images, a power of two, so that at least one image has at most so many pixels."""
    return min(SIDE, 1 << (rows.bit_length() - 1) // 2)


def mask(x: np.ndarray, labels: np.ndarray, rng: np.random.Generator, share: float) -> None:
    """Set a share of the logits to -inf, but never the logit of a label."""
    masked = rng.random(x.shape) < share
    masked[np.arange(len(x)), labels] = False
    x[masked] = -np.inf


def enlarge(x: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> None:
    """Set 2 % of the logits to 1e4 or -1e4."""
    large = rng.random(x.shape) < 0.02
    x[large] = np.copysign(1e4, x[large])


def one_infinite(x: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> None:
    """Set one logit to +inf in 2 % of the rows."""
    rows = np.flatnonzero(rng.random(len(x)) < 0.02)
    x[rows, rng.integers(0, x.shape[1], len(rows))] = np.inf


def scaled(sigma: float) -> Callable[[np.ndarray, np.ndarray, np.random.Generator], None]:
    return lambda x, labels, rng: np.multiply(x, sigma / 3, out=x, casting="same_kind")  # the others have sigma 3


UNUSUAL: dict[str, Callable[[np.ndarray, np.ndarray, np.random.Generator], Any]] = {
    "shifted by 1,000": lambda x, labels, rng: np.add(x, 1000, out=x),
    "sigma 20": scaled(20),
    "sigma 40": scaled(40),
    "sigma 1,000": scaled(1000),
    "2 % large": enlarge,
    "30 % masked": lambda x, labels, rng: mask(x, labels, rng, 0.3),
    "2 % of rows with +inf": one_infinite,
}
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


def every(**parts: Any) -> Iterator[Cell]:
    """Return a cell for each combination of the parts. A tuple has several values of a part; others are single."""
    values = [value if isinstance(value, tuple) else (value,) for value in parts.values()]
    return (Cell(**dict(zip(parts, chosen, strict=True))) for chosen in product(*values))


def with_options(*options: str) -> Any:
    """Return options as one value for `every`: several together if they are joined by " + "."""
    return tuple(tuple(one.split(" + ")) for one in options)


CE_METHODS = ("backward", "forward_backward", "gradient_hessian")
ROWS = (
    every(job="bce", targets=BINARY_TARGETS),
    every(job="bce", targets=BINARY_TARGETS, reduction="none", results=NEW),
    every(job="bce", method=("backward", "forward_backward"), targets=BINARY_TARGETS, results=NEW),
    every(job="bce", method="function", targets="hard"),
    every(job="bce", method="gradient_hessian", targets="hard", results=NEW),
    every(
        job="bce",
        method="forward_backward",
        targets="hard",
        options=with_options("pos_weight", "smoothing"),
        results="out=",
    ),
    every(job="bce", targets="hard", form=("column", "lists", *HALF)),
    every(job="bce_logits", targets=("hard", "soft")),
    every(job="bce_logits", targets="hard", reduction="none", results="out="),
    every(job="bce_logits", method="forward_backward", targets=("hard", "soft"), results=NEW),
    every(job="bce_logits", method="gradient_hessian", targets="hard", results=NEW),
    # masks of images
    every(job="bce_logits", targets=("hard", "soft"), options=with_options("pos_weight")),
    every(
        job="bce_logits",
        method="forward_backward",
        targets=("hard", "soft"),
        options=with_options("pos_weight", "weights + pos_weight"),
        results="out=",
    ),
    every(
        job="bce_logits",
        method="forward_backward",
        targets="hard",
        options=with_options("weights", "pos_weight per column", "smoothing", "gamma 2", "gamma 1.7"),
        results="out=",
    ),
    every(
        job="bce_logits",
        method="gradient_hessian",
        targets="hard",
        options=with_options("weights", "pos_weight", "gamma 2"),
        results="out=",
    ),
    every(job="bce_logits", method="forward_backward", targets="hard", reduction="sum", form=HALF, results="out="),
    every(job="ce", targets="labels", classes=(10, *WIDE)),
    every(job="ce", method="forward_backward", targets="labels", classes=10, results=NEW),
    every(job="ce", targets="one-hot", classes=(*SEVERAL, 50_257)),
    every(job="ce", targets="soft", classes=SEVERAL),
    every(job="ce", method=CE_METHODS, targets=("one-hot", "soft"), classes=SEVERAL, results="out="),
    every(job="ce", method="forward_backward", targets="one-hot", classes=10, results="fresh"),
    every(job="ce", targets="soft", classes=(3, 10, 1000), reduction="none", results="out="),
    every(job="ce_logits", targets="labels", classes=CLASSES),
    every(job="ce_logits", method="forward_backward", targets="labels", classes=CLASSES, results=NEW),
    # The gradient becomes the logits of the next call: the gradient of the sum stays between -1 and 1.
    every(
        job="ce_logits",
        method="forward_backward",
        targets="labels",
        classes=CLASSES,
        reduction="sum",
        results="in place",
    ),
    every(job="ce_logits", method="forward_backward", targets=("soft", "masked"), classes=(10, 1000), results=NEW),
    every(job="ce_logits", method="forward_backward", targets="soft", classes=(2, 3, 100), results="out="),
    every(job="ce_logits", targets="labels", classes=SEVERAL, reduction="none", results="out="),
    every(
        job="ce_logits",
        method="forward_backward",
        targets="labels",
        classes=(3, 100),
        options=with_options("weights", "class weights", "gamma 2", "gamma 1.7"),
        results="out=",
    ),
    every(
        job="ce_logits",
        method="forward_backward",
        targets="labels",
        classes=SEVERAL,
        options=with_options("smoothing"),
        results="out=",
    ),
    every(
        job="ce_logits",
        method="forward_backward",
        targets="labels",
        classes=10,
        reduction="sum",
        form=HALF,
        results="out=",
    ),
    # segmentation
    every(job="ce_logits", targets="labels", classes=(2, 21), form="axis=1"),
    every(job="ce_logits", method="forward_backward", targets="labels", classes=(2, 21), form="axis=1", results="out="),
    every(job="sigmoid", reduction="none", results=NEW),
    every(job=("softmax", "log_softmax"), classes=(10, 1000), reduction="none", results=NEW),
    every(job=("softmax", "log_softmax"), classes=(2, 3, 100), reduction="none", results="out="),
    every(job="softmax_backward", classes=SEVERAL, targets="upstream", reduction="none", results="out="),
)
CELLS = {cell.name: cell for cells in ROWS for cell in cells}
ORDINARY = [name for name, cell in CELLS.items() if cell.ordinary]
