"""The losses: options, documentation, and one call each into the kernels."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import _checks, _dispatch
from ._checks import BITS, GRADIENT, HESSIAN, IN_PLACE, PREPARED, STATE, VALUE
from .streaming import Accumulator

if TYPE_CHECKING:  # importing it takes a millisecond
    from numpy.typing import ArrayLike


# Bases have no objects: what these would need is not made, as import would wait for it.
@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class _Loss:
    """What all losses share: their options, checked once, and the way into the kernels."""

    reduction: str = "mean"
    mean_over: str = "weights"
    label_smoothing: float = 0.0

    _x: ClassVar[str]  # the name of the predictions
    _rows: ClassVar[bool]
    _spec: ClassVar[_checks.Spec]  # of each object, like what follows
    _options: ClassVar[bytes]  # for the kernels

    def __post_init__(self) -> None:
        _checks.choice("reduction", self.reduction, _checks.REDUCTIONS)
        _checks.choice("mean_over", self.mean_over, _checks.MEAN_OVER)
        smoothing = _checks.number("label_smoothing", self.label_smoothing, "a number from 0 to 1", _is_fraction)
        self._set("label_smoothing", smoothing)
        own = self._check()
        named = {name: getattr(self, name) for name in _checks.Spec._fields if name in self.__dataclass_fields__}
        spec = _checks.Spec(x=self._x, rows=self._rows, **named)
        options = _dispatch.pack(
            reduction=_checks.REDUCTIONS[self.reduction],
            rows=self._rows,
            logits=self._x == "logits",
            smoothing=smoothing,
            by_count=_checks.MEAN_OVER[self.mean_over],
            axis=spec.axis,
            ignore_index=spec.ignore_index,
            **own,
        )
        self._set("_spec", spec)
        self._set("_options", options)

    def _check(self) -> dict[str, Any]:
        """Check the options of the class; those that the kernels want under another name."""
        raise NotImplementedError

    def _check_pos_weight(self, pos_weight: Any) -> dict[str, Any]:
        if pos_weight is None:
            return {}
        self._set("pos_weight", _checks.weight("pos_weight", pos_weight))
        return _packed_weights(self.pos_weight)  # type: ignore[attr-defined]

    def _check_classes(self, class_weight: Any, ignore_index: Any, axis: Any) -> dict[str, Any]:
        self._set("axis", _checks.integer("axis", axis, -64, 63))
        if ignore_index is not None:
            self._set("ignore_index", _checks.integer("ignore_index", ignore_index, -(1 << 63), (1 << 64) - 1))
        if class_weight is None:
            return {}
        self._set("class_weight", _checks.weights("class_weight", class_weight))
        return _packed_weights(self.class_weight)  # type: ignore[attr-defined]

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def __reduce__(self) -> Any:  # the options alone: what is packed differs between versions
        return _make, (type(self), {field.name: getattr(self, field.name) for field in fields(self)})

    def accumulator(self) -> Accumulator:
        """Sums of this loss over several calls: exact, and the same whatever the order.

        Returns
        -------
        Accumulator
            Of nothing yet; with the methods `update` and `merge`, and `value`, `weight` and `count`.

        Raises
        ------
        ValueError
            The reduction is ``"none"``.

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

    def _sums(self, x: Any, targets: Any, sample_weight: Any) -> tuple[int, float, int, int]:
        """The exact sums of the losses, what is no number among them, and the sums of weights and of ones."""
        wanted = VALUE | STATE
        sums: tuple[int, float, int, int] = _dispatch.kernels.loss(
            self, x, targets, sample_weight, 1.0, wanted, None, None, None
        )
        return sums

    def _compute(self, x: Any, targets: Any, sample_weight: Any, upstream: Any, wanted: int, *outs: Any) -> Any:
        """What the kernels do not take as it is: prepared for them, or the error.

        It is not an array, has its classes elsewhere, holds a value outside its domain, or an output may overlap it.
        """
        reduction = "sum" if wanted & (HESSIAN | STATE) else self.reduction
        call = _checks.prepare(self._spec, reduction, x, targets, sample_weight, upstream)
        if _checks.outputs(self._spec, call, x, wanted, outs):
            wanted |= IN_PLACE
        bad: tuple[int, int] | None = None
        try:
            result = self._compute_prepared(call, reduction, wanted, outs)
        except _checks.BadBlock as found:
            bad = found.args
        if bad is not None:  # outside the handler: the user's error has no other behind it
            _checks.explain(self._spec, call, *bad)
        return result

    def _compute_prepared(self, call: _checks.Call, reduction: str, wanted: int, outs: tuple[Any, ...]) -> Any:
        """The results in the arrays and the layout that the user wants."""
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
        result = _dispatch.kernels.prepared_loss(self._options, *arrays, wanted | flags | PREPARED, *places)
        if wanted & STATE:
            return result
        if len(results) < (wanted & VALUE) + bool(wanted & GRADIENT) + bool(wanted & HESSIAN):
            results.insert(0, result[0] if results else result)
        return tuple(results) if len(results) > 1 else results[0]


