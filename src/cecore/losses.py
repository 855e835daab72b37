"""The losses: options, documentation, and one call each into the kernels."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

import numpy as np

from . import _checks, _dispatch
from ._checks import BITS, GRADIENT, HESSIAN, IN_PLACE, PREPARED, STATE, VALUE, WARNED
from .streaming import Accumulator

if TYPE_CHECKING:  # only type checkers need these, and importing numpy.typing takes a millisecond
    from typing import Literal, Never, Self, Unpack

    from numpy.typing import ArrayLike, NDArray

    from ._types import (
        Array,
        BinaryOptions,
        BinaryWithLogitsOptions,
        CategoricalOptions,
        CategoricalWithLogitsOptions,
        Float,
        ForBackward,
        ForBoth,
        ForHessian,
        GradientOutside,
        MeanOver,
        Option,
        Options,
        Reduction,
        ToNumber,
    )

_Value_co = TypeVar("_Value_co", covariant=True)  # the type of a loss's value: float, or an array without a reduction


class Loss(Generic[_Value_co]):
    """The base class of the four losses. It holds their methods; use it for annotations and `isinstance`.

    A loss is immutable. It checks its options once, when it is made. The options are attributes that can be read but
    not set; `replace` makes a loss with other options. Losses can be compared, hashed and pickled. Several threads can
    use the same loss at once.

    Weights (`sample_weight`, `class_weight` and `pos_weight`) are never rescaled. A product of a weight and a loss that
    is smaller than 2.2e-308 has fewer digits, and below 2.5e-324 it is 0. Products that overflow are infinite. If the
    sum of the weights overflows, the mean is an error. If the results are float32 or smaller, weights are rounded to
    float32: a positive weight that becomes 0 adds nothing, but its element is still checked.

    Ctrl-C ends a call in the main thread within about 0.2 seconds. So does an exception of any other signal handler.
    All output arrays are then unspecified, and so are predictions that an output overwrites. An accumulator adds all
    losses of the call or none of them; its `count` tells which.

    On Linux and macOS, a call in a thread that has less than 92 KiB of stack left raises a RuntimeError.

    In annotations, ``Loss[float]`` is a loss with reduction ``"mean"`` or ``"sum"``.

    Examples
    --------
    >>> import cecore
    >>> def improvement(loss: cecore.Loss[float], before, after, targets) -> float:
    ...     return loss(before, targets) - loss(after, targets)
    >>> improvement(cecore.BinaryCrossEntropy(), [0.5, 0.5], [0.75, 0.25], [1, 0])
    0.4054651081081644
    """

    _kind: ClassVar[int]  # BINARY, BINARY_LOGITS, CATEGORICAL or CATEGORICAL_LOGITS
    _names: ClassVar[tuple[str, ...]] = ("reduction", "mean_over", "label_smoothing")  # of the options

    if TYPE_CHECKING:
        reduction: ClassVar[Option[Reduction]]
        mean_over: ClassVar[Option[MeanOver]]
        label_smoothing: ClassVar[Option[float]]
        _spec: _checks.Spec
        _packed: bytes  # the options as the kernels take them

    else:
        # Type checkers must not see the slots: pyright would not read the options through `Option`
        __slots__ = {  # the texts are shown by help()
            "reduction": "How the losses are reduced: to their mean or their sum, or not at all ('none').",
            "mean_over": "The divisor of the mean: the sum of the weights, or the count.",
            "label_smoothing": "The share of the uniform distribution in the targets.",
            "_spec": "What the checks need to know.",
            "_packed": "The options as the kernels take them.",
            "__weakref__": None,
        }

    def __init__(self) -> None:
        raise TypeError("Loss has no formula: make a BinaryCrossEntropy, a CrossEntropy, or one of them WithLogits")

    def _set_up(self, positional: tuple[Any, ...], unknown: dict[str, Any], **options: Any) -> None:
        """Check the options and store them in three forms: for the user, for the checks and for the kernels."""
        try:
            if positional or unknown:
                _checks.unexpected(type(self).__name__, self._names, positional, unknown)
            checked = {name: _checks.OPTIONS[name](name, value) for name, value in options.items()}
        except (TypeError, ValueError) as error:
            if not _checks.is_own(error):
                raise
            raise error.with_traceback(None) from error.__cause__
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        known = {name: checked[name] for name in _checks.Spec._fields if name in checked}
        object.__setattr__(self, "_spec", _checks.Spec(self._kind, **known))
        object.__setattr__(self, "_packed", _packed(self._spec, checked))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a {type(self).__name__} cannot be changed: use loss.replace({name}=...)")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a {type(self).__name__} cannot be changed")

    def _given(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._names}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Loss):
            return NotImplemented
        return type(self) is type(other) and self._given() == other._given()

    def __hash__(self) -> int:
        return hash((type(self), *self._given().values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._given().items())})"

    def __reduce__(self) -> Any:  # the options alone: the packed form differs between versions
        return _make, (type(self), self._given())

    @overload
    def replace(self, **options: Unpack[Options]) -> Self: ...
    @overload
    def replace(self, *, reduction: ToNumber, **options: Unpack[Options]) -> Loss[float]: ...
    @overload
    def replace(self, *, reduction: Literal["none"], **options: Unpack[Options]) -> Loss[Array]: ...
    @overload
    def replace(self, *, reduction: Reduction, **options: Unpack[Options]) -> Loss[float | Array]: ...
    def replace(self, **options: Any) -> Any:
        """Return a copy of the loss with some options changed.

        Parameters
        ----------
        **options
            The options to change, by keyword.

        Returns
        -------
        Loss
            A new loss of the same class. It keeps all other options.

        Raises
        ------
        ValueError
            If an option is out of its range.
        TypeError
            If an option has the wrong type or does not exist.

        Examples
        --------
        >>> import cecore
        >>> loss = cecore.CrossEntropy(ignore_index=-100)
        >>> each = loss.replace(reduction="none")
        >>> each.reduction, each.ignore_index
        ('none', -100)
        """
        return type(self)(**{**self._given(), **options})

    __replace__ = replace  # for copy.replace

    def forward(
        self,
        predictions: ArrayLike,
        /,
        targets: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        out: Array | None = None,
    ) -> _Value_co:
        """Compute the loss. Calling the object does the same: ``loss(predictions, targets)``.

        Parameters
        ----------
        predictions : array_like
            Probabilities for `BinaryCrossEntropy` and `CrossEntropy`, logits for the two losses on logits. A binary
            loss takes any shape. A categorical loss takes an array with the classes along the option `axis`.
        targets : array_like
            A binary loss takes labels 0 and 1, or probabilities of class 1, in the shape of the predictions. A
            categorical loss takes class labels 0 to C-1 or one distribution per row. The labels have the shape of the
            predictions without `axis`; the distributions have the shape of the predictions.
        sample_weight : array_like, optional
            Finite weights >= 0: a single number, one weight per loss, or an array that is broadcast to the losses. Such
            an array has as many dimensions as the losses, and its axes of length 1 are repeated. A bool array is a
            mask. Elements with weight 0 contribute exactly 0 and are not checked; they may even be NaN.
        out : numpy.ndarray, optional
            The array to write the losses into, only with ``reduction="none"``. It must have the shape of the losses and
            the dtype of the results; its layout is free. It can be the predictions array itself, but must not share
            memory with any other array of the call.

        Returns
        -------
        float or numpy.ndarray
            The mean or the sum of the losses, in nats. With ``reduction="none"``, an array that holds every loss; this
            is `out` if given. If the divisor of the mean is 0 (no losses, or weights that sum to 0), the mean is NaN.
            The sum of no losses is 0.0.

        Raises
        ------
        ValueError
            If a value is outside its domain, if shapes do not match, if the sum of the weights overflows, or if `out`
            cannot hold the result. The inputs are then unchanged.
        TypeError
            If an input does not hold real numbers, or if an output is not a NumPy array.

        Warns
        -----
        InputWarning
            `BinaryCrossEntropy`: if predictions and targets look swapped. `CrossEntropy`: if the first row that counts
            does not sum to 1.
        """
        if out is not None:
            _checks.no_output("out", self.reduction)
        result: Any = _dispatch.kernels.loss(
            self._packed, predictions, targets, sample_weight, 1.0, VALUE, out, None, None
        )
        if result is None:
            result = self._fall_back(predictions, targets, sample_weight, 1.0, VALUE, out, None, None)
        return result

    __call__ = forward

    @overload
    def backward(
        self, predictions: NDArray[Float], /, targets: ArrayLike, **arrays: Unpack[ForBackward]
    ) -> NDArray[Float]: ...
    @overload
    def backward(self, predictions: ArrayLike, /, targets: ArrayLike, **arrays: Unpack[ForBackward]) -> Array: ...
    def backward(
        self,
        predictions: ArrayLike,
        /,
        targets: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        upstream: ArrayLike = 1.0,
        out: Array | None = None,
    ) -> Array:
        """Compute the gradient of the reduced loss with respect to the predictions.

        Parameters
        ----------
        predictions : array_like
            Probabilities for `BinaryCrossEntropy` and `CrossEntropy`, logits for the two losses on logits. A binary
            loss takes any shape. A categorical loss takes an array with the classes along the option `axis`.
        targets : array_like
            A binary loss takes labels 0 and 1, or probabilities of class 1, in the shape of the predictions. A
            categorical loss takes class labels 0 to C-1 or one distribution per row. The labels have the shape of the
            predictions without `axis`; the distributions have the shape of the predictions.
        sample_weight : array_like, optional
            Finite weights >= 0: a single number, one weight per loss, or an array that is broadcast to the losses. Such
            an array has as many dimensions as the losses, and its axes of length 1 are repeated. A bool array is a
            mask. Elements with weight 0 have gradient exactly 0.
        upstream : float or array_like, optional
            The derivative of the final objective with respect to this loss. The gradient is multiplied by it. With
            ``reduction="none"`` it can be an array with the shape of the losses. Such an array is converted to the type
            in which the loss is computed. A finite number that would become infinite is an error.
        out : numpy.ndarray, optional
            The array to write the gradient into. It must have the shape of the predictions and the dtype of the
            results; its layout is free. It can be the predictions array itself, but must not share memory with any
            other array of the call.

        Returns
        -------
        numpy.ndarray
            The gradient, with the shape of the predictions; this is `out` if given. If the divisor of the mean is 0,
            the gradient is all zeros.

        Raises
        ------
        ValueError
            If a value is outside its domain, if shapes do not match, if the sum of the weights or `upstream` divided by
            it overflows, or if `out` cannot hold the result. The inputs are then unchanged.
        TypeError
            If an input does not hold real numbers, or if an output is not a NumPy array.

        Warns
        -----
        InputWarning
            `BinaryCrossEntropy`: if predictions and targets look swapped. `CrossEntropy`: if the first row that counts
            does not sum to 1.
        """
        if type(upstream) is not float and isinstance(upstream, (int, np.floating, np.integer)):
            upstream = _checks.as_float("upstream", upstream)
        result: Any = _dispatch.kernels.loss(
            self._packed, predictions, targets, sample_weight, upstream, GRADIENT, None, out, None
        )
        if result is None:
            result = self._fall_back(predictions, targets, sample_weight, upstream, GRADIENT, None, out, None)
        return result

    @overload
    def forward_backward(
        self, predictions: NDArray[Float], /, targets: ArrayLike, **arrays: Unpack[ForBoth]
    ) -> tuple[_Value_co, NDArray[Float]]: ...
    @overload
    def forward_backward(
        self, predictions: ArrayLike, /, targets: ArrayLike, **arrays: Unpack[ForBoth]
    ) -> tuple[_Value_co, Array]: ...
    def forward_backward(
        self,
        predictions: ArrayLike,
        /,
        targets: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        loss_out: Array | None = None,
        gradient_out: Array | None = None,
    ) -> tuple[_Value_co, Array]:
        """Compute the loss and its gradient in one pass over memory.

        If an output is the predictions array itself, the inputs are checked in an additional pass before the first
        result is written.

        Parameters
        ----------
        predictions : array_like
            Probabilities for `BinaryCrossEntropy` and `CrossEntropy`, logits for the two losses on logits. A binary
            loss takes any shape. A categorical loss takes an array with the classes along the option `axis`.
        targets : array_like
            A binary loss takes labels 0 and 1, or probabilities of class 1, in the shape of the predictions. A
            categorical loss takes class labels 0 to C-1 or one distribution per row. The labels have the shape of the
            predictions without `axis`; the distributions have the shape of the predictions.
        sample_weight : array_like, optional
            Finite weights >= 0: a single number, one weight per loss, or an array that is broadcast to the losses. Such
            an array has as many dimensions as the losses, and its axes of length 1 are repeated. A bool array is a
            mask. Elements with weight 0 contribute exactly 0.
        loss_out : numpy.ndarray, optional
            The array to write the losses into, only with ``reduction="none"``. It must have the shape of the losses and
            the dtype of the results.
        gradient_out : numpy.ndarray, optional
            The array to write the gradient into. It must have the shape of the predictions and the dtype of the
            results. One of the outputs can be the predictions array itself. They must not share memory with each other
            or with any other array of the call.

        Returns
        -------
        value : float or numpy.ndarray
            The mean or the sum of the losses, in nats. With ``reduction="none"``, an array that holds every loss.
            `forward` returns the same value.
        gradient : numpy.ndarray
            The gradient of the reduced loss with respect to the predictions. `backward` returns the same gradient.

        Raises
        ------
        ValueError
            If a value is outside its domain, if shapes do not match, if the sum of the weights or its inverse
            overflows, or if an output cannot hold its result. The inputs are then unchanged.
        TypeError
            If an input does not hold real numbers, or if an output is not a NumPy array.

        Warns
        -----
        InputWarning
            `BinaryCrossEntropy`: if predictions and targets look swapped. `CrossEntropy`: if the first row that counts
            does not sum to 1.
        """
        if loss_out is not None:
            _checks.no_output("loss_out", self.reduction)
        wanted = VALUE | GRADIENT
        result: Any = _dispatch.kernels.loss(
            self._packed, predictions, targets, sample_weight, 1.0, wanted, loss_out, gradient_out, None
        )
        if result is None:
            result = self._fall_back(predictions, targets, sample_weight, 1.0, wanted, loss_out, gradient_out, None)
        return result

    @overload
    def gradient_hessian(
        self, predictions: NDArray[Float], /, targets: ArrayLike, **arrays: Unpack[ForHessian]
    ) -> tuple[NDArray[Float], NDArray[Float]]: ...
    @overload
    def gradient_hessian(
        self, predictions: ArrayLike, /, targets: ArrayLike, **arrays: Unpack[ForHessian]
    ) -> tuple[Array, Array]: ...
    def gradient_hessian(
        self,
        predictions: ArrayLike,
        /,
        targets: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        gradient_out: Array | None = None,
        hessian_out: Array | None = None,
    ) -> tuple[Array, Array]:
        """Compute the first and second derivative of each loss with respect to each prediction, for gradient boosting.

        The derivatives are multiplied by the weights. They do not depend on the reduction: they are never divided by
        a count or by a sum of weights.

        Parameters
        ----------
        predictions : array_like
            Probabilities for `BinaryCrossEntropy` and `CrossEntropy`, logits for the two losses on logits. A binary
            loss takes any shape. A categorical loss takes an array with the classes along the option `axis`.
        targets : array_like
            A binary loss takes labels 0 and 1, or probabilities of class 1, in the shape of the predictions. A
            categorical loss takes class labels 0 to C-1 or one distribution per row. The labels have the shape of the
            predictions without `axis`; the distributions have the shape of the predictions.
        sample_weight : array_like, optional
            Finite weights >= 0: a single number, one weight per loss, or an array that is broadcast to the losses. Such
            an array has as many dimensions as the losses, and its axes of length 1 are repeated. A bool array is a
            mask. Elements with weight 0 have derivatives exactly 0.
        gradient_out, hessian_out : numpy.ndarray, optional
            Two arrays to write the derivatives into. They must have the shape of the predictions and the dtype of the
            results. One of them can be the predictions array itself. They must not share memory with each other or
            with any other array of the call.

        Returns
        -------
        gradient : numpy.ndarray
            The first derivatives, with the shape of the predictions.
        hessian : numpy.ndarray
            The diagonal of the Hessian, with the shape of the predictions.

        Raises
        ------
        ValueError
            If a value is outside its domain, if shapes do not match, or if an output cannot hold its result. The inputs
            are then unchanged.
        TypeError
            If an input does not hold real numbers, or if an output is not a NumPy array.

        Warns
        -----
        InputWarning
            `BinaryCrossEntropy`: if predictions and targets look swapped. `CrossEntropy`: if the first row that counts
            does not sum to 1.
        """
        wanted = GRADIENT | HESSIAN
        result: Any = _dispatch.kernels.loss(
            self._packed, predictions, targets, sample_weight, 1.0, wanted, None, gradient_out, hessian_out
        )
        if result is None:
            result = self._fall_back(predictions, targets, sample_weight, 1.0, wanted, None, gradient_out, hessian_out)
        return result

    def accumulator(self: Loss[float]) -> Accumulator:
        """Return an empty accumulator, which adds up this loss over several batches.

        Its methods `update` and `merge` add to it. Its properties `value`, `weight` and `count` are the results. The
        sums are exact, so the order of the batches does not change the results. Different processes can score
        different batches.

        Returns
        -------
        Accumulator
            An accumulator without losses.

        Raises
        ------
        ValueError
            If the reduction is ``"none"``.

        Examples
        --------
        >>> import cecore
        >>> total = cecore.CrossEntropy().accumulator()
        >>> total.update([[0.7, 0.2, 0.1]], [0])
        >>> total.update([[0.25, 0.5, 0.25]], [2])
        >>> total.value
        0.8714846525293115
        """
        return Accumulator(self)

    def _exact_sums(self, predictions: Any, targets: Any, sample_weight: Any) -> tuple[int, float, int, int]:
        """Return the exact sum of the finite losses, the sum of the others, the exact sum of weights, and the count."""
        wanted = VALUE | STATE
        sums: Any = _dispatch.kernels.loss(
            self._packed, predictions, targets, sample_weight, 1.0, wanted, None, None, None
        )
        if sums is None:
            sums = self._fall_back(predictions, targets, sample_weight, 1.0, wanted, None, None, None)
        return sums

    def _fall_back(self, *call: Any) -> Any:
        """Prepare the arrays of a call that the kernels handed back. Compute the call or raise its error.

        Errors of cecore lose their inner frames here, so that few frames stand between the user's line and the message.
        """
        try:
            return self._prepare_and_compute(*call)
        except (TypeError, ValueError, _checks.InputWarning) as error:
            if not _checks.is_own(error):
                raise
            raise error.with_traceback(None) from error.__cause__

    def _prepare_and_compute(
        self, predictions: Any, targets: Any, sample_weight: Any, upstream: Any, wanted: int, *outs: Any
    ) -> Any:
        reduction = "sum" if wanted & (HESSIAN | STATE) else self.reduction
        arrays = _checks.convert(self._spec, predictions, targets, sample_weight, upstream)
        while True:
            # Also again after a warning, which can run code of the user's
            call = _checks.prepare(self._spec, reduction, *arrays)
            in_place, views = _checks.outputs(self._spec, call, predictions, wanted, outs)
            try:
                return self._compute(call, reduction, wanted | (IN_PLACE if in_place else 0), outs, views)
            except _checks.Suspicious as found:
                row, bad = found.args[0], None
            except _checks.BadBlock as found:
                bad = found.args
            if bad:  # outside the handler, so that the user's error has no other error as its context
                _checks.explain(self._spec, call, *bad)
            _checks.warn(self._spec, call, row)
            wanted |= WARNED

    def _compute(self, call: _checks.Call, reduction: str, wanted: int, outs: tuple[Any, ...], views: list[Any]) -> Any:
        """Compute the wanted results, in the user's output arrays, of which there are views, or in new ones."""
        flags, arrays = _checks.by_bits(*call[:4])
        x = np.moveaxis(call.x, -1, call.axis) if self._spec.rows else call.x
        shapes = call.x.shape[:-1] if self._spec.rows else x.shape, x.shape, x.shape
        results: list[Any] = []
        places: list[Any] = []
        for kind, shape, out, view in zip((VALUE, GRADIENT, HESSIAN), shapes, outs, views, strict=True):
            if not wanted & kind or (kind == VALUE and reduction != "none"):
                places.append(None)
                continue
            place = np.empty(shape, call.dtype) if view is None else view
            results.append(place if out is None else out)
            place = _checks.as_bits(place) if flags & BITS[0] else place
            places.append(np.moveaxis(place, call.axis, -1) if self._spec.rows and kind != VALUE else place)
        result = _dispatch.kernels.loss(self._packed, *arrays, wanted | flags | PREPARED, *places)
        if wanted & STATE:
            return result
        if len(results) < (wanted & VALUE) + bool(wanted & GRADIENT) + bool(wanted & HESSIAN):
            results.insert(0, result[0] if results else result)
        return tuple(results) if len(results) > 1 else results[0]


