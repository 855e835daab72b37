"""The losses, as every test, tool and bench reads them: adding a loss adds a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

import cecore

BLOCK = 512  # elements of a kernel block, and twice the rows of one: sums and fallbacks go by it


@dataclass(frozen=True)
class Loss:
    name: str
    kind: type
    function: Callable[..., Any]
    binary: bool
    logits: bool
    options: dict[str, tuple[Any, ...]]  # beside reduction: values to combine, the default first

    @property
    def unclipped(self) -> dict[str, Any]:
        """The options with which no probability is clipped."""
        return {"eps": 0} if "eps" in self.options else {}

    def combinations(self) -> list[dict[str, Any]]:
        return [dict(zip(self.options, values, strict=True)) for values in product(*self.options.values())]

    def shapes(self, n: int, classes: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The shapes of n losses' predictions and of their distributions."""
        shape = (n,) if self.binary else (n, classes)
        return shape, shape

    def probabilities(self, rng: np.random.Generator, n: int, dtype: Any = np.float64, classes: int = 3) -> np.ndarray:
        if self.binary:
            return rng.random(n).astype(dtype)
        return rng.dirichlet(np.ones(classes), n).astype(dtype).reshape(n, classes)

    def predictions(self, rng: np.random.Generator, n: int, dtype: Any = np.float64, classes: int = 3) -> np.ndarray:
        if self.logits:
            return rng.normal(0, 3, n if self.binary else (n, classes)).astype(dtype)
        return self.probabilities(rng, n, dtype, classes)

    def hard(self, rng: np.random.Generator, n: int, classes: int = 3) -> np.ndarray:
        return rng.integers(0, 2 if self.binary else classes, n)

    def soft(self, rng: np.random.Generator, n: int, dtype: Any = np.float64, classes: int = 3) -> np.ndarray:
        return self.probabilities(rng, n, dtype, classes)

    def bounds(self, hard: bool, options: dict[str, Any]) -> tuple[float, float, float]:
        """The largest errors of value, gradient and Hessian that the documentation allows, in ULP; 1 more with weights.

        Of soft targets by logits, and with options, they are relative to the terms' absolute values.
        """
        if options.get("focal_gamma"):
            return (12 + 2 * options["focal_gamma"],) * 3
        if options.get("label_smoothing") or options.get("pos_weight") is not None:
            return (5, 5, 6 if self.binary else 8) if self.logits else (4, 4, 6)
        if not hard:
            return 4, 4, 8 if self.logits and not self.binary else 6
        return (4, 4, 8) if self.logits else (2, 2, 6)


CLIPPING = {"eps": (1e-7, 0.0, 1e-3), "gradient_outside": ("clipped", "zero")}

FOCAL = {"focal_gamma": (0.0, 2.0)}

LOSSES = [
    Loss("bce", cecore.BinaryCrossEntropy, cecore.binary_cross_entropy, True, False, CLIPPING),
    Loss("ce", cecore.CrossEntropy, cecore.cross_entropy, False, False, CLIPPING),
    Loss(
        "bce_logits",
        cecore.BinaryCrossEntropyWithLogits,
        cecore.binary_cross_entropy_with_logits,
        True,
        True,
        FOCAL,
    ),
    Loss("ce_logits", cecore.CrossEntropyWithLogits, cecore.cross_entropy_with_logits, False, True, FOCAL),
]