def _packed_weights(weights: float | tuple[float, ...]) -> dict[str, Any]:
    """Weights for the kernels, which take none where all are 1."""
    length = len(weights) if isinstance(weights, tuple) else 0
    each = weights if isinstance(weights, tuple) else (weights,)
    return {"length": length, "weights": each if any(weight != 1 for weight in each) else ()}


def _is_fraction(value: float) -> bool:
    return 0 <= value <= 1


def _is_gamma(value: float) -> bool:
    return 0 <= value <= 1e6


def _make(kind: Any, options: dict[str, Any]) -> Any:
    return kind(**options)


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class _OnProbabilities(_Loss):
    """The options and methods of a loss that takes probabilities."""

    eps: float = 1e-7
    gradient_outside: str = "clipped"

    _x: ClassVar[str] = "probs"

    def _check(self) -> dict[str, Any]:
        _checks.choice("gradient_outside", self.gradient_outside, _checks.OUTSIDE)
        self._set("eps", _checks.number("eps", self.eps, "0 <= eps < 0.5", lambda eps: 0 <= eps < 0.5))
        return {"eps": self.eps, "zero_outside": _checks.OUTSIDE[self.gradient_outside]}

    def __call__(
        self, probs: ArrayLike, targets: ArrayLike, *, sample_weight: ArrayLike | None = None, out: Any = None
    ) -> Any:
        """The same as `forward`."""
        return self.forward(probs, targets, sample_weight=sample_weight, out=out)

    def forward(
        self, probs: ArrayLike, targets: ArrayLike, *, sample_weight: ArrayLike | None = None, out: Any = None
    ) -> Any:
        """The loss.

        Parameters
        ----------
        probs, targets : array_like
            As the class says.
        sample_weight : array_like, optional
            One finite weight >= 0 for each loss; bool is a mask. What has weight 0 is not looked at.
        out : numpy.ndarray, optional
            Receives the losses of reduction ``"none"``: of their shape and of the results' dtype, in any layout. It may
            be the predictions array itself, and must not overlap an array of the call otherwise.

        Returns
        -------
        float or numpy.ndarray
            In nats. With reduction ``"none"`` an array, or `out`. The mean of nothing is NaN, its sum 0.0.

        Raises
        ------
        ValueError
            A value outside its domain, a wrong shape, an unfit `out`. The message says what was got, where, and
            what was wanted. No input has changed.
        TypeError
            An array that does not hold real numbers.
        """
        if out is not None:
            _checks.no_output("out", out, self.reduction)
        return _dispatch.kernels.loss(self, probs, targets, sample_weight, 1.0, VALUE, out, None, None)

    def backward(
        self,
        probs: ArrayLike,
        targets: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        upstream: ArrayLike = 1.0,
        out: Any = None,
    ) -> Any:
        """The gradient of the reduced loss by the predictions.

        Parameters
        ----------
        probs, targets, sample_weight
            As in `forward`.
        upstream : float or array_like
            The derivative of what follows by this loss; with reduction ``"none"`` also an array of the losses' shape.
        out : numpy.ndarray, optional
            Receives the gradient: of the predictions' shape and dtype. It may be the predictions array itself.

        Returns
        -------
        numpy.ndarray
            The gradient, or `out`. All zeros where the mean's divisor is 0.

        Raises
        ------
        ValueError, TypeError
            As in `forward`; and an `upstream` that is neither a number nor, with reduction ``"none"``, such an array.
        """
        if type(upstream) is not float and isinstance(upstream, (int, np.floating, np.integer)):
            upstream = _checks.as_float("upstream", upstream)
        return _dispatch.kernels.loss(self, probs, targets, sample_weight, upstream, GRADIENT, None, out, None)

    def forward_backward(
        self,
        probs: ArrayLike,
        targets: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        loss_out: Any = None,
        gradient_out: Any = None,
    ) -> Any:
        """The loss and its gradient in one pass over memory; in place, after another that checks.

        Parameters
        ----------
        probs, targets, sample_weight
            As in `forward`.
        loss_out, gradient_out : numpy.ndarray, optional
            As `out` of `forward` and of `backward`.

        Returns
        -------
        value : float or numpy.ndarray
        gradient : numpy.ndarray

        Raises
        ------
        ValueError, TypeError
            As in `forward`; and an unfit output, or a `loss_out` for a single number.
        """
        if loss_out is not None:
            _checks.no_output("loss_out", loss_out, self.reduction)
        wanted = VALUE | GRADIENT
        return _dispatch.kernels.loss(self, probs, targets, sample_weight, 1.0, wanted, loss_out, gradient_out, None)

    def gradient_hessian(
        self,
        probs: ArrayLike,
        targets: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        gradient_out: Any = None,
        hessian_out: Any = None,
    ) -> Any:
        """The first and second derivative of each loss by each prediction: what gradient boosting needs.

        They are weighted, and never divided by a count, whatever the reduction.

        Parameters
        ----------
        probs, targets, sample_weight
            As in `forward`.
        gradient_out, hessian_out : numpy.ndarray, optional
            As `out` of `backward`.

        Returns
        -------
        gradient, hessian : numpy.ndarray
            Of the predictions' shape; the Hessian is its diagonal.

        Raises
        ------
        ValueError, TypeError
            As in `forward`; and an unfit output, or one for both results.
        """
        wanted = GRADIENT | HESSIAN
        return _dispatch.kernels.loss(self, probs, targets, sample_weight, 1.0, wanted, None, gradient_out, hessian_out)


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class _OnLogits(_Loss):
    """The options and methods of a loss that takes logits."""

    focal_gamma: float = 0.0

    _x: ClassVar[str] = "logits"

    def _check(self) -> dict[str, Any]:
        gamma = _checks.number("focal_gamma", self.focal_gamma, "a number from 0 to 1e6", _is_gamma)
        self._set("focal_gamma", gamma)
        return {"gamma": self.focal_gamma}

    def __call__(
        self, logits: ArrayLike, targets: ArrayLike, *, sample_weight: ArrayLike | None = None, out: Any = None
    ) -> Any:
        """The same as `forward`."""
        return self.forward(logits, targets, sample_weight=sample_weight, out=out)

    def forward(
        self, logits: ArrayLike, targets: ArrayLike, *, sample_weight: ArrayLike | None = None, out: Any = None
    ) -> Any:
        """The loss. Parameters, results and errors are those of `BinaryCrossEntropy.forward`, with logits.

        Parameters
        ----------
        logits, targets : array_like
            As the class says.
        sample_weight : array_like, optional
            One finite weight >= 0 for each loss; bool is a mask.
        out : numpy.ndarray, optional
            Receives the losses of reduction ``"none"``.

        Returns
        -------
        float or numpy.ndarray

        Raises
        ------
        ValueError, TypeError
            As `BinaryCrossEntropy.forward`.
        """
        if out is not None:
            _checks.no_output("out", out, self.reduction)
        return _dispatch.kernels.loss(self, logits, targets, sample_weight, 1.0, VALUE, out, None, None)

    def backward(
        self,
        logits: ArrayLike,
        targets: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        upstream: ArrayLike = 1.0,
        out: Any = None,
    ) -> Any:
        """The gradient of the reduced loss by the logits; see `BinaryCrossEntropy.backward`.

        Parameters
        ----------
        logits, targets, sample_weight
            As in `forward`.
        upstream : float or array_like
            The derivative of what follows by this loss; with reduction ``"none"`` also an array of the losses' shape.
        out : numpy.ndarray, optional
            Receives the gradient. It may be the logits array itself.

        Returns
        -------
        numpy.ndarray

        Raises
        ------
        ValueError, TypeError
            As in `forward`; and an `upstream` that is neither a number nor, with reduction ``"none"``, such an array.
        """
        if type(upstream) is not float and isinstance(upstream, (int, np.floating, np.integer)):
            upstream = _checks.as_float("upstream", upstream)
        return _dispatch.kernels.loss(self, logits, targets, sample_weight, upstream, GRADIENT, None, out, None)

    def forward_backward(
        self,
        logits: ArrayLike,
        targets: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        loss_out: Any = None,
        gradient_out: Any = None,
    ) -> Any:
        """The loss and its gradient in one pass over memory; in place, after another that checks.

        Parameters
        ----------
        logits, targets, sample_weight
            As in `forward`.
        loss_out, gradient_out : numpy.ndarray, optional
            As `out` of `forward` and of `backward`.

        Returns
        -------
        value : float or numpy.ndarray
        gradient : numpy.ndarray

        Raises
        ------
        ValueError, TypeError
            As in `forward`; and an unfit output, or a `loss_out` for a single number.
        """
        if loss_out is not None:
            _checks.no_output("loss_out", loss_out, self.reduction)
        wanted = VALUE | GRADIENT
        return _dispatch.kernels.loss(self, logits, targets, sample_weight, 1.0, wanted, loss_out, gradient_out, None)

    def gradient_hessian(
        self,
        logits: ArrayLike,
        targets: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        gradient_out: Any = None,
        hessian_out: Any = None,
    ) -> Any:
        """The first and second derivative of each loss by each logit; see `BinaryCrossEntropy.gradient_hessian`.

        Parameters
        ----------
        logits, targets, sample_weight
            As in `forward`.
        gradient_out, hessian_out : numpy.ndarray, optional
            As `out` of `backward`.

        Returns
        -------
        gradient, hessian : numpy.ndarray
            Weighted, and never divided by a count; the Hessian is its diagonal.

        Raises
        ------
        ValueError, TypeError
            As in `forward`; and an unfit output, or one for both results.
        """
        wanted = GRADIENT | HESSIAN
        return _dispatch.kernels.loss(
            self, logits, targets, sample_weight, 1.0, wanted, None, gradient_out, hessian_out
        )


