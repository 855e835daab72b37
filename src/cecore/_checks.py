"""Validation of all inputs, and every message to the user.

The kernels take arrays of real numbers in any layout, and check the values while they compute. All other inputs come to
this module. ``convert`` converts the inputs to arrays, and never copies an input that is an array already. ``prepare``
checks these arrays or raises an error. ``explain`` finds the value that stopped a kernel. A message says what was
received, where, what was expected, and what to do.
"""

from __future__ import annotations

import math
import numbers
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, ValuesView
from typing import Any, NamedTuple, NoReturn

import numpy as np

REDUCTIONS = {"mean": 0, "sum": 1, "none": 2}  # numbered as in the kernels
MEAN_OVER = {"weights": False, "count": True}
OUTSIDE = {"clipped": False, "zero": True}
VALUE, GRADIENT, HESSIAN = 1, 2, 4  # the results that a kernel must compute
BITS = 8, 16, 32, 64  # set if the predictions, targets, weights or upstream are passed as the bits of bfloat16
PREPARED, IN_PLACE, STATE, WARNED = 128, 256, 512, 1024  # as in the kernels
BINARY, BINARY_LOGITS, CATEGORICAL, CATEGORICAL_LOGITS = range(4)  # kinds of losses, as in the kernels
CLASSES = "BinaryCrossEntropy", "BinaryCrossEntropyWithLogits", "CrossEntropy", "CrossEntropyWithLogits"  # by kind
FUNCTIONS = "binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "cross_entropy_with_logits"
BLOCK = 256  # elements: the kernels look at so many for swapped arguments
WEIGHTS_TOO_LARGE = (
    "the sum of the weights overflows float64. Divide all weights (sample_weight or class_weight) by the same large "
    "number: the mean stays the same"
)
WEIGHTS_TOO_SMALL = (
    "the gradient of the mean overflows float64: upstream is divided by the sum of the weights, which is too small. "
    "Multiply all weights (sample_weight or class_weight) by the same large number: the mean stays the same"
)
SMALL_STACK = (
    "this thread has {} KiB of stack left, but cecore needs {} KiB: call threading.stack_size(1 << 20) before you "
    "start the thread"
)
TOLERATED = 4  # machine epsilons outside [0, 1] that count as the user's own rounding, as in the kernels


class InputWarning(UserWarning):
    """The inputs of a loss are valid but look like a mistake.

    The warning points at the line that called cecore. Python shows it once per line by default. There are two cases.

    1. `BinaryCrossEntropy`: the first 256 predictions are all exactly 0 or 1, but one of their targets lies between 0
       and 1. The arguments may be swapped: predictions come first.
    2. `CrossEntropy`: the first row that counts does not sum to 1. A row counts if it is not ignored, has a weight
       above 0 and holds no NaN; cecore stops looking after some 65,000 rows that do not count. The tolerance is 1e-3,
       or 1e-2 for float16 and bfloat16. With class labels, rows of more than 1,024 classes are not summed. The array
       may hold logits, or its classes may lie along another axis.

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
    """The user should be warned of a row. The kernels raise this for prepared arrays, before they compute anything."""


class Spec(NamedTuple):
    """The properties of a loss that the checks need."""

    kind: int  # BINARY, BINARY_LOGITS, CATEGORICAL or CATEGORICAL_LOGITS
    label_smoothing: float
    axis: int = -1
    class_weight: tuple[float, ...] | None = None
    pos_weight: float | tuple[float, ...] | None = None
    ignore_index: int | None = None

    @property
    def x(self) -> str:
        """The name of the predictions."""
        return "logits" if self.kind in (BINARY_LOGITS, CATEGORICAL_LOGITS) else "probs"

    @property
    def rows(self) -> bool:
        """Whether there is one loss per row."""
        return self.kind in (CATEGORICAL, CATEGORICAL_LOGITS)

    @property
    def family(self) -> str:
        return ("" if self.rows else "Binary") + "CrossEntropy"

    @property
    def function(self) -> str:
        return FUNCTIONS[self.kind]


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
    "auto": "mean",
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


def kind_of(value: object) -> str:
    """The type of a value, with its article."""
    kind = type(value).__name__
    return f"{'an' if kind[:1] in 'aeiouAEIOU' or kind == 'ndarray' else 'a'} {kind}"


def shown(value: object) -> str:
    """The repr of a value, on one line and not longer than about 60 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:40]}...{text[-15:]}"


def choice(name: str, value: object, allowed: dict[str, Any]) -> str:
    if isinstance(value, str) and value in allowed:
        return value
    hint = ""
    if value is None and "none" in allowed:
        hint = ". Did you mean 'none', which returns one loss per sample?"
    elif isinstance(value, str):
        meant = similar(value, list(allowed))
        hint = f". Did you mean {meant!r}?" if meant else ""
    raise ValueError(f"{name} = {shown(value)}: expected {listed(map(repr, allowed))}{hint}")


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


def is_own(error: BaseException) -> bool:
    """Return whether cecore raised an error, and not an object of the user's, such as its ``__array__``."""
    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None:
        frames = frames.tb_next
    return frames is None or str(frames.tb_frame.f_globals.get("__name__")).partition(".")[0] == __package__


