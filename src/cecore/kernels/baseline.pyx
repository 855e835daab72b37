# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False, freethreading_compatible=True
include "kernels.pxi"

cdef extern from "cpu.h" nogil:
    int cecore_cpu_level() noexcept


def cpu_level():
    """The highest x86-64 level that this CPU and its operating system support: 4, 3, or 0 for the baseline."""
    return cecore_cpu_level()
