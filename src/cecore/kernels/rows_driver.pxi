# ---------------------------------------------------------------- rows of logits

cdef enum:
    KEPT_BYTES = 1 << 18  # of the exponentials of a row that wait in the arena for its sum
    PREFETCHED_CLASSES = 512  # the processor foresees longer rows itself
    STREAMED = 1 << 22  # numbers
    ROW_BUFFER = BATCH + 2 * SUM_LANES * WIDTH  # numbers: of rows of many classes, padded

cdef struct Arena:  # where the numbers of some rows are while they are computed
    RowBlock *block
    RowConstants *constants
    FocalSums *focal
    char *z
    char *e
    char *t
    char *first  # results, or what waits for them
    char *second


cdef inline Py_ssize_t tile_size(Py_ssize_t classes, real unused) noexcept nogil:
    return (classes * WIDTH + SUM_LANES) * sizeof(real)


cdef inline Py_ssize_t kept_classes(Py_ssize_t classes, real unused) noexcept nogil:
    # How many exponentials of a row the arena holds
    return min(classes, <Py_ssize_t>KEPT_BYTES // <Py_ssize_t>sizeof(real)) + ROW_BUFFER


cdef Py_ssize_t arena_size(Py_ssize_t classes, real unused) noexcept nogil:
    cdef Py_ssize_t size = sizeof(RowBlock) + sizeof(RowConstants) + sizeof(FocalSums) + 8 * 64
    if classes <= MAX_TILE_CLASSES:
        return size + 4 * tile_size(classes, unused)
    return size + (4 * ROW_BUFFER + kept_classes(classes, unused)) * sizeof(real)


cdef char *take(char **place, Py_ssize_t size) noexcept nogil:
    cdef char *taken = place[0]
    place[0] += (size + 63) & -64
    return taken


cdef void lay_out(Arena *arena, char *memory, Py_ssize_t classes, real unused) noexcept nogil:
    cdef char *place = memory
    cdef Py_ssize_t size = ROW_BUFFER * sizeof(real)
    cdef Py_ssize_t e_size = kept_classes(classes, unused) * sizeof(real)
    if classes <= MAX_TILE_CLASSES:
        size = e_size = tile_size(classes, unused)
    arena.block = <RowBlock *>take(&place, sizeof(RowBlock))
    arena.constants = <RowConstants *>take(&place, sizeof(RowConstants))
    arena.focal = <FocalSums *>take(&place, sizeof(FocalSums))
    arena.z = take(&place, size)
    arena.e = take(&place, e_size)
    arena.t = take(&place, size)
    arena.first = take(&place, size)
    arena.second = take(&place, size) if classes > MAX_TILE_CLASSES else arena.z


cdef void set_block(RowBlock *block, const Job *job, bint has_targets) noexcept nogil:
    block.classes = job.classes
    block.has_targets = has_targets
    block.smoothing = 0 if has_targets else job.options.smoothing
    block.gamma = job.options.gamma
    block.wanted = wanted_results(job)
    if block.wanted & (VALUE_SUM | VALUE_EACH):
        block.wanted = VALUE | block.wanted & GRADIENT
    if job.activation != NOT_ACTIVATION:
        block.wanted = SOFTMAX_BIT if job.activation == SOFTMAX else LOG_SOFTMAX_BIT
        block.smoothing = block.gamma = 0


cdef struct RowInputs:  # of a block of rows, in double; of activations, nothing
    const int64_t *labels
    const bint *has_targets  # in place of a label
    Py_ssize_t targets  # how many rows have them
    const double *w
    const double *factors
    double *losses


cdef Py_ssize_t set_tile(
    RowBlock *block, const RowInputs *rows, Py_ssize_t first, Py_ssize_t n, bint has_targets, bint *mine
) noexcept nogil:
    # What belongs to the rows of a tile; rows of the other kind get weight 0. Returns how many are of this kind.
    cdef Py_ssize_t lanes = whole_lanes(n)
    cdef Py_ssize_t count = 0
    cdef Py_ssize_t r
    for r in range(n, lanes):
        block.label[r] = 0
        block.weight[r] = 1
        block.factor[r] = 0
    if rows.labels == NULL:
        for r in range(n):
            mine[r] = True
            block.weight[r] = 1
        return n
    memcpy(block.label, rows.labels + first, n * sizeof(int64_t))
    memcpy(block.weight, rows.w + first, n * sizeof(double))
    memcpy(block.factor, rows.factors + first, n * sizeof(double))
    for r in range(n):
        mine[r] = rows.has_targets[first + r] == has_targets
        count += mine[r]
    for r in range(n if has_targets or count < n else 0):
        block.label[r] = block.label[r] if mine[r] and not has_targets else 0
        block.weight[r] = block.weight[r] if mine[r] else 0
    return count


cdef void prefetch_tile(const Job *job, RowBlock *block, Py_ssize_t row, real unused) noexcept nogil:
    # What tile_exponentials prefetches: the next tile's logits, if they are read where they lie
    block.ahead = NULL
    if job.n * job.classes >= UNCACHED and of_computing_type(&job.x, unused):
        block.ahead = job.x.data + row * job.classes * sizeof(real)


cdef int run_tile(
    Job *job, Arena *arena, const RowInputs *rows, Py_ssize_t start, Py_ssize_t first, Py_ssize_t n, bint has_targets,
    real unused
) noexcept nogil:
    # The rows of a tile that have targets, or those that have labels
    cdef bint mine[WIDTH]
    cdef RowBlock *block = arena.block
    cdef real *z = <real *>arena.z
    cdef real *t = <real *>arena.t
    cdef Py_ssize_t classes = job.classes
    cdef Py_ssize_t count, r
    cdef const bint *some = NULL
    set_block(block, job, has_targets)
    count = set_tile(block, rows, first, n, has_targets, mine)
    if count == 0:
        return SOFT
    if count < n:
        some = &mine[0]
    block.rows = n
    if has_targets and not taus_tile(job, start + first, n, rows.labels + first, mine, block.weight, t):
        return BAD
    if block.wanted == 0:
        return SOFT
    load_tile(&job.x, start + first, n, whole_lanes(n), classes, z)
    prefetch_tile(job, block, start + first + n, unused)
    compute_tile(block, z, <real *>arena.e, t, <real *>arena.first, unused)
    if rows.labels != NULL and count == n:
        memcpy(rows.losses + first, block.loss, n * sizeof(double))
    for r in range(n if count < n else 0):
        rows.losses[first + r] = block.loss[r] if mine[r] else rows.losses[first + r]
    if job.hessian.data != NULL:
        store_results(job, &job.hessian, start + first, n, z, some, <real *>arena.e)
    if job.gradient.data != NULL:
        store_results(job, &job.gradient, start + first, n, <real *>arena.first, some, <real *>arena.e)
    return SOFT


cdef void store_results(
    const Job *job, const Array *out, Py_ssize_t row, Py_ssize_t n, const real *tile, const bint *mine, real *buffer
) noexcept nogil:
    if mine == NULL and is_streamed(job, out, <real>0):
        tile_to_rows(tile, n, job.classes, buffer)
        cecore_stream(out.data + row * job.classes * sizeof(real), <char *>buffer, n * job.classes * sizeof(real))
    else:
        store_tile(out, row, n, job.classes, tile, mine)


cdef bint load_row_targets(
    const Job *job, Py_ssize_t row, int64_t label, double w, Py_ssize_t first, Py_ssize_t n, real *buffer, real **t
) noexcept nogil:
    # The weighted targets of a segment, in t; False if one is out of its domain
    cdef double wide[BLOCK]
    cdef bint mine = True
    cdef const double *weights = NULL
    cdef Py_ssize_t i, k, count
    t[0] = buffer
    if tau_lies_there(job, w, <real>0):
        t[0] = <real *>job.targets.data + row * job.classes + first
        return in_domain(<const real *>t[0], n)
    for i in range(blocks(n)):
        k = i * BLOCK
        count = min(n - k, <Py_ssize_t>BLOCK)
        if job.class_weights != NULL:
            weights = job.class_weights + first + k
        if not taus_of_rows(job, row, 1, &label, &mine, &w, first + k, count, weights, wide):
            return False
        convert(&wide[0], buffer + k, count)
    return True


cdef struct Batch:  # some rows of many classes: their places
    Py_ssize_t row[WIDTH]
    int64_t label[WIDTH]
    Py_ssize_t stride  # from one row to the next one in the arena, in numbers
    Py_ssize_t segments
    bint kept  # all exponentials stay in the arena
    bint in_gradient  # they wait where the gradient will be


cdef inline Py_ssize_t segments_of(Py_ssize_t classes) noexcept nogil:
    # All of BATCH classes but the last one, which has at least SUM_LANES
    return max((classes - SUM_LANES) // BATCH + 1, <Py_ssize_t>1)


cdef inline Py_ssize_t segment_length(const Batch *batch, Py_ssize_t classes, Py_ssize_t segment) noexcept nogil:
    return classes - segment * BATCH if segment + 1 == batch.segments else <Py_ssize_t>BATCH


cdef void load_segment(
    const Job *job, const Arena *arena, const Batch *batch, Py_ssize_t segment, bint copied, real **z
) noexcept nogil:
    # The logits of a segment of each row; a row that has +inf is rewritten
    cdef RowBlock *block = arena.block
    cdef real *buffer = <real *>arena.z
    cdef Py_ssize_t n = segment_length(batch, job.classes, segment)
    cdef Py_ssize_t r
    for r in range(block.rows):
        z[r] = <real *>numbers_of(&job.x, batch.row[r] * job.classes + segment * BATCH, n, buffer + r * batch.stride)
        if block.infinite[r] > 0:
            resolve_infinite(<const real *>z[r], n, block.infinite[r], buffer + r * batch.stride)
            z[r] = buffer + r * batch.stride
        elif copied and z[r] != buffer + r * batch.stride:
            memcpy(buffer + r * batch.stride, z[r], n * sizeof(real))
            z[r] = buffer + r * batch.stride


cdef void find_maxima(const Job *job, const Arena *arena, const Batch *batch, real **z) noexcept nogil:
    # Leaves the first segment loaded, if it is the only one.
    cdef RowBlock *block = arena.block
    cdef Py_ssize_t segment, n, r
    cdef Py_ssize_t infinite = 0
    memset(block.infinite, 0, sizeof(block.infinite))
    for segment in range(batch.segments):
        if halted_at(job, segment):
            return
        load_segment(job, arena, batch, segment, False, z)
        add_maxima(block, z, segment_length(batch, job.classes, segment))
    for r in range(block.rows):
        infinite += block.maximum[r] == INFINITY
    if infinite == 0:
        return
    for segment in range(batch.segments):
        if halted_at(job, segment):
            return
        n = segment_length(batch, job.classes, segment)
        load_segment(job, arena, batch, segment, False, z)
        for r in range(block.rows):
            if block.maximum[r] == INFINITY:
                block.new_infinite[r] = 0 if segment == 0 else block.new_infinite[r]
                block.new_infinite[r] += count_infinite(<const real *>z[r], n)
    for r in range(block.rows):
        if block.maximum[r] == INFINITY:
            block.infinite[r] = block.new_infinite[r]
            block.maximum[r] = 0
    if batch.segments == 1:
        load_segment(job, arena, batch, 0, False, z)


cdef bint load_targets(
    const Job *job, const Arena *arena, const Batch *batch, Py_ssize_t segment, real **t
) noexcept nogil:
    # The weighted targets of a segment of each row, if there are some; False if one is out of its domain
    cdef RowBlock *block = arena.block
    cdef Py_ssize_t n = segment_length(batch, job.classes, segment)
    cdef Py_ssize_t r
    for r in range(block.rows if block.has_targets else 0):
        if not load_row_targets(
            job, batch.row[r], batch.label[r], block.weight[r], segment * BATCH, n,
            <real *>arena.t + r * batch.stride, &t[r]
        ):
            return False
    return True


cdef real *waiting(
    const Job *job, const Arena *arena, const Batch *batch, Py_ssize_t segment, real unused
) noexcept nogil:
    # Where the exponentials of a segment are: in the arena or, but for the last segment, where its gradient will be
    if batch.in_gradient and segment + 1 < batch.segments:
        return <real *>job.gradient.data + batch.row[0] * job.classes + segment * BATCH
    return <real *>arena.e + (segment * BATCH if batch.kept else 0)


cdef int fill_sums(Job *job, Arena *arena, const Batch *batch, real **z, real **t) noexcept nogil:
    # Stage one of some rows
    cdef RowBlock *block = arena.block
    cdef real *e
    cdef Py_ssize_t segment, n
    find_maxima(job, arena, batch, z)
    set_row_scales(block, <real>0)
    block.ahead = NULL
    if job.n * job.classes >= UNCACHED and job.classes <= PREFETCHED_CLASSES and of_computing_type(&job.x, <real>0):
        block.ahead = job.x.data + (batch.row[block.rows - 1] + 1) * job.classes * sizeof(real)
    for segment in range(batch.segments):
        if halted_at(job, segment):
            return SOFT
        n = segment_length(batch, job.classes, segment)
        if batch.segments > 1:
            load_segment(job, arena, batch, segment, False, z)
        if not load_targets(job, arena, batch, segment, t):
            return BAD
        if batch.in_gradient and job.in_place and (block.has_targets or block.smoothing != 0 or has_labels(block)):
            load_segment(job, arena, batch, segment, True, z)  # which the exponentials overwrite
        e = waiting(job, arena, batch, segment, <real>0)
        fill_exponentials(block, z, n, e, batch.stride)
        add_sums(block, z, t, segment * BATCH, n, e, batch.stride)
    join_sums(block, <real>0)
    return SOFT


cdef real *reload(
    Job *job, Arena *arena, const Batch *batch, Py_ssize_t segment, real **z, real **t
) noexcept nogil:
    # What stage two needs of a segment: the exponentials, and logits and targets
    cdef RowBlock *block = arena.block
    cdef real *e = waiting(job, arena, batch, segment, <real>0)
    cdef Py_ssize_t n = segment_length(batch, job.classes, segment)
    cdef bint logarithms = block.wanted & LOG_SOFTMAX_BIT != 0
    cdef bint copied = logarithms and job.in_place
    cdef bint again = not batch.kept and not batch.in_gradient and not logarithms
    if copied or batch.segments > 1 and (again or logarithms or is_general_focal(block)):
        load_segment(job, arena, batch, segment, copied, z)
    if batch.segments > 1:
        load_targets(job, arena, batch, segment, t)
    if again:
        fill_exponentials(block, z, n, e, batch.stride)
    return e


cdef int run_batch(Job *job, Arena *arena, const Batch *batch, real unused) noexcept nogil:
    cdef real *z[WIDTH]
    cdef real *t[WIDTH]
    cdef real *gradient[WIDTH]
    cdef real *hessian[WIDTH]
    cdef real *e
    cdef RowBlock *block = arena.block
    cdef Py_ssize_t segment, first, n
    start_rows(block)
    if fill_sums(job, arena, batch, &z[0], &t[0]) == BAD:
        return BAD
    finish_rows(block, block.rows, arena.constants, unused)
    if is_general_focal(block):
        add_focal_segments(job, arena, batch, &z[0], &t[0])
    for segment in range(batch.segments if block.wanted & ~VALUE else 0):
        if halted_at(job, segment):
            return SOFT
        first = segment * BATCH
        n = segment_length(batch, job.classes, segment)
        e = reload(job, arena, batch, segment, &z[0], &t[0])
        set_places(job, &job.gradient, batch, block.rows, first, <real *>arena.first, &gradient[0])
        set_places(job, &job.hessian, batch, block.rows, first, <real *>arena.second, &hessian[0])
        if is_general_focal(block):
            write_focal(arena, batch, segment, n, &z[0], <const real *>e, &t[0], &gradient[0], &hessian[0])
        else:
            write_all(block, arena.constants, first, n, e, batch.stride, &z[0], &t[0], &gradient[0], &hessian[0])
        if block.wanted & HESSIAN:
            store_places(job, &job.hessian, batch, block.rows, first, n, &hessian[0])
        if block.wanted & ~(VALUE | HESSIAN):
            store_places(job, &job.gradient, batch, block.rows, first, n, &gradient[0])
    return SOFT


cdef void write_all(
    RowBlock *block, const RowConstants *constants, Py_ssize_t first, Py_ssize_t n, real *e, Py_ssize_t stride,
    real **z, real **t, real **gradient, real **hessian
) noexcept nogil:
    cdef Py_ssize_t r
    if block.wanted & HESSIAN:
        write_hessian(block, constants, first, n, <const real *>e, stride, hessian)
    for r in range(0 if block.has_targets else block.rows):
        t[r] = z[r] if block.wanted & LOG_SOFTMAX_BIT else e + r * stride  # or what is not read
    if block.wanted & ~(VALUE | HESSIAN):
        write_results(block, constants, first, n, <const real *>e, stride, t, gradient)


cdef void add_focal_segments(
    Job *job, Arena *arena, const Batch *batch, real **z, real **t
) noexcept nogil:
    # Of one row
    cdef real *first = <real *>arena.first
    cdef real *second = <real *>arena.second
    cdef real *e
    cdef Py_ssize_t segment
    memset(arena.focal, 0, sizeof(FocalSums))
    for segment in range(batch.segments):
        if halted_at(job, segment):
            return
        e = reload(job, arena, batch, segment, z, t)
        add_focal_row(
            arena.block, <const real *>z[0], <const real *>e, <const real *>t[0],
            segment_length(batch, job.classes, segment), 0, first, second, arena.focal
        )
    keep_focal_row(arena.block, 0, arena.focal)


cdef void write_focal(
    Arena *arena, const Batch *batch, Py_ssize_t segment, Py_ssize_t n, real **z, const real *e, real **t,
    real **gradient, real **hessian
) noexcept nogil:
    # Of a segment of one row; of several segments, what waited is computed again
    cdef real *first = <real *>arena.first
    cdef real *second = <real *>arena.second
    if batch.segments > 1:
        add_focal_row(arena.block, <const real *>z[0], e, <const real *>t[0], n, 0, first, second, arena.focal)
    write_focal_row(arena.block, e, <const real *>first, <const real *>second, n, 0, gradient[0], hessian[0])
    if arena.block.weight[0] == 0:
        clear_row(arena.block, n, gradient[0], hessian[0])


cdef void clear_row(const RowBlock *block, Py_ssize_t n, real *gradient, real *hessian) noexcept nogil:
    if block.wanted & GRADIENT:
        memset(gradient, 0, n * sizeof(real))
    if block.wanted & HESSIAN:
        memset(hessian, 0, n * sizeof(real))


cdef inline bint is_streamed(const Job *job, const Array *out, real unused) noexcept nogil:
    # Whether results go past the caches: the arrays are larger than the last cache, and the rows too short for the
    # processor to foresee them.
    if not of_computing_type(out, unused) or job.classes > PREFETCHED_CLASSES:
        return False
    return job.n * job.classes >= STREAMED


cdef inline bint are_neighbours(const Batch *batch, Py_ssize_t rows) noexcept nogil:
    return batch.row[rows - 1] - batch.row[0] == rows - 1


cdef void set_places(
    const Job *job, const Array *out, const Batch *batch, Py_ssize_t rows, Py_ssize_t first, real *buffer, real **places
) noexcept nogil:
    # Where the results of a segment go: to their place, or through the buffer
    cdef Py_ssize_t r
    cdef bint direct = of_computing_type(out, <real>0)
    cdef bint streamed = is_streamed(job, out, <real>0) and are_neighbours(batch, rows)
    for r in range(rows):
        if streamed:  # without gaps
            places[r] = buffer + r * job.classes
        elif direct:
            places[r] = <real *>out.data + batch.row[r] * job.classes + first
        else:
            places[r] = buffer + r * batch.stride


cdef void store_places(
    const Job *job, const Array *out, const Batch *batch, Py_ssize_t rows, Py_ssize_t first, Py_ssize_t n,
    real **places
) noexcept nogil:
    cdef Py_ssize_t r
    cdef char *place = out.data + batch.row[0] * job.classes * sizeof(real)
    if is_streamed(job, out, <real>0) and are_neighbours(batch, rows):
        cecore_stream(place, <char *>places[0], rows * n * sizeof(real))
        return
    if of_computing_type(out, <real>0):
        return
    for r in range(rows):
        store(out, batch.row[r] * job.classes + first, n, places[r])


cdef bint check_targets(
    const Job *job, Py_ssize_t row, int64_t label, double w, real *buffer
) noexcept nogil:
    # Of a row, without computing anything
    cdef real *t
    cdef Py_ssize_t segment, first
    for segment in range((job.classes + BATCH - 1) // BATCH):
        if halted_at(job, segment):
            return True
        first = segment * BATCH
        if not load_row_targets(job, row, label, w, first, min(job.classes - first, <Py_ssize_t>BATCH), buffer, &t):
            return False
    return True


cdef inline Py_ssize_t batch_height(Py_ssize_t classes) noexcept nogil:
    # As many rows as BATCH logits; of short rows one more, so that a block of LONG_BLOCK logits is four batches.
    cdef Py_ssize_t height = (BATCH + classes - 1) // classes if classes <= 1024 else BATCH // classes
    return max(min(height, <Py_ssize_t>WIDTH), <Py_ssize_t>1)


cdef int run_batches(
    Job *job, Arena *arena, const RowInputs *rows, Py_ssize_t start, Py_ssize_t n, bint has_targets, real unused
) noexcept nogil:
    # The rows of many classes that have targets, or those that have labels; those of weight 0 are not read
    cdef Batch batch
    cdef RowBlock *block = arena.block
    cdef Py_ssize_t lanes = width(unused)
    cdef Py_ssize_t height = batch_height(job.classes)
    cdef Py_ssize_t i, r
    cdef Py_ssize_t count = 0
    set_block(block, job, has_targets)
    if is_general_focal(block):
        height = 1
    batch.segments = segments_of(job.classes)
    batch.stride = job.classes // lanes * lanes + lanes if batch.segments == 1 else <Py_ssize_t>ROW_BUFFER
    batch.kept = batch.segments == 1 or job.classes <= KEPT_BYTES // <Py_ssize_t>sizeof(real)
    batch.in_gradient = (
        not batch.kept and of_computing_type(&job.gradient, unused) and job.gradient.data != NULL
        and not is_general_focal(block) and not block.wanted & LOG_SOFTMAX_BIT
    )
    for i in range(n):
        if rows.labels != NULL:
            if rows.has_targets[i] != has_targets:
                continue
            if rows.w[i] == 0:
                rows.losses[i] = 0
                clear_numbers(job, &job.gradient, (start + i) * job.classes, job.classes)
                clear_numbers(job, &job.hessian, (start + i) * job.classes, job.classes)
                continue
            if block.wanted == 0:
                if has_targets and not check_targets(job, start + i, rows.labels[i], rows.w[i], <real *>arena.t):
                    return BAD
                continue
        batch.row[count] = start + i
        if rows.labels != NULL:
            batch.label[count] = rows.labels[i]
            block.label[count] = -1 if has_targets else rows.labels[i]
            block.weight[count] = rows.w[i]
            block.factor[count] = rows.factors[i]
        count += 1
        if count == height:
            block.rows = count
            if run_batch(job, arena, &batch, unused) == BAD:
                return BAD
            keep_losses(block, &batch, rows, start)
            count = 0
    if count > 0:
        block.rows = count
        if run_batch(job, arena, &batch, unused) == BAD:
            return BAD
        keep_losses(block, &batch, rows, start)
    return SOFT


cdef void keep_losses(
    const RowBlock *block, const Batch *batch, const RowInputs *rows, Py_ssize_t start
) noexcept nogil:
    cdef Py_ssize_t r
    for r in range(block.rows if rows.labels != NULL and block.wanted & VALUE else 0):
        rows.losses[batch.row[r] - start] = 0 if block.weight[r] == 0 else block.loss[r]


cdef int logit_rows(
    Job *job, char *memory, const RowInputs *rows, Py_ssize_t start, Py_ssize_t n, real unused
) noexcept nogil:
    # A block of rows, or of an activation any number
    cdef Arena arena
    cdef Py_ssize_t first
    cdef bint kind
    lay_out(&arena, memory, job.classes, unused)
    for kind in range(2):
        if (rows.targets == 0 and kind) or (rows.targets == n and n > 0 and not kind):
            continue
        if job.classes > MAX_TILE_CLASSES:
            if run_batches(job, &arena, rows, start, n, kind, unused) == BAD:
                return BAD
            continue
        for first in range(0, n, 64):
            if run_tile(job, &arena, rows, start, first, min(n - first, <Py_ssize_t>WIDTH), kind, unused) == BAD:
                return BAD
    return SOFT


cdef inline bint have_own_weights(const Job *job, bint in_taus) noexcept nogil:
    # Return whether class weights or ignored labels change the weights of rows.
    return job.options.ignores or (job.class_weights != NULL and not in_taus)


cdef inline real own_weight(const Job *job, bint in_taus, int64_t label, real unused) noexcept nogil:
    # Return 0 if the row is ignored, else the class weight of its label, or 1 if the taus hold the class weights.
    if label == IGNORED:
        return 0
    if job.class_weights != NULL and not in_taus and label >= 0:
        return <real>job.class_weights[label]
    return 1


cdef const real *weight_rows(
    Job *job, Py_ssize_t n, bint in_taus, const int64_t *labels, const real *w, real *own, real *factors
) noexcept nogil:
    # The weights and factors of rows
    cdef real weight, product, factor
    cdef Py_ssize_t i
    if not have_own_weights(job, in_taus):
        return w
    for i in range(padded(n)):
        own[i] = w[i]
    for i in range(n):
        weight = own_weight(job, in_taus, labels[i], <real>0)
        if weight == 1:
            continue
        product = own[i] * weight
        factor = factors[i] * weight
        if weight != 0 and (product - product != 0 or factor - factor != 0):
            job.noticed |= OVERFLOWING
        own[i] = 0 if weight == 0 else product
        factors[i] = 0 if own[i] == 0 else factor
    return own


cdef void loss_weights(
    const Job *job, Py_ssize_t n, bint in_taus, const int64_t *labels, const real *w, double *out
) noexcept nogil:
    # The weights by which the losses of rows are multiplied: of float, a product may lie beyond its range.
    cdef double weight
    cdef Py_ssize_t i
    for i in range(padded(n)):
        out[i] = w[i]
    for i in range(n if have_own_weights(job, in_taus) else 0):
        weight = own_weight(job, in_taus, labels[i], <real>0)
        out[i] = 0 if weight == 0 else out[i] * weight


cdef const real *mask_rows(
    Py_ssize_t n, const bint *general, const real *w, real *own, real *factors
) noexcept nogil:
    # Weights of 0 for the rows that have gone the general way
    cdef Py_ssize_t i
    for i in range(padded(n)):
        own[i] = w[i]
    for i in range(n):
        if general[i]:
            own[i] = factors[i] = 0
    return own


cdef bint valid_weights(const real *w, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if not (w[i] >= 0 and w[i] - w[i] == 0):
            return False
    return True


cdef void run_rows(Job *job, Py_ssize_t first, Py_ssize_t last, real unused) noexcept nogil:
    if job.options.logits:
        run_logit_rows(job, first, last, unused)
    else:
        run_probability_rows(job, first, last, unused)


cdef void run_logit_rows(Job *job, Py_ssize_t first, Py_ssize_t last, real unused) noexcept nogil:
    cdef int64_t labels[BLOCK]
    cdef bint has_targets[BLOCK]
    cdef real w_scratch[BLOCK]
    cdef real own_w[BLOCK]
    cdef real factors[BLOCK]
    cdef double wide_w[BLOCK]
    cdef double wide_factors[BLOCK]
    cdef double losses[BLOCK]
    cdef double row_w[BLOCK]
    cdef const real *w
    cdef RowInputs rows
    cdef Py_ssize_t block, start, n, i
    cdef bint all_have = job.options.smoothing != 0 and (job.class_weights != NULL or job.options.gamma != 0)
    cdef bint in_taus = job.options.smoothing != 0 and job.class_weights != NULL
    cdef bint even = job.weights.data == NULL and job.upstream.data == NULL and not have_own_weights(job, in_taus)
    cdef Py_ssize_t filled = -1  # rows whose weights, which are alike, are there
    rows.labels = &labels[0]
    rows.has_targets = &has_targets[0]
    rows.w = &row_w[0]
    rows.factors = &wide_factors[0]
    rows.losses = &losses[0]
    rows.targets = 0
    memset(has_targets, 0, sizeof(has_targets))
    for block in range(first, last):
        start = block * job.block
        n = min(job.n - start, job.block)
        w = weight_block(job, start, n, not even or n != filled, w_scratch, factors)
        job.bad = start
        if (job.weights.data != NULL and not valid_weights(w, n)) or not find_labels(job, start, n, w, labels):
            break
        if not even or n != filled:
            loss_weights(job, n, in_taus, labels, w, wide_w)
            w = weight_rows(job, n, in_taus, labels, w, own_w, factors)
            for i in range(n):
                row_w[i] = w[i]
                wide_factors[i] = factors[i]
            filled = n
        if all_have or not job.labels:
            rows.targets = 0
            for i in range(n):
                has_targets[i] = all_have | (labels[i] == NOT_ONE_HOT)
                rows.targets += has_targets[i]
        for i in range(n if job.options.ignores else 0):
            labels[i] = 0 if labels[i] == IGNORED else labels[i]
        memset(losses, 0, padded(n) * sizeof(double))
        if logit_rows(job, job.room, &rows, start, n, unused) == BAD:
            break
        job.bad = -1
        for i in range(0 if even else n):
            losses[i] = 0 if wide_w[i] == 0 else wide_w[i] * losses[i]
        if job.wanted_sum:
            accumulator_add(&job.sum, lane_sum(n, &losses[0]))
        store(&job.value, start, n, &losses[0])
    cecore_stream_end()


cdef Py_ssize_t run_distributions(
    Job *job, Py_ssize_t start, Py_ssize_t n, bint all_rows, const int64_t *labels, const real *w, const real *factors
) noexcept nogil:
    # Compute the rows of a block up to the first part of it that may hold a one-hot row, or all of them. Return how
    # many there were, or -1 if something is outside its domain. A part stays in the cache between its two readings.
    cdef Py_ssize_t part = n if all_rows else max(LONG_BLOCK // job.classes, <Py_ssize_t>1)
    cdef Py_ssize_t done = 0
    cdef Py_ssize_t rows
    while done < n:
        rows = min(n - done, part)
        if not all_rows and any_one(job, start + done, rows, <real>0):
            break
        if not run_distribution_block(job, start + done, rows, labels, w + done, factors + done):
            return -1
        done += rows
    return done


cdef bint run_labels(
    Job *job, Py_ssize_t start, Py_ssize_t n, int64_t *labels, const real *given_w, real *factors
) noexcept nogil:
    # Compute rows with a label, and the distributions between them. Return False if something is outside its domain.
    cdef bint general[BLOCK]
    cdef real own_w[BLOCK]
    cdef double losses[BLOCK]
    cdef const real *w = weight_rows(job, n, False, labels, given_w, own_w, factors)
    cdef Segment segment
    cdef Py_ssize_t distributions = 0
    cdef Py_ssize_t i
    for i in range(n):
        general[i] = labels[i] == NOT_ONE_HOT
        distributions += general[i]
        labels[i] = 0 if labels[i] < 0 else labels[i]  # ignored rows and distributions have no label
    for i in range(n, padded(n)):
        labels[i] = 0
    memset(losses, 0, padded(n) * sizeof(double))
    if distributions > 0:  # before the labels' rows are stored: an output may be the predictions
        segment.labels = labels
        segment.row_mask = general
        segment.all_rows = distributions == n
        segment.all_ones = segment.alike = False
        if distribution_block(job, &segment, start, n, w, factors, losses) == BAD:
            return False
        if job.wanted_sum:
            accumulator_add(&job.sum, lane_sum(n, &losses[0]))
        w = mask_rows(n, general, w, own_w, factors)
    if distributions < n and label_block(
        job, start, n, labels, general, w == &own_w[0] or job.weights.data != NULL, w, factors, losses
    ) == BAD:
        return False
    store(&job.value, start, n, &losses[0])
    return True


cdef bint run_smoothed_labels(
    Job *job, Py_ssize_t start, Py_ssize_t n, int64_t *labels, const real *given_w, real *factors
) noexcept nogil:
    # With smoothing, labels are distributions.
    cdef real own_w[BLOCK]
    cdef const real *w = weight_rows(job, n, True, labels, given_w, own_w, factors)
    cdef Py_ssize_t i
    for i in range(n):
        labels[i] = 0 if labels[i] == IGNORED else labels[i]
    return run_distribution_block(job, start, n, labels, w, factors)


cdef void run_probability_rows(Job *job, Py_ssize_t first, Py_ssize_t last, real unused) noexcept nogil:
    cdef int64_t labels[BLOCK]
    cdef real scratch[BLOCK]
    cdef real factors[BLOCK]
    cdef const real *w
    cdef bint smoothed = job.options.smoothing != 0
    cdef bint valid
    cdef Py_ssize_t block, start, n, i, done
    for block in range(first, last):
        start = block * job.block
        n = min(job.n - start, job.block)
        w = weight_block(job, start, n, True, scratch, factors)
        job.bad = start
        if job.weights.data != NULL and not valid_weights(w, n):
            return
        done = 0 if job.labels else run_distributions(job, start, n, smoothed, labels, w, &factors[0])
        if done < 0:
            return
        if done == n:
            job.bad = -1
            continue
        if done > 0:  # the other rows
            start += done
            n -= done
            memmove(scratch, w + done, n * sizeof(real))
            memmove(factors, &factors[done], n * sizeof(real))
            w = &scratch[0]
            for i in range(n, padded(n)):
                scratch[i] = factors[i] = 0
        valid = find_labels(job, start, n, w, labels)
        if valid and smoothed:
            valid = run_smoothed_labels(job, start, n, labels, w, &factors[0])
        elif valid:
            valid = run_labels(job, start, n, labels, w, &factors[0])
        if not valid:
            return
        job.bad = -1


# ---------------------------------------------------------------- softmax and its derivative

cdef void run_activation(Job *job, Py_ssize_t start, Py_ssize_t stop, real unused) noexcept nogil:
    # The rows from start to stop; start is a multiple of the block
    cdef RowInputs rows
    memset(&rows, 0, sizeof(RowInputs))
    logit_rows(job, job.room, &rows, start, stop - start, unused)
    cecore_stream_end()


include "softmax_backward.pxi"