def cause_of(error: BaseException) -> BaseException | None:
    """Return an error that cecore caught if Python code raised it: its traceback shows where. NumPy's own has none."""
    frames = error.__traceback__
    return error if frames is not None and frames.tb_next is not None else None


def number(name: str, value: object, wanted: str, fine: Callable[[float], bool]) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        hint = ""
        if name == "eps" and (value is None or (isinstance(value, str) and value == "auto")):
            hint = ". Use eps=0 for no clipping, or np.finfo(probs.dtype).eps for scikit-learn's limit"
        raise TypeError(f"{name} = {shown(value)}: expected a real number{hint}")
    result = as_float(name, value)
    if not fine(result):
        raise ValueError(f"{name} = {value!r}: expected {wanted}")
    return abs(result)  # -0.0 becomes 0.0, also where subnormal numbers count as 0


def as_float(name: str, value: Any) -> float:
    """Convert a single number to float64. Raise an error if it is finite but beyond the range of float64."""
    if isinstance(value, np.longdouble):
        with np.errstate(all="ignore"):
            result = float(value)
        if math.isinf(result) and not np.isinf(value):
            raise ValueError(f"{name} = {value!s} is beyond the range of float64")
        return result
    try:
        return float(value)
    except OverflowError:
        which = "an integer beyond" if isinstance(value, numbers.Integral) else "beyond"
        raise ValueError(f"{name} is {which} the range of float64") from None


def integer(name: str, value: object, least: int, most: int) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} = {shown(value)}: expected an integer")
    result = int(value)
    if not least <= result <= most:
        raise ValueError(f"{name} = {value!r}: expected {least}..{most}")
    return result


def weights(name: str, value: Any) -> tuple[float, ...]:
    """Return one weight for each class or element, as a tuple."""
    if isinstance(value, (dict, str)):
        raise not_weights(name, value)
    _refuse_index(name, value)
    array = real_array(name, value)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{name} has shape {array.shape}: expected one dimension with at least one weight")
    with np.errstate(all="ignore"):
        converted = array.astype(np.float64)
    bad = ~((converted >= 0) & np.isfinite(converted))
    if bad.any():
        index = int(np.argmax(bad))
        if array.dtype.itemsize > 8 and np.isfinite(array[index]) and array[index] >= 0:
            raise ValueError(f"{_at(name, array, (index,))} is beyond the range of float64. Scale the weights")
        raise not_a_weight(name, converted, (index,))
    return tuple(converted.tolist())


def _refuse_index(name: str, value: Any) -> None:
    """Raise an error for a pandas Series of weights in another order: cecore would take them by position."""
    if hasattr(value, "index") and hasattr(value, "loc") and list(value.index) != list(range(len(value))):
        raise ValueError(
            f"{name} is a pandas {type(value).__name__} whose index is not 0, 1, 2, ...: cecore takes weights by "
            f"position. Pass {name}.sort_index().to_numpy(), or {name}.to_numpy() if their order is already right"
        )


def weight(name: str, value: Any) -> float | tuple[float, ...]:
    """Return a single weight, or a tuple with one weight for each element along the last axis."""
    if isinstance(value, dict) or (isinstance(value, str) and value == "balanced"):
        raise not_weights(name, value)
    if not isinstance(value, (numbers.Real, str, bytes)):
        _refuse_index(name, value)
        array = real_array(name, value)
        if array.ndim:
            return weights(name, array)
        value = as_float(name, array[()])
    return number(name, value, "a finite number >= 0", is_weight)


def not_weights(name: str, value: dict[Any, Any] | str) -> TypeError:
    """The error for class weights in the form that scikit-learn and Keras take."""
    if name == "class_weight":
        wanted = "an array with one weight per class"
        ordered = "a list with one weight per class, in class order. Pass [w[k] for k in range(number_of_classes)]"
        usual = "len(y) / (C * np.bincount(y, minlength=C))"
    else:
        wanted = "a number, or an array with one weight per column"
        ordered = "one number, the weight of class 1 divided by the weight of class 0. Pass w[1] / w[0]"
        usual = "np.sum(y == 0) / np.sum(y == 1)"
    if isinstance(value, dict):
        return TypeError(f"{name} is a dict: expected {ordered}")
    usual = f". The usual choice is {usual}" if value == "balanced" else ""
    return TypeError(f"{name} = {shown(value)} is not supported: expected {wanted}{usual}")


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
    problem = "is negative" if array[index].item() < 0 else "is not a weight"
    hint = ". To exclude a sample, use 0" if name == "sample_weight" else ""
    return ValueError(f"{_at(name, array, index)} {problem}: weights must be finite and >= 0{hint}")


ARRAYS = {"y_true", "y_pred", "input", "target", "targets", "y", "labels", "preds", "predictions", "probs", "logits"}
OF_METHODS = {"upstream", "out", "loss_out", "gradient_out", "hessian_out"}


def unexpected(name: str, options: Iterable[str], positional: tuple[Any, ...], unknown: dict[str, Any]) -> NoReturn:
    """Raise the error for arguments that a loss or a function does not have."""
    options = list(options)
    logits = name.lower().endswith("logits")
    call = f"{name}{'()' if name[0].isupper() else ''}({'logits' if logits else 'probs'}, targets)"
    if positional:
        raise TypeError(_positional(name, call, options, positional))
    word, value = next(iter(unknown.items()))
    if word in ARRAYS:
        raise TypeError(f"unknown argument {word}: call {call}, predictions first")
    raise TypeError(f"{name} has no option {word}: {_instead(name, call, options, logits, word, value)}")


