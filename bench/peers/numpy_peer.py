"""The NumPy formulas that people copy: clip, logarithms, mean; each step makes an array."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..cells import Cell, Problem
from . import numpy_options

EPS = 1e-7


def bind(cell: Cell, problem: Problem, threads: int) -> Callable[[], Any]:
    return partial(formula(cell), problem)


def formula(cell: Cell) -> Callable[[Problem], Any]:
    if cell.beyond:
        return numpy_options.formula(cell, formula)
    if cell.activation:
        return ACTIVATIONS[cell.job]
    kind = "in place" if cell.results == "in place" else "rows" if cell.targets in ("soft", "one-hot") else "labels"
    method = "none" if cell.reduction == "none" else "forward" if cell.method == "function" else cell.method
    return FORMULAS[cell.job, method] if cell.loss.binary else ROW_FORMULAS[cell.job, method, kind]


def _clipped(probs: np.ndarray) -> np.ndarray:
    return np.clip(probs, EPS, 1 - EPS)


def _mean(losses: np.ndarray, weights: np.ndarray | None) -> Any:
    return losses.mean() if weights is None else np.average(losses, weights=weights)


def _averaged(gradient: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    return gradient / len(gradient) if weights is None else gradient * weights / weights.sum()


def _binary(q: np.ndarray, y: np.ndarray) -> np.ndarray:
    return -(y * np.log(q) + (1 - y) * np.log(1 - q))


def _binary_gradient(q: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (q - y) / (q * (1 - q))


def binary_losses(problem: Problem) -> np.ndarray:
    losses = _binary(_clipped(problem.x), problem.targets)
    return losses if problem.weights is None else losses * problem.weights


def binary_mean(problem: Problem) -> Any:
    return _mean(_binary(_clipped(problem.x), problem.targets), problem.weights)


def binary_gradient(problem: Problem) -> np.ndarray:
    return _averaged(_binary_gradient(_clipped(problem.x), problem.targets), problem.weights)


def binary_both(problem: Problem) -> tuple[Any, np.ndarray]:
    q, y = _clipped(problem.x), problem.targets
    return _mean(_binary(q, y), problem.weights), _averaged(_binary_gradient(q, y), problem.weights)


def binary_derivatives(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    q, y = _clipped(problem.x), problem.targets
    return _binary_gradient(q, y), y / q**2 + (1 - y) / (1 - q) ** 2


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def _softplus_losses(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))


def binary_logits_losses(problem: Problem) -> np.ndarray:
    return _softplus_losses(problem.x, problem.targets)


def binary_logits_mean(problem: Problem) -> Any:
    return _softplus_losses(problem.x, problem.targets).mean()


def binary_logits_both(problem: Problem) -> tuple[Any, np.ndarray]:
    z, y = problem.x, problem.targets
    return _softplus_losses(z, y).mean(), (_sigmoid(z) - y) / len(z)


def binary_logits_derivatives(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    p = _sigmoid(problem.x)
    return p - problem.targets, p * (1 - p)


def labels_mean(problem: Problem) -> Any:
    q = _clipped(problem.x)
    return -np.log(q[np.arange(len(q)), problem.targets]).mean()


def labels_both(problem: Problem) -> tuple[Any, np.ndarray]:
    q = _clipped(problem.x)
    at = np.arange(len(q)), problem.targets
    gradient = np.zeros_like(q)
    gradient[at] = -1 / q[at] / len(q)
    return -np.log(q[at]).mean(), gradient


def rows_mean(problem: Problem) -> Any:
    return -(problem.targets * np.log(_clipped(problem.x))).sum(axis=-1).mean()


def rows_both(problem: Problem) -> tuple[Any, np.ndarray]:
    q, t = _clipped(problem.x), problem.targets
    return -(t * np.log(q)).sum(axis=-1).mean(), -t / q / len(q)


def rows_gradient(problem: Problem) -> np.ndarray:
    return -problem.targets / _clipped(problem.x) / len(problem.x)


def rows_derivatives(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    q, t = _clipped(problem.x), problem.targets
    return -t / q, t / q**2


def _softmax(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    shifted = z - z.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=-1, keepdims=True)
    return exponentials / total, shifted - np.log(total)


def softmax(problem: Problem) -> np.ndarray:
    exponentials = np.exp(problem.x - problem.x.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def log_softmax(problem: Problem) -> np.ndarray:
    shifted = problem.x - problem.x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def softmax_backward(problem: Problem) -> np.ndarray:
    s, upstream = problem.x, problem.targets
    return s * (upstream - (s * upstream).sum(axis=-1, keepdims=True))


def sigmoid(problem: Problem) -> np.ndarray:
    return _sigmoid(problem.x)


def logits_labels_mean(problem: Problem) -> Any:
    z = problem.x
    top = z.max(axis=-1, keepdims=True)
    logs = np.log(np.exp(z - top).sum(axis=-1)) + top[:, 0]
    return (logs - z[np.arange(len(z)), problem.targets]).mean()


def logits_labels_both(problem: Problem) -> tuple[Any, np.ndarray]:
    gradient, logs = _softmax(problem.x)
    at = np.arange(len(logs)), problem.targets
    gradient[at] -= 1
    return -logs[at].mean(), gradient / len(logs)


def logits_rows_both(problem: Problem) -> tuple[Any, np.ndarray]:
    p, logs = _softmax(problem.x)
    t = problem.targets
    return -(t * logs).sum(axis=-1).mean(), (p * t.sum(axis=-1, keepdims=True) - t) / len(logs)


def logits_labels_in_place(problem: Problem) -> tuple[Any, np.ndarray]:
    """Return the sum, not the mean, and the gradient in the memory of the logits."""
    z = problem.x
    at = np.arange(len(z)), problem.targets
    z -= z.max(axis=-1, keepdims=True)
    chosen = z[at]
    np.exp(z, out=z)
    total = z.sum(axis=-1)
    z /= total[:, None]
    z[at] -= 1
    return (np.log(total) - chosen).sum(), z


FORMULAS: dict[tuple[str, str], Callable[[Problem], Any]] = {
    ("bce", "forward"): binary_mean,
    ("bce", "none"): binary_losses,
    ("bce", "backward"): binary_gradient,
    ("bce", "forward_backward"): binary_both,
    ("bce", "gradient_hessian"): binary_derivatives,
    ("bce_logits", "forward"): binary_logits_mean,
    ("bce_logits", "none"): binary_logits_losses,
    ("bce_logits", "forward_backward"): binary_logits_both,
    ("bce_logits", "gradient_hessian"): binary_logits_derivatives,
}
ROW_FORMULAS: dict[tuple[str, str, str], Callable[[Problem], Any]] = {
    ("ce", "forward", "labels"): labels_mean,
    ("ce", "forward_backward", "labels"): labels_both,
    ("ce", "forward", "rows"): rows_mean,
    ("ce", "backward", "rows"): rows_gradient,
    ("ce", "forward_backward", "rows"): rows_both,
    ("ce", "gradient_hessian", "rows"): rows_derivatives,
    ("ce_logits", "forward", "labels"): logits_labels_mean,
    ("ce_logits", "forward_backward", "labels"): logits_labels_both,
    ("ce_logits", "forward_backward", "rows"): logits_rows_both,
    ("ce_logits", "forward_backward", "in place"): logits_labels_in_place,
}
ACTIVATIONS: dict[str, Callable[[Problem], Any]] = {
    "softmax": softmax,
    "log_softmax": log_softmax,
    "softmax_backward": softmax_backward,
    "sigmoid": sigmoid,
}
