# One call: which passes it makes, in which precision, and what they give.

cdef struct Outcome:
    double total  # the reduced loss, if it is wanted
    Py_ssize_t suspicious  # the row of which the user should be warned before anything is computed, or -1
    Py_ssize_t bad  # start of the first block with an input outside its domain, or -1
    int unusable  # why a result cannot be computed, or 0
    bint overwritten  # results have taken the place of the predictions


cdef inline bint counts_all(const Call *call, bint by_count) noexcept nogil:
    # Whether the mean divides by the number of elements or rows
    if call.options.ignores or (has_rows(call.kind) and call.given & CLASS_WEIGHTS and not by_count):
        return False
    return by_count or not call.given & WEIGHTS


cdef void pass_once(State *state, const Plan *plan, Outcome *outcome) noexcept nogil:
    state.plan = plan
    if not run_pass(state):
        outcome.unusable = NO_MEMORY
    outcome.bad = state.bad


cdef void add_divisor(
    State *state, const Plan *plan, bint by_count, Accumulator *sum, Outcome *outcome
) noexcept nogil:
    # What the mean over the weights, or over the count, divides by
    cdef Plan divisor = plan[0]
    if counts_all(state.call, by_count):
        accumulator_clear(sum)
        accumulator_add(sum, <double>state.call.n)
        return
    divisor.divisor = True
    divisor.by_count = by_count
    pass_once(state, &divisor, outcome)
    sum[0] = state.sum


cdef double divisor_of(State *state, const Plan *plan, double *lost, Outcome *outcome) noexcept nogil:
    # The divisor of the mean as its rounded value, and what that lost
    cdef Accumulator sum
    cdef bint by_count = state.call.options.by_count
    cdef double divisor
    lost[0] = 0
    if counts_all(state.call, by_count):
        return <double>state.call.n
    add_divisor(state, plan, by_count, &sum, outcome)
    divisor = accumulator_round(&sum)
    lost[0] = accumulator_lost(&sum, divisor)
    return divisor


cdef void check(State *state, const Plan *plan, bint lifted, Outcome *outcome) noexcept nogil:
    # Only look for inputs outside their domain; if lifted, also where weights became 0.
    cdef Plan checks = plan[0]
    checks.wanted = 0
    checks.lifted = lifted
    pass_once(state, &checks, outcome)


cdef inline bint is_over(const State *state, const Outcome *outcome) noexcept nogil:
    # Whether nothing more is to be computed
    return outcome.bad >= 0 or state.watch.stopped or outcome.unusable


cdef bint fits_float(const Call *call, const Plan *plan) noexcept nogil:
    # Whether the constants of a loss on float numbers let it be computed in float
    cdef const Options *options = &call.options
    if is_extreme(options.eps) or is_awkward(plan.scale) or options.awkward:
        return False
    if call.kind == BINARY or call.kind == BINARY_LOGITS:
        return not is_extreme(options.smoothing) and (call.kind == BINARY_LOGITS or options.eps > 0)
    # With class weights, the sums of hard targets are as exact as those of double, and weighted by products.
    return call.kind == CATEGORICAL_LOGITS or not call.given & CLASS_WEIGHTS


cdef void set_clip(Plan *plan, const Options *options) noexcept nogil:
    if plan.in_float:
        make_clip(&plan.clip, options.eps, options.zero_outside, <float>0)
    else:
        make_clip(&plan.clip, options.eps, options.zero_outside, <double>0)


cdef void set_gradient_scale(
    Plan *plan, double upstream, double divisor, double lost, Outcome *outcome
) noexcept nogil:
    # Set upstream / (divisor + lost), if there is something to average.
    if divisor != 0:
        plan.scale = cecore_quotient(upstream, divisor, lost, &plan.scale_low)
    if divisor == INFINITY:
        outcome.unusable = TOO_LARGE
    elif plan.wanted & GRADIENT and fabs(plan.scale) == INFINITY and fabs(upstream) < INFINITY:
        outcome.unusable = TOO_SMALL


cdef void check_all(State *state, const Plan *plan, Outcome *outcome) noexcept nogil:
    # Before anything is overwritten, or if no result can be computed: an input outside its domain comes first.
    cdef int unusable = outcome.unusable
    outcome.unusable = 0
    check(state, plan, False, outcome)
    if state.noticed & VANISHING and not is_over(state, outcome):
        check(state, plan, True, outcome)
    outcome.unusable = outcome.unusable or unusable


cdef void compute_loss(State *state, Plan *plan, Accumulator *sum, Outcome *outcome) noexcept nogil:
    cdef bint in_place = state.call.in_place
    outcome.overwritten = in_place
    plan.in_float = plan.in_float and not state.noticed & OVERFLOWING
    pass_once(state, plan, outcome)
    if plan.in_float and state.noticed & OVERFLOWING and not is_over(state, outcome):
        plan.in_float = False
        pass_once(state, plan, outcome)
    sum[0] = state.sum
    if state.noticed & VANISHING and not in_place and not is_over(state, outcome):
        check(state, plan, True, outcome)


