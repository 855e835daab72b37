"""SciPy: the functions of `scipy.special`. Gradients on logits are computed from its sigmoid or softmax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit, log_expit, log_softmax, softmax, xlog1py, xlogy

from ..cells import Cell, Problem
from . import Skip


def bind(cell: Cell, problem: Problem, threads: int) -> Callable[[], Any]:
    x, t, w = problem.x, problem.targets, problem.weights
    if cell.activation:
        if cell.job == "softmax_backward":
            raise Skip("no such function")
        if cell.job == "sigmoid":
            return lambda: expit(x, out=problem.out())
        return {"softmax": lambda: softmax(x, axis=-1), "log_softmax": lambda: log_softmax(x, axis=-1)}[cell.job]
    if not cell.logits:
        return _on_probabilities(cell, x, t, w)
    if cell.results == "in place":
        raise Skip("softmax always makes a new array")
    return _on_binary_logits(cell, problem) if cell.loss.binary else _on_row_logits(cell, x, t)


def _on_probabilities(cell: Cell, x: np.ndarray, t: np.ndarray, w: np.ndarray | None) -> Callable[[], Any]:
    """Return a call that does not clip, because `xlogy` defines 0 log 0 as 0."""
    if cell.method not in ("forward", "function"):
        raise Skip("no gradients on probabilities")
    if cell.job == "ce":
        if cell.labels:
            raise Skip("no function with labels")
        return lambda: -xlogy(t, x).sum() / len(x)

    def losses() -> np.ndarray:
        return -(xlogy(t, x) + xlog1py(1 - t, -x))

    if cell.reduction == "none":
        return losses if w is None else lambda: w * losses()
    return (lambda: losses().mean()) if w is None else lambda: w @ losses() / w.sum()


def _on_binary_logits(cell: Cell, problem: Problem) -> Callable[[], Any]:
    z, y = problem.x, problem.targets

    def losses() -> np.ndarray:
        if cell.hard:
            return -log_expit(np.where(y > 0.5, z, -z))
        return (1 - y) * z - log_expit(z)  # log_expit(-z) = log_expit(z) - z

    def value() -> Any:
        return losses().mean()

    def both() -> tuple[Any, np.ndarray]:
        gradient = expit(z, out=problem.out())
        gradient -= y
        gradient /= len(z)
        return value(), gradient

    def derivatives() -> tuple[np.ndarray, np.ndarray]:
        g, h = problem.outputs or (np.empty_like(z), np.empty_like(z))
        expit(z, out=g)
        np.subtract(1, g, out=h)
        h *= g
        g -= y
        return g, h

    if cell.reduction == "none":
        return losses
    return {"forward": value, "forward_backward": both, "gradient_hessian": derivatives}[cell.method]


def _on_row_logits(cell: Cell, z: np.ndarray, t: np.ndarray) -> Callable[[], Any]:
    at = np.arange(len(z)), t

    def value() -> Any:
        return -log_softmax(z, axis=-1)[at].mean()

    def by_labels() -> tuple[Any, np.ndarray]:
        logs = log_softmax(z, axis=-1)
        loss = -logs[at].mean()
        gradient = np.exp(logs, out=logs)
        gradient[at] -= 1
        gradient /= len(z)
        return loss, gradient

    def by_rows() -> tuple[Any, np.ndarray]:
        logs = log_softmax(z, axis=-1)
        loss = -np.vdot(t, logs) / len(z)
        gradient = np.exp(logs, out=logs)
        gradient *= t.sum(axis=-1, keepdims=True)
        gradient -= t
        gradient /= len(z)
        return loss, gradient

    if cell.method == "forward":
        return value
    return by_labels if cell.labels else by_rows
