"""Errors that help: the full text of each message, the code that it suggests, and the few frames of its traceback."""

from __future__ import annotations

import fractions
import math
import re
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

import cecore

pytestmark = pytest.mark.usefixtures("level")
PAGE = Path(__file__).parents[1] / "docs" / "mistakes.md"


@dataclass(frozen=True)
class Mistake:
    arrays: str  # statements that make the arrays of the call
    call: str
    error: type[Exception]
    message: str
    fixes: dict[str, str] = field(default_factory=dict)  # code in the message: the call with this code pasted into it
    needs: str = ""  # a library

    def __str__(self):
        return f"{self.arrays}; {self.call}"


class Tensor:
    """As a tensor of PyTorch: memory on a device, and a gradient that may be recorded."""

    def __init__(self, values, requires_grad=False, device="cpu"):
        self.values, self.requires_grad = np.asarray(values), requires_grad
        self.device = type("Device", (), {"type": device, "__str__": lambda self: f"{device}:0"})()

    def detach(self):
        return Tensor(self.values, False, self.device.type)

    def cpu(self):
        return Tensor(self.values, self.requires_grad)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


class Array:
    """As an array of dask, which is computed when it is read; also as one of xarray, which may be in memory."""

    def __init__(self, values, graph):
        self.values, self.graph = np.asarray(values), graph

    def __dask_graph__(self):
        return self.graph

    def compute(self):
        return self.values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


class Sparse:
    """As a sparse matrix of SciPy, which NumPy takes for a single object."""

    def __init__(self, values):
        self.values = values

    def toarray(self):
        return np.array(self.values)


class Refusing:
    """As an array that is not in main memory."""

    def __array__(self, dtype=None, copy=None):
        raise TypeError("use .get()")


NAMES = {"np": np, "math": math, "fractions": fractions, "cecore": cecore}
NAMES |= {kind.__name__: kind for kind in (Tensor, Array, Sparse, Refusing)}
NAMES |= {name: getattr(cecore, name) for name in cecore.__all__}

# The mistakes of users, in the order of docs/mistakes.md. Numbers mark the common mistakes with which the list began.
P2 = "probs, targets = np.array([0.5, 0.25]), np.array([0, 1])"
Z2 = "logits, targets = np.array([0.5, -2.0]), np.array([0, 1])"
ROWS = "probs = np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]])"
LABELS = f"{ROWS}; targets = np.array([0, 2])"
SCORES = "logits = np.array([[0.5, -1.0, 2.0], [3.0, 0.2, 0.0]])"
BCE, BCE_LOGITS = "binary_cross_entropy(probs, targets)", "binary_cross_entropy_with_logits(logits, targets)"
CE, CE_LOGITS = "cross_entropy(probs, targets)", "cross_entropy_with_logits(logits, targets)"
RULE = "weights must be finite and >= 0. To exclude a sample, use 0"
INDEXES = "have different indexes: cecore takes values by position. Pass"
BINARY_OPTIONS = "reduction, mean_over, label_smoothing, eps, gradient_outside, pos_weight"

SHAPES = [
    Mistake(  # 1
        "probs, targets = np.full((3, 2), 0.5), [0, 1, 1]",
        BCE,
        ValueError,
        "probs has shape (3, 2), targets has shape (3,): a binary loss needs equal shapes. Pass probs[:, 1], or use "
        "CrossEntropy for one column per class",
        {
            "probs[:, 1]": "binary_cross_entropy(probs[:, 1], targets)",
            "CrossEntropy": "CrossEntropy()(probs, targets)",
        },
    ),
    Mistake(
        "logits, targets = np.zeros((3, 2)), [0, 1, 1]",
        BCE_LOGITS,
        ValueError,
        "logits has shape (3, 2), targets has shape (3,): a binary loss needs equal shapes. Use CrossEntropyWithLogits "
        "for one column per class",
        {"CrossEntropyWithLogits": "CrossEntropyWithLogits()(logits, targets)"},
    ),
    Mistake(
        "probs, targets = np.full((2, 4, 2), 0.5), np.ones((2, 4), int)",
        BCE,
        ValueError,
        "probs has shape (2, 4, 2), targets has shape (2, 4): a binary loss needs equal shapes. Pass probs[:, :, 1], "
        "or use CrossEntropy for one column per class",
        {"probs[:, :, 1]": "binary_cross_entropy(probs[:, :, 1], targets)"},
    ),
    Mistake(
        "probs, targets = np.full((3, 4), 0.25), [0, 1, 1]",
        BCE,
        ValueError,
        "probs has shape (3, 4), targets has shape (3,): a binary loss needs equal shapes. Use CrossEntropy for one "
        "column per class",
        {"CrossEntropy": "CrossEntropy()(probs, targets)"},
    ),
    Mistake(
        "probs, targets = np.array([0.5, 0.5, 0.5]), np.eye(2)[[0, 1, 1]]",
        BCE,
        ValueError,
        "probs has shape (3,), targets has shape (3, 2): a binary loss needs equal shapes. If targets are one-hot, "
        "pass targets[:, 1]. If the arguments are swapped, predictions come first: cross_entropy(probs, targets)",
        {"targets[:, 1]": "binary_cross_entropy(probs, targets[:, 1])"},
    ),
    Mistake(
        "logits, targets = np.array([0, 1, 1]), np.full((3, 4), 0.25)",
        BCE_LOGITS,
        ValueError,
        "logits has shape (3,), targets has shape (3, 4): a binary loss needs equal shapes. Are the arguments swapped? "
        "Predictions come first: cross_entropy_with_logits(logits, targets)",
        {
            "cross_entropy_with_logits(logits, targets)": "logits, targets = targets, logits; "
            "cross_entropy_with_logits(logits, targets)"
        },
    ),
    Mistake(  # 2
        "probs, targets = np.full((3, 1), 0.5), [0, 1, 1]",
        BCE,
        ValueError,
        "probs has shape (3, 1), targets has shape (3,): expected equal shapes (cecore does not broadcast). "
        "Pass probs[:, 0]",
        {"probs[:, 0]": "binary_cross_entropy(probs[:, 0], targets)"},
    ),
    Mistake(
        "logits, targets = np.zeros(3), np.array([[0], [1], [1]])",
        BCE_LOGITS,
        ValueError,
        "logits has shape (3,), targets has shape (3, 1): expected equal shapes (cecore does not broadcast). "
        "Pass targets[:, 0]",
        {"targets[:, 0]": "binary_cross_entropy_with_logits(logits, targets[:, 0])"},
    ),
    Mistake(
        "logits, targets = np.zeros((2, 3, 4, 1)), np.zeros((2, 3, 4))",
        BCE_LOGITS,
        ValueError,
        "logits has shape (2, 3, 4, 1), targets has shape (2, 3, 4): expected equal shapes (cecore does not "
        "broadcast). Pass logits[..., 0]",
        {"logits[..., 0]": "binary_cross_entropy_with_logits(logits[..., 0], targets)"},
    ),
    Mistake(
        "probs, targets = np.array([0.5]), 1",
        BCE,
        ValueError,
        "probs has shape (1,), targets has shape (): expected equal shapes (cecore does not broadcast). Pass probs[0]",
        {"probs[0]": "binary_cross_entropy(probs[0], targets)"},
    ),
    Mistake(
        "probs, targets = [0.5, 0.5, 0.5], [0, 1]",
        BCE,
        ValueError,
        "probs has shape (3,), targets has shape (2,): expected equal shapes (cecore does not broadcast)",
    ),
    Mistake(  # 12
        "probs, targets = np.full((2, 3, 4, 4), 1 / 3), np.zeros((2, 4, 4), int)",
        CE,
        ValueError,
        "targets has shape (2, 4, 4), but with the classes on axis -1 of probs (2, 3, 4, 4) labels need shape "
        "(2, 3, 4). These targets fit axis=1: pass axis=1",
        {"axis=1": "cross_entropy(probs, targets, axis=1)"},
    ),
    Mistake(
        "logits, targets = np.zeros((2, 3, 3)), np.zeros((2, 3), int)",
        "cross_entropy_with_logits(logits, targets, axis=0)",
        ValueError,
        "targets has shape (2, 3), but with the classes on axis 0 of logits (2, 3, 3) labels need shape (3, 3). These "
        "targets fit axis=1 and axis=2: pass the one that holds the classes",
        {"axis=2": "cross_entropy_with_logits(logits, targets, axis=2)"},
    ),
    Mistake(
        f"{ROWS}; targets = np.array([[0], [2]])",
        CE,
        ValueError,
        "targets has shape (2, 1), probs has shape (2, 3): expected (2,) for class labels or (2, 3) for distributions. "
        "If these are class labels, pass targets[:, 0]",
        {"targets[:, 0]": "cross_entropy(probs, targets[:, 0])"},
    ),
    Mistake(
        "logits, targets = np.zeros((2, 3, 4)), np.zeros((2, 1, 4), int)",
        "cross_entropy_with_logits(logits, targets, axis=1)",
        ValueError,
        "targets has shape (2, 1, 4), logits has shape (2, 3, 4): expected (2, 4) for class labels or (2, 3, 4) for "
        "distributions. If these are class labels, pass targets[:, 0, :]",
        {"targets[:, 0, :]": "cross_entropy_with_logits(logits, targets[:, 0, :], axis=1)"},
    ),
    Mistake(
        f"{ROWS}; targets = [0, 1, 2, 0]",
        CE,
        ValueError,
        "targets has shape (4,), probs has shape (2, 3): expected (2,) for class labels or (2, 3) for distributions",
    ),
    Mistake(  # 13
        "probs, targets = np.array([[0.5, 0.5]]), np.array([[1, 0, 0]])",
        CE,
        ValueError,
        "targets has 3 columns, but probs has 2 classes: expected shape (1, 2), or (1,) for class labels",
        {"(1, 2)": "cross_entropy(probs, np.ones((1, 2)))", "(1,)": "cross_entropy(probs, np.ones((1,), int))"},
    ),
    Mistake(  # 14
        "probs, targets = np.array([0, 2]), np.full((2, 3), 1 / 3)",
        CE,
        ValueError,
        "targets has shape (2, 3), probs has shape (2,). Predictions come first: cross_entropy(probs, targets)",
        {"cross_entropy(probs, targets)": "probs, targets = targets, probs; cross_entropy(probs, targets)"},
    ),
    Mistake(
        "logits, targets = np.array([0, 2]), np.zeros((2, 3))",
        CE_LOGITS,
        ValueError,
        "targets has shape (2, 3), logits has shape (2,). Predictions come first: "
        "cross_entropy_with_logits(logits, targets)",
        {
            "cross_entropy_with_logits(logits, targets)": "logits, targets = targets, logits; "
            "cross_entropy_with_logits(logits, targets)"
        },
    ),
    Mistake(
        "probs, targets = 0.5, 0",
        CE,
        ValueError,
        "probs has shape (): expected at least one dimension, the classes",
    ),
    Mistake(
        "logits, targets = np.zeros((2, 0)), [0, 0]",
        CE_LOGITS,
        ValueError,
        "logits has shape (2, 0): expected at least one class along axis 1",
    ),
    Mistake(
        LABELS,
        "cross_entropy(probs, targets, axis=2)",
        ValueError,
        "axis = 2 is out of range: probs has shape (2, 3), expected -2..1",
    ),
    Mistake(
        "x = [2.0, 1.0]",
        "softmax(x, axis=1)",
        ValueError,
        "axis = 1 is out of range: x has shape (2,), expected -1..0",
    ),
    Mistake(
        "u, s = [1.0, 2.0, 3.0], [0.5, 0.5]",
        "softmax_backward(u, s)",
        ValueError,
        "upstream has shape (3,): expected (2,), the shape of softmax_output",
    ),
]

