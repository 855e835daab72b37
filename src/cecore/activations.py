"""Sigmoid and softmax, with the accuracy of the losses on logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _checks, _dispatch
from ._checks import BITS, IN_PLACE, PREPARED

if TYPE_CHECKING:  # importing it takes a millisecond
    from numpy.typing import ArrayLike

_SIGMOID, _SOFTMAX, _LOG_SOFTMAX, _SOFTMAX_BACKWARD = 1, 2, 3, 4  # as the kernels number them


def sigmoid(x: ArrayLike, *, out: Any = None) -> Any:
    r"""The logistic function of each element.

    .. math:: \sigma(x) = 1 / (1 + e^{-x})

    *Domain*: any number; -inf gives 0, +inf gives 1, NaN gives NaN.

    Parameters
    ----------
    x : array_like
        Any shape.
    out : numpy.ndarray, optional
        Receives the result: of the shape of `x` and the dtype of the result. It may be `x` itself.

    Returns
    -------
    numpy.ndarray
        Of the dtype of `x`: float64, float32, float16 or bfloat16; integers and bool give float64. Within 2 ULP, also
        where it is tiny.

    Raises
    ------
    ValueError, TypeError
        No numbers, or an unfit `out`.

    Examples
    --------
    >>> import cecore
    >>> cecore.sigmoid([-50.0, 0.0, 2.0])
    array([1.92874985e-22, 5.00000000e-01, 8.80797078e-01])
    """
    return _apply(_SIGMOID, "x", x, None, out)


def softmax(x: ArrayLike, *, axis: int = -1, out: Any = None) -> Any:
    r"""The softmax along an axis.

    .. math:: p_k = e^{x_k} / \sum_j e^{x_j}

    *Domain*: any numbers. -inf gives 0. In a row exactly one +inf is the limit 1; two or more, nothing but -inf, or
    NaN give NaN in that row alone.

    Parameters
    ----------
    x : array_like
        Logits.
    axis : int
        That of the classes.
    out : numpy.ndarray, optional
        As in `sigmoid`.

    Returns
    -------
    numpy.ndarray
        Of the shape and dtype of `x`, as in `sigmoid`. Within 3 ULP where it is a normal number; large common offsets
        cancel exactly.

    Raises
    ------
    ValueError, TypeError
        No numbers, an `axis` out of range, an unfit `out`.

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


def log_softmax(x: ArrayLike, *, axis: int = -1, out: Any = None) -> Any:
    r"""The logarithm of the softmax along an axis.

    .. math:: \log p_k = x_k - \log \sum_j e^{x_j}

    *Domain*, parameters and result are those of `softmax`; -inf gives -inf.

    Parameters
    ----------
    x : array_like
        Logits.
    axis : int
        That of the classes.
    out : numpy.ndarray, optional
        As in `sigmoid`.

    Returns
    -------
    numpy.ndarray
        Of the shape and dtype of `x`. Within 3 ULP, also where it is tiny, as long as the exponentials that make it are
        normal numbers.

    Raises
    ------
    ValueError, TypeError
        As in `softmax`.

    Examples
    --------
    >>> import cecore
    >>> cecore.log_softmax([40.0, 0.0])
    array([-4.24835426e-18, -4.00000000e+01])
    """
    return _apply(_LOG_SOFTMAX, "x", x, None, out, axis)


def softmax_backward(upstream: ArrayLike, softmax_output: ArrayLike, *, axis: int = -1, out: Any = None) -> Any:
    r"""The gradient by the logits, from that by their softmax: a vector-Jacobian product.

    .. math:: g_k = s_k \left(u_k - \sum_j s_j u_j\right)

    *Domain*: any numbers; where s_k = 0 the result is 0 and u_k is not read.

    Parameters
    ----------
    upstream : array_like
        u, the derivative by each softmax output; of the shape of `softmax_output`.
    softmax_output : array_like
        s, what `softmax` returned.
    axis : int
        That of the classes.
    out : numpy.ndarray, optional
        Receives the result: of the shape and dtype of `softmax_output`. It may be either of the arrays itself.

    Returns
    -------
    numpy.ndarray
        Of the shape and dtype of `softmax_output`, as in `sigmoid`. Within 2 ULP of s_k times the largest |u_j|.

    Raises
    ------
    ValueError, TypeError
        As in `softmax`, and where the shapes differ.

    Examples
    --------
    >>> import cecore
    >>> probs = cecore.softmax([2.0, 1.0, 0.0])
    >>> cecore.softmax_backward([-1 / probs[0], 0, 0], probs)
    array([-0.33475904,  0.24472847,  0.09003057])
    """
    return _apply(_SOFTMAX_BACKWARD, "softmax_output", softmax_output, upstream, out, axis)


def _apply(function: int, name: str, x: Any, upstream: Any, out: Any, axis: int = -1) -> Any:
    kernel = _dispatch.kernels.activation
    axis = _checks.integer("axis", axis, -64, 63)
    if function == _SIGMOID or axis in (-1, getattr(x, "ndim", 0) - 1):
        result = kernel(function, 0, x, upstream, out)
        if result is not None:
            return result
    x = _checks.real_array(name, x)
    dtype = _checks.result_type(x.dtype)
    if function != _SIGMOID:
        axis = _checks.moved(name, x.shape, axis)
    if function == _SOFTMAX_BACKWARD:
        upstream = _checks.real_array("upstream", upstream)
        if upstream.shape != x.shape:
            raise ValueError(f"upstream has shape {upstream.shape}: expected {x.shape}, the shape of {name}")
    in_place = False
    if out is None:
        out = np.empty(x.shape, dtype)
    else:
        _checks.output("out", out, x.shape, dtype)
        in_place = _checks.apart(out, [x, upstream], "it may only be one of them itself")
    flags, (x, _, _, upstream) = _checks.by_bits(x, None, None, upstream)
    places = [x, upstream, _checks.as_bits(out) if flags & BITS[0] else out]
    if function != _SIGMOID:
        places = [None if place is None else np.moveaxis(place, axis, -1) for place in places]
    kernel(function, flags | PREPARED | (IN_PLACE if in_place else 0), *places)
    return out
