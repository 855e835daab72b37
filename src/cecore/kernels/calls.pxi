# One call: which passes it makes, in which precision, and what they give.

cdef double divisor_of(Job *job, bint in_float, double *lost) noexcept nogil:
    # As its rounded value and what that lost; the sum stays in the job
    cdef double divisor
    if trivial_divisor(job):
        return <double>job.n
    run_pass(job, DIVISOR, in_float)
    divisor = accumulator_round(&job.sum)
    lost[0] = accumulator_lost(&job.sum, divisor)
    return divisor


cdef inline bint trivial_divisor(const Job *job) noexcept nogil:
    # Whether the mean divides by the number of elements or rows
    if job.options.ignores or (job.options.rows and job.class_weights != NULL and not job.options.by_count):
        return False
    return job.options.by_count or job.weights.data == NULL


cdef void check(Job *job, bint in_float, bint lifted) noexcept nogil:
    # A pass that only looks for inputs outside their domain. If it is lifted, it also looks where weights became 0.
    cdef char *value = job.value.data
    cdef char *gradient = job.gradient.data
    cdef char *hessian = job.hessian.data
    cdef bint wanted_sum = job.wanted_sum
    cdef Accumulator sum = job.sum
    job.value.data = job.gradient.data = job.hessian.data = NULL
    job.wanted_sum = False
    job.lifted = lifted
    run_pass(job, LOSS, in_float)
    job.lifted = False
    job.sum = sum
    job.wanted_sum = wanted_sum
    job.value.data = value
    job.gradient.data = gradient
    job.hessian.data = hessian


cdef inline bint is_over(const Job *job) noexcept nogil:
    # Whether nothing more is to be computed
    return job.bad >= 0 or job.watch.stopped or job.unusable == NO_MEMORY


cdef void add_weights(Job *job, bint by_count, bint in_float, Accumulator *sum) noexcept nogil:
    # What the mean over the weights, or over the count, divides by
    cdef bint former = job.options.by_count
    job.options.by_count = by_count
    if trivial_divisor(job):
        accumulator_clear(sum)
        accumulator_add(sum, <double>job.n)
    else:
        run_pass(job, DIVISOR, in_float)
        sum[0] = job.sum
    job.options.by_count = former


cdef void run_checked(Job *job, int reduction, int wanted, double upstream) noexcept nogil:
    # Everything between entering and leaving the floating-point mode. What it computes must be in the job, in memory,
    # when it returns: the compiler would move arithmetic on other variables to where they are used.
    cdef double divisor = 1
    cdef double lost = 0
    cdef double total_low = 0
    cdef bint nothing = False  # to average
    cdef bint in_float = in_halves(job.x.type)
    job.scale = upstream
    job.scale_low = job.total = 0
    job.targets.narrow = job.weights.narrow = job.upstream.narrow = in_float
    job.bad = job.suspicious = -1
    job.unusable = 0
    job.wanted_sum = job.overwritten = job.lifted = False
    job.noticed = 0
    if not job.options.logits and not wanted & WARNED:
        job.suspicious = suspicious_row(job)
    if job.suspicious >= 0 or job.watch.stopped:
        return
    if reduction == MEAN:
        divisor = divisor_of(job, in_float, &lost)
        nothing = divisor == 0
        if not nothing:
            job.scale = cecore_quotient(upstream, divisor, lost, &job.scale_low)
        if divisor == INFINITY:
            job.unusable = TOO_LARGE
        elif wanted & GRADIENT and fabs(job.scale) == INFINITY and fabs(upstream) < INFINITY:
            job.unusable = TOO_SMALL
    if is_extreme(job.options.eps) or is_awkward(job.scale) or job.options.awkward:
        in_float = False
    if not job.options.rows and (is_extreme(job.options.smoothing) or not (job.options.logits or job.options.eps)):
        in_float = False
    if job.options.rows and job.class_weights != NULL and not job.options.logits:
        in_float = False  # the sums of hard targets are as exact as those of double, and weighted by products
    if not job.options.logits:
        if in_float:
            make_clip(&job.clip, job.options.eps, job.options.zero_outside, <float>0)
        else:
            make_clip(&job.clip, job.options.eps, job.options.zero_outside, <double>0)
    if job.in_place or nothing or job.unusable:
        check(job, in_float, False)
        if job.noticed & VANISHING and not is_over(job):
            check(job, in_float, True)
    if job.unusable or is_over(job):
        return
    if nothing:
        job.total = NAN
        clear_numbers(job, &job.gradient, 0, job.n * job.classes)
        return
    job.overwritten = job.in_place
    job.wanted_sum = wanted & VALUE and reduction != NONE
    in_float = in_float and not job.noticed & OVERFLOWING
    run_pass(job, LOSS, in_float)
    if in_float and job.noticed & OVERFLOWING and not is_over(job):
        in_float = False
        run_pass(job, LOSS, in_float)
    if job.noticed & VANISHING and not job.in_place and not is_over(job):
        check(job, in_float, True)
    if is_over(job):
        return
    if job.wanted_sum:
        job.total = accumulator_round(&job.sum)
        if reduction == MEAN:
            job.total = cecore_quotient(job.total, divisor, lost, &total_low) + total_low
    if job.state != NULL:
        job.state[0] = job.sum
        add_weights(job, False, in_float, &job.state[1])
        add_weights(job, True, in_float, &job.state[2])


cdef void tolerate(Array *array, object given, bint rows, Layout *layout, double epsilon) noexcept:
    # Load numbers just outside [0, 1] as 0 or 1. An epsilon of 0 means that the type cannot hold such a number.
    if epsilon > 0:
        array.tolerance = TOLERATED * epsilon
        if array.layout == NULL:
            set_layout(layout, given, rows)
            array.layout = layout


cdef bint load_units(Accumulator *sum, object units) except *:
    # An integer number of the smallest float64; False if it is larger than any sum here
    cdef uint32_t limbs[LIMBS]
    cdef int i
    if units >> (32 * LIMBS):
        return False
    data = units.to_bytes(sizeof(limbs), "little")
    memcpy(limbs, <const char *>data, sizeof(limbs))
    order_bytes(limbs)
    accumulator_clear(sum)
    for i in range(LIMBS):
        sum.limb[i] = limbs[i]
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


cdef void run_activations(Job *job) noexcept nogil:
    # Upstream that float does not hold is taken as it is.
    cdef bint in_float = in_halves(job.x.type)
    if job.activation == SOFTMAX_BACKWARD:
        in_float = in_float and in_halves(job.targets.type)
    run_pass(job, FUNCTION, in_float)


cdef int run(Job *job, int reduction, int wanted, double upstream) except -1:
    # Run the job without the GIL, unless it is short. Raise what a signal handler has raised.
    cdef Watch watch
    watch.thread_state = NULL
    watch.due = 0
    watch.stopped = watch.helped = False
    job.watch = &watch
    job.calling = True
    if job.n * job.cost >= GIL_KEPT_BELOW:
        watch.thread_state = PyEval_SaveThread()
    watch.control = cecore_enter()
    if job.activation == NOT_ACTIVATION:
        run_checked(job, reduction, wanted, upstream)
    else:
        run_activations(job)
    cecore_leave(watch.control)
    if watch.thread_state != NULL:
        PyEval_RestoreThread(watch.thread_state)
    job.watch = NULL
    return -1 if watch.stopped else 0
