"""Validation of all inputs, and every message to the user.

The kernels take arrays of real numbers in any layout, and check the values while they compute. All other inputs come to
this module. ``prepare`` converts the inputs to arrays or raises an error; it never copies an input that is an array
already. ``explain`` finds the value that stopped a kernel. A message says what was received, where, what was expected,
and what to do.
"""

from __future__ import annotations

import math
import numbers
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, NoReturn

import numpy as np

REDUCTIONS = {"mean": 0, "sum": 1, "none": 2}  # numbered as in the kernels
MEAN_OVER = {"weights": False, "count": True}
OUTSIDE = {"clipped": False, "zero": True}
VALUE, GRADIENT, HESSIAN = 1, 2, 4  # the results that a kernel must compute
BITS = 8, 16, 32, 64  # set if the predictions, targets, weights or upstream are passed as the bits of bfloat16
PREPARED, IN_PLACE, STATE, WARNED = 128, 256, 512, 1024  # as in the kernels
TOLERATED = 4  # machine epsilons outside [0, 1] that count as the user's own rounding, as in the kernels


class InputWarning(UserWarning):
    """The inputs of a loss are valid but look like a mistake.

    The warning points at the line that called cecore. Python shows it once per line by default. There are two cases.

    1. `BinaryCrossEntropy`: the first 256 predictions are all exactly 0 or 1, but one of their targets lies between 0
       and 1. The arguments may be swapped: predictions come first.
    2. `CrossEntropy`: the first row that counts does not sum to 1. A row counts if it is not ignored, has a weight
       above 0 and holds no NaN. The tolerance is 1e-3, or 1e-2 for float16 and bfloat16. With class labels, rows of
       more than 1,024 classes are not summed. The array may hold logits, or its classes may lie along another axis.

    If the inputs are correct, turn the warning off with
    ``warnings.filterwarnings("ignore", category=cecore.InputWarning)``.

    Examples
    --------
    >>> import warnings
    >>> import cecore
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", cecore.InputWarning)
    ...     cecore.cross_entropy([[0.5, 0.25, 0.125]], [0])
    0.6931471805599453
    """


class BadBlock(Exception):
    """A value between start and stop is outside its domain. The kernels raise this error for prepared arrays."""


class Suspicious(Exception):
    """The user should be warned. The kernels raise this for prepared arrays, before they compute anything."""


class Spec(NamedTuple):
    """The properties of a loss that the checks need."""

    x: str  # the name of the predictions: probs or logits
    rows: bool  # whether the loss is categorical: one loss per row
    label_smoothing: float
    axis: int = -1
    class_weight: tuple[float, ...] | None = None
    pos_weight: float | tuple[float, ...] | None = None
    ignore_index: int | None = None

    @property
    def kind(self) -> str:
        return ("" if self.rows else "Binary") + "CrossEntropy"

    @property
    def function(self) -> str:
        name = "cross_entropy" if self.rows else "binary_cross_entropy"
        return name if self.x == "probs" else f"{name}_with_logits"


class Call(NamedTuple):
    """The arrays of one call, with the classes along the last axis."""

    x: np.ndarray  # predictions
    targets: np.ndarray
    sample_weight: np.ndarray | None
    upstream: float | np.ndarray
    dtype: np.dtype  # the dtype of the results
    axis: int = -1  # the position of the class axis in the user's predictions


# ---------------------------------------------------------------- options

MEANT = {  # the names that users of other libraries write, and the names in cecore
    "average": "mean",
    "avg": "mean",
    "batchmean": "mean",
    "sum_over_batch_size": "mean",
    "total": "sum",
    "sample": "none",
    "zeros": "zero",
    "clip": "clipped",
    "batch": "count",
    "samples": "count",
    "epsilon": "eps",
    "clip_eps": "eps",
    "gamma": "focal_gamma",
    "smoothing": "label_smoothing",
    "ignore_class": "ignore_index",
    "dim": "axis",
    "class_weights": "class_weight",
    "weights": "sample_weight",
    "mask": "sample_weight",
    "where": "sample_weight",
}


