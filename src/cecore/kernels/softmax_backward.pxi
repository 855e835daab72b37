# The gradient with respect to logits, from the gradient u with respect to their softmax s: s (u - d), d = sum of s u.
#
# s u - s d, rounded once by a fused multiply-add, does not overflow where u - d would. A class with s = 0 gives 0,
# whatever its u is; so does its product in d.

cdef enum:
    FLAT_CLASSES = 32  # rows of fewer classes are taken together


cdef inline real counted(real s, real u, bint careful) noexcept nogil:
    # careful: some u may be infinite or NaN
    return 0 if careful and s == 0 else u


cdef void products_of(const real *s, const real *u, Py_ssize_t n, real *restrict out) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = s[i] * counted(s[i], u[i], True)


cdef inline void add_registers(
    const real *s, const real *u, int count, bint careful, double *restrict total, double *restrict error
) noexcept nogil:
    # The products of four registers, or of one
    cdef real first, second
    cdef Py_ssize_t lanes = width(<real>0)
    cdef Py_ssize_t j, k
    for j in range(width(<real>0)):
        first = s[j] * counted(s[j], u[j], careful)
        if count == 4:
            k = j + 2 * lanes
            second = s[k] * counted(s[k], u[k], careful)
            first = fma(s[j + lanes], counted(s[j + lanes], u[j + lanes], careful), first)
            first += fma(s[k + lanes], counted(s[k + lanes], u[k + lanes], careful), second)
        add_term(&total[j], &error[j], first)


cdef inline double dot_of(const real *s, const real *u, Py_ssize_t n, bint careful, double *error) noexcept nogil:
    cdef double totals[SUM_LANES]
    cdef double errors[SUM_LANES]
    cdef Py_ssize_t lanes = width(<real>0)
    cdef Py_ssize_t fours = n // (4 * lanes)
    cdef Py_ssize_t i, j
    for j in range(SUM_LANES):
        totals[j] = errors[j] = 0
    for i in range(fours):
        add_registers(s + 4 * i * lanes, u + 4 * i * lanes, 4, careful, totals, errors)
    for i in range(4 * fours, n // lanes):
        add_registers(s + i * lanes, u + i * lanes, 1, careful, totals, errors)
    for i in range(n // lanes * lanes, n):
        add_term(&totals[i % lanes], &errors[i % lanes], s[i] * counted(s[i], u[i], careful))
    error[0] = 0
    if real is double:
        error[0] = join_lanes(errors)
    else:
        for j in range(LANES):
            totals[j] += totals[j + LANES]
    return join_lanes(totals)


cdef inline double dot(const real *s, const real *u, Py_ssize_t n, double *error) noexcept nogil:
    # The sum of the products, and what double rounds off
    cdef double total = dot_of(s, u, n, False, error)
    return total if total - total == 0 else dot_of(s, u, n, True, error)


cdef inline void slopes(
    const real *s, const real *u, const real *d, bint one_row, Py_ssize_t n, real *restrict out
) noexcept nogil:
    cdef real value
    cdef real single = d[0]
    cdef Py_ssize_t i
    for i in range(n):
        value = fma(s[i], u[i], -(s[i] * (single if one_row else d[i])))
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
    cdef Py_ssize_t r
    for r in range(rows):
        d = dot(s + r * classes, u + r * classes, classes, &error)
        row_slopes(s + r * classes, u + r * classes, finite_sum(d, error), classes, out + r * classes)


cdef inline real *slopes_dest(const Call *call, Py_ssize_t start, real *scratch) noexcept nogil:
    if of_computing_type(&call.gradient, <real>0) and not call.in_place:
        return <real *>call.gradient.data + start
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


cdef void short_rows(const Call *call, Py_ssize_t row, Py_ssize_t rows, real *room) noexcept nogil:
    cdef Py_ssize_t start = row * call.classes
    cdef Py_ssize_t n = rows * call.classes
    cdef const real *s = numbers_of(&call.x, start, n, room)
    cdef const real *u = numbers_of(&call.targets, start, n, room + TERMS)
    cdef real *products = room + 2 * TERMS
    cdef double *sums = <double *>(room + 3 * TERMS)
    cdef real *dest = slopes_dest(call, start, room + 3 * TERMS)
    if call.classes >= FLAT_CLASSES:
        rows_slopes(s, u, rows, call.classes, dest)
    else:
        products_of(s, u, n, products)
        row_sums(products, rows, call.classes, sums)
        spread_sums(sums, rows, call.classes, products)
        flat_slopes(s, u, products, n, dest)
    if dest == room + 3 * TERMS:
        store(&call.gradient, start, n, dest)


cdef void long_row(const State *state, Py_ssize_t row, real *room) noexcept nogil:
    cdef const Call *call = state.call
    cdef const real *s
    cdef const real *u
    cdef real *dest
    cdef double total = 0
    cdef double error = 0
    cdef double part, part_error
    cdef Py_ssize_t pieces = (call.classes + TERMS - 1) // TERMS
    cdef Py_ssize_t piece, start, n
    for piece in range(pieces):
        if halted_at(state, piece):
            return
        start = row * call.classes + piece * TERMS
        n = min(call.classes - piece * TERMS, <Py_ssize_t>TERMS)
        s = numbers_of(&call.x, start, n, room)
        u = numbers_of(&call.targets, start, n, room + TERMS)
        part = dot(s, u, n, &part_error)
        error += part_error
        add_exactly(&total, &error, part)
    total = finite_sum(total, error)
    for piece in range(pieces):
        if halted_at(state, piece):
            return
        start = row * call.classes + piece * TERMS
        n = min(call.classes - piece * TERMS, <Py_ssize_t>TERMS)
        s = numbers_of(&call.x, start, n, room)
        u = numbers_of(&call.targets, start, n, room + TERMS)
        dest = slopes_dest(call, start, room + 3 * TERMS)
        row_slopes(s, u, total, n, dest)
        if dest == room + 3 * TERMS:
            store(&call.gradient, start, n, dest)


cdef void run_softmax_backward(State *state, Py_ssize_t first, Py_ssize_t last, real of_type) noexcept nogil:
    # s is in x, and u in the place of the targets.
    cdef const Call *call = state.call
    cdef real *room = <real *>state.room
    cdef Py_ssize_t start = first * state.plan.block
    cdef Py_ssize_t stop = min(last * state.plan.block, call.n)
    cdef Py_ssize_t rows = max(TERMS // call.classes, <Py_ssize_t>1)
    cdef Py_ssize_t i
    if call.classes <= TERMS:
        for i in range((stop - start + rows - 1) // rows):
            short_rows(call, start + i * rows, min(stop - start - i * rows, rows), room)
    else:
        for i in range(start, stop):
            long_row(state, i, room)