@dataclass(frozen=True, kw_only=True)
class BinaryCrossEntropy(_OnProbabilities):
    r"""Clipped binary cross-entropy on probabilities (log loss).

    .. math:: L = -y \log p - (1 - y) \log(1 - p)

    with the gradient :math:`(p - y) / (p (1 - p))` and the second derivative
    :math:`y / p^2 + (1 - y) / (1 - p)^2`.

    *Domain*: 0 <= p <= 1 and 0 <= y <= 1. NaN is data and gives NaN.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        ``"none"`` gives one loss for each element.
    mean_over : {"weights", "count"}
        The mean divides by the sum of `sample_weight` (the number of elements where there is none), or by the number
        of elements, those of weight 0 included.
    label_smoothing : float
        0 <= a <= 1: the target becomes (1 - a) y + a / 2.
    eps : float
        0 <= eps < 0.5. The probability of the true class and its complement are clipped as a pair, to at least `eps`:
        p = 0 with y = 1 and p = 1 with y = 0 give -log(eps), to the same bits, in float32 too. With 0 nothing is
        clipped, and losses may be infinite.
    gradient_outside : {"clipped", "zero"}
        The derivatives where p < eps or 1 - p < eps: those at the clipped point, so that a saturated wrong
        prediction still learns, or 0, the derivatives of the clipped loss.
    pos_weight : float or array_like, optional
        Finite and >= 0: multiplies the term of y. An array has one weight for each element along the last axis. It is
        in no divisor.

    Raises
    ------
    ValueError
        An option out of its range.
    TypeError
        An option of the wrong type.

    Notes
    -----
    `probs` has any shape and holds float64, float32, float16 or bfloat16 (of ml_dtypes), of which the arrays of
    results are too; float16 and bfloat16 are computed in float32; integers and bool give float64. `targets` has the
    same shape: labels 0 and 1 of any real dtype, or probabilities (soft labels).

    The value is within 2 ULP for hard targets and 4 for soft ones, the gradient likewise, the second derivative
    within 6; with `label_smoothing` or `pos_weight` within 4 ULP of the larger term. Weights, `upstream` and the
    divisor add 1, as long as their product with a target is a normal number of the computing type. Sums are exact
    sums of blocks of at most 256 losses: of float64, and of hard targets in either dtype, they are within 6e-15 for any
    length. One pass over memory (a mean's weights are read twice, and all where a result takes the place of `probs`),
    and no temporary arrays: of whatever layout (strided, Fortran-ordered, unaligned, byte-swapped, mapped files) arrays
    are read where they lie, with the bits of a contiguous copy. longdouble is computed as float64. Large calls use
    several threads, and have the same bits whatever their number: see `set_num_threads`.

    References
    ----------
    .. [1] C. M. Bishop, *Pattern Recognition and Machine Learning*, Springer, 2006, section 4.3.2.

    Examples
    --------
    >>> import numpy as np
    >>> import cecore
    >>> loss = cecore.BinaryCrossEntropy()
    >>> probs, targets = np.array([0.9, 0.2, 0.6]), np.array([1, 0, 1])
    >>> loss.forward(probs, targets)
    0.2797765635793423
    >>> loss.backward(probs, targets)
    array([-0.37037037,  0.41666667, -0.55555556])
    >>> value, gradient = loss.forward_backward(probs, targets)
    """

    pos_weight: Any = None

    _rows: ClassVar[bool] = False

    def _check(self) -> dict[str, Any]:
        return {**super()._check(), **self._check_pos_weight(self.pos_weight)}


