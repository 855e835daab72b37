"""Print the largest errors of the losses, next to the bounds that the docstrings promise, as a Markdown table.

    python tools/errors.py                    search on the highest usable level (2-3 minutes)
    python tools/errors.py --levels all       search on every usable level
    python tools/errors.py --rounds 100       search for longer

docs/accuracy.md holds the table of one run and explains how to read it. The search has three steps:

1. Compute the results of many random inputs, also in a wider type (80 bits for float64, float64 for float32). The
   difference is the error.
2. Start from the inputs with the largest errors. Change one number at a time, by ever smaller steps, and keep the
   changes that make the error larger.
3. Compute the exact results of the worst inputs, one at a time, with tests/reference.py. This gives the printed error.

No call has sample weights, and upstream is 1. Errors are counted in ULP of the exact result. If the row says "of the
larger", errors are counted in ULP of the larger of p_k * sum(tau) and tau_k, where tau_k is the weighted target of
class k. If the row says "of the terms", errors are counted in ULP of the sum of the absolute values of the result's
terms.

The search skips a result in three cases:

- The number whose ULP counts is below a limit. The limit is the smallest normal number. For rows of logits and for
  targets that are not hard, the limit is 4096 times this number. In these calls, a normal result can be a sum of
  subnormal exponentials. It can also be the product of a subnormal exponential and a large number.
- The result, or the number whose ULP counts, is within a factor of 2 of overflow.
- The product of a target and a weight could be subnormal.

"options" and "focal" use class labels in every second round. Several values of focal_gamma are searched, and the value
whose error comes nearest to its bound is printed. The tool needs an x86 machine (80-bit long double).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from mpmath import mpf

import cecore
from cecore import _dispatch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import reference
from ulp import ulp_of

VALUE, GRADIENT, HESSIAN = METHODS = ("value", "gradient", "Hessian")
RELATIVE, LARGER, TERMS = "", "of the larger", "of the terms"  # the number whose ULP counts an error
CLASSES = (3, 2, 10, 32, 33, 100)
GAMMAS = (0.5, 1.0, 2.0, 3.7)
LN2 = np.log(2)
NUMBERS = 3 << 15  # numbers that one round screens
LINEAGES, CHILDREN, STEPS, CONFIRMED = 32, 64, 14, 4  # inputs, variants, step sizes and confirmations of a climb

LOSSES = {
    (True, False): cecore.BinaryCrossEntropy,
    (True, True): cecore.BinaryCrossEntropyWithLogits,
    (False, False): cecore.CrossEntropy,
    (False, True): cecore.CrossEntropyWithLogits,
}


def promised(binary: bool, logits: bool, kind: str, gamma: float) -> list[tuple[float, str]]:
    """Return the promised bounds of value, gradient and Hessian, each with the number whose ULP it counts."""
    if kind == "focal":
        return [(12 + 2 * gamma, TERMS)] * 3
    if kind == "hard":
        return [(4, RELATIVE), (4, RELATIVE), (8, RELATIVE)]
    if kind == "soft":
        return [(4, RELATIVE), (4, LARGER if logits else TERMS), (8, TERMS)]
    return [(5, TERMS), (5, TERMS), (9, TERMS)]  # weights of classes add 1


# ---------------------------------------------------------------- inputs


def mixed(rng: np.random.Generator, *arrays: np.ndarray) -> np.ndarray:
    """Take each row from one of the arrays, chosen at random."""
    return np.stack(arrays)[rng.integers(0, len(arrays), len(arrays[0])), np.arange(len(arrays[0]))]


def near(rng: np.random.Generator, x: Any, shape: tuple[int, ...]) -> np.ndarray:
    return x * (1 + rng.choice([-1, 1], shape) * 2.0 ** -rng.uniform(1, 52, shape))


def some_logits(rng: np.random.Generator, shape: tuple[int, ...], largest: float) -> np.ndarray:
    """Draw logits, most of them where a result is near 0 or near a power of two."""
    sign = rng.choice([-1, 1], shape)
    return mixed(
        rng,
        rng.uniform(-1, 1, shape),
        rng.uniform(-40, 40, shape),
        rng.uniform(-largest, largest, shape),
        sign * 2.0 ** rng.uniform(-60, 0, shape),
        near(rng, sign * LN2 * rng.integers(1, int(largest / LN2), shape), shape),
        near(rng, np.log(np.expm1(2.0 ** rng.integers(-9, 7, shape))), shape),
        near(rng, sign * 2.0 ** rng.integers(-9, 9, shape), shape),
    )


def some_logit_rows(rng: np.random.Generator, shape: tuple[int, int], largest: float) -> np.ndarray:
    n, column = shape[0], (shape[0], 1)
    lower = rng.uniform(-40, 0, column) + rng.uniform(-1, 0, shape) * 10.0 ** rng.uniform(-3, 1, column)
    edge = near(rng, -LN2 * rng.integers(0, 60, column), shape)  # for rows whose largest logit is 0
    lower[np.arange(n), rng.integers(0, shape[1], n)] = edge[np.arange(n), rng.integers(0, shape[1], n)] = 0
    rows = mixed(
        rng,
        some_logits(rng, shape, largest),
        rng.standard_normal(shape) * 10.0 ** rng.uniform(-3, 2.5, column),
        rng.integers(-3, 4, shape).astype(float),
        lower,
        edge,
    )
    return rows + mixed(rng, np.zeros(column), np.zeros(column), rng.uniform(-1e3, 1e3, column), np.full(column, 1e6))


def some_probabilities(rng: np.random.Generator, shape: tuple[int, ...], eps: float, dtype: Any) -> np.ndarray:
    info = np.finfo(dtype)
    return np.clip(
        mixed(
            rng,
            rng.random(shape),
            2.0 ** -rng.uniform(0, 60, shape),
            2.0 ** -rng.uniform(0, -info.minexp, shape),
            1 - 2.0 ** -rng.uniform(1, info.nmant + 1, shape),
            near(rng, 0.5, shape),
            near(rng, eps or 0.25, shape),
            1 - near(rng, eps or 0.25, shape),
            near(rng, np.exp(-(2.0 ** rng.integers(-20, 6, shape))), shape),
        ),
        0,
        1,
    )


def some_targets(rng: np.random.Generator, centre: np.ndarray, dtype: Any) -> np.ndarray:
    """Draw soft targets. Some are close to `centre`, where the gradient is 0."""
    shape = centre.shape
    plain = rng.random(shape) if shape[1] == 1 else rng.dirichlet(np.ones(shape[1]), shape[0])
    sparse = plain * (rng.random(shape) < 0.5)
    return np.clip(mixed(rng, plain, sparse, near(rng, centre, shape), some_probabilities(rng, shape, 0, dtype)), 0, 1)


# ---------------------------------------------------------------- the definition in a wider type


def others(a: np.ndarray) -> np.ndarray:
    """Return for each column the sum of the other columns, without a subtraction."""
    left, right = np.zeros_like(a), np.zeros_like(a)
    np.cumsum(a[:, :-1], axis=1, out=left[:, 1:])
    np.cumsum(a[:, :0:-1], axis=1, out=right[:, -2::-1])
    return left + right


def wide_softmax(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return p, 1 - p and log p, as `reference.softmax` does."""
    top = z.argmax(1)[:, None]
    largest = np.take_along_axis(z, top, 1)
    d = z - largest
    back = d - z
    lost = (z - (d - back)) - (largest + back)
    e = np.exp(d) * (1 + lost)
    rest = others(e)
    total = e + rest
    return e / total, rest / total, d + lost - np.log1p(np.take_along_axis(rest, top, 1))