VALUES = [
    Mistake(  # 3
        f"{ROWS}; targets = np.array([1, 3])",
        CE,
        ValueError,
        "targets[1] = 3 is not a class label: expected 0..2. If your labels start at 1, pass targets - 1",
        {"targets - 1": "cross_entropy(probs, targets - 1)"},
    ),
    Mistake(
        "logits, targets = np.zeros((2, 3, 4)), np.array([[0, 1, 2, 0], [1, 1, 3, 2]])",
        "cross_entropy_with_logits(logits, targets, axis=1)",
        ValueError,
        "targets[1, 2] = 3 is not a class label: expected 0..2. Labels 0 and 3 both occur: are there 4 classes?",
    ),
    Mistake(
        "probs, targets = np.array([[1.0], [1.0]]), np.array([0, 1])",
        "cross_entropy(probs, targets)",
        ValueError,
        "targets[1] = 1 is not a class label: expected 0..0. probs has one class; for one number per sample use "
        "BinaryCrossEntropy",
    ),
    Mistake(
        "logits, targets = np.array([[1.0], [1.0]]), np.array([0, 1])",
        "cross_entropy_with_logits(logits, targets)",
        ValueError,
        "targets[1] = 1 is not a class label: expected 0..0. logits has one class; for one number per sample use "
        "BinaryCrossEntropyWithLogits",
    ),
    Mistake(
        f"{ROWS}; targets = [1, 7]",
        CE,
        ValueError,
        "targets[1] = 7 is not a class label: expected 0..2",
    ),
    Mistake(  # 4
        f"{ROWS}; targets = [1, -100]",
        CE,
        ValueError,
        "targets[1] = -100 is not a class label: expected 0..2. To skip such rows, set ignore_index=-100 (the default "
        "here is None)",
        {"ignore_index=-100": "cross_entropy(probs, targets, ignore_index=-100)"},
    ),
    Mistake(
        f"{SCORES}; targets = [-1, 0]",
        CE_LOGITS,
        ValueError,
        "targets[0] = -1 is not a class label: expected 0..2. To skip such rows, set ignore_index=-1 (the default here "
        "is None)",
        {"ignore_index=-1": "cross_entropy_with_logits(logits, targets, ignore_index=-1)"},
    ),
    Mistake(
        "logits, targets = np.zeros((2, 3, 2)), np.array([[0, 1], [255, 2]], np.uint8)",
        "cross_entropy_with_logits(logits, targets, axis=1)",
        ValueError,
        "targets[1, 0] = 255 is not a class label: expected 0..2. To skip such rows, set ignore_index=255 (the default "
        "here is None)",
        {"ignore_index=255": "cross_entropy_with_logits(logits, targets, axis=1, ignore_index=255)"},
    ),
    Mistake(
        f"{ROWS}; targets = [0, 1000]",
        "cross_entropy(probs, targets, ignore_index=-100)",
        ValueError,
        "targets[1] = 1000 is not a class label: expected 0..2 or ignore_index -100",
    ),
    Mistake(
        f"{ROWS}; targets = np.array([1.0, np.nan])",
        CE,
        ValueError,
        "targets[1] = nan is not a class label: expected 0..2. Drop rows without a label, or give them sample_weight 0",
        {"sample_weight": "cross_entropy(probs, targets, sample_weight=~np.isnan(targets))"},
    ),
    Mistake(  # 34
        "probs, targets = np.array([[0.5, 0.5]]), np.array([0.5])",
        CE,
        ValueError,
        "targets[0] = 0.5 is not a whole number: expected a class label 0..1. For probabilities, pass one column per "
        "class: shape (1, 2)",
        {"(1, 2)": "targets = np.stack([1 - targets, targets], -1); assert targets.shape == (1, 2); " + CE},
    ),
    Mistake(
        "logits, targets = np.zeros((2, 3, 2)), np.full((2, 2), 0.5)",
        "cross_entropy_with_logits(logits, targets, axis=1)",
        ValueError,
        "targets[0, 0] = 0.5 is not a whole number: expected a class label 0..2. For probabilities, pass one number "
        "per class: shape (2, 3, 2)",
        {"(2, 3, 2)": "cross_entropy_with_logits(logits, np.full((2, 3, 2), 1 / 3), axis=1)"},
    ),
    Mistake(  # 5
        "probs, targets = np.array([0.5, 0.25]), np.array([1, -1])",
        BCE,
        ValueError,
        "targets[1] = -1 is outside [0, 1]. If your labels are -1 and +1, pass (targets + 1) / 2",
        {"(targets + 1) / 2": "binary_cross_entropy(probs, (targets + 1) / 2)"},
    ),
    Mistake(
        "logits, targets = np.array([0.5, -2.0]), np.array([1.0, -1.0])",
        BCE_LOGITS,
        ValueError,
        "targets[1] = -1.0 is outside [0, 1]. If your labels are -1 and +1, pass (targets + 1) / 2",
        {"(targets + 1) / 2": "binary_cross_entropy_with_logits(logits, (targets + 1) / 2)"},
    ),
    Mistake(  # 6
        "probs, targets = np.array([0.5, 0.25]), np.array([255, 0], np.uint8)",
        BCE,
        ValueError,
        "targets[0] = 255 is outside [0, 1]. For a mask of 0 and 255, pass targets > 0",
        {"targets > 0": "binary_cross_entropy(probs, targets > 0)"},
    ),
    Mistake(
        "logits, targets = np.array([0.5, -2.0]), np.array([2, 1])",
        BCE_LOGITS,
        ValueError,
        "targets[0] = 2 is outside [0, 1]. If your labels are 1 and 2, pass targets - 1; for more classes, use "
        "CrossEntropyWithLogits",
        {"targets - 1": "binary_cross_entropy_with_logits(logits, targets - 1)"},
    ),
    Mistake(
        "probs, targets = np.array([0.5, 0.25]), np.array([3, 1])",
        BCE,
        ValueError,
        "targets[0] = 3 is outside [0, 1]. A binary loss takes labels 0 and 1, or probabilities",
    ),
    Mistake(
        "probs, targets = np.array([0.5, 0.25]), np.array([80, 5])",
        BCE,
        ValueError,
        "targets[0] = 80 is outside [0, 1]. If these are percentages, pass targets / 100",
        {"targets / 100": "binary_cross_entropy(probs, targets / 100)"},
    ),
    Mistake(  # 9
        "probs, targets = np.array([90, 20]), np.array([1, 0])",
        BCE,
        ValueError,
        "probs[0] = 90 is outside [0, 1]. If these are percentages, pass probs / 100; if they are logits, use "
        "BinaryCrossEntropyWithLogits",
        {
            "probs / 100": "binary_cross_entropy(probs / 100, targets)",
            "BinaryCrossEntropyWithLogits": "BinaryCrossEntropyWithLogits()(probs, targets)",
        },
    ),
    Mistake(  # 10
        "probs, targets = np.array([[2.0, -1.0]]), [0]",
        CE,
        ValueError,
        "probs[0, 0] = 2.0 is outside [0, 1]. If these are logits, use CrossEntropyWithLogits",
        {"CrossEntropyWithLogits": "CrossEntropyWithLogits()(probs, targets)"},
    ),
    Mistake(
        "probs, targets = np.array([-3.0, 0.5]), [0, 1]",
        BCE,
        ValueError,
        "probs[0] = -3.0 is outside [0, 1]. If these are logits, use BinaryCrossEntropyWithLogits",
        {"BinaryCrossEntropyWithLogits": "BinaryCrossEntropyWithLogits()(probs, targets)"},
    ),
    Mistake(
        "probs = np.full((2, 3, 4), 1 / 3); probs[1, 2, 3] = 7.0; targets = np.full((2, 4), 2)",
        "cross_entropy(probs, targets, axis=1)",
        ValueError,
        "probs[1, 2, 3] = 7.0 is outside [0, 1]. If these are logits, use CrossEntropyWithLogits",
        {"CrossEntropyWithLogits": "CrossEntropyWithLogits(axis=1)(probs, targets)"},
    ),
    Mistake(
        "logits = np.array([[1.0, 0.0], [0.0, 1.0]]); targets = np.array([[2.5, -1.5], [0.5, 0.5]])",
        CE_LOGITS,
        ValueError,
        "targets[0, 0] = 2.5 is outside [0, 1]. Are the arguments swapped? Predictions come first: "
        "cross_entropy_with_logits(logits, targets)",
        {
            "cross_entropy_with_logits(logits, targets)": "logits, targets = targets, logits; "
            "cross_entropy_with_logits(logits, targets)"
        },
    ),
    Mistake(
        "logits, targets = np.array([0, 1]), np.array([-1.5, 2.5])",
        BCE_LOGITS,
        ValueError,
        "targets[0] = -1.5 is outside [0, 1]. Are the arguments swapped? Predictions come first: "
        "binary_cross_entropy_with_logits(logits, targets)",
        {
            "binary_cross_entropy_with_logits(logits, targets)": "logits, targets = targets, logits; "
            "binary_cross_entropy_with_logits(logits, targets)"
        },
    ),
    Mistake(
        f"{ROWS}; targets = np.array([[0.5, 1.5, 0], [0, 1, 0]])",
        CE,
        ValueError,
        "targets[0, 1] = 1.5 is outside [0, 1]",
    ),
    Mistake(  # 11
        "probs, targets = np.array([[1.000001, 0.0]]), [0]",
        CE,
        ValueError,
        "probs[0, 0] = 1.000001 is just outside [0, 1], by more than rounding explains. If it comes from arithmetic of "
        "yours, pass np.clip(probs, 0, 1)",
        {"np.clip(probs, 0, 1)": "cross_entropy(np.clip(probs, 0, 1), targets)"},
    ),
    Mistake(
        "probs, targets = np.array([0.5, -1e-9]), [0, 1]",
        BCE,
        ValueError,
        "probs[1] = -1e-09 is just outside [0, 1], by more than rounding explains. If it comes from arithmetic of "
        "yours, pass np.clip(probs, 0, 1)",
        {"np.clip(probs, 0, 1)": "binary_cross_entropy(np.clip(probs, 0, 1), targets)"},
    ),
    Mistake(
        "logits, targets = np.array([0.5, 0.0]), np.array([1.0000001, 0])",
        BCE_LOGITS,
        ValueError,
        "targets[0] = 1.0000001 is just outside [0, 1], by more than rounding explains. If it comes from arithmetic of "
        "yours, pass np.clip(targets, 0, 1)",
        {"np.clip(targets, 0, 1)": "binary_cross_entropy_with_logits(logits, np.clip(targets, 0, 1))"},
    ),
]