def _positional(name: str, call: str, options: list[str], positional: tuple[Any, ...]) -> str:
    """The message for positional arguments of a class."""
    value = positional[0]
    if len(positional) == 1 and (value is None or isinstance(value, (str, numbers.Number))):
        meant = similar(value, list(REDUCTIONS)) if isinstance(value, str) else None
        if meant:
            return f"options are keyword-only: {name}(reduction={meant!r})"
        return f"options are keyword-only, for example {name}(reduction='sum')"
    weights = " For class weights, use class_weight=." if len(positional) == 1 and "class_weight" in options else ""
    return f"{name} takes options by keyword, and no arrays.{weights} Create the loss first, then call it: {call}"


def _instead(name: str, call: str, options: list[str], logits: bool, word: str, value: Any) -> str:
    """What to use instead of an option that a loss or a function does not have."""
    is_class, rows = name[0].isupper(), "axis" in options
    names = CLASSES if is_class else FUNCTIONS
    on_probs, on_logits = (CATEGORICAL, CATEGORICAL_LOGITS) if rows else (BINARY, BINARY_LOGITS)
    own = (
        "class_weight= (one weight per class)"
        if rows
        else "pos_weight= (the weight of target 1 divided by that of target 0)"
    )
    meant = MEANT.get(word.lower(), word)
    if word == "from_logits":
        if bool(value) == logits:
            return f"its predictions are {'logits' if logits else 'probabilities'} already. Leave it out"
        arguments = "" if is_class else f"({'probs' if logits else 'logits'}, targets)"
        return f"use {names[on_probs if logits else on_logits]}{arguments}"
    if word == "weight":
        return f"use {own} or {'pass sample_weight= to each call' if is_class else 'sample_weight='} (one per sample)"
    if word == "alpha" and not rows:
        return "use pos_weight=alpha / (1 - alpha), and multiply the loss by 1 - alpha"
    if word in ("alpha", "class_weight", "class_weights", "pos_weight"):
        return f"use {own}"
    if word in ("normalize", "size_average", "reduce"):
        return "use reduction='mean', 'sum' or 'none'"
    if word in OF_METHODS:
        return f"pass it to a method of {CLASSES[on_logits if logits else on_probs]}, such as backward"
    if meant == "sample_weight" and is_class:
        return f"pass sample_weight to each call: {call[:-1]}, sample_weight=w)"
    if meant == "focal_gamma" and not logits:
        return f"only losses on logits have focal_gamma. Use {names[on_logits]}"
    if meant in ("eps", "gradient_outside") and logits:
        return "logits are not clipped. Leave it out"
    if meant == "axis" and not rows:
        categorical = names[CATEGORICAL_LOGITS if logits else CATEGORICAL]
        return f"each element is a loss of its own. For classes along an axis, use {categorical}"
    if meant == "ignore_index" and not rows:
        mask = f"sample_weight=(targets != {shown(value)})"
        return f"to ignore elements, {'give each call' if is_class else 'pass'} {mask}"
    found = similar(word, options if is_class else [*options, "sample_weight"])
    return f"did you mean {found}?" if found else f"its options are {', '.join(options)}"


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


def is_array(value: object) -> bool:
    """Return whether a value is an ndarray. `isinstance` would also believe the ``__class__`` of a proxy."""
    return issubclass(type(value), np.ndarray)


def is_masked(value: Any) -> bool:
    """Return whether a value is a masked array. If numpy.ma, which takes 10 ms to import, is not there, none exists."""
    masked = sys.modules.get("numpy.ma")
    return masked is not None and isinstance(value, masked.MaskedArray)


def base_view(array: np.ndarray) -> np.ndarray:
    """Return the array itself, or a plain ndarray of the same memory if its class is a subclass of ndarray.

    A subclass can override every attribute and method. A view that the method of ndarray makes has the true shape,
    strides, dtype and flags.
    """
    return array if type(array) is np.ndarray else np.ndarray.view(array, np.ndarray)


def real_array(name: str, value: Any) -> np.ndarray:
    """Return an array of real numbers, in any layout, from anything that ``np.asarray`` takes or from DLPack."""
    return real(name, converted(name, value))


def real(name: str, array: np.ndarray) -> np.ndarray:
    """Return a converted array as a plain ndarray. Raise an error if its dtype is not real."""
    array = base_view(array)
    if array.dtype.kind not in "fiub" and not is_bfloat16(array.dtype):
        raise not_numbers(name, array)
    return array


