"""The bits of results are a contract: hashes of many calls, the same on every level with fused multiply-add.

python tests/test_golden.py            print this machine's hashes, for each usable level
python tests/test_golden.py --write    store them in golden.json (a change of bits needs a changelog line)
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from registry import LOSSES

from cecore import _dispatch

pytestmark = pytest.mark.filterwarnings("ignore::cecore.InputWarning")  # many rows here do not sum to 1, on purpose
GOLDEN = Path(__file__).with_name("golden.json")
LENGTHS = range(1001)


def uniform(seed, n):
    """Numbers in [0, 1) from integers alone: the same with every version of NumPy."""
    x = np.arange(1, n + 1, dtype=np.uint64) + np.uint64(seed << 32)
    x *= np.uint64(0x9E3779B97F4A7C15)
    x ^= x >> np.uint64(29)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(32)
    return (x >> np.uint64(11)).astype(np.float64) * 2.0**-53


def arrays(loss, dtype, n, classes=3):
    """Pairs of predictions and targets by name, and weights."""
    sure = uniform(5, n) / 16  # near the label: the product method's complements decide
    if loss.logits:
        return logit_arrays(loss, n, classes, dtype)
    if loss.binary:
        p, t, hard = uniform(1, n), uniform(2, n), (uniform(3, n) < 0.5).astype(np.int64)
        p[::11], p[5::13] = 0.0, 1.0
        near = np.where(hard == 1, 1 - sure, sure)
    else:
        p = uniform(1, n * classes).reshape(n, classes)
        t = uniform(2, n * classes).reshape(n, classes)
        hard = (uniform(3, n) * classes).astype(np.int64)
        near = p * sure[:, None]
        near[np.arange(n), hard] = 1 - sure
        p[::11, 0] = 0.0
    pairs = {"hard": (p, hard), "soft": (p, t.astype(dtype)), "sure": (near, hard)}
    return {name: (p.astype(dtype), t) for name, (p, t) in pairs.items()}, (uniform(4, n) * 2).astype(dtype)


def logit_arrays(loss, n, classes, dtype):
    shape = n if loss.binary else (n, classes)
    z = (uniform(1, n if loss.binary else n * classes) - 0.5).reshape(shape)
    t = uniform(2, z.size).reshape(shape)
    hard = (uniform(3, n) * (2 if loss.binary else classes)).astype(np.int64)
    far = z * 1500
    far[::17] = np.inf if loss.binary else [-np.inf, *range(classes - 1)]
    pairs = {"hard": (z * 8, hard), "soft": (z * 30, t.astype(dtype)), "far": (far, hard)}
    return {name: (z.astype(dtype), t) for name, (z, t) in pairs.items()}, (uniform(4, n) * 2).astype(dtype)


def digests(loss):
    """Hashes of values, elements and derivatives over every length, with and without weights and options."""
    options = {"hard": {}, "soft": {"mean_over": "count"}, "sure": {"label_smoothing": 0.25}}
    options["far"] = {"label_smoothing": 0.25, "focal_gamma": 1.5}
    found = {}
    for classes, lengths in (
        ((2, LENGTHS[:80]), (3, LENGTHS), (40, LENGTHS[:80]), (70, LENGTHS[:20]), (300, LENGTHS[:5]))
        if not loss.binary
        else ((1, LENGTHS),)
    ):
        for dtype in (np.float64, np.float32):
            pairs, w = arrays(loss, dtype, lengths[-1], classes)
            for kind, (p, t) in pairs.items():
                none = loss.kind(reduction="none", **({"gradient_outside": "zero"} if "eps" in loss.options else {}))
                name = f"{loss.name} {classes} {np.dtype(dtype)} {kind}"
                found |= digest(name, loss.kind(), loss.kind(**options[kind]), none, p, t, w, lengths)
    return found


def digest(name, total, optional, none, p, t, w, lengths):
    names = "value", "weighted", "elements", "gradient", "hessian", "derivatives", "options"
    parts = {part: hashlib.sha256() for part in names}
    for n in lengths:
        value, gradient = total.forward_backward(p[:n], t[:n])
        parts["value"].update(np.float64(value).tobytes() if n else b"")
        parts["gradient"].update(gradient.tobytes())
        if n % 16 < 3:
            weights = {"sample_weight": w[:n]}
            value = total.forward(p[:n], t[:n], **weights)
            parts["weighted"].update(np.float64(value).tobytes() if n else b"")
            parts["elements"].update(none.forward(p[:n], t[:n], **weights).tobytes())
            for array in none.gradient_hessian(p[:n], t[:n], **weights):
                parts["hessian"].update(array.tobytes())
            for array in [*total.gradient_hessian(p[:n], t[:n]), *total.gradient_hessian(p[:n], t[:n], **weights)]:
                parts["derivatives"].update(array.tobytes())
            value, gradient = optional.forward_backward(p[:n], t[:n], **weights)
            parts["options"].update(np.float64(value).tobytes() if n else b"")
            parts["options"].update(gradient.tobytes())
    return {f"{name} {part}": hashed.hexdigest()[:16] for part, hashed in parts.items()}


@pytest.mark.usefixtures("level")
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_the_bits_are_the_golden_ones(loss):
    stored = json.loads(GOLDEN.read_text())["fma" if _dispatch.kernels.has_fma else "baseline"]
    got = digests(loss)
    assert {name: digest for name, digest in stored.items() if name in got} == got


def main():
    hashes = {}
    for level, kernels in _dispatch.usable.items():
        _dispatch.kernels = kernels
        found = {name: digest for loss in LOSSES for name, digest in digests(loss).items()}
        together = hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]
        print(f"{level:9} {'fma' if kernels.has_fma else 'no fma':6} {together}")
        hashes.setdefault("fma" if kernels.has_fma else "baseline", found)
    if "--write" in sys.argv:
        GOLDEN.write_text(json.dumps(hashes, indent=1) + "\n")


if __name__ == "__main__":
    main()
