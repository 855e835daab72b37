/* Which x86-64 level may run here: exactly the features that setup.py's flags enable, and the register state that
 * the operating system must save for them. */
#ifndef CECORE_CPU_H
#define CECORE_CPU_H

#if defined(__x86_64__) || defined(_M_X64)

#if defined(_MSC_VER)
#include <immintrin.h>
#include <intrin.h>
static void cecore_cpuid(unsigned leaf, unsigned r[4]) { __cpuidex((int *)r, (int)leaf, 0); }
static unsigned cecore_xcr0(void) { return (unsigned)_xgetbv(0); }
#else
#include <cpuid.h>
static void cecore_cpuid(unsigned leaf, unsigned r[4]) { __cpuid_count(leaf, 0, r[0], r[1], r[2], r[3]); }
static unsigned cecore_xcr0(void)
{
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}
#endif

#define CECORE_BIT(n) (1u << (n))

static int cecore_cpu_level(void)
{
    /* leaf 1, ecx: SSE3, SSSE3, FMA, SSE4.1, SSE4.2, POPCNT, XSAVE, OSXSAVE, AVX */
    const unsigned v3_leaf1 = CECORE_BIT(0) | CECORE_BIT(9) | CECORE_BIT(12) | CECORE_BIT(19) | CECORE_BIT(20) |
                              CECORE_BIT(23) | CECORE_BIT(26) | CECORE_BIT(27) | CECORE_BIT(28);
    const unsigned v3_leaf7 = CECORE_BIT(5);                                                        /* ebx: AVX2 */
    const unsigned v4_leaf7 = CECORE_BIT(16) | CECORE_BIT(17) | CECORE_BIT(30) | CECORE_BIT(31);    /* F, DQ, BW, VL */
    const unsigned v3_state = 0x06, v4_state = 0xe6; /* SSE and AVX; masks and both halves of the ZMM registers */
    unsigned r[4], leaf1, leaf7, state;
    cecore_cpuid(0, r);
    if (r[0] < 7)
        return 0;
    cecore_cpuid(1, r);
    leaf1 = r[2];
    if ((leaf1 & v3_leaf1) != v3_leaf1)
        return 0;
    cecore_cpuid(7, r);
    leaf7 = r[1];
    state = cecore_xcr0();
    if ((leaf7 & v3_leaf7) != v3_leaf7 || (state & v3_state) != v3_state)
        return 0;
    return (leaf7 & v4_leaf7) == v4_leaf7 && (state & v4_state) == v4_state ? 4 : 3;
}

#else
static int cecore_cpu_level(void) { return 0; }
#endif
#endif
