"""The CPUs and the threads of a process. They are set before NumPy or any peer is imported."""

from __future__ import annotations

import os

# BLAS only computes dot products here, for the bandwidth baseline (on slices, one per thread) and for SciPy and numexpr
# (limited by memory). Each call of BLAS has one thread.
SINGLE = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
SHARED = ("OMP_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS", "NUMBA_NUM_THREADS", "NPROC")  # NPROC: XLA


def available() -> list[int]:
    """Return the CPUs that this process can use; an empty list if the system does not say (macOS, Windows)."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def pin(threads: int) -> list[int]:
    """Limit this process to `threads` threads, and to as many CPUs: the last ones of the inherited mask.

    `taskset -c 0 python -m bench` chooses another CPU.
    """
    os.environ.update(dict.fromkeys(SINGLE, "1"))
    os.environ.update(dict.fromkeys(SHARED, str(threads)))
    cpus = available()[-threads:]
    if cpus:
        os.sched_setaffinity(0, cpus)
    return cpus
