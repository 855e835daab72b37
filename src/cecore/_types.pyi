"""The types of options and results: read by type checkers only, never imported when cecore runs."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeAlias, TypedDict, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[Any]  # any dtype: an output
FloatArray: TypeAlias = NDArray[np.floating[Any]]  # a result, of the predictions' dtype
Reduction: TypeAlias = Literal["mean", "sum", "none"]
ToNumber: TypeAlias = Literal["mean", "sum"]  # reductions whose loss is one number
MeanOver: TypeAlias = Literal["weights", "count"]
GradientOutside: TypeAlias = Literal["clipped", "zero"]

_T_co = TypeVar("_T_co", covariant=True)

class Option(Generic[_T_co]):
    """An option of a loss as an attribute, which can be read and not set."""

    def __get__(self, loss: object, kind: type) -> _T_co: ...

class _Options(TypedDict, total=False):
    mean_over: MeanOver
    label_smoothing: float

class _OnProbabilities(_Options, total=False):
    eps: float
    gradient_outside: GradientOutside

class _OnLogits(_Options, total=False):
    focal_gamma: float

class _Binary(TypedDict, total=False):
    pos_weight: ArrayLike | None

class _Categorical(TypedDict, total=False):
    class_weight: ArrayLike | None
    ignore_index: int | None
    axis: int

class BinaryOptions(_OnProbabilities, _Binary, total=False):
    """The options of BinaryCrossEntropy, without the reduction."""

class BinaryWithLogitsOptions(_OnLogits, _Binary, total=False):
    """The options of BinaryCrossEntropyWithLogits, without the reduction."""

class CategoricalOptions(_OnProbabilities, _Categorical, total=False):
    """The options of CrossEntropy, without the reduction."""

class CategoricalWithLogitsOptions(_OnLogits, _Categorical, total=False):
    """The options of CrossEntropyWithLogits, without the reduction."""