def _packed(spec: _checks.Spec, options: dict[str, Any]) -> bytes:
    """Return the options as bytes, in the form that the kernels take."""
    weights = options.get("class_weight" if spec.rows else "pos_weight")
    each = weights if isinstance(weights, tuple) else () if weights is None else (weights,)
    return _dispatch.pack(
        kind=spec.kind,
        reduction=_checks.REDUCTIONS[options["reduction"]],
        eps=options.get("eps", 0.0),
        smoothing=options["label_smoothing"],
        gamma=options.get("focal_gamma", 0.0),
        ignore_index=spec.ignore_index,
        axis=spec.axis,
        zero_outside=_checks.OUTSIDE[options.get("gradient_outside", "clipped")],
        by_count=_checks.MEAN_OVER[options["mean_over"]],
        length=len(each) if isinstance(weights, tuple) else 0,
        weights=each if any(weight != 1 for weight in each) else (),  # empty if every weight is 1
    )


def _make(kind: Any, options: dict[str, Any]) -> Any:
    if not (isinstance(kind, type) and issubclass(kind, Loss)):  # a pickle that cecore did not write
        raise TypeError(f"{kind!r} is not a class of losses")
    return kind(**options)


class BinaryCrossEntropy(Loss[_Value_co]):
    r"""Binary cross-entropy on clipped probabilities (log loss, BCE).

    .. math:: L = -(y \log p + (1 - y) \log(1 - p))

    The gradient is :math:`(p - y) / (p (1 - p))`. The second derivative is :math:`y / p^2 + (1 - y) / (1 - p)^2`.

    *Domain*: 0 <= p <= 1 and 0 <= y <= 1. A number outside [0, 1] by at most four machine epsilons counts as 0 or 1;
    the average of several models can be such a number. NaN is not an error: it gives NaN.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        ``"mean"`` and ``"sum"`` return one number. ``"none"`` returns one loss for each element.
    mean_over : {"weights", "count"}
        The divisor of the mean. ``"weights"`` divides by the sum of `sample_weight`, or by the number of losses if
        there are no weights. ``"count"`` always divides by the number of losses.
    label_smoothing : float
        A number a from 0 to 1. Each target y is replaced by (1 - a) y + a / 2.
    eps : float
        A number with 0 <= eps < 0.5. Probabilities are clipped to [eps, 1 - eps], so that a single wrong 0 or 1 does
        not make the mean infinite. Both ends give exactly the same loss. ``eps=0`` turns clipping off.
    gradient_outside : {"clipped", "zero"}
        The derivatives where p < eps or 1 - p < eps. ``"clipped"`` evaluates them at the clipped probability, so that
        a saturated wrong prediction still learns. ``"zero"`` makes them 0: the clipped loss is constant there.
    pos_weight : float or array_like, optional
        A finite factor >= 0, or a sequence with one factor per element of the last axis. The factor multiplies the term
        of class 1, -y log p.

    Raises
    ------
    ValueError
        If an option is out of its range.
    TypeError
        If an option has the wrong type or does not exist.

    See Also
    --------
    BinaryCrossEntropyWithLogits : The same loss on logits; use it for training.
    CrossEntropy : For rows with one probability per class.

    Notes
    -----
    *Arrays.* The predictions are probabilities p of class 1, in any shape. The targets have the same shape. They are
    labels 0 and 1 of any real dtype, or probabilities (soft labels).

    *Dtypes.* Results have the dtype of the predictions if it is float64, float32, float16 or bfloat16 (ml_dtypes).
    Otherwise they are float64. float16 and bfloat16 are computed in float32, longdouble in float64.

    *Layouts.* Arrays of any layout (strided, Fortran-ordered, unaligned, byte-swapped, memory-mapped) are read in
    place. The result is bit for bit the same as for a contiguous copy.

    *Accuracy.* For targets 0 and 1, the loss and the gradient are within 4 ULP (units in the last place) of the exact
    value, and the second derivative is within 8 ULP. These bounds hold for tiny results, too. For soft targets, and
    with `label_smoothing` or `pos_weight`, errors are counted in ULP of the sum of the absolute values of a result's
    terms. Weights, `upstream` and the divisor of the mean add 1 ULP. This holds if the result without them and their
    product with a target are normal numbers of the type in which the loss is computed.

    *Sums.* Losses are summed in blocks. The block sums are added exactly. Means and sums have a relative error of at
    most 1e-14 in float64, for up to 1e9 losses. In float32 it is at most 2.4e-7, and 6e-8 on random data.

    *Memory and threads.* The arrays are read once. Weights are read twice for a mean. All arrays are read twice if a
    result overwrites the predictions. No temporary array has the size of the data. Large calls use several threads. The
    number of threads does not change the results; see `set_num_threads`.

    References
    ----------
    .. [1] C. M. Bishop, *Pattern Recognition and Machine Learning*, Springer, 2006, section 4.3.2.

    Examples
    --------
    >>> import numpy as np
    >>> import cecore
    >>> loss = cecore.BinaryCrossEntropy()
    >>> probs, targets = np.array([0.9, 0.2, 0.6]), np.array([1, 0, 1])
    >>> loss(probs, targets)
    0.2797765635793423
    >>> loss.backward(probs, targets)
    array([-0.37037037,  0.41666667, -0.55555556])
    >>> value, gradient = loss.forward_backward(probs, targets)
    """

    _kind = _checks.BINARY

    if TYPE_CHECKING:
        eps: ClassVar[Option[float]]
        gradient_outside: ClassVar[Option[GradientOutside]]
        pos_weight: ClassVar[Option[float | tuple[float, ...] | None]]

        @overload
        def replace(self, **options: Unpack[BinaryOptions]) -> Self: ...
        @overload
        def replace(self, *, reduction: ToNumber, **options: Unpack[BinaryOptions]) -> BinaryCrossEntropy[float]: ...
        @overload
        def replace(
            self, *, reduction: Literal["none"], **options: Unpack[BinaryOptions]
        ) -> BinaryCrossEntropy[Array]: ...
        @overload
        def replace(
            self, *, reduction: Reduction, **options: Unpack[BinaryOptions]
        ) -> BinaryCrossEntropy[float | Array]: ...
        def replace(self, **options: Any) -> Any: ...

        __replace__ = replace

    else:
        __slots__ = {  # the texts are shown by help()
            "eps": "Probabilities are clipped to [eps, 1 - eps].",
            "gradient_outside": "The derivatives of clipped probabilities: at the clipped point, or zero.",
            "pos_weight": "The factor for the term of class 1: a number, a tuple, or None.",
        }
        _names = (*Loss._names, *__slots__)

    @overload
    def __init__(
        self: BinaryCrossEntropy[float], *, reduction: ToNumber = "mean", **options: Unpack[BinaryOptions]
    ) -> None: ...
    @overload
    def __init__(
        self: BinaryCrossEntropy[Array], *, reduction: Literal["none"], **options: Unpack[BinaryOptions]
    ) -> None: ...
    @overload
    def __init__(
        self: BinaryCrossEntropy[float | Array], *, reduction: Reduction, **options: Unpack[BinaryOptions]
    ) -> None: ...

    def __init__(
        self,
        *positional: Never,
        reduction: Reduction = "mean",
        mean_over: MeanOver = "weights",
        label_smoothing: float = 0.0,
        eps: float = 1e-7,
        gradient_outside: GradientOutside = "clipped",
        pos_weight: ArrayLike | None = None,
        **unknown: Never,
    ) -> None:
        self._set_up(
            positional,
            unknown,
            reduction=reduction,
            mean_over=mean_over,
            label_smoothing=label_smoothing,
            eps=eps,
            gradient_outside=gradient_outside,
            pos_weight=pos_weight,
        )


