"""The definition of every loss in high precision: value, gradient and Hessian diagonal, with all options.

Slow and plain on purpose: each number becomes an exact mpmath number, and the formulas stand as documented.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from mpmath import inf, isinf, isnan, log, log1p, mp, mpf, nan

mp.dps = 60


class Result(NamedTuple):
    value: Any  # an object array for reduction "none"
    gradient: np.ndarray  # of the reduced loss, times upstream
    first: np.ndarray  # weighted derivatives of each loss, never divided by a count
    second: np.ndarray


def real(number: Any) -> mpf:
    return mpf(float(number)) if not isinstance(number, (int, np.integer)) else mpf(int(number))


def times(tau: mpf, factor: mpf) -> mpf:  # 0 * inf = 0
    return mpf(0) if tau == 0 else tau * factor


def difference(a: mpf, b: mpf) -> mpf:  # 0 where only the rounding of the working precision is left
    return mpf(0) if abs(a - b) < abs(a) * mpf(10) ** -45 else a - b


Pair = tuple[mpf, mpf]  # a probability and its complement: 1 - 5e-324 has no room in the working precision


def clipped(pair: Pair, eps: mpf) -> tuple[Pair, bool]:  # and whether it was outside
    if pair[0] < eps:
        return (eps, 1 - eps), True
    return ((1 - eps, eps), True) if pair[1] < eps else (pair, False)


def on_probabilities(pairs: list[Pair], tau: list[mpf], eps: float, cut: bool) -> tuple[mpf, list[mpf], list[mpf]]:
    """The loss and its derivatives by each p_k."""
    loss, first, second = mpf(0), [], []
    for pair, tau_k in zip(pairs, tau, strict=True):
        (q, rest), outside = clipped(pair, mpf(eps))
        loss += times(tau_k, inf if q == 0 else -log(q) if q < 0.5 else -log1p(-rest))
        kept = mpf(0) if outside and cut else tau_k
        first.append(times(kept, -1 / q if q != 0 else -inf))
        second.append(times(kept, 1 / q**2 if q != 0 else inf))
    return loss, first, second


def log_softmax(z: list[mpf]) -> list[mpf]:
    top = max(z) if not any(isnan(v) for v in z) else nan
    if isnan(top) or top == -inf or sum(v == inf for v in z) > 1:
        return [nan] * len(z)
    if top == inf:
        return [mpf(0) if v == inf else -inf for v in z]
    total = log(sum(mp.exp(v - top) for v in z))
    return [v - top - total if not isinf(v) else -inf for v in z]


def on_logits(z: list[mpf], tau: list[mpf], gamma: float) -> tuple[mpf, list[mpf], list[mpf]]:
    """The loss and its derivatives by each z_j, from psi(l) = -(1 - exp(l))^gamma l at l = log p_k."""
    logs, g = log_softmax(z), mpf(gamma)
    p = [mp.exp(v) if v != -inf else mpf(0) for v in logs]
    loss, first, second = mpf(0), [mpf(0)] * len(z), [mpf(0)] * len(z)
    for k, (log_p, p_k, tau_k) in enumerate(zip(logs, p, tau, strict=True)):
        if tau_k == 0:
            continue
        r, pl = 1 - p_k, (p_k * log_p if p_k != 0 else mpf(0))
        focus = r**g if r != 0 or g else mpf(1)
        loss += tau_k * focus * -log_p if focus != 0 else 0
        slope, bend = -focus, mpf(0)
        if g and r != 0:
            slope += g * r ** (g - 1) * pl
            bend = g * r ** (g - 2) * (pl * (r - (g - 1) * p_k) + 2 * r * p_k)
        for j in range(len(z)):
            by_j = (j == k) - p[j]
            first[j] += tau_k * slope * by_j
            second[j] += tau_k * (bend * by_j**2 - slope * p[j] * (1 - p[j]))
    return loss, first, second


def distribution(target: Any, classes: int, binary: bool) -> list[mpf]:
    if binary:
        return [1 - real(target), real(target)]
    return [mpf(k == int(target)) for k in range(classes)] if np.ndim(target) == 0 else [real(t) for t in target]


def evaluate(
    x: Any,
    targets: Any,
    *,
    binary: bool,
    logits: bool = False,
    sample_weight: Any = None,
    upstream: Any = 1.0,
    reduction: str = "mean",
    mean_over: str = "weights",
    label_smoothing: float = 0.0,
    eps: float = 1e-7,
    gradient_outside: str = "clipped",
    pos_weight: Any = None,
    class_weight: Any = None,
    ignore_index: int | None = None,
    axis: int = -1,
    focal_gamma: float = 0.0,
) -> Result:
    x, targets = np.asarray(x), np.asarray(targets)
    rows = x if binary else np.moveaxis(x, axis, -1)
    aligned = np.moveaxis(targets, axis, -1) if not binary and targets.ndim == x.ndim else targets
    shape = rows.shape if binary else rows.shape[:-1]
    weights = np.ones(shape) if sample_weight is None else np.broadcast_to(sample_weight, shape)
    losses = np.empty(shape, object)
    first, second, divisor = np.empty(rows.shape, object), np.empty(rows.shape, object), mpf(0)
    for i in np.ndindex(shape):
        w, ignored = real(weights[i]), ignore_index is not None and aligned[i] == ignore_index
        if w == 0 or ignored:
            losses[i] = first[i] = second[i] = mpf(0)
            divisor += not ignored and mean_over == "count"
            continue
        count = 2 if binary else rows.shape[-1]
        t = distribution(aligned[i], count, binary)
        v = np.ones(count) if class_weight is None else class_weight
        v = [1, 1 if pos_weight is None else np.broadcast_to(pos_weight, shape)[i]] if binary else v
        v = [real(v_k) for v_k in v]
        a = mpf(label_smoothing)
        tau = [w * v_k * ((1 - a) * t_k + a / count) for v_k, t_k in zip(v, t, strict=True)]
        weighted = sum(v_k * t_k for v_k, t_k in zip(v, t, strict=True)) if class_weight is not None else 1
        divisor += 1 if mean_over == "count" else w * weighted
        if logits:
            z = [mpf(0), real(rows[i])] if binary else [real(v_k) for v_k in rows[i]]
            losses[i], one, two = on_logits(z, tau, focal_gamma)
            first[i], second[i] = (one[1], two[1]) if binary else (one, two)
        else:
            pairs = [(real(v_k), 1 - real(v_k)) for v_k in ([rows[i]] if binary else rows[i])]
            pairs = [pairs[0][::-1], pairs[0]] if binary else pairs
            losses[i], one, two = on_probabilities(pairs, tau, eps, gradient_outside == "zero")
            first[i], second[i] = (difference(one[1], one[0]), two[0] + two[1]) if binary else (one, two)
    total = sum(losses.reshape(-1), mpf(0))
    scale = np.broadcast_to(np.frompyfunc(real, 1, 1)(upstream), shape)
    if reduction == "mean":
        total, scale = (total / divisor, scale / divisor) if divisor != 0 else (nan, scale * 0)
    scaled = np.frompyfunc(times, 2, 1)(first, scale if binary else scale[..., None])
    scaled, first, second = (a if binary else np.moveaxis(a, -1, axis) for a in (scaled, first, second))
    return Result(losses if reduction == "none" else total, scaled, first, second)
