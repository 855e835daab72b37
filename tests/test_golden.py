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


def digests(loss):
    """Hashes of values, elements and gradients over every length, with and without weights."""
    found = {}
    for dtype in (np.float64, np.float32):
        pairs, w = arrays(loss, dtype, LENGTHS[-1])
        for kind, (p, t) in pairs.items():
            total, none = loss.kind(), loss.kind(reduction="none", gradient_outside="zero")
            parts = {name: hashlib.sha256() for name in ("value", "weighted", "elements", "gradient", "hessian")}
            for n in LENGTHS:
                value, gradient = total.forward_backward(p[:n], t[:n])
                parts["value"].update(np.float64(value).tobytes() if n else b"")
                parts["gradient"].update(gradient.tobytes())
                if n % 16 < 3:
                    weighted = total.forward(p[:n], t[:n], sample_weight=w[:n])
                    parts["weighted"].update(np.float64(weighted).tobytes() if n else b"")
                    parts["elements"].update(none.forward(p[:n], t[:n], sample_weight=w[:n]).tobytes())
                    for array in none.gradient_hessian(p[:n], t[:n], sample_weight=w[:n]):
                        parts["hessian"].update(array.tobytes())
            for name, part in parts.items():
                found[f"{loss.name} {np.dtype(dtype)} {kind} {name}"] = part.hexdigest()[:16]
    return found


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
