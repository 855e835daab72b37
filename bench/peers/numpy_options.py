"""The NumPy formulas with the options of the losses, and for arrays that come in other forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..cells import HALF, Cell, Problem

EPS = 1e-7
Formula = Callable[[Problem], Any]


def formula(cell: Cell, plain: Callable[[Cell], Formula]) -> Formula:
    """Return the formula of a cell with options or another form. `plain` gives the formula of a cell without them."""
    if cell.form == "lists":
        return from_lists(plain(replace(cell, form="")))
    if cell.form in HALF:
        return in_float32(plain(replace(cell, form="")), cell)
    if cell.form == "axis=1":
        return partial(images, cell)
    if cell.loss.binary and not cell.options:
        return plain(replace(cell, form=""))
    if cell.job == "bce":
        return partial(binary_probabilities, cell)
    if cell.job == "bce_logits":
        return partial(binary_focal if "focal_gamma" in cell.loss_options else binary_logits, cell)
    if cell.reduction == "none":
        return rows_losses if cell.job == "ce" else logits_losses
    return partial(rows_focal if "focal_gamma" in cell.loss_options else rows, cell)


def from_lists(plain: Formula) -> Formula:
    kept: dict[int, tuple[list[Any], list[Any]]] = {}

    def call(problem: Problem) -> Any:
        x, targets = kept.setdefault(id(problem), problem.lists())
        return plain(replace(problem, x=np.asarray(x), targets=np.asarray(targets)))

    return call


def in_float32(plain: Formula, cell: Cell) -> Formula:
    """Compute in float32. For a sum, multiply the gradient of the mean by the number of losses."""

    def call(problem: Problem) -> Any:
        t = problem.targets if cell.labels else problem.targets.astype(np.float32)
        result = plain(replace(problem, x=problem.x.astype(np.float32), targets=t, outputs=()))
        return tuple(part * len(t) for part in result) if cell.reduction == "sum" else result

    return call


# ---------------------------------------------------------------- binary losses


def _mean(losses: np.ndarray, w: np.ndarray | None) -> Any:
    return losses.mean() if w is None else (w * losses).sum() / w.sum()


def _averaged(gradient: np.ndarray, w: np.ndarray | None) -> np.ndarray:
    return gradient / gradient.size if w is None else gradient * (w / w.sum())


def _targets(cell: Cell, problem: Problem) -> tuple[Any, Any]:
    """Return the target of class 1 times `pos_weight`, and the target of class 0."""
    options, t = cell.loss_options, problem.targets
    if "label_smoothing" in options:
        t = t * (1 - options["label_smoothing"]) + options["label_smoothing"] / 2
    return np.asarray(options.get("pos_weight", 1), t.dtype) * t, 1 - t


def binary_probabilities(cell: Cell, problem: Problem) -> Any:
    ones, zeros = _targets(cell, problem)
    q = np.clip(problem.x, EPS, 1 - EPS)
    value = -(ones * np.log(q) + zeros * np.log(1 - q)).mean()
    return value, (zeros / (1 - q) - ones / q) / len(q)


def binary_logits(cell: Cell, problem: Problem) -> Any:
    z, w = problem.x, problem.weights
    ones, zeros = _targets(cell, problem)
    if cell.method == "gradient_hessian":
        p = 1 / (1 + np.exp(-z))
        g, h = p * (ones + zeros) - ones, p * (1 - p) * (ones + zeros)
        return (g, h) if w is None else (w * g, w * h)
    losses = (ones + zeros) * (np.log1p(np.exp(-np.abs(z))) + np.maximum(-z, 0)) + zeros * z
    if cell.method == "forward":
        return _mean(losses, w)
    p = 1 / (1 + np.exp(-z))
    return _mean(losses, w), _averaged(p * (ones + zeros) - ones, w)


def binary_focal(cell: Cell, problem: Problem) -> Any:
    """With labels: q is the probability of the label's class, r = 1 - q."""
    gamma, sign = cell.loss_options["focal_gamma"], 2 * problem.targets - 1
    x = sign * problem.x
    e = np.exp(-np.abs(x))
    q, r = np.where(x > 0, 1, e) / (1 + e), np.where(x > 0, e, 1) / (1 + e)
    loss, factor = np.log1p(e) + np.maximum(-x, 0), r**gamma
    gradient = -sign * factor * (gamma * q * loss + r)
    if cell.method == "gradient_hessian":
        return gradient, factor * q * ((2 * gamma + 1) * r + gamma * loss * (gamma * q - r))
    return (factor * loss).mean(), gradient / len(x)


# ---------------------------------------------------------------- rows


def rows_losses(problem: Problem) -> np.ndarray:
    return -(problem.targets * np.log(np.clip(problem.x, EPS, 1 - EPS))).sum(axis=-1)


def logits_losses(problem: Problem) -> np.ndarray:
    z = problem.x
    top = z.max(axis=-1, keepdims=True)
    logs = np.log(np.exp(z - top).sum(axis=-1)) + top[:, 0]
    return logs - z[np.arange(len(z)), problem.targets]


def _log_softmax(z: np.ndarray, axis: int = -1) -> tuple[np.ndarray, np.ndarray]:
    shifted = z - z.max(axis=axis, keepdims=True)
    e = np.exp(shifted)
    total = e.sum(axis=axis, keepdims=True)
    return e / total, shifted - np.log(total)


def rows(cell: Cell, problem: Problem) -> tuple[Any, np.ndarray]:
    """Labels with smoothing, with sample weights or with class weights."""
    p, logs = _log_softmax(problem.x)
    y, options, w = problem.targets, cell.loss_options, problem.weights
    at = np.arange(len(y)), y
    if "label_smoothing" in options:
        a = options["label_smoothing"]
        value = -((1 - a) * logs[at] + a * logs.mean(axis=-1)).mean()
        p -= a / cell.classes
        p[at] -= 1 - a
        return value, p / len(y)
    w = np.asarray(options["class_weight"], p.dtype)[y] if w is None else w
    p[at] -= 1
    return -(w * logs[at]).sum() / w.sum(), p * (w / w.sum())[:, None]


def rows_focal(cell: Cell, problem: Problem) -> tuple[Any, np.ndarray]:
    p, logs = _log_softmax(problem.x)
    gamma, at = cell.loss_options["focal_gamma"], (np.arange(len(p)), problem.targets)
    loss, q = -logs[at], p[at]
    r = 1 - q
    factor = (r**gamma + gamma * q * r ** (gamma - 1) * loss) / len(p)
    p[at] -= 1
    return (r**gamma * loss).mean(), p * factor[:, None]


def images(cell: Cell, problem: Problem) -> Any:
    """Segmentation: the classes are along axis 1, the labels have one axis less."""
    z, y = problem.x, problem.targets[:, None]
    p, logs = _log_softmax(z, axis=1)
    value = -np.take_along_axis(logs, y, axis=1).mean()
    if cell.method == "forward":
        return value
    np.put_along_axis(p, y, np.take_along_axis(p, y, axis=1) - 1, axis=1)
    return value, p / y.size
