# Numbers between arrays of any real type and layout and blocks of the computing type.

ctypedef long double longdouble

ctypedef fused source:
    unsigned char
    signed char
    short
    int
    long
    long long
    unsigned short
    unsigned int
    unsigned long
    unsigned long long
    float
    double
    longdouble

cdef extern from "numpy/arrayobject.h":
    const int NPY_HALF  # which NumPy's own declarations leave out

cdef enum:
    BFLOAT16 = -16  # beside NumPy's type numbers: predictions that arrive as the bits of bfloat16

cdef enum:
    MAX_DIMS = 64  # of NumPy
    SHORT = 16  # numbers: a copy of fewer is slower than the numbers one by one

cdef struct Layout:  # how flat indices (in C order) become addresses
    int ndim  # as few as do
    Py_ssize_t shape[MAX_DIMS]
    Py_ssize_t strides[MAX_DIMS]  # in bytes

cdef struct Array:
    char *data
    char *low  # the lowest address of its numbers: not that of the first one, if a stride is negative
    Py_ssize_t bytes  # from there to the end of the highest one
    int type  # NumPy's type number, or BFLOAT16
    int size  # of a number, in bytes
    bint narrow  # round to float on the way to a double
    double tolerance  # 0, or how far outside [0, 1] a number may lie to be loaded as 0 or 1; then there is a layout
    bint swapped  # of the other byte order
    const Layout *layout  # NULL: plain, which is C-contiguous, aligned and of native byte order


