"""Random calls of the losses, for tools/fuzz.py: arrays and options with ordinary, special and invalid values."""

from __future__ import annotations

import contextlib
import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cecore import _checks

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from registry import BLOCK, LOSSES, Loss

SMALL = 8  # numbers of a case that the reference computes
EXPONENT = {np.dtype(np.float64): 140, np.dtype(np.float32): 25}  # weights are within 10 ** -EXPONENT..10 ** EXPONENT
FLOATS = [np.dtype(kind) for kind in (np.float64, np.float32, np.float16, np.longdouble)]
with contextlib.suppress(ModuleNotFoundError):
    FLOATS.append(np.dtype(__import__("ml_dtypes").bfloat16))
INTEGERS = [np.dtype(kind) for kind in "bhilqBHILQ"]
BOOL = np.dtype(bool)
DTYPES = [*FLOATS[:3], *FLOATS[:2], *FLOATS]  # of predictions: float64 and float32 three times as often as longdouble
EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
LARGEST = {"float64": 2.0**1023 * (2 - 2.0**-52), "float32": 2.0**127 * (2 - 2.0**-23)}
LARGEST |= {"float16": 65504.0, "bfloat16": 2.0**127 * (2 - 2.0**-7)}
TINY = [2.0**k for k in (-1074, -1022, -1000, -149, -133, -126, -24, -14)]
LOGITS = [0.0, -0.0, math.inf, -math.inf, math.nan, 1e-10, 36.7, -40, 88, -104, 700, -745, *TINY]
LOGITS += [sign * most for sign in (1, -1) for most in (8e307, 1.6e38, 65504, 1e9)]  # differences fit
PROBABILITIES = [0.0, -0.0, 1.0, 0.5, math.nan, 1e-7, 1e-30, 1 - 1e-3, *TINY, *(1 - 2.0**-k for k in (54, 53, 24, 11))]