def converted(name: str, value: Any) -> np.ndarray:
    """Convert an input to an array; an ndarray, also one of a subclass, is returned as it is.

    The conversion can run code of the user's, which may resize an array of the call or change its dtype. No view of an
    array is kept here, because it would still show memory that has been freed.
    """
    if is_array(value):
        return not_masked(name, value)
    if not isinstance(value, (list, tuple, float, int)):
        _refuse_dask(name, value)
        _refuse_missing(name, value)
        value = _shared(name, value)
    try:
        array: np.ndarray = np.asanyarray(value)
    except (ValueError, OverflowError) as error:
        ragged = "inhomogeneous" in str(error) or "could not broadcast" in str(error)
        problem = "its nested sequences have different lengths" if ragged else error
        raise ValueError(f"{name} is not an array of numbers: {problem}") from cause_of(error)
    except (TypeError, RuntimeError, BufferError) as error:
        raise TypeError(f"{name} cannot be read as an array: {error}") from cause_of(error)
    if base_view(array).dtype == object and hasattr(value, "to_numpy"):
        array = _without_nullable(value, array)
    return not_masked(name, array)


def not_masked(name: str, array: np.ndarray) -> np.ndarray:
    """Return an array, or raise an error if it is masked: an object can convert itself to a masked array, too."""
    if is_masked(array):
        instead = "data" if name == "x" or name.endswith("output") else "filled(0)"
        raise TypeError(f"{name} is a masked array: pass {name}.{instead}")
    return array


def not_numbers(name: str, array: np.ndarray) -> TypeError:
    """Return the error for an array whose dtype is not real."""
    dtype = array.dtype
    if dtype.kind in "UST":
        return TypeError(f"{name} holds strings (dtype {dtype}): expected numbers{_instead_of_strings(name, array)}")
    if dtype.kind != "O":
        return TypeError(f"{name} has dtype {dtype}: expected real numbers")
    convert = f"convert with np.array({name}, dtype=float)"
    place = next((i for i, value in enumerate(array.flat) if not isinstance(value, numbers.Real)), None)
    if place is None:
        return TypeError(f"{name} has dtype object: expected real numbers. To use it, {convert}")
    index = tuple(int(k) for k in np.unravel_index(place, array.shape))
    value = array[index]
    if isinstance(value, str):
        found = _at(name, array, index)
        strings = _instead_of_strings(name, array)
        return TypeError(f"{name} holds strings (dtype object, {found}): expected numbers{strings}")
    if _is_missing(value) and index:
        found, fill = _at(name, array, index), f"Fill missing values, then {convert}"
        return TypeError(f"{name} has dtype object ({found}): expected real numbers. {fill}")
    if value is None:
        return TypeError(f"{name} is None: expected real numbers")
    if _converts(lambda: np.array(array, dtype=float)):
        hint = f". To use it, {convert}"
    elif array.ndim == 1 and _converts(lambda: np.stack(list(array)).astype(float)):
        hint = f". To use it, pass np.stack({name})"
    elif hasattr(value, "collect") and not index:  # a lazy frame
        hint = f". Pass {name}.collect()"
    elif hasattr(value, "toarray") and not index:  # a sparse matrix
        hint = f". Pass {name}.toarray()"
    elif isinstance(value, (Iterator, ValuesView)) and not index:
        hint = f". Pass list({name})"
    else:
        hint = ""
    found = f"has dtype object ({kind_of(value)} at {_place(name, index)})" if index else f"is {kind_of(value)}"
    return TypeError(f"{name} {found}: expected real numbers{hint}")


def _instead_of_strings(name: str, array: np.ndarray) -> str:
    """What to do with an array of strings, if it is certain to work."""
    if _converts(lambda: np.array(array, dtype=float)):
        return f". Convert them: np.array({name}, dtype=float)"
    others = [value for value in array.flat if not isinstance(value, (str, bytes))]
    if name != "targets" or not all(map(_is_missing, others)):
        return ""
    encode = f"classes, {name} = np.unique({name}, return_inverse=True)"
    return f". Fill missing values, then encode them: {encode}" if others else f". Encode them: {encode}"


def _is_missing(value: object) -> bool:
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


def _converts(conversion: Callable[[], object]) -> bool:
    try:
        with np.errstate(all="ignore"):
            conversion()
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _refuse_dask(name: str, value: Any) -> None:
    graph = getattr(value, "__dask_graph__", None)
    if callable(graph) and graph() is not None:  # xarray has the method, and returns None for what is in memory
        blocks = ", or add its blocks to a loss's accumulator()" if name in ("probs", "logits", "targets") else ""
        raise TypeError(
            f"{name} is a dask {type(value).__name__}: cecore would load all of it into memory. "
            f"Pass {name}.compute(){blocks}"
        )


def _refuse_masked(spec: Spec, name: str, value: Any, x: Any) -> None:
    """Raise an error if the predictions x, or targets, are a masked array; the code it suggests makes weights."""
    if is_masked(value):
        each = f".any(axis={spec.axis})" if spec.rows and value.ndim == x.ndim else ""
        raise TypeError(
            f"{name} is a masked array: pass {name}.data and sample_weight=~np.ma.getmaskarray({name}){each}"
        )


def _shared(name: str, value: Any) -> Any:
    """Return an object that ``np.asarray`` takes, with the same memory. Raise an error if it cannot be shared."""
    device = getattr(value, "device", None)
    elsewhere = getattr(device, "type", "cpu") != "cpu"
    if getattr(value, "requires_grad", False) is True:
        raise TypeError(
            f"{name} is a tensor that requires grad, but cecore does not record gradients for PyTorch. "
            f"Pass {name}.detach(){'.cpu()' if elsewhere else ''}"
        )
    if elsewhere:
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
            raise TypeError(f"{name} cannot be read as an array: {error}") from cause_of(error)
    return value


