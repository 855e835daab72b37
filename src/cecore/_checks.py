"""Validation: the only place that looks at what the user passed and says what is wrong with it.

The kernels take arrays of real numbers of any layout at once, if the memory of no output reaches into that of another
array, and check the values while they compute. They come here with everything else, and with values outside their
domain: ``prepare`` turns it into arrays or raises, without a copy of what is an array already, and ``explain`` finds
the value that stopped a kernel.
"""

from __future__ import annotations

import math
import numbers
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import numpy as np

REDUCTIONS = {"mean": 0, "sum": 1, "none": 2}  # as the kernels number them
MEAN_OVER = {"weights": False, "count": True}
OUTSIDE = {"clipped": False, "zero": True}
VALUE, GRADIENT, HESSIAN = 1, 2, 4  # what a kernel is to compute
BITS = 8, 16, 32, 64  # added where it gets predictions, targets, weights or upstream of bfloat16 by their bits
PREPARED, IN_PLACE, STATE = 128, 256, 512  # as the kernels say


class BadBlock(Exception):
    """Raised by the kernels, of prepared arrays: between start and stop something is outside its domain."""


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
    """The arrays of one call, the classes along the last axis."""

    x: np.ndarray  # predictions
    targets: np.ndarray
    sample_weight: np.ndarray | None
    upstream: float | np.ndarray
    dtype: np.dtype  # of the results
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
        raise ValueError(f"{_at(name, array, (int(np.argmax(bad)),))} is not a weight: expected a finite number >= 0")
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
        nullable = np.array([not isinstance(dtype, np.dtype) for dtype in dtypes])
        if nullable.any():
            missing = np.asarray(value.isna()) & nullable  # NaN in a plain column is data
            where = _first(missing) if missing.any() else None
    elif hasattr(value, "null_count"):
        if getattr(getattr(value, "dtype", None), "inner", None) is not None:  # a polars column of arrays
            value = value.explode()
        count = value.null_count() if callable(value.null_count) else value.null_count
        if hasattr(count, "row"):  # a polars DataFrame counts by column
            count = sum(count.row(0))
        if isinstance(count, int) and count:
            where = _first(value.is_null()) if hasattr(value, "is_null") else ""
    elif any(getattr(column, "null_count", 0) for column in getattr(value, "columns", ())):  # an Arrow table
        where = ""
    if where is not None:
        raise ValueError(f"{name}{where} is missing: fill or drop missing values first")


def real_array(name: str, value: Any) -> np.ndarray:
    """An array of real numbers, of any layout; anything that ``np.asarray`` takes, and DLPack."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array: pass its data; a loss takes the mask as sample_weight")
    if not isinstance(value, (np.ndarray, list, tuple, float, int)):
        _refuse_missing(name, value)
        value = _shared(name, value)
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name} is not an array of numbers: {error}") from None
    except (TypeError, RuntimeError, BufferError) as error:
        raise TypeError(f"{name} cannot be read as an array: {error}") from None
    if array.dtype == object and hasattr(value, "to_numpy"):
        array = _without_nullable(value, array)
    if array.dtype.kind not in "fiub" and not is_bfloat16(array.dtype):
        raise TypeError(f"{name} has dtype {array.dtype}: expected real numbers")
    return array


def _shared(name: str, value: Any) -> Any:
    """What ``np.asarray`` can take, with the same memory; an error for tensors that have none to share."""
    if getattr(value, "requires_grad", False) is True:
        raise TypeError(f"{name} is a tensor that requires grad: pass {name}.detach()")
    device = getattr(value, "device", None)
    if getattr(device, "type", "cpu") != "cpu":
        raise TypeError(f"{name} is on the device {device}: copy it to the CPU first")
    if str(getattr(value, "dtype", "")) == "torch.bfloat16":
        try:
            from ml_dtypes import bfloat16
        except ImportError:
            raise TypeError(f"{name} is a bfloat16 tensor: reading it needs pip install 'cecore[bfloat16]'") from None
        return np.asarray(value.view(sys.modules["torch"].int16)).view(bfloat16)
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        try:
            return np.from_dlpack(value)
        except (RuntimeError, TypeError, BufferError, ValueError) as error:
            raise TypeError(f"{name} cannot be read as an array: {error}") from None
    return value


def _without_nullable(value: Any, array: np.ndarray) -> np.ndarray:
    """A pandas object with nullable columns, none of which misses anything, in the common dtype of their numbers."""
    dtypes = value.dtypes if hasattr(value, "columns") else [getattr(value, "dtype", None)]
    known = [getattr(dtype, "numpy_dtype", dtype) for dtype in dtypes]
    if not known or not all(isinstance(dtype, np.dtype) and dtype.kind in "fiub" for dtype in known):
        return array
    converted: np.ndarray = value.to_numpy(dtype=np.result_type(*known))
    return converted


def is_bfloat16(dtype: np.dtype) -> bool:
    """Whether it is bfloat16 of ml_dtypes, which is not imported for the question, in either byte order."""
    return dtype.kind == "V" and dtype.newbyteorder("=").name == "bfloat16"


def result_type(dtype: np.dtype) -> np.dtype:
    """The dtype of the results, from that of the predictions."""
    native = dtype.newbyteorder("=")
    return native if native in (np.float16, np.float32) or is_bfloat16(native) else np.dtype(np.float64)


def computing_type(dtype: np.dtype) -> np.dtype:
    """The dtype to which targets and weights are converted, from that of the results."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def by_bits(*arrays: Any) -> tuple[int, list[Any]]:
    """Predictions, targets, weights and upstream for a kernel: bfloat16 as its bits, and the flags that say so."""
    flags, found = 0, []
    for array, flag in zip(arrays, BITS, strict=False):
        if isinstance(array, np.ndarray) and is_bfloat16(array.dtype):
            flags, array = flags | flag, as_bits(array)
        found.append(array)
    return flags, found


