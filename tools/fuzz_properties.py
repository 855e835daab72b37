"""What must hold for every call of the losses, for tools/fuzz.py.

A property is a function of a case, of a random generator for the choices it makes, and of the results of the plain
call. It yields what it compares: a description, what was found, and what was expected.
"""

from __future__ import annotations

import math
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from fuzz_cases import BOOL, EPSILON, FLOATS, INTEGERS, LARGEST, SMALL, TINY, Case, chance, fitting, pick

import cecore
from cecore import _dispatch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from layouts import READABLE, WRITEABLE
from reference import evaluate
from registry import BLOCK
from threads import threads
from ulp import inside, ulps

METHODS = {  # the names of their outputs; the first one of forward and forward_backward holds losses
    "forward": ("out",),
    "backward": ("out",),
    "forward_backward": ("loss_out", "gradient_out"),
    "gradient_hessian": ("gradient_out", "hessian_out"),
}


class Outcome(NamedTuple):
    """What a call gave: arrays as they were returned, or an error; and its warnings."""

    arrays: tuple[Any, ...]
    error: str
    warned: tuple[str, ...]

    def part(self, i: int) -> Outcome:
        return self._replace(arrays=self.arrays[i : i + 1])

    def frozen(self) -> Any:
        return [frozen(array) for array in self.arrays], self.error, self.warned


class Broken(Exception):
    """A property does not hold."""


def frozen(array: Any) -> Any:
    """Return the dtype, the shape and the bits of an array, with one NaN for all."""
    array = np.array(array)
    array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind in "fV":
        array[np.isnan(array)] = math.nan
    return array.dtype, array.shape, array.tobytes()


