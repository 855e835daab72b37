"""The losses, as every test, tool and bench reads them: adding a loss adds a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

import cecore

BLOCK = 256  # elements or rows of a kernel block: sums and fallbacks go by it


@dataclass(frozen=True)
class Loss:
    name: str
    kind: type
    function: Callable[..., Any]
    binary: bool
    logits: bool
    options: dict[str, tuple[Any, ...]]  # beside reduction: values to combine, the default first

    def combinations(self) -> list[dict[str, Any]]:
        return [dict(zip(self.options, values, strict=True)) for values in product(*self.options.values())]

    def shapes(self, n: int, classes: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The shapes of n losses' predictions and of their distributions."""
        shape = (n,) if self.binary else (n, classes)
        return shape, shape

    def predictions(self, rng: np.random.Generator, n: int, dtype: Any = np.float64, classes: int = 3) -> np.ndarray:
        if self.binary:
            return rng.random(n).astype(dtype)
        return rng.dirichlet(np.ones(classes), n).astype(dtype).reshape(n, classes)

    def hard(self, rng: np.random.Generator, n: int, classes: int = 3) -> np.ndarray:
        return rng.integers(0, 2 if self.binary else classes, n)

    def soft(self, rng: np.random.Generator, n: int, dtype: Any = np.float64, classes: int = 3) -> np.ndarray:
        return self.predictions(rng, n, dtype, classes)


CLIPPING = {"eps": (1e-7, 0.0, 1e-3), "gradient_outside": ("clipped", "zero")}

LOSSES = [
    Loss("bce", cecore.BinaryCrossEntropy, cecore.binary_cross_entropy, True, False, CLIPPING),
    Loss("ce", cecore.CrossEntropy, cecore.cross_entropy, False, False, CLIPPING),
]