def as_bits(array: np.ndarray) -> np.ndarray:
    """The same memory as integers of 16 bits, in the byte order of the array."""
    return array.view(np.dtype(np.uint16).newbyteorder(array.dtype.byteorder))


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
    """Arrays for a kernel, or the error."""
    name = spec.x
    x = real_array(name, given)
    t = real_array("targets", targets)
    shape = full = x.shape
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
        x = np.moveaxis(x, axis, -1)
        t = np.moveaxis(t, axis, -1) if t.ndim == x.ndim else t
    elif t.shape != shape:
        raise ValueError(f"targets has shape {t.shape}, {name} has shape {shape}: expected equal shapes")
    elif isinstance(spec.pos_weight, tuple) and shape[-1:] != (len(spec.pos_weight),):
        raise ValueError(
            f"pos_weight has length {len(spec.pos_weight)}: expected that of the last axis, {name} has shape {shape}"
        )
    w = None
    if sample_weight is not None:
        w = real_array("sample_weight", sample_weight)
        if w.shape != shape:
            raise ValueError(f"sample_weight has shape {w.shape}: expected {shape}, the shape of the losses")
    return Call(x, t, w, _upstream(upstream, reduction, shape), result_type(x.dtype), axis)


def _upstream(upstream: Any, reduction: str, shape: tuple[int, ...]) -> float | np.ndarray:
    u = real_array("upstream", upstream)
    if u.ndim == 0:
        return float(u)
    if reduction != "none":
        raise ValueError(f"upstream has shape {u.shape}: expected a number, since reduction is {reduction!r}")
    if u.shape != shape:
        raise ValueError(f"upstream has shape {u.shape}: expected a number or {shape}, the shape of the losses")
    return u


def no_output(name: str, out: Any, reduction: str) -> None:
    if out is not None and reduction != "none":
        raise ValueError(f"{name} is given, but the loss is a single number with reduction {reduction!r}")


def outputs(spec: Spec, call: Call, given: Any, wanted: int, outs: tuple[Any, ...]) -> bool:
    """Check the arrays for the value, the gradient and the Hessian against the call's arrays and each other.

    `given` is what the user passed as predictions. Whether one of the outputs is that array.
    """
    names = (
        "loss_out" if wanted & GRADIENT else "out",
        "out" if wanted == GRADIENT else "gradient_out",
        "hessian_out",
    )
    x = np.moveaxis(call.x, -1, call.axis) if spec.rows else call.x
    inner = call.x.shape[:-1] if spec.rows else x.shape
    in_place = False
    for name, shape, out in zip(names, (inner, x.shape, x.shape), outs, strict=True):
        if out is not None:
            output(name, out, shape, call.dtype)
            others = (*call[1:4], *(o for o in outs if o is not out))
            place = given if isinstance(given, np.ndarray) else x
            if any(_overlap(out, other) for other in others) or (_overlap(out, place) and not _same(out, place)):
                raise ValueError(f"{name} overlaps another array of the call: it may only be {spec.x} itself")
            in_place |= _overlap(out, place)
    if sum(out is not None for out in outs) > len({id(out) for out in outs if out is not None}):
        raise ValueError("one array is given for two results")
    return in_place


