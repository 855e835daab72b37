# Passes over the blocks of a call: each computes what the plan says, block by block.

cdef void run_divisor(State *state, Py_ssize_t first, Py_ssize_t last, real of_type) noexcept nogil:
    # Add up what the mean divides by. Passes that compute the loss find what is outside its domain.
    cdef const Call *call = state.call
    cdef const Plan *plan = state.plan
    cdef int64_t labels[BLOCK]
    cdef real scratch[BLOCK]
    cdef double counted[BLOCK]
    cdef const real *w
    cdef bint weighted = has_rows(call.kind) and call.given & CLASS_WEIGHTS and not plan.by_count
    cdef Py_ssize_t stop = min(last * plan.block, call.n)
    cdef Py_ssize_t step = min(plan.block, <Py_ssize_t>BLOCK)
    cdef Py_ssize_t part, start, n, i
    for part in range((stop - first * plan.block + step - 1) // step):
        start = first * plan.block + part * step
        n = min(stop - start, step)
        w = load_weights(state, start, n, scratch)
        if not weighted and not call.options.ignores:
            add_all(n, &state.sum, w)
            continue
        for i in range(padded(n)):
            counted[i] = w[i]
        find_labels(state, start, n, w, labels)
        for i in range(n):
            counted[i] = 1 if plan.by_count else counted[i]
            if labels[i] == IGNORED:
                counted[i] = 0
            elif weighted and counted[i] != 0:
                counted[i] *= target_weight(state, start + i, labels[i])
        add_all(n, &state.sum, &counted[0])


cdef void run_kind(State *state, Py_ssize_t first, Py_ssize_t last, real of_type) noexcept nogil:
    cdef int kind = state.call.kind
    if state.plan.divisor:
        run_divisor(state, first, last, of_type)
    elif kind == CATEGORICAL:
        run_probability_rows(state, first, last, of_type)
    elif kind == CATEGORICAL_LOGITS:
        run_logit_rows(state, first, last, of_type)
    elif kind == SOFTMAX_BACKWARD:
        run_softmax_backward(state, first, last, of_type)
    elif kind == SOFTMAX or kind == LOG_SOFTMAX:
        run_activation(state, first, last, of_type)
    elif is_activation(kind):
        run_elementwise(state, first, last, of_type)
    else:
        run_elements(state, first, last, of_type)


cdef void run_blocks(State *state, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    if state.plan.in_float:
        run_kind(state, first, last, <float>0)
    else:
        run_kind(state, first, last, <double>0)


cdef void clear_results(State *state) noexcept nogil:
    accumulator_clear(&state.sum)
    state.bad = -1
