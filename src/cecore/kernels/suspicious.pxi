# Legal probabilities that look like a mistake: the caller is warned before anything is computed.

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


cdef bint looks_swapped(Job *job) noexcept nogil:
    # Return whether the first predictions all count as 0 or 1 while one of their targets lies between.
    cdef double x[BLOCK]
    cdef double t[BLOCK]
    cdef Py_ssize_t n = min(job.n, <Py_ssize_t>BLOCK)
    cdef Py_ssize_t i
    cdef bint any_between = False
    load(&job.x, 0, 1, n, x)
    load(&job.targets, 0, 1, n, t)
    round_to_unit(&x[0], n, TOLERATED * machine_epsilon(job.x.type))
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


cdef inline bint first_row_sums_to_1(const Job *job) noexcept nogil:
    # Return True if a short first row counts and sums to 1; nearly every call ends here.
    cdef double total = 0
    if job.weights.data != NULL or job.options.ignores or job.classes > SUM_LANES:
        return False
    if of_computing_type(&job.x, <double>0):
        total = short_sum(<const double *>job.x.data, job.classes)
    elif of_computing_type(&job.x, <float>0):
        total = short_sum(<const float *>job.x.data, job.classes)
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


cdef double plain_sum(const Job *job, const real *x) noexcept nogil:
    cdef double total = 0
    cdef Py_ssize_t piece
    for piece in range((job.classes + ALONE - 1) // ALONE):
        total += long_sum(x + piece * ALONE, min(job.classes - piece * ALONE, <Py_ssize_t>ALONE))
        if job.classes > ALONE and halted(job):
            break
    return total


cdef double row_sum(const Job *job, Py_ssize_t row, double near) noexcept nogil:
    # A quick sum, if that is near 1; else one in double, of numbers that count as 0 or 1 just outside [0, 1]
    cdef double scratch[BLOCK]
    cdef double total = 0
    cdef Py_ssize_t start = row * job.classes
    cdef Py_ssize_t piece, n
    if of_computing_type(&job.x, <double>0):
        total = plain_sum(job, <const double *>job.x.data + start)
    elif of_computing_type(&job.x, <float>0):
        total = plain_sum(job, <const float *>job.x.data + start)
    if fabs(total - 1) <= near:
        return total
    total = 0
    for piece in range(blocks(job.classes)):
        if halted_at(job, piece):
            break
        n = min(job.classes - piece * BLOCK, <Py_ssize_t>BLOCK)
        load(&job.x, start + piece * BLOCK, 1, n, scratch)
        round_to_unit(&scratch[0], n, TOLERATED * machine_epsilon(job.x.type))
        total += long_sum(<const double *>&scratch[0], n)
    return total


cdef Py_ssize_t unnormalized_row(Job *job) noexcept nogil:
    # Return the first row that counts and holds no NaN, if it does not sum to 1, else -1. The search gives up after
    # MOST_SEARCHED rows that do not count, or numbers of rows with NaN.
    cdef double w[BLOCK]
    cdef int64_t labels[BLOCK]
    cdef double near = 10 * NEAR_1 if in_halves(job.x.type) and job.x.type != cnp.NPY_FLOAT else NEAR_1
    cdef double total
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t left = MOST_SEARCHED
    cdef Py_ssize_t n = 1  # the first row alone settles nearly every call
    cdef Py_ssize_t i
    if job.labels and job.classes > MOST_SUMMED:
        return -1
    while start < job.n and left > 0:
        if job.weights.data != NULL:
            load(&job.weights, start, 1, n, w)
        if job.options.ignores:
            load_labels(&job.targets, &job.options, start, n, labels)
        for i in range(n):
            if (job.weights.data != NULL and not w[i] > 0) or (job.options.ignores and labels[i] == IGNORED):
                continue
            total = row_sum(job, start + i, near)
            if total == total:
                return -1 if fabs(total - 1) <= near else start + i
            left -= job.classes
            if left <= 0:
                return -1
        start += n
        left -= n
        n = min(job.n - start, <Py_ssize_t>BLOCK)
    return -1


cdef inline Py_ssize_t suspicious_row(Job *job) noexcept nogil:
    # Return the row of legal probabilities that look like a mistake (0 for elements), or -1; _checks words the warning.
    if job.n == 0:
        return -1
    if job.options.rows:
        return -1 if first_row_sums_to_1(job) else unnormalized_row(job)
    return 0 if first_may_be_hard(&job.x) and looks_swapped(job) else -1