@dataclass(frozen=True, kw_only=True)
class BinaryCrossEntropyWithLogits(_OnLogits):
    r"""Binary cross-entropy on logits: the loss of :math:`p = 1 / (1 + e^{-z})`, without computing p.

    .. math:: L = y \log(1 + e^{-z}) + (1 - y) \log(1 + e^z)

    with the gradient :math:`p - y` and the second derivative :math:`p (1 - p)`.

    *Domain*: any logit, and 0 <= y <= 1. A logit of +-inf gives 0 or inf, and the gradient its limit. NaN is data and
    gives NaN.

    Parameters
    ----------
    reduction, mean_over, label_smoothing, pos_weight
        As in `BinaryCrossEntropy`.
    focal_gamma : float
        0 <= focal_gamma <= 1e6: each term is multiplied by (1 - q) ** focal_gamma, q the probability of its class.

    Raises
    ------
    ValueError, TypeError
        As `BinaryCrossEntropy`.

    Notes
    -----
    Shapes, dtypes and memory are those of `BinaryCrossEntropy`.

    With hard targets the value and the gradient are within 2 ULP, the second derivative within 4, also where they are
    tiny. With soft ones the value is within 4, the gradient within 2 ULP of the larger of p and y; with
    `label_smoothing` or `pos_weight` they are within 4 ULP of the larger term, the second derivative within 6; with
    `focal_gamma` all within 8 + 2 focal_gamma ULP of the sum of their terms' absolute values. Weights, `upstream` and
    the divisor add 1. Sums are exact sums of blocks, as there; those of float32 add terms computed in float32.

    References
    ----------
    .. [1] T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollar, "Focal Loss for Dense Object Detection", ICCV 2017.

    Examples
    --------
    >>> import numpy as np
    >>> import cecore
    >>> loss = cecore.BinaryCrossEntropyWithLogits(reduction="none")
    >>> loss.forward(np.array([40.0, 0.0, -1000.0]), np.array([1, 1, 1]))
    array([4.24835426e-18, 6.93147181e-01, 1.00000000e+03])
    >>> loss.backward(np.array([40.0, 0.0, -1000.0]), np.array([1, 1, 1]))
    array([-4.24835426e-18, -5.00000000e-01, -1.00000000e+00])
    """

    pos_weight: Any = None

    _rows: ClassVar[bool] = False

    def _check(self) -> dict[str, Any]:
        return {**super()._check(), **self._check_pos_weight(self.pos_weight)}