def wide_on_probabilities(x: np.ndarray, tau: np.ndarray, eps: Any, plain: bool) -> list[np.ndarray]:
    """Return the value, both derivatives, and the sizes of the terms of both derivatives."""
    binary = x.shape != tau.shape
    q, rest = (np.hstack([1 - x, x]), np.hstack([x, 1 - x])) if binary else (x, 1 - x)
    low, high = q < eps, rest < eps
    q, rest = np.where(low, eps, np.where(high, 1 - eps, q)), np.where(low, 1 - eps, np.where(high, eps, rest))
    value = np.where(tau == 0, 0, -tau * np.where(q < 0.5, np.log(q), np.log1p(-rest))).sum(1, keepdims=True)
    size, second = np.where(tau == 0, 0, tau / q), np.where(tau == 0, 0, tau / q / q)
    if not binary:
        return [value, -size, second, size, second]
    first = size[:, :1] - size[:, 1:]
    if plain:  # p - t is exact
        first = np.where(q[:, 1:] < 0.5, q[:, 1:] - tau[:, 1:], tau[:, :1] - q[:, :1]) / q[:, :1] / q[:, 1:]
    size, second = size.sum(1, keepdims=True), second.sum(1, keepdims=True)
    return [value, first, second, size, second]


def wide_on_logits(x: np.ndarray, tau: np.ndarray, gamma: Any) -> list[np.ndarray]:
    """Return the same as `wide_on_probabilities`, and the larger of p_k * sum(tau) and tau_k."""
    binary = x.shape != tau.shape
    p, r, log_p = wide_softmax(np.hstack([np.zeros_like(x), x]) if binary else x)
    total = tau.sum(1, keepdims=True)
    if gamma:
        focus = r**gamma
        slope = tau * (gamma * focus / r * p * log_p - focus)
        bend = tau * gamma * focus / r / r * (p * log_p * (r - (gamma - 1) * p) + 2 * r * p)
        across = p * r * slope.sum(1, keepdims=True)
        value = (-tau * focus * log_p).sum(1, keepdims=True)
        first, size = slope * r - p * others(slope), -slope * r - p * others(slope)
        second = bend * r * r + p * p * others(bend) - across
        second_size = abs(bend) * r * r + p * p * others(abs(bend)) - across
    else:
        value = (-tau * log_p).sum(1, keepdims=True)
        left, right = p * others(tau), tau * r
        first, size = left - right, left + right
        second = second_size = p * r * total
    results = [value, first, second, size, second_size, np.maximum(p * total, tau)]
    return [results[0], *(a[:, 1:] for a in results[1:])] if binary else results