def listed(words: Iterable[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def counted(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def choice(name: str, value: object, allowed: dict[str, Any]) -> str:
    if isinstance(value, str) and value in allowed:
        return value
    hint = ""
    if value is None and "none" in allowed:
        hint = ". Did you mean 'none', which returns one loss per sample?"
    elif isinstance(value, str):
        meant = similar(value, list(allowed))
        hint = f". Did you mean {meant!r}?" if meant else ""
    raise ValueError(f"{name} = {value!r}: expected {listed(map(repr, allowed))}{hint}")


def _choice(allowed: dict[str, Any]) -> Callable[[str, Any], str]:
    return lambda name, value: choice(name, value, allowed)


def _number(wanted: str, fine: Callable[[float], bool]) -> Callable[[str, Any], float]:
    return lambda name, value: number(name, value, wanted, fine)


def _integer(least: int, most: int) -> Callable[[str, Any], int]:
    return lambda name, value: integer(name, value, least, most)


def _optional(check: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    return lambda name, value: None if value is None else check(name, value)


def similar(word: str, known: list[str]) -> str | None:
    """Return the known word that the user probably meant, or None."""
    from difflib import get_close_matches  # not needed until something is wrong

    meant = MEANT.get(word.lower())
    return meant if meant in known else next(iter(get_close_matches(word.lower(), known, 1)), None)


def number(name: str, value: object, wanted: str, fine: Callable[[float], bool]) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        hint = ""
        if name == "eps" and (value is None or value == "auto"):
            hint = ". Use eps=0 for no clipping, or np.finfo(probs.dtype).eps for scikit-learn's limit"
        raise TypeError(f"{name} = {value!r}: expected a real number{hint}")
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
    """Return one weight for each class or element, as a tuple."""
    if isinstance(value, dict):
        raise TypeError(
            f"{name} is a dict: expected a list with one weight per class, in class order. "
            "Pass [w[k] for k in range(number_of_classes)]"
        )
    if isinstance(value, str):
        usual = ". The usual choice is len(y) / (C * np.bincount(y, minlength=C))" if value == "balanced" else ""
        raise TypeError(f"{name} = {value!r} is not supported: expected an array with one weight per class{usual}")
    array = real_array(name, value)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{name} has shape {array.shape}: expected one dimension with at least one weight")
    array = array.astype(np.float64)
    bad = ~((array >= 0) & np.isfinite(array))
    if bad.any():
        raise not_a_weight(name, array, (int(np.argmax(bad)),))
    return tuple(array.tolist())


def weight(name: str, value: Any) -> float | tuple[float, ...]:
    """Return a single weight, or a tuple with one weight for each element along the last axis."""
    if not isinstance(value, (numbers.Real, str, bytes)):
        array = real_array(name, value)
        if array.ndim:
            return weights(name, array)
        value = float(array)
    return number(name, value, "a finite number >= 0", is_weight)


def is_weight(value: float) -> bool:
    return 0 <= value < math.inf


OPTIONS: dict[str, Callable[[str, Any], Any]] = {  # each returns the option as an immutable value
    "reduction": _choice(REDUCTIONS),
    "mean_over": _choice(MEAN_OVER),
    "label_smoothing": _number("a number from 0 to 1", lambda a: 0 <= a <= 1),
    "eps": _number("0 <= eps < 0.5", lambda eps: 0 <= eps < 0.5),
    "gradient_outside": _choice(OUTSIDE),
    "focal_gamma": _number("a number from 0 to 1e6", lambda gamma: 0 <= gamma <= 1e6),
    "pos_weight": _optional(weight),
    "class_weight": _optional(weights),
    "ignore_index": _optional(_integer(-(1 << 63), (1 << 64) - 1)),
    "axis": _integer(-64, 63),
}


def not_a_weight(name: str, array: np.ndarray, index: tuple[Any, ...]) -> ValueError:
    problem = "is negative" if array[index] < 0 else "is not a weight"
    hint = ". To exclude a sample, use 0" if name == "sample_weight" else ""
    return ValueError(f"{_at(name, array, index)} {problem}: weights must be finite and >= 0{hint}")


def unexpected(name: str, options: Iterable[str], positional: tuple[Any, ...], unknown: dict[str, Any]) -> NoReturn:
    """Raise the error for arguments that a loss or a function does not have."""
    x = "logits" if name.lower().endswith("logits") else "probs"
    if positional:
        value = positional[0]
        if isinstance(value, str) and value in REDUCTIONS:
            raise TypeError(f"options are keyword-only: {name}(reduction={value!r})")
        raise TypeError(
            f"{name} takes its options by keyword, and no arrays. Pass arrays to the loss that it makes: "
            f"{name}()({x}, targets)"
        )
    word = next(iter(unknown))
    options = list(options)
    if word == "from_logits":
        other = "WithLogits" if name[0].isupper() else "_with_logits"
        use = "its predictions are logits already" if x == "logits" else f"use {name}{other}, which takes logits"
    elif word in ("y_true", "y_pred", "input", "target", "y", "labels", "preds", "predictions"):
        raise TypeError(f"unknown argument {word}: call {name}({x}, targets), predictions first")
    elif word == "weight":
        own = "class_weight= (one weight per class)" if "class_weight" in options else "pos_weight= (for the target 1)"
        use = f"use {own} or sample_weight= (one per sample)"
    elif word == "alpha":
        own = "class_weight" if "class_weight" in options else "pos_weight"
        use = f"weigh the classes with {own}"
    elif word in ("normalize", "size_average", "reduce"):
        use = "use reduction='mean', 'sum' or 'none'"
    else:
        meant = similar(word, [*options, "sample_weight"])
        use = f"did you mean {meant}?" if meant else f"its options are {', '.join(options)}"
    raise TypeError(f"{name} has no option {word}: {use}")


# ---------------------------------------------------------------- arrays


def _first(missing: Any) -> str:
    index = np.argwhere(np.asarray(missing))[0]
    return f"[{', '.join(map(str, index))}]"


def _refuse_missing(name: str, value: Any) -> None:
    """Raise an error if nullable pandas, polars or pyarrow data has missing values.

    This must come before the conversion to NumPy, which turns them into NaN.
    """
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
    """Return an array of real numbers, in any layout, from anything that ``np.asarray`` takes or from DLPack."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array: pass {name}.data and sample_weight=~np.ma.getmaskarray({name})"
            if name != "sample_weight"
            else "sample_weight is a masked array: pass sample_weight.filled(0)"
        )
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
        raise not_numbers(name, array)
    return array


def not_numbers(name: str, array: np.ndarray) -> TypeError:
    """Return the error for an array whose dtype is not real."""
    dtype = array.dtype
    if dtype.kind in "UST":
        encode = f"Encode them: classes, {name} = np.unique({name}, return_inverse=True)"
        use = encode if name == "targets" else f"Convert them: np.array({name}, dtype=float)"
        return TypeError(f"{name} holds strings (dtype {dtype}): expected numbers. {use}")
    if dtype.kind != "O":
        return TypeError(f"{name} has dtype {dtype}: expected real numbers")
    other = next((i for i, value in enumerate(array.flat) if not isinstance(value, numbers.Real)), None)
    convert = f"convert with np.array({name}, dtype=float)"
    if other is None:
        return TypeError(f"{name} has dtype object: expected real numbers. To use it, {convert}")
    index = tuple(int(k) for k in np.unravel_index(other, array.shape))
    value = array[index]
    if isinstance(value, str):
        return TypeError(
            f"{name} holds strings (dtype object, {_at(name, array, index)}): expected numbers. "
            f"Encode them: classes, {name} = np.unique({name}, return_inverse=True)"
        )
    found = f"{_at(name, array, index)}" if value is None else f"a {type(value).__name__} at {_place(name, index)}"
    first = "Fill missing values, then " if value is None else "To use it, "
    return TypeError(f"{name} has dtype object ({found}): expected real numbers. {first}{convert}")


def _shared(name: str, value: Any) -> Any:
    """Return an object that ``np.asarray`` takes, with the same memory. Raise an error if it cannot be shared."""
    if hasattr(value, "__dask_graph__"):
        kind = type(value).__name__
        raise TypeError(
            f"{name} is a dask {kind}: cecore would load all of it into memory. "
            f"Pass {name}.compute(), or add its blocks to a loss's accumulator()"
        )
    if getattr(value, "requires_grad", False) is True:
        raise TypeError(
            f"{name} is a tensor that requires grad, but cecore does not record gradients for PyTorch. "
            f"Pass {name}.detach()"
        )
    device = getattr(value, "device", None)
    if getattr(device, "type", "cpu") != "cpu":
        raise TypeError(f"{name} is on the device {device}: cecore runs on the CPU. Pass {name}.cpu()")
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
    """Convert a pandas object with nullable columns, none of which misses a value, to their common dtype."""
    dtypes = value.dtypes if hasattr(value, "columns") else [getattr(value, "dtype", None)]
    known = [getattr(dtype, "numpy_dtype", dtype) for dtype in dtypes]
    if not known or not all(isinstance(dtype, np.dtype) and dtype.kind in "fiub" for dtype in known):
        return array
    converted: np.ndarray = value.to_numpy(dtype=np.result_type(*known))
    return converted


def is_bfloat16(dtype: np.dtype) -> bool:
    """Return whether a dtype is ml_dtypes.bfloat16, in either byte order, without importing ml_dtypes."""
    return dtype.kind == "V" and dtype.newbyteorder("=").name == "bfloat16"


def result_type(dtype: np.dtype) -> np.dtype:
    """Return the dtype of the results for predictions of this dtype."""
    native = dtype.newbyteorder("=")
    return native if native in (np.float16, np.float32) or is_bfloat16(native) else np.dtype(np.float64)


def computing_type(dtype: np.dtype) -> np.dtype:
    """Return the dtype to which targets and weights are converted if the results have this dtype."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def by_bits(*arrays: Any) -> tuple[int, list[Any]]:
    """Replace bfloat16 arrays by their bits. Return the flags that tell the kernel which ones, and the arrays.

    The arrays are the predictions, the targets, the weights and upstream, in this order.
    """
    flags, found = 0, []
    for array, flag in zip(arrays, BITS, strict=False):
        if isinstance(array, np.ndarray) and is_bfloat16(array.dtype):
            flags, array = flags | flag, as_bits(array)
        found.append(array)
    return flags, found


def as_bits(array: np.ndarray) -> np.ndarray:
    """Return the same memory as 16-bit integers, in the byte order of the array."""
    return array.view(np.dtype(np.uint16).newbyteorder(array.dtype.byteorder))


def moved(name: str, shape: tuple[int, ...], axis: int) -> int:
    """Return the class axis as a number >= 0."""
    if not shape:
        raise ValueError(f"{name} has shape (): expected at least one dimension, the classes")
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"axis = {axis} is out of range: {name} has shape {shape}")
    axis %= len(shape)
    if shape[axis] == 0:
        raise ValueError(f"{name} has shape {shape}: expected at least one class along axis {axis}")
    return axis


def prepare(spec: Spec, reduction: str, given: Any, targets: Any, sample_weight: Any, upstream: Any) -> Call:
    """Return the arrays of a call in the form that a kernel takes, or raise the error."""
    name = spec.x
    _same_labels({name: given, "targets": targets, "sample_weight": sample_weight})
    x = real_array(name, given)
    t = real_array("targets", targets)
    shape = full = x.shape
    axis = -1
    if spec.rows:
        axis = moved(name, full, spec.axis)
        shape = full[:axis] + full[axis + 1 :]
        if t.shape not in (shape, full):
            raise ValueError(unequal_rows(spec, full, axis, t.shape))
        if spec.ignore_index is not None and t.ndim == x.ndim:
            raise ValueError(
                f"ignore_index needs class labels, but targets has shape {t.shape}. "
                "To skip rows, give them sample_weight 0"
            )
        if spec.class_weight is not None and len(spec.class_weight) != full[axis]:
            n = counted(len(spec.class_weight), "weight")
            raise ValueError(
                f"class_weight has {n}, but axis {spec.axis} of {name} {full} has {full[axis]} classes. "
                "If you set weights per sample, use sample_weight"
            )
        x = np.moveaxis(x, axis, -1)
        t = np.moveaxis(t, axis, -1) if t.ndim == x.ndim else t
    elif t.shape != shape:
        raise ValueError(unequal_elements(spec, shape, t.shape))
    elif isinstance(spec.pos_weight, tuple) and shape[-1:] != (len(spec.pos_weight),):
        last = f"the last axis of {name} {shape} has length {shape[-1]}" if shape else f"{name} is a single number"
        n = counted(len(spec.pos_weight), "weight")
        raise ValueError(f"pos_weight has {n}, but {last}. Pass one weight per column, or a single number")
    w = None if sample_weight is None else aligned(real_array("sample_weight", sample_weight), shape)
    return Call(x, t, w, _upstream(upstream, reduction, shape), result_type(x.dtype), axis)


def _same_labels(arguments: dict[str, Any]) -> None:
    """Raise an error if two pandas objects have different indexes, or two DataFrames different columns."""
    labelled = {name: value for name, value in arguments.items() if hasattr(value, "index") and hasattr(value, "loc")}
    if len(labelled) < 2:
        return
    (first, one), *others = labelled.items()
    for name, other in others:
        for labels in ("index", "columns"):
            if not (hasattr(one, labels) and hasattr(other, labels)):
                continue
            if not getattr(one, labels).equals(getattr(other, labels)):
                fit = f"{name}.loc[{first}.index]" if labels == "index" else f"{name}.loc[:, {first}.columns]"
                raise ValueError(
                    f"{first} and {name} have different {labels if labels == 'columns' else 'indexes'}: cecore takes "
                    f"values by position. Pass {fit} to align them, or {first}.to_numpy() and {name}.to_numpy() "
                    "if their order is the same"
                )


def _column(name: str, shape: tuple[int, ...], column: int) -> str:
    """Return code that selects a column, such as probs[:, 1]."""
    return f"{name}[{', '.join([':'] * (len(shape) - 1)) if len(shape) < 4 else '...'}, {column}]"


def unequal_elements(spec: Spec, shape: tuple[int, ...], targets: tuple[int, ...]) -> str:
    """Return the message for a binary loss whose targets have another shape than the predictions."""
    name = spec.x
    got = f"{name} has shape {shape}, targets has shape {targets}"
    rows = "CrossEntropy" if name == "probs" else "CrossEntropyWithLogits"
    equal = f"{got}: expected equal shapes (cecore does not broadcast)"
    if shape == (*targets, 1):
        return f"{equal}. Pass {_column(name, shape, 0)}"
    if targets == (*shape, 1):
        return f"{equal}. Pass {_column('targets', targets, 0)}"
    if targets and shape[:-1] == targets:
        pick = f"Pass {_column(name, shape, 1)}, or use" if shape[-1] == 2 and name == "probs" else "Use"
        return f"{got}: a binary loss needs equal shapes. {pick} {rows} for one column per class"
    if shape and targets[:-1] == shape:
        return f"{got}: a binary loss needs equal shapes. Predictions come first: {spec.function}({name}, targets)"
    return equal


def unequal_rows(spec: Spec, full: tuple[int, ...], axis: int, targets: tuple[int, ...]) -> str:
    """Return the message for targets that fit a categorical loss neither as labels nor as distributions."""
    name = spec.x
    labels = full[:axis] + full[axis + 1 :]
    expected = f"expected {labels} for class labels or {full} for distributions"
    got = f"targets has shape {targets}, {name} has shape {full}"
    fitting = [a for a in range(len(full)) if full[:a] + full[a + 1 :] == targets]
    if fitting:
        return (
            f"targets has shape {targets}, but with the classes on axis {spec.axis} of {name} {full} labels need shape "
            f"{labels}. These targets fit axis={fitting[0]}: pass axis={fitting[0]}"
        )
    if len(targets) == len(full) + 1 and targets[:-1] == full:
        return f"{got}. Predictions come first: {spec.function}({name}, targets)"
    if len(targets) == len(full) and targets[:axis] + targets[axis + 1 :] == labels:
        if targets[axis] == 1:
            axes = ", ".join(["0" if a == axis else ":" for a in range(len(full))])
            return f"{got}: {expected}. If these are class labels, pass targets[{axes}]"
        columns = counted(targets[axis], "column")
        return (
            f"targets has {columns}, but {name} has {full[axis]} classes: expected shape {full}, or {labels} for class "
            "labels"
        )
    return f"{got}: {expected}"


def aligned(weight: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Broadcast weights to the shape of the losses: a single number, or axes of length 1 among as many dimensions."""
    if weight.shape == shape:
        return weight
    fits = len(weight.shape) == len(shape) and all(n in (1, m) for n, m in zip(weight.shape, shape, strict=True))
    if not weight.shape and not is_weight(float(weight)):
        raise not_a_weight("sample_weight", weight, ())
    if fits or not weight.shape:
        return np.broadcast_to(weight, shape)
    problem = f"sample_weight has shape {weight.shape}, the losses have shape {shape}"
    axes = [axis for axis, length in enumerate(shape) if weight.shape == (length,)]
    if len(shape) == 2 and len(axes) == 1:
        side, other = ("row", f"({shape[0]}, 1)"), ("column", f"(1, {shape[1]})")
        word, wanted = (side, other)[axes[0]]
        raise ValueError(f"{problem}: pass shape {wanted} for one weight per {word}")
    if len(shape) == 2 and axes:
        raise ValueError(
            f"{problem}: pass shape ({shape[0]}, 1) for one weight per row, or (1, {shape[1]}) for one per column"
        )
    raise ValueError(f"{problem}: expected {shape}, a single number, or {len(shape)} dimensions with axes of length 1")


def _upstream(upstream: Any, reduction: str, shape: tuple[int, ...]) -> float | np.ndarray:
    u = real_array("upstream", upstream)
    if u.ndim == 0:
        return float(u)
    if reduction != "none":
        raise ValueError(f"upstream has shape {u.shape}: expected a number, since reduction is {reduction!r}")
    if u.shape != shape:
        raise ValueError(f"upstream has shape {u.shape}: expected a number or {shape}, the shape of the losses")
    return u


def no_output(name: str, reduction: str) -> None:
    if reduction != "none":
        raise ValueError(
            f"{name} only works with reduction='none': with {reduction!r} the loss is one float, which is returned"
        )


def outputs(spec: Spec, call: Call, given: Any, wanted: int, outs: tuple[Any, ...]) -> bool:
    """Check the arrays for the value, the gradient and the Hessian against the call's arrays and each other.

    `given` is what the user passed as predictions. Return whether one of the outputs is that array.
    """
    names = (
        "loss_out" if wanted & GRADIENT else "out",
        "out" if wanted == GRADIENT else "gradient_out",
        "hessian_out",
    )
    x = np.moveaxis(call.x, -1, call.axis) if spec.rows else call.x
    inner = call.x.shape[:-1] if spec.rows else x.shape
    place = given if isinstance(given, np.ndarray) else x
    inputs = {"targets": call.targets, "sample_weight": call.sample_weight, "upstream": call.upstream}
    in_place = False
    for name, shape, out in zip(names, (inner, x.shape, x.shape), outs, strict=True):
        if out is None:
            continue
        output(name, out, shape, call.dtype)
        others = inputs | {other: o for other, o in zip(names, outs, strict=True) if o is not out}
        for other, array in others.items():
            if _overlap(out, array):
                raise ValueError(
                    f"{name} shares memory with {other}. Pass a separate array, or {spec.x} itself to overwrite the "
                    "predictions"
                )
        if _overlap(out, place):
            if not _same(out, place):
                raise ValueError(
                    f"{name} shares memory with {spec.x}, but is not the same array. Pass a separate array, or "
                    f"{spec.x} itself to overwrite the predictions"
                )
            in_place = True
    if sum(out is not None for out in outs) > len({id(out) for out in outs if out is not None}):
        raise ValueError("one array is given for two results: pass a separate array for each")
    return in_place


def output(name: str, out: Any, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
        raise TypeError(f"{name} is a {type(out).__name__}: expected a numpy.ndarray")
    allocate = f"Allocate it with np.empty({shape}, {'ml_dtypes' if is_bfloat16(dtype) else 'np'}.{dtype})"
    if out.shape != shape:
        raise ValueError(f"{name} has shape {out.shape}: expected {shape}, the shape of this result. {allocate}")
    if out.dtype.newbyteorder("=") != dtype:
        raise ValueError(f"{name} has dtype {out.dtype}: expected {dtype}, the dtype of this result. {allocate}")
    if not out.flags.writeable:
        raise ValueError(f"{name} is read-only: pass an array that can be written to")
    if out.size and not _are_distinct(out):
        raise ValueError(f"{name} has elements that share their memory: pass an array with a place for each result")


def _are_distinct(out: np.ndarray) -> bool:
    """Return whether no two elements share memory, judged by the strides.

    From the smallest stride to the largest, a step along an axis must pass over everything that the axes before span.
    """
    within = out.itemsize
    for stride, length in sorted((abs(s), n) for s, n in zip(out.strides, out.shape, strict=True) if n > 1):
        if stride < within:
            return False
        within += (length - 1) * stride
    return True


def apart(out: np.ndarray, others: dict[str, Any]) -> bool:
    """Raise an error if `out` overlaps an array but is not that array. Return whether `out` is one of the arrays."""
    shared = {name: other for name, other in others.items() if _overlap(out, other)}
    for name, other in shared.items():
        if not _same(out, other):
            raise ValueError(
                f"out shares memory with {name}, but is not the same array. Pass a separate array, or {name} itself"
            )
    return bool(shared)


def _overlap(a: np.ndarray, b: Any) -> bool:
    if not isinstance(b, np.ndarray) or not np.may_share_memory(a, b):
        return False
    most: Any = 10_000  # Any, because the types of NumPy < 2.5 do not allow an int
    try:
        return bool(np.shares_memory(a, b, max_work=most))
    except getattr(np, "exceptions", np).TooHardError:  # NumPy 1.25 moved it
        return True


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    if (a.ctypes.data, a.shape, a.dtype) != (b.ctypes.data, b.shape, b.dtype):
        return False
    strides = zip(a.strides, b.strides, a.shape, strict=True)
    return all(first == second for first, second, length in strides if length > 1)


# ---------------------------------------------------------------- suspicious inputs


def warn(spec: Spec, call: Call) -> None:
    """Warn at the caller's line, unless the values that raised the suspicion are errors.

    The text holds no values of the data: Python shows the same text once per line.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        _explain(spec, call, 0, 1 if spec.rows else min(call.x.size, 256))
    if spec.rows:
        text = (
            "a row of probs does not sum to 1. If these are logits, use CrossEntropyWithLogits; "
            "if the classes lie along another axis, set axis"
        )
    else:
        text = (
            "the first predictions are all exactly 0 or 1, but the targets are not: are the arguments swapped? "
            f"Predictions come first: {spec.function}(probs, targets)"
        )
    frame, level = sys._getframe(), 1
    while frame.f_back and frame.f_globals["__name__"].partition(".")[0] == __package__:
        frame, level = frame.f_back, level + 1
    warnings.warn(text, InputWarning, stacklevel=level)


# ---------------------------------------------------------------- values


def _place(name: str, index: tuple[Any, ...]) -> str:
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def _at(name: str, array: np.ndarray, index: tuple[Any, ...], axis: int = -1) -> str:
    """Return ``name[i, j] = value`` for an element. The user had the last axis at position `axis`."""
    places = list(index)
    if axis >= 0:
        places.insert(axis, places.pop())
    value = array[index]
    return f"{_place(name, tuple(places))} = {value.item() if isinstance(value, np.generic) else value!r}"


def tolerance(dtype: np.dtype) -> float:
    """Return the distance from [0, 1] up to which a number counts as 0 or 1."""
    if is_bfloat16(dtype):
        return TOLERATED * 2.0**-7
    if dtype.kind != "f":
        return 0.0
    return TOLERATED * float(np.finfo(np.float64 if dtype.itemsize > 8 else dtype).eps)


def _within(
    spec: Spec, name: str, array: np.ndarray, dtype: np.dtype, index: tuple[Any, ...], axis: int, used: Any = True
) -> np.ndarray:
    """Convert the element at an index, or the elements along the last axis; raise an error if a used one is outside."""
    values = np.asarray(array[index]).astype(dtype)
    near = tolerance(dtype if name == "targets" else array.dtype)
    outside = used & ((-values > near) | (values - 1 > near))
    if outside.any():
        place = int(np.argmax(outside))
        at = index if values.ndim == 0 else (*index, place)
        hint = outside_hint(spec, name, float(values.flat[place]), 4 * near)
        raise ValueError(f"{_at(name, array, at, axis)} is {hint}")
    return values


def outside_hint(spec: Spec, name: str, value: float, near: float) -> str:
    """Return what is wrong with a probability or a target outside [0, 1], and what to do."""
    beyond = max(-value, value - 1)
    if beyond < max(1e-3, near):
        return (
            "just outside [0, 1], by more than rounding explains. If it comes from arithmetic of yours, "
            f"pass np.clip({name}, 0, 1)"
        )
    if name == "probs":
        logits = f"use {spec.kind}WithLogits"
        if 10 < value <= 100:
            return f"outside [0, 1]. If these are percentages, pass probs / 100; if they are logits, {logits}"
        return f"outside [0, 1]. If these are logits, {logits}"
    if value == -1 and not spec.rows:
        return "outside [0, 1]. If your labels are -1 and +1, pass (targets + 1) / 2"
    if value == 255:
        return "outside [0, 1]. For a mask of 0 and 255, pass targets > 0"
    if 10 < value <= 100:
        return "outside [0, 1]. If these are percentages, pass targets / 100"
    if value.is_integer() and value > 1 and not spec.rows:
        return "outside [0, 1]. A binary loss takes labels 0 and 1, or probabilities"
    return "outside [0, 1]"


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
            raise not_a_weight("sample_weight", w, index)
        if weight == 0:
            continue
        if spec.rows:
            _explain_row(spec, x, targets, computing, index, call.axis)
            continue
        t = _within(spec, "targets", targets, computing, index, -1)
        if spec.x == "probs":
            positive = 1.0 if spec.pos_weight is None else np.ravel(spec.pos_weight)[i % np.size(spec.pos_weight)]
            used = positive != 0 or not t >= 1 or spec.label_smoothing != 0
            _within(spec, "probs", x, computing, index, -1, used)


def _explain_row(
    spec: Spec, x: np.ndarray, targets: np.ndarray, computing: np.dtype, row: tuple[int, ...], axis: int
) -> None:
    classes = x.shape[-1]
    if targets.ndim == x.ndim:
        t = _within(spec, "targets", targets, computing, row, axis)
    else:
        label = targets[row]
        if label.item() == spec.ignore_index:
            return
        if not (0 <= label < classes and label == math.floor(label)):
            raise ValueError(not_a_label(spec, targets, row, classes))
        t = (np.arange(classes) == label).astype(np.float64)
    if spec.x == "probs":
        used = ~(t <= 0) | (spec.label_smoothing != 0)
        if spec.class_weight is not None:
            used &= np.asarray(spec.class_weight) != 0
        _within(spec, "probs", x, computing, row, axis, used)


def not_a_label(spec: Spec, targets: np.ndarray, row: tuple[int, ...], classes: int) -> str:
    """Return the message for a class label outside 0..C-1."""
    label = targets[row].item()
    expected = f"0..{classes - 1}"
    if math.isfinite(label) and label != math.floor(label):
        full = "(..., C)" if len(row) > 1 else f"({targets.shape[0]}, {classes})" if row else f"({classes},)"
        return (
            f"{_at('targets', targets, row)} is not a whole number: expected a class label {expected}. "
            f"For probabilities, pass one column per class: shape {full}"
        )
    hint = ""
    if spec.ignore_index is not None:
        expected += f" or ignore_index {spec.ignore_index}"
    elif label == classes:
        hint = ". If your labels start at 1, pass targets - 1"
    elif label < 0 and math.isfinite(label):
        hint = f". To skip such rows, set ignore_index={int(label)} (the default here is None)"
    elif math.isnan(label):
        hint = ". Drop rows without a label, or give them sample_weight 0"
    return f"{_at('targets', targets, row)} is not a class label: expected {expected}{hint}"
