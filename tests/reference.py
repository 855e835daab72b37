"""The definition of every loss in high precision, slow and plain on purpose: all methods, with all options."""

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
    sizes: list[np.ndarray]  # of the last three: the sums of their terms' absolute values


def real(number: Any) -> mpf:
    return mpf(float(number)) if not isinstance(number, (int, np.integer)) else mpf(int(number))


def times(tau: mpf, factor: mpf) -> mpf:  # 0 * inf = 0
    return mpf(0) if tau == 0 else tau * factor


Terms, Pair = list[list[mpf]], tuple[mpf, mpf]  # sums by class; p and 1 - p: 1 - 5e-324 has no room in 60 digits


def clipped(pair: Pair, eps: mpf) -> tuple[Pair, bool]:  # and whether it was outside
    low, high = pair[0] < eps, pair[1] < eps
    return ((eps, 1 - eps) if low else (1 - eps, eps) if high else pair), low or high


def summed(terms: list[mpf]) -> tuple[mpf, mpf]:  # 0 where only the rounding of the working precision is left
    total, size = sum(terms, mpf(0)), sum((abs(term) for term in terms), mpf(0))
    return (mpf(0) if abs(total) < size * mpf(10) ** -45 else total), size


def on_probabilities(pairs: list[Pair], tau: list[mpf], eps: float, cut: bool) -> tuple[mpf, Terms, Terms]:
    """The loss and the terms of its derivatives by each p_k."""
    loss, first, second = mpf(0), [], []
    for pair, tau_k in zip(pairs, tau, strict=True):
        (q, rest), outside = clipped(pair, mpf(eps))
        loss += times(tau_k, inf if q == 0 else -log(q) if q < 0.5 else -log1p(-rest))
        kept = mpf(0) if outside and cut else tau_k
        first.append([times(kept, -1 / q if q != 0 else -inf)])
        second.append([times(kept, 1 / q**2 if q != 0 else inf)])
    return loss, first, second


def softmax(z: list[mpf]) -> list[tuple[mpf, mpf, mpf]]:
    """p, 1 - p and log p of each class, none of them from a difference of others."""
    top = max(z) if not any(isnan(v) for v in z) else nan
    if isnan(top) or top == -inf or sum(v == inf for v in z) > 1:
        return [(nan, nan, nan)] * len(z)
    e = [mpf(1) if v == top else mpf(0) if isinf(top) or v == -inf else mp.exp(v - top) for v in z]
    rests = [sum(e[:k] + e[k + 1 :], mpf(0)) for k in range(len(z))]
    logs = [-log1p(r / q) if q > 0 else -inf for q, r in zip(e, rests, strict=True)]
    return [(q / (q + r), r / (q + r), v) for q, r, v in zip(e, rests, logs, strict=True)]


def on_logits(z: list[mpf], tau: list[mpf], gamma: float) -> tuple[mpf, Terms, Terms]:
    """The loss and the terms of its derivatives by each z_j, from psi(l) = -(1 - exp(l))^gamma l at l = log p_k."""
    classes, g = softmax(z), mpf(gamma)
    loss, first, second = mpf(0), [[mpf(0)] for _ in z], [[mpf(0)] for _ in z]
    for k, ((p_k, r, log_p), tau_k) in enumerate(zip(classes, tau, strict=True)):
        if tau_k == 0:
            continue
        pl = p_k * log_p if p_k != 0 else mpf(0)
        focus = r**g if r != 0 or g else mpf(1)
        loss += tau_k * focus * -log_p if focus != 0 else 0
        slope, bends = -focus, [mpf(0)]
        if g and r != 0:
            slope += g * r ** (g - 1) * pl
            bends = [g * r ** (g - 2) * pl * (r - (g - 1) * p_k), 2 * g * r ** (g - 1) * p_k]
        for j, (p_j, r_j, _) in enumerate(classes):
            by_j = r_j if j == k else -p_j
            first[j].append(tau_k * slope * by_j)
            second[j] += [*(tau_k * bend * by_j**2 for bend in bends), -tau_k * slope * p_j * r_j]
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
    losses, divisor, count = np.empty(shape, object), mpf(0), 2 if binary else rows.shape[-1]
    first, second, first_size, second_size = (np.empty(rows.shape, object) for _ in range(4))
    for i in np.ndindex(shape):
        w, ignored = real(weights[i]), ignore_index is not None and aligned[i] == ignore_index
        if w == 0 or ignored:
            losses[i] = first[i] = second[i] = first_size[i] = second_size[i] = mpf(0)
            divisor += not ignored and mean_over == "count"
            continue
        t = distribution(aligned[i], count, binary)
        v = [real(v_k) for v_k in (np.ones(count) if class_weight is None else class_weight)]
        v = [mpf(1), v[1] if pos_weight is None else real(np.broadcast_to(pos_weight, shape)[i])] if binary else v
        smoothed = [(1 - mpf(label_smoothing)) * t_k + mpf(label_smoothing) / count for t_k in t]
        tau = [times(w * v_k, s_k) for v_k, s_k in zip(v, smoothed, strict=True)]
        weighted = class_weight is not None and any(v_k != 1 for v_k in v)
        divisor += 1 if mean_over == "count" else w * (sum(map(times, v, t)) if weighted else 1)
        if logits:
            z = [mpf(0), real(rows[i])] if binary else [real(v_k) for v_k in rows[i]]
            losses[i], one, two = on_logits(z, tau, focal_gamma)
            one, two = ([one[1]], [two[1]]) if binary else (one, two)
        else:
            pairs = [(real(v_k), 1 - real(v_k)) for v_k in ([rows[i]] if binary else rows[i])]
            pairs = [pairs[0][::-1], pairs[0]] if binary else pairs
            losses[i], one, two = on_probabilities(pairs, tau, eps, gradient_outside == "zero")
            one, two = ([[*one[1], -one[0][0]]], [two[0] + two[1]]) if binary else (one, two)
        sums = np.array([[*summed(a), *summed(b)] for a, b in zip(one, two, strict=True)], object).T
        first[i], first_size[i], second[i], second_size[i] = sums[:, 0] if binary else sums
    nothing = reduction == "mean" and divisor == 0
    divisor = divisor if reduction == "mean" and not nothing else mpf(1)
    scale = np.asarray(np.broadcast_to(np.frompyfunc(real, 1, 1)(upstream), shape) / divisor, object)
    scale = scale.reshape(rows.shape[: len(shape)] + (1,) * (not binary))
    scaled = np.frompyfunc(lambda term, factor: mpf(0) if nothing else times(term, factor), 2, 1)
    arrays = [scaled(first, scale), first, second, scaled(first_size, abs(scale)), first_size, second_size]
    arrays = [array if binary else np.moveaxis(array, -1, axis) for array in arrays]
    total = nan if nothing else sum(losses.reshape(-1), mpf(0)) / divisor
    return Result(losses if reduction == "none" else total, *arrays[:3], arrays[3:])