def output(name: str, out: Any, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
        raise TypeError(f"{name} is a {type(out).__name__}: expected a numpy.ndarray")
    if out.shape != shape or out.dtype.newbyteorder("=") != dtype:
        raise ValueError(f"{name} has shape {out.shape} and dtype {out.dtype}: expected {shape} and {dtype}")
    if not out.flags.writeable:
        raise ValueError(f"{name} is read-only")
    if out.size and not _are_distinct(out):
        raise ValueError(f"{name} has elements that share their memory")


def _are_distinct(out: np.ndarray) -> bool:
    """Whether, along each axis in the order of the strides, a step is beyond what lies within it."""
    within = out.itemsize
    for stride, length in sorted((abs(s), n) for s, n in zip(out.strides, out.shape, strict=True) if n > 1):
        if stride < within:
            return False
        within += (length - 1) * stride
    return True


def apart(out: np.ndarray, others: list[Any], but: str) -> bool:
    """Refuse an output that overlaps an array without being that array; whether it is one of them."""
    shared = [other for other in others if _overlap(out, other)]
    if not all(_same(out, other) for other in shared):
        raise ValueError(f"out overlaps another array of the call: {but}")
    return bool(shared)


def _overlap(a: np.ndarray, b: Any) -> bool:
    if not isinstance(b, np.ndarray) or not np.may_share_memory(a, b):
        return False
    most: Any = 10_000  # which the types of NumPy < 2.5 do not allow
    try:
        return bool(np.shares_memory(a, b, max_work=most))
    except getattr(np, "exceptions", np).TooHardError:  # NumPy 1.25 moved it
        return True


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    if (a.ctypes.data, a.shape, a.dtype) != (b.ctypes.data, b.shape, b.dtype):
        return False
    strides = zip(a.strides, b.strides, a.shape, strict=True)
    return all(first == second for first, second, length in strides if length > 1)


# ---------------------------------------------------------------- values


def _at(name: str, array: np.ndarray, index: tuple[Any, ...], axis: int = -1) -> str:
    """``name[i, j] = value`` of an element; the last axis was at `axis` before."""
    places = [str(i) for i in index]
    if axis >= 0:
        places.insert(axis, places.pop())
    value = array[index].item()
    return f"{name}[{', '.join(places)}] = {value!r}" if array.ndim else f"{name} = {value!r}"


def _within(
    name: str, array: np.ndarray, dtype: np.dtype, index: tuple[Any, ...], axis: int, used: Any = True
) -> np.ndarray:
    """The elements at an index, one alone or those along the last axis, as a dtype, after a look at the used ones."""
    values = np.asarray(array[index]).astype(dtype)
    outside = used & ((values < 0) | (values > 1))
    if outside.any():
        at = index if values.ndim == 0 else (*index, int(np.argmax(outside)))
        raise ValueError(f"{_at(name, array, at, axis)} is outside [0, 1]")
    return values


def explain(spec: Spec, call: Call, start: int, stop: int) -> NoReturn:
    """Raise the error of the first element or row from start to stop that is outside its domain."""
    with np.errstate(over="ignore", invalid="ignore"):
        _explain(spec, call, start, stop)
    raise ValueError(f"{spec.x}, targets or sample_weight changed during the call")


def _explain(spec: Spec, call: Call, start: int, stop: int) -> None:
    x, targets, w = call[:3]
    computing = computing_type(result_type(x.dtype))
    for i in range(start, stop):
        index = tuple(int(k) for k in np.unravel_index(i, x.shape[:-1] if spec.rows else x.shape))
        weight = 1.0 if w is None else w[index].astype(computing)
        if not (weight >= 0 and math.isfinite(weight)):
            assert w is not None
            raise ValueError(f"{_at('sample_weight', w, index)} is not a weight: expected a finite number >= 0")
        if weight == 0:
            continue
        if spec.rows:
            _explain_row(spec, x, targets, computing, index, call.axis)
            continue
        t = _within("targets", targets, computing, index, -1)
        if spec.x == "probs":
            positive = 1.0 if spec.pos_weight is None else np.ravel(spec.pos_weight)[i % np.size(spec.pos_weight)]
            used = positive != 0 or t != 1 or spec.label_smoothing != 0
            _within("probs", x, computing, index, -1, used)


def _explain_row(
    spec: Spec, x: np.ndarray, targets: np.ndarray, computing: np.dtype, row: tuple[int, ...], axis: int
) -> None:
    classes = x.shape[-1]
    if targets.ndim == x.ndim:
        t = _within("targets", targets, computing, row, axis)
    else:
        label = targets[row]
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
        _within("probs", x, computing, row, axis, used)