@dataclass(frozen=True, kw_only=True)
class CrossEntropy(_OnProbabilities):
    r"""Clipped categorical cross-entropy on probabilities along an axis.

    .. math:: H(t, p) = -\sum_k t_k \log p_k

    with the gradient :math:`-t_k / p_k` and the second derivative :math:`t_k / p_k^2`. With class labels it is
    :math:`-\log p_{label}`.

    *Domain*: 0 <= p_k <= 1 where t_k is not 0, and 0 <= t_k <= 1; neither need sum to one. NaN is data and gives NaN.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        ``"none"`` gives one loss for each row.
    mean_over : {"weights", "count"}
        The mean divides by the sum over the rows of `sample_weight` times, if there is a `class_weight`, that of the
        label (the sum of class_weight * t of a distribution); or by the number of rows that are not ignored.
    label_smoothing : float
        0 <= a <= 1: the targets become (1 - a) t_k + a / C.
    eps : float
        0 <= eps < 0.5. Each probability is clipped to eps <= p_k <= 1 - eps; see `BinaryCrossEntropy`.
    gradient_outside : {"clipped", "zero"}
        The derivatives where p_k < eps or 1 - p_k < eps: those at the clipped point, or 0.
    class_weight : array_like, optional
        One finite weight >= 0 for each class, which multiplies its term. All 1 is the same as None.
    ignore_index : int, optional
        Rows with this label have loss and derivatives 0, whatever else they hold, and do not count.
    axis : int
        That of the classes.

    Raises
    ------
    ValueError, TypeError
        As `BinaryCrossEntropy`.

    Notes
    -----
    Let `probs` have the shape (..., C), C along `axis`. `targets` is either of the shape without that axis and holds
    class labels 0..C-1 (integers, bool, or floats that are whole numbers), or of the full shape and holds
    distributions. A one-hot row gives the same bits as its label. A probability whose target is 0 is not read.

    Accuracy, dtypes and memory are those of `BinaryCrossEntropy`; of distributions with tiny targets, the product of
    weight and target is taken in float64.

    References
    ----------
    .. [1] T. M. Cover and J. A. Thomas, *Elements of Information Theory*, 2nd edition, Wiley, 2006, chapter 2.

    Examples
    --------
    >>> import numpy as np
    >>> import cecore
    >>> loss = cecore.CrossEntropy(reduction="none")
    >>> probs = np.array([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25]])
    >>> loss.forward(probs, np.array([0, 2]))
    array([0.35667494, 1.38629436])
    >>> loss.forward(probs, np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]))
    array([0.35667494, 1.03972077])
    """

    class_weight: Any = None
    ignore_index: int | None = None
    axis: int = -1

    _rows: ClassVar[bool] = True

    def _check(self) -> dict[str, Any]:
        own = self._check_classes(self.class_weight, self.ignore_index, self.axis)
        return {**super()._check(), **own}