# ---------------------------------------------------------------- cases


class Case:
    """One function to search, with rows of predictions `x` and targets `t` as its inputs."""

    name: str
    kind: str
    binary: bool
    logits = True
    options: dict[str, Any]

    def __init__(self, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)
        self.type = np.longdouble if self.dtype == np.float64 else np.float64  # wider than dtype
        self.largest = 745 if self.dtype == np.float64 else 104
        plain = self.binary or not self.logits
        self.most = float(np.finfo(dtype).max) / 2
        self.least = float(np.finfo(dtype).tiny) * (1 if plain and self.kind in ("", "hard") else 4096)

    def bounds(self) -> dict[str, tuple[float, str]]:
        raise NotImplementedError

    def draw(self, rng: np.random.Generator, turn: int) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs to screen, and set the options of this turn."""
        raise NotImplementedError

    def got(self, x: np.ndarray, t: np.ndarray) -> dict[str, np.ndarray]:
        raise NotImplementedError

    def wide(self, x: np.ndarray, t: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return, in the wider type, the results and the numbers whose ULP counts their errors."""
        raise NotImplementedError

    def exact(self, x: np.ndarray, t: np.ndarray) -> dict[str, tuple[list[mpf], list[mpf]]]:
        """Return the same for one row, exactly."""
        raise NotImplementedError

    def unit(self, sizes: np.ndarray) -> np.ndarray:
        return np.ldexp(self.type(1), np.frexp(sizes)[1] - np.finfo(self.dtype).nmant - 1)

    def exact_unit(self, size: mpf) -> mpf:
        return ulp_of(size, self.dtype)

    def errors(self, x: np.ndarray, t: np.ndarray) -> dict[str, np.ndarray]:
        found = {}
        with np.errstate(all="ignore"):
            got, wide = self.got(x, t), self.wide(x.astype(self.type), t)
            for method, (exact, sizes) in wide.items():
                usable = (abs(exact) < self.most) & (sizes < self.most) & (sizes >= self.least)
                error = abs(got[method] - exact) / self.unit(np.where(usable, sizes, 1))
                error = np.where(usable, np.where(np.isnan(error), np.inf, error), 0)
                found[method] = error.max(1).astype(np.float64)
        return found

    def confirm(self, method: str, x: np.ndarray, t: np.ndarray) -> float:
        largest = 0.0
        results = self.got(x[None], t[None])[method][0], *self.exact(x, t)[method]
        for got, exact, size in zip(*results, strict=True):
            if self.least <= size < self.most and abs(exact) < self.most:
                error = abs(mpf(float(got)) - exact) / self.exact_unit(size)
                largest = max(largest, float(error) if error == error else np.inf)
        return largest


