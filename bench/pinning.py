"""The CPUs and the threads of a process: set before NumPy or any peer is imported."""

from __future__ import annotations

import os

# BLAS does dot products only: the memory floor's, from as many threads as there are, and SciPy's and numexpr's, which
# are bound by memory: each call has one thread.
SINGLE = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
SHARED = ("OMP_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS", "NUMBA_NUM_THREADS", "NPROC")  # NPROC: XLA


def available() -> list[int]:
    """The CPUs that this process may use; nothing where the system does not tell (macOS, Windows)."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def pin(threads: int) -> list[int]:
    """Keep to the last CPUs of the inherited mask (`taskset -c 0 python -m bench` chooses), and to so many threads."""
    os.environ.update(dict.fromkeys(SINGLE, "1"))
    os.environ.update(dict.fromkeys(SHARED, str(threads)))
    cpus = available()[-threads:]
    if cpus:
        os.sched_setaffinity(0, cpus)
    return cpus
