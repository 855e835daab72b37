"""Sigmoid and softmax, their logarithms and derivatives, with the accuracy of the losses on logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np

from . import _checks, _dispatch
from ._checks import BITS, IN_PLACE, PREPARED

if TYPE_CHECKING:  # only type checkers need these, and importing numpy.typing takes a millisecond
    from numpy.typing import ArrayLike, NDArray

    from ._types import Array, Float

# The kinds of activations, numbered as in the kernels
_SIGMOID, _LOG_SIGMOID, _SIGMOID_BACKWARD, _SOFTMAX, _LOG_SOFTMAX, _SOFTMAX_BACKWARD = range(16, 22)
_ALONG_AXIS = {_SOFTMAX, _LOG_SOFTMAX, _SOFTMAX_BACKWARD}


@overload
def sigmoid(x: NDArray[Float], *, out: Array | None = None) -> NDArray[Float]: ...
@overload
def sigmoid(x: ArrayLike, *, out: Array | None = None) -> Array: ...
def sigmoid(x: ArrayLike, *, out: Array | None = None) -> Array:
    r"""Compute the sigmoid (the logistic function) of each element.

    .. math:: \sigma(x) = 1 / (1 + e^{-x})

    *Domain*: any number. -inf gives 0, +inf gives 1, and NaN gives NaN.

    Parameters
    ----------
    x : array_like
        Logits, in any shape.
    out : numpy.ndarray, optional
        The array to write the result into, with the shape of `x` and the dtype of the result. It can be `x` itself.

    Returns
    -------
    numpy.ndarray
        The probabilities; this is `out` if given. If `x` is float64, float32, float16 or bfloat16, the result has the
        same dtype. Otherwise it is float64. Each probability is within 4 ULP (units in the last place) of the exact
        value, even if it is tiny.

    Raises
    ------
    TypeError
        If `x` does not hold real numbers, or if `out` is not a NumPy array.
    ValueError
        If `x` is ragged, or if the shape, dtype or memory of `out` does not fit.

    Examples
    --------
    >>> import cecore
    >>> cecore.sigmoid([-50.0, 0.0, 2.0])
    array([1.92874985e-22, 5.00000000e-01, 8.80797078e-01])
    """
    return _apply(_SIGMOID, "x", x, None, out)


@overload
def log_sigmoid(x: NDArray[Float], *, out: Array | None = None) -> NDArray[Float]: ...
@overload
def log_sigmoid(x: ArrayLike, *, out: Array | None = None) -> Array: ...
def log_sigmoid(x: ArrayLike, *, out: Array | None = None) -> Array:
    r"""Compute the logarithm of the sigmoid of each element.

    .. math:: \log \sigma(x) = -\log(1 + e^{-x})

    In principle this is ``np.log(sigmoid(x))``, but it is more accurate. Large negative x do not give -inf, and large
    positive x do not round to 0.

    *Domain*: any number. -inf gives -inf, +inf gives 0, and NaN gives NaN.

    Parameters
    ----------
    x : array_like
        Logits, in any shape.
    out : numpy.ndarray, optional
        The array to write the result into, with the shape of `x` and the dtype of the result. It can be `x` itself.

    Returns
    -------
    numpy.ndarray
        The log-probabilities; this is `out` if given. If `x` is float64, float32, float16 or bfloat16, the result has
        the same dtype. Otherwise it is float64. Each log-probability is within 4 ULP (units in the last place) of the
        exact value, even if it is tiny.

    Raises
    ------
    TypeError
        If `x` does not hold real numbers, or if `out` is not a NumPy array.
    ValueError
        If `x` is ragged, or if the shape, dtype or memory of `out` does not fit.

    Examples
    --------
    >>> import cecore
    >>> cecore.log_sigmoid([-1000.0, 0.0, 40.0])
    array([-1.00000000e+03, -6.93147181e-01, -4.24835426e-18])
    """
    return _apply(_LOG_SIGMOID, "x", x, None, out)


@overload
def sigmoid_backward(
    upstream: ArrayLike, sigmoid_output: NDArray[Float], *, out: Array | None = None
) -> NDArray[Float]: ...
@overload
def sigmoid_backward(upstream: ArrayLike, sigmoid_output: ArrayLike, *, out: Array | None = None) -> Array: ...
def sigmoid_backward(upstream: ArrayLike, sigmoid_output: ArrayLike, *, out: Array | None = None) -> Array:
    r"""Convert a gradient with respect to sigmoid outputs into the gradient with respect to the logits.

    .. math:: g = u s (1 - s)

    *Domain*: 0 <= s <= 1, and any u. If s is 0 or 1, the result is 0, whatever u is. If s is float32, float16 or
    bfloat16, u is converted to float32. A finite u that would become infinite is an error.

    Parameters
    ----------
    upstream : array_like
        u, the derivative of the final objective with respect to each sigmoid output, with the shape of
        `sigmoid_output`.
    sigmoid_output : array_like
        s, the result of `sigmoid`.
    out : numpy.ndarray, optional
        The array to write the result into, with the shape of `sigmoid_output` and the dtype of the result. It can be
        one of the two input arrays itself.

    Returns
    -------
    numpy.ndarray
        The gradient; this is `out` if given. If `sigmoid_output` is float64, float32, float16 or bfloat16, the result
        has the same dtype. Otherwise it is float64. Each number of the gradient is within 3 ULP (units in the last
        place) of the exact value, unless that number is subnormal.

    Raises
    ------
    TypeError
        If an array does not hold real numbers, or if `out` is not a NumPy array.
    ValueError
        If an array is ragged, if the shapes differ, or if the shape, dtype or memory of `out` does not fit.

    Examples
    --------
    >>> import cecore
    >>> probs = cecore.sigmoid([-1.0, 0.0, 2.0])
    >>> cecore.sigmoid_backward([1.0, 1.0, -1.0], probs)
    array([ 0.19661193,  0.25      , -0.10499359])
    """
    return _apply(_SIGMOID_BACKWARD, "sigmoid_output", sigmoid_output, upstream, out)


@overload
def softmax(x: NDArray[Float], *, axis: int = -1, out: Array | None = None) -> NDArray[Float]: ...
@overload
def softmax(x: ArrayLike, *, axis: int = -1, out: Array | None = None) -> Array: ...
def softmax(x: ArrayLike, *, axis: int = -1, out: Array | None = None) -> Array:
    r"""Compute the softmax along an axis.

    .. math:: p_k = e^{x_k} / \sum_j e^{x_j}

    *Domain*: any numbers. A row is the numbers along `axis` that are normalized together. -inf gives 0. If exactly one
    number of a row is +inf, it gives 1, the limit. If a row has two or more +inf, only -inf, or a NaN, all results of
    this row are NaN. The other rows are not affected.

    Parameters
    ----------
    x : array_like
        Logits, with the classes along `axis`.
    axis : int
        The axis that holds the classes.
    out : numpy.ndarray, optional
        The array to write the result into, with the shape of `x` and the dtype of the result. It can be `x` itself.

    Returns
    -------
    numpy.ndarray
        The probabilities; this is `out` if given. If `x` is float64, float32, float16 or bfloat16, the result has the
        same dtype. Otherwise it is float64. Each probability that is a normal number is within 4 ULP (units in the last
        place) of the exact value. A large offset common to a row cancels exactly.

    Raises
    ------
    TypeError
        If `x` does not hold real numbers, if `axis` is not an integer, or if `out` is not a NumPy array.
    ValueError
        If `x` is ragged, if `axis` is out of range, or if the shape, dtype or memory of `out` does not fit.

    References
    ----------
    .. [1] I. Goodfellow, Y. Bengio, A. Courville, *Deep Learning*, MIT Press, 2016, section 6.2.2.

    Examples
    --------
    >>> import cecore
    >>> cecore.softmax([[2.0, 1.0, 0.0], [1e8, 1e8, 0.0]])
    array([[0.66524096, 0.24472847, 0.09003057],
           [0.5       , 0.5       , 0.        ]])
    """
    return _apply(_SOFTMAX, "x", x, None, out, axis)


@overload
def log_softmax(x: NDArray[Float], *, axis: int = -1, out: Array | None = None) -> NDArray[Float]: ...
@overload
def log_softmax(x: ArrayLike, *, axis: int = -1, out: Array | None = None) -> Array: ...
def log_softmax(x: ArrayLike, *, axis: int = -1, out: Array | None = None) -> Array:
    r"""Compute the logarithm of the softmax along an axis.

    .. math:: \log p_k = x_k - \log \sum_j e^{x_j}

    In principle this is ``np.log(softmax(x))``, but it is more accurate. Small probabilities do not give -inf, and the
    logarithms of probabilities near 1 do not round to 0.

    *Domain*: any numbers. A row is the numbers along `axis` that are normalized together. -inf gives -inf. If exactly
    one number of a row is +inf, it gives 0, the limit. If a row has two or more +inf, only -inf, or a NaN, all results
    of this row are NaN. The other rows are not affected.

    Parameters
    ----------
    x : array_like
        Logits, with the classes along `axis`.
    axis : int
        The axis that holds the classes.
    out : numpy.ndarray, optional
        The array to write the result into, with the shape of `x` and the dtype of the result. It can be `x` itself.

    Returns
    -------
    numpy.ndarray
        The log-probabilities; this is `out` if given. If `x` is float64, float32, float16 or bfloat16, the result has
        the same dtype. Otherwise it is float64. Each log-probability is within 4 ULP (units in the last place) of the
        exact value, even if it is tiny. This bound holds as long as the exponentials in the formula are normal numbers.

    Raises
    ------
    TypeError
        If `x` does not hold real numbers, if `axis` is not an integer, or if `out` is not a NumPy array.
    ValueError
        If `x` is ragged, if `axis` is out of range, or if the shape, dtype or memory of `out` does not fit.

    Examples
    --------
    >>> import cecore
    >>> cecore.log_softmax([40.0, 0.0])
    array([-4.24835426e-18, -4.00000000e+01])
    """
    return _apply(_LOG_SOFTMAX, "x", x, None, out, axis)


@overload
def softmax_backward(
    upstream: ArrayLike, softmax_output: NDArray[Float], *, axis: int = -1, out: Array | None = None
) -> NDArray[Float]: ...
@overload
def softmax_backward(
    upstream: ArrayLike, softmax_output: ArrayLike, *, axis: int = -1, out: Array | None = None
) -> Array: ...
def softmax_backward(
    upstream: ArrayLike, softmax_output: ArrayLike, *, axis: int = -1, out: Array | None = None
) -> Array:
    r"""Convert a gradient with respect to softmax outputs into the gradient with respect to the logits.

    .. math:: g_k = s_k \left(u_k - \sum_j s_j u_j\right)

    This is the product of the vector u and the Jacobian diag(s) - s s^T of the softmax.

    *Domain*: any numbers. If s_k = 0, the result g_k is 0 and u_k is not read.

    Parameters
    ----------
    upstream : array_like
        u, the derivative of the final objective with respect to each softmax output, with the shape of
        `softmax_output`.
    softmax_output : array_like
        s, the result of `softmax`.
    axis : int
        The axis that holds the classes.
    out : numpy.ndarray, optional
        The array to write the result into, with the shape of `softmax_output` and the dtype of the result. It can be
        one of the two input arrays itself.

    Returns
    -------
    numpy.ndarray
        The gradient; this is `out` if given. If `softmax_output` is float64, float32, float16 or bfloat16, the result
        has the same dtype. Otherwise it is float64. Let m be s_k times the largest absolute value of the u_j. The error
        of each number g_k is at most 8 ULP (units in the last place) of m.

    Raises
    ------
    TypeError
        If an array does not hold real numbers, if `axis` is not an integer, or if `out` is not a NumPy array.
    ValueError
        If an array is ragged, if the shapes differ, if `axis` is out of range, or if the shape, dtype or memory of
        `out` does not fit.

    Examples
    --------
    >>> import cecore
    >>> probs = cecore.softmax([2.0, 1.0, 0.0])
    >>> cecore.softmax_backward([-1 / probs[0], 0, 0], probs)
    array([-0.33475904,  0.24472847,  0.09003057])
    """
    return _apply(_SOFTMAX_BACKWARD, "softmax_output", softmax_output, upstream, out, axis)


def _apply(function: int, name: str, x: Any, upstream: Any, out: Any, axis: int = -1) -> Any:
    if type(axis) is int and (
        function not in _ALONG_AXIS or axis == -1 or (type(x) is np.ndarray and axis == x.ndim - 1)
    ):
        result = _dispatch.kernels.activation(function, 0, x, upstream, out)
        if result is not None:
            return result
    try:
        return _prepare_and_apply(function, name, x, upstream, out, axis)
    except (TypeError, ValueError) as error:  # so that few frames stand between the user's line and the message
        if not _checks.is_own(error):
            raise
        raise error.with_traceback(None) from error.__cause__


def _prepare_and_apply(function: int, name: str, x: Any, upstream: Any, out: Any, axis: int) -> Any:
    axis = _checks.integer("axis", axis, -64, 63)
    x = _checks.converted(name, x)
    if upstream is not None or function in (_SOFTMAX_BACKWARD, _SIGMOID_BACKWARD):
        upstream = _checks.converted("upstream", upstream)
    # From here on no code of the user's runs: the arrays stay as they are
    x = _checks.real(name, x)
    dtype = _checks.result_type(x.dtype)
    if function in _ALONG_AXIS:
        axis = _checks.moved(name, x.shape, axis)
    if upstream is not None:
        upstream = _checks.real("upstream", upstream)
        if upstream.shape != x.shape:
            raise ValueError(f"upstream has shape {upstream.shape}: expected {x.shape}, the shape of {name}")
        computing = dtype if function == _SIGMOID_BACKWARD else np.dtype(np.float64)
        ends = (0, 1) if function == _SIGMOID_BACKWARD else (0,)  # where upstream does not count
        _checks.refuse_overflow(upstream, computing, name, lambda: ~np.isin(x, ends))
    in_place = False
    if out is None:
        out = view = np.empty(x.shape, dtype)
    else:
        view = _checks.output("out", out, x.shape, dtype)
        in_place = _checks.apart(view, {name: x, "upstream": upstream})
    flags, (x, _, _, upstream) = _checks.by_bits(x, None, None, upstream)
    places = [x, upstream, _checks.as_bits(view) if flags & BITS[0] else view]
    if function in _ALONG_AXIS:
        places = [None if place is None else np.moveaxis(place, axis, -1) for place in places]
    _dispatch.kernels.activation(function, flags | PREPARED | (IN_PLACE if in_place else 0), *places)
    return out
