"""Times cecore against the formulas that people copy and against the memory: ``python -m bench``.

Importing the package, before NumPy, leaves one thread and one CPU, and finds the tests' registry and reference.
"""

import os
import sys
from pathlib import Path

for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"
AFFINITY = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
if AFFINITY:
    os.sched_setaffinity(0, {max(AFFINITY)})  # `taskset -c 0 python -m bench` chooses another
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