TYPES = [
    Mistake(  # 7
        "probs, targets = np.array([0.5, 0.25]), ['spam', 'ham']",
        BCE,
        TypeError,
        "targets holds strings (dtype <U4): expected numbers. Encode them: classes, targets = np.unique(targets, "
        "return_inverse=True)",
        {
            "classes, targets = np.unique(targets, return_inverse=True)": "classes, targets = np.unique(targets, "
            "return_inverse=True); binary_cross_entropy(probs, targets)"
        },
    ),
    Mistake(
        f"{SCORES}; targets = np.array(['cat', 'dog'], object)",
        CE_LOGITS,
        TypeError,
        "targets holds strings (dtype object, targets[0] = 'cat'): expected numbers. Encode them: classes, targets = "
        "np.unique(targets, return_inverse=True)",
        {
            "classes, targets = np.unique(targets, return_inverse=True)": "classes, targets = np.unique(targets, "
            "return_inverse=True); cross_entropy_with_logits(logits, targets)"
        },
    ),
    Mistake(
        f"{ROWS}; targets = ['cat', None]",
        CE,
        TypeError,
        "targets holds strings (dtype object, targets[0] = 'cat'): expected numbers. Fill missing values, then encode "
        "them: classes, targets = np.unique(targets, return_inverse=True)",
        {
            "classes, targets = np.unique(targets, return_inverse=True)": "targets = ['cat', 'none']; "
            "classes, targets = np.unique(targets, return_inverse=True); cross_entropy(probs, targets)"
        },
    ),
    Mistake(
        "probs, targets = ['0.5', '0.25'], [0, 1]",
        BCE,
        TypeError,
        "probs holds strings (dtype <U4): expected numbers. Convert them: np.array(probs, dtype=float)",
        {"np.array(probs, dtype=float)": "binary_cross_entropy(np.array(probs, dtype=float), targets)"},
    ),
    Mistake(
        "x = ['a', 'b']",
        "sigmoid(x)",
        TypeError,
        "x holds strings (dtype <U1): expected numbers",
    ),
    Mistake(  # 8
        "probs, targets = np.array([0.5, 0.25]), [1, None]",
        BCE,
        TypeError,
        "targets has dtype object (targets[1] = None): expected real numbers. Fill missing values, then convert with "
        "np.array(targets, dtype=float)",
        {
            "np.array(targets, dtype=float)": "targets = [1, 0]; "
            "binary_cross_entropy(probs, np.array(targets, dtype=float))"
        },
    ),
    Mistake(
        "logits, targets = np.array([0.5, 2], object), [1, 0]",
        BCE_LOGITS,
        TypeError,
        "logits has dtype object: expected real numbers. To use it, convert with np.array(logits, dtype=float)",
        {
            "np.array(logits, dtype=float)": "binary_cross_entropy_with_logits(np.array(logits, dtype=float), targets)",
        },
    ),
    Mistake(
        "probs = np.empty(2, object); probs[:] = [np.array([0.5, 0.5]), np.array([0.25, 0.75])]; targets = [0, 1]",
        "cross_entropy(probs, [0, 1])",
        TypeError,
        "probs has dtype object (an ndarray at probs[0]): expected real numbers. To use it, pass np.stack(probs)",
        {"np.stack(probs)": "cross_entropy(np.stack(probs), targets)"},
    ),
    Mistake(
        "probs, targets = [0.5, {}], [0, 1]",
        BCE,
        TypeError,
        "probs has dtype object (a dict at probs[1]): expected real numbers",
    ),
    Mistake("probs, targets = None, [0, 1]", BCE, TypeError, "probs is None: expected real numbers"),
    Mistake(
        "probs, targets = map(float, [0, 1]), [0, 1]",
        BCE,
        TypeError,
        "probs is a map: expected real numbers. Pass list(probs)",
        {"list(probs)": "binary_cross_entropy(list(probs), targets)"},
    ),
    Mistake(
        "logits, targets = Sparse([[0.5, 2.0]]), [0]",
        CE_LOGITS,
        TypeError,
        "logits is a Sparse: expected real numbers. Pass logits.toarray()",
        {"logits.toarray()": "cross_entropy_with_logits(logits.toarray(), targets)"},
    ),
    Mistake(
        "probs, targets = Refusing(), [0]",
        BCE,
        TypeError,
        "probs cannot be read as an array: use .get()",
    ),
    Mistake(
        "probs, targets = np.array([0.5 + 0.5j]), [1]",
        BCE,
        TypeError,
        "probs has dtype complex128: expected real numbers",
    ),
    Mistake(
        "logits, targets = [[0.5], [0.5, 2.0]], [0, 1]",
        CE_LOGITS,
        ValueError,
        "logits is not an array of numbers: its nested sequences have different lengths",
    ),
    Mistake(  # 31
        "probs, targets = np.ma.array([0.5, 0.25], mask=[0, 1]), [0, 1]",
        BCE,
        TypeError,
        "probs is a masked array: pass probs.data and sample_weight=~np.ma.getmaskarray(probs)",
        {
            "sample_weight=~np.ma.getmaskarray(probs)": "binary_cross_entropy(probs.data, targets, "
            "sample_weight=~np.ma.getmaskarray(probs))"
        },
    ),
    Mistake(
        "logits, targets = np.ma.array(np.zeros((2, 3, 4))), np.zeros((2, 4), int)",
        "cross_entropy_with_logits(logits, targets, axis=1)",
        TypeError,
        "logits is a masked array: pass logits.data and sample_weight=~np.ma.getmaskarray(logits).any(axis=1)",
        {
            "sample_weight=~np.ma.getmaskarray(logits).any(axis=1)": "cross_entropy_with_logits(logits.data, targets, "
            "axis=1, sample_weight=~np.ma.getmaskarray(logits).any(axis=1))"
        },
    ),
    Mistake(
        f"{ROWS}; targets = np.ma.array([0, 99], mask=[0, 1])",
        CE,
        TypeError,
        "targets is a masked array: pass targets.data and sample_weight=~np.ma.getmaskarray(targets)",
        {
            "sample_weight=~np.ma.getmaskarray(targets)": "cross_entropy(probs, targets.data, "
            "sample_weight=~np.ma.getmaskarray(targets))"
        },
    ),
    Mistake(
        f"{P2}; sample_weight = np.ma.array([1, 2], mask=[0, 1])",
        "binary_cross_entropy(probs, targets, sample_weight=sample_weight)",
        TypeError,
        "sample_weight is a masked array: pass sample_weight.filled(0)",
        {"sample_weight.filled(0)": "binary_cross_entropy(probs, targets, sample_weight=sample_weight.filled(0))"},
    ),
    Mistake(
        "x = np.ma.array([0.5, 0.25])",
        "sigmoid(x)",
        TypeError,
        "x is a masked array: pass x.data",
        {"x.data": "sigmoid(x.data)"},
    ),
]

