# The exact sum of float64 numbers >= 0: a fixed-point number wide enough for all of them.
#
# limb[i] holds multiples of 2^(32 i - 1074). An addend touches three neighbouring limbs with less than 2^33 each,
# so that 2^29 additions fit before the carries must be passed on. The sum is an integer: it does not depend on
# the order of the additions, and it is rounded once, when it is read.

cdef enum:  # exact sums are integers, in units of 2 ** -1074. These are shifts, which give the sums 1 and 2 ** 1024.
    EXPONENT_OF_1 = 1074
    EXPONENT_OF_OVERFLOW = 2098

cdef enum:
    LIMBS = 68  # 2098 bits of float64, and 64 for 2^64 addends
    ADDITIONS_BETWEEN_CARRIES = 1 << 29

cdef struct Accumulator:
    int64_t limb[LIMBS]
    int first, last  # limbs that may not be 0: from the first one on, before the last
    double special  # the sum of the addends that are NaN or infinite
    int64_t pending  # additions since the carries were last passed on


cdef inline void accumulator_clear(Accumulator *sum) noexcept nogil:
    memset(sum, 0, sizeof(Accumulator))
    sum.first = LIMBS


cdef inline void accumulator_carry(Accumulator *sum) noexcept nogil:
    cdef int64_t carry = 0
    cdef int i = min(sum.first, sum.last)
    while i < sum.last or carry != 0:
        carry += sum.limb[i]
        sum.limb[i] = carry & 0xffffffffLL
        carry >>= 32
        i += 1
    sum.last = max(sum.last, i)
    sum.pending = 0


cdef inline void accumulator_add(Accumulator *sum, double x) noexcept nogil:
    cdef uint64_t bits = cecore_bits(x)
    cdef uint64_t biased = (bits >> 52) & 0x7ff
    cdef uint64_t significand = bits & 0xfffffffffffffULL
    cdef uint64_t low, high
    cdef int shift, i
    if biased == 0x7ff:
        sum.special += x
        return
    if biased != 0:
        significand |= 1ULL << 52
        biased -= 1
    i = <int>(biased >> 5)
    shift = <int>(biased & 31)
    low = (significand & 0xffffffffULL) << shift
    high = (significand >> 32) << shift
    sum.limb[i] += <int64_t>(low & 0xffffffffULL)
    sum.limb[i + 1] += <int64_t>((low >> 32) + (high & 0xffffffffULL))
    sum.limb[i + 2] += <int64_t>(high >> 32)
    sum.first = min(sum.first, i)
    sum.last = max(sum.last, i + 3)
    sum.pending += 1
    if sum.pending == ADDITIONS_BETWEEN_CARRIES:
        accumulator_carry(sum)


cdef inline void accumulator_merge(Accumulator *sum, Accumulator *other) noexcept nogil:
    cdef int i
    accumulator_carry(sum)
    accumulator_carry(other)
    for i in range(other.first, other.last):
        sum.limb[i] += other.limb[i]
    sum.first = min(sum.first, other.first)
    sum.last = max(sum.last, other.last)
    sum.special += other.special
    sum.pending = 1


cdef inline double accumulator_round(Accumulator *sum) noexcept nogil:
    # The sum, rounded to nearest even: 64 bits from the highest one down, and a tail that only breaks ties.
    cdef int shift = 0
    cdef int top, exponent, step, i
    cdef uint64_t head, below, tail, kept, rest
    if sum.special != 0:  # also where it is NaN
        return sum.special
    accumulator_carry(sum)
    top = max(sum.last - 1, 1)
    while top > 1 and sum.limb[top] == 0:
        top -= 1
    head = (<uint64_t>sum.limb[top] << 32) | <uint64_t>sum.limb[top - 1]
    if head == 0:
        return 0.0
    below = <uint64_t>sum.limb[top - 2] if top > 1 else 0
    step = 32
    while step > 0:  # the zeros above; more than 32 only where there is nothing below
        shift += step if (head << shift) >> (64 - step) == 0 else 0
        step >>= 1
    head <<= shift
    if shift <= 32:
        head |= below >> (32 - shift)
    exponent = 32 * (top - 1) - 1074 - shift
    tail = (below << shift) & 0xffffffffULL if shift < 32 else 0
    for i in range(sum.first, top - 2):
        tail |= <uint64_t>sum.limb[i]
    kept = head >> 11
    rest = head & 0x7ff
    if rest > 0x400 or (rest == 0x400 and (tail != 0 or kept & 1)):
        kept += 1
    return ldexp(<double>kept, exponent + 11)


cdef inline double accumulator_lost(const Accumulator *sum, double rounded) noexcept nogil:
    # What rounding to this number took away, after accumulator_round: the limbs' differences, the highest first
    cdef Accumulator other
    cdef double lost = 0
    cdef int i
    if rounded - rounded != 0:
        return 0
    accumulator_clear(&other)
    accumulator_add(&other, rounded)
    for i in range(max(sum.last, other.last) - 1, min(sum.first, other.first) - 1, -1):
        lost += ldexp(<double>(sum.limb[i] - other.limb[i]), 32 * i - 1074)
    return lost
