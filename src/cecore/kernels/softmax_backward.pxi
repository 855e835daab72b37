# The gradient with respect to logits, from the gradient u with respect to their softmax s: s (u - d), d = sum of s u.
#
# s u - s d, rounded once by a fused multiply-add, does not overflow where u - d would. A class with s = 0 gives 0,
# whatever its u is; so does its product in d.

cdef enum:
    FLAT_CLASSES = 32  # rows of fewer classes are taken together


cdef inline real product_of(real s, real u) noexcept nogil:
    cdef real value = s * u
    return 0 if s == 0 else value


cdef inline real fused(real x, real y, real z) noexcept nogil:
    if real is double:
        return CECORE_FMA(x, y, z)
    else:
        return CECORE_FMAF(x, y, z)


cdef void products_of(const real *s, const real *u, Py_ssize_t n, real *restrict out) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = product_of(s[i], u[i])


cdef inline void add_four(const real *s, const real *u, double *restrict total, double *restrict error) noexcept nogil:
    # The products of four registers
    cdef real first, second
    cdef Py_ssize_t lanes = width(<real>0)
    cdef Py_ssize_t j
    for j in range(width(<real>0)):
        first = fused(s[j], u[j], s[j + lanes] * u[j + lanes])
        second = fused(s[j + 2 * lanes], u[j + 2 * lanes], s[j + 3 * lanes] * u[j + 3 * lanes])
        add_term(&total[j], &error[j], first + second)


