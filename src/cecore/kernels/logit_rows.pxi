# The driver of rows of logits, of softmax and of log_softmax: it loads tiles of few classes, or batches of rows of many
# classes, lets softmax.pxi and rows.pxi compute them, and stores the results. Each thread has an Arena, which holds its
# tile or batch.

cdef enum:
    KEPT_BYTES = 5 << 17  # of the exponentials of a row that wait in the arena for its sum; others are computed twice
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


cdef inline Py_ssize_t tile_size(Py_ssize_t classes, real of_type) noexcept nogil:
    return (classes * WIDTH + SUM_LANES) * sizeof(real)


cdef inline Py_ssize_t kept_classes(Py_ssize_t classes, real of_type) noexcept nogil:
    # How many exponentials of a row the arena holds
    return min(classes, <Py_ssize_t>KEPT_BYTES // <Py_ssize_t>sizeof(real)) + ROW_BUFFER


cdef Py_ssize_t arena_size(Py_ssize_t classes, real of_type) noexcept nogil:
    cdef Py_ssize_t size = sizeof(RowBlock) + sizeof(RowConstants) + sizeof(FocalSums) + 8 * 64
    if classes <= MAX_TILE_CLASSES:
        return size + 4 * tile_size(classes, of_type)
    return size + (4 * ROW_BUFFER + kept_classes(classes, of_type)) * sizeof(real)


cdef char *take(char **place, Py_ssize_t size) noexcept nogil:
    cdef char *taken = place[0]
    place[0] += (size + 63) & -64
    return taken


cdef void lay_out(Arena *arena, char *memory, Py_ssize_t classes, real of_type) noexcept nogil:
    cdef char *place = memory
    cdef Py_ssize_t size = ROW_BUFFER * sizeof(real)
    cdef Py_ssize_t e_size = kept_classes(classes, of_type) * sizeof(real)
    if classes <= MAX_TILE_CLASSES:
        size = e_size = tile_size(classes, of_type)
    arena.block = <RowBlock *>take(&place, sizeof(RowBlock))
    arena.constants = <RowConstants *>take(&place, sizeof(RowConstants))
    arena.focal = <FocalSums *>take(&place, sizeof(FocalSums))
    arena.z = take(&place, size)
    arena.e = take(&place, e_size)
    arena.t = take(&place, size)
    arena.first = take(&place, size)
    arena.second = take(&place, size) if classes > MAX_TILE_CLASSES else arena.z


cdef void set_block(RowBlock *block, const State *state, bint has_targets) noexcept nogil:
    cdef const Call *call = state.call
    block.classes = call.classes
    block.has_targets = has_targets
    block.smoothing = 0 if has_targets else call.options.smoothing
    block.gamma = call.options.gamma
    block.wanted = state.plan.wanted
    if block.wanted & (VALUE_SUM | VALUE_EACH):
        block.wanted = VALUE | block.wanted & GRADIENT
    if is_activation(call.kind):
        block.wanted = SOFTMAX_BIT if call.kind == SOFTMAX else LOG_SOFTMAX_BIT
        block.smoothing = block.gamma = 0


cdef struct RowInputs:  # of a block of rows
    const int64_t *labels
    const bint *has_targets  # in place of a label
    Py_ssize_t targets  # how many rows have them
    const double *weights
    const double *factors
    double *losses


cdef void set_ahead(const Call *call, RowBlock *block, Py_ssize_t row, real of_type) noexcept nogil:
    # Stage one prefetches the logits from this row on, if they are read where they lie.
    block.ahead = NULL
    if call.n * call.classes >= UNCACHED and call.classes <= PREFETCHED_CLASSES and of_computing_type(&call.x, of_type):
        block.ahead = call.x.data + row * call.classes * sizeof(real)


cdef bint run_tile(
    State *state, Arena *arena, const RowInputs *rows, Py_ssize_t start, Py_ssize_t first, Py_ssize_t last,
    bint has_targets, real of_type
) noexcept nogil:
    # The rows of a tile that have targets, or those that have labels. The others are computed too, but not stored.
    # Return False if a target is out of its domain.
    cdef const Call *call = state.call
    cdef bint chosen[WIDTH]
    cdef RowBlock *block = arena.block
    cdef real *z = <real *>arena.z
    cdef real *t = <real *>arena.t
    cdef real *results = <real *>arena.first
    cdef Py_ssize_t n = min(last - first, <Py_ssize_t>WIDTH)
    cdef Py_ssize_t count = 0
    cdef Py_ssize_t r
    for r in range(n):
        chosen[r] = rows.has_targets[first + r] == has_targets
        count += chosen[r]
    if count == 0:
        return True
    set_block(block, state, has_targets)
    block.rows = n
    block.label = rows.labels + first
    block.weight = rows.weights + first
    block.factor = rows.factors + first
    if has_targets and not weighted_targets_tile(call, start + first, n, block.label, chosen, block.weight, t):
        return False
    if block.wanted == 0:
        return True
    load_tile(&call.x, start + first, n, whole_lanes(n), call.classes, z)
    set_ahead(call, block, start + first + n, of_type)
    compute_tile(block, arena.constants, z, <real *>arena.e, t, results, of_type)
    for r in range(n if block.wanted & VALUE else 0):
        rows.losses[first + r] = block.loss[r] if chosen[r] else rows.losses[first + r]
    if state.plan.wanted & HESSIAN:
        store_results(call, &call.hessian, start + first, n, z, chosen, count == n, <real *>arena.e)
    if state.plan.wanted & GRADIENT:
        store_results(call, &call.gradient, start + first, n, results, chosen, count == n, <real *>arena.e)
    return True


cdef void store_results(
    const Call *call, const Array *out, Py_ssize_t row, Py_ssize_t n, const real *tile, const bint *chosen, bint all,
    real *buffer
) noexcept nogil:
    if not all:
        store_tile(out, row, n, call.classes, tile, chosen)
    elif is_streamed(call, out, <real>0):
        tile_to_rows(tile, n, call.classes, buffer)
        cecore_stream(out.data + row * call.classes * sizeof(real), <char *>buffer, n * call.classes * sizeof(real))
    else:
        store_tile(out, row, n, call.classes, tile, NULL)


cdef bint load_row_targets(
    const Call *call, Py_ssize_t row, int64_t label, Py_ssize_t first, Py_ssize_t n, real *buffer, real **t
) noexcept nogil:
    # The weighted targets of a segment, in t; False if one is out of its domain
    if are_weighted_targets(call) and of_computing_type(&call.targets, <real>0):
        t[0] = <real *>call.targets.data + row * call.classes + first
        return in_domain(<const real *>t[0], n)
    t[0] = buffer
    return weighted_targets_of_row(call, row, label, first, n, buffer)


cdef struct Batch:  # some rows of many classes: their places
    Py_ssize_t row[WIDTH]
    int64_t label[WIDTH]
    double weight[WIDTH]
    double factor[WIDTH]
    Py_ssize_t stride  # from one row to the next one in the arena, in numbers
    Py_ssize_t segments
    bint kept  # all exponentials stay in the arena


cdef inline Py_ssize_t segments_of(Py_ssize_t classes) noexcept nogil:
    # All of BATCH classes but the last one, which has at least SUM_LANES
    return max((classes - SUM_LANES) // BATCH + 1, <Py_ssize_t>1)


cdef inline Py_ssize_t segment_length(const Batch *batch, Py_ssize_t classes, Py_ssize_t segment) noexcept nogil:
    return classes - segment * BATCH if segment + 1 == batch.segments else <Py_ssize_t>BATCH


cdef bint reads_columns(const Array *array, const Batch *batch, Py_ssize_t rows) noexcept nogil:
    # Whether the rows are read or written class by class: where classes lie apart, a cache line holds one class of
    # several rows.
    return rows > 1 and lies_apart(array) and are_neighbours(batch, rows)


cdef void load_columns(
    const Array *array, Py_ssize_t start, Py_ssize_t rows, Py_ssize_t n, real *buffer, Py_ssize_t stride
) noexcept nogil:
    # n classes of some rows, the first of which is at the flat index start
    cdef real column[WIDTH]
    cdef Py_ssize_t k, r
    for k in range(n):
        load(array, start + k, True, rows, column)
        for r in range(rows):
            buffer[r * stride + k] = column[r]


cdef void store_columns(
    const Array *array, Py_ssize_t start, Py_ssize_t rows, Py_ssize_t n, real **places
) noexcept nogil:
    cdef real column[WIDTH]
    cdef Py_ssize_t k, r
    for k in range(n):
        for r in range(rows):
            column[r] = places[r][k]
        store_apart(array, start + k, True, rows, &column[0])


cdef void load_segment(
    const Call *call, const Arena *arena, const Batch *batch, Py_ssize_t segment, real **z
) noexcept nogil:
    # The logits of a segment of each row, where they lie or in the arena; rows with +inf are rewritten.
    cdef RowBlock *block = arena.block
    cdef real *copy = <real *>arena.z
    cdef Py_ssize_t classes = call.classes
    cdef Py_ssize_t start = batch.row[0] * classes + segment * BATCH
    cdef Py_ssize_t n = segment_length(batch, classes, segment)
    cdef bint columns = reads_columns(&call.x, batch, block.rows)
    cdef Py_ssize_t r
    if columns:
        load_columns(&call.x, start, block.rows, n, copy, batch.stride)
    for r in range(block.rows):
        z[r] = copy
        if not columns:
            z[r] = <real *>numbers_of(&call.x, batch.row[r] * classes + segment * BATCH, n, copy)
        if block.infinite[r] > 0:
            resolve_infinite(<const real *>z[r], n, block.infinite[r], copy)
            z[r] = copy
        copy += batch.stride


cdef void find_maxima(const State *state, const Arena *arena, const Batch *batch, real **z) noexcept nogil:
    # Leaves the first segment loaded, if it is the only one.
    cdef RowBlock *block = arena.block
    cdef real *maximum = <real *>block.maximum
    cdef Py_ssize_t infinite[WIDTH]
    cdef Py_ssize_t segment, n, r
    cdef bint rewritten = False
    memset(infinite, 0, sizeof(infinite))
    memset(block.infinite, 0, sizeof(block.infinite))
    for segment in range(batch.segments):
        if halted_at(state, segment):
            return
        load_segment(state.call, arena, batch, segment, z)
        n = segment_length(batch, state.call.classes, segment)
        add_maxima(block, z, n)
        for r in range(block.rows):
            if maximum[r] == INFINITY:
                infinite[r] += count_infinite(<const real *>z[r], n)
    for r in range(block.rows):
        block.infinite[r] = infinite[r]
        maximum[r] = 0 if infinite[r] > 0 else maximum[r]
        rewritten = rewritten or infinite[r] > 0
    if rewritten and batch.segments == 1:
        load_segment(state.call, arena, batch, 0, z)


cdef bint load_targets(
    const Call *call, const Arena *arena, const Batch *batch, Py_ssize_t segment, real **t
) noexcept nogil:
    # The weighted targets of a segment of each row, if there are some; False if one is out of its domain
    cdef RowBlock *block = arena.block
    cdef Py_ssize_t n = segment_length(batch, call.classes, segment)
    cdef Py_ssize_t r
    for r in range(block.rows if block.has_targets else 0):
        if not load_row_targets(
            call, batch.row[r], batch.label[r], segment * BATCH, n, <real *>arena.t + r * batch.stride, &t[r]
        ):
            return False
    return True


cdef real *exponentials_of(const Arena *arena, const Batch *batch, Py_ssize_t segment, real of_type) noexcept nogil:
    return <real *>arena.e + (segment * BATCH if batch.kept else 0)


cdef bint fill_sums(State *state, Arena *arena, const Batch *batch, real **z, real **t) noexcept nogil:
    # Stage one of some rows. Return False if a target is out of its domain.
    cdef const Call *call = state.call
    cdef RowBlock *block = arena.block
    cdef real *e
    cdef Py_ssize_t segment, n
    find_maxima(state, arena, batch, z)
    set_row_scales(block, block.rows, <real>0)
    set_ahead(call, block, batch.row[block.rows - 1] + 1, <real>0)
    for segment in range(batch.segments):
        if halted_at(state, segment):
            return True
        n = segment_length(batch, call.classes, segment)
        if batch.segments > 1:
            load_segment(call, arena, batch, segment, z)
        if not load_targets(call, arena, batch, segment, t):
            return False
        e = exponentials_of(arena, batch, segment, <real>0)
        fill_exponentials(block, z, n, e, batch.stride)
        add_sums(block, z, t, segment * BATCH, n, e, batch.stride)
    join_sums(block, <real>0)
    return True


cdef void keep_logits(RowBlock *block, Py_ssize_t n, real *buffer, Py_ssize_t stride, real **z) noexcept nogil:
    # Copy logits whose place the results take, as some of the last ones are read twice.
    cdef Py_ssize_t r
    for r in range(block.rows):
        if z[r] != buffer + r * stride:
            memcpy(buffer + r * stride, z[r], n * sizeof(real))
            z[r] = buffer + r * stride


cdef real *reload(
    const Call *call, Arena *arena, const Batch *batch, Py_ssize_t segment, real **z, real **t
) noexcept nogil:
    # What stage two needs of a segment: the exponentials, which are returned, the targets, and for some results the
    # logits. A single segment is still there.
    cdef RowBlock *block = arena.block
    cdef real *e = exponentials_of(arena, batch, segment, <real>0)
    cdef Py_ssize_t n = segment_length(batch, call.classes, segment)
    cdef bint logarithms = block.wanted & LOG_SOFTMAX_BIT != 0
    if batch.segments > 1 and (logarithms or not batch.kept or is_general_focal(block)):
        load_segment(call, arena, batch, segment, z)
    if batch.segments > 1:
        load_targets(call, arena, batch, segment, t)
    if not batch.kept and not logarithms:
        fill_exponentials(block, z, n, e, batch.stride)
    if call.in_place and logarithms:
        keep_logits(block, n, <real *>arena.z, batch.stride, z)
    return e


cdef bint run_batch(
    State *state, Arena *arena, const Batch *batch, const RowInputs *rows, Py_ssize_t start, Py_ssize_t count,
    real of_type
) noexcept nogil:
    # The first rows of a batch. Return False if a target is out of its domain.
    cdef const Call *call = state.call
    cdef real *z[WIDTH]
    cdef real *t[WIDTH]
    cdef real *gradient[WIDTH]
    cdef real *hessian[WIDTH]
    cdef real *e
    cdef RowBlock *block = arena.block
    cdef Py_ssize_t segment, first, n
    block.rows = count
    start_rows(block, of_type)
    if not fill_sums(state, arena, batch, &z[0], &t[0]):
        return False
    finish_rows(block, block.rows, arena.constants, of_type)
    if is_general_focal(block):
        add_focal_segments(state, arena, batch, &z[0], &t[0])
    keep_losses(block, batch, rows, start)
    for segment in range(batch.segments if block.wanted & ~VALUE else 0):
        if halted_at(state, segment):
            return True
        first = segment * BATCH
        n = segment_length(batch, call.classes, segment)
        e = reload(call, arena, batch, segment, &z[0], &t[0])
        set_places(call, &call.gradient, batch, block.rows, first, <real *>arena.first, &gradient[0])
        set_places(call, &call.hessian, batch, block.rows, first, <real *>arena.second, &hessian[0])
        if is_general_focal(block):
            write_focal(arena, batch, n, &z[0], <const real *>e, &t[0], &gradient[0], &hessian[0])
        else:
            write_all(block, arena.constants, first, n, e, batch.stride, &z[0], &t[0], &gradient[0], &hessian[0])
        if block.wanted & HESSIAN:
            store_places(call, &call.hessian, batch, block.rows, first, n, &hessian[0])
        if block.wanted & ~(VALUE | HESSIAN):
            store_places(call, &call.gradient, batch, block.rows, first, n, &gradient[0])
    return True


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
    State *state, Arena *arena, const Batch *batch, real **z, real **t
) noexcept nogil:
    # Of one row
    cdef real *first = <real *>arena.first
    cdef real *second = <real *>arena.second
    cdef real *e
    cdef Py_ssize_t segment
    memset(arena.focal, 0, sizeof(FocalSums))
    for segment in range(batch.segments):
        if halted_at(state, segment):
            return
        e = reload(state.call, arena, batch, segment, z, t)
        add_focal_row(
            arena.block, <const real *>z[0], <const real *>e, <const real *>t[0],
            segment_length(batch, state.call.classes, segment), first, second, arena.focal
        )
    keep_focal_row(arena.block, arena.focal)


cdef void write_focal(
    Arena *arena, const Batch *batch, Py_ssize_t n, real **z, const real *e, real **t, real **gradient, real **hessian
) noexcept nogil:
    # Of a segment of one row; of several segments, what waited is computed again
    cdef real *first = <real *>arena.first
    cdef real *second = <real *>arena.second
    if batch.segments > 1:
        add_focal_row(arena.block, <const real *>z[0], e, <const real *>t[0], n, first, second, arena.focal)
    write_focal_row(arena.block, e, <const real *>first, <const real *>second, n, gradient[0], hessian[0])
    if is_zero_row(arena.block, 0):
        clear_row(arena.block, n, gradient[0], hessian[0])


cdef void clear_row(const RowBlock *block, Py_ssize_t n, real *gradient, real *hessian) noexcept nogil:
    if block.wanted & GRADIENT:
        memset(gradient, 0, n * sizeof(real))
    if block.wanted & HESSIAN:
        memset(hessian, 0, n * sizeof(real))


cdef inline bint is_streamed(const Call *call, const Array *out, real of_type) noexcept nogil:
    # Whether results go past the caches: the arrays are larger than the last cache, and the rows too short for the
    # processor to foresee them.
    if not of_computing_type(out, of_type) or call.classes > PREFETCHED_CLASSES:
        return False
    return call.n * call.classes >= STREAMED


cdef inline bint are_neighbours(const Batch *batch, Py_ssize_t rows) noexcept nogil:
    return batch.row[rows - 1] - batch.row[0] == rows - 1


cdef void set_places(
    const Call *call, const Array *out, const Batch *batch, Py_ssize_t rows, Py_ssize_t first, real *buffer,
    real **places
) noexcept nogil:
    # Where the results of a segment go: to their place, or through the buffer
    cdef Py_ssize_t r
    cdef bint direct = of_computing_type(out, <real>0)
    cdef bint streamed = is_streamed(call, out, <real>0) and are_neighbours(batch, rows)
    for r in range(rows):
        if streamed:  # without gaps
            places[r] = buffer + r * call.classes
        elif direct:
            places[r] = <real *>out.data + batch.row[r] * call.classes + first
        else:
            places[r] = buffer + r * batch.stride


cdef void store_places(
    const Call *call, const Array *out, const Batch *batch, Py_ssize_t rows, Py_ssize_t first, Py_ssize_t n,
    real **places
) noexcept nogil:
    cdef Py_ssize_t r
    cdef char *place = out.data + batch.row[0] * call.classes * sizeof(real)
    if is_streamed(call, out, <real>0) and are_neighbours(batch, rows):
        cecore_stream(place, <char *>places[0], rows * n * sizeof(real))
        return
    if of_computing_type(out, <real>0):
        return
    if reads_columns(out, batch, rows):
        store_columns(out, batch.row[0] * call.classes + first, rows, n, places)
        return
    for r in range(rows):
        store(out, batch.row[r] * call.classes + first, n, places[r])


cdef bint check_targets(const State *state, Py_ssize_t row, int64_t label, real *buffer) noexcept nogil:
    # Of a row, without computing anything
    cdef real *t
    cdef Py_ssize_t classes = state.call.classes
    cdef Py_ssize_t segment, first, n
    for segment in range((classes + BATCH - 1) // BATCH):
        if halted_at(state, segment):
            return True
        first = segment * BATCH
        n = min(classes - first, <Py_ssize_t>BATCH)
        if not load_row_targets(state.call, row, label, first, n, buffer, &t):
            return False
    return True


cdef inline Py_ssize_t batch_height(Py_ssize_t classes) noexcept nogil:
    # As many rows as BATCH logits; of short rows one more, so that a block of LONG_BLOCK logits is four batches.
    cdef Py_ssize_t height = (BATCH + classes - 1) // classes if classes <= 1024 else BATCH // classes
    return max(min(height, <Py_ssize_t>WIDTH), <Py_ssize_t>1)


cdef void clear_results_of_row(const State *state, Py_ssize_t row) noexcept nogil:
    cdef const Call *call = state.call
    if state.plan.wanted & GRADIENT:
        clear_numbers(state, &call.gradient, row * call.classes, call.classes)
    if state.plan.wanted & HESSIAN:
        clear_numbers(state, &call.hessian, row * call.classes, call.classes)


cdef bint run_batches(
    State *state, Arena *arena, const RowInputs *rows, Py_ssize_t start, Py_ssize_t n, bint has_targets, real of_type
) noexcept nogil:
    # The rows of many classes that have targets, or those that have labels; those of weight 0 are not read. Return
    # False if a target is out of its domain.
    cdef const Call *call = state.call
    cdef Batch batch
    cdef RowBlock *block = arena.block
    cdef Py_ssize_t height = batch_height(call.classes)
    cdef Py_ssize_t count = 0
    cdef Py_ssize_t i
    set_block(block, state, has_targets)
    if is_general_focal(block):
        height = 1
    block.label = batch.label
    block.weight = batch.weight
    block.factor = batch.factor
    batch.segments = segments_of(call.classes)
    batch.stride = ROW_BUFFER
    if batch.segments == 1:  # whole registers, and one more
        batch.stride = (call.classes // width(of_type) + 1) * width(of_type)
    batch.kept = batch.segments == 1 or call.classes <= KEPT_BYTES // <Py_ssize_t>sizeof(real)
    for i in range(n):
        if rows.has_targets[i] != has_targets:
            continue
        if rows.weights[i] == 0:
            rows.losses[i] = 0
            clear_results_of_row(state, start + i)
            continue
        if block.wanted == 0:
            if has_targets and not check_targets(state, start + i, rows.labels[i], <real *>arena.t):
                return False
            continue
        batch.row[count] = start + i
        batch.label[count] = rows.labels[i]
        batch.weight[count] = rows.weights[i]
        batch.factor[count] = rows.factors[i]
        count += 1
        if count == height:
            if not run_batch(state, arena, &batch, rows, start, count, of_type):
                return False
            count = 0
    return count == 0 or run_batch(state, arena, &batch, rows, start, count, of_type)


cdef void keep_losses(
    const RowBlock *block, const Batch *batch, const RowInputs *rows, Py_ssize_t start
) noexcept nogil:
    cdef Py_ssize_t r
    for r in range(block.rows if block.wanted & VALUE else 0):
        rows.losses[batch.row[r] - start] = 0 if is_zero_row(block, r) else block.loss[r]


cdef bint logit_rows(
    State *state, const RowInputs *rows, Py_ssize_t start, Py_ssize_t n, real of_type
) noexcept nogil:
    # A block of rows: those with labels, then those with targets. Return False if a target is out of its domain.
    cdef Arena arena
    cdef Py_ssize_t tile
    cdef bint has_targets
    lay_out(&arena, state.room, state.call.classes, of_type)
    for has_targets in range(2):
        if rows.targets == (0 if has_targets else n):
            continue
        if state.call.classes > MAX_TILE_CLASSES:
            if not run_batches(state, &arena, rows, start, n, has_targets, of_type):
                return False
            continue
        for tile in range((n + WIDTH - 1) // WIDTH):
            if not run_tile(state, &arena, rows, start, tile * WIDTH, n, has_targets, of_type):
                return False
    return True


cdef void run_logit_rows(State *state, Py_ssize_t first, Py_ssize_t last, real of_type) noexcept nogil:
    cdef const Plan *plan = state.plan
    cdef const Call *call = state.call
    cdef int64_t labels[BLOCK]
    cdef bint has_targets[BLOCK]
    cdef real w_scratch[BLOCK]
    cdef real weights_of_rows[BLOCK]
    cdef real factors[BLOCK]
    cdef double wide_w[BLOCK]
    cdef double wide_factors[BLOCK]
    cdef double losses[BLOCK]
    cdef double row_w[BLOCK]
    cdef const real *given_w = &w_scratch[0]
    cdef const real *w
    cdef RowInputs rows
    cdef Py_ssize_t block, start, n, i
    cdef bint all_have = call.options.smoothing != 0 and (call.given & CLASS_WEIGHTS or call.options.gamma != 0)
    cdef bint in_targets = call.options.smoothing != 0 and call.given & CLASS_WEIGHTS != 0
    cdef bint even = not call.given & WEIGHTS and not call.given & UPSTREAM and not change_weights(call, in_targets)
    cdef Py_ssize_t filled = -1  # rows whose weights, which are alike, are there
    rows.labels = &labels[0]
    rows.has_targets = &has_targets[0]
    rows.weights = &row_w[0]
    rows.factors = &wide_factors[0]
    rows.losses = &losses[0]
    rows.targets = 0
    memset(has_targets, 0, sizeof(has_targets))
    for block in range(first, last):
        start = block * plan.block
        n = min(call.n - start, plan.block)
        if not even or n != filled:
            given_w = load_weights(state, start, n, w_scratch)
            load_factors(state, start, n, given_w, &factors[0], &wide_factors[0])
        state.bad = start
        if (call.given & WEIGHTS and not valid_weights(given_w, n)) or (
            not find_labels(state, start, n, given_w, labels)
        ):
            break
        if not even or n != filled:
            loss_weights(call, n, in_targets, labels, given_w, wide_w)
            w = weight_rows(state, n, in_targets, labels, given_w, weights_of_rows, factors)
            for i in range(padded(n)):
                row_w[i] = w[i]
                wide_factors[i] = factors[i]
            filled = n
        if all_have or not call.labels:
            rows.targets = 0
            for i in range(n):
                has_targets[i] = all_have | (labels[i] == NOT_ONE_HOT)
                rows.targets += has_targets[i]
        for i in range(n if call.options.ignores else 0):
            labels[i] = 0 if labels[i] == IGNORED else labels[i]
        memset(losses, 0, padded(n) * sizeof(double))
        if not logit_rows(state, &rows, start, n, of_type):
            break
        state.bad = -1
        for i in range(0 if even else n):
            losses[i] = 0 if (wide_w[i] == 0) | (losses[i] == 0) else wide_w[i] * losses[i]
        keep_block_losses(state, start, n, losses)
    cecore_stream_end()


cdef void run_activation(State *state, Py_ssize_t first, Py_ssize_t last, real of_type) noexcept nogil:
    # softmax and log_softmax: rows whose labels are not looked at
    cdef int64_t labels[BLOCK]
    cdef bint has_targets[BLOCK]
    cdef double ones[BLOCK]
    cdef double losses[BLOCK]
    cdef RowInputs rows
    cdef Py_ssize_t block, start, i
    for i in range(BLOCK):
        labels[i] = has_targets[i] = 0
        ones[i] = 1
    rows.labels = &labels[0]
    rows.has_targets = &has_targets[0]
    rows.targets = 0
    rows.weights = rows.factors = &ones[0]
    rows.losses = &losses[0]
    for block in range(first, last):
        start = block * state.plan.block
        logit_rows(state, &rows, start, min(state.call.n - start, state.plan.block), of_type)
    cecore_stream_end()