class BinaryCrossEntropyWithLogits(Loss[_Value_co]):
    r"""Binary cross-entropy on logits z: the loss of :math:`p = 1 / (1 + e^{-z})`, computed without p.

    .. math:: L = y \log(1 + e^{-z}) + (1 - y) \log(1 + e^z)

    The gradient is :math:`p - y`. The second derivative is :math:`p (1 - p)`. With `focal_gamma` the loss is the focal
    loss [1]_.

    *Domain*: any logit z, and 0 <= y <= 1. For a logit of -inf or +inf, the loss is 0 or inf, and the gradient is the
    limit of the formula. A target outside [0, 1] by at most four machine epsilons counts as 0 or 1. NaN is not an
    error: it gives NaN.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        ``"mean"`` and ``"sum"`` return one number. ``"none"`` returns one loss for each element.
    mean_over : {"weights", "count"}
        The divisor of the mean. ``"weights"`` divides by the sum of `sample_weight`, or by the number of losses if
        there are no weights. ``"count"`` always divides by the number of losses.
    label_smoothing : float
        A number a from 0 to 1. Each target y is replaced by (1 - a) y + a / 2.
    focal_gamma : float
        A number from 0 to 1e6. The term of each class is multiplied by (1 - q) ** focal_gamma, where q is the
        probability of that class. This factor down-weights samples that are already classified well.
    pos_weight : float or array_like, optional
        A finite factor >= 0, or a sequence with one factor per element of the last axis. The factor multiplies the term
        of class 1, y log(1 + exp(-z)).

    Raises
    ------
    ValueError
        If an option is out of its range.
    TypeError
        If an option has the wrong type or does not exist.

    See Also
    --------
    BinaryCrossEntropy : The same loss on probabilities; use it for scoring.
    CrossEntropyWithLogits : For rows with one logit per class.

    Notes
    -----
    *Arrays.* The predictions are logits z, in any shape. The targets have the same shape. They are labels 0 and 1 of
    any real dtype, or probabilities (soft labels).

    *Dtypes.* Results have the dtype of the predictions if it is float64, float32, float16 or bfloat16 (ml_dtypes).
    Otherwise they are float64. float16 and bfloat16 are computed in float32, longdouble in float64.

    *Layouts.* Arrays of any layout (strided, Fortran-ordered, unaligned, byte-swapped, memory-mapped) are read in
    place. The result is bit for bit the same as for a contiguous copy.

    *Accuracy.* For targets 0 and 1, the loss and the gradient are within 4 ULP (units in the last place) of the exact
    value, and the second derivative is within 8 ULP. These bounds hold for tiny results, too. For soft targets, the
    loss is within 4 ULP. The error of their gradient is at most 4 ULP of p or of y, whichever is larger. With
    `label_smoothing` or `pos_weight`, errors are counted in ULP of the sum of the absolute values of a result's terms.
    With `focal_gamma`, the error of each result is at most 12 + 2 focal_gamma ULP of this sum. Weights, `upstream` and
    the divisor of the mean add 1 ULP. These bounds hold if the result without weights is a normal number, and with
    `focal_gamma` also exp(-abs(x)).

    *Sums.* Losses are summed in blocks. The block sums are added exactly. Means and sums have a relative error of at
    most 1e-14 in float64, for up to 1e9 losses. In float32 it is at most 2.4e-7, and 6e-8 on random data.

    *Memory and threads.* The arrays are read once. Weights are read twice for a mean. All arrays are read twice if a
    result overwrites the predictions. No temporary array has the size of the data. Large calls use several threads. The
    number of threads does not change the results; see `set_num_threads`.

    References
    ----------
    .. [1] T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollar, "Focal Loss for Dense Object Detection", ICCV 2017.

    Examples
    --------
    >>> import numpy as np
    >>> import cecore
    >>> loss = cecore.BinaryCrossEntropyWithLogits(reduction="none")
    >>> loss(np.array([40.0, 0.0, -1000.0]), np.array([1, 1, 1]))
    array([4.24835426e-18, 6.93147181e-01, 1.00000000e+03])
    >>> loss.backward(np.array([40.0, 0.0, -1000.0]), np.array([1, 1, 1]))
    array([-4.24835426e-18, -5.00000000e-01, -1.00000000e+00])
    """

    _kind = _checks.BINARY_LOGITS

    if TYPE_CHECKING:
        focal_gamma: ClassVar[Option[float]]
        pos_weight: ClassVar[Option[float | tuple[float, ...] | None]]

        @overload
        def replace(self, **options: Unpack[BinaryWithLogitsOptions]) -> Self: ...
        @overload
        def replace(
            self, *, reduction: ToNumber, **options: Unpack[BinaryWithLogitsOptions]
        ) -> BinaryCrossEntropyWithLogits[float]: ...
        @overload
        def replace(
            self, *, reduction: Literal["none"], **options: Unpack[BinaryWithLogitsOptions]
        ) -> BinaryCrossEntropyWithLogits[Array]: ...
        @overload
        def replace(
            self, *, reduction: Reduction, **options: Unpack[BinaryWithLogitsOptions]
        ) -> BinaryCrossEntropyWithLogits[float | Array]: ...
        def replace(self, **options: Any) -> Any: ...

        __replace__ = replace

    else:
        __slots__ = {  # the texts are shown by help()
            "focal_gamma": "The exponent of the focal factor.",
            "pos_weight": "The factor for the term of class 1: a number, a tuple, or None.",
        }
        _names = (*Loss._names, *__slots__)

    @overload
    def __init__(
        self: BinaryCrossEntropyWithLogits[float],
        *,
        reduction: ToNumber = "mean",
        **options: Unpack[BinaryWithLogitsOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: BinaryCrossEntropyWithLogits[Array],
        *,
        reduction: Literal["none"],
        **options: Unpack[BinaryWithLogitsOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: BinaryCrossEntropyWithLogits[float | Array],
        *,
        reduction: Reduction,
        **options: Unpack[BinaryWithLogitsOptions],
    ) -> None: ...

    def __init__(
        self,
        *positional: Never,
        reduction: Reduction = "mean",
        mean_over: MeanOver = "weights",
        label_smoothing: float = 0.0,
        focal_gamma: float = 0.0,
        pos_weight: ArrayLike | None = None,
        **unknown: Never,
    ) -> None:
        self._set_up(
            positional,
            unknown,
            reduction=reduction,
            mean_over=mean_over,
            label_smoothing=label_smoothing,
            focal_gamma=focal_gamma,
            pos_weight=pos_weight,
        )


class CrossEntropy(Loss[_Value_co]):
    r"""Categorical cross-entropy on clipped probabilities along an axis (multiclass log loss).

    .. math:: H(t, p) = -\sum_k t_k \log p_k

    The gradient is :math:`-t_k / p_k`. The second derivative is :math:`t_k / p_k^2`. With class labels the loss is
    :math:`-\log p_{label}`. A row is the C numbers of one sample along `axis`.

    *Domain*: 0 <= p_k <= 1 where t_k is not 0, and 0 <= t_k <= 1. The rows of p should sum to 1. An `InputWarning` is
    issued if the first row that counts does not sum to 1; `InputWarning` says which rows count. The rows of t need not
    sum to 1. A number outside [0, 1] by at most four machine epsilons counts as 0 or 1; the average of several models
    can be such a number. NaN is an error only as a class label. Everywhere else it gives NaN in the loss and in the
    derivatives that depend on it.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        ``"mean"`` and ``"sum"`` return one number. ``"none"`` returns one loss for each row.
    mean_over : {"weights", "count"}
        The divisor of the mean. ``"weights"`` divides by the sum of the weights of the rows. The weight of a row is its
        `sample_weight`, or 1 if there is none. With `class_weight` it is multiplied by the class weight of the row's
        label, or by the sum of class_weight * t for a distribution. ``"count"`` divides by the number of rows. Ignored
        rows do not count in either.
    label_smoothing : float
        A number a from 0 to 1. Each target t_k is replaced by (1 - a) t_k + a / C, for C classes.
    eps : float
        A number with 0 <= eps < 0.5. Probabilities are clipped to [eps, 1 - eps], so that a single wrong 0 does not
        make the mean infinite. ``eps=0`` turns clipping off.
    gradient_outside : {"clipped", "zero"}
        The derivatives where p_k < eps or 1 - p_k < eps. ``"clipped"`` evaluates them at the clipped probability, so
        that a saturated wrong prediction still learns. ``"zero"`` makes them 0: the clipped loss is constant there.
    class_weight : array_like, optional
        One finite weight >= 0 for each class. It multiplies the term of its class.
    ignore_index : int, optional
        Rows with this label are ignored: their loss and derivatives are 0, whatever predictions they hold, and they do
        not count in the mean.
    axis : int
        The axis that holds the classes.

    Raises
    ------
    ValueError
        If an option is out of its range.
    TypeError
        If an option has the wrong type or does not exist.

    See Also
    --------
    CrossEntropyWithLogits : The same loss on logits; use it for training.
    BinaryCrossEntropy : For a single probability per sample, or several independent labels.

    Notes
    -----
    *Arrays.* The predictions are probabilities of shape (..., C), with the C classes along `axis`. The targets have one
    of two forms. Class labels 0 to C-1 have the shape of the predictions without `axis`; they are integers, bool, or
    floats that are whole numbers. Distributions, one in each row, have the full shape. A one-hot row gives bit for bit
    the result of its label. Probabilities whose target is 0 are not read, except to sum the first row that counts.

    *Dtypes.* Results have the dtype of the predictions if it is float64, float32, float16 or bfloat16 (ml_dtypes).
    Otherwise they are float64. float16 and bfloat16 are computed in float32, longdouble in float64.

    *Layouts.* Arrays of any layout (strided, Fortran-ordered, unaligned, byte-swapped, memory-mapped) are read in
    place. The result is bit for bit the same as for a contiguous copy.

    *Accuracy.* For labels, one-hot rows and distributions, the loss and the gradient are within 4 ULP (units in the
    last place) of the exact value, and the second derivative is within 8 ULP. With `label_smoothing`, errors are
    counted in ULP of the sum of the absolute values of a result's terms. Weights, `upstream` and the divisor of the
    mean add 1 ULP. This holds if the result without them and their product with a target are normal numbers of the type
    in which the loss is computed.

    *Sums.* Losses are summed in blocks. The block sums are added exactly. Means and sums have a relative error of at
    most 1e-14 in float64, for up to 1e9 losses. In float32 it is at most 2.4e-7, and 6e-8 on random data.

    *Memory and threads.* The arrays are read once. Weights are read twice for a mean. All arrays are read twice if a
    result overwrites the predictions. No temporary array has the size of the data: labels are never expanded to a
    one-hot matrix. Large calls use several threads. The number of threads does not change the results; see
    `set_num_threads`.

    References
    ----------
    .. [1] T. M. Cover and J. A. Thomas, *Elements of Information Theory*, 2nd edition, Wiley, 2006, chapter 2.

    Examples
    --------
    >>> import numpy as np
    >>> import cecore
    >>> loss = cecore.CrossEntropy(reduction="none")
    >>> probs = np.array([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25]])
    >>> loss(probs, np.array([0, 2]))
    array([0.35667494, 1.38629436])
    >>> loss(probs, np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]))
    array([0.35667494, 1.03972077])
    """

    _kind = _checks.CATEGORICAL

    if TYPE_CHECKING:
        eps: ClassVar[Option[float]]
        gradient_outside: ClassVar[Option[GradientOutside]]
        class_weight: ClassVar[Option[tuple[float, ...] | None]]
        ignore_index: ClassVar[Option[int | None]]
        axis: ClassVar[Option[int]]

        @overload
        def replace(self, **options: Unpack[CategoricalOptions]) -> Self: ...
        @overload
        def replace(self, *, reduction: ToNumber, **options: Unpack[CategoricalOptions]) -> CrossEntropy[float]: ...
        @overload
        def replace(
            self, *, reduction: Literal["none"], **options: Unpack[CategoricalOptions]
        ) -> CrossEntropy[Array]: ...
        @overload
        def replace(
            self, *, reduction: Reduction, **options: Unpack[CategoricalOptions]
        ) -> CrossEntropy[float | Array]: ...
        def replace(self, **options: Any) -> Any: ...

        __replace__ = replace

    else:
        __slots__ = {  # the texts are shown by help()
            "eps": "Probabilities are clipped to [eps, 1 - eps].",
            "gradient_outside": "The derivatives of clipped probabilities: at the clipped point, or zero.",
            "class_weight": "One weight for each class: a tuple, or None.",
            "ignore_index": "Rows with this label do not count; None if every row counts.",
            "axis": "The axis that holds the classes.",
        }
        _names = (*Loss._names, *__slots__)

    @overload
    def __init__(
        self: CrossEntropy[float], *, reduction: ToNumber = "mean", **options: Unpack[CategoricalOptions]
    ) -> None: ...
    @overload
    def __init__(
        self: CrossEntropy[Array], *, reduction: Literal["none"], **options: Unpack[CategoricalOptions]
    ) -> None: ...
    @overload
    def __init__(
        self: CrossEntropy[float | Array], *, reduction: Reduction, **options: Unpack[CategoricalOptions]
    ) -> None: ...

    def __init__(
        self,
        *positional: Never,
        reduction: Reduction = "mean",
        mean_over: MeanOver = "weights",
        label_smoothing: float = 0.0,
        eps: float = 1e-7,
        gradient_outside: GradientOutside = "clipped",
        class_weight: ArrayLike | None = None,
        ignore_index: int | None = None,
        axis: int = -1,
        **unknown: Never,
    ) -> None:
        self._set_up(
            positional,
            unknown,
            reduction=reduction,
            mean_over=mean_over,
            label_smoothing=label_smoothing,
            eps=eps,
            gradient_outside=gradient_outside,
            class_weight=class_weight,
            ignore_index=ignore_index,
            axis=axis,
        )


class CrossEntropyWithLogits(Loss[_Value_co]):
    r"""Categorical cross-entropy on logits z along an axis: the loss of :math:`p = softmax(z)`, computed without p.

    .. math:: L = \sum_k t_k \left(\log \sum_j e^{z_j} - z_k\right)

    The gradient is :math:`p_k \sum_j t_j - t_k`. The diagonal of the Hessian is :math:`p_k (1 - p_k) \sum_j t_j`. With
    `focal_gamma` the loss is the focal loss. A row is the C numbers of one sample along `axis`.

    *Domain*: any logits, and 0 <= t_k <= 1. The rows of t need not sum to 1. A logit of -inf masks its class: the class
    has probability 0. If exactly one logit of a row is +inf, its class has probability 1, which is the limit. A row
    with two or more logits of +inf, or with only -inf, gives NaN in that row alone. A target outside [0, 1] by at most
    four machine epsilons counts as 0 or 1. NaN is an error only as a class label. Everywhere else it gives NaN in its
    row alone.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        ``"mean"`` and ``"sum"`` return one number. ``"none"`` returns one loss for each row.
    mean_over : {"weights", "count"}
        The divisor of the mean. ``"weights"`` divides by the sum of the weights of the rows. The weight of a row is its
        `sample_weight`, or 1 if there is none. With `class_weight` it is multiplied by the class weight of the row's
        label, or by the sum of class_weight * t for a distribution. ``"count"`` divides by the number of rows. Ignored
        rows do not count in either.
    label_smoothing : float
        A number a from 0 to 1. Each target t_k is replaced by (1 - a) t_k + a / C, for C classes. A masked
        class then makes the loss infinite, because its target is at least a / C.
    focal_gamma : float
        A number from 0 to 1e6. The term of class k is multiplied by (1 - p_k) ** focal_gamma. This factor down-weights
        samples that are already classified well.
    class_weight : array_like, optional
        One finite weight >= 0 for each class. It multiplies the term of its class.
    ignore_index : int, optional
        Rows with this label are ignored: their loss and derivatives are 0, whatever predictions they hold, and they do
        not count in the mean.
    axis : int
        The axis that holds the classes.

    Raises
    ------
    ValueError
        If an option is out of its range.
    TypeError
        If an option has the wrong type or does not exist.

    See Also
    --------
    CrossEntropy : The same loss on probabilities; use it for scoring.
    BinaryCrossEntropyWithLogits : For a single logit per sample, or several independent labels.

    Notes
    -----
    *Arrays.* The predictions are logits of shape (..., C), with the C classes along `axis`. The targets have one of two
    forms. Class labels 0 to C-1 have the shape of the predictions without `axis`; they are integers, bool, or floats
    that are whole numbers. Distributions, one in each row, have the full shape. A one-hot row gives bit for bit the
    result of its label.

    *Dtypes.* Results have the dtype of the predictions if it is float64, float32, float16 or bfloat16 (ml_dtypes).
    Otherwise they are float64. float16 and bfloat16 are computed in float32, longdouble in float64.

    *Layouts.* Arrays of any layout (strided, Fortran-ordered, unaligned, byte-swapped, memory-mapped) are read in
    place. The result is bit for bit the same as for a contiguous copy.

    *Accuracy.* For labels and one-hot rows, the loss and the gradient are within 4 ULP (units in the last place) of the
    exact value, and the Hessian is within 8 ULP. These bounds hold for tiny results, too. If all logits of a row share
    a large offset, the offset cancels. For distributions, the loss is within 4 ULP. The error of their gradient is at
    most 4 ULP of p_k * sum(t) or of t_k, whichever is larger. The Hessian's bound for distributions and options is in
    ULP of the sum of the absolute values of its terms. With `focal_gamma`, the error of each result is at most
    12 + 2 focal_gamma ULP of this sum. Weights, `upstream` and the divisor of the mean add 1 ULP. All bounds require
    that the result comes from exponentials that are normal numbers. The bounds do not hold for a result that comes only
    from logits about 708 (float32: 87) or more below the largest logit.

    *Sums.* Losses are summed in blocks. The block sums are added exactly. Means and sums have a relative error of at
    most 1e-14 in float64, for up to 1e9 losses. In float32 it is at most 2.4e-7, and 6e-8 on random data.

    *Memory and threads.* Each row is read up to three times while it is in the cache. No temporary array has the size
    of the data. Large calls use several threads. The number of threads does not change the results; see
    `set_num_threads`.

    References
    ----------
    .. [1] I. Goodfellow, Y. Bengio, A. Courville, *Deep Learning*, MIT Press, 2016, section 6.2.2.

    Examples
    --------
    >>> import numpy as np
    >>> import cecore
    >>> loss = cecore.CrossEntropyWithLogits(reduction="none")
    >>> logits = np.array([[2.0, 1.0, 0.0], [1e8, 1e8, -np.inf]])
    >>> loss(logits, np.array([0, 1]))
    array([0.40760596, 0.69314718])
    >>> loss.backward(logits, np.array([0, 1]))
    array([[-0.33475904,  0.24472847,  0.09003057],
           [ 0.5       , -0.5       ,  0.        ]])
    """

    _kind = _checks.CATEGORICAL_LOGITS

    if TYPE_CHECKING:
        focal_gamma: ClassVar[Option[float]]
        class_weight: ClassVar[Option[tuple[float, ...] | None]]
        ignore_index: ClassVar[Option[int | None]]
        axis: ClassVar[Option[int]]

        @overload
        def replace(self, **options: Unpack[CategoricalWithLogitsOptions]) -> Self: ...
        @overload
        def replace(
            self, *, reduction: ToNumber, **options: Unpack[CategoricalWithLogitsOptions]
        ) -> CrossEntropyWithLogits[float]: ...
        @overload
        def replace(
            self, *, reduction: Literal["none"], **options: Unpack[CategoricalWithLogitsOptions]
        ) -> CrossEntropyWithLogits[Array]: ...
        @overload
        def replace(
            self, *, reduction: Reduction, **options: Unpack[CategoricalWithLogitsOptions]
        ) -> CrossEntropyWithLogits[float | Array]: ...
        def replace(self, **options: Any) -> Any: ...

        __replace__ = replace

    else:
        __slots__ = {  # the texts are shown by help()
            "focal_gamma": "The exponent of the focal factor.",
            "class_weight": "One weight for each class: a tuple, or None.",
            "ignore_index": "Rows with this label do not count; None if every row counts.",
            "axis": "The axis that holds the classes.",
        }
        _names = (*Loss._names, *__slots__)

    @overload
    def __init__(
        self: CrossEntropyWithLogits[float],
        *,
        reduction: ToNumber = "mean",
        **options: Unpack[CategoricalWithLogitsOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: CrossEntropyWithLogits[Array],
        *,
        reduction: Literal["none"],
        **options: Unpack[CategoricalWithLogitsOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: CrossEntropyWithLogits[float | Array],
        *,
        reduction: Reduction,
        **options: Unpack[CategoricalWithLogitsOptions],
    ) -> None: ...

    def __init__(
        self,
        *positional: Never,
        reduction: Reduction = "mean",
        mean_over: MeanOver = "weights",
        label_smoothing: float = 0.0,
        focal_gamma: float = 0.0,
        class_weight: ArrayLike | None = None,
        ignore_index: int | None = None,
        axis: int = -1,
        **unknown: Never,
    ) -> None:
        self._set_up(
            positional,
            unknown,
            reduction=reduction,
            mean_over=mean_over,
            label_smoothing=label_smoothing,
            focal_gamma=focal_gamma,
            class_weight=class_weight,
            ignore_index=ignore_index,
            axis=axis,
        )


@lru_cache(maxsize=64, typed=True)
def _cached(kind: Any, weights: Any, *options: Any) -> Any:
    name = "class_weight" if "class_weight" in kind._names else "pos_weight"
    others = [other for other in kind._names if other != name]
    return kind(**{name: weights}, **dict(zip(others, options, strict=True)))


_IMMUTABLE = {type(None), int, float}


def _loss(kind: Any, weights: Any, *options: Any) -> Any:
    """Return the loss with these options. It is cached unless pos_weight or class_weight is mutable."""
    if type(weights) in _IMMUTABLE:
        try:
            return _cached(kind, weights, *options)
        except (TypeError, ValueError):  # a wrong option, perhaps one that cannot be hashed: the next lines say which
            pass
    try:
        return _cached.__wrapped__(kind, weights, *options)
    except (TypeError, ValueError) as error:
        raise error.with_traceback(None) from None


@overload
def binary_cross_entropy(
    probs: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: ToNumber = "mean",
    **options: Unpack[BinaryOptions],
) -> float: ...


@overload
def binary_cross_entropy(
    probs: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: Literal["none"],
    **options: Unpack[BinaryOptions],
) -> Array: ...


@overload
def binary_cross_entropy(
    probs: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: Reduction,
    **options: Unpack[BinaryOptions],
) -> float | Array: ...
def binary_cross_entropy(
    probs: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
    mean_over: MeanOver = "weights",
    label_smoothing: float = 0.0,
    eps: float = 1e-7,
    gradient_outside: GradientOutside = "clipped",
    pos_weight: ArrayLike | None = None,
    **unknown: Never,
) -> Any:
    r"""Compute the binary cross-entropy (log loss, BCE) of clipped probabilities.

    .. math:: L = -(y \log p + (1 - y) \log(1 - p))

    To compute gradients, or to call the loss often with the same options, use the class `BinaryCrossEntropy`.

    Parameters
    ----------
    probs : array_like
        Probabilities of class 1, in any shape.
    targets : array_like
        Labels y, 0 and 1, or probabilities of class 1, in the same shape.
    sample_weight : array_like, optional
        Finite weights >= 0: a single number, one weight per loss, or an array that is broadcast to the losses. Such an
        array has as many dimensions as the losses, and its axes of length 1 are repeated. A bool array is a mask.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` and ``"sum"`` return one number. ``"none"`` returns one loss for each element.
    mean_over : {"weights", "count"}
        The divisor of the mean. ``"weights"`` divides by the sum of `sample_weight`, or by the number of losses if
        there are no weights. ``"count"`` always divides by the number of losses.
    label_smoothing : float
        A number a from 0 to 1. Each target y is replaced by (1 - a) y + a / 2.
    eps : float
        A number with 0 <= eps < 0.5. Probabilities are clipped to [eps, 1 - eps]. ``eps=0`` turns clipping off.
    gradient_outside : {"clipped", "zero"}
        This option has no effect here, because it changes derivatives only. It is accepted so that the function takes
        the same options as the class.
    pos_weight : float or array_like, optional
        A finite factor >= 0, or a sequence with one factor per element of the last axis. The factor multiplies the term
        of class 1, -y log p.

    Returns
    -------
    float or numpy.ndarray
        The mean or the sum of the losses, in nats. With ``reduction="none"``, an array that holds every loss.

    Raises
    ------
    ValueError
        If a value is outside its domain, if shapes do not match, if the sum of the weights overflows, or if an option
        is out of its range.
    TypeError
        If an array does not hold real numbers, or if an option has the wrong type or does not exist.

    Warns
    -----
    InputWarning
        If predictions and targets look swapped.

    Examples
    --------
    >>> import cecore
    >>> cecore.binary_cross_entropy([0.9, 0.2, 0.6], [1, 0, 1])
    0.2797765635793423
    """
    if unknown:
        _checks.unexpected("binary_cross_entropy", BinaryCrossEntropy._names, (), unknown)
    loss = _loss(BinaryCrossEntropy, pos_weight, reduction, mean_over, label_smoothing, eps, gradient_outside)
    return loss.forward(probs, targets, sample_weight=sample_weight)


@overload
def binary_cross_entropy_with_logits(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: ToNumber = "mean",
    **options: Unpack[BinaryWithLogitsOptions],
) -> float: ...


@overload
def binary_cross_entropy_with_logits(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: Literal["none"],
    **options: Unpack[BinaryWithLogitsOptions],
) -> Array: ...


@overload
def binary_cross_entropy_with_logits(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: Reduction,
    **options: Unpack[BinaryWithLogitsOptions],
) -> float | Array: ...
def binary_cross_entropy_with_logits(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
    mean_over: MeanOver = "weights",
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
    pos_weight: ArrayLike | None = None,
    **unknown: Never,
) -> Any:
    r"""Compute the binary cross-entropy of logits z: the loss of p = sigmoid(z).

    .. math:: L = y \log(1 + e^{-z}) + (1 - y) \log(1 + e^z)

    To compute gradients, or to call the loss often with the same options, use the class `BinaryCrossEntropyWithLogits`.

    Parameters
    ----------
    logits : array_like
        Logits, in any shape.
    targets : array_like
        Labels y, 0 and 1, or probabilities of class 1, in the same shape.
    sample_weight : array_like, optional
        Finite weights >= 0: a single number, one weight per loss, or an array that is broadcast to the losses. Such an
        array has as many dimensions as the losses, and its axes of length 1 are repeated. A bool array is a mask.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` and ``"sum"`` return one number. ``"none"`` returns one loss for each element.
    mean_over : {"weights", "count"}
        The divisor of the mean. ``"weights"`` divides by the sum of `sample_weight`, or by the number of losses if
        there are no weights. ``"count"`` always divides by the number of losses.
    label_smoothing : float
        A number a from 0 to 1. Each target y is replaced by (1 - a) y + a / 2.
    focal_gamma : float
        A number from 0 to 1e6. The term of each class is multiplied by (1 - q) ** focal_gamma, where q is the
        probability of that class.
    pos_weight : float or array_like, optional
        A finite factor >= 0, or a sequence with one factor per element of the last axis. The factor multiplies the term
        of class 1, y log(1 + exp(-z)).

    Returns
    -------
    float or numpy.ndarray
        The mean or the sum of the losses, in nats. With ``reduction="none"``, an array that holds every loss.

    Raises
    ------
    ValueError
        If a value is outside its domain, if shapes do not match, if the sum of the weights overflows, or if an option
        is out of its range.
    TypeError
        If an array does not hold real numbers, or if an option has the wrong type or does not exist.

    Examples
    --------
    >>> import cecore
    >>> cecore.binary_cross_entropy_with_logits([2.0, -1.0, 0.5], [1, 0, 1])
    0.3047555609137673
    """
    if unknown:
        _checks.unexpected("binary_cross_entropy_with_logits", BinaryCrossEntropyWithLogits._names, (), unknown)
    loss = _loss(BinaryCrossEntropyWithLogits, pos_weight, reduction, mean_over, label_smoothing, focal_gamma)
    return loss.forward(logits, targets, sample_weight=sample_weight)


@overload
def cross_entropy(
    probs: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: ToNumber = "mean",
    **options: Unpack[CategoricalOptions],
) -> float: ...


@overload
def cross_entropy(
    probs: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: Literal["none"],
    **options: Unpack[CategoricalOptions],
) -> Array: ...


@overload
def cross_entropy(
    probs: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: Reduction,
    **options: Unpack[CategoricalOptions],
) -> float | Array: ...
def cross_entropy(
    probs: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
    mean_over: MeanOver = "weights",
    label_smoothing: float = 0.0,
    eps: float = 1e-7,
    gradient_outside: GradientOutside = "clipped",
    class_weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    axis: int = -1,
    **unknown: Never,
) -> Any:
    r"""Compute the categorical cross-entropy (multiclass log loss) of clipped probabilities.

    .. math:: H(t, p) = -\sum_k t_k \log p_k

    To compute gradients, or to call the loss often with the same options, use the class `CrossEntropy`.

    Parameters
    ----------
    probs : array_like
        Probabilities of shape (..., C), with the C classes along `axis`.
    targets : array_like
        Class labels 0 to C-1, or one distribution t per row. The labels have the shape of the predictions without
        `axis`; the distributions have the shape of the predictions.
    sample_weight : array_like, optional
        Finite weights >= 0: a single number, one weight per loss, or an array that is broadcast to the losses. Such an
        array has as many dimensions as the losses, and its axes of length 1 are repeated. A bool array is a mask.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` and ``"sum"`` return one number. ``"none"`` returns one loss for each row.
    mean_over : {"weights", "count"}
        The divisor of the mean. ``"weights"`` divides by the sum of the weights (sample weight times class weight).
        ``"count"`` divides by the number of rows. Ignored rows do not count in either.
    label_smoothing : float
        A number a from 0 to 1. Each target t_k is replaced by (1 - a) t_k + a / C, for C classes.
    eps : float
        A number with 0 <= eps < 0.5. Probabilities are clipped to [eps, 1 - eps]. ``eps=0`` turns clipping off.
    gradient_outside : {"clipped", "zero"}
        This option has no effect here, because it changes derivatives only. It is accepted so that the function takes
        the same options as the class.
    class_weight : array_like, optional
        One finite weight >= 0 for each class. It multiplies the term of its class.
    ignore_index : int, optional
        Rows with this label are ignored: their loss is 0, and they do not count in the mean.
    axis : int
        The axis that holds the classes.

    Returns
    -------
    float or numpy.ndarray
        The mean or the sum of the losses, in nats. With ``reduction="none"``, an array that holds every loss.

    Raises
    ------
    ValueError
        If a value is outside its domain, if shapes do not match, if the sum of the weights overflows, or if an option
        is out of its range.
    TypeError
        If an array does not hold real numbers, or if an option has the wrong type or does not exist.

    Warns
    -----
    InputWarning
        If the first row that counts does not sum to 1.

    Examples
    --------
    >>> import cecore
    >>> cecore.cross_entropy([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25]], [0, 2])
    0.8714846525293115
    """
    if unknown:
        _checks.unexpected("cross_entropy", CrossEntropy._names, (), unknown)
    loss = _loss(
        CrossEntropy, class_weight, reduction, mean_over, label_smoothing, eps, gradient_outside, ignore_index, axis
    )
    return loss.forward(probs, targets, sample_weight=sample_weight)


@overload
def cross_entropy_with_logits(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: ToNumber = "mean",
    **options: Unpack[CategoricalWithLogitsOptions],
) -> float: ...


@overload
def cross_entropy_with_logits(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: Literal["none"],
    **options: Unpack[CategoricalWithLogitsOptions],
) -> Array: ...


@overload
def cross_entropy_with_logits(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: Reduction,
    **options: Unpack[CategoricalWithLogitsOptions],
) -> float | Array: ...
def cross_entropy_with_logits(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
    mean_over: MeanOver = "weights",
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
    class_weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    axis: int = -1,
    **unknown: Never,
) -> Any:
    r"""Compute the categorical cross-entropy of logits z: the loss of p = softmax(z).

    .. math:: L = \sum_k t_k \left(\log \sum_j e^{z_j} - z_k\right)

    To compute gradients, or to call the loss often with the same options, use the class `CrossEntropyWithLogits`.

    Parameters
    ----------
    logits : array_like
        Logits of shape (..., C), with the C classes along `axis`.
    targets : array_like
        Class labels 0 to C-1, or one distribution t per row. The labels have the shape of the predictions without
        `axis`; the distributions have the shape of the predictions.
    sample_weight : array_like, optional
        Finite weights >= 0: a single number, one weight per loss, or an array that is broadcast to the losses. Such an
        array has as many dimensions as the losses, and its axes of length 1 are repeated. A bool array is a mask.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` and ``"sum"`` return one number. ``"none"`` returns one loss for each row.
    mean_over : {"weights", "count"}
        The divisor of the mean. ``"weights"`` divides by the sum of the weights (sample weight times class weight).
        ``"count"`` divides by the number of rows. Ignored rows do not count in either.
    label_smoothing : float
        A number a from 0 to 1. Each target t_k is replaced by (1 - a) t_k + a / C, for C classes.
    focal_gamma : float
        A number from 0 to 1e6. The term of class k is multiplied by (1 - p_k) ** focal_gamma.
    class_weight : array_like, optional
        One finite weight >= 0 for each class. It multiplies the term of its class.
    ignore_index : int, optional
        Rows with this label are ignored: their loss is 0, and they do not count in the mean.
    axis : int
        The axis that holds the classes.

    Returns
    -------
    float or numpy.ndarray
        The mean or the sum of the losses, in nats. With ``reduction="none"``, an array that holds every loss.

    Raises
    ------
    ValueError
        If a value is outside its domain, if shapes do not match, if the sum of the weights overflows, or if an option
        is out of its range.
    TypeError
        If an array does not hold real numbers, or if an option has the wrong type or does not exist.

    Examples
    --------
    >>> import cecore
    >>> cecore.cross_entropy_with_logits([[2.0, 1.0, 0.0], [0.5, 0.5, 0.5]], [0, 2])
    0.7531091265562451
    """
    if unknown:
        _checks.unexpected("cross_entropy_with_logits", CrossEntropyWithLogits._names, (), unknown)
    loss = _loss(
        CrossEntropyWithLogits, class_weight, reduction, mean_over, label_smoothing, focal_gamma, ignore_index, axis
    )
    return loss.forward(logits, targets, sample_weight=sample_weight)