class LossCase(Case):
    def __init__(self, binary: bool, logits: bool, kind: str, dtype: Any) -> None:
        self.binary, self.logits, self.kind = binary, logits, kind
        super().__init__(dtype)
        self.loss = LOSSES[binary, logits]
        self.name = self.loss.__name__
        self.turns = {"focal": len(GAMMAS), "options": 3}.get(kind, 1 if logits else 2)

    def bounds(self) -> dict[str, tuple[float, str]]:
        listed = promised(self.binary, self.logits, self.kind, self.options.get("focal_gamma", 0))
        return dict(zip(METHODS, listed, strict=True))

    def draw(self, rng: np.random.Generator, turn: int) -> tuple[np.ndarray, np.ndarray]:
        again, turn = divmod(turn, self.turns)
        classes = 1 if self.binary else CLASSES[again % len(CLASSES)]
        labels = self.kind == "hard" or (self.kind != "soft" and again % 2 == 1)
        self.options = {} if self.logits or turn == 0 else {"eps": 0.0}
        if self.kind == "focal":
            self.options["focal_gamma"] = GAMMAS[turn]
        if self.kind == "options" and turn != 1:
            self.options["label_smoothing"] = rng.choice([0.1, 0.01, 0.7])
        if self.kind == "options" and turn != 0:
            weights = [float(np.exp(rng.normal())) for _ in range(classes)]
            self.options.update({"pos_weight": weights[0]} if self.binary else {"class_weight": tuple(weights)})
        shape = (NUMBERS // classes, classes)
        if self.logits:
            x = (some_logits if self.binary else some_logit_rows)(rng, shape, self.largest).astype(self.dtype)
            wide = x.astype(np.float64)
            with np.errstate(all="ignore"):
                centre = 1 / (1 + np.exp(-wide)) if self.binary else wide_softmax(wide)[0]
        else:
            x = some_probabilities(rng, shape, self.options.get("eps", 1e-7), self.dtype).astype(self.dtype)
            centre = x.astype(np.float64)
        if labels:
            return x, rng.integers(0, 2, shape) if self.binary else rng.integers(0, classes, len(x))
        t = some_targets(rng, centre, self.dtype)
        smallest = 0 if self.kind == "soft" else np.finfo(self.dtype).tiny * 2.0**20
        return x, np.where(t < smallest, 0, t).astype(self.dtype)

    def got(self, x: np.ndarray, t: np.ndarray) -> dict[str, np.ndarray]:
        loss = self.loss(reduction="none", **self.options)
        gradient, hessian = loss.gradient_hessian(x, t)
        return {VALUE: loss.forward(x, t).reshape(len(x), 1), GRADIENT: gradient, HESSIAN: hessian}

    def measured(self, value: Any, first: Any, second: Any, *sizes: Any) -> dict[str, tuple[Any, Any]]:
        """Pair each result with the number whose ULP counts its error. The last of `sizes` is the larger."""
        results, found = dict(zip(METHODS, (value, first, second), strict=True)), {}
        for method, (_, of) in self.bounds().items():
            terms = dict(zip(METHODS, (value, *sizes[:2]), strict=True))[method]
            found[method] = results[method], {RELATIVE: abs(results[method]), LARGER: sizes[-1], TERMS: terms}[of]
        return found

    def wide(self, x: np.ndarray, t: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        classes = 2 if self.binary else x.shape[1]
        t = np.eye(classes)[t] if t.ndim == 1 else t
        t = t.astype(self.type)
        t = np.hstack([1 - t, t]) if self.binary else t
        a = self.type(self.options.get("label_smoothing", 0))
        weights = np.ones(classes, self.type)
        weights[1 if self.binary else slice(None)] = self.options.get("pos_weight", self.options.get("class_weight", 1))
        tau = weights * ((1 - a) * t + a / classes)
        if self.logits:
            results = wide_on_logits(x, tau, self.type(self.options.get("focal_gamma", 0)))
        else:
            eps = self.type(self.options.get("eps", 1e-7))
            results = wide_on_probabilities(x, tau, eps, self.kind != "options")
        return self.measured(*results)

    def exact(self, x: np.ndarray, t: np.ndarray) -> dict[str, tuple[list[mpf], list[mpf]]]:
        result = reference.evaluate(
            x if self.binary else x[None],
            t if self.binary else t[None],
            binary=self.binary,
            logits=self.logits,
            reduction="none",
            **self.options,
        )
        arrays = [result.value, result.first, result.second, *result.sizes[1:]]
        if self.logits and self.kind != "focal":  # the second derivative is p_k (1 - p_k) sum(tau)
            z = [mpf(0)] * self.binary + [mpf(float(v)) for v in x]
            rests = np.array([r for _, r, _ in reference.softmax(z)], object)[self.binary :]
            arrays.append(np.maximum(result.second / rests, result.second / rests - result.first))
        return self.measured(*(a.reshape(-1) for a in arrays))


class ActivationCase(Case):
    kind, options = "", {}

    def __init__(self, function: Any, bound: float, dtype: Any) -> None:
        self.binary, self.turns = function is cecore.sigmoid, 1
        super().__init__(dtype)
        self.function, self.bound, self.name = function, bound, function.__name__
        self.column = 2 if function is cecore.log_softmax else 0  # in the result of the softmax functions

    def bounds(self) -> dict[str, tuple[float, str]]:
        return {VALUE: (self.bound, RELATIVE)}

    def draw(self, rng: np.random.Generator, turn: int) -> tuple[np.ndarray, np.ndarray]:
        classes = 1 if self.binary else CLASSES[turn % len(CLASSES)]
        x = (some_logits if self.binary else some_logit_rows)(rng, (NUMBERS // classes, classes), self.largest)
        return x.astype(self.dtype), np.zeros(len(x), int)

    def got(self, x: np.ndarray, t: np.ndarray) -> dict[str, np.ndarray]:
        return {VALUE: self.function(x)}

    def wide(self, x: np.ndarray, t: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        z = np.hstack([np.zeros_like(x), x]) if self.binary else x
        result = wide_softmax(z)[self.column][:, self.binary :]
        return {VALUE: (result, abs(result))}

    def exact(self, x: np.ndarray, t: np.ndarray) -> dict[str, tuple[list[mpf], list[mpf]]]:
        z = [mpf(0)] * self.binary + [mpf(float(v)) for v in x]
        result = [row[self.column] for row in reference.softmax(z)][self.binary :]
        return {VALUE: (result, [abs(v) for v in result])}


class MeanCase(Case):
    """Means over hard labels. Rows are constant, hold two numbers, or are random in a narrow or a wide range."""

    kind = "hard"

    def __init__(self, binary: bool, logits: bool, dtype: Any) -> None:
        self.binary, self.logits, self.loss = binary, logits, LOSSES[binary, logits]()
        super().__init__(dtype)
        self.name, self.options, self.turns = type(self.loss).__name__, {}, 1

    def bounds(self) -> dict[str, tuple[float, str]]:
        return {"mean": (1e-14 if self.dtype == np.float64 else 2.0**-22, "relative")}

    def draw(self, rng: np.random.Generator, turn: int) -> tuple[np.ndarray, np.ndarray]:
        shape = NUMBERS // 256, (256, 1024, 250)[turn % 3]
        column = (shape[0], 1)
        if self.logits:
            start = some_logits(rng, column, 40)
        else:
            start = mixed(rng, some_probabilities(rng, column, 1e-7, self.dtype), rng.uniform(0.3, 1, column))
        second = start * np.where(rng.random(shape) < 0.5, 1, rng.uniform(0.5, 1, column))
        narrow = start * (1 - 10.0 ** -rng.uniform(1, 15, column) * rng.random(shape))
        x = mixed(rng, start + np.zeros(shape), second, narrow, start * rng.random(shape))
        return x.astype(self.dtype), rng.integers(0, 2 if self.binary else 1, len(x))

    def got(self, x: np.ndarray, t: np.ndarray) -> dict[str, np.ndarray]:
        means = np.empty((len(x), 1))
        for i, (row, target) in enumerate(zip(x, t, strict=True)):
            means[i] = self.loss(row if self.binary else np.stack([row, 0 * row], 1), np.full(len(row), target))
        return {"mean": means}

    def wide(self, x: np.ndarray, t: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        x = x.astype(np.longdouble)
        positive = (t == 1)[:, None] | (not self.binary)
        if self.logits:
            signed = np.where(positive, -x, x)
            terms = np.maximum(signed, 0) + np.log1p(np.exp(-abs(signed)))
        else:
            q, rest, eps = np.where(positive, x, 1 - x), np.where(positive, 1 - x, x), np.longdouble(1e-7)
            terms = -np.where(q < 0.5, np.log(np.maximum(q, eps)), np.log1p(-np.maximum(rest, eps)))
        mean = terms.mean(1, keepdims=True)
        return {"mean": (mean, mean)}

    def exact(self, x: np.ndarray, t: np.ndarray) -> dict[str, tuple[list[mpf], list[mpf]]]:
        rows, targets = x if self.binary else np.stack([x, 0 * x], 1), np.full(len(x), t)
        mean = reference.evaluate(rows, targets, binary=self.binary, logits=self.logits).value
        return {"mean": ([mean], [mean])}

    def unit(self, sizes: np.ndarray) -> np.ndarray:
        return sizes

    def exact_unit(self, size: mpf) -> mpf:
        return size


def cases() -> list[Case]:
    listed: list[Case] = []
    for binary, logits in LOSSES:
        for kind in ("hard", "soft", "options", *(["focal"] if logits else [])):
            listed += [LossCase(binary, logits, kind, dtype) for dtype in (np.float64, np.float32)]
    for function, bound in ((cecore.sigmoid, 4), (cecore.softmax, 4), (cecore.log_softmax, 4)):
        listed += [ActivationCase(function, bound, dtype) for dtype in (np.float64, np.float32)]
    for binary, logits in LOSSES:
        listed += [MeanCase(binary, logits, dtype) for dtype in (np.float64, np.float32)]
    return listed


# ---------------------------------------------------------------- search


def changed(
    rng: np.random.Generator, case: Case, x: np.ndarray, t: np.ndarray, step: float
) -> tuple[np.ndarray, np.ndarray]:
    """Multiply one entry of x or t in each row by a number near 1. A constant row stays constant."""
    rows, x, t = np.arange(len(x)), x.copy(), t.copy()
    factor = 1 + step * rng.uniform(-1, 1, len(x))
    of_x = rng.random(len(x)) < (0.5 if t.dtype.kind == "f" else 1)
    column = rng.integers(0, x.shape[1], len(x))
    constant = (x[:, :1] == x).all(1)[:, None] & isinstance(case, MeanCase)
    here = (constant | (np.arange(x.shape[1]) == column[:, None])) & of_x[:, None]
    x = np.where(here, x * factor[:, None], x).astype(x.dtype)
    if t.dtype.kind == "f":
        t[rows, column] *= np.where(of_x, 1, factor).astype(t.dtype)
        t = np.minimum(t, 1)
    return x if case.logits else np.minimum(x, 1), t


def climbed(
    rng: np.random.Generator, case: Case, method: str, x: np.ndarray, t: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Replace each row by the worst of its variants, once for each step size. Return the rows and their errors."""
    children = min(CHILDREN, max(8, NUMBERS // 2 // x.size))
    for step in np.geomspace(0.3, np.finfo(case.dtype).eps, STEPS):
        many_x, many_t = changed(rng, case, np.repeat(x, children, 0), np.repeat(t, children, 0), step)
        many_x[::children], many_t[::children] = x, t  # the parents
        error = case.errors(many_x, many_t)[method].reshape(-1, children)
        best = error.argmax(1) + np.arange(len(x)) * children
        x, t, reached = many_x[best], many_t[best], error.max(1)
    return x, t, reached


def shown(options: dict[str, Any], x: np.ndarray, t: np.ndarray, limit: int) -> str:
    def numbers(a: np.ndarray) -> str:
        listed = [float(v).hex() if a.dtype.kind == "f" else str(int(v)) for v in a.reshape(-1)[:limit]]
        return " ".join(listed) + f" ... ({a.size})" * (a.size > limit)

    short = {k: f"{v:.4g}" if isinstance(v, float) and limit < 100 else v for k, v in options.items()}
    named = [f"{k}={'...' if isinstance(v, tuple) and limit < 100 else v}" for k, v in short.items()]
    return "; ".join([*named, f"x = {numbers(x)}", f"t = {numbers(t)}"])


def search(case: Case, seed: int, rounds: int) -> dict[str, tuple[float, float, str, str, str]]:
    """Return for each method the confirmed error that is nearest to its bound.

    Each entry holds the error, the bound, the number whose ULP counts, and the input, shortened and in full.
    """
    rng, worst = np.random.default_rng(seed), {}
    for turn in range(rounds * case.turns):
        x, t = case.draw(rng, turn)
        screened = case.errors(x, t)
        for method, (bound, of) in case.bounds().items():
            start = np.argpartition(screened[method], -LINEAGES)[-LINEAGES:]
            best_x, best_t, reached = climbed(rng, case, method, x[start], t[start])
            for i in np.argsort(reached)[: -CONFIRMED - 1 : -1]:
                if method in worst and reached[i] / bound < 0.98 * worst[method][0] / worst[method][1]:
                    break
                error = case.confirm(method, best_x[i], best_t[i])
                if method not in worst or error / bound > worst[method][0] / worst[method][1]:
                    where = [shown(case.options, best_x[i], best_t[i], limit) for limit in (3, 1 << 30)]
                    worst[method] = error, bound, of, *where
    return worst


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=6, help="searches of each kind; 6 numbers of classes take turns")
    parser.add_argument("--levels", default=list(_dispatch.usable)[-1], help="'all', or names with commas")
    parser.add_argument("--only", default="", help="search only losses whose names contain this text")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random inputs")
    options = parser.parse_args()
    failed = []
    for level in _dispatch.usable if options.levels == "all" else options.levels.split(","):
        _dispatch.kernels = _dispatch.usable[level]
        print(f"Level {level}\n")
        print("| loss | method | dtype | targets | largest error found (ULP) | bound | input |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for case in cases():
            if options.only.lower() not in case.name.lower():
                continue
            for method, (error, bound, of, where, full) in search(case, options.seed, options.rounds).items():
                excess = error > bound
                mark = "**" if excess else ""
                row = f"| {case.name} | {method} | {case.dtype} | {case.kind} | {mark}{error:.3g}{mark} "
                print(f"{row}| {f'{bound:g} {of}'.strip()} | {where} |", flush=True)
                if excess:
                    failed.append(f"{level} {case.name} {method} {case.dtype} {case.kind}: {error} > {bound} at {full}")
        print(flush=True)
    for line in failed:
        print(line)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
