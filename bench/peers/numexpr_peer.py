"""numexpr: expressions over blocks that fit the cache, on its own threads, with results in reused arrays.

Constants are variables with the dtype of the arrays, so that float32 stays float32. numexpr computes the sum of an
expression in one thread. If there are more threads, the terms go to a reused array, and NumPy adds them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numexpr
import numpy as np

from ..cells import Cell, Problem
from . import Skip

Q = "where(x < eps, eps, where(x > top, top, x))"
SOFTPLUS = "where(x > 0, x, 0 * x) - x * t + log1p(exp(-abs(x)))"
SIGMOID = "1 / (1 + exp(-x))"
VALUES = {
    ("bce", True): f"-log(where(t > half, {Q}, 1 - {Q}))",
    ("bce", False): f"-(t * log({Q}) + (1 - t) * log(1 - {Q}))",
    ("bce_logits", True): SOFTPLUS,
    ("bce_logits", False): SOFTPLUS,
}
DERIVATIVES = {
    ("bce", True): f"1 / (1 - t - {Q})",
    ("bce", False): f"({Q} - t) / ({Q} * (1 - {Q}))",
    ("bce_logits", True): f"{SIGMOID} - t",
    ("bce_logits", False): f"{SIGMOID} - t",
}
CURVATURES = {("bce", True): "g * g", ("bce_logits", True): "(g + t) * (1 - t - g)"}


def bind(cell: Cell, problem: Problem, threads: int) -> Callable[[], Any]:
    numexpr.set_num_threads(threads)
    if not cell.activation and cell.loss.binary:
        return _binary(cell, problem, threads)
    if cell.job == "sigmoid":
        return _sigmoid(problem)
    if cell.job == "ce":
        return _on_row_probabilities(cell, problem)
    return _on_row_logits(cell, problem)


def _constants(problem: Problem) -> dict[str, Any]:
    number = problem.x.dtype.type
    arrays = {"x": problem.x, "t": problem.targets, "w": problem.weights}
    scalars = {"eps": number(1e-7), "top": number(1 - 1e-7), "half": number(0.5), "n": number(len(problem.x))}
    return {**arrays, **scalars}


def _evaluate(expression: str, names: dict[str, Any], out: np.ndarray | None = None) -> Any:
    return numexpr.evaluate(expression, names, {}, out=out, casting="same_kind")


def _binary(cell: Cell, problem: Problem, threads: int) -> Callable[[], Any]:
    names, key = _constants(problem), (cell.job, cell.hard)
    value, weighted = VALUES[key], problem.weights is not None
    weighted_value = f"w * ({value})" if weighted else value
    buffer = np.ones_like(problem.x)

    def total() -> Any:
        if threads == 1:
            return _evaluate(f"sum(1.0 * ({weighted_value}))", names)  # in double, for accuracy
        return _evaluate(weighted_value, names, buffer).sum()

    def mean() -> Any:
        return total() / (problem.weights.sum() if weighted else len(problem.x))

    def gradient() -> np.ndarray:
        divisor = problem.x.dtype.type(problem.weights.sum()) if weighted else names["n"]
        derivative = f"w * ({DERIVATIVES[key]})" if weighted else DERIVATIVES[key]
        return _evaluate(f"({derivative}) / divisor", {**names, "divisor": divisor}, problem.out())

    def derivatives() -> tuple[np.ndarray, np.ndarray]:
        g, h = problem.outputs or (problem.out(), problem.out())
        _evaluate(DERIVATIVES[key], names, g)
        return g, _evaluate(CURVATURES[key], {**names, "g": g}, h)

    if cell.reduction == "none":
        return lambda: _evaluate(weighted_value, names, problem.out())
    calls = {"backward": gradient, "gradient_hessian": derivatives, "forward_backward": lambda: (mean(), gradient())}
    return calls.get(cell.method, mean)


def _sigmoid(problem: Problem) -> Callable[[], Any]:
    return lambda: _evaluate(SIGMOID, {"x": problem.x}, problem.out())


def _on_row_probabilities(cell: Cell, problem: Problem) -> Callable[[], Any]:
    if cell.labels:
        raise Skip("no indexing by labels")
    names = _constants(problem)

    def value() -> Any:
        return _evaluate(f"sum(-1.0 * t * log({Q}))", names) / len(problem.x)

    def both() -> tuple[Any, np.ndarray]:
        return value(), _evaluate(f"-t / ({Q} * n)", names, problem.out())

    def backward() -> np.ndarray:
        return _evaluate(f"-t / ({Q} * n)", names, problem.out())

    def derivatives() -> tuple[np.ndarray, np.ndarray]:
        g, h = problem.outputs or (problem.out(), problem.out())
        return _evaluate(f"-t / {Q}", names, g), _evaluate(f"t / ({Q} * {Q})", names, h)

    calls = {"forward": value, "backward": backward, "gradient_hessian": derivatives}
    return calls.get(cell.method, both)


def _on_row_logits(cell: Cell, problem: Problem) -> Callable[[], Any]:
    """NumPy does what numexpr cannot do: the maximum of a row, its sum, and the indexing by labels."""
    z, t, names = problem.x, problem.targets, _constants(problem)
    n = len(z) if cell.reduction == "mean" else 1
    at = (np.arange(len(z)), t) if cell.labels else None
    names["n"] = z.dtype.type(n)

    def exponentials(out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        top = z.max(axis=-1, keepdims=True)
        return top, _evaluate("exp(x - top)", {"x": z, "top": top}, out).sum(axis=-1, keepdims=True)

    buffer = np.ones_like(z) if cell.method == "forward" and not cell.activation else None

    def value() -> Any:
        top, total = exponentials(buffer)
        return (np.log(total) + top - z[at][:, None]).mean()

    def by_labels() -> tuple[Any, np.ndarray]:
        g, chosen = problem.out(), z[at]
        top, total = exponentials(g)
        _evaluate("g / (total * n)", {"g": g, "total": total, "n": names["n"]}, g)
        g[at] -= 1 / n
        return (np.log(total)[:, 0] + top[:, 0] - chosen).sum() / n, g

    def by_rows() -> tuple[Any, np.ndarray]:
        g = problem.out()
        top, total = exponentials(g)
        sums = t.sum(axis=-1, keepdims=True)
        loss = (np.log(total) + top)[:, 0] @ sums[:, 0] - _evaluate("sum(1.0 * t * x)", names)
        _evaluate("(g * (sums / total) - t) / n", {**names, "g": g, "sums": sums, "total": total}, g)
        return loss / n, g

    def softmax() -> np.ndarray:
        g = problem.out()
        _, total = exponentials(g)
        return _evaluate("g / total", {"g": g, "total": total}, g)

    def log_softmax() -> np.ndarray:
        g = problem.out()
        top, total = exponentials(g)
        return _evaluate("x - logs", {"x": z, "logs": np.log(total) + top}, g)

    def softmax_backward() -> np.ndarray:
        dot = _evaluate("x * t", {"x": z, "t": t}, problem.out()).sum(axis=-1, keepdims=True)
        return _evaluate("x * (t - dot)", {"x": z, "t": t, "dot": dot}, problem.out())

    if cell.activation:
        return {"softmax": softmax, "log_softmax": log_softmax, "softmax_backward": softmax_backward}[cell.job]
    if cell.method == "forward":
        return value
    return by_labels if cell.labels else by_rows