LIBRARIES = [
    Mistake(
        "import pandas as pd; probs, targets = pd.Series([0.5, 0.25], [7, 3]), pd.Series([0, 1], [3, 7])",
        BCE,
        ValueError,
        f"probs and targets {INDEXES} targets.loc[probs.index] to align them, or probs.to_numpy() and "
        "targets.to_numpy() if their order is the same",
        {
            "targets.loc[probs.index]": "binary_cross_entropy(probs, targets.loc[probs.index])",
            "targets.to_numpy()": "binary_cross_entropy(probs.to_numpy(), targets.to_numpy())",
        },
        "pandas",
    ),
    Mistake(
        "import pandas as pd; logits, targets = np.zeros(2), pd.Series([0, 1], [7, 3]); w = pd.Series([1, 2])",
        "binary_cross_entropy_with_logits(logits, targets, sample_weight=w)",
        ValueError,
        f"targets and sample_weight {INDEXES} targets.to_numpy() and sample_weight.to_numpy() if their order is the "
        "same",
        needs="pandas",
    ),
    Mistake(
        f"import pandas as pd; {ROWS}; targets = [0, 2]; class_weight = pd.Series([3.0, 1.0, 2.0], [2, 0, 1])",
        "cross_entropy(probs, targets, class_weight=class_weight)",
        ValueError,
        "class_weight is a pandas Series whose index is not 0, 1, 2, ...: cecore takes weights by position. "
        "Pass class_weight.sort_index().to_numpy(), or class_weight.to_numpy() if their order is already right",
        {
            "class_weight.sort_index().to_numpy()": "cross_entropy(probs, targets, "
            "class_weight=class_weight.sort_index().to_numpy())"
        },
        needs="pandas",
    ),
    Mistake(
        "import pandas as pd; logits = targets = np.zeros((2, 2)); pos_weight = pd.Series([3.0, 1.0], ['a', 'b'])",
        "binary_cross_entropy_with_logits(logits, targets, pos_weight=pos_weight)",
        ValueError,
        "pos_weight is a pandas Series whose index is not 0, 1, 2, ...: cecore takes weights by position. "
        "Pass pos_weight.sort_index().to_numpy(), or pos_weight.to_numpy() if their order is already right",
        needs="pandas",
    ),
    Mistake(
        "import pandas as pd; probs = pd.DataFrame({'a': [0.5], 'b': [0.5]}); targets = pd.DataFrame({'b': [1], "
        "'a': [0]})",
        CE,
        ValueError,
        "probs and targets have different columns: cecore takes values by position. Pass targets.loc[:, probs.columns] "
        "to align them, or probs.to_numpy() and targets.to_numpy() if their order is the same",
        {"targets.loc[:, probs.columns]": "cross_entropy(probs, targets.loc[:, probs.columns])"},
        "pandas",
    ),
    Mistake(
        "import pandas as pd; probs, targets = pd.Series([0.5, None], dtype='Float64'), [0, 1]",
        BCE,
        ValueError,
        "probs[1] is missing: fill or drop missing values first",
        needs="pandas",
    ),
    Mistake(
        "import polars as pl; logits, targets = pl.LazyFrame({'a': [0.5], 'b': [2.0]}), [0]",
        CE_LOGITS,
        TypeError,
        "logits is a LazyFrame: expected real numbers. Pass logits.collect()",
        {"logits.collect()": "cross_entropy_with_logits(logits.collect(), targets)"},
        "polars",
    ),
    Mistake(
        "probs, targets = Array([0.5, 0.25], {}), [0, 1]",
        BCE,
        TypeError,
        "probs is a dask Array: cecore would load all of it into memory. Pass probs.compute(), or add its blocks to a "
        "loss's accumulator()",
        {"probs.compute()": "binary_cross_entropy(probs.compute(), targets)"},
    ),
    Mistake(
        "import dask.array; logits, targets = dask.array.zeros((2, 3)), [0, 1]",
        CE_LOGITS,
        TypeError,
        "logits is a dask Array: cecore would load all of it into memory. Pass logits.compute(), or add its blocks to "
        "a loss's accumulator()",
        {"logits.compute()": "cross_entropy_with_logits(logits.compute(), targets)"},
        "dask.array",
    ),
    Mistake(
        "x = Array([0.5, 0.25], {})",
        "softmax(x)",
        TypeError,
        "x is a dask Array: cecore would load all of it into memory. Pass x.compute()",
        {"x.compute()": "softmax(x.compute())"},
    ),
    Mistake(  # 29
        "probs, targets = Tensor([0.5, 0.25], requires_grad=True), [0, 1]",
        BCE,
        TypeError,
        "probs is a tensor that requires grad, but cecore does not record gradients for PyTorch. Pass probs.detach()",
        {"probs.detach()": "binary_cross_entropy(probs.detach(), targets)"},
    ),
    Mistake(  # 30
        "probs, targets = Tensor([0.5, 0.25], device='cuda'), [0, 1]",
        BCE,
        TypeError,
        "probs is on the device cuda:0: cecore runs on the CPU. Pass probs.cpu()",
        {"probs.cpu()": "binary_cross_entropy(probs.cpu(), targets)"},
    ),
    Mistake(
        "logits, targets = Tensor([0.5, 0.25], requires_grad=True, device='cuda'), [0, 1]",
        BCE_LOGITS,
        TypeError,
        "logits is a tensor that requires grad, but cecore does not record gradients for PyTorch. Pass "
        "logits.detach().cpu()",
        {"logits.detach().cpu()": "binary_cross_entropy_with_logits(logits.detach().cpu(), targets)"},
    ),
]

