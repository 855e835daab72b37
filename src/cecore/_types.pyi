"""The types of options and results. Only type checkers read this file; cecore never imports it."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeAlias, TypedDict, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[Any]  # an array whose dtype is not known here: an output, or single losses
Float = TypeVar("Float", bound=np.float64 | np.float32 | np.float16)  # the dtype of predictions and their derivatives
Reduction: TypeAlias = Literal["mean", "sum", "none"]
ToNumber: TypeAlias = Literal["mean", "sum"]  # reductions whose loss is one number
MeanOver: TypeAlias = Literal["weights", "count"]
GradientOutside: TypeAlias = Literal["clipped", "zero"]

_T_co = TypeVar("_T_co", covariant=True)

class Option(Generic[_T_co]):
    """An option of a loss as an attribute that can be read but not set."""

    def __get__(self, loss: object, kind: type) -> _T_co: ...

class Options(TypedDict, total=False):
    """The options that every loss has, without the reduction."""

    mean_over: MeanOver
    label_smoothing: float

class _OnProbabilities(Options, total=False):
    eps: float
    gradient_outside: GradientOutside

class _OnLogits(Options, total=False):
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

class _Weighted(TypedDict, total=False):
    sample_weight: ArrayLike | None

class ForBackward(_Weighted, total=False):
    """The arrays that `backward` takes by keyword."""

    upstream: ArrayLike
    out: Array | None

class ForBoth(_Weighted, total=False):
    """The arrays that `forward_backward` takes by keyword."""

    loss_out: Array | None
    gradient_out: Array | None

class ForHessian(_Weighted, total=False):
    """The arrays that `gradient_hessian` takes by keyword."""

    gradient_out: Array | None
    hessian_out: Array | None