cdef void run_loss(
    State *state, Plan *plan, int reduction, bint warned, double upstream, Outcome *outcome
) noexcept nogil:
    # Everything between entering and leaving the floating-point mode. What it computes must be in memory when it
    # returns: the compiler would move arithmetic on other variables to where they are used.
    cdef const Call *call = state.call
    cdef Accumulator sum
    cdef double divisor = 1
    cdef double lost = 0
    cdef double low = 0
    if not on_logits(call.kind) and not warned:
        outcome.suspicious = suspicious_row(state)
    if outcome.suspicious >= 0 or state.watch.stopped:
        return
    plan.scale = upstream
    if reduction == MEAN:
        divisor = divisor_of(state, plan, &lost, outcome)
        set_gradient_scale(plan, upstream, divisor, lost, outcome)
    plan.in_float = plan.in_float and fits_float(call, plan)
    if not on_logits(call.kind):
        set_clip(plan, &call.options)
    if call.in_place or divisor == 0 or outcome.unusable:
        check_all(state, plan, outcome)
    if is_over(state, outcome):
        return
    if divisor == 0:
        outcome.total = NAN
        if plan.wanted & GRADIENT:
            clear_numbers(state, &call.gradient, 0, call.n * call.classes)
        return
    compute_loss(state, plan, &sum, outcome)
    if is_over(state, outcome):
        return
    if plan.wanted & VALUE_SUM:
        outcome.total = accumulator_round(&sum)
        if reduction == MEAN:
            outcome.total = cecore_quotient(outcome.total, divisor, lost, &low) + low
    if call.exact_sums != NULL:
        call.exact_sums[0] = sum
        add_divisor(state, plan, False, &call.exact_sums[1], outcome)
        add_divisor(state, plan, True, &call.exact_sums[2], outcome)


cdef void tolerate(Array *array, object given, bint rows, Layout *layout, double epsilon) noexcept:
    # Load numbers just outside [0, 1] as 0 or 1. An epsilon of 0 means that the type cannot hold such a number.
    if epsilon > 0:
        array.tolerance = TOLERATED * epsilon
        if array.layout == NULL:
            set_layout(layout, given, rows)
            array.layout = layout


cdef bint load_units(Accumulator *sum, object units) except *:
    # An integer number of the smallest float64; False if it is larger than any sum here
    cdef const unsigned char *data
    cdef int i
    if units >> (32 * LIMBS):
        return False
    digits = units.to_bytes(4 * LIMBS, "little")
    data = digits
    accumulator_clear(sum)
    for i in range(4 * LIMBS):
        sum.limb[i // 4] |= <int64_t>data[i] << 8 * (i % 4)
    sum.first = 0
    sum.last = LIMBS
    return True


def rounded(units, divisor=None):
    """An exact sum rounded once, or divided by another one as for the mean. Both are in units of 2 ** -1074."""
    cdef Accumulator sum, below
    cdef double result = INFINITY
    cdef double total, low
    cdef uint64_t saved
    if not load_units(&sum, units) or (divisor is not None and not load_units(&below, divisor)):
        return result
    saved = cecore_enter()
    if divisor is None:
        result = accumulator_round(&sum)
    else:
        total = accumulator_round(&below)
        result = cecore_quotient(accumulator_round(&sum), total, accumulator_lost(&below, total), &low) + low
    cecore_settle(&result)
    cecore_leave(saved)
    return result


cdef int run(
    const Call *call, const Plan *given_plan, int reduction, bint warned, double upstream, Outcome *outcome
) except -1:
    # Run a call without the GIL, unless it is short. Raise what a signal handler has raised.
    cdef Plan plan = given_plan[0]
    cdef State state
    cdef Watch watch
    watch.thread_state = NULL
    watch.due = 0
    watch.stopped = watch.helped = False
    state.call = call
    state.plan = &plan
    state.watch = &watch
    state.calling = True
    state.noticed = 0
    outcome.total = 0
    outcome.suspicious = outcome.bad = -1
    outcome.unusable = 0
    outcome.overwritten = False
    if call.n * plan.cost >= GIL_KEPT_BELOW:
        watch.thread_state = PyEval_SaveThread()
    watch.control = cecore_enter()
    if is_activation(call.kind):
        pass_once(&state, &plan, outcome)
    else:
        run_loss(&state, &plan, reduction, warned, upstream, outcome)
    cecore_leave(watch.control)
    if watch.thread_state != NULL:
        PyEval_RestoreThread(watch.thread_state)
    return -1 if watch.stopped else 0
