# Legal probabilities that look like a mistake: the caller is warned before anything is computed.

cdef enum:
    TOLERATED = 4  # machine epsilons outside [0, 1] that count as the user's own rounding
    MOST_SEARCHED = 1 << 16  # rows that do not count, or numbers of rows with NaN, before a row is checked
    MOST_SUMMED = 1024  # classes: with labels, adding up a longer row would cost more than the loss

cdef double NEAR_1 = 1e-3  # the distance from 1 at which the sum of a row is suspicious; ten times that for halves


cdef double machine_epsilon(int type) noexcept nogil:
    # Return 0 for integer types: an integer cannot lie just outside [0, 1].
    if type == cnp.NPY_DOUBLE or type == cnp.NPY_LONGDOUBLE:
        return 2.0 ** -52
    if type == cnp.NPY_FLOAT:
        return 2.0 ** -23
    if type == NPY_HALF:
        return 2.0 ** -10
    return 2.0 ** -7 if type == BFLOAT16 else 0


cdef bint looks_swapped(const Call *call) noexcept nogil:
    # Return whether the first predictions all count as 0 or 1 while one of their targets lies between.
    cdef double x[BLOCK]
    cdef double t[BLOCK]
    cdef Py_ssize_t n = min(call.n, <Py_ssize_t>BLOCK)
    cdef Py_ssize_t i
    cdef bint any_between = False
    load(&call.x, 0, False, 1, x)
    if 1e-6 < x[0] < 1 - 1e-6:  # nearly every call ends here
        return False
    load(&call.x, 0, False, n, x)
    load(&call.targets, 0, False, n, t)
    round_to_unit(&x[0], n, TOLERATED * machine_epsilon(call.x.type))
    for i in range(n):
        if x[i] != 0 and x[i] != 1:
            return False
        any_between |= 0 < t[i] < 1
    return any_between


cdef double row_sum(const State *state, Py_ssize_t row, bint rounded, real of_type) noexcept nogil:
    # rounded: numbers just outside [0, 1] count as 0 or 1
    cdef const Call *call = state.call
    cdef real scratch[BLOCK]
    cdef const real *x
    cdef double total = 0
    cdef Py_ssize_t start = row * call.classes
    cdef Py_ssize_t piece, n
    for piece in range(blocks(call.classes)):
        if halted_at(state, piece):
            break
        n = min(call.classes - piece * BLOCK, <Py_ssize_t>BLOCK)
        x = numbers_of(&call.x, start + piece * BLOCK, n, scratch)
        if rounded:
            memmove(scratch, x, n * sizeof(real))
            round_to_unit(&scratch[0], n, TOLERATED * machine_epsilon(call.x.type))
            x = scratch
        total += flat_sum(x, n)
    return total


cdef double any_row_sum(const State *state, Py_ssize_t row, double near) noexcept nogil:
    # A quick sum, if that is near 1; else one in double
    cdef double total
    if state.call.x.type == cnp.NPY_FLOAT:
        total = row_sum(state, row, False, <float>0)
    else:
        total = row_sum(state, row, False, <double>0)
    return total if fabs(total - 1) <= near else row_sum(state, row, True, <double>0)


cdef Py_ssize_t unnormalized_row(State *state) noexcept nogil:
    # Return the first row that counts and holds no NaN, if it does not sum to 1, else -1. The search gives up after
    # MOST_SEARCHED rows that do not count, or numbers of rows with NaN.
    cdef const Call *call = state.call
    cdef double w[BLOCK]
    cdef int64_t labels[BLOCK]
    cdef double near = 10 * NEAR_1 if in_halves(call.x.type) and call.x.type != cnp.NPY_FLOAT else NEAR_1
    cdef double total
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t left = MOST_SEARCHED
    cdef Py_ssize_t n = 1  # the first row alone settles nearly every call
    cdef Py_ssize_t i
    if call.labels and call.classes > MOST_SUMMED:
        return -1
    while start < call.n and left > 0:
        if call.given & WEIGHTS:
            load(&call.weights, start, False, n, w)
        if call.options.ignores:
            load_labels(&call.targets, &call.options, start, n, labels)
        for i in range(n):
            if (call.given & WEIGHTS and not w[i] > 0) or (call.options.ignores and labels[i] == IGNORED):
                continue
            total = any_row_sum(state, start + i, near)
            if total == total:
                return -1 if fabs(total - 1) <= near else start + i
            left -= call.classes
            if left <= 0:
                return -1
        start += n
        left -= n
        n = min(call.n - start, <Py_ssize_t>BLOCK)
    return -1


cdef inline Py_ssize_t suspicious_row(State *state) noexcept nogil:
    # Return the row of legal probabilities that look like a mistake (0 for elements), or -1; _checks words the warning.
    cdef const Call *call = state.call
    if call.n == 0:
        return -1
    if has_rows(call.kind):
        return unnormalized_row(state)
    return 0 if looks_swapped(call) else -1
