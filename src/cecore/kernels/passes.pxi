# Passes over a job: the divisor of the mean, a check of the inputs, and the loss itself, block by block.

cdef void run_divisor(Job *job, Py_ssize_t first, Py_ssize_t last, real unused) noexcept nogil:
    # What the mean divides by, added up; what is outside its domain is found by the blocks
    cdef int64_t labels[BLOCK]
    cdef real scratch[BLOCK]
    cdef double own[BLOCK]
    cdef const real *w
    cdef bint by_count = job.options.by_count
    cdef bint weighted = job.options.rows and job.class_weights != NULL and not by_count
    cdef Py_ssize_t stop = min(last * job.block, job.n)
    cdef Py_ssize_t step = min(job.block, <Py_ssize_t>BLOCK)
    cdef Py_ssize_t part, start, n, i
    for part in range((stop - first * job.block + step - 1) // step):
        start = first * job.block + part * step
        n = min(stop - start, step)
        w = weight_block(job, start, n, True, scratch, <real *>NULL)
        if not weighted and not job.options.ignores:
            add_all(n, &job.sum, w)
            continue
        for i in range(padded(n)):
            own[i] = w[i]
        find_labels(job, start, n, w, labels)
        for i in range(n):
            own[i] = 1 if by_count else own[i]
            if labels[i] == IGNORED:
                own[i] = 0
            elif weighted and own[i] != 0:
                own[i] *= target_weight(job, start + i, labels[i])
        add_all(n, &job.sum, &own[0])


cdef void run_loss(Job *job, Py_ssize_t first, Py_ssize_t last, real unused) noexcept nogil:
    if job.options.rows:
        run_rows(job, first, last, unused)
    else:
        run_elements(job, first, last, unused)


cdef void run_function(Job *job, Py_ssize_t first, Py_ssize_t last, real unused) noexcept nogil:
    cdef Py_ssize_t start = first * job.block
    cdef Py_ssize_t stop = min(last * job.block, job.n)
    if not job.options.rows:
        run_elementwise(job, first, last, unused)
    elif job.activation == SOFTMAX_BACKWARD:
        run_softmax_backward(job, start, stop, unused)
    else:
        run_activation(job, start, stop, unused)


cdef bint lies_apart(const Array *array) noexcept nogil:
    # whether the classes of a row do, farther than rows
    cdef Py_ssize_t classes, rows
    if array.data == NULL or array.layout == NULL:
        return False
    classes = array.layout.strides[array.layout.ndim - 1]
    rows = array.layout.strides[array.layout.ndim - 2]
    return classes != array.size and array.layout.shape[array.layout.ndim - 2] > 1 and llabs(classes) > llabs(rows)


cdef void set_panel(Array *array, char *panel, Py_ssize_t first_number) noexcept nogil:
    # Make the array plain, so that its numbers from a flat index on are in the panel. The address of number 0 lies
    # before the panel. It must not be NULL, which stands for no array: then the numbers begin PANEL_MARGIN bytes later.
    cdef uintptr_t offset = <uintptr_t>(first_number * array.size)
    if <uintptr_t>panel == offset:
        panel += PANEL_MARGIN
    array.data = <char *>(<uintptr_t>panel - offset)
    array.layout = NULL
    array.swapped = False


cdef char *panel_of(const Array *array, Py_ssize_t first_number) noexcept nogil:
    return array.data + first_number * array.size


cdef void move_panel(
    const Array *array, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t classes, char *panel, bint back
) noexcept nogil:
    if lies_apart(array):
        turn(array, first, rows, classes, panel, back)
    else:
        move_rows(array, first, rows, classes, panel, back)


cdef void run_within(Job *job, int kind, Py_ssize_t first, Py_ssize_t last, real unused) noexcept nogil:
    if kind == DIVISOR:
        run_divisor(job, first, last, unused)
    elif kind == LOSS:
        run_loss(job, first, last, unused)
    else:
        run_function(job, first, last, unused)


cdef void run_typed(Job *job, int kind, bint in_float, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    if in_float:
        run_within(job, kind, first, last, <float>0)
    else:
        run_within(job, kind, first, last, <double>0)


cdef bint wants_panel(const Job *job, const Array *array) noexcept nogil:
    # Whether its rows are to be read or written by whole blocks, through a plain panel
    cdef bint logits = job.options.logits or job.activation != NOT_ACTIVATION
    if array.data == NULL or array.layout == NULL or array.tolerance > 0:  # panels are copied as they are
        return False
    if lies_apart(array):  # few classes are read one after the other; of more, a cache line holds those of many rows
        return logits and PANEL_CLASSES < job.classes <= LONG_BLOCK // 8
    return True


cdef void run_panels(
    Job *job, int kind, bint in_float, Py_ssize_t first, Py_ssize_t last, const Py_ssize_t *sizes
) noexcept nogil:
    # Two inputs and two outputs: those that have a size, in bytes, pass through panels.
    cdef Job part = job[0]
    cdef const Array *wholes[4]
    cdef Array *parts[4]
    cdef char *panels[4]
    cdef bint fine = True
    cdef Py_ssize_t block, start, n, i
    wholes[:] = [&job.x, &job.targets, &job.gradient, &job.hessian]
    parts[:] = [&part.x, &part.targets, &part.gradient, &part.hessian]
    for i in range(4):
        panels[i] = <char *>malloc(sizes[i] + PANEL_MARGIN) if sizes[i] > 0 else NULL
        fine = fine and (sizes[i] == 0 or panels[i] != NULL)
    for block in range(first, last if fine else first):
        start = block * job.block
        n = min(job.n - start, job.block)
        for i in range(4):
            if sizes[i] > 0:
                set_panel(parts[i], panels[i], start * job.classes)
            if sizes[i] > 0 and i < 2:
                move_panel(wholes[i], start, n, job.classes, panel_of(parts[i], start * job.classes), False)
        run_typed(&part, kind, in_float, block, block + 1)
        job.sum = part.sum
        job.bad = part.bad
        job.noticed = part.noticed
        if part.bad >= 0:
            break
        for i in range(2, 4):
            if sizes[i] > 0:
                move_panel(wholes[i], start, n, job.classes, panel_of(parts[i], start * job.classes), True)
    for i in range(4):
        free(panels[i])
    if not fine:
        run_typed(job, kind, in_float, first, last)


cdef void run_blocks(Job *job, int kind, bint in_float, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef const Array *arrays[4]
    cdef Py_ssize_t sizes[4]
    cdef Py_ssize_t rows = min(job.block, job.n)
    cdef Py_ssize_t room = PANELS
    cdef Py_ssize_t i
    if kind == DIVISOR or not job.options.rows:
        run_typed(job, kind, in_float, first, last)
        return
    arrays[:] = [&job.x, &job.targets, &job.gradient, &job.hessian]
    for i in range(4):
        sizes[i] = 0
        if i == 0 and job.labels and not job.options.logits and job.options.smoothing == 0:
            continue  # of each row, the label chooses one number
        if (i == 1 and job.labels) or not wants_panel(job, arrays[i]):
            continue
        if rows == 0 or job.classes > room // (rows * arrays[i].size):
            run_typed(job, kind, in_float, first, last)
            return
        sizes[i] = rows * job.classes * arrays[i].size
        room -= sizes[i]
    if room < PANELS:
        run_panels(job, kind, in_float, first, last, &sizes[0])
    else:
        run_typed(job, kind, in_float, first, last)


cdef void clear_results(Job *job) noexcept nogil:
    accumulator_clear(&job.sum)
    job.bad = -1
