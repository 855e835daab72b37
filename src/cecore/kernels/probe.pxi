# For the tests: each formula alone, over one block of arrays.

cdef double run_probe(
    Binary *loss, Block *block, int wanted, tuple arrays, tuple constants, int flags, real unused
) except? -1:
    cdef int state
    cdef uint64_t saved
    cdef double eps, pos_weight, smoothing, gamma, factor
    cdef cnp.ndarray x, targets, pos_weights, weights, factors, wide, value, gradient, hessian
    eps, pos_weight, smoothing, gamma, factor = constants
    x, targets, pos_weights, weights, factors, wide, value, gradient, hessian = arrays
    block.x = cnp.PyArray_DATA(x)
    block.targets = cnp.PyArray_DATA(targets)
    block.pos_weights = cnp.PyArray_DATA(pos_weights)
    block.weights = cnp.PyArray_DATA(weights)
    block.factors = cnp.PyArray_DATA(factors)
    block.wide_factors = <const double *>cnp.PyArray_DATA(wide)
    block.value = cnp.PyArray_DATA(value)
    block.gradient = cnp.PyArray_DATA(gradient)
    block.hessian = cnp.PyArray_DATA(hessian)
    block.sum = 0
    saved = cecore_enter()
    set_binary(loss, eps, pos_weight, smoothing, gamma, factor, flags, unused)
    state = binary_block(block, loss, wanted, unused)
    cecore_settle(&block.sum)
    cecore_leave(saved)
    return NAN if state == BAD else block.sum


def probe(int n, int wanted, int flags, tuple arrays, tuple constants, bint weighted=False, bint is_wide=False):
    """Compute one block of a binary loss, of at most 512 elements, and return its sum; NaN for an invalid input.

    All arrays have whole vectors of 16 numbers of one type, but the wide factors are float64: x, targets, pos_weights,
    weights, factors, wide factors, value, gradient, hessian. The constants are eps, pos_weight, smoothing, gamma and
    factor. wanted and flags are those of elements.pxi.
    """
    cdef Binary loss
    cdef Block block
    block.n = n
    block.weighted = weighted
    block.is_wide = is_wide
    if cnp.PyArray_TYPE(arrays[0]) == cnp.NPY_DOUBLE:
        return run_probe(&loss, &block, wanted, arrays, constants, flags, <double>0)
    return run_probe(&loss, &block, wanted, arrays, constants, flags, <float>0)
