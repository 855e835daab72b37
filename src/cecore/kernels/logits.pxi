# Blocks of logits: binary ones, and what rows of them share.

# ---------------------------------------------------------------- binary

cdef inline real share(bint larger, real e, real low) noexcept nogil:
    if real is double:
        return cecore_share(larger, e, low)
    else:
        return cecore_sharef(larger, e, low)


cdef inline real log1p_unit(real e, real low) noexcept nogil:
    if real is double:
        return cecore_log1p_unit(e, low)
    else:
        return cecore_log1p_unitf(e, low)