def outcome(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Outcome:
    with warnings.catch_warnings(record=True) as seen, np.errstate(all="raise"):
        warnings.simplefilter("always")
        try:
            result, error = function(*arguments, **keywords), ""
        except (TypeError, ValueError) as found:
            result, error = (), f"{type(found).__name__}: {found}"
    for warning in seen:
        if warning.category is not cecore.InputWarning or warning.filename != __file__:
            raise Broken(f"a warning at {warning.filename}:{warning.lineno}: {warning.message}")
    return Outcome(result if type(result) is tuple else (result,), error, tuple(str(w.message) for w in seen))


def call(made: Any, method: str, x: Any, t: Any, w: Any, u: Any = 1.0, **outs: Any) -> Outcome:
    keywords = {"upstream": u} if method == "backward" else {}
    return outcome(getattr(made, method), x, t, sample_weight=w, **keywords, **outs)


# ---------------------------------------------------------------- properties


Plain = dict[str, Outcome]  # of each method, for contiguous arrays, on one thread
Pairs = Iterator[tuple[str, Any, Any]]  # what is compared, what was found, and what was expected


def methods(case: Case, rng: np.random.Generator, plain: Plain) -> Pairs:
    """Every way to compute the same result."""
    value, gradient = plain["forward"], call(case.made, "backward", *case[2:5])
    yield "the value of forward_backward", plain["forward_backward"].part(0), value
    yield "the gradient of forward_backward", plain["forward_backward"].part(1), gradient
    yield "a call of the object", call(case.made, "__call__", *case[2:5]), value
    yield "the function", outcome(case.loss.function, *case[2:4], sample_weight=case.w, **case.options), value
    shorter = case.loss.binary and case.loss.logits and case.computing == np.float32  # a formula of its own
    if case.reduction == "sum" and not shorter:
        yield "the gradient of gradient_hessian", plain["gradient_hessian"].part(0), gradient
    for method, found in plain.items():
        yield f"the error and the warning of {method}", found[1:], value[1:]


def errors(case: Case, rng: np.random.Generator, plain: Plain) -> Pairs:
    """An error is raised exactly if a value that counts is outside its domain."""
    wrong = bool(case.wrong)
    if not wrong:
        w = case.weights
        wrong = not np.all((w >= 0) & np.isfinite(w))
        t, x = case.t if case.labels else case.t.astype(case.computing), case.x.astype(case.dtype)
        x = x if case.loss.binary else np.moveaxis(x, case.axis, -1)
        t = t if case.loss.binary or case.labels else np.moveaxis(t, case.axis, -1)
        counted = w > 0
        if case.labels:
            counted &= t != case.options.get("ignore_index", math.nan)
            t = t.astype(np.longdouble)
            wrong |= bool(np.any(counted & ~((t >= 0) & (t < x.shape[-1]) & (t == np.floor(t)))))
            t = (t[..., None] == np.arange(x.shape[-1])).astype(float)
        else:
            counted = counted if case.loss.binary else np.broadcast_to(counted[..., None], t.shape)
            wrong |= bool(np.any(counted & outside(t, EPSILON[case.computing.name])))
        counted = counted if counted.shape == x.shape else np.broadcast_to(counted[..., None], x.shape)
        smoothed = case.options.get("label_smoothing", 0) > 0
        if case.loss.binary:
            used = (t < 1) | np.isnan(t) | (np.asarray(case.options.get("pos_weight", 1)) != 0) | smoothed
        else:
            used = (~(t <= 0) | smoothed) & (np.asarray(case.options.get("class_weight", 1)) != 0)
        if not case.loss.logits:
            near = EPSILON[case.dtype.name] if case.x.dtype.kind in "fV" else 0.0
            wrong |= bool(np.any(counted & used & outside(x, near)))
    yield "whether a call raises an error", bool(plain["forward"].error), wrong


def outside(array: np.ndarray, epsilon: float) -> np.ndarray:
    array = array.astype(np.float64)
    return (-array > 4 * epsilon) | (array - 1 > 4 * epsilon)


def levels(case: Case, rng: np.random.Generator, plain: Plain) -> Pairs:
    """Every instruction-set level. The baseline has other bits: for ordinary values, its results are only close."""
    before = _dispatch.kernels
    for name, kernels in _dispatch.usable.items():
        if kernels is before:
            continue
        _dispatch.kernels = kernels
        try:
            found = {method: call(case.made, method, *case[2:6]) for method in METHODS}
        finally:
            _dispatch.kernels = before
        for method, got in found.items():
            if "baseline" not in (name, _dispatch.chosen):
                yield f"{method} on {name}", got, plain[method]
                continue
            yield f"the error and the warning of {method} on {name}", got[1:], plain[method][1:]
            for one, other in zip(got.arrays, plain[method].arrays, strict=True):
                if case.ordinary and not got.error:
                    yield f"{method} on {name}, nearly", close(one, other, case.dtype, case.options), True


def close(one: Any, other: Any, dtype: np.dtype, options: dict[str, Any]) -> bool:
    """Whether two results differ by a few roundings. Infinity is as good as the largest number of the type."""
    most = LARGEST[dtype.name]
    a, b = (np.asarray(array).astype(np.float64).clip(-most, most) for array in (one, other))
    finite = np.abs(b[np.isfinite(b)])
    tolerance = min((1000 + 2 * options.get("focal_gamma", 0)) * EPSILON[dtype.name], 1)
    return np.allclose(a, b, rtol=tolerance, atol=tolerance * finite.max(initial=0), equal_nan=True)


def repeated(array: np.ndarray) -> np.ndarray:
    """The same array without a stride along the first axis, if it repeats itself there."""
    if array.ndim and len(array) > 1 and array.tobytes() == np.broadcast_to(array[:1], array.shape).tobytes():
        return np.broadcast_to(array[:1].copy(), array.shape)
    return array.copy()


def arranged(rng: np.random.Generator, array: Any, layouts: dict[str, Any]) -> Any:
    return pick(rng, layouts.values())(array) if isinstance(array, np.ndarray) else array


def layouts(case: Case, rng: np.random.Generator, plain: Plain) -> Pairs:
    """Inputs in any layout and in other objects."""
    known = READABLE | ({} if plain["forward"].error else {"repeated": repeated})  # a message may name no place there
    for method in METHODS:
        given = [arranged(rng, array, known) for array in case[2:6]]
        yield f"{method} of other layouts", call(case.made, method, *given), plain[method]
        for array, kept in zip(given, case[2:6], strict=True):
            if isinstance(array, np.ndarray):
                yield f"an input of {method}", frozen(array), frozen(kept)


def several_threads(case: Case, rng: np.random.Generator, plain: Plain) -> Pairs:
    """Several threads."""
    number, chunk = int(rng.integers(2, 9)), pick(rng, (1, 2, 1000))
    with threads(number, chunk):
        for method in METHODS:
            yield f"{method} on {number} threads", call(case.made, method, *case[2:6]), plain[method]


def outputs(case: Case, rng: np.random.Generator, plain: Plain) -> Pairs:
    """Outputs of any layout; one of them is often the predictions array. An error leaves it unchanged."""
    number = pick(rng, (1, 1, 2, 5))
    for method, names in METHODS.items():
        given = [arranged(rng, array, WRITEABLE) for array in case[2:6]]
        outs = {}
        for name in names:
            losses = name == "loss_out" or method == "forward"
            if case.wrong or (losses and case.reduction != "none"):
                continue
            shape = case.shape if losses else case.x.shape
            outs[name] = pick(rng, WRITEABLE.values())(np.full(shape, 7).astype(case.dtype))
            if chance(rng, 0.5) and shape == case.x.shape and case.x.dtype == case.dtype:
                outs[name] = given[0] if not any(out is given[0] for out in outs.values()) else outs[name]
        with threads(number, 1):
            got = call(case.made, method, *given, **outs)
        yield f"{method} into {', '.join(outs) or 'nothing'}", got, plain[method]
        if not got.error and len(outs) == len(got.arrays):
            yield "the outputs", all(a is b for a, b in zip(got.arrays, outs.values(), strict=True)), True
        overwritten = not got.error and any(out is given[0] for out in outs.values())
        for array, kept in list(zip(given, case[2:6], strict=True))[overwritten:]:
            yield f"an input of {method}", frozen(array), frozen(kept)


def dtypes(case: Case, rng: np.random.Generator, plain: Plain) -> Pairs:
    """The same targets and weights in other dtypes and forms; options at their neutral values."""
    x, t, w, u = case[2:6]
    if plain["forward"].error:
        return
    forms = [t, fitting(rng, t, [*INTEGERS, *FLOATS, BOOL])]
    known = np.all(case.weights > 0) and "ignore_index" not in case.options  # labels of rows that count
    if case.labels and known and x.size and x.shape[case.axis] <= 1024:  # with labels, longer rows cause no warning
        one_hot = np.moveaxis(np.eye(x.shape[case.axis])[t.astype(int)], -1, case.axis)
        forms.append(fitting(rng, np.ascontiguousarray(one_hot), [*INTEGERS, *FLOATS, BOOL]))
    weights = [w, np.broadcast_to(w if w is not None else 1, case.shape)]
    weights.append(fitting(rng, np.array(weights[1]), [*INTEGERS, *FLOATS, BOOL]))
    neutral = {"mean_over": "weights", "label_smoothing": 0}
    neutral |= {"pos_weight": 1.0} if case.loss.binary else {"class_weight": [1] * x.shape[case.axis]}
    neutral |= {"focal_gamma": 0.0} if case.loss.logits else {"gradient_outside": "clipped"}
    made = case.loss.kind(**(neutral | case.options))
    for method in METHODS:
        yield f"{method} of other dtypes", call(made, method, x, pick(rng, forms), pick(rng, weights), u), plain[method]


def neighbours(case: Case, rng: np.random.Generator, plain: Plain) -> Pairs:
    """Some of the losses alone have the results that they have among the others."""
    if plain["forward"].error or not case.shape or not case.shape[0] or (len(case.shape) == 1 and case.vector):
        return
    some = np.sort(rng.choice(case.shape[0], rng.integers(1, case.shape[0] + 1), replace=False))
    part = case.take(some)
    axis = 0 if case.loss.binary else (case.axis % case.x.ndim == 0) * 1
    whole = call(case.made.replace(reduction="none"), "forward_backward", *case[2:5])
    got = call(part.made.replace(reduction="none"), "forward_backward", *part[2:5])
    yield "losses alone", frozen(got.arrays[0]), frozen(np.asarray(whole.arrays[0])[some])
    yield "gradients alone", frozen(got.arrays[1]), frozen(whole.arrays[1].take(some, axis))
    for k in (0, 1):
        whole = plain["gradient_hessian"].arrays[k].take(some, axis)
        yield "derivatives alone", frozen(call(part.made, "gradient_hessian", *part[2:5]).arrays[k]), frozen(whole)


def sums(case: Case, rng: np.random.Generator, plain: Plain) -> Pairs:
    """The sum is nearly the sum of the losses, if those are finite."""
    if plain["forward"].error:
        return
    each = np.asarray(call(case.made.replace(reduction="none"), "forward", *case[2:5]).arrays[0]).astype(np.longdouble)
    total = call(case.made.replace(reduction="sum"), "forward", *case[2:5]).arrays[0]
    if np.isnan(each).any():
        yield "the sum of NaN", math.isnan(total), True
    elif np.isinf(each).any():
        yield "the sum of infinite losses", total == math.inf or case.dtype != np.float64, True
    elif each.sum() < (1e308 if case.computing == np.float64 else 1e38):
        least = each.size * TINY[0 if case.dtype == np.float64 else -1 if case.dtype == np.float16 else 4]
        yield "the sum", bool(abs(each.sum() - total) <= 20 * EPSILON[case.dtype.name] * each.sum() + least), True


def halves(case: Case, rng: np.random.Generator, plain: Plain) -> Pairs:
    """float16 and bfloat16 are computed in float32."""
    if case.dtype.itemsize != 2 or plain["forward"].error:
        return
    wide = case._replace(x=case.in_domain(np.float32))
    for method in METHODS:
        for got, want in zip(plain[method].arrays, call(wide.made, method, *wide[2:6]).arrays, strict=True):
            if type(got) is float:
                yield f"{method} in float32", frozen(got), frozen(want)
                continue
            a, b = (np.asarray(v).astype(case.dtype).view(np.int16).astype(int) for v in (got, want))
            near = (np.abs(a - b) <= 1) | (np.isnan(got) & np.isnan(want))
            yield f"{method} in float32, nearly", bool(near.all()), True


def accumulators(case: Case, rng: np.random.Generator, plain: Plain) -> Pairs:
    """One update, and updates of several blocks in any order, in several accumulators."""
    if case.reduction == "none":
        return
    total = case.made.accumulator()
    found = outcome(total.update, *case[2:5])
    yield "the error and the warning of update", found[1:], plain["forward"][1:]
    if found.error:
        yield "the accumulator after an error", total._sums, (0, 0.0, 0, 0)
        return
    by_weights = case.reduction == "mean" and case.options.get("mean_over") != "count"
    if case.computing == np.float64 or not by_weights or 1e-30 < total.weight < 1e30:  # as documented
        yield "the value of an accumulator", frozen(total.value), frozen(plain["forward"].arrays[0])
    if case.vector:
        return
    made, x, t = case.made, case.x, case.t
    w = np.array(np.broadcast_to(1 if case.w is None else case.w, case.shape))
    if not case.loss.binary:
        made, x = made.replace(axis=-1), np.moveaxis(x, case.axis, -1)
        t = t if case.labels else np.moveaxis(t, case.axis, -1)
    n, tail = w.size, () if case.loss.binary else x.shape[-1:]
    x, t, w = x.reshape(n, *tail), t.reshape(n, *(() if case.labels else tail)), w.reshape(n)
    # Updates of whole blocks add the same sums. Rows of more than 64 classes have shorter blocks
    cuts = np.sort(rng.integers(0, n // BLOCK + 1, rng.integers(0, 4))) * BLOCK
    pieces = list(zip(np.split(x, cuts), np.split(t, cuts), np.split(w, cuts), strict=True))
    one = made.accumulator()
    for piece in pieces:
        outcome(one.update, *piece)
    if not tail or tail[0] <= 64:
        yield "updates of whole blocks", repr(one), repr(total)
    parts = [made.accumulator() for _ in range(rng.integers(1, 4))]
    for k in rng.permutation(len(pieces)):
        outcome(pick(rng, parts).update, *pieces[k])
    merged = made.accumulator()
    for k in rng.permutation(len(parts)):
        merged.merge(parts[k])
    yield "merged accumulators", repr(merged), repr(one)


def definition(case: Case, rng: np.random.Generator, plain: Plain) -> Pairs:
    """Small calls in float64 and float32: the definition in high precision, within the documented bounds."""
    if plain["forward"].error or case.x.size > SMALL or case.dtype.itemsize == 2:
        return
    t = case.t.astype(int) if case.labels else np.clip(case.t.astype(case.computing), 0, 1)
    x, w = case.in_domain(case.dtype), case.weights
    options = {"binary": case.loss.binary, "logits": case.loss.logits, "sample_weight": w, **case.options}
    want = evaluate(x, t, upstream=case.u, **options)
    hard = case.labels or bool(np.all((t == 0) | (t == 1)))
    bounds = [bound + 1 for bound in case.loss.bounds(hard, case.options)]
    exact = case.dtype == np.float64
    value, classes = plain["forward"].arrays[0], 1 if case.loss.binary else x.shape[case.axis]
    if case.reduction != "none":
        limit = (1e-14 if exact else 2.0**-20) * (bounds[0] if case.options.get("focal_gamma") else 1)
        fits = ulps(value, want.value, np.float64) == 0 or abs(value - want.value) <= limit * abs(want.value)
        if not fits and not math.isnan(value):  # the sum may leave the normal numbers where the mean would not
            total = float(evaluate(x, t, **(options | {"reduction": "sum"})).value)
            fits = total < (2.0**-960 if exact else 2.0**-90) or (value == math.inf and total > 1e308)
        yield "the value", bool(fits), True
    # The bounds hold where products of weights and targets are normal numbers, and where the result is one without them
    tiny, of_classes = (
        float(np.finfo(case.dtype).tiny),
        case.options.get("class_weight", case.options.get("pos_weight", 1)),
    )
    factors = [w, of_classes, case.options.get("label_smoothing", 0), 1 if case.labels else t]
    if math.prod(min(a[a > 0].min(initial=1), 1) for a in (np.array(factor, float) for factor in factors)) < tiny:
        return
    least = np.maximum(w.astype(float) * np.max(of_classes), 1) * tiny
    if case.loss.logits:  # up to (1 + gamma)^2 times a probability, which must be a normal number too
        least *= (1 + case.options.get("focal_gamma", 0)) ** 2
    rows = least if case.loss.binary else np.broadcast_to(least[..., None], (*case.shape, classes))
    each = rows if case.loss.binary else np.moveaxis(rows, -1, case.axis)
    found = (*plain["backward"].arrays, *plain["gradient_hessian"].arrays)
    compared = [("the gradient", found[0], want.gradient, want.sizes[0], want.sizes[1], bounds[1], each)]
    compared = compared if np.all(np.isfinite(case.u)) else []  # an infinity makes much of what underflows
    compared.append(("the first derivative", found[1], want.first, want.sizes[1], want.sizes[1], bounds[1], each))
    compared.append(("the second derivative", found[2], want.second, want.sizes[2], want.sizes[2], bounds[2], each))
    if case.reduction == "none":
        compared.append(("the losses", value, want.value, want.value, want.value, bounds[0], least))
    for name, got, *exactly, bound, small in compared:
        expected, sizes, unscaled = (np.asarray(array, object) for array in exactly)
        cancelled = (expected == 0) & (abs(got) < 1e-40 * sizes)  # by the working precision of the reference
        known = ~np.asarray(cancelled | ((unscaled > 0) & (unscaled < small)), bool)
        yield name, inside(np.asarray(got)[known], expected[known], sizes[known], case.dtype, bound, classes), True


PROPERTIES = (
    methods,
    errors,
    levels,
    layouts,
    several_threads,
    outputs,
    dtypes,
    neighbours,
    sums,
    halves,
    accumulators,
    definition,
)


def check(case: Case, rng: np.random.Generator, compared: Counter) -> str:
    """Check every property. Return what does not hold, or an empty text."""
    try:
        name = "options"
        made = outcome(case.loss.kind, **case.options)
        if made.error:
            found = outcome(case.loss.function, *case[2:4], sample_weight=case.w, **case.options)
            return "" if found.error == made.error else f"options: {found.error!r} instead of {made.error!r}"
        name, before = "methods", [frozen(array) for array in case[2:6]]
        with threads(1, 1 << 16):
            plain = {method: call(case.made, method, *case[2:6]) for method in METHODS}
        for prop in PROPERTIES:
            name = prop.__name__
            for what, got, want in prop(case, rng, plain):
                compared[name] += 1
                one, other = (v.frozen() if isinstance(v, Outcome) else v for v in (got, want))
                if one != other:
                    return f"{name}: {what} is not as expected\n  found    {got}\n  expected {want}"
            if [frozen(array) for array in case[2:6]] != before:
                return f"{name}: an input has changed"
    except Exception:
        return f"{name}: {traceback.format_exc()}"
    return ""