@dataclass(frozen=True, kw_only=True)
class CrossEntropyWithLogits(_OnLogits):
    r"""Categorical cross-entropy on logits along an axis: the loss of :math:`p = softmax(z)`, without computing p.

    .. math:: L = \sum_k t_k \left(\log \sum_j e^{z_j} - z_k\right)

    with the gradient :math:`p_k \sum_j t_j - t_k` and the Hessian's diagonal :math:`p_k (1 - p_k) \sum_j t_j`.

    *Domain*: any logits, and 0 <= t_k <= 1, which need not sum to one. -inf masks a class. In a row exactly one +inf
    is the limit p = 1; two or more, or nothing but -inf, give NaN in that row alone. NaN is data and gives NaN.

    Parameters
    ----------
    reduction, mean_over, label_smoothing, class_weight, ignore_index, axis
        As in `CrossEntropy`. Under smoothing a masked class makes the loss infinite, as its target is a / C.
    focal_gamma : float
        0 <= focal_gamma <= 1e6: the term of class k is multiplied by (1 - p_k) ** focal_gamma.

    Raises
    ------
    ValueError, TypeError
        As `BinaryCrossEntropy`.

    Notes
    -----
    Shapes and dtypes are those of `CrossEntropy`. Rows are read up to three times while they are in the cache; beside
    the results no array is made.

    With labels and one-hot rows the value and the gradient are within 3 ULP, the Hessian within 6, also where they are
    tiny; large common offsets cancel. With distributions the value is within 4, the gradient within 2 ULP of
    the larger of p_k * sum(t) and t_k, the Hessian within 6; with `label_smoothing` they are within 5, 4 and 6; with
    `focal_gamma` within 8 + 2 focal_gamma ULP of the sum of their terms' absolute values. Weights, `upstream` and the
    divisor add 1. The bounds hold where the exponentials that make the result are normal numbers: not for logits that
    are all some 708 (float32: 87) below the largest.

    References
    ----------
    .. [1] I. Goodfellow, Y. Bengio, A. Courville, *Deep Learning*, MIT Press, 2016, section 6.2.2.

    Examples
    --------
    >>> import numpy as np
    >>> import cecore
    >>> loss = cecore.CrossEntropyWithLogits(reduction="none")
    >>> logits = np.array([[2.0, 1.0, 0.0], [1e8, 1e8, -np.inf]])
    >>> loss.forward(logits, np.array([0, 1]))
    array([0.40760596, 0.69314718])
    >>> loss.backward(logits, np.array([0, 1]))
    array([[-0.33475904,  0.24472847,  0.09003057],
           [ 0.5       , -0.5       ,  0.        ]])
    """

    class_weight: Any = None
    ignore_index: int | None = None
    axis: int = -1

    _rows: ClassVar[bool] = True

    def _check(self) -> dict[str, Any]:
        own = self._check_classes(self.class_weight, self.ignore_index, self.axis)
        return {**super()._check(), **own}


