"""Validation: the only place that looks at what the user passed and says what is wrong with it.

The kernels take plain arrays (C-contiguous, aligned, of native byte order) at once and check the values while they
compute. They come here with everything else: ``prepare`` turns it into plain arrays or raises, and ``explain`` finds
the value that stopped a kernel.
"""

from __future__ import annotations

import math
import numbers
from typing import Any, NamedTuple, NoReturn

import numpy as np

REDUCTIONS = {"mean": 0, "sum": 1, "none": 2}  # as the kernels number them
OUTSIDE = {"clipped": False, "zero": True}
VALUE, GRADIENT, HESSIAN = 1, 2, 4  # what a kernel is to compute


class BadBlock(Exception):
    """Raised by the kernels: between start and stop something is outside its domain."""


class Call(NamedTuple):
    """The plain arrays of one call."""

    probs: np.ndarray
    targets: np.ndarray
    sample_weight: np.ndarray | None
    upstream: float | np.ndarray


# ---------------------------------------------------------------- options


def choice(name: str, value: object, allowed: dict[str, Any]) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} = {value!r}: expected one of {', '.join(map(repr, allowed))}")


def clip(eps: object) -> float:
    if isinstance(eps, (bool, np.bool_)) or not isinstance(eps, numbers.Real):
        raise TypeError(f"eps = {eps!r}: expected a real number")
    number = float(eps)
    if not 0 <= number < 0.5:
        raise ValueError(f"eps = {eps!r}: expected 0 <= eps < 0.5")
    return number + 0.0  # -0.0 becomes 0.0


# ---------------------------------------------------------------- arrays


def _first(missing: Any) -> str:
    index = np.argwhere(np.asarray(missing))[0]
    return f"[{', '.join(map(str, index))}]"


def _refuse_missing(name: str, value: Any) -> None:
    """Nullable pandas, polars and pyarrow data is asked before a conversion can turn the missing into NaN."""
    where = None
    if hasattr(value, "isna") and (hasattr(value, "dtype") or hasattr(value, "dtypes")):
        dtypes = value.dtypes if hasattr(value, "columns") else [value.dtype]
        if not all(isinstance(dtype, np.dtype) for dtype in dtypes) and np.asarray(value.isna()).any():
            where = _first(value.isna())
    elif hasattr(value, "null_count"):
        count = value.null_count() if callable(value.null_count) else value.null_count
        if hasattr(count, "row"):  # a polars DataFrame counts by column
            count = sum(count.row(0))
        if count:
            where = _first(value.is_null()) if hasattr(value, "is_null") else ""
    if where is not None:
        raise ValueError(f"{name}{where} is missing: fill or drop missing values first")