class Case(NamedTuple):
    """One call: contiguous arrays in the byte order of the machine."""

    loss: Loss
    options: dict[str, Any]
    x: np.ndarray
    t: np.ndarray
    w: Any  # None, a number or an array
    u: Any  # a number or an array
    ordinary: bool  # whether no value and no weight is special
    wrong: str = ""  # the mistake, other than a value, for which every method raises

    @property
    def made(self) -> Any:
        return self.loss.kind(**self.options)

    @property
    def reduction(self) -> str:
        return self.options["reduction"]

    @property
    def axis(self) -> int:
        return self.options.get("axis", -1)

    @property
    def labels(self) -> bool:
        return not self.loss.binary and self.t.ndim < self.x.ndim

    @property
    def dtype(self) -> np.dtype:
        return _checks.result_type(self.x.dtype)

    @property
    def computing(self) -> np.dtype:
        return _checks.computing_type(self.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the losses."""
        return self.x.shape if self.loss.binary else np.moveaxis(self.x, self.axis, -1).shape[:-1]

    @property
    def weights(self) -> np.ndarray:
        """One weight for each loss, as the kernels see it."""
        w = np.ones(()) if self.w is None else np.asarray(self.w)
        return np.broadcast_to(w.astype(self.computing), self.shape)

    @property
    def vector(self) -> bool:
        """Whether the weight of an element depends on its place in the last axis."""
        return isinstance(self.options.get("pos_weight"), tuple)

    def in_domain(self, dtype: Any) -> np.ndarray:
        """The predictions in another dtype; numbers just outside [0, 1] become 0 or 1."""
        x = self.x.astype(dtype)
        return x if self.loss.logits else np.clip(x, 0, 1)

    def take(self, places: Any) -> Case:
        """Return the case with some of its losses, along the first axis."""

        def taken(array: Any, full: bool) -> Any:
            if full and not self.loss.binary:
                return np.ascontiguousarray(np.moveaxis(np.moveaxis(array, self.axis, -1)[places], -1, self.axis))
            return array[places].copy() if np.ndim(array) and len(array) == self.shape[0] else array

        x, t = taken(self.x, True), taken(self.t, not self.labels)
        return self._replace(x=x, t=t, w=taken(self.w, False), u=taken(self.u, False))

    def __str__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        lines = [f"{self.loss.kind.__name__}({options})"]
        for name, value in zip(("predictions", "targets", "sample_weight", "upstream"), self[2:6], strict=True):
            with np.printoptions(floatmode="unique", threshold=64):
                lines.append(f"  {name} = {value!r}")
        return "\n".join(lines)


# ---------------------------------------------------------------- drawing a case


def pick(rng: np.random.Generator, choices: Any) -> Any:
    choices = list(choices)
    return choices[rng.integers(len(choices))]


def chance(rng: np.random.Generator, probability: float) -> bool:
    return bool(rng.random() < probability)


def length(rng: np.random.Generator) -> int:
    """Draw a number of losses: a small one, or one next to a multiple of a vector's width or of a block."""
    if chance(rng, 0.6):
        return int(rng.integers(0, SMALL + 1))
    return pick(rng, (8, 16, 24, 32, 64, 128, BLOCK, 2 * BLOCK, 3 * BLOCK, 5 * BLOCK)) + int(rng.integers(-1, 2))


def number_of_classes(rng: np.random.Generator) -> int:
    few, some = int(rng.integers(1, 9)), int(rng.integers(1, 71))
    many = pick(rng, (BLOCK, 2 * BLOCK, 4 * BLOCK)) + int(rng.integers(-2, 4))
    return few if chance(rng, 0.5) else some if chance(rng, 0.8) else many


def fold(rng: np.random.Generator, n: int) -> tuple[int, ...]:
    """Draw a shape of n elements, or of one."""
    if chance(rng, 0.05):
        return ()
    sides = [side for side in (1, 2, 3, 5, 7, 8) if n % side == 0]
    if chance(rng, 0.7) or not sides:
        return (n,)
    side = pick(rng, sides)
    return pick(rng, ((n // side, side), (side, n // side), (side, 1, n // side)))


def some_special(rng: np.random.Generator, array: np.ndarray, values: list[float]) -> np.ndarray:
    """Replace a small or a large share of the elements by some of the values."""
    chosen = rng.choice(values, rng.integers(1, 4))
    places = rng.random(array.shape) < pick(rng, (0.02, 0.3, 0.9))
    return np.where(places, rng.choice(chosen, array.shape), array)


def draw_predictions(
    rng: np.random.Generator, loss: Loss, shape: tuple[int, ...], dtype: np.dtype, eps: float, special: bool
) -> np.ndarray:
    """Draw predictions, with the classes along the last axis."""
    if dtype.kind in "iub":
        low, high = (max(int(dtype.kind == "i") * -100, -100), 100) if loss.logits and dtype != BOOL else (0, 2)
        return rng.integers(low, high, shape).astype(dtype)
    if loss.logits:
        x = rng.normal(0, pick(rng, (0.1, 3, 30)), shape)
        x = x + (pick(rng, (1e3, -1e8, 1e20, 1e300)) if special and chance(rng, 0.2) else 0.0)
        x = np.round(x) if chance(rng, 0.2) else x
        return (some_special(rng, x, LOGITS) if special else x).astype(dtype)
    x = rng.random(shape) if loss.binary else rng.dirichlet(np.full(shape[-1], pick(rng, (0.1, 1))), shape[:-1])
    if not special:
        return x.astype(dtype)
    x = x ** pick(rng, (1, 1, 40)) if chance(rng, 0.5) else 1 - x**20
    near = EPSILON[_checks.result_type(dtype).name] * rng.integers(1, 5)
    at = [eps, np.nextafter(eps, 0), np.nextafter(eps, 1), *np.nextafter(np.float32(eps), np.float32([0, 1]))]
    return some_special(rng, x, [*PROBABILITIES, *at, *(1 - v for v in at), -near, 1 + near]).astype(dtype)


def fitting(rng: np.random.Generator, array: np.ndarray, dtypes: list[np.dtype]) -> np.ndarray:
    """Convert the array to one of the dtypes that hold its values."""
    wide = array.astype(np.longdouble)
    held = [d for d in dtypes if np.array_equal(array.astype(d).astype(np.longdouble), wide, equal_nan=d.kind in "fV")]
    return array.astype(pick(rng, held)) if held else array


def draw_targets(rng: np.random.Generator, loss: Loss, rows: tuple[int, ...], options: dict, special: bool) -> Any:
    """Draw targets, with the classes along the last axis: labels, one-hot rows or distributions."""
    kind = pick(rng, ("hard", "hard", "soft", "one-hot"))
    if kind == "soft":
        t = rng.random(rows) if loss.binary or chance(rng, 0.3) else rng.dirichlet(np.ones(rows[-1]), rows[:-1])
        t = np.where(rng.random(rows) < pick(rng, (0, 0, 0.5)), np.round(t), t)
        t = some_special(rng, t, [0.0, -0.0, 1.0, 1e-30, 1 - 2.0**-24, *TINY]) if special else t
        t = some_special(rng, t, [math.nan, -4 * 2.0**-52, 1 + 2 * 2.0**-52]) if special and chance(rng, 0.2) else t
        return t.astype(pick(rng, FLOATS))
    if loss.binary:
        return rng.integers(0, 2, rows).astype(pick(rng, [*FLOATS, *INTEGERS, BOOL]))
    t = np.asarray(rng.integers(0, rows[-1], rows[:-1]))
    if kind == "one-hot":
        return np.eye(rows[-1])[t].astype(pick(rng, [*FLOATS, *INTEGERS, BOOL]))
    if chance(rng, 0.4):
        options["ignore_index"] = pick(rng, (-100, -1, 0, 255, rows[-1], rows[-1] - 1))
        t = np.where(rng.random(t.shape) < pick(rng, (0.1, 0.5, 1)), options["ignore_index"], t)
    return fitting(rng, t, [*INTEGERS, *FLOATS, BOOL])


def draw_weights(rng: np.random.Generator, shape: tuple[int, ...], exponent: float) -> Any:
    if chance(rng, 0.4):
        return None
    if chance(rng, 0.15):
        return pick(rng, (0, 0.0, 1, 2.5, np.float32(0.1), 10.0**-exponent))
    if shape and chance(rng, 0.2):
        shape = tuple(1 if chance(rng, 0.5) else n for n in shape)
    uniform, counts = rng.random(shape), rng.integers(0, 3, shape)
    wide = 10.0 ** rng.uniform(-exponent, exponent, shape)
    w = pick(rng, (uniform, counts, counts > 0, wide, np.zeros(shape), np.ones(shape)))
    return np.asarray(w) if w is wide else fitting(rng, np.asarray(w), [*FLOATS, *INTEGERS, BOOL])


def draw_options(rng: np.random.Generator, loss: Loss, last: int, exponent: float) -> dict[str, Any]:
    """Draw options. `last` is the number of classes, or the length of the last axis of a binary loss."""
    options: dict[str, Any] = {"reduction": pick(rng, ("mean", "sum", "none"))}
    each = [rng.uniform(0.5, 2, last), rng.integers(0, 3, last) / 2, 10.0 ** rng.uniform(-exponent, exponent, last)]
    own: dict[str, Any] = {
        "mean_over": pick(rng, ("weights", "count")),
        "label_smoothing": pick(rng, (0.0, 0.1, 0.5, 1.0, 1e-5, 1e-30, float(rng.random()))),
    }
    if loss.binary:
        scalar = pick(rng, (0.0, 1, 2.5, 10.0**exponent))
        own["pos_weight"] = tuple(pick(rng, each).tolist()) if last and chance(rng, 0.4) else scalar
    else:
        own["class_weight"] = tuple(pick(rng, each).tolist())
    if loss.logits:
        own["focal_gamma"] = pick(rng, (0.0, 0.5, 1.0, 2.0, 3.7, 1e-3, 50.0, 1e6))
    else:
        own["eps"] = pick(rng, (0.0, 1e-7, 1e-3, 0.49, 1e-16, 2.0**-24, 1e-40, 1e-300, 2.0**-1074))
        own["gradient_outside"] = pick(rng, ("clipped", "zero"))
    return options | {name: value for name, value in own.items() if chance(rng, 0.3)}


def draw(rng: np.random.Generator) -> Case:
    loss, special = pick(rng, LOSSES), chance(rng, 0.6)
    dtype = pick(rng, DTYPES) if chance(rng, 0.9) else pick(rng, [*INTEGERS, BOOL])
    limit = EXPONENT[_checks.computing_type(_checks.result_type(dtype))] if special else 1
    exponents = pick(rng, ((limit, 0), (0, limit)))  # of weights and class weights: of both, products would be larger
    n, classes = length(rng), 1 if loss.binary else number_of_classes(rng)
    if n * classes <= 4 * SMALL and chance(rng, 0.7):
        n = min(n, max(1, SMALL // classes))
    shape = fold(rng, min(n, 30_000 // classes))
    rows = shape if loss.binary else (*shape, classes)
    options = draw_options(rng, loss, rows[-1] if rows else 0, exponents[1])
    x = draw_predictions(rng, loss, rows, dtype, options.get("eps", 1e-7), special)
    x = np.broadcast_to(x[:1], rows).copy() if shape and chance(rng, 0.1) else x
    t = draw_targets(rng, loss, rows, options, special)
    w = draw_weights(rng, shape, exponents[0])
    u: Any = pick(rng, (1.0, 1, -2.5, 0.1, 0.0, 1e10, np.float32(0.3), math.inf if special else 3, math.nan))
    if options["reduction"] == "none" and chance(rng, 0.5):
        u = fitting(rng, some_special(rng, rng.normal(size=shape), [0.0, -1.0]), FLOATS)
    if not loss.binary and shape and chance(rng, 0.3):
        options["axis"] = int(rng.integers(-len(rows), len(rows)))
        x = np.ascontiguousarray(np.moveaxis(x, -1, options["axis"]))
        t = np.ascontiguousarray(np.moveaxis(t, -1, options["axis"])) if t.shape == rows else t
    case = Case(loss, options, np.asarray(x), np.asarray(t), w, u, not special)
    return spoiled(rng, case) if chance(rng, 0.12) else case


def spoiled(rng: np.random.Generator, case: Case) -> Case:
    """Put invalid values into an array, or pass an array that does not fit."""
    kind = pick(rng, ("predictions", "targets", "targets", "weights", "shape", "dtype", "option"))
    if kind == "option":
        wrong = {"label_smoothing": 1.5, "reduction": "avg", "axis": 9, "eps": 0.5, "focal_gamma": -1, "pos_weight": -1}
        name = pick(rng, [name for name in wrong if name in case.loss.kind._names])
        return case._replace(options=case.options | {name: wrong[name]}, wrong="option")
    if kind == "shape":
        return case._replace(t=case.t[..., None, None], wrong="shape")
    if kind == "dtype":
        return case._replace(x=np.full(case.x.shape, b"a"), wrong="dtype")
    array = {"predictions": case.x, "targets": case.t, "weights": case.w}[kind]
    values = {
        "predictions": [1.5, -0.5, math.inf, -math.inf, 2.0, 50.0],
        "targets": [-1, case.x.shape[case.axis], 1000, 1e19, 0.5, math.nan, math.inf] if case.labels else [1.5, -0.25],
        "weights": [-1.0, math.nan, math.inf, -math.inf, -0.5],
    }[kind]
    if not isinstance(array, np.ndarray) or not array.size or array.dtype.kind in "b":
        return case
    value = pick(rng, values)
    array = array.copy()
    if array.dtype.kind in "iu":
        info = np.iinfo(array.dtype)
        array = array.astype(array.dtype if float(value).is_integer() and info.min <= value <= info.max else np.float64)
    array.reshape(-1)[rng.integers(0, array.size, rng.integers(1, 3))] = value
    return case._replace(**{{"predictions": "x", "targets": "t", "weights": "w"}[kind]: array})
