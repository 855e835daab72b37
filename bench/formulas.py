"""The NumPy formulas that people copy: clip, logarithms, mean, each step an array."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .cells import Problem

EPS = 1e-7


def _clipped(probs: np.ndarray) -> np.ndarray:
    return np.clip(probs, EPS, 1 - EPS)


def _binary(q: np.ndarray, y: np.ndarray) -> np.ndarray:
    return y * np.log(q) + (1 - y) * np.log(1 - q)


def _binary_gradient(q: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (q - y) / (q * (1 - q))


def binary_mean(problem: Problem) -> float:
    return -_binary(_clipped(problem.probs), problem.targets).mean()


def binary_losses(problem: Problem) -> np.ndarray:
    return -_binary(_clipped(problem.probs), problem.targets)


def binary_weighted(problem: Problem) -> float:
    return np.average(binary_losses(problem), weights=problem.weights)


def binary_gradient(problem: Problem) -> np.ndarray:
    return _binary_gradient(_clipped(problem.probs), problem.targets) / len(problem.probs)


def binary_both(problem: Problem) -> tuple[float, np.ndarray]:
    q, y = _clipped(problem.probs), problem.targets
    return -_binary(q, y).mean(), _binary_gradient(q, y) / len(q)


def binary_derivatives(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    q, y = _clipped(problem.probs), problem.targets
    return _binary_gradient(q, y), y / q**2 + (1 - y) / (1 - q) ** 2


def labels_mean(problem: Problem) -> float:
    q = _clipped(problem.probs)
    return -np.log(q[np.arange(len(q)), problem.targets]).mean()


def labels_both(problem: Problem) -> tuple[float, np.ndarray]:
    q = _clipped(problem.probs)
    at = np.arange(len(q)), problem.targets
    gradient = np.zeros_like(q)
    gradient[at] = -1 / q[at] / len(q)
    return -np.log(q[at]).mean(), gradient


def one_hot_mean(problem: Problem) -> float:
    return -(problem.targets * np.log(_clipped(problem.probs))).sum(axis=-1).mean()


def one_hot_both(problem: Problem) -> tuple[float, np.ndarray]:
    q, t = _clipped(problem.probs), problem.targets
    return -(t * np.log(q)).sum(axis=-1).mean(), -t / q / len(q)


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def _softplus_losses(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))


def binary_logits_mean(problem: Problem) -> float:
    return _softplus_losses(problem.probs, problem.targets).mean()


def binary_logits_both(problem: Problem) -> tuple[float, np.ndarray]:
    z, y = problem.probs, problem.targets
    return _softplus_losses(z, y).mean(), (_sigmoid(z) - y) / len(z)


def binary_logits_derivatives(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    p = _sigmoid(problem.probs)
    return p - problem.targets, p * (1 - p)


def _softmax(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    shifted = z - z.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=-1, keepdims=True)
    return exponentials / total, shifted - np.log(total)


def row_logits_both(problem: Problem) -> tuple[float, np.ndarray]:
    gradient, logs = _softmax(problem.probs)
    at = np.arange(len(logs)), problem.targets
    gradient[at] -= 1
    return -logs[at].mean(), gradient / len(logs)


def soft_row_logits_both(problem: Problem) -> tuple[float, np.ndarray]:
    p, logs = _softmax(problem.probs)
    t = problem.targets
    return -(t * logs).sum(axis=-1).mean(), (p * t.sum(axis=-1, keepdims=True) - t) / len(logs)
