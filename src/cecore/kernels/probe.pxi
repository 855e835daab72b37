# For the tests and tools: the scalar functions, the exact sum, and each formula of the binary losses, alone.

cdef inline real chosen(bint is_this, real result, real other) noexcept nogil:
    return result if is_this else other


cdef inline real scalar_function(int number, real a, real b, real c) noexcept nogil:
    # The result with a number, which tests/scalars.py knows. All are computed and one is selected, so that this is
    # vector code as in the kernels. What only double has is computed in double.
    cdef real n, scale, smaller, error
    cdef double rest
    cdef double g = a * (1 + 2.0 ** -26)  # not a number of float
    cdef real r = 0
    r = chosen(number == 0, pair_log(a, b), r)
    r = chosen(number == 1, any_pair_log(a, b), r)
    r = chosen(number == 2, log_ratio(a, b), r)
    r = chosen(number == 3, log1p_fraction(a, b), r)
    r = chosen(number == 4, log1p_row(a, b), r)
    r = chosen(number == 5, log1p_unit(a, b), r)
    r = chosen(number == 6, exp_fraction(a, &n), r)
    r = chosen(number == 7, n, r)
    r = chosen(number == 8, exp_short_fraction(a, &n), r)
    r = chosen(number == 9, n, r)
    r = chosen(number == 10, any_exp_fraction(a, False, &n, &scale), r)
    r = chosen(number == 11, n, r)
    r = chosen(number == 12, scale, r)
    r = chosen(number == 13, any_exp_fraction(a, True, &n, &scale), r)
    r = chosen(number == 14, n, r)
    r = chosen(number == 15, scale, r)
    r = chosen(number == 16, exp_of_product(g, b, c), r)
    r = chosen(number == 17, sigmoids(a, b, c, &smaller), r)
    r = chosen(number == 18, smaller, r)
    r = chosen(number == 19, exponential(a, <real>0, b, <real>-INFINITY, &error), r)
    r = chosen(number == 20, error, r)
    r = chosen(number == 21, <real>cecore_power(a, b), r)
    r = chosen(number == 22, <real>cecore_product_lost(a, b, <double>a * b), r)
    r = chosen(number == 23, <real>cecore_remainder(a, b, c), r)
    r = chosen(number == 24, <real>cecore_product(a, b, c), r)
    r = chosen(number == 25, <real>cecore_quotient(a, b, c, &rest), r)
    r = chosen(number == 26, <real>rest, r)
    return chosen(number == 27, <real>cecore_24_bits(a), r)


cdef void scalar_loop(
    int number, const real *a, const real *b, const real *c, real *restrict out, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n // SUM_LANES * SUM_LANES):
        out[i] = scalar_function(number, a[i], b[i], c[i])


def evaluate(int number, cnp.ndarray a, cnp.ndarray b, cnp.ndarray c, cnp.ndarray out):
    """Compute a scalar function over contiguous arrays of one type, whose length is a multiple of 16."""
    cdef uint64_t saved = cecore_enter()
    if cnp.PyArray_TYPE(a) == cnp.NPY_DOUBLE:
        scalar_loop(number, <double *>a.data, <double *>b.data, <double *>c.data, <double *>out.data, a.size)
    else:
        scalar_loop(number, <float *>a.data, <float *>b.data, <float *>c.data, <float *>out.data, a.size)
    cecore_leave(saved)


def exact_sum(cnp.ndarray terms, int64_t repeats=1):
    """The sum of float64 numbers >= 0, each added `repeats` times, rounded once.

    All but the last of these additions are one multiplication of the limbs, so that the carries are soon reached.
    """
    cdef Accumulator sum
    cdef Accumulator one
    cdef Py_ssize_t i, j
    cdef double result
    cdef uint64_t saved = cecore_enter()
    accumulator_clear(&sum)
    for i in range(terms.size):
        accumulator_clear(&one)
        accumulator_add(&one, (<double *>terms.data)[i])
        for j in range(LIMBS):
            sum.limb[j] += one.limb[j] * (repeats - 1)
        sum.pending += repeats - 1
        accumulator_add(&sum, (<double *>terms.data)[i])
    result = accumulator_round(&sum)
    cecore_settle(&result)
    cecore_leave(saved)
    return result


cdef double run_probe(
    Binary *loss, Block *block, int wanted, tuple arrays, tuple constants, int flags, real of_type
) except? -1:
    cdef int state
    cdef uint64_t saved
    cdef double eps, pos_weight, smoothing, gamma, factor
    eps, pos_weight, smoothing, gamma, factor = constants
    block.x = cnp.PyArray_DATA(arrays[0])
    block.targets = cnp.PyArray_DATA(arrays[1])
    block.pos_weights = cnp.PyArray_DATA(arrays[2])
    block.weights = cnp.PyArray_DATA(arrays[3])
    block.factors = cnp.PyArray_DATA(arrays[4])
    block.wide_factors = <const double *>cnp.PyArray_DATA(arrays[5])
    block.value = cnp.PyArray_DATA(arrays[6])
    block.gradient = cnp.PyArray_DATA(arrays[7])
    block.hessian = cnp.PyArray_DATA(arrays[8])
    block.sum = 0
    saved = cecore_enter()
    set_binary(loss, eps, pos_weight, smoothing, gamma, factor, flags, of_type)
    state = binary_block(block, loss, wanted, of_type)
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
