# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
# cython: freethreading_compatible=True, binding=False
include "kernels.pxi"
