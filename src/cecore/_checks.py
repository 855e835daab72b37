"""Validation: the only place that looks at what the user passed and says what is wrong with it.

The kernels take plain arrays (C-contiguous, aligned, of native byte order) at once and check the values while they
compute. They come here with everything else: ``prepare`` turns it into plain arrays or raises, and ``explain`` finds
the value that stopped a kernel.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import numpy as np

REDUCTIONS = {"mean": 0, "sum": 1, "none": 2}  # as the kernels number them
MEAN_OVER = {"weights": False, "count": True}
OUTSIDE = {"clipped": False, "zero": True}
VALUE, GRADIENT, HESSIAN = 1, 2, 4  # what a kernel is to compute
BFLOAT16_BITS = 8  # added where it gets predictions by their bits


class BadBlock(Exception):
    """Raised by the kernels: between start and stop something is outside its domain."""


class Spec(NamedTuple):
    """What the checks must know of a loss."""

    x: str  # the name of its predictions: probs or logits
    rows: bool
    label_smoothing: float
    axis: int = -1
    class_weight: tuple[float, ...] | None = None
    pos_weight: float | tuple[float, ...] | None = None
    ignore_index: int | None = None


class Call(NamedTuple):
    """The plain arrays of one call, the classes along the last axis."""

    x: np.ndarray  # predictions; those of bfloat16 by their bits
    targets: np.ndarray
    sample_weight: np.ndarray | None
    upstream: float | np.ndarray
    dtype: np.dtype  # of the predictions and the results
    axis: int = -1  # where the classes were


# ---------------------------------------------------------------- options


def choice(name: str, value: object, allowed: dict[str, Any]) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} = {value!r}: expected one of {', '.join(map(repr, allowed))}")


def number(name: str, value: object, wanted: str, fine: Callable[[float], bool]) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} = {value!r}: expected a real number")
    result = as_float(name, value)
    if not fine(result):
        raise ValueError(f"{name} = {value!r}: expected {wanted}")
    return result + 0.0  # -0.0 becomes 0.0


def as_float(name: str, value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} is an integer beyond the range of float64") from None


def integer(name: str, value: object, least: int, most: int) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} = {value!r}: expected an integer")
    if not least <= int(value) <= most:
        raise ValueError(f"{name} = {value!r}: expected {least}..{most}")
    return int(value)


def weights(name: str, value: Any) -> tuple[float, ...]:
    """One weight for each class or element, as an immutable value."""
    array = real_array(name, value)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{name} has shape {array.shape}: expected one dimension, and a weight at least")
    array = array.astype(np.float64)
    bad = ~((array >= 0) & np.isfinite(array))
    if bad.any():
        raise ValueError(f"{_at(name, array, int(bad.argmax()))} is not a weight: expected a finite number >= 0")
    return tuple(array.tolist())


def weight(name: str, value: Any) -> float | tuple[float, ...]:
    """One weight, or one for each element along the last axis."""
    if not isinstance(value, (numbers.Real, str, bytes)):
        array = real_array(name, value)
        if array.ndim:
            return weights(name, array)
        value = float(array)
    return number(name, value, "a finite number >= 0", is_weight)


def is_weight(value: float) -> bool:
    return 0 <= value < math.inf


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
        raise TypeError(f"{name} is a masked array: pass its data; a loss takes the mask as sample_weight")
    if not isinstance(value, (np.ndarray, list, tuple, float, int)):
        _refuse_missing(name, value)
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name} is not an array of numbers: {error}") from None
    if array.dtype.kind not in "fiub" and not is_bfloat16(array.dtype):
        raise TypeError(f"{name} has dtype {array.dtype}: expected real numbers")
    return array


def is_bfloat16(dtype: np.dtype) -> bool:
    """Whether it is bfloat16 of ml_dtypes, which is not imported for the question."""
    return dtype.kind == "V" and dtype.name == "bfloat16"


def plain(array: np.ndarray, dtype: Any) -> np.ndarray:
    wanted: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large becomes inf, and is judged as that
        result: np.ndarray = np.require(array, wanted, ["C_CONTIGUOUS", "ALIGNED", "ENSUREARRAY"])
    return result


def _number_type(array: np.ndarray, computing: np.dtype) -> np.dtype:
    """The type in which a kernel reads targets, weights or upstream: its own if it can, else the computing type."""
    native = array.dtype.newbyteorder("=")
    return native if native.kind in "iub" or native in (np.float16, np.float32, np.float64) else computing


def predictions(name: str, value: Any) -> tuple[np.ndarray, np.dtype]:
    """An array in one of the types that kernels compute with or convert, bfloat16 by its bits, and its dtype."""
    given = real_array(name, value)
    if is_bfloat16(given.dtype):
        return np.require(given, given.dtype.newbyteorder("="), ["C", "A", "E"]).view(np.uint16), given.dtype
    native = given.dtype.newbyteorder("=")
    dtype = native if native in (np.float16, np.float32) else np.dtype(np.float64)
    return plain(given, dtype), dtype


def moved(name: str, shape: tuple[int, ...], axis: int) -> int:
    """The axis of the classes, as a number >= 0."""
    if not shape:
        raise ValueError(f"{name} has shape (): expected at least one dimension, the classes")
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"axis = {axis} is out of range: {name} has shape {shape}")
    axis %= len(shape)
    if shape[axis] == 0:
        raise ValueError(f"{name} has shape {shape}: expected at least one class along axis {axis}")
    return axis


def prepare(spec: Spec, reduction: str, given: Any, targets: Any, sample_weight: Any, upstream: Any) -> Call:
    """Plain arrays for a kernel, or the error."""
    name = spec.x
    x, dtype = predictions(name, given)
    computing = np.dtype(np.float64 if dtype == np.float64 else np.float32)
    shape = full = x.shape
    t = real_array("targets", targets)
    axis = -1
    if spec.rows:
        axis = moved(name, full, spec.axis)
        shape = full[:axis] + full[axis + 1 :]
        if t.shape not in (shape, full):
            raise ValueError(
                f"targets has shape {t.shape}, {name} has shape {full}: "
                f"expected {shape} for class labels or {full} for distributions"
            )
        if spec.ignore_index is not None and t.ndim == x.ndim:
            raise ValueError(f"ignore_index = {spec.ignore_index}: targets of shape {t.shape} are not class labels")
        if spec.class_weight is not None and len(spec.class_weight) != full[axis]:
            raise ValueError(
                f"class_weight has length {len(spec.class_weight)}: expected {full[axis]}, the number of classes"
            )
        x = np.ascontiguousarray(np.moveaxis(x, axis, -1))
        t = np.moveaxis(t, axis, -1) if t.ndim == x.ndim else t
    elif t.shape != shape:
        raise ValueError(f"targets has shape {t.shape}, {name} has shape {shape}: expected equal shapes")
    elif isinstance(spec.pos_weight, tuple) and shape[-1:] != (len(spec.pos_weight),):
        raise ValueError(
            f"pos_weight has length {len(spec.pos_weight)}: expected that of the last axis, {name} has shape {shape}"
        )
    labels = t.ndim < x.ndim  # these are never rounded to the computing type
    t = plain(t, _number_type(t, np.dtype(np.float64) if labels else computing))
    w = None
    if sample_weight is not None:
        w = real_array("sample_weight", sample_weight)
        if w.shape != shape:
            raise ValueError(f"sample_weight has shape {w.shape}: expected {shape}, the shape of the losses")
        w = plain(w, _number_type(w, computing))
    return Call(x, t, w, _upstream(upstream, reduction, shape, computing), dtype, axis)


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


def outputs(spec: Spec, call: Call, given: tuple[Any, ...], wanted: int, outs: tuple[Any, ...]) -> None:
    """Check the arrays for the value, the gradient and the Hessian against the call's shapes and each other.

    `given` is what the user passed as predictions, targets, weights and upstream.
    """
    names = (
        "loss_out" if wanted & GRADIENT else "out",
        "out" if wanted == GRADIENT else "gradient_out",
        "hessian_out",
    )
    inner = call.x.shape[:-1] if spec.rows else call.x.shape
    full = inner[: call.axis] + call.x.shape[-1:] + inner[call.axis :] if spec.rows and call.axis >= 0 else call.x.shape
    for name, shape, out in zip(names, (inner, full, full), outs, strict=True):
        if out is not None:
            output(name, out, shape, call.dtype)
            others = (*given[1:], *call[1:4], *(o for o in outs if o is not out))
            x = given[0] if isinstance(given[0], np.ndarray) else call.x
            if any(_overlap(out, other) for other in others) or (_overlap(out, x) and not _same(out, x)):
                raise ValueError(f"{name} overlaps another array of the call: it may only be {spec.x} itself")
    if sum(out is not None for out in outs) > len({id(out) for out in outs if out is not None}):
        raise ValueError("one array is given for two results")


def output(name: str, out: Any, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
        raise TypeError(f"{name} is a {type(out).__name__}: expected a numpy.ndarray")
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(f"{name} has shape {out.shape} and dtype {out.dtype}: expected {shape} and {dtype}")
    if not out.flags.writeable:
        raise ValueError(f"{name} is read-only")


def apart(out: np.ndarray, others: tuple[Any, ...], but: str) -> None:
    """Refuse an output that overlaps an array without being that array."""
    if any(_overlap(out, other) and not _same(out, other) for other in others):
        raise ValueError(f"out overlaps another array of the call: {but}")


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


def _at(name: str, array: np.ndarray, flat: int, axis: int = -1) -> str:
    """``name[i, j] = value`` of an element by its flat index; the last axis was at `axis` before."""
    index = [str(i) for i in np.unravel_index(flat, array.shape)]
    value = array.reshape(-1)[flat].item()
    if axis >= 0:
        index.insert(axis, index.pop())
    return f"{name}[{', '.join(index)}] = {value!r}" if array.ndim else f"{name} = {value!r}"


def _within(name: str, array: np.ndarray, flat: np.ndarray, axis: int, used: Any = True) -> np.ndarray:
    """The elements with these flat indices, after a look at the used ones."""
    values: np.ndarray = array.reshape(-1)[flat].astype(np.float64)
    outside = used & ((values < 0) | (values > 1))
    if outside.any():
        raise ValueError(f"{_at(name, array, flat[outside.argmax()], axis)} is outside [0, 1]")
    return values


def explain(spec: Spec, call: Call, start: int, stop: int) -> NoReturn:
    """Raise the error of the first element or row from start to stop that is outside its domain."""
    with np.errstate(over="ignore", invalid="ignore"):
        _explain(spec, call, start, stop)
    raise ValueError(f"{spec.x}, targets or sample_weight changed during the call")


def _explain(spec: Spec, call: Call, start: int, stop: int) -> None:
    w = call.sample_weight
    computing = np.float64 if call.dtype == np.float64 else np.float32
    weights = np.ones(stop - start) if w is None else w.reshape(-1)[start:stop].astype(computing)
    x = call.x.view(call.dtype) if is_bfloat16(call.dtype) else call.x
    for i in range(start, stop):
        weight = weights[i - start]
        if not (weight >= 0 and math.isfinite(weight)):
            assert w is not None
            raise ValueError(f"{_at('sample_weight', w, i)} is not a weight: expected a finite number >= 0")
        if weight == 0:
            continue
        if spec.rows:
            _explain_row(spec, x, call.targets, i, call.axis)
            continue
        t = _within("targets", call.targets, np.array([i]), -1).item()
        if spec.x == "probs":
            positive = 1.0 if spec.pos_weight is None else np.ravel(spec.pos_weight)[i % np.size(spec.pos_weight)]
            used = positive != 0 or t != 1 or spec.label_smoothing != 0
            _within("probs", x, np.array([i]), -1, used)


def _explain_row(spec: Spec, x: np.ndarray, targets: np.ndarray, row: int, axis: int) -> None:
    classes = x.shape[-1]
    flat = np.arange(row * classes, (row + 1) * classes)
    if targets.ndim == x.ndim:
        t = _within("targets", targets, flat, axis)
    else:
        label = targets.reshape(-1)[row]
        ignored = spec.ignore_index
        if label.item() == ignored:
            return
        if not (0 <= label < classes and label == math.floor(label)):
            wanted = f"0..{classes - 1}" + ("" if ignored is None else f" or ignore_index {ignored}")
            raise ValueError(f"{_at('targets', targets, row)} is not a class: expected {wanted}")
        t = (np.arange(classes) == label).astype(np.float64)
    if spec.x == "probs":
        used = (t != 0) | (spec.label_smoothing != 0)
        if spec.class_weight is not None:
            used &= np.asarray(spec.class_weight) != 0
        _within("probs", x, flat, axis, used)
