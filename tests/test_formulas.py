"""Each formula of the kernels alone, over one block, against the definition; in every position and length."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import pytest
from mpmath import mpf
from reference import evaluate
from ulp import bits, inside

from cecore import _dispatch

pytestmark = pytest.mark.usefixtures("level")
each_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32])

BLOCK = 512
LENGTHS = [*range(1, 41), *range(BLOCK - 17, BLOCK + 1)]
SUM, GRADIENT, HESSIAN, EACH = 1, 2, 4, 8  # what is wanted of a block
SMOOTHED, POS_WEIGHT, POS_WEIGHTS, ZERO_OUTSIDE, ONLY_GENERAL, LOGITS = 1, 2, 4, 8, 16, 64
WANTED = [EACH, GRADIENT, EACH | GRADIENT, SUM | GRADIENT, GRADIENT | HESSIAN]
EPS = 1e-7
OPTIONS = [
    {},
    {"pos_weight": 2.5},
    {"label_smoothing": 0.1},
    {"pos_weight": 0.3, "label_smoothing": 0.25},
    {"gradient_outside": "zero"},
    {"eps": 0.0},
    {"eps": 1e-3},
]
LOGIT_OPTIONS = [*OPTIONS[:4], *({"focal_gamma": g} for g in (1.0, 2.0, 0.5, 2.5, 1.7)),
                 {"focal_gamma": 2.0, "pos_weight": 3.0, "label_smoothing": 0.1}]  # fmt: skip


def padded(array, filling, dtype):
    """A copy that is padded to whole vectors, as the drivers do."""
    n = len(array)
    out = np.full(-(-n // 16) * 16, filling, dtype)
    out[:n] = array
    return out


def run(x, t, wanted, options, *, logits, w=None, general=False, factor=1.0, factors=None):
    """Return the sum, the losses, the gradient and the Hessian of a block; what is not wanted is NaN."""
    dtype, n = x.dtype, len(x)
    pos_weight = options.get("pos_weight", 1.0)
    flags = (LOGITS * logits) | (ONLY_GENERAL * general)
    flags |= POS_WEIGHT * (pos_weight != 1) | ZERO_OUTSIDE * (options.get("gradient_outside") == "zero")
    weights = padded(np.ones(n) if w is None else w, 0, dtype)
    wide = padded(np.full(n, factor) if factors is None else factors, 0, np.float64)
    wide[weights == 0] = 0
    with np.errstate(over="ignore", under="ignore"):
        narrow = wide.astype(dtype)
    outputs = [np.full(weights.size, np.nan, dtype) for _ in range(3)]
    arrays = (
        padded(x, 1, dtype), padded(t, 1, dtype), np.full(weights.size, pos_weight, dtype), weights, narrow, wide,
        *outputs,
    )  # fmt: skip
    constants = (
        options.get("eps", EPS), pos_weight, options.get("label_smoothing", 0.0), options.get("focal_gamma", 0.0), factor,
    )  # fmt: skip
    total = _dispatch.kernels.probe(
        n, wanted, flags, arrays, constants, w is not None or factors is not None, bool(np.any(narrow != wide))
    )
    return total, *(output[:n] for output in outputs)


def directed(logits, dtype):
    """Predictions where a formula changes its form, and ordinary ones."""
    rng = np.random.default_rng(3)
    if logits:
        near = [0.0, 1e-30, 1e-8, 0.3, 0.34657, 0.3466, 0.69, 1.0, 1.0397, 5.0, 17.0, 36.0, 37.5, 60.0, 79.9]
        far = [80.1, 87.0, 100.0, 104.0, 1e30, math.inf]
        far += [120.0, 699.9, 700.1, 708.0, 745.0, 746.0, 1e300] if dtype == np.float64 else []
        x = np.array(near + far)
        return np.concatenate([x, -x, rng.normal(0, 5, 8)]).astype(dtype)
    info = np.finfo(dtype)
    x = [0, 1e-300, 1e-40, EPS, 1e-3, 0.1, 0.25, 0.2928, 0.293, 0.5, math.sqrt(0.5), 0.7, 0.75, 0.999, 1 - EPS, 1]
    x = np.array([*x, info.tiny, info.smallest_subnormal, 1 - info.epsneg, *rng.random(8)]).astype(dtype)
    return np.concatenate([x, np.nextafter(x, dtype(0.5))])


TARGETS = (0.0, 1.0, 0.25, 0.5, 0.9, 1e-6)


@functools.cache
def cases(logits, dtype, index):
    """Predictions, targets, and the exact results: the same on every level."""
    options = (LOGIT_OPTIONS if logits else OPTIONS)[index]
    x = directed(logits, dtype)
    if options.get("focal_gamma"):  # a subnormal probability has lost its accuracy before it is multiplied
        least, most = (86, 105) if dtype == np.float32 else (707, 747)
        x = x[~((abs(x) > least) & (abs(x) < most))]
    x, t = (a.astype(dtype).reshape(-1) for a in np.meshgrid(x, TARGETS))
    exact_options = dict(options)
    if not logits:
        exact_options.setdefault("eps", EPS)
    if "pos_weight" in options:
        exact_options["pos_weight"] = float(dtype(options["pos_weight"]))
    return x, t, evaluate(x, t, binary=True, logits=logits, reduction="none", **exact_options)


def bound(logits, hard, options):
    if options.get("focal_gamma"):
        return (8 + 2 * options["focal_gamma"],) * 3
    return 4, 4, 8


def parameters():
    return [
        pytest.param(logits, index, id=f"{'logits' if logits else 'probabilities'}-{options}")
        for logits, list_ in ((False, OPTIONS), (True, LOGIT_OPTIONS))
        for index, options in enumerate(list_)
    ]


@each_dtype
@pytest.mark.parametrize(("logits", "index"), parameters())
def test_each_formula_is_the_definition(logits, index, dtype):
    options = (LOGIT_OPTIONS if logits else OPTIONS)[index]
    if dtype == np.float32 and options.get("eps") == 0:
        pytest.skip("computed in double")
    x, t, want = cases(logits, dtype, index)
    value_size = [abs(v) for v in want.value]
    for hard, general in itertools.product((True, False), (True, False)):
        chosen = (t == 0) | (t == 1) if hard else t == t
        for wanted in WANTED:
            # ordinary predictions alone take the fast loops
            usual = np.abs(x) < (80 if dtype == np.float32 else 700) if logits else (x > 2e-3) & (x < 1 - 2e-3)
            for part in (chosen, chosen & usual):
                places = np.flatnonzero(part)
                for start in range(0, len(places), BLOCK):
                    some = places[start : start + BLOCK]
                    total, value, gradient, hessian = run(x[some], t[some], wanted, options, logits=logits, general=general)
                    limits = bound(logits, hard, options)
                    if wanted & EACH:
                        sizes = [value_size[i] for i in some]
                        assert inside(value, want.value[some], sizes, dtype, limits[0])
                    if wanted & GRADIENT:
                        assert inside(gradient, want.gradient[some], want.sizes[0][some], dtype, limits[1])
                    if wanted & HESSIAN:
                        assert inside(hessian, want.second[some], want.sizes[2][some], dtype, limits[2])
                    if wanted & SUM:
                        exact = sum(want.value[some], mpf(0))
                        limit = 1e-14 if dtype == np.float64 else 2.0**-22
                        limit *= 8 + 2 * options["focal_gamma"] if options.get("focal_gamma") else 1
                        assert total == exact or abs(total - exact) <= limit * exact
