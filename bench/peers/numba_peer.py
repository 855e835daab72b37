"""numba: one compiled loop for each call, with `parallel=True` and `prange` if there are several threads.

The fast-math flags are the ones that preserve NaN and infinity; they let the compiler reorder sums.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import exp, log, log1p
from typing import Any

import numba
import numpy as np
from numba import prange

from ..cells import Cell, Problem

EPS = 1e-7
FLAGS = {"reassoc", "contract", "arcp", "nsz"}
inline = numba.njit(fastmath=FLAGS, inline="always")


def bind(cell: Cell, problem: Problem, threads: int) -> Callable[[], Any]:
    parallel = threads > 1
    numba.set_num_threads(threads)
    if cell.activation or not cell.loss.binary:
        return _rows(cell, problem, parallel)
    return _binary(cell, problem, parallel)


def _compiled(function: Callable[..., Any], parallel: bool) -> Callable[..., Any]:
    return numba.njit(fastmath=FLAGS, parallel=parallel, error_model="numpy")(function)


# ---------------------------------------------------------------- element by element


@inline
def _clipped(p, eps):
    return min(max(p, eps), 1 - eps) if p == p else p


@inline
def hard_value(q, t):
    return -log(q if t == 1 else 1 - q)


@inline
def hard_derivative(q, t):
    return 1 / (1 - t - q)


@inline
def hard_curvature(q, t):
    d = 1 - t - q
    return 1 / (d * d)


@inline
def soft_value(q, t):
    return -(t * log(q) + (1 - t) * log(1 - q))


@inline
def soft_derivative(q, t):
    return (q - t) / (q * (1 - q))


@inline
def logits_value(z, t):
    return max(z, 0) - z * t + log1p(exp(-abs(z)))


@inline
def logits_derivative(z, t):
    e = exp(-abs(z))  # the same as in the value: computed once
    return (1 if z >= 0 else e) / (1 + e) - t


@inline
def logits_curvature(z, t):
    e = exp(-abs(z))
    return e / ((1 + e) * (1 + e))


@inline
def _same(z, eps):
    return z


SCALARS = {  # by the loss, and by whether targets are hard
    ("bce", True): (_clipped, hard_value, hard_derivative, hard_curvature),
    ("bce", False): (_clipped, soft_value, soft_derivative, hard_curvature),
    ("bce_logits", True): (_same, logits_value, logits_derivative, logits_curvature),
    ("bce_logits", False): (_same, logits_value, logits_derivative, logits_curvature),
}


@cache
def _loops(job: str, hard: bool, parallel: bool) -> dict[str, Callable[..., Any]]:
    clip, value, derivative, curvature = SCALARS[job, hard]

    def forward(x, t, w, eps):
        total = 0.0
        for i in prange(x.size):
            loss = value(clip(x[i], eps), t[i])
            total += loss if w is None else w[i] * loss
        return total

    def none(x, t, w, eps, out):
        for i in prange(x.size):
            loss = value(clip(x[i], eps), t[i])
            out[i] = loss if w is None else w[i] * loss

    def backward(x, t, w, eps, scale, out):
        for i in prange(x.size):
            g = derivative(clip(x[i], eps), t[i]) * scale
            out[i] = g if w is None else w[i] * g

    def forward_backward(x, t, w, eps, scale, out):
        total = 0.0
        for i in prange(x.size):
            q = clip(x[i], eps)
            loss, g = value(q, t[i]), derivative(q, t[i]) * scale
            total += loss if w is None else w[i] * loss
            out[i] = g if w is None else w[i] * g
        return total

    def gradient_hessian(x, t, eps, g, h):
        for i in prange(x.size):
            q = clip(x[i], eps)
            g[i] = derivative(q, t[i])
            h[i] = curvature(q, t[i])

    loops = (forward, none, backward, forward_backward, gradient_hessian)
    return {loop.__name__: _compiled(loop, parallel) for loop in loops}


def _binary(cell: Cell, problem: Problem, parallel: bool) -> Callable[[], Any]:
    method = "none" if cell.reduction == "none" else "forward" if cell.method == "function" else cell.method
    loop = _loops(cell.job, cell.hard, parallel)[method]
    x, t, w = problem.x, problem.targets, problem.weights
    number = x.dtype.type
    eps, count = number(EPS), len(x)
    scale = number(1 / count)
    place = _place(problem)

    def forward() -> float:
        return loop(x, t, w, eps) / (count if w is None else w.sum())

    def none() -> np.ndarray:
        out = place()
        loop(x, t, w, eps, out)
        return out

    def backward() -> np.ndarray:
        out = place()
        loop(x, t, w, eps, scale if w is None else number(1 / w.sum()), out)
        return out

    def forward_backward() -> tuple[float, np.ndarray]:
        out = place()
        divisor = count if w is None else w.sum()
        return loop(x, t, w, eps, scale if w is None else number(1 / divisor), out) / divisor, out

    def gradient_hessian() -> tuple[np.ndarray, np.ndarray]:
        g, h = problem.outputs or (problem.out(), problem.out())
        loop(x, t, eps, g, h)
        return g, h

    calls = {"backward": backward, "forward_backward": forward_backward, "gradient_hessian": gradient_hessian}
    return none if cell.reduction == "none" else calls.get(cell.method, forward)


def _place(problem: Problem) -> Callable[[], np.ndarray]:
    """Return a function that gives the array for a result, so that calls do not have to inspect the problem."""
    if not problem.outputs:
        return problem.out
    out = problem.outputs[0]
    return lambda: out


# ---------------------------------------------------------------- row by row


def probs_labels(x, t, scale):
    total = 0.0
    for i in prange(x.shape[0]):
        total -= log(min(max(x[i, t[i]], EPS), 1 - EPS))
    return total


def probs_labels_both(x, t, scale, out):
    total = 0.0
    for i in prange(x.shape[0]):
        q = min(max(x[i, t[i]], EPS), 1 - EPS)
        out[i] = 0
        out[i, t[i]] = -scale / q
        total -= log(q)
    return total


def probs_rows(x, t, scale):
    total = 0.0
    for i in prange(x.shape[0]):
        for k in range(x.shape[1]):
            if t[i, k] != 0:
                total -= t[i, k] * log(min(max(x[i, k], EPS), 1 - EPS))
    return total


def probs_rows_both(x, t, scale, out):
    total = 0.0
    for i in prange(x.shape[0]):
        for k in range(x.shape[1]):
            q = min(max(x[i, k], EPS), 1 - EPS)
            out[i, k] = -t[i, k] * scale / q
            if t[i, k] != 0:
                total -= t[i, k] * log(q)
    return total


def probs_rows_gradient(x, t, scale, out):
    for i in prange(x.shape[0]):
        for k in range(x.shape[1]):
            out[i, k] = -t[i, k] * scale / min(max(x[i, k], EPS), 1 - EPS)


def probs_rows_derivatives(x, t, g, h):
    for i in prange(x.shape[0]):
        for k in range(x.shape[1]):
            q = min(max(x[i, k], EPS), 1 - EPS)
            g[i, k] = -t[i, k] / q
            h[i, k] = t[i, k] / (q * q)


@inline
def _top(row):
    top = row[0]
    for k in range(1, row.size):
        top = max(top, row[k])
    return top


def logits_labels(x, t, scale):
    total = 0.0
    for i in prange(x.shape[0]):
        top, s = _top(x[i]), x.dtype.type(0)
        for k in range(x.shape[1]):
            s += exp(x[i, k] - top)
        total += log(s) + top - x[i, t[i]]
    return total


def logits_labels_both(x, t, scale, out):
    total = 0.0
    for i in prange(x.shape[0]):
        top, chosen, s = _top(x[i]), x[i, t[i]], x.dtype.type(0)
        for k in range(x.shape[1]):
            e = exp(x[i, k] - top)
            out[i, k] = e
            s += e
        factor = scale / s
        for k in range(x.shape[1]):
            out[i, k] *= factor
        out[i, t[i]] -= scale
        total += log(s) + top - chosen
    return total


def logits_rows_both(x, t, scale, out):
    total = 0.0
    for i in prange(x.shape[0]):
        top, s, mass, dot = _top(x[i]), x.dtype.type(0), x.dtype.type(0), x.dtype.type(0)
        for k in range(x.shape[1]):
            e = exp(x[i, k] - top)
            out[i, k] = e
            s += e
            mass += t[i, k]
            dot += t[i, k] * x[i, k]
        factor = scale * mass / s
        for k in range(x.shape[1]):
            out[i, k] = out[i, k] * factor - t[i, k] * scale
        total += mass * (log(s) + top) - dot
    return total


def softmax(x, out):
    for i in prange(x.shape[0]):
        top, s = _top(x[i]), x.dtype.type(0)
        for k in range(x.shape[1]):
            e = exp(x[i, k] - top)
            out[i, k] = e
            s += e
        factor = 1 / s
        for k in range(x.shape[1]):
            out[i, k] *= factor


def log_softmax(x, out):
    for i in prange(x.shape[0]):
        top, s = _top(x[i]), x.dtype.type(0)
        for k in range(x.shape[1]):
            s += exp(x[i, k] - top)
        top += log(s)
        for k in range(x.shape[1]):
            out[i, k] = x[i, k] - top


def softmax_backward(x, upstream, out):
    for i in prange(x.shape[0]):
        dot = x.dtype.type(0)
        for k in range(x.shape[1]):
            dot += x[i, k] * upstream[i, k]
        for k in range(x.shape[1]):
            out[i, k] = x[i, k] * (upstream[i, k] - dot)


def sigmoid(x, out):
    for i in prange(x.shape[0]):
        out[i] = 1 / (1 + exp(-x[i]))


ROW_LOOPS = {
    ("ce", True, False): probs_labels,
    ("ce", True, True): probs_labels_both,
    ("ce", False, False): probs_rows,
    ("ce", False, True): probs_rows_both,
    ("ce_logits", True, False): logits_labels,
    ("ce_logits", True, True): logits_labels_both,
    ("ce_logits", False, True): logits_rows_both,
}


@cache
def _row_loop(loop: Callable[..., Any], parallel: bool) -> Callable[..., Any]:
    return _compiled(loop, parallel)


def _rows(cell: Cell, problem: Problem, parallel: bool) -> Callable[[], Any]:
    x, t, place = problem.x, problem.targets, _place(problem)
    if cell.activation:
        loops = {"softmax": softmax, "log_softmax": log_softmax, "sigmoid": sigmoid}
        loop = _row_loop({**loops, "softmax_backward": softmax_backward}[cell.job], parallel)
        inputs = problem.inputs

        def activation() -> np.ndarray:
            out = place()
            loop(*inputs, out)
            return out

        return activation
    if cell.method in ("backward", "gradient_hessian"):
        return _row_derivatives(cell, problem, parallel)
    loop = _row_loop(ROW_LOOPS[cell.job, cell.labels, cell.method == "forward_backward"], parallel)
    n = len(x) if cell.reduction == "mean" else 1
    scale = x.dtype.type(1 / n)
    if cell.method == "forward":
        return lambda: loop(x, t, scale) / n

    def both() -> tuple[float, np.ndarray]:
        out = place()
        return loop(x, t, scale, out) / n, out

    return both


def _row_derivatives(cell: Cell, problem: Problem, parallel: bool) -> Callable[[], Any]:
    """Return the derivatives on probabilities with a distribution for each row."""
    x, t, place = problem.x, problem.targets, _place(problem)
    if cell.method == "gradient_hessian":
        derivatives = _row_loop(probs_rows_derivatives, parallel)

        def both() -> tuple[np.ndarray, np.ndarray]:
            g, h = problem.outputs or (problem.out(), problem.out())
            derivatives(x, t, g, h)
            return g, h

        return both
    loop, scale = _row_loop(probs_rows_gradient, parallel), x.dtype.type(1 / len(x))

    def backward() -> np.ndarray:
        out = place()
        loop(x, t, scale, out)
        return out

    return backward
