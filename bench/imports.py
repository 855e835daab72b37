"""What importing cecore adds to importing NumPy: each in fresh processes, by turns."""

from __future__ import annotations

import statistics
import subprocess
import sys
from time import perf_counter

PROCESSES = 15


def seconds(statement: str) -> float:
    start = perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return perf_counter() - start


def measure() -> dict[str, float]:
    """Medians in milliseconds: of Python with NumPy, and of what cecore adds."""
    base, both = [], []
    for number in range(PROCESSES + 1):
        times = seconds("import numpy"), seconds("import numpy, cecore")
        if number:  # the first reads the files
            base.append(times[0])
            both.append(times[1])
    added = statistics.median(b - a for a, b in zip(base, both, strict=True))
    return {"numpy_ms": statistics.median(base) * 1e3, "added_ms": added * 1e3}
