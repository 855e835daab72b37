# Blocks of logits: binary ones, and what rows of them share.

# ---------------------------------------------------------------- binary

cdef inline real exp_parts(real x, real low, real *lost) noexcept nogil:
    if real is double:
        return cecore_exp_parts(x, low, lost)
    else:
        return cecore_exp_partsf(x, low, lost)


cdef inline real share(bint larger, real e, real low) noexcept nogil:
    if real is double:
        return cecore_share(larger, e, low)
    else:
        return cecore_sharef(larger, e, low)


cdef inline real exp_shifted(real x, real shift, real *lost) noexcept nogil:
    if real is double:
        return cecore_exp_shifted(x, shift, lost)
    else:
        return cecore_exp_shiftedf(x, shift, lost)


cdef inline real log1p_unit(real e, real low) noexcept nogil:
    if real is double:
        return cecore_log1p_unit(e, low)
    else:
        return cecore_log1p_unitf(e, low)


cdef inline real hard_bend(real e, real low) noexcept nogil:
    # p q
    cdef real smaller = share(False, e, low)
    return smaller * (1 - smaller)


cdef inline real logit_bend(real t, real e, real low) noexcept nogil:
    # the same; NaN where t is
    cdef real value = hard_bend(e, low)
    return value if t - t == 0 else t
