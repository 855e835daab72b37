# Sums of a block, and of the rows of a block.

cdef inline double join_lanes(double *lanes) noexcept nogil:
    # the one tree in which eight lanes are added
    cdef Py_ssize_t j
    for j in range(4):
        lanes[j] += lanes[j + 4]
    return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])


cdef double lane_sum(Py_ssize_t n, const real *terms) noexcept nogil:
    cdef double lanes[SUM_LANES]
    cdef Py_ssize_t i, j
    for j in range(SUM_LANES):
        lanes[j] = terms[j]
    for i in range(1, padded(n) // SUM_LANES):
        for j in range(SUM_LANES):
            lanes[j] += terms[i * SUM_LANES + j]
    for j in range(8):
        lanes[j] += lanes[j + 8]
    return join_lanes(&lanes[0])


cdef inline real neighbour(real x, int step) noexcept nogil:
    # the next number after (step 1) or before (-1) a positive one
    if real is double:
        return cecore_double(cecore_bits(x) + step)
    else:
        return cecore_float(cecore_bitsf(x) + step)


cdef inline real absolute(real x) noexcept nogil:
    if real is double:
        return fabs(x)
    else:
        return fabsf(x)


cdef inline real subtraction_lost(real x, real y, real result) noexcept nogil:
    # what rounding x - y to the result lost
    cdef real back = result - x
    return (x - (result - back)) - (y + back)


cdef struct Sums:  # of rows side by side, or of the lanes of one row; each keeps what its additions lose
    double total[WIDTH]
    double lost[WIDTH]


cdef inline void add_exactly(double *total, double *lost, double term) noexcept nogil:
    cdef double before = total[0]
    cdef double after = before + term
    cdef double part = after - before
    total[0] = after
    lost[0] += (before - (after - part)) + (term - part)


cdef inline void add_term_of(double *sum, double *error, double term, real of_type) noexcept nogil:
    # Sums of floats need no more than double.
    if real is double:
        add_exactly(sum, error, term)
    else:
        sum[0] += term


cdef inline void add_term(double *sum, double *error, real term) noexcept nogil:
    add_term_of(sum, error, term, <real>0)


cdef inline void add_two(double *sum, double *error, real x, real y) noexcept nogil:
    # Add x + y. Floats are added in double.
    if real is double:
        add_exactly(sum, error, x)
        add_exactly(sum, error, y)
    else:
        sum[0] += <double>x + <double>y


cdef inline double finite_sum(double sum, double error) noexcept nogil:
    # Next to an infinite sum, the error is NaN and means nothing.
    cdef double exact = sum + error
    return exact if sum - sum == 0 else sum


cdef void sums_add(Sums *sums, const real *terms, Py_ssize_t n) noexcept nogil:
    # Term i goes to lane i mod WIDTH.
    cdef Py_ssize_t i, j
    for i in range(n // WIDTH):
        for j in range(WIDTH):
            add_exactly(&sums.total[j], &sums.lost[j], terms[i * WIDTH + j])
    i = n // WIDTH * WIDTH
    for j in range(n - i):
        add_exactly(&sums.total[j], &sums.lost[j], terms[i + j])


cdef inline void join_half(double *restrict total, double *restrict lost, Py_ssize_t half) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(half):
        lost[j] += lost[j + half]
        add_exactly(&total[j], &lost[j], total[j + half])


cdef inline void join_exactly(double *total, double *lost) noexcept nogil:
    # The sum of SUM_LANES lanes in lane 0, by one tree. The number of each step is constant, for vector code: a loop
    # over the steps makes short rows slower.
    join_half(total, lost, SUM_LANES // 2)
    join_half(total, lost, SUM_LANES // 4)
    join_half(total, lost, SUM_LANES // 8)
    join_half(total, lost, SUM_LANES // 16)


cdef void sums_join(Sums *sums) noexcept nogil:
    join_half(&sums.total[0], &sums.lost[0], WIDTH // 2)
    join_half(&sums.total[0], &sums.lost[0], WIDTH // 4)
    join_exactly(&sums.total[0], &sums.lost[0])


cdef inline double sums_round(const Sums *sums, Py_ssize_t lane) noexcept nogil:
    return finite_sum(sums.total[lane], sums.lost[lane])


cdef void add_all(Py_ssize_t n, Accumulator *sum, const real *terms) noexcept nogil:
    # A block of numbers >= 0, with what their sum loses by rounding
    cdef double totals[SUM_LANES]
    cdef double losts[SUM_LANES]
    cdef double total, lost, rounded
    cdef Py_ssize_t i, j
    for j in range(SUM_LANES):
        totals[j] = 0
        losts[j] = 0
    for i in range(padded(n) // SUM_LANES):
        for j in range(SUM_LANES):
            add_exactly(&totals[j], &losts[j], terms[i * SUM_LANES + j])
    join_exactly(&totals[0], &losts[0])
    total = totals[0]
    lost = losts[0]
    rounded = total + lost
    if rounded - rounded != 0:
        accumulator_add(sum, total)
        return
    lost = (total - rounded) + lost
    total = rounded
    if lost < 0:  # the accumulator takes no negative numbers
        total = neighbour(rounded, -1)
        lost += rounded - total
    accumulator_add(sum, total)
    accumulator_add(sum, lost)