@lru_cache(maxsize=64, typed=True)
def _cached(kind: Any, *options: Any) -> Any:
    return kind(**dict(zip((field.name for field in fields(kind)), options, strict=True)))


_IMMUTABLE = {type(None), str, int, float}


def _loss(kind: Any, *options: Any) -> Any:
    if _IMMUTABLE.issuperset(map(type, options)):
        return _cached(kind, *options)
    return _cached.__wrapped__(kind, *options)


def binary_cross_entropy(
    probs: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
    mean_over: str = "weights",
    label_smoothing: float = 0.0,
    eps: float = 1e-7,
    gradient_outside: str = "clipped",
    pos_weight: Any = None,
) -> Any:
    """`BinaryCrossEntropy` as a function: the loss, in nats.

    Parameters
    ----------
    probs, targets, sample_weight
        As in `BinaryCrossEntropy.forward`.
    reduction, mean_over, label_smoothing, eps, gradient_outside, pos_weight
        As in `BinaryCrossEntropy`; `gradient_outside` does not change the loss.

    Returns
    -------
    float or numpy.ndarray

    Raises
    ------
    ValueError, TypeError
        As `BinaryCrossEntropy` and its `forward`.

    Examples
    --------
    >>> import cecore
    >>> cecore.binary_cross_entropy([0.9, 0.2, 0.6], [1, 0, 1])
    0.2797765635793423
    """
    loss = _loss(BinaryCrossEntropy, reduction, mean_over, label_smoothing, eps, gradient_outside, pos_weight)
    return loss.forward(probs, targets, sample_weight=sample_weight)