def _without_nullable(value: Any, array: np.ndarray) -> np.ndarray:
    """Convert a pandas object with nullable columns, none of which misses a value, to their common dtype."""
    dtypes = value.dtypes if hasattr(value, "columns") else [getattr(value, "dtype", None)]
    known = [getattr(dtype, "numpy_dtype", dtype) for dtype in dtypes]
    if not known or not all(isinstance(dtype, np.dtype) and dtype.kind in "fiub" for dtype in known):
        return array
    numbers_alone: np.ndarray = value.to_numpy(dtype=np.result_type(*known))
    return numbers_alone


def is_bfloat16(dtype: np.dtype) -> bool:
    """Return whether a dtype is ml_dtypes.bfloat16, in either byte order, without importing ml_dtypes."""
    return dtype.kind == "V" and dtype.itemsize == 2 and dtype.newbyteorder("=").name == "bfloat16"


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
        n = len(shape)
        raise ValueError(f"axis = {axis} is out of range: {name} has shape {shape}, expected {-n}..{n - 1}")
    axis %= len(shape)
    if shape[axis] == 0:
        raise ValueError(f"{name} has shape {shape}: expected at least one class along axis {axis}")
    return axis


def convert(spec: Spec, given: Any, targets: Any, sample_weight: Any, upstream: Any) -> tuple[Any, Any, Any, Any]:
    """Convert the inputs of a call to arrays; sample_weight can be None, and upstream a float.

    Only this function runs code of the user's objects. Shapes and memory are looked at later, in `prepare`.
    """
    name = spec.x
    arguments = {name: given, "targets": targets, "sample_weight": sample_weight}
    for argument, value in arguments.items():
        _refuse_dask(argument, value)
    _same_labels(arguments)
    _refuse_masked(spec, name, given, given)
    x = converted(name, given)
    _refuse_masked(spec, "targets", targets, x)
    t = converted("targets", targets)
    w = None if sample_weight is None else converted("sample_weight", sample_weight)
    return x, t, w, upstream if type(upstream) is float else converted("upstream", upstream)


def prepare(spec: Spec, reduction: str, given: Any, targets: Any, sample_weight: Any, upstream: Any) -> Call:
    """Return the converted arrays of a call in the form that a kernel takes, or raise the error.

    From here to the kernel no code of the user's runs, so the arrays stay as they are.
    """
    name = spec.x
    x = real(name, given)
    t = real("targets", targets)
    w = None if sample_weight is None else real("sample_weight", sample_weight)
    u = upstream if type(upstream) is float else real("upstream", upstream)
    dtype = result_type(x.dtype)
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
    call = Call(x, t, None if w is None else aligned(w, shape), _upstream(u, reduction, shape), dtype, axis)
    if isinstance(call.upstream, np.ndarray):
        refuse_overflow(call.upstream, dtype, name, lambda: _counting(spec, call))
    return call


def _counting(spec: Spec, call: Call) -> Any:
    """Return which losses count: those with a weight above 0 and a label that is not ignored."""
    counting = True if call.sample_weight is None else call.sample_weight != 0
    return counting if spec.ignore_index is None else counting & (call.targets != spec.ignore_index)


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
            here, there = getattr(one, labels), getattr(other, labels)
            if here.equals(there) or len(here) != len(there):  # unequal shapes have an error of their own
                continue
            same = here.is_unique and there.is_unique and here.isin(there).all()
            fit = f"{name}.loc[{first}.index]" if labels == "index" else f"{name}.loc[:, {first}.columns]"
            align = f"{fit} to align them, or " if same else ""
            raise ValueError(
                f"{first} and {name} have different {labels if labels == 'columns' else 'indexes'}: cecore takes "
                f"values by position. Pass {align}{first}.to_numpy() and {name}.to_numpy() if their order is the same"
            )


def _column(name: str, shape: tuple[int, ...], column: int) -> str:
    """Return code that selects a column, such as probs[:, 1]."""
    before = [":"] * (len(shape) - 1) if len(shape) < 4 else ["..."]
    return _place(name, (*before, column))


def unequal_elements(spec: Spec, shape: tuple[int, ...], targets: tuple[int, ...]) -> str:
    """Return the message for a binary loss whose targets have another shape than the predictions."""
    name = spec.x
    got = f"{name} has shape {shape}, targets has shape {targets}"
    rows = CATEGORICAL_LOGITS if spec.kind == BINARY_LOGITS else CATEGORICAL
    equal = f"{got}: expected equal shapes (cecore does not broadcast)"
    if shape == (*targets, 1):
        return f"{equal}. Pass {_column(name, shape, 0)}"
    if targets == (*shape, 1):
        return f"{equal}. Pass {_column('targets', targets, 0)}"
    if targets and shape[:-1] == targets:
        pick = f"Pass {_column(name, shape, 1)}, or use" if shape[-1] == 2 and name == "probs" else "Use"
        return f"{got}: a binary loss needs equal shapes. {pick} {CLASSES[rows]} for one column per class"
    if shape and targets[:-1] == shape:
        right = f"{FUNCTIONS[rows]}({name}, targets)"
        hint = f"Are the arguments swapped? Predictions come first: {right}"
        if targets[-1] == 2:
            pick = _column("targets", targets, 1)
            hint = f"If targets are one-hot, pass {pick}. If the arguments are swapped, predictions come first: {right}"
        return f"{got}: a binary loss needs equal shapes. {hint}"
    return equal


