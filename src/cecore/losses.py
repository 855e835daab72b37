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
    """The base class of the four losses, for annotations and `isinstance`: it holds their methods.

    A loss is an immutable value: its options are checked once, when it is made, and are attributes which cannot be
    set. It can be compared, hashed and pickled, and used from several threads at once.

    In annotations, ``Loss[float]`` is a loss with reduction ``"mean"`` or ``"sum"``.

    Examples
    --------
    >>> import cecore
    >>> def improvement(loss: cecore.Loss[float], before, after, targets) -> float:
    ...     return loss(before, targets) - loss(after, targets)
    >>> improvement(cecore.BinaryCrossEntropy(), [0.5, 0.5], [0.75, 0.25], [1, 0])
    0.4054651081081644
    """

    _x: ClassVar[str]  # the name of the predictions
    _rows: ClassVar[bool]
    _names: ClassVar[tuple[str, ...]]  # of the options

    if TYPE_CHECKING:
        reduction: ClassVar[Option[Reduction]]
        mean_over: ClassVar[Option[MeanOver]]
        label_smoothing: ClassVar[Option[float]]
        _spec: _checks.Spec
        _packed: bytes  # the options as the kernels take them

    else:
        # Type checkers must not see the slots: pyright would not read the options through `Option`
        __slots__ = ("__weakref__", "_packed", "_spec", "label_smoothing", "mean_over", "reduction")

    def __init_subclass__(cls) -> None:
        own = vars(cls).get("__slots__", ())
        cls._names = (*getattr(cls, "_names", ("reduction", "mean_over", "label_smoothing")), *own)

    def __init__(self) -> None:
        raise TypeError("Loss has no formula: make a BinaryCrossEntropy, a CrossEntropy, or one of them WithLogits")

    def _set_up(self, positional: tuple[Any, ...], unknown: dict[str, Any], **options: Any) -> None:
        """Check the options, and keep them for the user, the checks and the kernels."""
        try:
            if positional or unknown:
                _checks.unexpected(type(self).__name__, self._names, positional, unknown)
            checked = {name: _checks.OPTIONS[name](name, value) for name, value in options.items()}
        except (TypeError, ValueError) as error:
            raise error.with_traceback(None) from None
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        known = {name: checked[name] for name in _checks.Spec._fields if name in checked}
        object.__setattr__(self, "_spec", _checks.Spec(x=self._x, rows=self._rows, **known))
        object.__setattr__(self, "_packed", _packed(self._spec, checked))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a {type(self).__name__} cannot be changed: use loss.replace({name}=...)")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a {type(self).__name__} cannot be changed")

    def _given(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._names}

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Loss) and self._given() == other._given()

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
        """Return the same loss with other options.

        Parameters
        ----------
        **options
            The options to change, by keyword.

        Returns
        -------
        Loss
            A new loss of the same class; all other options are kept.

        Raises
        ------
        ValueError, TypeError
            If an option does not exist, or if its value or type is wrong.

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
            Probabilities or logits. The documentation of each class gives their shape, dtype and domain.
        targets : array_like
            Labels or probabilities, as the class describes them.
        sample_weight : array_like, optional
            Finite weights >= 0: one for each loss, or a single number, or an array that has as many dimensions as the
            losses and repeats along its axes of length 1. bool is a mask. Elements with weight 0 contribute exactly 0
            and are not checked; they may even be NaN.
        out : numpy.ndarray, optional
            The array to write the losses into, only with ``reduction="none"``. It has the shape of the losses and the
            dtype of the results, in any layout. It can be the predictions array itself, but must not share memory
            with any other array of the call.

        Returns
        -------
        float or numpy.ndarray
            The mean or the sum of the losses, in nats. With ``reduction="none"`` an array with every loss, or `out`.
            If the divisor of the mean is 0 (no losses, or weights that sum to 0), the mean is NaN. The sum of no
            losses is 0.0.

        Raises
        ------
        ValueError
            If a value is outside its domain, if shapes do not match, or if `out` cannot hold the result. No input has
            changed then.
        TypeError
            If an array does not hold real numbers.

        Warns
        -----
        InputWarning
            If probabilities and targets look swapped, or if a row of probabilities does not sum to 1.
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
            Probabilities or logits. The documentation of each class gives their shape, dtype and domain.
        targets : array_like
            Labels or probabilities, as the class describes them.
        sample_weight : array_like, optional
            Finite weights >= 0: one for each loss, or a single number, or an array that has as many dimensions as the
            losses and repeats along its axes of length 1. Elements with weight 0 have gradient exactly 0.
        upstream : float or array_like, optional
            The derivative of the final objective with respect to this loss, by which the gradient is multiplied. With
            ``reduction="none"`` it may be an array with the shape of the losses.
        out : numpy.ndarray, optional
            The array to write the gradient into. It has the shape of the predictions and the dtype of the results, in
            any layout. It can be the predictions array itself, but must not share memory with any other array of the
            call.

        Returns
        -------
        numpy.ndarray
            The gradient, or `out`. If the divisor of the mean is 0, it is all zeros.

        Raises
        ------
        ValueError
            If a value is outside its domain, if shapes do not match, or if `out` cannot hold the result. No input has
            changed then.
        TypeError
            If an array does not hold real numbers.

        Warns
        -----
        InputWarning
            If probabilities and targets look swapped, or if a row of probabilities does not sum to 1.
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

        If an output is the predictions array itself, a pass that only checks comes first.

        Parameters
        ----------
        predictions : array_like
            Probabilities or logits. The documentation of each class gives their shape, dtype and domain.
        targets : array_like
            Labels or probabilities, as the class describes them.
        sample_weight : array_like, optional
            Finite weights >= 0: one for each loss, or a single number, or an array that has as many dimensions as the
            losses and repeats along its axes of length 1. Elements with weight 0 contribute exactly 0.
        loss_out : numpy.ndarray, optional
            The array to write the losses into, only with ``reduction="none"``.
        gradient_out : numpy.ndarray, optional
            The array to write the gradient into. It can be the predictions array itself.

        Returns
        -------
        value : float or numpy.ndarray
            The loss, the same as `forward` returns.
        gradient : numpy.ndarray
            The gradient, the same as `backward` returns.

        Raises
        ------
        ValueError
            If a value is outside its domain, if shapes do not match, or if an output cannot hold its result. No input
            has changed then.
        TypeError
            If an array does not hold real numbers.

        Warns
        -----
        InputWarning
            If probabilities and targets look swapped, or if a row of probabilities does not sum to 1.
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
        """Return the first and second derivative of each loss with respect to each prediction, for gradient boosting.

        They are weighted and never divided by a count, whatever the reduction is.

        Parameters
        ----------
        predictions : array_like
            Probabilities or logits. The documentation of each class gives their shape, dtype and domain.
        targets : array_like
            Labels or probabilities, as the class describes them.
        sample_weight : array_like, optional
            Finite weights >= 0: one for each loss, or a single number, or an array that has as many dimensions as the
            losses and repeats along its axes of length 1. Elements with weight 0 have derivatives exactly 0.
        gradient_out, hessian_out : numpy.ndarray, optional
            Two arrays to write the derivatives into. They have the shape of the predictions and the dtype of the
            results. One of them can be the predictions array itself.

        Returns
        -------
        gradient : numpy.ndarray
            The first derivatives, with the shape of the predictions.
        hessian : numpy.ndarray
            The diagonal of the Hessian, with the shape of the predictions.

        Raises
        ------
        ValueError
            If a value is outside its domain, if shapes do not match, or if an output cannot hold its result. No input
            has changed then.
        TypeError
            If an array does not hold real numbers.

        Warns
        -----
        InputWarning
            If probabilities and targets look swapped, or if a row of probabilities does not sum to 1.
        """
        wanted = GRADIENT | HESSIAN
        result: Any = _dispatch.kernels.loss(
            self._packed, predictions, targets, sample_weight, 1.0, wanted, None, gradient_out, hessian_out
        )
        if result is None:
            result = self._fall_back(predictions, targets, sample_weight, 1.0, wanted, None, gradient_out, hessian_out)
        return result

    def accumulator(self: Loss[float]) -> Accumulator:
        """Return an empty accumulator, which adds up this loss over several calls.

        Add to it with `update` and `merge`; read `value`, `weight` and `count`. The sums are exact, so that the result
        does not depend on the order of the calls, and batches can be scored by different processes.

        Returns
        -------
        Accumulator

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

    def _sums(self, predictions: Any, targets: Any, sample_weight: Any) -> tuple[int, float, int, int]:
        """Return four sums: the finite losses (exact), the infinite and NaN losses, the weights (exact), the count."""
        wanted = VALUE | STATE
        sums: Any = _dispatch.kernels.loss(
            self._packed, predictions, targets, sample_weight, 1.0, wanted, None, None, None
        )
        if sums is None:
            sums = self._fall_back(predictions, targets, sample_weight, 1.0, wanted, None, None, None)
        return sums

    def _fall_back(self, *call: Any) -> Any:
        """Prepare the arrays of a call that the kernels do not take as they are, and compute it; or raise the error.

        Errors and warnings are raised here, so that few frames stand between the user's line and the message.
        """
        try:
            return self._prepare_and_compute(*call)
        except (TypeError, ValueError, _checks.InputWarning) as error:
            raise error.with_traceback(None) from None

    def _prepare_and_compute(
        self, predictions: Any, targets: Any, sample_weight: Any, upstream: Any, wanted: int, *outs: Any
    ) -> Any:
        reduction = "sum" if wanted & (HESSIAN | STATE) else self.reduction
        call = _checks.prepare(self._spec, reduction, predictions, targets, sample_weight, upstream)
        if _checks.outputs(self._spec, call, predictions, wanted, outs):
            wanted |= IN_PLACE
        while True:
            try:
                return self._compute(call, reduction, wanted, outs)
            except _checks.Suspicious:
                bad = None
            except _checks.BadBlock as found:
                bad = found.args
            if bad:  # outside the handler, so that no other error stands behind the user's
                _checks.explain(self._spec, call, *bad)
            _checks.warn(self._spec, call)
            wanted |= WARNED

    def _compute(self, call: _checks.Call, reduction: str, wanted: int, outs: tuple[Any, ...]) -> Any:
        """Compute the results in the arrays and the layout that the user wants."""
        flags, arrays = _checks.by_bits(*call[:4])
        x = np.moveaxis(call.x, -1, call.axis) if self._rows else call.x
        shapes = call.x.shape[:-1] if self._rows else x.shape, x.shape, x.shape
        results: list[Any] = []
        places: list[Any] = []
        for kind, shape, out in zip((VALUE, GRADIENT, HESSIAN), shapes, outs, strict=True):
            if not wanted & kind or (kind == VALUE and reduction != "none"):
                places.append(None)
                continue
            out = np.empty(shape, call.dtype) if out is None else out
            results.append(out)
            place = _checks.as_bits(out) if flags & BITS[0] else out
            places.append(np.moveaxis(place, call.axis, -1) if self._rows and kind != VALUE else place)
        result = _dispatch.kernels.loss(self._packed, *arrays, wanted | flags | PREPARED, *places)
        if wanted & STATE:
            return result
        if len(results) < (wanted & VALUE) + bool(wanted & GRADIENT) + bool(wanted & HESSIAN):
            results.insert(0, result[0] if results else result)
        return tuple(results) if len(results) > 1 else results[0]


