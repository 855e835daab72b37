# pyright: strict, reportUnusedExpression=false
# ruff: noqa: B018
"""Mistakes of users: type checkers must find an error in each line that has a comment, and in no other line.

`tools/check_types.py` checks that. The file is never run.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import cecore

probs = np.array([0.9, 0.2, 0.6], np.float64)
targets = np.array([1, 0, 1], np.int64)
rows, labels = np.array([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25], [0.1, 0.1, 0.8]], np.float64), targets
name = "".join(["mean"])

loss = cecore.BinaryCrossEntropy()
each = cecore.BinaryCrossEntropy(reduction="none")
ce = cecore.CrossEntropy()
total = ce.accumulator()
gradient, probabilities = loss.backward(probs, targets), cecore.softmax(rows)

# Options
cecore.BinaryCrossEntropy(reduction="nnone")  # mistake: no such reduction
cecore.BinaryCrossEntropy(reduction=None)  # mistake: the reduction is None, not "none"
cecore.BinaryCrossEntropy(reduction=name)  # mistake: a reduction that can be any string
cecore.BinaryCrossEntropy("sum")  # mistake: an option by position
cecore.BinaryCrossEntropy(epsilon=1e-7)  # mistake: an unknown option
cecore.BinaryCrossEntropy(axis=0)  # mistake: an option of the categorical losses
cecore.BinaryCrossEntropy(focal_gamma=2)  # mistake: an option of the losses on logits
cecore.BinaryCrossEntropyWithLogits(eps=0)  # mistake: an option of the losses on probabilities
cecore.CrossEntropyWithLogits(pos_weight=2)  # mistake: an option of the binary losses
cecore.BinaryCrossEntropy(gradient_outside="cut")  # mistake: a wrong gradient_outside
cecore.BinaryCrossEntropy(mean_over="rows")  # mistake: a wrong mean_over
cecore.BinaryCrossEntropy(eps=None)  # mistake: no number
cecore.BinaryCrossEntropy(label_smoothing="0.1")  # mistake: no number
cecore.CrossEntropy(axis="1")  # mistake: no integer
cecore.CrossEntropy(ignore_index=-100.0)  # mistake: no integer
cecore.CrossEntropy(class_weight={0: 1.0, 1: 2.0})  # mistake: a dict

# Functions
cecore.binary_cross_entropy(probs)  # mistake: no targets
cecore.binary_cross_entropy(probs, None)  # mistake: the targets are None
cecore.binary_cross_entropy(probs, targets, None, "sum")  # mistake: options by position
cecore.binary_cross_entropy(probs, targets, reduction="average")  # mistake: no such reduction
cecore.binary_cross_entropy(probs, targets, epsilon=0)  # mistake: an unknown option
cecore.binary_cross_entropy(logits=probs, targets=targets)  # mistake: the predictions are probabilities
cecore.binary_cross_entropy_with_logits(probs, targets, eps=0)  # mistake: an option of the losses on probabilities
cecore.cross_entropy(rows, labels, axis="1")  # mistake: no integer
cecore.cross_entropy(rows, labels, gradient_outside=True)  # mistake: a wrong gradient_outside
cecore.cross_entropy_with_logits(rows, labels, focal_gamma="2")  # mistake: no number
cecore.cross_entropy(rows, labels, reduction="none").value  # mistake: an array has no value
cecore.cross_entropy(rows, labels) + "text"  # mistake: a number and a string

# Methods
loss(probs, targets) + "text"  # mistake: a number and a string
loss(probs, targets).mean()  # mistake: a number has no mean
loss(probs)  # mistake: no targets
loss(predictions=probs, targets=targets)  # mistake: the predictions by keyword
loss(probs, targets, weights=probs)  # mistake: an unknown keyword
loss(probs, targets, probs)  # mistake: the weights by position
each(probs, targets, out=[0.0, 0.0, 0.0])  # mistake: an output that is a list
each(probs, targets, upstream=2.0)  # mistake: a keyword of backward
loss.backward(probs, targets, out=[0.0, 0.0, 0.0])  # mistake: an output that is a list
loss.backward(probs, targets, upstream=None)  # mistake: no upstream
loss.backward(probs, targets, gradient_out=probs)  # mistake: a keyword of forward_backward
loss.forward_backward(probs, targets, out=probs)  # mistake: a keyword of forward
loss.forward_backward(probs, targets).backward()  # mistake: a tuple has no backward
loss.gradient_hessian(probs, targets, hessian_out=True)  # mistake: an output that is no array
loss.gradients(probs, targets)  # mistake: no such method
each.accumulator()  # mistake: no sum without a reduction
value: float = each(probs, targets)  # mistake: an array as a number
array: NDArray[np.float64] = loss(probs, targets)  # mistake: a number as an array
single: NDArray[np.float32] = gradient  # mistake: another dtype
number: cecore.Loss[float] = each  # mistake: a loss without a reduction

# Attributes
loss.reduction = "sum"  # mistake: an attribute cannot be set
loss.eps = 0.0  # mistake: an attribute cannot be set
ce.axis = 1  # mistake: an attribute cannot be set
loss.focal_gamma  # mistake: an attribute of the losses on logits
loss.reduction + 1  # mistake: a string and a number
loss.replace(reduction="nnone")  # mistake: no such reduction
loss.replace(epsilon=0)  # mistake: an unknown option
loss.replace(axis=1)  # mistake: an option of the categorical losses
loss.replace(1e-7)  # mistake: an option by position

# Activations
cecore.softmax(rows, axis="1")  # mistake: no integer
cecore.softmax(rows, 1)  # mistake: the axis by position
cecore.softmax(rows, out=[[0.0]])  # mistake: an output that is a list
cecore.sigmoid(rows, axis=0)  # mistake: sigmoid has no axis
cecore.sigmoid(rows, rows)  # mistake: the output by position
cecore.log_softmax()  # mistake: no logits
cecore.log_sigmoid(None)  # mistake: no numbers
cecore.sigmoid_backward(rows)  # mistake: no outputs of sigmoid
cecore.softmax_backward(rows, rows, axes=1)  # mistake: an unknown keyword
half: NDArray[np.float16] = probabilities  # mistake: another dtype

# Accumulators
cecore.Accumulator(each)  # mistake: no sum without a reduction
total.update(rows)  # mistake: no targets
total.merge(ce)  # mistake: a loss in place of an accumulator
total + 1  # mistake: an accumulator and a number
total.value = 0.0  # mistake: an attribute cannot be set
total.count + "text"  # mistake: a number and a string

# Threads and the module
cecore.set_num_threads("four")  # mistake: a string other than "auto"
cecore.set_num_threads(1.5)  # mistake: no integer
cecore.num_threads(None)  # mistake: no integer
cecore.get_num_threads() + "text"  # mistake: a number and a string
cecore.crossentropy(rows, labels)  # mistake: no such name
cecore.__version__ + 1  # mistake: a string and a number
