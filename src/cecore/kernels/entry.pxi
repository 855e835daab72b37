# The entry points: NumPy arrays in, results out.

cdef inline int require_stack() except -1:
    cdef size_t left = cecore_stack_left()
    if left < LEAST_LEFT:
        raise RuntimeError(SMALL_STACK.format(left // 1024, LEAST_LEFT // 1024))
    return 0


cdef bint in_halves(int type) noexcept nogil:
    # whether predictions of a type are computed in float
    return type == cnp.NPY_FLOAT or type == NPY_HALF or type == BFLOAT16


cdef bint is_real(object array) noexcept:
    cdef int type
    if not cnp.PyArray_CheckExact(array):
        return False
    type = cnp.PyArray_TYPE(array)  # bool and the integers come before the floats
    return type <= cnp.NPY_LONGDOUBLE or type == NPY_HALF


cdef bint may_overflow(object upstream, object x) noexcept:
    # Whether a finite number of upstream may become infinite in the computing type. If so, _checks looks for it. This
    # function looks at short plain arrays only.
    cdef int type = cnp.PyArray_TYPE(upstream)
    cdef const double *data = <const double *>cnp.PyArray_DATA(upstream)
    cdef int beyond = 0
    cdef Py_ssize_t i
    if type != cnp.NPY_DOUBLE or not in_halves(cnp.PyArray_TYPE(x)):
        return type == cnp.NPY_LONGDOUBLE
    if not cnp.PyArray_ISCARRAY_RO(upstream) or cnp.PyArray_SIZE(upstream) > GIL_KEPT_BELOW:
        return True
    for i in range(cnp.PyArray_SIZE(upstream)):
        beyond += (data[i] > FLT_MAX) | (data[i] < -FLT_MAX)
    return beyond != 0


cdef bint has_shape(object array, int ndim, const cnp.npy_intp *shape) noexcept:
    cdef int i
    if cnp.PyArray_NDIM(array) != ndim:
        return False
    for i in range(ndim):
        if cnp.PyArray_DIM(array, i) != shape[i]:
            return False
    return True


cdef bint is_output(object out, int type, int ndim, const cnp.npy_intp *shape) noexcept:
    # None, or a writeable array of the results' type, no two numbers of which share their memory
    if out is None:
        return True
    return (
        cnp.PyArray_CheckExact(out) and cnp.PyArray_ISWRITEABLE(out)
        and cnp.PyArray_TYPE(out) == type and has_shape(out, ndim, shape) and are_distinct(out)
    )


cdef bint are_distinct(object out) noexcept:
    # The places of its numbers: along each axis, in the order of the strides, a step is beyond what lies within it.
    cdef Py_ssize_t strides[MAX_DIMS]
    cdef Py_ssize_t lengths[MAX_DIMS]
    cdef Py_ssize_t stride, within = cnp.PyArray_ITEMSIZE(out)
    cdef int n = 0
    cdef int i, place
    for i in range(cnp.PyArray_NDIM(out)):
        if cnp.PyArray_DIM(out, i) == 0:
            return True
        if cnp.PyArray_DIM(out, i) == 1:
            continue
        stride = llabs(cnp.PyArray_STRIDE(out, i))
        place = n
        while place > 0 and strides[place - 1] > stride:
            strides[place] = strides[place - 1]
            lengths[place] = lengths[place - 1]
            place -= 1
        strides[place] = stride
        lengths[place] = cnp.PyArray_DIM(out, i)
        n += 1
    for i in range(n):
        if strides[i] < within:
            return False
        within += (lengths[i] - 1) * strides[i]
    return True


cdef inline bint may_overlap(const Array *a, const Array *b) noexcept:
    # or lie between each other, as the columns of a matrix do: NumPy decides
    if a.data == NULL or b.data == NULL:
        return False
    return a.low < b.low + b.bytes and b.low < a.low + a.bytes


cdef bint same(const Array *a, const Array *b) noexcept:
    # The same numbers in the same places. The user's checks take more for the same: axes of length 1 may differ.
    cdef int i
    if a.data != b.data or a.type != b.type or a.swapped != b.swapped or (a.layout == NULL) != (b.layout == NULL):
        return False
    if a.layout == NULL:
        return True
    if a.layout.ndim != b.layout.ndim:
        return False
    for i in range(a.layout.ndim):
        if a.layout.shape[i] != b.layout.shape[i] or a.layout.strides[i] != b.layout.strides[i]:
            return False
    return True


cdef bint apart(const Job *job, const Array *out) noexcept:
    # Whether an output overlaps nothing but x, and x only as a whole
    if may_overlap(out, &job.x) and not same(out, &job.x):
        return False
    return not (may_overlap(out, &job.targets) or may_overlap(out, &job.weights) or may_overlap(out, &job.upstream))


cdef void set_layout(Layout *layout, object array, bint rows) noexcept:
    # Merge dimensions as far as the order of the numbers allows. The dimension of the classes is never merged.
    cdef int ndim = cnp.PyArray_NDIM(array)
    cdef int i, last
    cdef Py_ssize_t size, stride
    cdef bint apart
    layout.ndim = 0
    for i in range(ndim):
        size = cnp.PyArray_DIM(array, i)
        stride = cnp.PyArray_STRIDE(array, i)
        apart = rows and i == ndim - 1
        last = layout.ndim - 1
        if apart and last < 0:  # one row
            layout.shape[0] = 1
            layout.strides[0] = 0
            layout.ndim = 1
        if size == 1 and not apart:
            continue
        if last >= 0 and not apart and layout.strides[last] == size * stride:
            layout.shape[last] *= size
            layout.strides[last] = stride
            continue
        layout.shape[layout.ndim] = size
        layout.strides[layout.ndim] = stride
        layout.ndim += 1
    if layout.ndim == 0:
        layout.shape[0] = 1
        layout.strides[0] = 0
        layout.ndim = 1


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


cdef void set_size(Job *job, object x) except *:
    cdef int ndim = cnp.PyArray_NDIM(x)
    cdef bint rows = job.options.rows
    cdef bint logits = job.options.logits or job.activation != NOT_ACTIVATION
    cdef Py_ssize_t work, threads
    cdef int i
    job.classes = cnp.PyArray_DIM(x, ndim - 1) if rows else 1
    job.n = 1
    for i in range(ndim - 1 if rows else ndim):
        job.n *= cnp.PyArray_DIM(x, i)
    job.block = BLOCK if rows else ELEMENTS
    if rows and logits:
        job.block = max(min(LONG_BLOCK // job.classes, job.block), <Py_ssize_t>1)
    elif rows:
        job.block = max(min(LONG_PROBS_BLOCK // job.classes, job.block), <Py_ssize_t>LEAST_ROWS)
    job.cost = job.classes
    job.room_size = 0
    if rows and logits and job.activation != SOFTMAX_BACKWARD:
        job.room_size = arena_size(job.classes, <double>0)
    elif rows and (job.activation == SOFTMAX_BACKWARD or not job.labels or job.options.smoothing != 0):
        job.room_size = DISTRIBUTION_ROOM
    if (
        rows and not logits and job.labels and job.options.smoothing == 0
        and job.gradient.data == NULL and job.hessian.data == NULL
    ):
        job.cost = 1  # of a row, the label's probability
    job.threads = 1
    work = job.n * job.cost * (2 if logits else 1)
    if work >= threaded_from:
        # Each helper takes time to wake, of the caller and one after the other: n of them are worth n^2 times the work.
        threads = <Py_ssize_t>(2 * sqrt(<double>work / max(threaded_from, <Py_ssize_t>1)))
        job.threads = hire(<int>min(<Py_ssize_t>thread_count(), threads))


cdef bint is_awkward(double x) noexcept nogil:
    # a constant that float holds inexactly or not at all
    return x != 0 and not (1e-30 < abs(x) < 1e30)


cdef bint is_extreme(double x) noexcept nogil:
    # a constant of a binary loss whose quotients and products may leave the range of float
    return x != 0 and not (2.0 ** -60 <= x <= 2.0 ** 60)


cdef void order_bytes(uint32_t *limbs) noexcept:
    # From the machine's order to the least significant byte first, or back
    if sys.byteorder == "big":
        swap_bytes(<char *>limbs, sizeof(uint32_t), LIMBS)


cdef object exact(Accumulator *sum):
    # As an integer, in units of the least number
    cdef uint32_t limbs[LIMBS]
    cdef int i
    accumulator_carry(sum)
    for i in range(LIMBS):
        limbs[i] = <uint32_t>sum.limb[i]
    order_bytes(limbs)
    return int.from_bytes((<const char *>limbs)[:sizeof(limbs)], "little")


cdef object exact_sums(Accumulator *state):
    # Of the losses, of those that are infinite or NaN, of the weights, and of ones. Weights that overflow make a number
    # that does so too.
    weights = <object>1 << EXPONENT_OF_OVERFLOW if state[1].special == INFINITY else exact(&state[1])
    return exact(&state[0]), state[0].special, weights, exact(&state[2]) >> EXPONENT_OF_1


cdef object compute(
    bytes options, object x, object targets, object weights, object upstream, int wanted,
    object value_out, object gradient_out, object hessian_out, Accumulator *state,
):
    # Return the wanted results, in a tuple if there are several. If the arrays are not prepared, return None when
    # they must be, when a value is outside its domain, and when the user should be warned: the prepared call then
    # raises. Only errors and suspicious inputs are thus found again, and everything else once.
    cdef Job job
    cdef Layout layouts[7]
    cdef int ndim, inner, type_, reduction, computing
    cdef cnp.npy_intp *shape
    cdef double factor = 1
    cdef const char *packed = options
    cdef bint rows
    cdef bint prepared = wanted & PREPARED
    if not (is_real(x) and is_real(targets) and (weights is None or is_real(weights))):
        return None
    memcpy(&job.options, packed, sizeof(Options))
    job.class_weights = <const double *>(packed + sizeof(Options)) if job.options.weights else NULL
    job.activation = NOT_ACTIVATION
    job.state = state
    rows = job.options.rows
    reduction = SUM if wanted & (HESSIAN | STATE) else job.options.reduction
    ndim = cnp.PyArray_NDIM(x)
    shape = cnp.PyArray_DIMS(x)
    inner = ndim - 1 if rows else ndim  # dimensions of the losses
    job.labels = rows and cnp.PyArray_NDIM(targets) == inner
    if inner < 0 or (rows and shape[inner] == 0) or not has_shape(targets, inner if job.labels else ndim, shape):
        return None
    if rows and not prepared and job.options.axis != -1 and job.options.axis != inner:
        return None
    if job.options.length and (ndim == 0 or shape[ndim - 1] != job.options.length):
        return None
    if job.options.ignores and not job.labels:
        return None
    if weights is not None and not has_shape(weights, inner, shape):
        return None
    if type(upstream) is float:
        factor = upstream
        upstream = None
    elif not (reduction == NONE and inner and is_real(upstream) and has_shape(upstream, inner, shape)):
        return None
    elif not prepared and may_overflow(upstream, x):
        return None
    set_array(&job.x, x, wanted & BFLOAT16_BITS, rows, &layouts[0])
    type_ = cnp.PyArray_TYPE(x) if job.x.type == BFLOAT16 or in_halves(job.x.type) else <int>cnp.NPY_DOUBLE
    if not prepared and not (
        is_output(value_out, type_, inner, shape)
        and is_output(gradient_out, type_, ndim, shape)
        and is_output(hessian_out, type_, ndim, shape)
    ):
        return None
    if wanted & VALUE and reduction == NONE and value_out is None:
        value_out = cnp.PyArray_EMPTY(inner, shape, type_, False)
    if wanted & GRADIENT and gradient_out is None:
        gradient_out = cnp.PyArray_EMPTY(ndim, shape, type_, False)
    if wanted & HESSIAN and hessian_out is None:
        hessian_out = cnp.PyArray_EMPTY(ndim, shape, type_, False)
    set_array(&job.targets, targets, wanted & TARGETS_BITS, rows and not job.labels, &layouts[1])
    set_array(&job.weights, weights, wanted & WEIGHTS_BITS, False, &layouts[2])
    set_array(&job.upstream, upstream, wanted & UPSTREAM_BITS, False, &layouts[3])
    set_array(&job.value, value_out, wanted & BFLOAT16_BITS, False, &layouts[4])
    set_array(&job.gradient, gradient_out, wanted & BFLOAT16_BITS, rows, &layouts[5])
    set_array(&job.hessian, hessian_out, wanted & BFLOAT16_BITS, rows, &layouts[6])
    job.in_place = wanted & IN_PLACE
    if not prepared:
        if not (apart(&job, &job.value) and apart(&job, &job.gradient) and apart(&job, &job.hessian)):
            return None
        if may_overlap(&job.value, &job.gradient) or may_overlap(&job.gradient, &job.hessian):
            return None
        if rows and may_overlap(&job.value, &job.x):
            return None
        job.in_place = (
            may_overlap(&job.value, &job.x) or may_overlap(&job.gradient, &job.x) or may_overlap(&job.hessian, &job.x)
        )
    set_size(&job, x)
    run(&job, reduction, wanted, factor)
    if job.bad >= 0 and not job.overwritten:  # predictions are tolerated by their dtype, targets by the computing type
        if not job.options.logits:
            tolerate(&job.x, x, rows, &layouts[0], machine_epsilon(job.x.type))
        if not job.labels and machine_epsilon(job.targets.type) > 0:
            computing = cnp.NPY_FLOAT if in_halves(job.x.type) else cnp.NPY_DOUBLE
            tolerate(&job.targets, targets, rows, &layouts[1], machine_epsilon(computing))
        run(&job, reduction, wanted | WARNED, factor)
    if job.suspicious >= 0:
        if not prepared:
            return None
        raise Suspicious(job.suspicious)
    if job.bad >= 0:
        if job.overwritten:  # after a pass that found nothing
            raise ValueError("an array of the call changed during it, which works in place")
        if not prepared:
            return None
        raise BadBlock(job.bad, min(job.bad + job.block, job.n))
    if job.unusable == NO_MEMORY:
        raise MemoryError
    if job.unusable:
        if not prepared:
            return None
        raise ValueError(WEIGHTS_TOO_LARGE if job.unusable == TOO_LARGE else WEIGHTS_TOO_SMALL)
    if state != NULL:
        return exact_sums(state)
    if wanted & VALUE:
        value = value_out if reduction == NONE else job.total
        if wanted & GRADIENT:
            return value, gradient_out
        return value
    if wanted & HESSIAN:
        return gradient_out, hessian_out
    return gradient_out


cdef object sums(bytes options, object x, object targets, object weights, int wanted):
    cdef Accumulator state[3]
    return compute(options, x, targets, weights, 1.0, wanted, None, None, None, state)


def loss(bytes options, x, targets, weights, upstream, int wanted, value_out, gradient_out, hessian_out):
    """Compute the wanted results of a loss, or return None if the arrays must be prepared first.

    Prepared arrays have their classes along the last axis; for them BadBlock or Suspicious is raised instead.
    """
    require_stack()
    if wanted & STATE:
        return sums(options, x, targets, weights, wanted)
    return compute(options, x, targets, weights, upstream, wanted, value_out, gradient_out, hessian_out, NULL)


def activation(int function, int flags, x, upstream, out):
    """Compute softmax and the like along the last axis, or sigmoid and the like; None if an array must be prepared.

    The flags have the same meaning as for `loss`; upstream takes the place of the targets.
    """
    cdef Job job
    cdef Layout layouts[3]
    cdef int ndim, type_
    cdef cnp.npy_intp *shape
    cdef bint rows = function == SOFTMAX or function == LOG_SOFTMAX or function == SOFTMAX_BACKWARD
    cdef bint backward = function == SOFTMAX_BACKWARD or function == SIGMOID_BACKWARD
    cdef bint prepared = flags & PREPARED
    require_stack()
    if (upstream is None) == backward:
        return None
    if not is_real(x) or not (upstream is None or is_real(upstream)):
        return None
    ndim = cnp.PyArray_NDIM(x)
    shape = cnp.PyArray_DIMS(x)
    if rows and (ndim == 0 or shape[ndim - 1] == 0):
        return None
    if upstream is not None and not has_shape(upstream, ndim, shape):
        return None
    if backward and not prepared:
        if cnp.PyArray_TYPE(upstream) == cnp.NPY_LONGDOUBLE:
            return None
        if function == SIGMOID_BACKWARD and may_overflow(upstream, x):  # the other function computes in double
            return None
    memset(&job.options, 0, sizeof(Options))
    job.options.rows = rows
    job.activation = function
    job.labels = False
    job.wanted_sum = False
    job.class_weights = NULL
    set_array(&job.x, x, flags & BFLOAT16_BITS, rows, &layouts[0])
    type_ = cnp.PyArray_TYPE(x) if job.x.type == BFLOAT16 or in_halves(job.x.type) else <int>cnp.NPY_DOUBLE
    if not prepared and not is_output(out, type_, ndim, shape):
        return None
    if out is None:
        out = cnp.PyArray_EMPTY(ndim, shape, type_, False)
    set_array(&job.targets, upstream, flags & UPSTREAM_BITS, rows, &layouts[1])
    set_array(&job.gradient, out, flags & BFLOAT16_BITS, rows, &layouts[2])
    set_array(&job.weights, None, False, False, NULL)
    job.upstream = job.value = job.hessian = job.weights
    job.in_place = flags & IN_PLACE
    job.unusable = 0
    job.state = NULL
    if not prepared:
        if may_overlap(&job.gradient, &job.targets) and not same(&job.gradient, &job.targets):
            return None
        if may_overlap(&job.gradient, &job.x) and not same(&job.gradient, &job.x):
            return None
        job.in_place = may_overlap(&job.gradient, &job.x) or may_overlap(&job.gradient, &job.targets)
    set_size(&job, x)
    run(&job, NONE, 0, 1)
    if job.unusable == NO_MEMORY:
        raise MemoryError
    return out
