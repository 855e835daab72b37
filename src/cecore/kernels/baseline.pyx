# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
# cython: freethreading_compatible=True, binding=False
from array import array

include "kernels.pxi"

cdef extern from "cpu.h" nogil:
    int cecore_cpu_level() noexcept


def cpu_level():
    """The highest x86-64 level that this CPU and its operating system support: 4, 3, or 0 for the baseline."""
    return cecore_cpu_level()


def pack(
    int kind, int reduction=MEAN, double eps=0, double smoothing=0, double gamma=0,
    ignore_index=None, int axis=-1, bint zero_outside=False, bint by_count=False, Py_ssize_t length=0, weights=(),
):
    """The options of a loss as `loss` takes them."""
    cdef Options options
    cdef double weight
    cdef uint64_t saved
    memset(&options, 0, sizeof(Options))
    options.eps = eps
    options.smoothing = smoothing
    options.gamma = gamma
    options.ignored_number = NAN
    if ignore_index is not None:
        if float(ignore_index) == ignore_index:
            options.ignored_number = ignore_index
        options.ignores = SIGNED if ignore_index < 1 << 63 else UNSIGNED
        options.ignore_index = <int64_t><uint64_t>(ignore_index & 0xffffffffffffffff)
    options.axis = axis
    options.reduction = reduction
    options.kind = kind
    options.zero_outside = zero_outside
    options.by_count = by_count
    options.length = length
    options.weights = len(weights)
    saved = cecore_enter()  # where small numbers count as 0, weights would be taken for ordinary ones
    for weight in weights:
        options.awkward |= is_awkward(weight) or (is_extreme(weight) and not has_rows(kind))
    cecore_leave(saved)
    return (<const char *>&options)[:sizeof(Options)] + array("d", weights).tobytes()
