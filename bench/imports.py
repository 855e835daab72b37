"""What importing cecore adds to importing NumPy: each in fresh processes, by turns, of compiled Python files."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from time import perf_counter

PROCESSES = 15


def seconds(statement: str, cache: str) -> float:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True, env={**kept, "PYTHONPYCACHEPREFIX": cache})
    return perf_counter() - start


def measure() -> dict[str, float]:
    """Medians in milliseconds: of Python with NumPy, and of what cecore adds."""
    base, both = [], []
    with tempfile.TemporaryDirectory() as cache:
        for number in range(PROCESSES + 1):
            times = seconds("import numpy", cache), seconds("import numpy, cecore", cache)
            if number:  # the first compiles the files
                base.append(times[0])
                both.append(times[1])
    added = statistics.median(b - a for a, b in zip(base, both, strict=True))
    return {"numpy_ms": statistics.median(base) * 1e3, "added_ms": added * 1e3}
