/* The scalar functions that are the same for double and float: scalar_math.h includes this file once for each type.
 * REAL is the type, NAME(f) is f for double and ff for float, and FMA is the fused multiply-add of the type. */