cdef inline void convert(const source *data, real *restrict out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = <real>data[i]


cdef inline bint holds_computing_type(const Array *array, real of_type) noexcept nogil:
    # Return whether the numbers can be read as they are, in any layout.
    if array.layout != NULL and (array.swapped or array.tolerance > 0):
        return False
    if real is double:
        return array.type == cnp.NPY_DOUBLE and not array.narrow
    else:
        return array.type == cnp.NPY_FLOAT


cdef inline bint of_computing_type(const Array *array, real of_type) noexcept nogil:
    # and plain
    return array.layout == NULL and holds_computing_type(array, of_type)


cdef bint lies_apart(const Array *array) noexcept nogil:
    # Whether the classes of a row lie apart, farther than rows do
    cdef Py_ssize_t classes, rows
    if array.layout == NULL:
        return False
    classes = array.layout.strides[array.layout.ndim - 1]
    rows = array.layout.strides[array.layout.ndim - 2]
    return classes != array.size and array.layout.shape[array.layout.ndim - 2] > 1 and llabs(classes) > llabs(rows)


cdef inline void transpose_four(const real *data, Py_ssize_t stride, real *out, Py_ssize_t out_stride) noexcept nogil:
    if real is double:
        cecore_transpose(data, stride, out, out_stride)
    else:
        cecore_transposef(data, stride, out, out_stride)


cdef inline void transpose_one(
    const real *data, Py_ssize_t r, Py_ssize_t k, Py_ssize_t classes, bint back, real *restrict out
) noexcept nogil:
    if back:
        out[r * classes + k] = data[k * WIDTH + r]
    else:
        out[k * WIDTH + r] = data[r * classes + k]


cdef inline void transpose_few(
    const real *data, Py_ssize_t rows, Py_ssize_t classes, bint back, real *restrict out
) noexcept nogil:
    # Of two or three classes, which are constants: vector code
    cdef Py_ssize_t r
    for r in range(rows):
        transpose_one(data, r, 0, classes, back, out)
        transpose_one(data, r, 1, classes, back, out)
        if classes == 3:
            transpose_one(data, r, 2, classes, back, out)


cdef inline void transpose(
    const real *data, Py_ssize_t rows, Py_ssize_t classes, bint back, real *restrict out
) noexcept nogil:
    # Rows one after another become rows side by side, or back, in squares of four rows and four classes. The last
    # squares overlap those before them.
    cdef Py_ssize_t i, j, r, k
    if classes == 2:
        transpose_few(data, rows, 2, back, out)
    elif classes == 3:
        transpose_few(data, rows, 3, back, out)
    elif rows < 4 or classes < 4:
        for r in range(rows):
            for k in range(classes):
                transpose_one(data, r, k, classes, back, out)
    else:
        for i in range(0, rows, 4):
            r = min(i, rows - 4)
            for j in range(0, classes, 4):
                k = min(j, classes - 4)
                if back:
                    transpose_four(data + k * WIDTH + r, WIDTH, out + r * classes + k, classes)
                else:
                    transpose_four(data + r * classes + k, classes, out + k * WIDTH + r, WIDTH)


cdef void rows_to_tile(const real *data, Py_ssize_t rows, Py_ssize_t classes, real *restrict tile) noexcept nogil:
    transpose(data, rows, classes, False, tile)


cdef void tile_to_rows(const real *tile, Py_ssize_t rows, Py_ssize_t classes, real *restrict out) noexcept nogil:
    transpose(tile, rows, classes, True, out)


cdef inline void move_each(
    char *place, Py_ssize_t row_stride, Py_ssize_t stride, char *restrict block, Py_ssize_t size, Py_ssize_t rows,
    Py_ssize_t n, bint back
) noexcept nogil:
    cdef Py_ssize_t r, i
    for r in range(rows):
        if back:
            for i in range(n):
                memcpy(place + i * stride, block + i * size, size)
        else:
            for i in range(n):
                memcpy(block + i * size, place + i * stride, size)
        place += row_stride
        block += n * size


cdef void move(
    char *place, Py_ssize_t row_stride, Py_ssize_t stride, char *block, Py_ssize_t size, Py_ssize_t rows,
    Py_ssize_t n, bint back
) noexcept nogil:
    # Rows of n numbers, at any address and strides, to a block, or back
    if stride == size and n >= SHORT:  # a row is moved as if it were one number
        move_each(place, 0, row_stride, block, n * size, 1, rows, back)
    elif stride == 16 and size == 8:  # one of two columns: read by vector code, as the stride is known
        move_each(place, row_stride, 16, block, 8, rows, n, back)
    elif stride == 8 and size == 4:
        move_each(place, row_stride, 8, block, 4, rows, n, back)
    elif size == 8:
        move_each(place, row_stride, stride, block, 8, rows, n, back)
    elif size == 4:
        move_each(place, row_stride, stride, block, 4, rows, n, back)
    elif size == 2:
        move_each(place, row_stride, stride, block, 2, rows, n, back)
    elif size == 1:
        move_each(place, row_stride, stride, block, 1, rows, n, back)
    else:
        move_each(place, row_stride, stride, block, size, rows, n, back)


cdef void walk(
    const Array *array, Py_ssize_t start, bint column, Py_ssize_t n, char *block, bint back
) noexcept nogil:
    # The numbers from a flat index on, or of one class in some rows (column), to a block, or back
    cdef const Layout *layout = array.layout
    cdef char *origin = array.data
    cdef char *place
    cdef int last = layout.ndim - 1
    cdef int d
    cdef Py_ssize_t length = layout.shape[last]
    cdef Py_ssize_t step = layout.strides[last]
    cdef Py_ssize_t row_stride, left, first, rest, count, rows
    if column:
        origin += start % length * step
        start //= length
        last -= 1
        length = layout.shape[last]
        step = layout.strides[last]
    elif last > 0 and layout.strides[last - 1] == length * step:  # a row begins where the last one ended
        last -= 1
        length *= layout.shape[last]
    while n > 0:
        first = start % length
        place = origin + first * step
        rest = start // length
        rows = 1
        row_stride = 0
        if last > 0:
            left = layout.shape[last - 1] - rest % layout.shape[last - 1]
            row_stride = layout.strides[last - 1]
            if first == 0:  # whole rows, until the dimension above ends
                rows = max(min(n // length, left), <Py_ssize_t>1)
        for d in range(last - 1, -1, -1):
            place += rest % layout.shape[d] * layout.strides[d]
            rest //= layout.shape[d]
        count = min(n, length - first)
        move(place, row_stride, step, block, array.size, rows, count, back)
        start += rows * count
        block += rows * count * array.size
        n -= rows * count


cdef inline void swap_each(char *block, Py_ssize_t size, Py_ssize_t n) noexcept nogil:
    cdef char byte
    cdef Py_ssize_t i, j
    for i in range(n):
        for j in range(size // 2):
            byte = block[i * size + j]
            block[i * size + j] = block[i * size + size - 1 - j]
            block[i * size + size - 1 - j] = byte


cdef void swap_bytes(char *block, Py_ssize_t size, Py_ssize_t n) noexcept nogil:
    if size == 8:
        swap_each(block, 8, n)
    elif size == 4:
        swap_each(block, 4, n)
    else:
        swap_each(block, size, n)


cdef char *fetch(const Array *array, Py_ssize_t start, bint column, Py_ssize_t n, char *room) noexcept nogil:
    # At most BLOCK numbers as they are, one after another: from start on, or those of one class (column)
    if array.layout == NULL:
        return array.data + start * array.size
    walk(array, start, column, n, room, False)
    if array.swapped:
        swap_bytes(room, array.size, n)
    return room


cdef void convert_from(int type, const char *data, Py_ssize_t n, real *restrict out) noexcept nogil:
    cdef const unsigned short *halves = <const unsigned short *>data
    cdef uint32_t word
    cdef Py_ssize_t i
    if type == cnp.NPY_DOUBLE:
        convert(<const double *>data, out, n)
    elif type == cnp.NPY_FLOAT:
        convert(<const float *>data, out, n)
    elif type == NPY_HALF:
        for i in range(n):
            out[i] = <real>cecore_from_half(halves[i])
    elif type == BFLOAT16:
        for i in range(n):
            out[i] = <real>cecore_from_bfloat16(halves[i])
    elif type == cnp.NPY_BOOL:
        for i in range(n):  # whatever stands for True
            out[i] = 1 if data[i] != 0 else 0
    elif type == cnp.NPY_UBYTE:
        convert(<const unsigned char *>data, out, n)
    elif type == cnp.NPY_BYTE:
        convert(<const signed char *>data, out, n)
    elif type == cnp.NPY_SHORT:
        convert(<const short *>data, out, n)
    elif type == cnp.NPY_USHORT:
        convert(<const unsigned short *>data, out, n)
    elif type == cnp.NPY_INT:
        convert(<const int *>data, out, n)
    elif type == cnp.NPY_UINT:
        convert(<const unsigned int *>data, out, n)
    elif type == cnp.NPY_LONG:
        convert(<const long *>data, out, n)
    elif type == cnp.NPY_ULONG:
        convert(<const unsigned long *>data, out, n)
    elif type == cnp.NPY_LONGLONG:
        convert(<const long long *>data, out, n)
    elif type == cnp.NPY_ULONGLONG:
        convert(<const unsigned long long *>data, out, n)
    else:
        word = cecore_enter_long()
        convert(<const longdouble *>data, out, n)
        cecore_leave_long(word)


cdef void round_to_unit(real *block, Py_ssize_t n, double tolerance) noexcept nogil:
    # Replace a number just outside [0, 1], as the user's own rounding leaves it, by 0 or 1.
    cdef real outside = <real>tolerance
    cdef real one = 1
    cdef real value
    cdef Py_ssize_t i
    for i in range(n):
        value = block[i]
        value = one if (value > one) & (value - one <= outside) else value
        block[i] = 0 if (value < 0) & (-value <= outside) else value


cdef void load(const Array *array, Py_ssize_t start, bint column, Py_ssize_t n, real *out) noexcept nogil:
    # At most BLOCK numbers from a flat index on; or, of an array that is not plain, those of one class in some rows
    cdef longdouble room[BLOCK]  # for any type, aligned
    cdef float narrow[BLOCK]
    cdef char *data
    if array.layout != NULL and holds_computing_type(array, <real>0):
        walk(array, start, column, n, <char *>out, False)
        return
    data = fetch(array, start, column, n, <char *>&room[0])
    if real is double and array.narrow:
        convert_from(array.type, data, n, &narrow[0])
        convert(&narrow[0], out, n)
    else:
        convert_from(array.type, data, n, out)
    if array.tolerance > 0:
        round_to_unit(out, n, array.tolerance)


cdef void load_all(const Array *array, Py_ssize_t start, Py_ssize_t n, real *out) noexcept nogil:
    # Any number of numbers from a flat index on
    cdef Py_ssize_t i
    for i in range(blocks(n)):
        load(array, start + i * BLOCK, False, min(n - i * BLOCK, <Py_ssize_t>BLOCK), out + i * BLOCK)


cdef inline const real *numbers_of(
    const Array *array, Py_ssize_t start, Py_ssize_t n, real *scratch
) noexcept nogil:
    # Numbers of the computing type are read where they lie.
    if of_computing_type(array, <real>0):
        return <const real *>array.data + start
    load_all(array, start, n, scratch)
    return scratch


cdef const real *block_of(
    const Array *array, Py_ssize_t start, Py_ssize_t n, real *scratch, real padding
) noexcept nogil:
    # The same, padded to whole vectors
    cdef Py_ssize_t i
    if n == padded(n):
        return numbers_of(array, start, n, scratch)
    load_all(array, start, n, scratch)
    for i in range(n, padded(n)):
        scratch[i] = padding
    return scratch


cdef void convert_to(int type, const real *block, Py_ssize_t n, char *data) noexcept nogil:
    cdef unsigned short *halves = <unsigned short *>data
    cdef Py_ssize_t i
    if type == cnp.NPY_DOUBLE:
        convert(block, <double *>data, n)
    elif type == cnp.NPY_FLOAT:
        convert(block, <float *>data, n)
    elif type == NPY_HALF:
        for i in range(n):
            halves[i] = cecore_to_half(<float>block[i])
    else:
        for i in range(n):
            halves[i] = cecore_to_bfloat16(<float>block[i])


cdef void store_apart(
    const Array *array, Py_ssize_t start, bint column, Py_ssize_t n, const real *block
) noexcept nogil:
    # To an array that is not plain; any number of elements, or at most BLOCK of one class
    cdef double room[BLOCK]
    cdef Py_ssize_t piece, first, count
    if holds_computing_type(array, <real>0):
        walk(array, start, column, n, <char *>block, True)
        return
    for piece in range(blocks(n)):
        first = piece * BLOCK
        count = min(n - first, <Py_ssize_t>BLOCK)
        convert_to(array.type, block + first, count, <char *>&room[0])
        if array.swapped:
            swap_bytes(<char *>&room[0], array.size, count)
        walk(array, start + first, column, count, <char *>&room[0], True)


cdef void store(const Array *array, Py_ssize_t start, Py_ssize_t n, const real *block) noexcept nogil:
    if of_computing_type(array, <real>0):
        memcpy(<real *>array.data + start, block, n * sizeof(real))
    elif array.layout == NULL:
        convert_to(array.type, block, n, array.data + start * array.size)
    else:
        store_apart(array, start, False, n, block)


cdef void store_zeros(const Array *array, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    cdef double zeros[BLOCK]
    cdef Py_ssize_t piece
    if array.layout == NULL:
        memset(array.data + start * array.size, 0, n * array.size)
        return
    memset(zeros, 0, sizeof(zeros))
    for piece in range(blocks(n)):
        store_apart(array, start + piece * BLOCK, False, min(n - piece * BLOCK, <Py_ssize_t>BLOCK), &zeros[0])


# ---------------------------------------------------------------- tiles: rows of few classes, side by side

cdef void load_tile(
    const Array *x, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t lanes, Py_ssize_t classes, real *tile
) noexcept nogil:
    # Load some rows. The other lanes are 0.
    cdef real scratch[BLOCK]
    cdef const real *data
    cdef Py_ssize_t group = BLOCK // classes & -4  # rows, so that their squares do not overlap
    cdef Py_ssize_t i, start, count, r, k
    for i in range((rows + group - 1) // group if x.layout == NULL else 0):  # in the order of the memory
        start = i * group
        count = min(rows - start, group)
        data = numbers_of(x, (first + start) * classes, count * classes, scratch)
        rows_to_tile(data, count, classes, tile + start)
    for k in range(classes if x.layout != NULL else 0):
        load(x, first * classes + k, True, rows, tile + k * WIDTH)
    for k in range(classes if rows < lanes else 0):
        for r in range(rows, lanes):
            tile[k * WIDTH + r] = 0


cdef void store_tile(
    const Array *out, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t classes, const real *tile, const bint *row_mask
) noexcept nogil:
    # Store the rows of a tile, or those of them that the mask holds. Without a mask it is NULL.
    cdef real flat[BLOCK]
    cdef Py_ssize_t group = BLOCK // classes  # rows
    cdef Py_ssize_t start, count, i, r, k
    cdef int missing = 0
    cdef bint all
    for r in range(rows if row_mask != NULL else 0):
        missing += row_mask[r] == 0
    all = missing == 0
    if all and out.layout != NULL:  # the classes may be anywhere, the rows side by side
        for k in range(classes):
            store_apart(out, first * classes + k, True, rows, tile + k * WIDTH)
        return
    if all and of_computing_type(out, <real>0):
        tile_to_rows(tile, rows, classes, <real *>out.data + first * classes)
        return
    for i in range((rows + group - 1) // group):
        start = i * group
        count = min(rows - start, group)
        tile_to_rows(tile + start, count, classes, &flat[0])
        if all:
            store(out, (first + start) * classes, count * classes, &flat[0])
            continue
        for r in range(count):
            if row_mask[start + r]:
                store(out, (first + start + r) * classes, classes, &flat[r * classes])
