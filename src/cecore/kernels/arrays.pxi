# Numbers between arrays of any real type and blocks of the computing type.

ctypedef fused source:
    cnp.npy_bool
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

cdef extern from "numpy/arrayobject.h":
    const int NPY_HALF  # which NumPy's own declarations leave out

cdef enum:
    BFLOAT16 = -16  # beside NumPy's type numbers: predictions that arrive as the bits of bfloat16

cdef enum:
    INVALID = -1  # no class
    IGNORED = -2
    NOT_ONE_HOT = -3

cdef struct Array:
    const char *data
    int type  # NumPy's type number, or BFLOAT16
    bint narrow  # round to float on the way to a double


cdef inline void convert(const source *data, real *out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = <real>data[i]


cdef inline void pick(const real *data, Py_ssize_t stride, real *out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = data[i * stride]


cdef void convert_half(
    const unsigned short *data, int type, real *out, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    if type == BFLOAT16:
        for i in range(n):
            out[i] = <real>cecore_from_bfloat16(data[i])
    else:
        for i in range(n):
            out[i] = <real>cecore_from_half(data[i])


cdef inline bint of_computing_type(const Array *array, real unused) noexcept nogil:
    if real is double:
        return array.type == cnp.NPY_DOUBLE and not array.narrow
    else:
        return array.type == cnp.NPY_FLOAT


cdef void load(
    const Array *array, Py_ssize_t start, Py_ssize_t stride, Py_ssize_t n, real *out
) noexcept nogil:
    # n numbers of a contiguous array, every stride-th from start
    cdef Py_ssize_t i
    cdef int type = array.type
    cdef const char *data = array.data
    if stride != 1:
        if of_computing_type(array, <real>0):
            pick(<const real *>data + start, stride, out, n)
        else:
            for i in range(n):  # rare, and not worth a loop for every type
                load(array, start + i * stride, 1, 1, out + i)
        return
    if type == cnp.NPY_DOUBLE:
        convert(<const double *>data + start, out, n)
    elif type == cnp.NPY_FLOAT:
        convert(<const float *>data + start, out, n)
    elif type == NPY_HALF or type == BFLOAT16:
        convert_half(<const unsigned short *>data + start, type, out, n)
    elif type == cnp.NPY_BOOL or type == cnp.NPY_UBYTE:
        convert(<const cnp.npy_bool *>data + start, out, n)
    elif type == cnp.NPY_BYTE:
        convert(<const signed char *>data + start, out, n)
    elif type == cnp.NPY_SHORT:
        convert(<const short *>data + start, out, n)
    elif type == cnp.NPY_USHORT:
        convert(<const unsigned short *>data + start, out, n)
    elif type == cnp.NPY_INT:
        convert(<const int *>data + start, out, n)
    elif type == cnp.NPY_UINT:
        convert(<const unsigned int *>data + start, out, n)
    elif type == cnp.NPY_LONG:
        convert(<const long *>data + start, out, n)
    elif type == cnp.NPY_ULONG:
        convert(<const unsigned long *>data + start, out, n)
    elif type == cnp.NPY_LONGLONG:
        convert(<const long long *>data + start, out, n)
    else:
        convert(<const unsigned long long *>data + start, out, n)
    if array.narrow:
        for i in range(n):
            out[i] = <real><float>out[i]


cdef const real *block_of(
    const Array *array, Py_ssize_t start, Py_ssize_t n, real *scratch, real padding
) noexcept nogil:
    # A whole block of the computing type is read where it lies; a part of one is padded.
    cdef Py_ssize_t i
    if n == BLOCK and of_computing_type(array, padding):
        return <const real *>array.data + start
    load(array, start, 1, n, scratch)
    for i in range(n, BLOCK):
        scratch[i] = padding
    return scratch


cdef void store(char *data, int type, Py_ssize_t start, Py_ssize_t n, const real *block) noexcept nogil:
    cdef unsigned short *halves = <unsigned short *>data + start
    cdef Py_ssize_t i
    if data == NULL:
        return
    if type == cnp.NPY_DOUBLE:
        convert(block, <double *>data + start, n)
    elif type == cnp.NPY_FLOAT:
        convert(block, <float *>data + start, n)
    elif type == NPY_HALF:
        for i in range(n):
            halves[i] = cecore_to_half(<float>block[i])
    else:
        for i in range(n):
            halves[i] = cecore_to_bfloat16(<float>block[i])


cdef void load_labels(
    const Array *array, const Options *options, Py_ssize_t start, Py_ssize_t n, int64_t *out
) noexcept nogil:
    # Labels >= 0, IGNORED, or INVALID: what is negative, not a whole number, or beyond 64 bits
    cdef double number[BLOCK]
    cdef bint ignores = options.ignores == SIGNED
    cdef double ignored_number = <double>options.ignore_index
    cdef bint negative_ignored
    cdef Py_ssize_t i
    cdef int type = array.type
    if type == cnp.NPY_LONG or type == cnp.NPY_LONGLONG or type == cnp.NPY_ULONG or type == cnp.NPY_ULONGLONG:
        if sizeof(long) == 8 or type == cnp.NPY_LONGLONG or type == cnp.NPY_ULONGLONG:
            memcpy(out, array.data + 8 * start, 8 * n)
            # the upper half of the unsigned numbers arrives as negative ones
            negative_ignored = options.ignores == (
                UNSIGNED if type == cnp.NPY_ULONG or type == cnp.NPY_ULONGLONG else SIGNED
            )
            for i in range(n):
                if out[i] == options.ignore_index and (negative_ignored if out[i] < 0 else ignores):
                    out[i] = IGNORED
                elif out[i] < 0:
                    out[i] = INVALID
            return
    load(array, start, 1, n, number)
    # as a number, if it is one exactly
    if options.ignores == UNSIGNED:
        ignored_number = <double><uint64_t>options.ignore_index
        ignores = ignored_number < 18446744073709551616.0 and (
            <uint64_t>ignored_number == <uint64_t>options.ignore_index
        )
    else:
        ignores = ignores and ignored_number < 9223372036854775808.0 and (
            <int64_t>ignored_number == options.ignore_index
        )
    for i in range(n):
        if ignores and number[i] == ignored_number:
            out[i] = IGNORED
            continue
        out[i] = <int64_t>number[i] if 0 <= number[i] < 9e15 else INVALID
        out[i] = out[i] if <double>out[i] == number[i] else INVALID