def unequal_rows(spec: Spec, full: tuple[int, ...], axis: int, targets: tuple[int, ...]) -> str:
    """Return the message for targets that fit a categorical loss neither as labels nor as distributions."""
    name = spec.x
    labels = full[:axis] + full[axis + 1 :]
    expected = f"expected {labels} for class labels or {full} for distributions"
    got = f"targets has shape {targets}, {name} has shape {full}"
    fitting = [a for a in range(len(full)) if full[:a] + full[a + 1 :] == targets]
    if fitting:
        fits = " and ".join(f"axis={a}" for a in fitting)
        use = fits if len(fitting) == 1 else "the one that holds the classes"
        return (
            f"targets has shape {targets}, but with the classes on axis {spec.axis} of {name} {full} labels need shape "
            f"{labels}. These targets fit {fits}: pass {use}"
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
    if not weight.shape and not is_weight(weight[()].item()):
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
    if len(shape) < 2:
        raise ValueError(f"{problem}: expected {f'{shape} or ' if shape else ''}a single number")
    raise ValueError(f"{problem}: expected {shape}, a single number, or {len(shape)} dimensions with axes of length 1")


def _pieces(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the numbers of an array in any layout, piece by piece: short enough to be interrupted between two."""
    flags: Any = ["external_loop", "buffered", "zerosize_ok"]  # Any, because the types of NumPy want literals
    of_array: Any = ["readonly", "nbo", "aligned"]
    with np.nditer(array, flags, [of_array], buffersize=1 << 16) as pieces:
        yield from pieces


def refuse_overflow(
    upstream: np.ndarray, dtype: np.dtype, name: str, counting: Callable[[], Any] = lambda: True
) -> None:
    """Raise an error for a finite number of upstream that becomes infinite in the type in which a result is computed.

    `name` is the name of the predictions, and `dtype` the dtype of the results. The function `counting` returns which
    numbers count.
    """
    computing = computing_type(dtype)
    if upstream.dtype.kind != "f" or upstream.dtype.itemsize <= computing.itemsize:
        return
    most = float(np.finfo(computing).max)
    with np.errstate(all="ignore"):
        if not any((np.isfinite(piece) & (np.abs(piece) > most)).any() for piece in _pieces(upstream)):
            return
        beyond = np.isinf(upstream.astype(computing)) & np.isfinite(upstream)
        beyond = beyond & counting() if beyond.any() else beyond
    if beyond.any():
        index = tuple(int(k) for k in np.unravel_index(int(np.argmax(beyond)), upstream.shape))
        raise beyond_range("upstream", upstream, index, computing, "upstream is", name, dtype)


def beyond_range(
    argument: str, array: np.ndarray, index: tuple[int, ...], computing: np.dtype, what: str, name: str, dtype: np.dtype
) -> ValueError:
    """Return the error for a finite number that is infinite in the type in which a result is computed."""
    where = f"{_at(argument, array, index)} is beyond the range of {computing}, to which {what} converted"
    scale = f"Scale {'the weights' if argument == 'sample_weight' else argument}"
    if computing == np.float64:
        return ValueError(f"{where}. {scale}")
    return ValueError(f"{where} because {name} has dtype {dtype}. {scale}, or pass np.array({name}, dtype=float)")


def _upstream(u: float | np.ndarray, reduction: str, shape: tuple[int, ...]) -> float | np.ndarray:
    if not isinstance(u, np.ndarray):
        return u
    if u.ndim == 0:
        return as_float("upstream", u[()])  # float(u) would ignore the byte order of bfloat16
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


def outputs(spec: Spec, call: Call, given: Any, wanted: int, outs: tuple[Any, ...]) -> tuple[bool, list[Any]]:
    """Check the arrays for the value, the gradient and the Hessian against the call's arrays and each other.

    `given` is what the user passed as predictions. Return whether one of the outputs is that array, and the outputs as
    plain arrays.
    """
    names = (
        "loss_out" if wanted & GRADIENT else "out",
        "out" if wanted == GRADIENT else "gradient_out",
        "hessian_out",
    )
    x = np.moveaxis(call.x, -1, call.axis) if spec.rows else call.x
    inner = call.x.shape[:-1] if spec.rows else x.shape
    place = base_view(given) if is_array(given) else x
    inputs = {"targets": call.targets, "sample_weight": call.sample_weight, "upstream": call.upstream}
    in_place = False
    shapes = inner, x.shape, x.shape
    views = [
        None if out is None else output(name, out, shape, call.dtype)
        for name, shape, out in zip(names, shapes, outs, strict=True)
    ]
    if sum(out is not None for out in outs) > len({id(out) for out in outs if out is not None}):
        raise ValueError("one array is given for two results: pass a separate array for each")
    for name, shape, out in zip(names, shapes, views, strict=True):
        if out is None:
            continue
        can_overwrite = is_array(given) and place.shape == shape and place.dtype == out.dtype
        itself = f", or {spec.x} itself to overwrite the predictions" if can_overwrite else ""
        separate = f"Pass a separate array{itself}"
        others = inputs | {other: o for other, o in zip(names, views, strict=True) if o is not out}
        for other, array in others.items():
            if _overlap(out, array):
                raise ValueError(f"{name} shares memory with {other}. {separate}")
        if _overlap(out, place):
            if not _same(out, place):
                raise ValueError(f"{name} shares memory with {spec.x}, but is not the same array. {separate}")
            in_place = True
    return in_place, views


def output(name: str, out: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return an output as a plain array. Raise an error if it cannot hold the result."""
    if not is_array(out) or is_masked(out):
        raise TypeError(f"{name} is {kind_of(out)}: expected a numpy.ndarray")
    out = base_view(out)
    if out.shape != shape or out.dtype.newbyteorder("=") != dtype:
        allocate = f"Allocate it with np.empty({shape}, {'ml_dtypes' if is_bfloat16(dtype) else 'np'}.{dtype})"
        if out.shape != shape:
            raise ValueError(f"{name} has shape {out.shape}: expected {shape}, the shape of this result. {allocate}")
        raise ValueError(f"{name} has dtype {out.dtype}: expected {dtype}, the dtype of this result. {allocate}")
    if not out.flags.writeable:
        raise ValueError(f"{name} is read-only: pass an array that can be written to")
    if out.size and not _are_distinct(out):
        raise ValueError(f"{name} has elements that share their memory: pass an array with a place for each result")
    return out


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
    if a.__array_interface__["data"] != b.__array_interface__["data"] or (a.shape, a.dtype) != (b.shape, b.dtype):
        return False
    strides = zip(a.strides, b.strides, a.shape, strict=True)
    return all(first == second for first, second, length in strides if length > 1)


# ---------------------------------------------------------------- suspicious inputs


def warn(spec: Spec, call: Call, row: int) -> None:
    """Warn at the caller's line, unless the values that raised the suspicion are errors.

    The text holds no values of the data: Python shows the same text once per line.
    """
    with np.errstate(all="ignore"):
        if spec.rows:
            _explain(spec, call, row, row + 1)
        elif (np.abs(call.targets.flat[:BLOCK].astype(np.float64) - 0.5) > 0.5).any():  # perhaps outside [0, 1]
            _explain(spec, call, 0, min(call.x.size, BLOCK))
    if spec.rows:
        text = "a row of probs does not sum to 1. If these are logits, use CrossEntropyWithLogits; "
        if call.x.ndim == 1:
            text += "if each number is the probability of class 1, use BinaryCrossEntropy"
        else:
            text += "if the classes lie along another axis, set axis"
    else:
        text = (
            "the first predictions are all exactly 0 or 1, but the targets are not: are the arguments swapped? "
            f"Predictions come first: {spec.function}(probs, targets)"
        )
    frame, level = sys._getframe(), 1
    while frame.f_back and str(frame.f_globals.get("__name__")).partition(".")[0] == __package__:
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
    text = str(value.item()) if isinstance(value, np.generic) else shown(value)  # format() rounds a longdouble
    return f"{_place(name, tuple(places))} = {text}"


def tolerance(dtype: np.dtype) -> float:
    """Return the distance from [0, 1] up to which a number counts as 0 or 1."""
    if is_bfloat16(dtype):
        return TOLERATED * 2.0**-7
    if dtype.kind != "f":
        return 0.0
    return TOLERATED * float(np.finfo(np.float64 if dtype.itemsize > 8 else dtype).eps)


def _within(spec: Spec, call: Call, name: str, index: tuple[int, ...], used: Any = True) -> np.ndarray:
    """Convert the element at an index, or the elements along the last axis; raise an error if a used one is outside."""
    array = call.targets if name == "targets" else call.x
    computing = computing_type(call.dtype)
    values = np.asarray(array[index]).astype(computing)
    near = tolerance(computing if name == "targets" else array.dtype)
    outside = used & ((-values > near) | (values - 1 > near))
    if outside.any():
        place = int(np.argmax(outside))
        at = index if values.ndim == 0 else (*index, place)
        hint = outside_hint(spec, call, name, float(values.flat[place]), 4 * near)
        raise ValueError(f"{_at(name, array, at, call.axis)} is {hint}")
    return values


def outside_hint(spec: Spec, call: Call, name: str, value: float, near: float) -> str:
    """Return what is wrong with a probability or a target outside [0, 1], and what to do."""
    beyond = max(-value, value - 1)
    if beyond < max(1e-3, near):
        return (
            "just outside [0, 1], by more than rounding explains. If it comes from arithmetic of yours, "
            f"pass np.clip({name}, 0, 1)"
        )
    if name == "probs":
        logits = f"use {spec.family}WithLogits"
        if 10 < value <= 100:
            return f"outside [0, 1]. If these are percentages, pass probs / 100; if they are logits, {logits}"
        return f"outside [0, 1]. If these are logits, {logits}"
    if value == 255:
        return "outside [0, 1]. For a mask of 0 and 255, pass targets > 0"
    if 10 < value <= 100:
        return "outside [0, 1]. If these are percentages, pass targets / 100"
    if value == -1 and not spec.rows:
        return "outside [0, 1]. If your labels are -1 and +1, pass (targets + 1) / 2"
    if value == 2 and not spec.rows:
        return "outside [0, 1]. If your labels are 1 and 2, pass targets - 1; for more classes, use CrossEntropy" + (
            "WithLogits" if spec.x == "logits" else ""
        )
    if value.is_integer() and value > 1 and not spec.rows:
        return "outside [0, 1]. A binary loss takes labels 0 and 1, or probabilities"
    first = np.asarray(call.x.flat[:BLOCK], np.float64)
    if not value.is_integer() and ((first == 0) | (first == 1)).all():
        return f"outside [0, 1]. Are the arguments swapped? Predictions come first: {spec.function}({spec.x}, targets)"
    return "outside [0, 1]"


def explain(spec: Spec, call: Call, start: int, stop: int) -> NoReturn:
    """Raise the error of the first element or row from start to stop that is outside its domain."""
    with np.errstate(all="ignore"):
        _explain(spec, call, start, stop)
    raise ValueError(f"{spec.x}, targets or sample_weight changed during the call")


def _explain(spec: Spec, call: Call, start: int, stop: int) -> None:
    x, w = call.x, call.sample_weight
    for i in range(start, stop):
        index = tuple(int(k) for k in np.unravel_index(i, x.shape[:-1] if spec.rows else x.shape))
        weight = 1.0 if w is None else w[index].astype(computing_type(call.dtype))
        if not (weight >= 0 and math.isfinite(weight)):
            assert w is not None
            raise _bad_weight(spec, call, *((w, index) if any(w.strides) else (np.asarray(w[index]), ())))
        if w is not None and w[index] == 0:  # not what float32 rounds to 0: that counts for nothing, but it is checked
            continue
        if spec.rows:
            _explain_row(spec, call, index)
            continue
        t = _within(spec, call, "targets", index)
        if spec.x == "probs":
            positive = 1.0 if spec.pos_weight is None else np.ravel(spec.pos_weight)[i % np.size(spec.pos_weight)]
            _within(spec, call, "probs", index, positive != 0 or not t >= 1 or spec.label_smoothing != 0)


def _bad_weight(spec: Spec, call: Call, array: np.ndarray, index: tuple[Any, ...]) -> ValueError:
    """Return the error for a sample weight that is negative, not finite, or infinite in the computing type."""
    if is_weight(array[index].item()):
        computing = computing_type(call.dtype)
        return beyond_range("sample_weight", array, index, computing, "weights are", spec.x, call.dtype)
    return not_a_weight("sample_weight", array, index)


def _explain_row(spec: Spec, call: Call, row: tuple[int, ...]) -> None:
    targets, classes = call.targets, call.x.shape[-1]
    if targets.ndim == call.x.ndim:
        t = _within(spec, call, "targets", row)
    else:
        label = whole(targets[row])
        if label is not None and label == spec.ignore_index:
            return
        if label is None or not 0 <= label < classes:
            raise ValueError(not_a_label(spec, call, row))
        t = (np.arange(classes) == label).astype(np.float64)
    if spec.x == "probs":
        used = ~(t <= 0) | (spec.label_smoothing != 0)
        if spec.class_weight is not None:
            used &= np.asarray(spec.class_weight) != 0
        _within(spec, call, "probs", row, used)


def whole(value: Any) -> int | None:
    """Return a label as an integer, without rounding, or None if it is not a whole number."""
    number = value.item()
    if isinstance(number, np.longdouble):  # math.floor would round it to a double
        return int(number) if np.isfinite(number) and number == np.floor(number) else None
    return int(number) if math.isfinite(number) and number == math.floor(number) else None


def not_a_label(spec: Spec, call: Call, row: tuple[int, ...]) -> str:
    """Return the message for a class label outside 0..C-1."""
    targets, classes = call.targets, call.x.shape[-1]
    label, value = whole(targets[row]), targets[row]
    at, expected = _at("targets", targets, row), f"0..{classes - 1}"
    if label is None and np.isfinite(value):
        full = np.moveaxis(call.x, -1, call.axis).shape
        each = "column" if len(full) == 2 and call.axis == 1 else "number"
        return (
            f"{at} is not a whole number: expected a class label {expected}. "
            f"For probabilities, pass one {each} per class: shape {full}"
        )
    hint = ""
    if spec.ignore_index is not None:
        expected += f" or ignore_index {spec.ignore_index}"
    elif classes == 1:
        hint = f". {spec.x} has one class; for one number per sample use Binary{spec.family}" + (
            "WithLogits" if spec.x == "logits" else ""
        )
    elif label == classes:
        some = np.asarray(targets.flat[:1_000_000])
        zero = f". Labels 0 and {classes} both occur: are there {classes + 1} classes?"
        hint = zero if (some == 0).any() else ". If your labels start at 1, pass targets - 1"
    elif label is not None and (label == 255 or -(1 << 63) <= label < 0):
        hint = f". To skip such rows, set ignore_index={label} (the default here is None)"
    elif label is None and np.isnan(value):
        hint = ". Drop rows without a label, or give them sample_weight 0"
    return f"{at} is not a class label: expected {expected}{hint}"