WEIGHTS = [
    Mistake(  # 23
        "probs, targets, w = np.full((3, 3), 0.5), np.zeros((3, 3)), np.array([1, 2, 3])",
        "binary_cross_entropy(probs, targets, sample_weight=w)",
        ValueError,
        "sample_weight has shape (3,), the losses have shape (3, 3): pass shape (3, 1) for one weight per row, or "
        "(1, 3) for one per column",
        {
            "(3, 1)": "binary_cross_entropy(probs, targets, sample_weight=w.reshape(3, 1))",
            "(1, 3)": "binary_cross_entropy(probs, targets, sample_weight=w.reshape(1, 3))",
        },
    ),
    Mistake(
        "logits, targets, w = np.zeros((2, 3)), np.zeros((2, 3)), np.array([1, 2])",
        "binary_cross_entropy_with_logits(logits, targets, sample_weight=w)",
        ValueError,
        "sample_weight has shape (2,), the losses have shape (2, 3): pass shape (2, 1) for one weight per row",
        {"(2, 1)": "binary_cross_entropy_with_logits(logits, targets, sample_weight=w.reshape(2, 1))"},
    ),
    Mistake(
        "probs, targets = np.full((2, 3), 0.5), np.zeros((2, 3))",
        "binary_cross_entropy(probs, targets, sample_weight=[1, 2, 3, 4])",
        ValueError,
        "sample_weight has shape (4,), the losses have shape (2, 3): expected (2, 3), a single number, or 2 dimensions "
        "with axes of length 1",
    ),
    Mistake(
        f"{SCORES}; targets = [0, 2]",
        "cross_entropy_with_logits(logits, targets, sample_weight=[1, 2, 3])",
        ValueError,
        "sample_weight has shape (3,), the losses have shape (2,): expected (2,) or a single number",
    ),
    Mistake(  # 24
        f"{P2}; w = np.array([1, -1])",
        "binary_cross_entropy(probs, targets, sample_weight=w)",
        ValueError,
        f"sample_weight[1] = -1 is negative: {RULE}",
        {"0": "binary_cross_entropy(probs, targets, sample_weight=np.maximum(w, 0))"},
    ),
    Mistake(
        "logits, targets = np.zeros((2, 3)), np.zeros((2, 3))",
        "binary_cross_entropy_with_logits(logits, targets, sample_weight=-2.0)",
        ValueError,
        f"sample_weight = -2.0 is negative: {RULE}",
    ),
    Mistake(
        LABELS,
        "cross_entropy(probs, targets, sample_weight=[1.0, np.nan])",
        ValueError,
        f"sample_weight[1] = nan is not a weight: {RULE}",
    ),
    Mistake(
        f"{P2}; probs = probs.astype(np.float32)",
        "binary_cross_entropy(probs, targets, sample_weight=[1, 1e300])",
        ValueError,
        "sample_weight[1] = 1e+300 is beyond the range of float32, to which weights are converted because probs has "
        "dtype float32. Scale the weights, or pass np.array(probs, dtype=float)",
        {
            "np.array(probs, dtype=float)": "binary_cross_entropy(np.array(probs, dtype=float), targets, "
            "sample_weight=[1, 1e300])"
        },
    ),
    Mistake(
        f"{SCORES}; targets = [0, 2]; logits = logits.astype(np.float16)",
        "cross_entropy_with_logits(logits, targets, sample_weight=1e39)",
        ValueError,
        "sample_weight = 1e+39 is beyond the range of float32, to which weights are converted because logits has dtype "
        "float16. Scale the weights, or pass np.array(logits, dtype=float)",
        {
            "np.array(logits, dtype=float)": "cross_entropy_with_logits(np.array(logits, dtype=float), targets, "
            "sample_weight=1e39)"
        },
    ),
    Mistake(
        LABELS,
        "cross_entropy(probs, targets, class_weight=[1, 1, -1])",
        ValueError,
        "class_weight[2] = -1.0 is negative: weights must be finite and >= 0",
    ),
    Mistake(  # 19
        f"{LABELS}; w = {{0: 1, 1: 2, 2: 1}}; number_of_classes = 3",
        "cross_entropy(probs, targets, class_weight=w)",
        TypeError,
        "class_weight is a dict: expected a list with one weight per class, in class order. "
        "Pass [w[k] for k in range(number_of_classes)]",
        {
            "[w[k] for k in range(number_of_classes)]": "cross_entropy(probs, targets, "
            "class_weight=[w[k] for k in range(number_of_classes)])"
        },
    ),
    Mistake(
        f"{Z2}; w = {{0: 1, 1: 2}}",
        "binary_cross_entropy_with_logits(logits, targets, pos_weight=w)",
        TypeError,
        "pos_weight is a dict: expected one number, the weight of class 1 divided by the weight of class 0. Pass "
        "w[1] / w[0]",
        {"w[1] / w[0]": "binary_cross_entropy_with_logits(logits, targets, pos_weight=w[1] / w[0])"},
    ),
    Mistake(  # 20
        f"{LABELS}; y, C = targets, 3",
        "cross_entropy(probs, targets, class_weight='balanced')",
        TypeError,
        "class_weight = 'balanced' is not supported: expected an array with one weight per class. The usual choice is "
        "len(y) / (C * np.bincount(y, minlength=C))",
        {
            "len(y) / (C * np.bincount(y, minlength=C))": "y = np.array([0, 1, 2, 2]); cross_entropy(probs, targets, "
            "class_weight=len(y) / (C * np.bincount(y, minlength=C)))"
        },
    ),
    Mistake(
        f"{P2}; y = targets",
        "binary_cross_entropy(probs, targets, pos_weight='balanced')",
        TypeError,
        "pos_weight = 'balanced' is not supported: expected a number, or an array with one weight per column. The "
        "usual choice is np.sum(y == 0) / np.sum(y == 1)",
        {
            "np.sum(y == 0) / np.sum(y == 1)": "binary_cross_entropy(probs, targets, "
            "pos_weight=np.sum(y == 0) / np.sum(y == 1))"
        },
    ),
    Mistake(  # 21
        "probs, targets = np.array([[0.5, 0.5]]), [0]",
        "cross_entropy(probs, targets, class_weight=[1, 2, 3])",
        ValueError,
        "class_weight has 3 weights, but axis -1 of probs (1, 2) has 2 classes. If you set weights per sample, use "
        "sample_weight",
        {"sample_weight": "cross_entropy(probs, targets, sample_weight=[3])"},
    ),
    Mistake(  # 22
        "logits, targets = np.zeros((2, 3)), np.zeros((2, 3))",
        "binary_cross_entropy_with_logits(logits, targets, pos_weight=[1, 2])",
        ValueError,
        "pos_weight has 2 weights, but the last axis of logits (2, 3) has length 3. Pass one weight per column, or a "
        "single number",
    ),
    Mistake(
        "probs, targets = 0.5, 1",
        "binary_cross_entropy(probs, targets, pos_weight=[2.0])",
        ValueError,
        "pos_weight has 1 weight, but probs is a single number. Pass one weight per column, or a single number",
    ),
    Mistake(
        LABELS,
        "cross_entropy(probs, targets, class_weight=2.0)",
        ValueError,
        "class_weight has shape (): expected one dimension with at least one weight",
    ),
    Mistake(  # 32
        "probs, targets = np.array([[0.5, 0.5]]), np.array([[1, 0]])",
        "cross_entropy(probs, targets, ignore_index=-100)",
        ValueError,
        "ignore_index needs class labels, but targets has shape (1, 2). To skip rows, give them sample_weight 0",
        {"sample_weight": "cross_entropy(probs, targets, sample_weight=[0])"},
    ),
    Mistake(
        f"{P2}; w = np.array([1e308, 1e308])",
        "BinaryCrossEntropy().forward(probs, targets, sample_weight=w)",
        ValueError,
        "the sum of the weights overflows float64. Divide all weights (sample_weight or class_weight) by the same "
        "large number: the mean stays the same",
    ),
    Mistake(
        f"{P2}; w = np.array([1e-310, 1e-310])",
        "BinaryCrossEntropy().backward(probs, targets, sample_weight=w)",
        ValueError,
        "the gradient of the mean overflows float64: upstream is divided by the sum of the weights, which is too "
        "small. Multiply all weights (sample_weight or class_weight) by the same large number: the mean stays the same",
    ),
]