def _packed(spec: _checks.Spec, options: dict[str, Any]) -> bytes:
    """The options as the kernels take them."""
    weights = options.get("class_weight" if spec.rows else "pos_weight")
    each = weights if isinstance(weights, tuple) else () if weights is None else (weights,)
    return _dispatch.pack(
        reduction=_checks.REDUCTIONS[options["reduction"]],
        rows=spec.rows,
        logits=spec.x == "logits",
        eps=options.get("eps", 0.0),
        smoothing=options["label_smoothing"],
        gamma=options.get("focal_gamma", 0.0),
        ignore_index=spec.ignore_index,
        axis=spec.axis,
        zero_outside=_checks.OUTSIDE[options.get("gradient_outside", "clipped")],
        by_count=_checks.MEAN_OVER[options["mean_over"]],
        length=len(each) if isinstance(weights, tuple) else 0,
        weights=each if any(weight != 1 for weight in each) else (),  # none at all if every weight is 1
    )


def _make(kind: Any, options: dict[str, Any]) -> Any:
    return kind(**options)


class BinaryCrossEntropy(Loss[_Value_co]):
    r"""Binary cross-entropy on probabilities (log loss, BCE), clipped.

    .. math:: L = -(y \log p + (1 - y) \log(1 - p))

    Its gradient is :math:`(p - y) / (p (1 - p))`, its second derivative :math:`y / p^2 + (1 - y) / (1 - p)^2`.

    *Domain*: 0 <= p <= 1 and 0 <= y <= 1. A number outside by no more than four machine epsilons, as the average of
    several models can be, counts as 0 or 1. NaN is data and gives NaN.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        ``"none"`` returns every loss.
    mean_over : {"weights", "count"}
        The divisor of the mean: the sum of `sample_weight` (without weights, the number of losses), or always the
        number of losses.
    label_smoothing : float
        A number a from 0 to 1: the targets become (1 - a) y + a / 2.
    eps : float
        0 <= eps < 0.5. Probabilities are clipped to [eps, 1 - eps], so that a single wrong 0 or 1 does not make the
        mean infinite. Both ends give exactly the same loss. ``eps=0`` turns clipping off.
    gradient_outside : {"clipped", "zero"}
        The derivatives where p < eps or 1 - p < eps. ``"clipped"`` takes them at the clipped probability, so that a
        saturated wrong prediction still learns. ``"zero"`` takes those of the clipped loss, which are 0 there.
    pos_weight : float or array_like, optional
        A factor >= 0 for the term of y, or a sequence with one factor per element of the last axis.

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
    *Arrays.* `predictions` are probabilities p of class 1, in any shape; `targets` has the same shape and holds labels
    0 and 1 of any real dtype, or probabilities (soft labels). Results have the dtype of the predictions if it is
    float64, float32, float16 or bfloat16 (ml_dtypes), else float64. The half types compute in float32, longdouble in
    float64. Arrays of any layout (strided, Fortran-ordered, unaligned, byte-swapped, memory-mapped) are read in place,
    and the result is bit for bit that of a contiguous copy.

    *Accuracy.* For targets 0 and 1 the loss and the gradient are within 2 ULP (units in the last place) of the exact
    value, for soft targets within 4; the second derivative is within 6. With `label_smoothing` or `pos_weight` all are
    within 4 ULP of the larger term. Weights, `upstream` and the divisor add 1 ULP, as long as their product with a
    target is a normal number of the computing type. Block sums are added exactly: sums of float64 losses, and of
    targets 0 and 1 in any dtype, are within 6e-15 for any length.

    *Memory and threads.* The arrays are read once. Weights are read twice for a mean, and all arrays twice if a result
    replaces the predictions. No temporary array has the size of the data. Large calls use several threads, whose number
    does not change the results; see `set_num_threads`.

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

    _x: ClassVar[str] = "probs"
    _rows: ClassVar[bool] = False

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
        __slots__ = ("eps", "gradient_outside", "pos_weight")

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
    r"""Binary cross-entropy on logits: the loss of :math:`p = 1 / (1 + e^{-z})`, computed without p.

    .. math:: L = y \log(1 + e^{-z}) + (1 - y) \log(1 + e^z)

    Its gradient is :math:`p - y`, its second derivative :math:`p (1 - p)`. With `focal_gamma` it is the focal loss.

    *Domain*: any logit z, and 0 <= y <= 1. A logit of -inf or +inf gives a loss of 0 or inf, and the gradient's limit.
    A target outside by no more than four machine epsilons counts as 0 or 1. NaN is data and gives NaN.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        ``"none"`` returns every loss.
    mean_over : {"weights", "count"}
        The divisor of the mean: the sum of `sample_weight` (without weights, the number of losses), or always the
        number of losses.
    label_smoothing : float
        A number a from 0 to 1: the targets become (1 - a) y + a / 2.
    focal_gamma : float
        A number from 0 to 1e6. Each term is multiplied by (1 - q) ** focal_gamma, where q is the probability of its
        class; this down-weights samples that are already classified well.
    pos_weight : float or array_like, optional
        A factor >= 0 for the term of y, or a sequence with one factor per element of the last axis.

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
    *Arrays.* `predictions` are logits z, in any shape; `targets` has the same shape and holds labels 0 and 1 of any
    real dtype, or probabilities (soft labels). Results have the dtype of the predictions if it is float64, float32,
    float16 or bfloat16 (ml_dtypes), else float64. The half types compute in float32, longdouble in float64. Arrays of
    any layout are read in place, and the result is bit for bit that of a contiguous copy.

    *Accuracy.* For targets 0 and 1 the loss and the gradient are within 2 ULP (units in the last place) of the exact
    value, the second derivative within 4, also where they are tiny. For soft targets the loss is within 4 ULP and the
    gradient within 2 ULP of the larger of p and y. With `label_smoothing` or `pos_weight` both are within 4 ULP of the
    larger term, the second derivative within 6. With `focal_gamma` all are within 8 + 2 focal_gamma ULP of the sum of
    their terms' absolute values. Weights, `upstream` and the divisor add 1 ULP. Block sums are added exactly; in
    float32 the terms of a block are computed in float32.

    *Memory and threads.* The arrays are read once. Weights are read twice for a mean, and all arrays twice if a result
    replaces the predictions. No temporary array has the size of the data. Large calls use several threads, whose number
    does not change the results; see `set_num_threads`.

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

    _x: ClassVar[str] = "logits"
    _rows: ClassVar[bool] = False

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
        __slots__ = ("focal_gamma", "pos_weight")

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
    r"""Categorical cross-entropy on probabilities along an axis (multiclass log loss), clipped.

    .. math:: H(t, p) = -\sum_k t_k \log p_k

    Its gradient is :math:`-t_k / p_k`, the second derivative :math:`t_k / p_k^2`. With class labels the loss is
    :math:`-\log p_{label}`.

    *Domain*: 0 <= p_k <= 1 where t_k is not 0, and 0 <= t_k <= 1. The rows of p should sum to 1; if the first row does
    not, an `InputWarning` says so. The rows of t need not sum to 1. A number outside [0, 1] by no more than four
    machine epsilons, as the average of several models can be, counts as 0 or 1. NaN is data and gives NaN.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        ``"none"`` returns one loss for each row.
    mean_over : {"weights", "count"}
        The divisor of the mean. ``"weights"``: the sum of `sample_weight` over the rows (without weights, their
        number); with `class_weight`, each row's weight is multiplied by the class weight of its label, or by the sum of
        class_weight * t for a distribution. ``"count"``: the number of rows that are not ignored.
    label_smoothing : float
        A number a from 0 to 1: the targets become (1 - a) t_k + a / C for C classes.
    eps : float
        0 <= eps < 0.5. Probabilities are clipped to [eps, 1 - eps], so that a single wrong 0 does not make the mean
        infinite. ``eps=0`` turns clipping off.
    gradient_outside : {"clipped", "zero"}
        The derivatives where p_k < eps or 1 - p_k < eps. ``"clipped"`` takes them at the clipped probability, so that a
        saturated wrong prediction still learns. ``"zero"`` takes those of the clipped loss, which are 0 there.
    class_weight : array_like, optional
        One finite weight >= 0 for each class, by which its term is multiplied.
    ignore_index : int, optional
        Rows with this label have loss and derivatives 0, whatever else they hold, and do not count.
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
    *Arrays.* `predictions` are probabilities of shape (..., C), the C classes along `axis`. `targets` either lacks that
    axis and holds class labels 0 to C-1 (integers, bool, or floats that are whole numbers), or has the full shape and
    holds a distribution in each row. A one-hot row gives the same bits as its label. Probabilities whose target is 0
    are not read. Results have the dtype of the predictions if it is float64, float32, float16 or bfloat16 (ml_dtypes),
    else float64. The half types compute in float32, longdouble in float64. Arrays of any layout are read in place, and
    the result is bit for bit that of a contiguous copy.

    *Accuracy.* For labels and one-hot rows the loss and the gradient are within 2 ULP (units in the last place) of the
    exact value, for distributions within 4; the second derivative is within 6. With `label_smoothing` or
    `class_weight` all are within 4 ULP of the larger term. Weights, `upstream` and the divisor add 1 ULP, as long as
    their product with a target is a normal number of the computing type; for distributions that product is taken in
    float64. Block sums are added exactly: means and sums of float64 losses are within 6e-15 for any length.

    *Memory and threads.* The arrays are read once. Weights are read twice for a mean, and all arrays twice if a result
    replaces the predictions. No temporary array has the size of the data: labels never become a one-hot matrix. Large
    calls use several threads, whose number does not change the results; see `set_num_threads`.

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

    _x: ClassVar[str] = "probs"
    _rows: ClassVar[bool] = True

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
        __slots__ = ("eps", "gradient_outside", "class_weight", "ignore_index", "axis")  # noqa: RUF023 (documented order)

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
    r"""Categorical cross-entropy on logits along an axis: the loss of :math:`p = softmax(z)`, computed without p.

    .. math:: L = \sum_k t_k \left(\log \sum_j e^{z_j} - z_k\right)

    Its gradient is :math:`p_k \sum_j t_j - t_k`; the diagonal of its Hessian is :math:`p_k (1 - p_k) \sum_j t_j`. With
    `focal_gamma` it is the focal loss.

    *Domain*: any logits, and 0 <= t_k <= 1; the rows of t need not sum to 1. A logit of -inf masks its class. In a row,
    exactly one +inf is the limit p = 1; two or more, or only -inf, give NaN in that row alone. A target outside [0, 1]
    by no more than four machine epsilons counts as 0 or 1. NaN is data and gives NaN.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        ``"none"`` returns one loss for each row.
    mean_over : {"weights", "count"}
        The divisor of the mean. ``"weights"``: the sum of `sample_weight` over the rows (without weights, their
        number); with `class_weight`, each row's weight is multiplied by the class weight of its label, or by the sum of
        class_weight * t for a distribution. ``"count"``: the number of rows that are not ignored.
    label_smoothing : float
        A number a from 0 to 1: the targets become (1 - a) t_k + a / C for C classes. A masked class then makes the
        loss infinite, because its target is a / C.
    focal_gamma : float
        A number from 0 to 1e6. The term of class k is multiplied by (1 - p_k) ** focal_gamma, which down-weights
        samples that are already classified well.
    class_weight : array_like, optional
        One finite weight >= 0 for each class, by which its term is multiplied.
    ignore_index : int, optional
        Rows with this label have loss and derivatives 0, whatever else they hold, and do not count.
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
    *Arrays.* `predictions` are logits of shape (..., C), the C classes along `axis`. `targets` either lacks that axis
    and holds class labels 0 to C-1 (integers, bool, or floats that are whole numbers), or has the full shape and holds
    a distribution in each row. A one-hot row gives the same bits as its label. Results have the dtype of the
    predictions if it is float64, float32, float16 or bfloat16 (ml_dtypes), else float64. The half types compute in
    float32, longdouble in float64. Arrays of any layout are read in place, and the result is bit for bit that of a
    contiguous copy.

    *Accuracy.* For labels and one-hot rows the loss and the gradient are within 3 ULP (units in the last place) of the
    exact value, the Hessian within 6, also where they are tiny; large common offsets cancel. For distributions the loss
    is within 4 ULP, the gradient within 2 ULP of the larger of p_k * sum(t) and t_k, the Hessian within 6. With
    `label_smoothing` these are 5, 4 and 6. With `focal_gamma` all are within 8 + 2 focal_gamma ULP of the sum of their
    terms' absolute values. Weights, `upstream` and the divisor add 1 ULP. The bounds hold where the exponentials that
    make the result are normal numbers: not for logits that all lie some 708 (float32: 87) below the largest.

    *Memory and threads.* Rows are read up to three times while they are in the cache. No temporary array has the size
    of the data. Large calls use several threads, whose number does not change the results; see `set_num_threads`.

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

    _x: ClassVar[str] = "logits"
    _rows: ClassVar[bool] = True

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
        __slots__ = ("focal_gamma", "class_weight", "ignore_index", "axis")  # noqa: RUF023 (documented order)

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
    name = "class_weight" if kind._rows else "pos_weight"
    others = [other for other in kind._names if other != name]
    return kind(**{name: weights}, **dict(zip(others, options, strict=True)))