def binary_cross_entropy_with_logits(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
    mean_over: str = "weights",
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
    pos_weight: Any = None,
) -> Any:
    """`BinaryCrossEntropyWithLogits` as a function: the loss, in nats.

    Parameters
    ----------
    logits, targets, sample_weight
        As in `BinaryCrossEntropyWithLogits.forward`.
    reduction, mean_over, label_smoothing, focal_gamma, pos_weight
        As in `BinaryCrossEntropyWithLogits`.

    Returns
    -------
    float or numpy.ndarray

    Raises
    ------
    ValueError, TypeError
        As `BinaryCrossEntropyWithLogits` and its `forward`.

    Examples
    --------
    >>> import cecore
    >>> cecore.binary_cross_entropy_with_logits([2.0, -1.0, 0.5], [1, 0, 1])
    0.3047555609137673
    """
    loss = _loss(BinaryCrossEntropyWithLogits, reduction, mean_over, label_smoothing, focal_gamma, pos_weight)
    return loss.forward(logits, targets, sample_weight=sample_weight)


def cross_entropy(
    probs: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
    mean_over: str = "weights",
    label_smoothing: float = 0.0,
    eps: float = 1e-7,
    gradient_outside: str = "clipped",
    class_weight: Any = None,
    ignore_index: int | None = None,
    axis: int = -1,
) -> Any:
    """`CrossEntropy` as a function: the loss, in nats.

    Parameters
    ----------
    probs, targets, sample_weight
        As in `CrossEntropy.forward`.
    reduction, mean_over, label_smoothing, eps, gradient_outside, class_weight, ignore_index, axis
        As in `CrossEntropy`; `gradient_outside` does not change the loss.

    Returns
    -------
    float or numpy.ndarray

    Raises
    ------
    ValueError, TypeError
        As `CrossEntropy` and its `forward`.

    Examples
    --------
    >>> import cecore
    >>> cecore.cross_entropy([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25]], [0, 2])
    0.8714846525293115
    """
    loss = _loss(
        CrossEntropy, reduction, mean_over, label_smoothing, eps, gradient_outside, class_weight, ignore_index, axis
    )
    return loss.forward(probs, targets, sample_weight=sample_weight)


def cross_entropy_with_logits(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
    mean_over: str = "weights",
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
    class_weight: Any = None,
    ignore_index: int | None = None,
    axis: int = -1,
) -> Any:
    """`CrossEntropyWithLogits` as a function: the loss, in nats.

    Parameters
    ----------
    logits, targets, sample_weight
        As in `CrossEntropyWithLogits.forward`.
    reduction, mean_over, label_smoothing, focal_gamma, class_weight, ignore_index, axis
        As in `CrossEntropyWithLogits`.

    Returns
    -------
    float or numpy.ndarray

    Raises
    ------
    ValueError, TypeError
        As `CrossEntropyWithLogits` and its `forward`.

    Examples
    --------
    >>> import cecore
    >>> cecore.cross_entropy_with_logits([[2.0, 1.0, 0.0], [0.5, 0.5, 0.5]], [0, 2])
    0.7531091265562451
    """
    loss = _loss(
        CrossEntropyWithLogits, reduction, mean_over, label_smoothing, focal_gamma, class_weight, ignore_index, axis
    )
    return loss.forward(logits, targets, sample_weight=sample_weight)
