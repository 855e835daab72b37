"""The losses: options, documentation, and one call each into the kernels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from . import _checks, _dispatch
from ._checks import GRADIENT, HESSIAN, VALUE


@dataclass(frozen=True, kw_only=True)
class _ProbabilityLoss:
    """The methods of a loss that takes probabilities."""

    reduction: str = "mean"
    eps: float = 1e-7
    gradient_outside: str = "clipped"

    _rows: ClassVar[bool]

    def __post_init__(self) -> None:
        _checks.choice("reduction", self.reduction, _checks.REDUCTIONS)
        _checks.choice("gradient_outside", self.gradient_outside, _checks.OUTSIDE)
        object.__setattr__(self, "eps", _checks.clip(self.eps))

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
            Receives the losses of reduction ``"none"``: of their shape and of the predictions' dtype. It may be the
            predictions array itself, and must not overlap an array of the call otherwise.

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
        _checks.no_output("out", out, self.reduction)
        return self._compute(self.reduction, probs, targets, sample_weight, 1.0, VALUE, out, None, None)

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
        """
        if isinstance(upstream, (int, np.floating, np.integer)):
            upstream = float(upstream)
        return self._compute(self.reduction, probs, targets, sample_weight, upstream, GRADIENT, None, out, None)

    def forward_backward(
        self,
        probs: ArrayLike,
        targets: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        loss_out: Any = None,
        gradient_out: Any = None,
    ) -> Any:
        """The loss and its gradient in one pass over memory.

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
        """
        _checks.no_output("loss_out", loss_out, self.reduction)
        return self._compute(
            self.reduction, probs, targets, sample_weight, 1.0, VALUE | GRADIENT, loss_out, gradient_out, None
        )

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
        """
        return self._compute(
            "sum", probs, targets, sample_weight, 1.0, GRADIENT | HESSIAN, None, gradient_out, hessian_out
        )

    def _compute(
        self,
        reduction: str,
        probs: Any,
        targets: Any,
        sample_weight: Any,
        upstream: Any,
        wanted: int,
        *outs: Any,
    ) -> Any:
        kernel = _dispatch.kernels.rows if self._rows else _dispatch.kernels.elements
        zero_outside = _checks.OUTSIDE[self.gradient_outside]
        code = _checks.REDUCTIONS[reduction]
        call: Any = probs, targets, sample_weight, upstream
        bad: tuple[int, int] | None = None
        try:
            result = kernel(self.eps, zero_outside, code, *call, wanted, *outs)
            if result is None:  # an array is not plain
                given, call = call, _checks.prepare(self._rows, reduction, *call)
                _checks.outputs(self._rows, call, given, wanted, outs)
                result = kernel(self.eps, zero_outside, code, *call, wanted, None, None, None)
                result = _deliver(result, wanted, outs)
        except _checks.BadBlock as found:
            bad = found.args
        if bad is not None:  # outside the handler: the user's error has no other behind it
            _checks.explain(self._rows, _checks.Call(*call), *bad)
        return result


def _deliver(result: Any, wanted: int, outs: tuple[Any, ...]) -> Any:
    """Copy the results to the arrays that the user gave for them."""
    places = [out for kind, out in zip((VALUE, GRADIENT, HESSIAN), outs, strict=True) if wanted & kind]
    parts = list(result) if isinstance(result, tuple) else [result]
    for i, out in enumerate(places):
        if out is not None:
            out[...] = parts[i]
            parts[i] = out
    return tuple(parts) if isinstance(result, tuple) else parts[0]


@dataclass(frozen=True, kw_only=True)
class BinaryCrossEntropy(_ProbabilityLoss):
    r"""Clipped binary cross-entropy on probabilities (log loss).

    .. math:: L = -y \log p - (1 - y) \log(1 - p)

    with the gradient :math:`(p - y) / (p (1 - p))` and the second derivative
    :math:`y / p^2 + (1 - y) / (1 - p)^2`.

    *Domain*: 0 <= p <= 1 and 0 <= y <= 1. NaN is data and gives NaN.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides by the sum of `sample_weight`, or by the number of elements where there is none;
        ``"none"`` gives one loss for each element.
    eps : float
        0 <= eps < 0.5. The probability of the true class and its complement are clipped as a pair, to at least `eps`:
        p = 0 with y = 1 and p = 1 with y = 0 give -log(eps), to the same bits, in float32 too. With 0 nothing is
        clipped, and losses may be infinite.
    gradient_outside : {"clipped", "zero"}
        The derivatives where p < eps or 1 - p < eps: those at the clipped point, so that a saturated wrong
        prediction still learns, or 0, the derivatives of the clipped loss.

    Notes
    -----
    `probs` has any shape and holds float64 or float32, in which the arrays of results are; integers and bool give
    float64. `targets` has the same shape: labels 0 and 1 of any real dtype, or probabilities (soft labels).

    The value is within 2 ULP for hard targets and 4 for soft ones, the gradient likewise, the second derivative
    within 6; weights, `upstream` and the divisor add 1, as long as their product with a target is a normal number of
    the computing type. Sums are exact sums of blocks of 256 elements: of float64, and
    of hard targets in either dtype, they are within 6e-15 for any length. One pass over memory, and no temporary
    arrays where all are C-contiguous.

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

    _rows: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True)