_IMMUTABLE = {type(None), int, float}


def _loss(kind: Any, weights: Any, *options: Any) -> Any:
    """The loss with these options, made once unless its pos_weight or class_weight can change."""
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
    r"""Compute the binary cross-entropy (log loss, BCE) of probabilities, clipped.

    .. math:: L = -(y \log p + (1 - y) \log(1 - p))

    The class `BinaryCrossEntropy` checks the same options once, describes them in full, and adds gradients.

    Parameters
    ----------
    probs : array_like
        Probabilities of class 1, in any shape.
    targets : array_like
        Labels 0 and 1, or probabilities, in the same shape.
    sample_weight : array_like, optional
        Finite weights >= 0: one for each loss, a single number, or an array with as many dimensions as the losses that
        repeats along its axes of length 1.
    reduction : {"mean", "sum", "none"}
        ``"none"`` returns every loss.
    mean_over : {"weights", "count"}
        Divide the mean by the sum of the weights, or always by the number of losses.
    label_smoothing : float
        A number a from 0 to 1: the targets become (1 - a) t + a / C, with C = 2.
    eps : float
        Clip probabilities to [eps, 1 - eps]; 0 turns clipping off.
    gradient_outside : {"clipped", "zero"}
        Accepted for symmetry with the class; it changes derivatives only.
    pos_weight : float or array_like, optional
        A factor >= 0 for the term of the target 1, or a sequence with one factor per element of the last axis.

    Returns
    -------
    float or numpy.ndarray
        The mean or the sum of the losses, in nats; with ``reduction="none"`` an array.

    Raises
    ------
    ValueError
        If a value is outside its domain, if shapes do not match, or if an option is out of its range.
    TypeError
        If an array does not hold real numbers, or if an option has the wrong type or does not exist.

    Warns
    -----
    InputWarning
        If probabilities and targets look swapped.

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
    r"""Compute the binary cross-entropy of logits z, the loss of p = sigmoid(z).

    .. math:: L = y \log(1 + e^{-z}) + (1 - y) \log(1 + e^z)

    The class `BinaryCrossEntropyWithLogits` checks the same options once, describes them in full, and adds gradients.

    Parameters
    ----------
    logits : array_like
        Logits, in any shape.
    targets : array_like
        Labels 0 and 1, or probabilities, in the same shape.
    sample_weight : array_like, optional
        Finite weights >= 0: one for each loss, a single number, or an array with as many dimensions as the losses that
        repeats along its axes of length 1.
    reduction : {"mean", "sum", "none"}
        ``"none"`` returns every loss.
    mean_over : {"weights", "count"}
        Divide the mean by the sum of the weights, or always by the number of losses.
    label_smoothing : float
        A number a from 0 to 1: the targets become (1 - a) t + a / C, with C = 2.
    focal_gamma : float
        A number from 0 to 1e6: multiply each term by (1 - p) ** focal_gamma, where p is the probability of its class.
    pos_weight : float or array_like, optional
        A factor >= 0 for the term of the target 1, or a sequence with one factor per element of the last axis.

    Returns
    -------
    float or numpy.ndarray
        The mean or the sum of the losses, in nats; with ``reduction="none"`` an array.

    Raises
    ------
    ValueError
        If a value is outside its domain, if shapes do not match, or if an option is out of its range.
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
    r"""Compute the categorical cross-entropy (multiclass log loss) of probabilities, clipped.

    .. math:: H(t, p) = -\sum_k t_k \log p_k

    The class `CrossEntropy` checks the same options once, describes them in full, and adds gradients.

    Parameters
    ----------
    probs : array_like
        Probabilities of shape (..., C), the C classes along `axis`.
    targets : array_like
        Class labels 0 to C-1 in the shape without `axis`, or a distribution in each row, in the full shape.
    sample_weight : array_like, optional
        Finite weights >= 0: one for each loss, a single number, or an array with as many dimensions as the losses that
        repeats along its axes of length 1.
    reduction : {"mean", "sum", "none"}
        ``"none"`` returns one loss for each row.
    mean_over : {"weights", "count"}
        Divide the mean by the sum of the weights (sample weight times class weight), or always by the number of rows
        that are not ignored.
    label_smoothing : float
        A number a from 0 to 1: the targets become (1 - a) t + a / C, with C = the number of classes.
    eps : float
        Clip probabilities to [eps, 1 - eps]; 0 turns clipping off.
    gradient_outside : {"clipped", "zero"}
        Accepted for symmetry with the class; it changes derivatives only.
    class_weight : array_like, optional
        One finite weight >= 0 for each class.
    ignore_index : int, optional
        Rows with this label have loss 0 and do not count.
    axis : int
        The axis that holds the classes.

    Returns
    -------
    float or numpy.ndarray
        The mean or the sum of the losses, in nats; with ``reduction="none"`` an array.

    Raises
    ------
    ValueError
        If a value is outside its domain, if shapes do not match, or if an option is out of its range.
    TypeError
        If an array does not hold real numbers, or if an option has the wrong type or does not exist.

    Warns
    -----
    InputWarning
        If a row of probabilities does not sum to 1.

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
    r"""Compute the categorical cross-entropy of logits z, the loss of p = softmax(z).

    .. math:: L = \sum_k t_k \left(\log \sum_j e^{z_j} - z_k\right)

    The class `CrossEntropyWithLogits` checks the same options once, describes them in full, and adds gradients.

    Parameters
    ----------
    logits : array_like
        Logits of shape (..., C), the C classes along `axis`.
    targets : array_like
        Class labels 0 to C-1 in the shape without `axis`, or a distribution in each row, in the full shape.
    sample_weight : array_like, optional
        Finite weights >= 0: one for each loss, a single number, or an array with as many dimensions as the losses that
        repeats along its axes of length 1.
    reduction : {"mean", "sum", "none"}
        ``"none"`` returns one loss for each row.
    mean_over : {"weights", "count"}
        Divide the mean by the sum of the weights (sample weight times class weight), or always by the number of rows
        that are not ignored.
    label_smoothing : float
        A number a from 0 to 1: the targets become (1 - a) t + a / C, with C = the number of classes.
    focal_gamma : float
        A number from 0 to 1e6: multiply each term by (1 - p) ** focal_gamma, where p is the probability of its class.
    class_weight : array_like, optional
        One finite weight >= 0 for each class.
    ignore_index : int, optional
        Rows with this label have loss 0 and do not count.
    axis : int
        The axis that holds the classes.

    Returns
    -------
    float or numpy.ndarray
        The mean or the sum of the losses, in nats; with ``reduction="none"`` an array.

    Raises
    ------
    ValueError
        If a value is outside its domain, if shapes do not match, or if an option is out of its range.
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