OPTIONS = [
    Mistake(  # 15
        P2,
        "binary_cross_entropy(probs, targets, y_true=targets)",
        TypeError,
        "unknown argument y_true: call binary_cross_entropy(probs, targets), predictions first",
        {BCE: BCE},
    ),
    Mistake(
        f"{SCORES}; targets = [0, 2]",
        "cross_entropy_with_logits(logits, targets, y_pred=logits)",
        TypeError,
        "unknown argument y_pred: call cross_entropy_with_logits(logits, targets), predictions first",
        {CE_LOGITS: CE_LOGITS},
    ),
    Mistake(
        LABELS,
        "CrossEntropy(probs=probs, targets=targets)",
        TypeError,
        "unknown argument probs: call CrossEntropy()(probs, targets), predictions first",
        {"CrossEntropy()(probs, targets)": "CrossEntropy()(probs, targets)"},
    ),
    Mistake(  # 16
        "probs, targets = [0.5], [1]; logits = [2.0]",
        "binary_cross_entropy(probs, targets, from_logits=True)",
        TypeError,
        "binary_cross_entropy has no option from_logits: use binary_cross_entropy_with_logits(logits, targets)",
        {BCE_LOGITS: BCE_LOGITS},
    ),
    Mistake(
        LABELS,
        "cross_entropy(probs, targets, from_logits=False)",
        TypeError,
        "cross_entropy has no option from_logits: its predictions are probabilities already. Leave it out",
    ),
    Mistake(
        "",
        "CrossEntropy(from_logits=True)",
        TypeError,
        "CrossEntropy has no option from_logits: use CrossEntropyWithLogits",
        {"CrossEntropyWithLogits": "CrossEntropyWithLogits()"},
    ),
    Mistake(
        "",
        "BinaryCrossEntropyWithLogits(from_logits=True)",
        TypeError,
        "BinaryCrossEntropyWithLogits has no option from_logits: its predictions are logits already. Leave it out",
    ),
    Mistake(
        f"{Z2}; probs = [0.5, 0.25]",
        "binary_cross_entropy_with_logits(logits, targets, from_logits=False)",
        TypeError,
        "binary_cross_entropy_with_logits has no option from_logits: use binary_cross_entropy(probs, targets)",
        {BCE: BCE},
    ),
    Mistake(  # 17
        LABELS,
        "cross_entropy(probs, targets, weight=[1, 2, 1])",
        TypeError,
        "cross_entropy has no option weight: use class_weight= (one weight per class) or sample_weight= (one per "
        "sample)",
        {
            "class_weight=": "cross_entropy(probs, targets, class_weight=[1, 2, 1])",
            "sample_weight=": "cross_entropy(probs, targets, sample_weight=[1, 2])",
        },
    ),
    Mistake(
        Z2,
        "BinaryCrossEntropyWithLogits(weight=[1, 2])",
        TypeError,
        "BinaryCrossEntropyWithLogits has no option weight: use pos_weight= (the weight of target 1 divided by "
        "that of target 0) or pass sample_weight= "
        "to each call (one per sample)",
        {
            "pos_weight=": "BinaryCrossEntropyWithLogits(pos_weight=2)",
            "sample_weight=": "BinaryCrossEntropyWithLogits()(logits, targets, sample_weight=[1, 2])",
        },
    ),
    Mistake(
        f"{P2}; w = [1, 2]",
        "BinaryCrossEntropy(sample_weight=w)",
        TypeError,
        "BinaryCrossEntropy has no option sample_weight: pass sample_weight to each call: "
        "BinaryCrossEntropy()(probs, targets, sample_weight=w)",
        {
            "BinaryCrossEntropy()(probs, targets, sample_weight=w)": "BinaryCrossEntropy()(probs, targets, "
            "sample_weight=w)"
        },
    ),
    Mistake(
        P2,
        "binary_cross_entropy(probs, targets, mask=[1, 0])",
        TypeError,
        "binary_cross_entropy has no option mask: did you mean sample_weight?",
        {"sample_weight": "binary_cross_entropy(probs, targets, sample_weight=[1, 0])"},
    ),
    Mistake(
        f"{Z2}; alpha = 0.25",
        "binary_cross_entropy_with_logits(logits, targets, alpha=alpha)",
        TypeError,
        "binary_cross_entropy_with_logits has no option alpha: use pos_weight=alpha / (1 - alpha), and multiply the "
        "loss by 1 - alpha",
        {
            "pos_weight=alpha / (1 - alpha)": "binary_cross_entropy_with_logits(logits, targets, "
            "pos_weight=alpha / (1 - alpha))"
        },
    ),
    Mistake(
        LABELS,
        "cross_entropy(probs, targets, alpha=0.25)",
        TypeError,
        "cross_entropy has no option alpha: use class_weight= (one weight per class)",
        {"class_weight=": "cross_entropy(probs, targets, class_weight=[0.25, 0.5, 0.25])"},
    ),
    Mistake(
        LABELS,
        "cross_entropy(probs, targets, pos_weight=2)",
        TypeError,
        "cross_entropy has no option pos_weight: use class_weight= (one weight per class)",
    ),
    Mistake(
        P2,
        "binary_cross_entropy(probs, targets, class_weight=[1, 2])",
        TypeError,
        "binary_cross_entropy has no option class_weight: use pos_weight= (the weight of target 1 divided by that of "
        "target 0)",
        {"pos_weight=": "binary_cross_entropy(probs, targets, pos_weight=2 / 1)"},
    ),
    Mistake(
        f"{SCORES}; targets = [0, 2]",
        "cross_entropy_with_logits(logits, targets, gamma=2)",
        TypeError,
        "cross_entropy_with_logits has no option gamma: did you mean focal_gamma?",
        {"focal_gamma": "cross_entropy_with_logits(logits, targets, focal_gamma=2)"},
    ),
    Mistake(
        Z2,
        "BinaryCrossEntropy(gamma=2)",
        TypeError,
        "BinaryCrossEntropy has no option gamma: only losses on logits have focal_gamma. Use "
        "BinaryCrossEntropyWithLogits",
        {"BinaryCrossEntropyWithLogits": "BinaryCrossEntropyWithLogits(focal_gamma=2)"},
    ),
    Mistake(
        P2,
        "binary_cross_entropy(probs, targets, epsilon=1e-9)",
        TypeError,
        "binary_cross_entropy has no option epsilon: did you mean eps?",
        {"eps": "binary_cross_entropy(probs, targets, eps=1e-9)"},
    ),
    Mistake(
        Z2,
        "binary_cross_entropy_with_logits(logits, targets, eps=1e-9)",
        TypeError,
        "binary_cross_entropy_with_logits has no option eps: logits are not clipped. Leave it out",
    ),
    Mistake(
        f"{ROWS}; targets = [0, -100]",
        "cross_entropy(probs, targets, ignore_class=-100)",
        TypeError,
        "cross_entropy has no option ignore_class: did you mean ignore_index?",
        {"ignore_index": "cross_entropy(probs, targets, ignore_index=-100)"},
    ),
    Mistake(
        "probs, targets = np.full(3, 0.5), np.array([0, 1, -100])",
        "binary_cross_entropy(probs, targets, ignore_index=-100)",
        TypeError,
        "binary_cross_entropy has no option ignore_index: to ignore elements, pass sample_weight=(targets != -100)",
        {
            "sample_weight=(targets != -100)": "binary_cross_entropy(probs, targets, sample_weight=(targets != -100))",
        },
    ),
    Mistake(
        f"{SCORES}; targets = [0, 1, 0]",
        "cross_entropy_with_logits(logits, targets, dim=0)",
        TypeError,
        "cross_entropy_with_logits has no option dim: did you mean axis?",
        {"axis": "cross_entropy_with_logits(logits, targets, axis=0)"},
    ),
    Mistake(
        f"{Z2}",
        "BinaryCrossEntropyWithLogits(axis=1)",
        TypeError,
        "BinaryCrossEntropyWithLogits has no option axis: each element is a loss of its own. For classes along an "
        "axis, use CrossEntropyWithLogits",
        {"CrossEntropyWithLogits": "CrossEntropyWithLogits(axis=1)"},
    ),
    Mistake(
        P2,
        "binary_cross_entropy(probs, targets, size_average=True)",
        TypeError,
        "binary_cross_entropy has no option size_average: use reduction='mean', 'sum' or 'none'",
        {"reduction='mean'": "binary_cross_entropy(probs, targets, reduction='mean')"},
    ),
    Mistake(
        P2,
        "binary_cross_entropy(probs, targets, out=np.empty(2))",
        TypeError,
        "binary_cross_entropy has no option out: pass it to a method of BinaryCrossEntropy, such as backward",
        {"backward": "BinaryCrossEntropy().backward(probs, targets, out=np.empty(2))"},
    ),
    Mistake(
        P2,
        "binary_cross_entropy(probs, targets, name='loss')",
        TypeError,
        f"binary_cross_entropy has no option name: its options are {BINARY_OPTIONS}",
    ),
    Mistake(
        "",
        "BinaryCrossEntropy().replace(smooth=0.1)",
        TypeError,
        f"BinaryCrossEntropy has no option smooth: its options are {BINARY_OPTIONS}",
    ),
    Mistake(  # 18
        "",
        "BinaryCrossEntropy('sum')",
        TypeError,
        "options are keyword-only: BinaryCrossEntropy(reduction='sum')",
        {"BinaryCrossEntropy(reduction='sum')": "BinaryCrossEntropy(reduction='sum')"},
    ),
    Mistake(
        "",
        "CrossEntropyWithLogits('average')",
        TypeError,
        "options are keyword-only: CrossEntropyWithLogits(reduction='mean')",
        {"CrossEntropyWithLogits(reduction='mean')": "CrossEntropyWithLogits(reduction='mean')"},
    ),
    Mistake(
        "",
        "CrossEntropy(1e-7)",
        TypeError,
        "options are keyword-only, for example CrossEntropy(reduction='sum')",
        {"CrossEntropy(reduction='sum')": "CrossEntropy(reduction='sum')"},
    ),
    Mistake(
        P2,
        "BinaryCrossEntropy(probs, targets)",
        TypeError,
        "BinaryCrossEntropy takes options by keyword, and no arrays. Create the loss first, then call it: "
        "BinaryCrossEntropy()(probs, targets)",
        {"BinaryCrossEntropy()(probs, targets)": "BinaryCrossEntropy()(probs, targets)"},
    ),
    Mistake(
        f"{SCORES}; targets = [0, 2]",
        "CrossEntropyWithLogits([1, 2, 1])",
        TypeError,
        "CrossEntropyWithLogits takes options by keyword, and no arrays. For class weights, use class_weight=. Create "
        "the loss first, then call it: CrossEntropyWithLogits()(logits, targets)",
        {
            "class_weight=": "CrossEntropyWithLogits(class_weight=[1, 2, 1])",
            "CrossEntropyWithLogits()(logits, targets)": "CrossEntropyWithLogits()(logits, targets)",
        },
    ),
    Mistake(  # 25
        P2,
        "binary_cross_entropy(probs, targets, reduction='average')",
        ValueError,
        "reduction = 'average': expected 'mean', 'sum' or 'none'. Did you mean 'mean'?",
        {"'mean'": "binary_cross_entropy(probs, targets, reduction='mean')"},
    ),
    Mistake(
        "",
        "CrossEntropyWithLogits(reduction=None)",
        ValueError,
        "reduction = None: expected 'mean', 'sum' or 'none'. Did you mean 'none', which returns one loss per sample?",
        {"'none'": "CrossEntropyWithLogits(reduction='none')"},
    ),
    Mistake(
        "",
        "CrossEntropy(mean_over='batch')",
        ValueError,
        "mean_over = 'batch': expected 'weights' or 'count'. Did you mean 'count'?",
        {"'count'": "CrossEntropy(mean_over='count')"},
    ),
    Mistake(
        "",
        "BinaryCrossEntropy(gradient_outside='stop')",
        ValueError,
        "gradient_outside = 'stop': expected 'clipped' or 'zero'",
    ),
    Mistake(  # 33
        P2,
        "binary_cross_entropy(probs, targets, eps='auto')",
        TypeError,
        "eps = 'auto': expected a real number. Use eps=0 for no clipping, or np.finfo(probs.dtype).eps for "
        "scikit-learn's limit",
        {
            "eps=0": "binary_cross_entropy(probs, targets, eps=0)",
            "np.finfo(probs.dtype).eps": "binary_cross_entropy(probs, targets, eps=np.finfo(probs.dtype).eps)",
        },
    ),
    Mistake(
        "",
        "CrossEntropy(eps=None)",
        TypeError,
        "eps = None: expected a real number. Use eps=0 for no clipping, or np.finfo(probs.dtype).eps for "
        "scikit-learn's limit",
    ),
    Mistake("", "CrossEntropy(eps=0.5)", ValueError, "eps = 0.5: expected 0 <= eps < 0.5"),
    Mistake("", "CrossEntropy(eps=10**400)", ValueError, "eps is an integer beyond the range of float64"),
    Mistake(
        "",
        "BinaryCrossEntropy(pos_weight=fractions.Fraction(10**400, 3))",
        ValueError,
        "pos_weight is beyond the range of float64",
    ),
    Mistake(
        P2,
        "BinaryCrossEntropy().backward(probs, targets, upstream=10**400)",
        ValueError,
        "upstream is an integer beyond the range of float64",
    ),
    Mistake(
        "",
        "CrossEntropyWithLogits(label_smoothing=10)",
        ValueError,
        "label_smoothing = 10: expected a number from 0 to 1",
    ),
    Mistake(
        "",
        "BinaryCrossEntropyWithLogits(pos_weight=-1)",
        ValueError,
        "pos_weight = -1: expected a finite number >= 0",
    ),
    Mistake(
        "",
        "BinaryCrossEntropyWithLogits(focal_gamma=list(range(100)))",
        TypeError,
        "focal_gamma = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 1...96, 97, 98, 99]: expected a real number",
    ),
    Mistake("", "CrossEntropy(axis=None)", TypeError, "axis = None: expected an integer"),
    Mistake("", "CrossEntropy(axis=64)", ValueError, "axis = 64: expected -64..63"),
    Mistake("", "CrossEntropy(ignore_index='none')", TypeError, "ignore_index = 'none': expected an integer"),
    Mistake(
        "loss = BinaryCrossEntropy()",
        "setattr(loss, 'eps', 0)",
        AttributeError,
        "a BinaryCrossEntropy cannot be changed: use loss.replace(eps=...)",
        {"loss.replace(eps=": "loss.replace(eps=0)"},
    ),
    Mistake(
        "",
        "Loss()",
        TypeError,
        "Loss has no formula: make a BinaryCrossEntropy, a CrossEntropy, or one of them WithLogits",
    ),
]

