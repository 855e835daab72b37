"""The scalar functions: their exact values, and the bounds that their header states."""

from __future__ import annotations

import re
from pathlib import Path

import mpmath
import numpy as np

TABLE = (Path(__file__).parents[1] / "src" / "cecore" / "kernels" / "scalar_math.h").read_text()
# name in the header, the float version with an f behind it: bound in ULP
BOUNDS = {name: float(bound) for name, bound in re.findall(r"cecore_(\w+): below ([\d.]+) ULP", TABLE)}
# name in the header: the largest error found, and the input that attains it
WITNESSES = {
    name: (float(error), float.fromhex(place))
    for name, error, place in re.findall(r"cecore_(\w+): below [\d.]+ ULP; ([\d.]+) at (\S+)", TABLE)
}
EXACT = {
    "neg_log": lambda x: -mpmath.log(x),
    "log": mpmath.log,
    "log1p": mpmath.log1p,
    "exp": mpmath.exp,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus_rest": lambda x: mpmath.log1p(mpmath.exp(-abs(x))),
}
# the same in a wider NumPy type
WIDE = {
    "neg_log": lambda x: -np.log(x),
    "log": np.log,
    "log1p": np.log1p,
    "exp": np.exp,
    "sigmoid": lambda x: np.where(x < 0, np.exp(-np.abs(x)), 1) / (1 + np.exp(-np.abs(x))),
    "softplus_rest": lambda x: np.log1p(np.exp(-np.abs(x))),
}
