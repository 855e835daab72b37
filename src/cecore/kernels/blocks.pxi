# Blocks of elements: their weights, the factors of their gradients, and where their results go.

cdef bint all_ones(const real *w, Py_ssize_t n) noexcept nogil:
    cdef int others = 0
    cdef Py_ssize_t i
    for i in range(n):
        others += w[i] != 1
    return others == 0


cdef void find_vanishing(State *state, Py_ssize_t start, Py_ssize_t n, real *w) noexcept nogil:
    # Note positive weights that float rounds to 0.
    cdef double given[ELEMENTS]
    cdef Array array
    cdef int zeros = 0
    cdef Py_ssize_t i
    for i in range(n):
        zeros += w[i] == 0
    if zeros == 0:
        return
    array = state.call.weights
    array.narrow = False
    load_all(&array, start, n, given)
    for i in range(n):
        if w[i] == 0 and given[i] > 0:
            state.noticed |= VANISHING
            w[i] = 1 if state.plan.lifted else 0


cdef const real *load_weights(State *state, Py_ssize_t start, Py_ssize_t n, real *scratch) noexcept nogil:
    # The weights of a block, 0 in the padding
    cdef const Array *weights = &state.call.weights
    cdef const real *w
    cdef Py_ssize_t i
    if not state.call.given & WEIGHTS:
        for i in range(padded(n)):
            scratch[i] = 1 if i < n else 0
        return scratch
    w = block_of(weights, start, n, scratch, <real>0)
    if weights.narrow and (weights.type == cnp.NPY_DOUBLE or weights.type == cnp.NPY_LONGDOUBLE):
        find_vanishing(state, start, n, scratch)
    return w


cdef bint load_factors(
    const State *state, Py_ssize_t start, Py_ssize_t n, const real *w, real *restrict factors, double *restrict wide
) noexcept nogil:
    # The factors of the gradient, weight * upstream * scale, which are 0 where the weight is. Return whether the
    # computing type does not hold one of them, or only with fewer digits.
    cdef real upstream[ELEMENTS]
    cdef const real *u = &upstream[0]
    cdef double scale = state.plan.scale
    cdef double scale_low = state.plan.scale_low
    cdef double weight, factor, other
    cdef uint64_t differ = 0
    cdef Py_ssize_t i
    if state.call.given & UPSTREAM:
        u = block_of(&state.call.upstream, start, n, &upstream[0], <real>1)
    else:
        for i in range(padded(n)):
            upstream[i] = 1
    for i in range(padded(n)):
        weight = w[i]
        other = u[i]
        if real is double:
            factor = cecore_product(weight, scale, scale_low) * other
        else:
            factor = cecore_24_bits(weight * scale * other)
        factor = 0 if weight == 0 else factor
        wide[i] = factor
        factors[i] = <real>factor
        if real is float:
            other = <float>factor
            differ |= cecore_bits(other - factor)
    return differ != 0


cdef inline real *destination(
    const Call *call, const Array *out, bint wanted, Py_ssize_t start, Py_ssize_t n, real *scratch
) noexcept nogil:
    # Where a block of results is computed: in its place, unless it is partial, of another type, or still to be read.
    if not wanted or n != padded(n) or call.in_place or not of_computing_type(out, <real>0):
        return scratch
    return <real *>out.data + start


cdef void load_pos_weights(const Call *call, Py_ssize_t start, Block *block, real *scratch) noexcept nogil:
    cdef Py_ssize_t length = call.options.weights
    cdef Py_ssize_t i, k
    k = start % length
    for i in range(block.n):
        scratch[i] = <real>call.class_weights[k]
        k = k + 1 if k + 1 < length else 0
    for i in range(block.n, padded(block.n)):
        scratch[i] = 1


cdef void set_loss(const State *state, Binary *loss, real of_type) noexcept nogil:
    cdef const Call *call = state.call
    cdef const Options *options = &call.options
    cdef double factor = cecore_product(1, state.plan.scale, state.plan.scale_low)
    cdef double pos_weight = 1
    cdef bint rows = has_rows(call.kind)
    cdef int flags = LOGITS if on_logits(call.kind) else 0
    cdef Py_ssize_t i
    if real is float:
        factor = cecore_24_bits(state.plan.scale)
    if options.zero_outside and call.kind != BINARY_LOGITS and options.eps > 0:
        flags |= ZERO_OUTSIDE
    for i in range(0 if rows else options.weights):
        pos_weight = call.class_weights[i] if options.weights == 1 else 1
        if call.class_weights[i] == 0:
            flags |= ONLY_GENERAL
        if call.class_weights[i] != 1:
            flags |= POS_WEIGHT if options.weights == 1 else POS_WEIGHTS | STEEP
    if rows:
        flags |= KNOWN_WEIGHTS
    set_binary(
        loss, options.eps, pos_weight, 0 if rows else options.smoothing, options.gamma, factor, flags, of_type
    )


