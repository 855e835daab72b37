"""Sums over several calls, exact whatever their order."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

from . import _dispatch

if TYPE_CHECKING:  # importing it takes a millisecond
    from numpy.typing import ArrayLike

_UNIT = 1074  # sums are integers in units of 2 ** -1074, the least float64
_ORDINARY = 1e-200, 1e200  # divisors by which the losses divide without rescaling


class Accumulator:
    """Sums up a loss over several calls; made by the `accumulator` method of a loss.

    The sums are exact: updates and merges in any order, in any number of processes, give the same bits. One update
    gives the bits of the loss's `forward`, as long as the sum of the weights is between 1e-200 and 1e200 (float32:
    1e-30 and 1e30).

    Notes
    -----
    The losses of the blocks are rounded as in `forward`; their sums are integers of some 2,000 bits, which are rounded
    once, when `value` is read. It can be pickled, and updated from several threads at once.

    Examples
    --------
    >>> import cecore
    >>> loss = cecore.BinaryCrossEntropy()
    >>> first, second = loss.accumulator(), loss.accumulator()
    >>> first.update([0.9, 0.2], [1, 0])
    >>> second.update([0.6], [1])
    >>> (first + second).value == loss.forward([0.9, 0.2, 0.6], [1, 0, 1])
    True
    >>> first.merge(second)
    >>> first
    <Accumulator of BinaryCrossEntropy: value 0.2797765635793423, weight 3.0, count 3>
    """

    __slots__ = ("_lock", "_loss", "_sums")

    def __init__(self, loss: Any) -> None:
        if loss.reduction == "none":
            raise ValueError("reduction = 'none': a loss without a sum has nothing to accumulate")
        self._loss = loss
        self._lock = threading.Lock()
        self._sums: tuple[int, float, int, int] = (0, 0.0, 0, 0)  # losses, what is no number of them, weights, count

    def update(self, x: ArrayLike, targets: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        """Add the losses of a call.

        Parameters
        ----------
        x, targets, sample_weight
            As in the loss's `forward`.

        Raises
        ------
        ValueError, TypeError
            As in `forward`; then nothing has been added.
        """
        self._add(self._loss._sums(x, targets, sample_weight))

    def merge(self, other: Accumulator) -> None:
        """Add what another accumulator of the same loss has summed up.

        Parameters
        ----------
        other : Accumulator

        Raises
        ------
        ValueError
            It is of another loss, or of other options.
        TypeError
            It is no accumulator.
        """
        if not isinstance(other, Accumulator):
            raise TypeError(f"other is a {type(other).__name__}: expected an Accumulator")
        if other._loss != self._loss:
            raise ValueError(f"other sums up {other._loss}: expected {self._loss}")
        self._add(other._sums)

    def _add(self, sums: tuple[int, float, int, int]) -> None:
        with self._lock:
            a, b = self._sums, sums
            self._sums = a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]

    def __add__(self, other: Any) -> Accumulator:
        if not isinstance(other, Accumulator):
            return NotImplemented
        result = _restore(self._loss, self._sums)
        result.merge(other)
        return result

    def __reduce__(self) -> Any:
        return _restore, (self._loss, self._sums)

    @property
    def value(self) -> float:
        """The sum or the mean, as the loss reduces; the mean of nothing is NaN."""
        total, special, weights, count = self._sums
        if self._loss.reduction == "sum":
            return special or _rounded(total)
        divisor = count << _UNIT if self._loss.mean_over == "count" else weights
        if divisor == 0:
            return math.nan
        if special:
            return special
        rounded = _rounded(divisor)
        if not _ORDINARY[0] < rounded < _ORDINARY[1]:
            return _ratio(total, divisor)
        numerator, denominator = rounded.as_integer_ratio()
        lost = divisor - (numerator << _UNIT) // denominator
        result: float = _dispatch.kernels.quotient(_rounded(total), rounded, _rounded(lost))
        return result

    @property
    def weight(self) -> float:
        """The sum of the weights, and of the class weights of the targets: what the mean over weights divides by."""
        return _rounded(self._sums[2])

    @property
    def count(self) -> int:
        """The number of losses that were not ignored, those of weight 0 included."""
        return self._sums[3]

    def __repr__(self) -> str:
        name = type(self._loss).__name__
        return f"<Accumulator of {name}: value {self.value!r}, weight {self.weight!r}, count {self.count}>"


def _restore(loss: Any, sums: tuple[int, float, int, int]) -> Accumulator:
    result = Accumulator(loss)
    result._sums = sums
    return result


def _ratio(numerator: int, denominator: int) -> float:
    try:
        return numerator / denominator
    except OverflowError:
        return math.inf


def _rounded(units: int) -> float:
    return _ratio(units, 1 << _UNIT)
