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


cdef inline bint first_may_be_hard(const Array *x) noexcept nogil:
    # Return whether the first prediction counts as 0 or 1, or is of a rare type; nearly every call ends here.
    cdef double value = 0.5
    cdef float narrow = 0
    if x.type == cnp.NPY_DOUBLE and not x.swapped:
        memcpy(&value, x.data, sizeof(double))
    elif x.type == cnp.NPY_FLOAT and not x.swapped:
        memcpy(&narrow, x.data, sizeof(float))
        value = narrow
    else:
        return True
    return not 1e-6 < value < 1 - 1e-6


cdef bint looks_swapped(const Call *call) noexcept nogil:
    # Return whether the first predictions all count as 0 or 1 while one of their targets lies between.
    cdef double x[BLOCK]
    cdef double t[BLOCK]
    cdef Py_ssize_t n = min(call.n, <Py_ssize_t>BLOCK)
    cdef Py_ssize_t i
    cdef bint any_between = False
    load(&call.x, 0, False, n, x)
    load(&call.targets, 0, False, n, t)
    round_to_unit(&x[0], n, TOLERATED * machine_epsilon(call.x.type))
    for i in range(n):
        if x[i] != 0 and x[i] != 1:
            return False
        any_between |= 0 < t[i] < 1
    return any_between


cdef inline double short_sum(const real *x, Py_ssize_t n) noexcept nogil:
    # Two sums, which do not wait for each other
    cdef double even = 0
    cdef double odd = 0
    cdef Py_ssize_t i
    for i in range(0, n - 1, 2):
        even += x[i]
        odd += x[i + 1]
    return even + odd + (x[n - 1] if n % 2 else 0)


cdef inline bint first_row_sums_to_1(const Call *call) noexcept nogil:
    # Return True if a short first row counts and sums to 1; nearly every call ends here.
    cdef double total = 0
    if call.given & WEIGHTS or call.options.ignores or call.classes > SUM_LANES:
        return False
    if of_computing_type(&call.x, <double>0):
        total = short_sum(<const double *>call.x.data, call.classes)
    elif of_computing_type(&call.x, <float>0):
        total = short_sum(<const float *>call.x.data, call.classes)
    return fabs(total - 1) <= NEAR_1


cdef double long_sum(const real *x, Py_ssize_t n) noexcept nogil:
    # Two arrays of sums, each small enough for registers
    cdef real even[SUM_LANES]
    cdef real odd[SUM_LANES]
    cdef double total = 0
    cdef Py_ssize_t pairs = n // (2 * SUM_LANES)
    cdef Py_ssize_t i, j
    for j in range(SUM_LANES):
        even[j] = odd[j] = 0
    for i in range(pairs):
        for j in range(SUM_LANES):
            even[j] += x[2 * i * SUM_LANES + j]
        for j in range(SUM_LANES):
            odd[j] += x[(2 * i + 1) * SUM_LANES + j]
    for j in range(SUM_LANES):
        even[j] += odd[j]
    for j in range(SUM_LANES // 2):
        even[j] += even[j + SUM_LANES // 2]
    for j in range(SUM_LANES // 2):
        total += even[j]
    for i in range(2 * pairs * SUM_LANES, n):
        total += x[i]
    return total


cdef double plain_sum(const State *state, const real *x) noexcept nogil:
    cdef const Call *call = state.call
    cdef double total = 0
    cdef Py_ssize_t piece
    for piece in range((call.classes + ALONE - 1) // ALONE):
        total += long_sum(x + piece * ALONE, min(call.classes - piece * ALONE, <Py_ssize_t>ALONE))
        if call.classes > ALONE and halted(state):
            break
    return total


cdef double row_sum(const State *state, Py_ssize_t row, double near) noexcept nogil:
    # A quick sum, if that is near 1; else one in double, of numbers that count as 0 or 1 just outside [0, 1]
    cdef const Call *call = state.call
    cdef double scratch[BLOCK]
    cdef double total = 0
    cdef Py_ssize_t start = row * call.classes
    cdef Py_ssize_t piece, n
    if of_computing_type(&call.x, <double>0):
        total = plain_sum(state, <const double *>call.x.data + start)
    elif of_computing_type(&call.x, <float>0):
        total = plain_sum(state, <const float *>call.x.data + start)
    if fabs(total - 1) <= near:
        return total
    total = 0
    for piece in range(blocks(call.classes)):
        if halted_at(state, piece):
            break
        n = min(call.classes - piece * BLOCK, <Py_ssize_t>BLOCK)
        load(&call.x, start + piece * BLOCK, False, n, scratch)
        round_to_unit(&scratch[0], n, TOLERATED * machine_epsilon(call.x.type))
        total += long_sum(<const double *>&scratch[0], n)
    return total


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
            total = row_sum(state, start + i, near)
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
        return -1 if first_row_sums_to_1(call) else unnormalized_row(state)
    return 0 if first_may_be_hard(&call.x) and looks_swapped(call) else -1