cdef void run_elements(State *state, Py_ssize_t first, Py_ssize_t last, real of_type) noexcept nogil:
    cdef const Call *call = state.call
    cdef real scratch[8][ELEMENTS]
    cdef double wide[ELEMENTS]
    cdef Binary loss
    cdef Block block
    cdef int wanted = state.plan.wanted
    cdef Py_ssize_t former = 0
    cdef Py_ssize_t i, start, number
    set_loss(state, &loss, of_type)
    for i in range(min(padded(call.n - first * ELEMENTS), <Py_ssize_t>ELEMENTS)):
        scratch[3][i] = <real>loss.pos_weight
    block.weighted = call.given & (WEIGHTS | UPSTREAM) != 0
    block.is_wide = False
    block.factors = &scratch[4][0]
    block.wide_factors = &wide[0]
    block.pos_weights = &scratch[3][0]
    for number in range(first, last):
        start = number * ELEMENTS
        block.n = min(call.n - start, <Py_ssize_t>ELEMENTS)
        block.x = block_of(&call.x, start, block.n, &scratch[0][0], <real>1)
        block.targets = block_of(&call.targets, start, block.n, &scratch[1][0], <real>1)
        if block.weighted or block.n != former:
            block.weights = load_weights(state, start, block.n, &scratch[2][0])
            if wanted & GRADIENT:
                block.is_wide = load_factors(
                    state, start, block.n, <const real *>block.weights, &scratch[4][0], &wide[0]
                )
        if call.options.weights > 1:
            load_pos_weights(call, start, &block, &scratch[3][0])
        former = block.n
        block.value = destination(call, &call.value, wanted & VALUE_EACH, start, block.n, &scratch[5][0])
        block.gradient = destination(call, &call.gradient, wanted & GRADIENT, start, block.n, &scratch[6][0])
        block.hessian = destination(call, &call.hessian, wanted & HESSIAN, start, block.n, &scratch[7][0])
        if binary_block(&block, &loss, wanted, of_type) == BAD:
            state.bad = start
            return
        if wanted & VALUE_SUM:
            accumulator_add(&state.sum, block.sum)
        if wanted & VALUE_EACH and block.value == &scratch[5][0]:
            store(&call.value, start, block.n, &scratch[5][0])
        if wanted & GRADIENT and block.gradient == &scratch[6][0]:
            store(&call.gradient, start, block.n, &scratch[6][0])
        if wanted & HESSIAN and block.hessian == &scratch[7][0]:
            store(&call.hessian, start, block.n, &scratch[7][0])


cdef void run_elementwise(const State *state, Py_ssize_t first, Py_ssize_t last, real of_type) noexcept nogil:
    # sigmoid, log_sigmoid and sigmoid_backward, whose upstream is in the place of the targets
    cdef const Call *call = state.call
    cdef real scratch[ELEMENTS]
    cdef real upstream[ELEMENTS]
    cdef real out[ELEMENTS]
    cdef const real *x
    cdef real *place
    cdef Py_ssize_t block, start, n
    for block in range(first, last):
        start = block * ELEMENTS
        n = min(call.n - start, <Py_ssize_t>ELEMENTS)
        place = destination(call, &call.gradient, True, start, n, &out[0])
        x = block_of(&call.x, start, n, scratch, <real>0)
        if call.kind == SIGMOID:
            sigmoids_of(n, x, place)
        elif call.kind == LOG_SIGMOID:
            log_sigmoids_of(n, x, place)
        else:
            sigmoid_backward_block(n, x, block_of(&call.targets, start, n, upstream, <real>0), place)
        if place == &out[0]:
            store(&call.gradient, start, n, place)


cdef void keep_block_losses(State *state, Py_ssize_t start, Py_ssize_t n, const double *losses) noexcept nogil:
    # Add up or store the weighted losses of a block of rows.
    if state.plan.wanted & VALUE_SUM:
        accumulator_add(&state.sum, lane_sum(n, losses))
    if state.plan.wanted & VALUE_EACH:
        store(&state.call.value, start, n, losses)