class CrossEntropy(_ProbabilityLoss):
    r"""Clipped categorical cross-entropy on probabilities along the last axis.

    .. math:: H(t, p) = -\sum_k t_k \log p_k

    with the gradient :math:`-t_k / p_k` and the second derivative :math:`t_k / p_k^2`. With class labels it is
    :math:`-\log p_{label}`.

    *Domain*: 0 <= p_k <= 1 where t_k is not 0, and 0 <= t_k <= 1; neither need sum to one. NaN is data and gives NaN.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides by the sum of `sample_weight`, or by the number of rows where there is none; ``"none"``
        gives one loss for each row.
    eps : float
        0 <= eps < 0.5. Each probability is clipped to eps <= p_k <= 1 - eps; see `BinaryCrossEntropy`.
    gradient_outside : {"clipped", "zero"}
        The derivatives where p_k < eps or 1 - p_k < eps: those at the clipped point, or 0.

    Notes
    -----
    `probs` has the shape (..., C). `targets` is either of the shape (...) and holds class labels 0..C-1 (integers,
    bool, or floats that are whole numbers), or of the shape (..., C) and holds a distribution in each row. A one-hot
    row gives the same bits as its label. Of a row with a label only the label's probability is read.

    Accuracy and memory are those of `BinaryCrossEntropy`.

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

    _rows: ClassVar[bool] = True


@lru_cache(maxsize=64, typed=True)
def _cached(kind: Any, reduction: str, eps: float, gradient_outside: str) -> Any:
    return kind(reduction=reduction, eps=eps, gradient_outside=gradient_outside)


def _loss(kind: Any, *options: Any) -> Any:
    try:
        return _cached(kind, *options)
    except TypeError:  # not hashable, or refused: the class has the better message
        return _cached.__wrapped__(kind, *options)


def binary_cross_entropy(
    probs: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
    eps: float = 1e-7,
    gradient_outside: str = "clipped",
) -> Any:
    """`BinaryCrossEntropy` as a function: the loss, in nats.

    Parameters
    ----------
    probs, targets, sample_weight
        As in `BinaryCrossEntropy.forward`.
    reduction, eps, gradient_outside
        As in `BinaryCrossEntropy`; `gradient_outside` does not change the loss.

    Returns
    -------
    float or numpy.ndarray

    Examples
    --------
    >>> import cecore
    >>> cecore.binary_cross_entropy([0.9, 0.2, 0.6], [1, 0, 1])
    0.2797765635793423
    """
    return _loss(BinaryCrossEntropy, reduction, eps, gradient_outside).forward(
        probs, targets, sample_weight=sample_weight
    )


def cross_entropy(
    probs: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
    eps: float = 1e-7,
    gradient_outside: str = "clipped",
) -> Any:
    """`CrossEntropy` as a function: the loss, in nats.

    Parameters
    ----------
    probs, targets, sample_weight
        As in `CrossEntropy.forward`.
    reduction, eps, gradient_outside
        As in `CrossEntropy`; `gradient_outside` does not change the loss.

    Returns
    -------
    float or numpy.ndarray

    Examples
    --------
    >>> import cecore
    >>> cecore.cross_entropy([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25]], [0, 2])
    0.8714846525293115
    """
    return _loss(CrossEntropy, reduction, eps, gradient_outside).forward(probs, targets, sample_weight=sample_weight)