def real_array(name: str, value: Any) -> np.ndarray:
    """An array of real numbers in the machine's byte order; anything that ``np.asarray`` takes."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array: pass its data, and the mask as sample_weight")
    if not isinstance(value, (np.ndarray, list, tuple, float, int)):
        _refuse_missing(name, value)
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name} is not an array of numbers: {error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {array.dtype}: expected real numbers")
    return array


def plain(array: np.ndarray, dtype: Any) -> np.ndarray:
    wanted: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large becomes inf, and is judged as that
        result: np.ndarray = np.require(array, wanted, ["C_CONTIGUOUS", "ALIGNED", "ENSUREARRAY"])
    return result


def _number_type(array: np.ndarray, computing: np.dtype) -> np.dtype:
    """The type in which a kernel reads targets, weights or upstream: its own if it can, else the computing type."""
    native = array.dtype.newbyteorder("=")
    return native if native.kind in "iub" or native in (np.float32, np.float64) else computing


def prepare(rows: bool, reduction: str, probs: Any, targets: Any, sample_weight: Any, upstream: Any) -> Call:
    """Plain arrays for a kernel, or the error."""
    given = real_array("probs", probs)
    if given.dtype.kind == "f" and given.dtype.itemsize < 4:
        raise TypeError(f"probs has dtype {given.dtype}: expected float64, float32, integers or bool")
    x = plain(given, np.float32 if given.dtype.newbyteorder("=") == np.float32 else np.float64)
    shape = x.shape
    if rows:
        if x.ndim == 0:
            raise ValueError("probs has shape (): expected at least one dimension, the classes")
        if shape[-1] == 0:
            raise ValueError(f"probs has shape {shape}: expected at least one class along the last axis")
        shape = shape[:-1]
    t = real_array("targets", targets)
    if rows and t.shape not in (shape, x.shape):
        raise ValueError(
            f"targets has shape {t.shape}, probs has shape {x.shape}: "
            f"expected {shape} for class labels or {x.shape} for distributions"
        )
    if not rows and t.shape != shape:
        raise ValueError(f"targets has shape {t.shape}, probs has shape {shape}: expected equal shapes")
    t = plain(t, _number_type(t, x.dtype))
    w = None
    if sample_weight is not None:
        w = real_array("sample_weight", sample_weight)
        if w.shape != shape:
            raise ValueError(f"sample_weight has shape {w.shape}: expected {shape}, the shape of the losses")
        w = plain(w, _number_type(w, x.dtype))
    return Call(x, t, w, _upstream(upstream, reduction, shape, x.dtype))


def _upstream(upstream: Any, reduction: str, shape: tuple[int, ...], computing: np.dtype) -> float | np.ndarray:
    u = real_array("upstream", upstream)
    if u.ndim == 0:
        return float(u)
    if reduction != "none":
        raise ValueError(f"upstream has shape {u.shape}: expected a number, since reduction is {reduction!r}")
    if u.shape != shape:
        raise ValueError(f"upstream has shape {u.shape}: expected a number or {shape}, the shape of the losses")
    return plain(u, _number_type(u, computing))


def no_output(name: str, out: Any, reduction: str) -> None:
    if out is not None and reduction != "none":
        raise ValueError(f"{name} is given, but the loss is a single number with reduction {reduction!r}")


def outputs(rows: bool, call: Call, given: tuple[Any, ...], wanted: int, outs: tuple[Any, ...]) -> None:
    """Check the arrays for the value, the gradient and the Hessian against the call's shapes and each other.

    `given` is what the user passed as predictions, targets, weights and upstream.
    """
    x = call.probs
    names = (
        "loss_out" if wanted & GRADIENT else "out",
        "out" if wanted == GRADIENT else "gradient_out",
        "hessian_out",
    )
    shapes = (x.shape[:-1] if rows else x.shape, x.shape, x.shape)
    for name, shape, out in zip(names, shapes, outs, strict=True):
        if out is None:
            continue
        if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
            raise TypeError(f"{name} is a {type(out).__name__}: expected a numpy.ndarray")
        if out.shape != shape or out.dtype != x.dtype:
            raise ValueError(f"{name} has shape {out.shape} and dtype {out.dtype}: expected {shape} and {x.dtype}")
        if not out.flags.writeable:
            raise ValueError(f"{name} is read-only")
        others = (*given[1:], *call[1:], *(o for o in outs if o is not out))
        if any(_overlap(out, other) for other in others) or (_overlap(out, given[0]) and not _same(out, given[0])):
            raise ValueError(f"{name} overlaps another array of the call: it may only be probs itself")
    if sum(out is not None for out in outs) > len({id(out) for out in outs if out is not None}):
        raise ValueError("one array is given for two results")


def _overlap(a: np.ndarray, b: Any) -> bool:
    if not isinstance(b, np.ndarray) or not np.may_share_memory(a, b):
        return False
    try:
        return bool(np.shares_memory(a, b, max_work=10_000))  # type: ignore[arg-type]
    except getattr(np, "exceptions", np).TooHardError:  # NumPy 1.25 moved it
        return True


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return (a.ctypes.data, a.strides, a.shape, a.dtype) == (b.ctypes.data, b.strides, b.shape, b.dtype)


# ---------------------------------------------------------------- values


def _at(name: str, array: np.ndarray, flat: int) -> str:
    """``name[i, j] = value`` of an element by its flat index."""
    index = ", ".join(str(i) for i in np.unravel_index(flat, array.shape))
    value = array.reshape(-1)[flat].item()
    return f"{name}[{index}] = {value!r}" if array.ndim else f"{name} = {value!r}"


def _within(name: str, array: np.ndarray, flat: np.ndarray, computing: np.dtype, used: Any = True) -> np.ndarray:
    """The elements with these flat indices in the computing type, after a look at the used ones."""
    values: np.ndarray = array.reshape(-1)[flat].astype(computing)
    outside = used & ((values < 0) | (values > 1))
    if outside.any():
        raise ValueError(f"{_at(name, array, flat[outside.argmax()])} is outside [0, 1]")
    return values


def explain(rows: bool, call: Call, start: int, stop: int) -> NoReturn:
    """Raise the error of the first element or row from start to stop that is outside its domain."""
    with np.errstate(over="ignore", invalid="ignore"):
        _explain(rows, call, start, stop)
    raise ValueError("probs, targets or sample_weight changed during the call")


def _explain(rows: bool, call: Call, start: int, stop: int) -> None:
    x, targets, w, _ = call
    weights = np.ones(stop - start) if w is None else w.reshape(-1)[start:stop].astype(x.dtype)
    for i in range(start, stop):
        weight = weights[i - start]
        if not (weight >= 0 and math.isfinite(weight)):
            assert w is not None
            raise ValueError(f"{_at('sample_weight', w, i)} is not a weight: expected a finite number >= 0")
        if weight == 0:
            continue
        if rows:
            _explain_row(x, targets, i)
        else:
            _within("targets", targets, np.array([i]), x.dtype)
            _within("probs", x, np.array([i]), x.dtype)


def _explain_row(x: np.ndarray, targets: np.ndarray, row: int) -> None:
    classes = x.shape[-1]
    if targets.ndim == x.ndim:
        flat = np.arange(row * classes, (row + 1) * classes)
        t = _within("targets", targets, flat, x.dtype)
        _within("probs", x, flat, x.dtype, t != 0)
        return
    label = targets.reshape(-1)[row]
    if not (0 <= label < classes and label == math.floor(label)):
        raise ValueError(f"{_at('targets', targets, row)} is not a class: expected 0..{classes - 1}")
    _within("probs", x, np.array([row * classes + int(label)]), x.dtype)
