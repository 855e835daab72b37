"""Exact sums of losses over several batches. The order of the batches does not change the sums."""

from __future__ import annotations

import math
import os
import threading
from typing import TYPE_CHECKING, Any

from . import _checks, _dispatch

if TYPE_CHECKING:  # only type checkers need these, and importing numpy.typing takes a millisecond
    from numpy.typing import ArrayLike

    from .losses import Loss

_UNIT = 1074  # sums are integers in units of 2 ** -1074, the smallest positive float64
_OVERFLOW = (1 << 1024) - (1 << 970) << _UNIT  # sums from here on are rounded to infinity

# Of all accumulators, and held for a few steps only. A fork waits for it, so that no child finds it locked for ever.
_lock = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class Accumulator:
    """Exact sums of a loss over several batches. `Loss.accumulator` makes an empty accumulator.

    The method `update` adds the losses of a batch, and `merge` adds another accumulator. The properties `value`,
    `weight` and `count` are the results. The sums are exact: updates and merges give bit for bit the same results in
    any order and in any number of processes. The built-in function `sum` adds several accumulators. An accumulator can
    be pickled. Several threads can update the same accumulator at once.

    Parameters
    ----------
    loss : Loss
        The loss to add up, with reduction ``"mean"`` or ``"sum"``.

    Raises
    ------
    ValueError
        If the reduction of the loss is ``"none"``.
    TypeError
        If `loss` is not a loss object.

    Notes
    -----
    The losses of a batch are summed in blocks. The sum of a block is rounded in the same way as in `Loss.forward`. The
    sum over all blocks is an integer of some 2,000 bits. It is rounded once, when `value` is read. After one update,
    `value` is bit for bit the result of `Loss.forward`. (For float32 and smaller types, the sum of the weights must be
    between 1e-30 and 1e30.)

    Examples
    --------
    >>> import cecore
    >>> loss = cecore.BinaryCrossEntropy()
    >>> first, second = loss.accumulator(), loss.accumulator()
    >>> first.update([0.9, 0.2], [1, 0])
    >>> second.update([0.6], [1])  # perhaps in another process
    >>> sum([first, second])
    <Accumulator of BinaryCrossEntropy: value 0.2797765635793423, weight 3.0, count 3>
    >>> first.merge(second)
    >>> first.value == loss([0.9, 0.2, 0.6], [1, 0, 1])
    True
    """

    __slots__ = ("_loss", "_sums")

    def __init__(self, loss: Loss[float]) -> None:
        if not isinstance(getattr(loss, "_packed", None), bytes):
            raise TypeError(f"loss = {loss!r} is not a loss: pass an object such as CrossEntropy()")
        if loss.reduction == "none":
            raise ValueError(
                "a loss with reduction='none' has no sum to accumulate: use reduction='mean' or reduction='sum'"
            )
        self._loss = loss
        # Four sums: the finite losses (exact), the infinite and NaN losses, the weights (exact), the number of losses
        self._sums: tuple[int, float, int, int] = (0, 0.0, 0, 0)

    def update(self, predictions: ArrayLike, /, targets: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        """Add the losses of one batch.

        Parameters
        ----------
        predictions : array_like
            Probabilities for `BinaryCrossEntropy` and `CrossEntropy`, logits for the two losses on logits. A binary
            loss takes any shape. A categorical loss takes an array with the classes along the axis that its option
            `axis` sets.
        targets : array_like
            A binary loss takes labels 0 and 1, or probabilities of class 1, in the shape of the predictions. A
            categorical loss takes class labels or distributions. The class labels are 0 to C-1, in the shape of the
            predictions without `axis`. The distributions, one per row, have the shape of the predictions.
        sample_weight : array_like, optional
            Finite weights >= 0. Pass a single number, or an array with one weight per loss. The array must have as many
            dimensions as the losses, and its axes of length 1 are broadcast. A bool array is a mask.

        Raises
        ------
        ValueError
            If a value is outside its domain, if shapes do not match, or if the sum of the weights, by which the mean
            divides, overflows. The accumulator is then unchanged.
        TypeError
            If an array does not hold real numbers.

        Warns
        -----
        InputWarning
            `BinaryCrossEntropy`: if predictions and targets look swapped. `CrossEntropy`: if the first row that counts
            does not sum to 1.
        """
        self._add(self._loss._exact_sums(predictions, targets, sample_weight))

    def merge(self, other: Accumulator) -> None:
        """Add the sums of another accumulator of the same loss.

        Parameters
        ----------
        other : Accumulator
            The accumulator to add. It stays unchanged.

        Raises
        ------
        ValueError
            If `other` belongs to a different loss, or to the same loss with different options, or if the sum of the
            weights, by which the mean divides, overflows.
        TypeError
            If `other` is not an accumulator.
        """
        if not isinstance(other, Accumulator):
            raise TypeError(f"other has type {type(other).__name__}: expected an Accumulator")
        if other._loss != self._loss:
            raise ValueError(f"other adds up {other._loss}: expected {self._loss}, the same loss and options")
        self._add(other._sums)

    def _add(self, sums: tuple[int, float, int, int]) -> None:
        while True:
            a, b = self._sums, sums
            total = a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]
            if total[2] >= _OVERFLOW and self._loss.reduction == "mean" and self._loss.mean_over == "weights":
                raise ValueError(_checks.WEIGHTS_TOO_LARGE)
            with _lock:
                if self._sums is a:  # no other thread, and no signal handler of this one, has added anything
                    self._sums = total
                    return

    def __add__(self, other: Accumulator) -> Accumulator:
        if not isinstance(other, Accumulator):
            return NotImplemented
        result = _restore(self._loss, self._sums)
        result.merge(other)
        return result

    def __radd__(self, other: int) -> Accumulator:  # the 0 with which `sum` starts
        if type(other) is not int or other != 0:
            return NotImplemented
        return _restore(self._loss, self._sums)

    def __reduce__(self) -> Any:
        return _restore, (self._loss, self._sums)

    @property
    def value(self) -> float:
        """The mean or the sum of all losses so far, depending on the reduction of the loss.

        If the divisor of the mean is 0, the mean is NaN.
        """
        total, special, weights, count = self._sums
        divisor = None
        if self._loss.reduction == "mean":
            divisor = count << _UNIT if self._loss.mean_over == "count" else weights
        if divisor == 0:
            return math.nan
        return special or _dispatch.kernels.rounded(total, divisor)

    @property
    def weight(self) -> float:
        """The sum of the weights (sample weight times class weight), the default divisor of the mean."""
        return _dispatch.kernels.rounded(self._sums[2])

    @property
    def count(self) -> int:
        """The number of losses that were not ignored. Losses with weight 0 are counted."""
        return self._sums[3]

    def __repr__(self) -> str:
        name = type(self._loss).__name__
        return f"<Accumulator of {name}: value {self.value!r}, weight {self.weight!r}, count {self.count}>"


def _restore(loss: Loss[float], sums: tuple[int, float, int, int]) -> Accumulator:
    result = Accumulator(loss)
    # Refuse a pickle that cecore did not write. No sum is negative, and the second one is 0, infinite or NaN.
    known = type(sums) is tuple and tuple(map(type, sums)) == (int, float, int, int)
    if not known or min(sums[0], sums[2], sums[3]) < 0 or sums[1] < 0 or 0 < sums[1] < math.inf:
        raise ValueError("the sums of an accumulator: expected three integers >= 0 and a float, as in its pickle")
    result._add(sums)
    return result
