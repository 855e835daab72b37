# pyright: strict
"""Code as users write it. Type checkers must find no error in it and agree with each `assert_type`; it also runs.

`tools/check_types.py` checks that. The lines that must fail are in mistakes.py.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar, assert_type

import numpy as np
from numpy.typing import NDArray

import cecore

# Short names for the types of arrays
Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]
Unknown = NDArray[Any]  # an array whose dtype the annotations do not tell
Reduction = Literal["mean", "sum", "none"]
Value = TypeVar("Value")

probs = np.array([0.9, 0.2, 0.6], np.float64)
rows = np.array([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25], [0.1, 0.1, 0.8]], np.float64)
logits, scores = 4 * probs - 2, 2 * rows
targets, labels = np.array([1, 0, 1], np.int64), np.array([0, 1, 2], np.int64)
weights = np.array([1.0, 2.0, 0.5], np.float64)
unknown: Unknown = probs  # an array of a library that does not tell its dtype
anything: Any = probs


def reduction_of(name: str) -> Reduction:
    return "sum" if name == "sum" else "none" if name == "none" else "mean"


some: Reduction = reduction_of("none")
number: Literal["mean", "sum"] = "mean" if len(probs) else "sum"


# ---------------------------------------------------------------- functions: the reduction decides

assert_type(cecore.binary_cross_entropy(probs, targets), float)
assert_type(cecore.binary_cross_entropy(probs, targets, reduction="mean"), float)
assert_type(cecore.binary_cross_entropy(probs, targets, reduction="sum"), float)
assert_type(cecore.binary_cross_entropy(probs, targets, reduction=number), float)
assert_type(cecore.binary_cross_entropy(probs, targets, reduction="none"), Unknown)
assert_type(cecore.binary_cross_entropy(probs, targets, reduction=some), float | Unknown)
assert_type(cecore.binary_cross_entropy(anything, anything), float)
assert_type(cecore.binary_cross_entropy(anything, anything, reduction="none"), Unknown)
assert_type(
    cecore.binary_cross_entropy(
        [0.9, 0.2],
        [True, False],
        sample_weight=[1, 2],
        reduction="sum",
        mean_over="count",
        label_smoothing=0.1,
        eps=0,
        gradient_outside="zero",
        pos_weight=2,
    ),
    float,
)

assert_type(cecore.binary_cross_entropy_with_logits(logits, targets), float)
assert_type(cecore.binary_cross_entropy_with_logits(logits, targets, reduction="mean"), float)
assert_type(cecore.binary_cross_entropy_with_logits(logits, targets, reduction="sum"), float)
assert_type(cecore.binary_cross_entropy_with_logits(logits, targets, reduction=number), float)
assert_type(cecore.binary_cross_entropy_with_logits(logits, targets, reduction="none"), Unknown)
assert_type(cecore.binary_cross_entropy_with_logits(logits, targets, reduction=some), float | Unknown)
assert_type(
    cecore.binary_cross_entropy_with_logits(
        logits,
        targets,
        sample_weight=weights > 0,
        mean_over="weights",
        label_smoothing=0.1,
        focal_gamma=2,
        pos_weight=[1, 2, 3],
    ),
    float,
)

assert_type(cecore.cross_entropy(rows, labels), float)
assert_type(cecore.cross_entropy(rows, labels, reduction="mean"), float)
assert_type(cecore.cross_entropy(rows, labels, reduction="sum"), float)
assert_type(cecore.cross_entropy(rows, labels, reduction=number), float)
assert_type(cecore.cross_entropy(rows, labels, reduction="none"), Unknown)
assert_type(cecore.cross_entropy(rows, labels, reduction=some), float | Unknown)
assert_type(
    cecore.cross_entropy(
        rows,
        labels,
        sample_weight=2,
        mean_over="count",
        label_smoothing=0.1,
        eps=1e-12,
        gradient_outside="clipped",
        class_weight=weights,
        ignore_index=-100,
        axis=-1,
    ),
    float,
)

assert_type(cecore.cross_entropy_with_logits(scores, labels), float)
assert_type(cecore.cross_entropy_with_logits(scores, labels, reduction="mean"), float)
assert_type(cecore.cross_entropy_with_logits(scores, labels, reduction="sum"), float)
assert_type(cecore.cross_entropy_with_logits(scores, labels, reduction=number), float)
assert_type(cecore.cross_entropy_with_logits(scores, labels, reduction="none"), Unknown)
assert_type(cecore.cross_entropy_with_logits(scores, labels, reduction=some), float | Unknown)
assert_type(
    cecore.cross_entropy_with_logits(
        scores, labels, label_smoothing=0.1, focal_gamma=0.5, class_weight=(1, 2, 3), ignore_index=None, axis=1
    ),
    float,
)


# ---------------------------------------------------------------- classes: made with each reduction

bce = cecore.BinaryCrossEntropy()
assert_type(bce, cecore.BinaryCrossEntropy[float])
assert_type(cecore.BinaryCrossEntropy(reduction="mean"), cecore.BinaryCrossEntropy[float])
assert_type(cecore.BinaryCrossEntropy(reduction="sum"), cecore.BinaryCrossEntropy[float])
assert_type(cecore.BinaryCrossEntropy(reduction=number, eps=0), cecore.BinaryCrossEntropy[float])
assert_type(cecore.BinaryCrossEntropy(reduction="none"), cecore.BinaryCrossEntropy[Unknown])
assert_type(cecore.BinaryCrossEntropy(reduction=some), cecore.BinaryCrossEntropy[float | Unknown])

bce_logits = cecore.BinaryCrossEntropyWithLogits(focal_gamma=2)
assert_type(bce_logits, cecore.BinaryCrossEntropyWithLogits[float])
assert_type(cecore.BinaryCrossEntropyWithLogits(reduction="mean"), cecore.BinaryCrossEntropyWithLogits[float])
assert_type(cecore.BinaryCrossEntropyWithLogits(reduction="sum"), cecore.BinaryCrossEntropyWithLogits[float])
assert_type(cecore.BinaryCrossEntropyWithLogits(reduction=number), cecore.BinaryCrossEntropyWithLogits[float])
assert_type(cecore.BinaryCrossEntropyWithLogits(reduction="none"), cecore.BinaryCrossEntropyWithLogits[Unknown])
assert_type(cecore.BinaryCrossEntropyWithLogits(reduction=some), cecore.BinaryCrossEntropyWithLogits[float | Unknown])

ce = cecore.CrossEntropy(class_weight=[1, 2, 3])
assert_type(ce, cecore.CrossEntropy[float])
assert_type(cecore.CrossEntropy(reduction="mean"), cecore.CrossEntropy[float])
assert_type(cecore.CrossEntropy(reduction="sum"), cecore.CrossEntropy[float])
assert_type(cecore.CrossEntropy(reduction=number), cecore.CrossEntropy[float])
assert_type(cecore.CrossEntropy(reduction="none"), cecore.CrossEntropy[Unknown])
assert_type(cecore.CrossEntropy(reduction=some), cecore.CrossEntropy[float | Unknown])

ce_logits = cecore.CrossEntropyWithLogits(ignore_index=-100)
assert_type(ce_logits, cecore.CrossEntropyWithLogits[float])
assert_type(cecore.CrossEntropyWithLogits(reduction="mean"), cecore.CrossEntropyWithLogits[float])
assert_type(cecore.CrossEntropyWithLogits(reduction="sum"), cecore.CrossEntropyWithLogits[float])
assert_type(cecore.CrossEntropyWithLogits(reduction=number), cecore.CrossEntropyWithLogits[float])
assert_type(cecore.CrossEntropyWithLogits(reduction="none"), cecore.CrossEntropyWithLogits[Unknown])
assert_type(cecore.CrossEntropyWithLogits(reduction=some), cecore.CrossEntropyWithLogits[float | Unknown])


# ---------------------------------------------------------------- methods

assert_type(bce(probs, targets), float)
assert_type(bce_logits(logits, targets), float)
assert_type(ce(rows, labels), float)
assert_type(ce_logits(scores, labels), float)
assert_type(ce_logits.forward(scores, labels, sample_weight=weights), float)
assert_type(bce(anything, anything), float)
assert_type(ce_logits.forward_backward(scores, labels)[0] + 1, float)

# The gradient has the dtype of the predictions, or an unknown dtype
assert_type(bce.backward(probs, targets, sample_weight=weights, upstream=2.0), Float64)
assert_type(bce.backward(probs.astype(np.float32), targets), Float32)
assert_type(bce.backward(probs.astype(np.float16), targets), NDArray[np.float16])
assert_type(bce.backward([0.9, 0.2], [1, 0]), Unknown)
assert_type(bce.backward(targets, targets), Unknown)
assert_type(bce.backward(unknown, targets), Unknown)
assert_type(bce.backward(anything, targets), Unknown)
assert_type(bce_logits.backward(logits, targets), Float64)
assert_type(ce.backward(rows, labels), Float64)
assert_type(ce_logits.backward(scores, labels, out=np.empty_like(scores)), Float64)

assert_type(bce.forward_backward(probs, targets), tuple[float, Float64])
assert_type(bce_logits.forward_backward(logits.astype(np.float32), targets), tuple[float, Float32])
assert_type(ce.forward_backward(rows, labels, sample_weight=weights), tuple[float, Float64])
assert_type(ce_logits.forward_backward(scores, labels, gradient_out=np.empty_like(scores)), tuple[float, Float64])
assert_type(bce.forward_backward(unknown, targets), tuple[float, Unknown])
assert_type(bce.forward_backward(anything, anything), tuple[float, Unknown])
assert_type(bce.forward_backward([0.9, 0.2], [1, 0]), tuple[float, Unknown])

assert_type(bce.gradient_hessian(probs, targets), tuple[Float64, Float64])
assert_type(bce_logits.gradient_hessian(logits, targets, sample_weight=weights), tuple[Float64, Float64])
assert_type(ce.gradient_hessian(rows, labels, gradient_out=np.empty((3, 3))), tuple[Float64, Float64])
assert_type(ce_logits.gradient_hessian(scores, labels, hessian_out=np.empty((3, 3))), tuple[Float64, Float64])
assert_type(bce.gradient_hessian(anything, anything), tuple[Unknown, Unknown])

# With reduction="none" the value is an array
each = cecore.CrossEntropyWithLogits(reduction="none")
assert_type(each(scores, labels), Unknown)
assert_type(each.forward(scores, labels, out=np.empty(3)), Unknown)
assert_type(each.backward(scores, labels, upstream=weights), Float64)
assert_type(each.forward_backward(scores, labels, loss_out=np.empty(3)), tuple[Unknown, Float64])
assert_type(each.gradient_hessian(scores, labels), tuple[Float64, Float64])

# A reduction that is known only when the code runs
either = cecore.CrossEntropyWithLogits(reduction=some)
assert_type(either(scores, labels), float | Unknown)
assert_type(either.forward_backward(scores, labels), tuple[float | Unknown, Float64])
assert_type(either.backward(scores, labels), Float64)


# ---------------------------------------------------------------- attributes, replace, identity

assert_type(bce.reduction, Reduction)
assert_type(bce.mean_over, Literal["weights", "count"])
assert_type(bce.label_smoothing, float)
assert_type(bce.eps, float)
assert_type(bce.gradient_outside, Literal["clipped", "zero"])
assert_type(bce.pos_weight, float | tuple[float, ...] | None)
assert_type(bce_logits.focal_gamma, float)
assert_type(bce_logits.pos_weight, float | tuple[float, ...] | None)
assert_type(ce.eps, float)
assert_type(ce.gradient_outside, Literal["clipped", "zero"])
assert_type(ce.class_weight, tuple[float, ...] | None)
assert_type(ce.ignore_index, int | None)
assert_type(ce.axis, int)
assert_type(ce_logits.focal_gamma, float)
assert_type(ce_logits.class_weight, tuple[float, ...] | None)
assert_type(ce_logits.ignore_index, int | None)
assert_type(ce_logits.axis, int)

assert_type(bce.replace(eps=0, pos_weight=2), cecore.BinaryCrossEntropy[float])
assert_type(bce.replace(reduction="sum"), cecore.BinaryCrossEntropy[float])
assert_type(bce.replace(reduction="none", label_smoothing=0.1).eps, float)
assert_type(bce.replace(reduction="none"), cecore.BinaryCrossEntropy[Unknown])
assert_type(bce.replace(reduction=some), cecore.BinaryCrossEntropy[float | Unknown])
assert_type(bce_logits.replace(focal_gamma=0), cecore.BinaryCrossEntropyWithLogits[float])
assert_type(bce_logits.replace(reduction="mean"), cecore.BinaryCrossEntropyWithLogits[float])
assert_type(bce_logits.replace(reduction="none"), cecore.BinaryCrossEntropyWithLogits[Unknown])
assert_type(bce_logits.replace(reduction=some), cecore.BinaryCrossEntropyWithLogits[float | Unknown])
assert_type(ce.replace(class_weight=None), cecore.CrossEntropy[float])
assert_type(ce.replace(reduction="mean", axis=-1), cecore.CrossEntropy[float])
assert_type(ce.replace(reduction="none"), cecore.CrossEntropy[Unknown])
assert_type(ce.replace(reduction=some), cecore.CrossEntropy[float | Unknown])
assert_type(each.replace(ignore_index=0), cecore.CrossEntropyWithLogits[Unknown])
assert_type(each.replace(reduction="sum"), cecore.CrossEntropyWithLogits[float])
assert_type(ce_logits.replace(reduction="none"), cecore.CrossEntropyWithLogits[Unknown])
assert_type(ce_logits.replace(reduction=some), cecore.CrossEntropyWithLogits[float | Unknown])

assert_type(bce == bce.replace(), bool)
assert_type(hash(bce), int)
assert_type(repr(bce), str)
by_loss: dict[cecore.Loss[float], str] = {bce: "binary", ce: "categorical"}
again: object = pickle.loads(pickle.dumps(bce))
assert again == bce


# ---------------------------------------------------------------- annotations

losses: list[cecore.Loss[float]] = [bce, bce_logits, cecore.CrossEntropy(), ce_logits]
arrays: cecore.Loss[Float64] = each
one: Callable[[Float64, NDArray[np.int64]], float] = ce
method: Callable[[Float64, NDArray[np.int64]], tuple[float, Float64]] = ce_logits.forward_backward


def improvement(loss: cecore.Loss[float], before: Float64, after: Float64, truth: Sequence[int]) -> float:
    return loss(before, truth) - loss(after, truth)


def value_of(loss: cecore.Loss[Value], x: Float64, truth: NDArray[np.int64]) -> Value:
    value, gradient = loss.forward_backward(x, truth)
    assert_type(gradient, Float64)
    return value


def strictest(loss: cecore.Loss[float]) -> cecore.Loss[float]:
    assert_type(loss.reduction, Reduction)
    assert_type(loss.replace(reduction="none"), cecore.Loss[Unknown])
    assert_type(loss.replace(reduction=some), cecore.Loss[float | Unknown])
    return loss.replace(label_smoothing=0.0, reduction="sum")


improvement(cecore.BinaryCrossEntropy(), np.array([0.5]), np.array([0.75]), [1])
assert_type(value_of(ce, rows, labels), float)
assert_type(value_of(each, scores, labels), Unknown)
assert_type(strictest(ce)(rows, labels), float)
if isinstance(losses[0], cecore.BinaryCrossEntropy):
    assert_type(losses[0].eps, float)


# ---------------------------------------------------------------- results passed on


def needs_float64(array: Float64) -> Float64:
    return array


def needs_float32(array: Float32) -> Float32:
    return array


def objective(truth: Float64, raw: Float64) -> tuple[Float64, Float64]:
    return bce_logits.gradient_hessian(raw, truth)


class Model:
    """Logistic regression."""

    def __init__(self, features: int) -> None:
        self.weights = np.zeros(features)
        self.bias = 0.0

    def step(self, x: Float64, truth: NDArray[np.int64], rate: float = 0.1) -> float:
        value, gradient = bce_logits.forward_backward(x @ self.weights + self.bias, truth)
        self.weights -= rate * (x.T @ gradient)
        self.weights = self.weights - rate * (x.T @ gradient)
        self.bias -= rate * gradient.sum()
        return value


assert_type(Model(3).step(scores, targets), float)
objective(np.array([1.0, 0.0]), np.array([0.5, -0.5]))
needs_float64(bce.backward(probs, targets))
needs_float64(each(scores, labels))
needs_float64(cecore.softmax(scores))
needs_float64(cecore.cross_entropy(rows, labels, reduction="none"))
needs_float32(each(scores.astype(np.float32), labels))
needs_float32(each.backward(scores.astype(np.float32), labels))
step = np.zeros((3, 3))
step -= 0.1 * ce_logits.backward(scores, labels)
step = step - 0.1 * ce_logits.backward(scores, labels)
step[0] = each(scores, labels)
total = 0.0
for loss in losses[2:]:
    total += loss(rows, labels)
worst: int = int(each(scores, labels).argmax())


# ---------------------------------------------------------------- activations

assert_type(cecore.sigmoid(logits), Float64)
assert_type(cecore.sigmoid(logits.astype(np.float32), out=np.empty(3, np.float32)), Float32)
assert_type(cecore.sigmoid([0.0, 1.0]), Unknown)
assert_type(cecore.sigmoid(0), Unknown)
assert_type(cecore.sigmoid(unknown), Unknown)
assert_type(cecore.sigmoid(anything), Unknown)
assert_type(cecore.log_sigmoid(logits), Float64)
assert_type(cecore.log_sigmoid([0.0, 1.0], out=np.empty(2)), Unknown)
assert_type(cecore.sigmoid_backward([1.0, 1.0, 1.0], probs), Float64)
assert_type(cecore.sigmoid_backward(probs, [0.5, 0.5, 0.5], out=np.empty(3)), Unknown)
assert_type(cecore.softmax(scores, axis=0), Float64)
assert_type(cecore.softmax([[0.0, 1.0]], axis=1, out=np.empty((1, 2))), Unknown)
assert_type(cecore.log_softmax(scores.astype(np.float32), axis=-1), Float32)
assert_type(cecore.log_softmax(labels, out=np.empty(3)), Unknown)
assert_type(cecore.softmax_backward(np.ones(3), probs, axis=0), Float64)
assert_type(cecore.softmax_backward(probs, [0.2, 0.3, 0.5], out=np.empty(3)), Unknown)


# ---------------------------------------------------------------- accumulators

first, second = ce.accumulator(), cecore.Accumulator(ce)
assert_type(first, cecore.Accumulator)
first.update(rows, labels)
second.update(rows, labels, weights)
second.update(rows, labels, sample_weight=weights)
first.merge(second)
first += second
assert_type(first.value, float)
assert_type(first.weight, float)
assert_type(first.count, int)
assert_type(first + second, cecore.Accumulator)
assert_type(sum([first, second], start=ce.accumulator()), cecore.Accumulator)
assert_type(sum([first, second]), cecore.Accumulator | Literal[0])  # of an empty list the sum is 0


# ---------------------------------------------------------------- threads, version, warnings

cecore.set_num_threads(2)
cecore.set_num_threads("auto")
assert_type(cecore.get_num_threads(), int)
with cecore.num_threads(1) as nothing:
    assert_type(nothing, None)
with cecore.num_threads("auto"):
    bce(probs, targets)
print_it: Callable[[], None] = cecore.show_config
assert_type(cecore.__version__, str)
with warnings.catch_warnings():
    warnings.simplefilter("error", cecore.InputWarning)
    bce(probs, targets)
kind: type[UserWarning] = cecore.InputWarning
