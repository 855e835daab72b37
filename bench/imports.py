"""The import time of cecore in addition to NumPy, in fresh processes with compiled Python files."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

PROCESSES = 15
SCRIPT = """
from time import perf_counter
start = perf_counter()
import numpy
middle = perf_counter()
import cecore
print(middle - start, perf_counter() - middle)
"""


def seconds(cache: str) -> tuple[float, float]:
    """Return the seconds to import NumPy, and to import cecore after it."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {**kept, "PYTHONPYCACHEPREFIX": cache}
    said = subprocess.run([sys.executable, "-c", SCRIPT], check=True, env=environment, capture_output=True, text=True)
    numpy, cecore = map(float, said.stdout.split())
    return numpy, cecore


def measure() -> dict[str, float]:
    """Return the medians in milliseconds."""
    with tempfile.TemporaryDirectory() as cache:
        seconds(cache)  # compiles the files
        numpy, cecore = zip(*(seconds(cache) for _ in range(PROCESSES)), strict=True)
    return {"numpy_ms": statistics.median(numpy) * 1e3, "added_ms": statistics.median(cecore) * 1e3}