NONE = "loss = BinaryCrossEntropy(reduction='none')"
OUTPUTS = [
    Mistake(  # 26
        P2,
        "BinaryCrossEntropy().backward(probs, targets, out=np.empty(2, np.float32))",
        ValueError,
        "out has dtype float32: expected float64, the dtype of this result. "
        "Allocate it with np.empty((2,), np.float64)",
        {"np.empty((2,), np.float64)": "BinaryCrossEntropy().backward(probs, targets, out=np.empty((2,), np.float64))"},
    ),
    Mistake(
        f"{SCORES}; logits = logits.astype(np.float32); targets = [0, 2]",
        "CrossEntropyWithLogits().gradient_hessian(logits, targets, hessian_out=np.empty(2, np.float32))",
        ValueError,
        "hessian_out has shape (2,): expected (2, 3), the shape of this result. Allocate it with np.empty((2, 3), "
        "np.float32)",
        {
            "np.empty((2, 3), np.float32)": "CrossEntropyWithLogits().gradient_hessian(logits, targets, "
            "hessian_out=np.empty((2, 3), np.float32))"
        },
    ),
    Mistake(  # 27
        P2,
        "BinaryCrossEntropy()(probs, targets, out=np.empty(2))",
        ValueError,
        "out only works with reduction='none': with 'mean' the loss is one float, which is returned",
        {"reduction='none'": "BinaryCrossEntropy(reduction='none')(probs, targets, out=np.empty(2))"},
    ),
    Mistake(
        P2,
        "BinaryCrossEntropy(reduction='sum').forward_backward(probs, targets, loss_out=np.empty(2))",
        ValueError,
        "loss_out only works with reduction='none': with 'sum' the loss is one float, which is returned",
    ),
    Mistake(  # 28
        f"{NONE}; probs, targets = np.array([0.5, 0.25]), np.array([0.0, 1.0])",
        "loss(probs, targets, out=targets)",
        ValueError,
        "out shares memory with targets. Pass a separate array, or probs itself to overwrite the predictions",
        {"probs itself": "loss(probs, targets, out=probs)  # probs itself"},
    ),
    Mistake(
        f"{NONE}; memory, targets = np.full(3, 0.5), np.array([0, 1]); probs = memory[:2]",
        "loss.backward(probs, targets, out=memory[1:])",
        ValueError,
        "out shares memory with probs, but is not the same array. Pass a separate array, or probs itself to overwrite "
        "the predictions",
    ),
    Mistake(
        f"{SCORES}; targets = np.array([0.0, 2.0])",
        "CrossEntropyWithLogits(reduction='none')(logits, targets, out=targets)",
        ValueError,
        "out shares memory with targets. Pass a separate array",
    ),
    Mistake(
        "x = np.zeros(3)",
        "sigmoid(x[1:], out=x[:2])",
        ValueError,
        "out shares memory with x, but is not the same array. Pass a separate array, or x itself",
    ),
    Mistake(
        P2, "BinaryCrossEntropy().backward(probs, targets, out=3)", TypeError, "out is an int: expected a numpy.ndarray"
    ),
    Mistake(
        P2,
        "BinaryCrossEntropy().backward(probs, targets, out=np.broadcast_to(0.5, 2))",
        ValueError,
        "out is read-only: pass an array that can be written to",
    ),
    Mistake(
        f"{P2}; out = np.lib.stride_tricks.as_strided(np.zeros(1), (2,), (0,), writeable=True)",
        "BinaryCrossEntropy().backward(probs, targets, out=out)",
        ValueError,
        "out has elements that share their memory: pass an array with a place for each result",
    ),
    Mistake(
        f"{P2}; out = np.empty(2)",
        "BinaryCrossEntropy().gradient_hessian(probs, targets, gradient_out=out, hessian_out=out)",
        ValueError,
        "one array is given for two results: pass a separate array for each",
    ),
    Mistake(
        P2,
        "BinaryCrossEntropy().backward(probs, targets, upstream=[1.0, 2.0])",
        ValueError,
        "upstream has shape (2,): expected a number, since reduction is 'mean'",
    ),
    Mistake(
        f"{NONE}; {P2}",
        "loss.backward(probs, targets, upstream=[1.0, 2.0, 3.0])",
        ValueError,
        "upstream has shape (3,): expected a number or (2,), the shape of the losses",
    ),
    Mistake(
        f"{NONE}; {P2}; probs = probs.astype(np.float32)",
        "loss.backward(probs, targets, upstream=np.array([1.0, 1e39]))",
        ValueError,
        "upstream[1] = 1e+39 is beyond the range of float32, to which upstream is converted because probs has dtype "
        "float32. Scale upstream, or pass np.array(probs, dtype=float)",
        {
            "np.array(probs, dtype=float)": "loss.backward(np.array(probs, dtype=float), targets, "
            "upstream=np.array([1.0, 1e39]))"
        },
    ),
    Mistake(
        "sigmoid_output = np.array([0.5, 0.25], np.float32)",
        "sigmoid_backward([1.0, -1e39], sigmoid_output)",
        ValueError,
        "upstream[1] = -1e+39 is beyond the range of float32, to which upstream is converted because sigmoid_output "
        "has dtype float32. Scale upstream, or pass np.array(sigmoid_output, dtype=float)",
        {
            "np.array(sigmoid_output, dtype=float)": "sigmoid_backward([1.0, -1e39], "
            "np.array(sigmoid_output, dtype=float))"
        },
    ),
]

OTHERS = [
    Mistake(
        NONE,
        "loss.accumulator()",
        ValueError,
        "a loss with reduction='none' has no sum to accumulate: use reduction='mean' or reduction='sum'",
        {"reduction='sum'": "loss.replace(reduction='sum').accumulator()"},
    ),
    Mistake(
        "total = CrossEntropyWithLogits().accumulator()",
        "total.merge(CrossEntropyWithLogits(axis=0).accumulator())",
        ValueError,
        f"other adds up {cecore.CrossEntropyWithLogits(axis=0)}: expected {cecore.CrossEntropyWithLogits()}, the same "
        "loss and options",
    ),
    Mistake(
        "total = CrossEntropy().accumulator()",
        "total.merge('0.5')",
        TypeError,
        "other has type str: expected an Accumulator",
    ),
    Mistake("", "set_num_threads(0)", ValueError, "n = 0: expected 1..256"),
    Mistake("", "set_num_threads(2.5)", TypeError, "n = 2.5: expected an integer"),
    Mistake("", "set_num_threads('all')", ValueError, "n = 'all': expected \"auto\" or an integer from 1 to 256"),
]

WARNINGS = [
    Mistake(
        "probs, targets = np.array([1, 0]), np.array([0.9, 0.2])",
        BCE,
        cecore.InputWarning,
        "the first predictions are all exactly 0 or 1, but the targets are not: are the arguments swapped? Predictions "
        "come first: binary_cross_entropy(probs, targets)",
        {BCE: f"probs, targets = targets, probs; {BCE}"},
    ),
    Mistake(
        "probs, targets = np.array([[0.9, 0.8], [0.3, 0.1]]), [0, 1]",
        CE,
        cecore.InputWarning,
        "a row of probs does not sum to 1. If these are logits, use CrossEntropyWithLogits; if the classes lie along "
        "another axis, set axis",
        {"CrossEntropyWithLogits": "CrossEntropyWithLogits()(probs, targets)"},
    ),
    Mistake(
        "probs, targets = np.array([0.9, 0.2, 0.7]), [1, 0, 1]",
        CE,
        cecore.InputWarning,
        "a row of probs does not sum to 1. If these are logits, use CrossEntropyWithLogits; if each number is the "
        "probability of class 1, use BinaryCrossEntropy",
        {"BinaryCrossEntropy": "BinaryCrossEntropy()(probs, targets)"},
    ),
]

