# The entry points: NumPy arrays in, results out.

cdef inline int require_stack() except -1:
    cdef size_t left = cecore_stack_left()
    if left < LEAST_LEFT:
        raise RuntimeError(SMALL_STACK.format(left // 1024, LEAST_LEFT // 1024))
    return 0


cdef inline bint in_halves(int type) noexcept nogil:
    # whether predictions of a type are computed in float
    return type == cnp.NPY_FLOAT or type == NPY_HALF or type == BFLOAT16


cdef inline bint is_real(object array) noexcept:
    cdef int type
    if not cnp.PyArray_CheckExact(array):
        return False
    type = cnp.PyArray_TYPE(array)  # bool and the integers come before the floats
    return type <= cnp.NPY_LONGDOUBLE or type == NPY_HALF


cdef bint may_overflow(object upstream, object x) noexcept:
    # Whether the computing type may not hold a finite number of upstream. If so, _checks looks for it.
    cdef int type = cnp.PyArray_TYPE(upstream)
    return type == cnp.NPY_LONGDOUBLE or (type == cnp.NPY_DOUBLE and in_halves(cnp.PyArray_TYPE(x)))


cdef inline bint has_shape(object array, int ndim, cnp.npy_intp *shape) noexcept:
    return cnp.PyArray_NDIM(array) == ndim and cnp.PyArray_CompareLists(cnp.PyArray_DIMS(array), shape, ndim)


cdef bint are_distinct(object out) noexcept:
    # Whether a step along each axis is beyond what lies within it, as in any slice of an array in C order
    cdef Py_ssize_t within = cnp.PyArray_ITEMSIZE(out)
    cdef Py_ssize_t stride
    cdef int i
    for i in range(cnp.PyArray_NDIM(out) - 1, -1, -1):
        stride = llabs(cnp.PyArray_STRIDE(out, i))
        if cnp.PyArray_DIM(out, i) > 1:
            if stride < within:
                return False
            within += (cnp.PyArray_DIM(out, i) - 1) * stride
    return True


cdef inline bint is_output(object out, int type, int ndim, cnp.npy_intp *shape) noexcept:
    # None, or a writeable array of the results' type, no two numbers of which share their memory. _checks looks at
    # arrays in an unusual order.
    if out is None:
        return True
    return (
        cnp.PyArray_CheckExact(out) and cnp.PyArray_ISWRITEABLE(out) and cnp.PyArray_TYPE(out) == type
        and has_shape(out, ndim, shape) and (cnp.PyArray_ISFARRAY(out) or are_distinct(out))
    )


cdef inline bint may_overlap(const Array *a, const Array *b) noexcept:
    # or lie between each other, as the columns of a matrix do: NumPy decides
    if a.data == NULL or b.data == NULL:
        return False
    return a.low < b.low + b.bytes and b.low < a.low + a.bytes


cdef inline bint apart(const Call *call, const Array *out, bint is_x) noexcept:
    # Whether an output overlaps nothing, unless it is the predictions
    if may_overlap(out, &call.x) and not is_x:
        return False
    return not (may_overlap(out, &call.targets) or may_overlap(out, &call.weights) or may_overlap(out, &call.upstream))


cdef void set_layout(Layout *layout, object array, bint rows) noexcept:
    # Merge dimensions as far as the order of the numbers allows. The dimension of the classes is never merged.
    cdef int last = 0
    cdef int ndim = cnp.PyArray_NDIM(array)
    cdef int i
    cdef Py_ssize_t size, stride
    cdef bint apart
    layout.shape[0] = 1  # this dimension is merged with any
    layout.strides[0] = 0
    for i in range(ndim):
        size = cnp.PyArray_DIM(array, i)
        stride = cnp.PyArray_STRIDE(array, i)
        apart = rows and i == ndim - 1
        if size == 1 and not apart:
            continue
        if not apart and (layout.shape[last] == 1 or layout.strides[last] == size * stride):
            layout.shape[last] *= size
            layout.strides[last] = stride
            continue
        last += 1
        layout.shape[last] = size
        layout.strides[last] = stride
    layout.ndim = last + 1


cdef void set_array(Array *array, object given, bint bits, bint rows, Layout *layout) noexcept:
    cdef Py_ssize_t length, step
    cdef int i
    array.narrow = False
    array.tolerance = 0
    array.layout = NULL
    if given is None:
        array.data = NULL
        array.type = cnp.NPY_DOUBLE
        return
    array.data = array.low = cnp.PyArray_BYTES(given)
    array.type = BFLOAT16 if bits else cnp.PyArray_TYPE(given)
    array.size = cnp.PyArray_ITEMSIZE(given)
    array.bytes = array.size
    for i in range(cnp.PyArray_NDIM(given)):
        length = max(cnp.PyArray_DIM(given, i) - 1, <Py_ssize_t>0)
        step = length * cnp.PyArray_STRIDE(given, i)
        array.low += min(step, <Py_ssize_t>0)
        array.bytes += max(step, -step)
    array.swapped = cnp.PyArray_ISBYTESWAPPED(given)
    if not cnp.PyArray_ISCARRAY_RO(given):
        set_layout(layout, given, rows)
        array.layout = layout


cdef void set_size(Call *call, object x) noexcept:
    cdef int ndim = cnp.PyArray_NDIM(x)
    cdef bint rows = has_rows(call.kind)
    call.classes = cnp.PyArray_DIM(x, ndim - 1) if rows else 1
    call.n = cnp.PyArray_MultiplyList(cnp.PyArray_DIMS(x), ndim - 1 if rows else ndim)


cdef void set_plan(Plan *plan, const Call *call, int wanted) except *:
    cdef bint chooses = call.kind == CATEGORICAL and call.labels and call.options.smoothing == 0
    cdef bint exponentials = call.kind == CATEGORICAL_LOGITS or call.kind == SOFTMAX or call.kind == LOG_SOFTMAX
    cdef Py_ssize_t work, threads
    plan.wanted = wanted
    plan.divisor = plan.by_count = plan.lifted = False
    plan.in_float = in_halves(call.x.type)
    plan.scale = 1
    plan.scale_low = 0
    plan.cost = call.classes
    plan.room_size = 0
    if not has_rows(call.kind):
        plan.block = ELEMENTS
    elif exponentials:
        plan.block = max(min(LONG_BLOCK // call.classes, <Py_ssize_t>BLOCK), <Py_ssize_t>1)
        plan.room_size = arena_size(call.classes, <double>0)
    else:
        plan.block = max(min(LONG_PROBS_BLOCK // call.classes, <Py_ssize_t>BLOCK), <Py_ssize_t>LEAST_ROWS)
        plan.room_size = 0 if chooses else DISTRIBUTION_ROOM
    if chooses and not wanted & (GRADIENT | HESSIAN):
        plan.cost = 1  # of a row, the label's probability
    plan.room_size = (plan.room_size + CACHE_LINE - 1) & -CACHE_LINE
    plan.threads = 1
    work = call.n * plan.cost * (2 if call.kind != BINARY and call.kind != CATEGORICAL else 1)
    if work >= threaded_from:
        # Each helper takes time to wake, of the caller and one after the other: n of them are worth n^2 times the work.
        threads = <Py_ssize_t>(2 * sqrt(<double>work / max(threaded_from, <Py_ssize_t>1)))
        plan.threads = hire(<int>min(<Py_ssize_t>thread_count(), threads))


cdef inline bint is_awkward(double x) noexcept nogil:
    # a constant that float holds inexactly or not at all
    return x != 0 and not (1e-30 < abs(x) < 1e30)


cdef inline bint is_extreme(double x) noexcept nogil:
    # a constant of a binary loss whose quotients and products may leave the range of float
    return x != 0 and not (2.0 ** -60 <= x <= 2.0 ** 60)


cdef object exact(const Accumulator *sum):
    # As an integer, in units of the least number
    cdef int i
    result = 0
    for i in range(sum.last - 1, sum.first - 1, -1):
        result = (result << 32) + sum.limb[i]
    return result << 32 * sum.first


cdef object exact_sums_of(Accumulator *sums):
    # Of the losses, of those that are infinite or NaN, of the weights, and of ones. Weights that overflow make a number
    # that does so too.
    weights = <object>1 << EXPONENT_OF_OVERFLOW if sums[1].special == INFINITY else exact(&sums[1])
    return exact(&sums[0]), sums[0].special, weights, exact(&sums[2]) >> EXPONENT_OF_1


cdef inline int result_type(const Array *x, object given) noexcept:
    return cnp.PyArray_TYPE(given) if x.type == BFLOAT16 or in_halves(x.type) else <int>cnp.NPY_DOUBLE


cdef inline object output(object out, bint wanted, int type, int ndim, cnp.npy_intp *shape):
    # The array that was given, or a new one if it is wanted
    return cnp.PyArray_EMPTY(ndim, shape, type, False) if wanted and out is None else out


cdef bint are_inputs(Call *call, object x, object targets, object weights, bint prepared) noexcept:
    # Whether types and shapes are those of a call
    cdef const Options *options = &call.options
    cdef bint rows = has_rows(call.kind)
    cdef int ndim, inner
    cdef cnp.npy_intp *shape
    if not (is_real(x) and is_real(targets) and (weights is None or is_real(weights))):
        return False
    ndim = cnp.PyArray_NDIM(x)
    shape = cnp.PyArray_DIMS(x)
    inner = ndim - 1 if rows else ndim  # dimensions of the losses
    call.labels = rows and cnp.PyArray_NDIM(targets) == inner
    if inner < 0 or (rows and shape[inner] == 0) or not has_shape(targets, inner if call.labels else ndim, shape):
        return False
    if rows and not prepared and options.axis != -1 and options.axis != inner:
        return False
    if options.length and (ndim == 0 or shape[ndim - 1] != options.length):
        return False
    if options.ignores and not call.labels:
        return False
    return weights is None or has_shape(weights, inner, shape)


cdef bint are_apart(const Call *call, object x, object value, object gradient, object hessian) noexcept:
    # Whether outputs overlap nothing, unless one is the predictions. _checks takes more for the same.
    if may_overlap(&call.value, &call.gradient) or may_overlap(&call.gradient, &call.hessian):
        return False
    return (
        apart(call, &call.value, value is x) and apart(call, &call.gradient, gradient is x)
        and apart(call, &call.hessian, hessian is x)
    )


cdef void set_inputs(
    Call *call, Layout *layouts, object x, object targets, object weights, object upstream, int wanted
) noexcept:
    cdef bint rows = has_rows(call.kind)
    set_array(&call.x, x, wanted & BFLOAT16_BITS, rows, &layouts[0])
    set_array(&call.targets, targets, wanted & TARGETS_BITS, rows and not call.labels, &layouts[1])
    set_array(&call.weights, weights, wanted & WEIGHTS_BITS, False, &layouts[2])
    set_array(&call.upstream, upstream, wanted & UPSTREAM_BITS, False, &layouts[3])
    call.targets.narrow = call.weights.narrow = call.upstream.narrow = in_halves(call.x.type)
    call.given = 0 if weights is None else WEIGHTS
    call.given |= 0 if upstream is None else UPSTREAM
    call.given |= CLASS_WEIGHTS if call.options.weights else 0


cdef void set_outputs(
    Call *call, Layout *layouts, object value, object gradient, object hessian, bint bits
) noexcept:
    cdef bint rows = has_rows(call.kind)
    set_array(&call.value, value, bits, False, &layouts[4])
    set_array(&call.gradient, gradient, bits, rows, &layouts[5])
    set_array(&call.hessian, hessian, bits, rows, &layouts[6])


cdef bint run_call(
    Call *call, Layout *layouts, object x, object targets, int reduction, int wanted, double factor, double *total
) except -1:
    # Return False if the arrays must be prepared first, for an error or a warning that only the prepared call gives.
    cdef Plan plan
    cdef Outcome outcome
    cdef int computing = cnp.NPY_FLOAT if in_halves(call.x.type) else cnp.NPY_DOUBLE
    cdef int results = wanted & (GRADIENT | HESSIAN)
    if wanted & VALUE:
        results |= VALUE_EACH if reduction == NONE else VALUE_SUM
    set_plan(&plan, call, results)
    run(call, &plan, reduction, wanted & WARNED, factor, &outcome)
    if outcome.bad >= 0 and not outcome.overwritten:
        # Predictions are tolerated by their dtype, targets by the computing type.
        if not on_logits(call.kind):
            tolerate(&call.x, x, has_rows(call.kind), &layouts[0], machine_epsilon(call.x.type))
        if not call.labels and machine_epsilon(call.targets.type) > 0:
            tolerate(&call.targets, targets, has_rows(call.kind), &layouts[1], machine_epsilon(computing))
        run(call, &plan, reduction, True, factor, &outcome)
    if outcome.bad >= 0 and outcome.overwritten:  # after a pass that found nothing
        raise ValueError("an array of the call changed during it, which works in place")
    if outcome.unusable == NO_MEMORY:
        raise MemoryError
    total[0] = outcome.total
    if not wanted & PREPARED:
        return outcome.suspicious < 0 and outcome.bad < 0 and not outcome.unusable
    if outcome.suspicious >= 0:
        raise Suspicious(outcome.suspicious)
    if outcome.bad >= 0:
        raise BadBlock(outcome.bad, min(outcome.bad + plan.block, call.n))
    if outcome.unusable:
        raise ValueError(WEIGHTS_TOO_LARGE if outcome.unusable == TOO_LARGE else WEIGHTS_TOO_SMALL)
    return True


cdef object compute(
    bytes options, object x, object targets, object weights, object upstream, int wanted,
    object value_out, object gradient_out, object hessian_out, Accumulator *exact_sums,
):
    # Return the wanted results, in a tuple if there are several. If the arrays are not prepared, return None when
    # they must be, when a value is outside its domain, and when the user should be warned: the prepared call then
    # raises. Only errors and suspicious inputs are thus found again, and everything else once.
    cdef Call call
    cdef Layout layouts[7]
    cdef int ndim, inner, type_, reduction
    cdef cnp.npy_intp *shape
    cdef double factor = 1
    cdef double total = 0
    cdef const char *packed = options
    cdef bint prepared = wanted & PREPARED
    memcpy(&call.options, packed, sizeof(Options))
    call.class_weights = <const double *>(packed + sizeof(Options))
    call.kind = call.options.kind
    call.exact_sums = exact_sums
    if not are_inputs(&call, x, targets, weights, prepared):
        return None
    reduction = SUM if wanted & (HESSIAN | STATE) else call.options.reduction
    ndim = cnp.PyArray_NDIM(x)
    shape = cnp.PyArray_DIMS(x)
    inner = ndim - 1 if has_rows(call.kind) else ndim
    if type(upstream) is float:
        factor = upstream
        upstream = None
    elif not (reduction == NONE and inner and is_real(upstream) and has_shape(upstream, inner, shape)):
        return None
    elif not prepared and may_overflow(upstream, x):
        return None
    set_inputs(&call, layouts, x, targets, weights, upstream, wanted)
    type_ = result_type(&call.x, x)
    if not prepared and not (
        is_output(value_out, type_, inner, shape)
        and is_output(gradient_out, type_, ndim, shape)
        and is_output(hessian_out, type_, ndim, shape)
    ):
        return None
    value_out = output(value_out, wanted & VALUE and reduction == NONE, type_, inner, shape)
    gradient_out = output(gradient_out, wanted & GRADIENT != 0, type_, ndim, shape)
    hessian_out = output(hessian_out, wanted & HESSIAN != 0, type_, ndim, shape)
    set_outputs(&call, layouts, value_out, gradient_out, hessian_out, wanted & BFLOAT16_BITS)
    call.in_place = wanted & IN_PLACE or value_out is x or gradient_out is x or hessian_out is x
    if not prepared and not are_apart(&call, x, value_out, gradient_out, hessian_out):
        return None
    set_size(&call, x)
    if not run_call(&call, layouts, x, targets, reduction, wanted, factor, &total):
        return None
    if exact_sums != NULL:
        return exact_sums_of(exact_sums)
    if wanted & HESSIAN:
        return gradient_out, hessian_out
    if not wanted & VALUE:
        return gradient_out
    value = value_out if reduction == NONE else total
    return (value, gradient_out) if wanted & GRADIENT else value


def loss(bytes options, x, targets, weights, upstream, int wanted, value_out, gradient_out, hessian_out):
    """Compute the wanted results of a loss, or return None if the arrays must be prepared first.

    Prepared arrays have their classes along the last axis; for them BadBlock or Suspicious is raised instead.
    """
    cdef Accumulator sums[3]
    require_stack()
    return compute(
        options, x, targets, weights, upstream, wanted, value_out, gradient_out, hessian_out,
        &sums[0] if wanted & STATE else NULL
    )


cdef bint is_own_call(int kind, object x, object upstream, bint prepared) noexcept:
    # Whether types and shapes are those of an activation
    cdef bint backward = kind == SOFTMAX_BACKWARD or kind == SIGMOID_BACKWARD
    cdef int ndim
    if (upstream is None) == backward or not is_real(x) or not (upstream is None or is_real(upstream)):
        return False
    ndim = cnp.PyArray_NDIM(x)
    if has_rows(kind) and (ndim == 0 or cnp.PyArray_DIM(x, ndim - 1) == 0):
        return False
    if not backward:
        return True
    if not has_shape(upstream, ndim, cnp.PyArray_DIMS(x)):
        return False
    if prepared or kind == SOFTMAX_BACKWARD:  # which computes in double if float does not hold upstream
        return prepared or cnp.PyArray_TYPE(upstream) != cnp.NPY_LONGDOUBLE
    return not may_overflow(upstream, x)


def activation(int kind, int flags, x, upstream, out):
    """Compute softmax and the like along the last axis, or sigmoid and the like; None if an array must be prepared.

    The flags have the same meaning as for `loss`; upstream takes the place of the targets.
    """
    cdef Call call
    cdef Plan plan
    cdef Outcome outcome
    cdef Layout layouts[3]
    cdef int type_
    cdef bint rows = has_rows(kind)
    cdef bint prepared = flags & PREPARED
    require_stack()
    if not is_own_call(kind, x, upstream, prepared):
        return None
    memset(&call, 0, sizeof(Call))
    call.kind = kind
    set_array(&call.x, x, flags & BFLOAT16_BITS, rows, &layouts[0])
    type_ = result_type(&call.x, x)
    if not prepared and not is_output(out, type_, cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x)):
        return None
    if out is None:
        out = cnp.PyArray_EMPTY(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), type_, False)
    set_array(&call.targets, upstream, flags & UPSTREAM_BITS, rows, &layouts[1])
    set_array(&call.gradient, out, flags & BFLOAT16_BITS, rows, &layouts[2])
    call.in_place = flags & IN_PLACE or out is x or out is upstream
    if not prepared and (
        (may_overlap(&call.gradient, &call.x) and out is not x)
        or (may_overlap(&call.gradient, &call.targets) and out is not upstream)
    ):
        return None
    set_size(&call, x)
    set_plan(&plan, &call, GRADIENT)
    if kind == SOFTMAX_BACKWARD:  # upstream that float does not hold is taken as it is
        plan.in_float = plan.in_float and in_halves(call.targets.type)
    run(&call, &plan, NONE, True, 1, &outcome)
    if outcome.unusable:
        raise MemoryError
    return out