cdef inline double dot(const real *s, const real *u, Py_ssize_t n, double *error) noexcept nogil:
    # The sum of the products. What double rounds off is added to the error.
    cdef double totals[SUM_LANES]
    cdef double errors[SUM_LANES]
    cdef Py_ssize_t lanes = width(<real>0)
    cdef Py_ssize_t fours = n // (4 * lanes)
    cdef Py_ssize_t i, j
    for j in range(SUM_LANES):
        totals[j] = errors[j] = 0
    for i in range(fours):
        add_four(s + 4 * i * lanes, u + 4 * i * lanes, totals, errors)
    for i in range(4 * fours, n // lanes):
        for j in range(width(<real>0)):
            add_term(&totals[j], &errors[j], s[i * lanes + j] * u[i * lanes + j])
    for i in range(n // lanes * lanes, n):
        add_term(&totals[i % lanes], &errors[i % lanes], s[i] * u[i])
    if real is double:
        error[0] += join_lanes(errors)
    else:
        for j in range(LANES):
            totals[j] += totals[j + LANES]
    return join_lanes(totals)


cdef double careful_dot(const real *s, const real *u, Py_ssize_t n) noexcept nogil:
    # The same where some u is not finite
    cdef double total = 0
    cdef Py_ssize_t i
    for i in range(n):
        total += product_of(<double>s[i], <double>u[i])
    return total


cdef inline void slopes(
    const real *s, const real *u, const real *d, bint one_row, Py_ssize_t n, real *restrict out
) noexcept nogil:
    cdef real value
    cdef real single = d[0]
    cdef Py_ssize_t i
    for i in range(n):
        value = fused(s[i], u[i], -(s[i] * (single if one_row else d[i])))
        out[i] = 0 if s[i] == 0 else value


cdef void flat_slopes(const real *s, const real *u, const real *d, Py_ssize_t n, real *restrict out) noexcept nogil:
    slopes(s, u, d, False, n, out)


cdef void row_slopes(const real *s, const real *u, double d, Py_ssize_t n, real *restrict out) noexcept nogil:
    cdef real narrow = <real>d
    slopes(s, u, &narrow, True, n, out)


cdef void rows_slopes(
    const real *s, const real *u, Py_ssize_t rows, Py_ssize_t classes, real *restrict out
) noexcept nogil:
    cdef double d, error
    cdef real narrow
    cdef Py_ssize_t r
    for r in range(rows):
        error = 0
        d = dot(s + r * classes, u + r * classes, classes, &error)
        narrow = <real>(d + error)
        if narrow - narrow != 0:
            narrow = <real>careful_dot(s + r * classes, u + r * classes, classes)
        slopes(s + r * classes, u + r * classes, &narrow, True, classes, out + r * classes)


cdef inline real *slopes_dest(const Job *job, Py_ssize_t start, real *scratch) noexcept nogil:
    if of_computing_type(&job.gradient, <real>0) and not job.in_place:
        return <real *>job.gradient.data + start
    return scratch


cdef inline void spread(const double *sums, Py_ssize_t rows, Py_ssize_t classes, real *restrict out) noexcept nogil:
    cdef real d
    cdef Py_ssize_t i, k
    for i in range(rows):
        d = <real>sums[i]
        for k in range(classes):
            out[i * classes + k] = d


cdef void spread_sums(const double *sums, Py_ssize_t rows, Py_ssize_t classes, real *restrict out) noexcept nogil:
    if classes == 2:
        spread(sums, rows, 2, out)
    elif classes == 3:
        spread(sums, rows, 3, out)
    else:
        spread(sums, rows, classes, out)


cdef void short_rows(const Job *job, Py_ssize_t row, Py_ssize_t rows, real *room) noexcept nogil:
    cdef Py_ssize_t start = row * job.classes
    cdef Py_ssize_t n = rows * job.classes
    cdef const real *s = numbers_of(&job.x, start, n, room)
    cdef const real *u = numbers_of(&job.targets, start, n, room + TERMS)
    cdef real *products = room + 2 * TERMS
    cdef double *sums = <double *>(room + 3 * TERMS)
    cdef real *dest = slopes_dest(job, start, room + 3 * TERMS)
    if job.classes >= FLAT_CLASSES:
        rows_slopes(s, u, rows, job.classes, dest)
    else:
        products_of(s, u, n, products)
        row_sums(products, rows, job.classes, sums)
        spread_sums(sums, rows, job.classes, products)
        flat_slopes(s, u, products, n, dest)
    if dest == room + 3 * TERMS:
        store(&job.gradient, start, n, dest)


cdef void long_row(const Job *job, Py_ssize_t row, real *room) noexcept nogil:
    cdef const real *s
    cdef const real *u
    cdef real *dest
    cdef double total = 0
    cdef double error = 0
    cdef double part
    cdef Py_ssize_t pieces = (job.classes + TERMS - 1) // TERMS
    cdef Py_ssize_t piece, start, n
    for piece in range(pieces):
        if halted_at(job, piece):
            return
        start = row * job.classes + piece * TERMS
        n = min(job.classes - piece * TERMS, <Py_ssize_t>TERMS)
        s = numbers_of(&job.x, start, n, room)
        u = numbers_of(&job.targets, start, n, room + TERMS)
        part = dot(s, u, n, &error)
        if part - part != 0:
            part = careful_dot(s, u, n)
        add_exactly(&total, &error, part)
    total = total + error if error - error == 0 else total
    for piece in range(pieces):
        if halted_at(job, piece):
            return
        start = row * job.classes + piece * TERMS
        n = min(job.classes - piece * TERMS, <Py_ssize_t>TERMS)
        s = numbers_of(&job.x, start, n, room)
        u = numbers_of(&job.targets, start, n, room + TERMS)
        dest = slopes_dest(job, start, room + 3 * TERMS)
        row_slopes(s, u, total, n, dest)
        if dest == room + 3 * TERMS:
            store(&job.gradient, start, n, dest)


cdef void run_softmax_backward(const Job *job, Py_ssize_t start, Py_ssize_t stop, real unused) noexcept nogil:
    # s = job.x, u = job.targets
    cdef real *room = <real *>job.room
    cdef Py_ssize_t rows = max(TERMS // job.classes, <Py_ssize_t>1)
    cdef Py_ssize_t i
    if job.classes <= TERMS:
        for i in range((stop - start + rows - 1) // rows):
            short_rows(job, start + i * rows, min(stop - start - i * rows, rows), room)
    else:
        for i in range(start, stop):
            long_row(job, i, room)