LONG = np.finfo(np.longdouble).max > np.finfo(np.float64).max  # there are numbers beyond the range of float64
LONG_DOUBLES = [
    Mistake(
        "w = np.longdouble('1e4000')",
        "BinaryCrossEntropy(pos_weight=w)",
        ValueError,
        "pos_weight = 1e+4000 is beyond the range of float64",
    ),
    Mistake(
        "w = np.longdouble('1e4000')",
        "CrossEntropy(class_weight=[1, w])",
        ValueError,
        "class_weight[1] = 1e+4000 is beyond the range of float64. Scale the weights",
    ),
    Mistake(
        "eps = np.longdouble('1e4000')",
        "CrossEntropy(eps=eps)",
        ValueError,
        "eps = 1e+4000 is beyond the range of float64",
    ),
    Mistake(
        f"{P2}; w = np.array(['1', '1e4000'], np.longdouble)",
        "binary_cross_entropy(probs, targets, sample_weight=w)",
        ValueError,
        "sample_weight[1] = 1e+4000 is beyond the range of float64, to which weights are converted. Scale the weights",
    ),
    Mistake(
        f"{P2}; u = np.longdouble('-1e4000')",
        "BinaryCrossEntropy().backward(probs, targets, upstream=u)",
        ValueError,
        "upstream = -1e+4000 is beyond the range of float64",
    ),
    Mistake(
        f"{NONE}; {P2}; u = np.array(['1', '-1e4000'], np.longdouble)",
        "loss.backward(probs, targets, upstream=u)",
        ValueError,
        "upstream[1] = -1e+4000 is beyond the range of float64, to which upstream is converted. Scale upstream",
    ),
    Mistake(
        "probs, targets = np.array([0.5, '1e4000'], np.longdouble), [1, 1]",
        BCE,
        ValueError,
        "probs[1] = 1e+4000 is outside [0, 1]. If these are logits, use BinaryCrossEntropyWithLogits",
    ),
    Mistake(
        f"{ROWS}; targets = np.array([0, 2**53], np.longdouble); targets[1] += 1",
        CE,
        ValueError,
        "targets[1] = 9007199254740993.0 is not a class label: expected 0..2",
    ),
    Mistake(
        f"{ROWS}; targets = np.array([0, 2**53], np.longdouble); targets[1] += 0.5",
        CE,
        ValueError,
        "targets[1] = 9007199254740992.5 is not a whole number: expected a class label 0..2. For probabilities, pass "
        "one column per class: shape (2, 3)",
    ),
]

MISTAKES = (
    (LONG_DOUBLES if LONG else [])
    + SHAPES
    + VALUES
    + TYPES
    + LIBRARIES
    + WEIGHTS
    + OPTIONS
    + OUTPUTS
    + OTHERS
    + WARNINGS
)
each_mistake = pytest.mark.parametrize("mistake", MISTAKES, ids=str)


def made(mistake):
    """The names that the code of a mistake uses."""
    if mistake.needs:
        pytest.importorskip(mistake.needs, reason=f"{mistake.needs} is not installed")
    names = dict(NAMES)
    exec(mistake.arrays, names)
    return names


def caught(code, names, error):
    """The exception that the code raises, with nothing behind it and few frames of the library in front of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", cecore.InputWarning)
        try:
            eval(code, names)
        except Exception as raised:
            found = raised
        else:
            pytest.fail(f"{code} raised nothing")
    assert type(found) is error, found
    if found.__cause__ is not None:  # an error of the user's object, whose traceback shows where
        last = traceback.extract_tb(found.__cause__.__traceback__)[-1]
        assert Path(cecore.__file__).parent not in Path(last.filename).parents
    assert found.__context__ is None or found.__suppress_context__
    files = [Path(frame.filename) for frame in traceback.extract_tb(found.__traceback__)]
    assert sum(Path(cecore.__file__).parent in file.parents for file in files) <= 3, files
    assert not any(file.suffix in (".pyx", ".pxi") for file in files), files
    return found


@each_mistake
def test_the_message(mistake):
    assert str(caught(mistake.call, made(mistake), mistake.error)) == mistake.message


@pytest.mark.parametrize(
    ("mistake", "code"), [(mistake, code) for mistake in MISTAKES for code in mistake.fixes], ids=str
)
def test_code_in_a_message_works(mistake, code):
    assert code in mistake.message
    assert code in mistake.fixes[code]
    exec(mistake.fixes[code], made(mistake))


METHODS = ("forward", "__call__", "backward", "forward_backward", "gradient_hessian", "update")
FUNCTIONS = {
    "binary_cross_entropy": cecore.BinaryCrossEntropy,
    "binary_cross_entropy_with_logits": cecore.BinaryCrossEntropyWithLogits,
    "cross_entropy": cecore.CrossEntropy,
    "cross_entropy_with_logits": cecore.CrossEntropyWithLogits,
}
OF_FUNCTIONS = [
    mistake
    for mistake in MISTAKES
    if mistake.call.partition("(")[0] in FUNCTIONS
    and not re.search("has no option|unknown argument|is a map", mistake.message)
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mistake", OF_FUNCTIONS, ids=str)
def test_methods_and_accumulators_say_the_same(mistake, method):
    function, _, arguments = mistake.call.partition("(")

    def call(*arrays, sample_weight=None, **options):
        loss = FUNCTIONS[function](**options)
        of = loss.accumulator() if method == "update" else loss
        return getattr(of, method)(*arrays, sample_weight=sample_weight)

    assert str(caught(f"call({arguments}", made(mistake) | {"call": call}, mistake.error)) == mistake.message


@pytest.mark.parametrize("mistake", WARNINGS, ids=str)
def test_warnings_name_the_line_of_the_user(mistake):
    names = made(mistake)
    made_by = FUNCTIONS[mistake.call.partition("(")[0]]
    for call in (FUNCTIONS, made_by().forward_backward, made_by().accumulator().update):
        with pytest.warns(cecore.InputWarning, match=re.escape(mistake.message)) as record:
            eval(mistake.call, names) if call is FUNCTIONS else call(names["probs"], names["targets"])
        assert record[0].filename == ("<string>" if call is FUNCTIONS else __file__)


PYTHONS_OWN = [  # what Python answers before the body of a function runs; newer versions add suggestions
    ("BinaryCrossEntropy()(probs, y_true=targets)", "Loss.forward() got an unexpected keyword argument 'y_true'"),
    (
        "BinaryCrossEntropy()(y_pred=probs, y_true=targets)",
        "Loss.forward() got an unexpected keyword argument 'y_pred'",
    ),
    ("BinaryCrossEntropy().backward(probs, targets, weight=1)", "Loss.backward() got an unexpected keyword argument"),
    (
        "BinaryCrossEntropy().forward_backward(probs, targets, out=1)",
        "Loss.forward_backward() got an unexpected keyword argument",
    ),
    (
        "BinaryCrossEntropy().gradient_hessian(probs, targets, out=1)",
        "Loss.gradient_hessian() got an unexpected keyword argument",
    ),
    ("BinaryCrossEntropy()(probs, targets, 'sum')", "Loss.forward() takes 3 positional arguments but 4 were given"),
    ("BinaryCrossEntropy()(probs)", "Loss.forward() missing 1 required positional argument: 'targets'"),
    (
        "BinaryCrossEntropy().accumulator().update(y_true=targets)",
        "Accumulator.update() got an unexpected keyword argument",
    ),
    ("binary_cross_entropy(y_true=targets)", "binary_cross_entropy() missing 2 required positional arguments: 'probs'"),
    ("binary_cross_entropy(probs, targets, 'sum')", "binary_cross_entropy() takes 2 positional arguments but 3 were"),
    ("softmax(probs, dim=0)", "softmax() got an unexpected keyword argument 'dim'"),
]


@pytest.mark.parametrize(("call", "message"), PYTHONS_OWN)
def test_pythons_own_errors_name_what_is_public(call, message):
    names = dict(NAMES)
    exec(P2, names)
    assert str(caught(call, names, TypeError)).startswith(message)


@pytest.mark.parametrize("kind", FUNCTIONS.values(), ids=lambda kind: kind.__name__)
def test_the_mean_of_nothing_is_nan_without_a_warning(kind):  # 35
    predictions = [[0.5, 0.5], [0.25, 0.75]] if "Binary" not in kind.__name__ else [0.5, 0.25]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value, gradient = kind().forward_backward(predictions, [0, 1], sample_weight=[0, 0])
    assert math.isnan(value)
    assert not gradient.any()


def test_arrays_with_the_methods_of_dask_that_are_in_memory_are_taken():
    assert cecore.binary_cross_entropy(Array([0.5, 0.5], None), Array([0, 1], None)) == math.log(2)


def test_frames_of_unequal_lengths_have_the_message_about_shapes():
    pandas = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match=r"^probs has shape \(3,\), targets has shape \(2,\): expected equal shapes"):
        cecore.binary_cross_entropy(pandas.Series([0.5, 0.5, 0.5]), pandas.Series([0, 1], [0, 2]))


# ---------------------------------------------------------------- the page

ELSEWHERE = [  # messages that need a library, another thread or the environment
    "probs is a bfloat16 tensor: reading it needs pip install 'cecore[bfloat16]'",
    "probs, targets or sample_weight changed during the call",
    "an array of the call changed during it, which works in place",
    "this thread has 46 KiB of stack left, but cecore needs 92 KiB",
    "a signal handler forked this process during a call with several threads, which this child does not have",
    "CECORE_SIMD = 'avx': expected one of baseline, x86_v3, x86_v4",
    "CECORE_NUM_THREADS = 'all': expected \"auto\" or an integer from 1 to 256",
]
ALL_MESSAGES = [mistake.message for mistake in MISTAKES] + [message for _, message in PYTHONS_OWN] + ELSEWHERE


def headings():
    """The stable parts of messages in the headings of the page, as patterns."""
    page = PAGE.read_text(encoding="utf-8")
    quoted = [part for line in re.findall(r"^###+ (.*)$", page, re.M) for part in re.findall("`([^`]+)`", line)]
    return {part: re.compile(".+".join(map(re.escape, part.split("...")))) for part in quoted if " " in part}


def test_every_message_has_its_heading():
    patterns = headings().values()
    assert not [message for message in ALL_MESSAGES if not any(pattern.search(message) for pattern in patterns)]


def test_every_heading_is_the_text_of_a_message():
    assert not [part for part, pattern in headings().items() if not any(map(pattern.search, ALL_MESSAGES))]
