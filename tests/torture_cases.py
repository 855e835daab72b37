"""The cases of torture.json as arrays: inputs on which cross-entropy code has publicly been reported to go wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mpmath import mpf

FILE = Path(__file__).with_name("torture.json")
CLASSES = {
    "binary_cross_entropy": "BinaryCrossEntropy",
    "binary_cross_entropy_with_logits": "BinaryCrossEntropyWithLogits",
    "cross_entropy": "CrossEntropy",
    "cross_entropy_with_logits": "CrossEntropyWithLogits",
}


@dataclass(frozen=True)
class Case:
    name: str
    function: str
    method: str  # forward, backward, gradient_hessian; call for sigmoid, softmax and log_softmax
    dtype: str
    x: np.ndarray
    targets: np.ndarray | None
    given_dtype: bool  # the targets' type is what the case is about
    sample_weight: np.ndarray | None
    options: dict[str, Any]
    exact: list[np.ndarray]  # object arrays of mpmath numbers; two for gradient_hessian, none for an error
    error: str | None
    tolerance: float
    trouble: str
    source: str

    @property
    def binary(self) -> bool:
        return self.function.startswith("binary")

    @property
    def logits(self) -> bool:
        return self.function.endswith("logits")

    @property
    def reduction(self) -> str:
        return self.options.get("reduction", "mean")

    @property
    def labels(self) -> bool:
        """Whether the targets are class labels, not a distribution."""
        return not self.binary and self.targets.ndim < self.x.ndim

    @property
    def unit(self) -> str:
        """The type whose ULP the tolerance counts; reduced, it is a Python float from terms of the computing type."""
        if self.method == "forward" and self.reduction != "none" and self.dtype != "float64":
            return "float32"
        return self.dtype


def dtype_of(name: str) -> np.dtype:
    if name == "bfloat16":
        import ml_dtypes  # optional: only these cases need it

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def leaves(nested: Any) -> list[Any]:
    return [leaf for item in nested for leaf in leaves(item)] if isinstance(nested, list) else [nested]


def nested_map(function: Any, nested: Any) -> Any:
    return [nested_map(function, item) for item in nested] if isinstance(nested, list) else function(nested)


def array(nested: Any, dtype: str, *, integers: bool = False) -> np.ndarray:
    """Numbers, or strings where JSON has no number; integers stay labels unless a type is asked for."""
    if integers and all(isinstance(leaf, int) for leaf in leaves(nested)):
        return np.array(nested, np.int64)
    return np.array(nested_map(float, nested), np.float64).astype(dtype_of(dtype))


def case_of(row: dict[str, Any]) -> Case:
    computing = "float64" if row["dtype"] == "float64" else "float32"
    exact = row.get("exact") or {}
    parts = [exact] if not isinstance(exact, dict) else [exact[k] for k in ("gradient", "hessian") if k in exact]
    targets, weights = row.get("targets"), row.get("sample_weight")
    chosen = row.get("targets_dtype")
    return Case(
        name=row["name"],
        function=row["function"],
        method=row["method"],
        dtype=row["dtype"],
        x=array(row["x"], row["dtype"]),
        targets=None if targets is None else array(targets, chosen or computing, integers=chosen is None),
        given_dtype=chosen is not None,
        sample_weight=None if weights is None else array(weights, computing),
        options=row.get("options", {}),
        exact=[np.array(nested_map(mpf, part), object) for part in parts],
        error=exact.get("error") if isinstance(exact, dict) else None,
        tolerance=row["tolerance"],
        trouble=row["trouble"],
        source=row["source"],
    )


def rows() -> list[dict[str, Any]]:
    return json.loads(FILE.read_text())


def cases() -> list[Case]:
    return [case_of(row) for row in rows()]
