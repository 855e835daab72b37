/* The modes of the processor while a kernel runs, and its pause while a thread waits. */
#ifndef CECORE_MODES_H
#define CECORE_MODES_H

#include <stdint.h>

#include "compiler.h"

/* Round to nearest, gradual underflow, no traps while a kernel runs; the caller's modes and flags come back. Compilers
 * do not know that arithmetic depends on the control word, but they leave memory alone across CECORE_BARRIER: what is
 * computed between entering and leaving must be read from memory and written to it. */
#if defined(__GNUC__)
#define CECORE_BARRIER() __asm__ volatile("" : : : "memory")
#else
#define CECORE_BARRIER() ((void)0)
#endif

CECORE_INLINE uint64_t cecore_enter(void)
{
    uint64_t saved = 0;
#if defined(CECORE_X86)
    saved = _mm_getcsr();
    _mm_setcsr(0x1f80);
#elif defined(__aarch64__) && !defined(_MSC_VER)
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved) : : "memory");
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0) : "memory");
#endif
    CECORE_BARRIER();
    return saved;
}

CECORE_INLINE void cecore_leave(uint64_t saved)
{
    CECORE_BARRIER();
#if defined(CECORE_X86)
    _mm_setcsr((unsigned int)saved);
#elif defined(__aarch64__) && !defined(_MSC_VER)
    __asm__ volatile("msr fpcr, %0" : : "r"(saved) : "memory");
#else
    (void)saved;
#endif
    CECORE_BARRIER();
}

/* The same for the conversion of long double: on x86 that is the work of the x87 unit, which has a control word of its
 * own. */
CECORE_INLINE uint32_t cecore_enter_long(void)
{
    unsigned short saved = 0;
#if defined(CECORE_X86) && defined(__GNUC__)
    const unsigned short usual = 0x37f;
    __asm__ volatile("fnstcw %0" : "=m"(saved));
    if (saved != usual)
        __asm__ volatile("fldcw %0" : : "m"(usual) : "memory");
#endif
    return saved;
}

CECORE_INLINE void cecore_leave_long(uint32_t word)
{
#if defined(CECORE_X86) && defined(__GNUC__)
    const unsigned short saved = (unsigned short)word;
    if (saved != 0x37f)
        __asm__ volatile("fldcw %0" : : "m"(saved) : "memory");
#else
    (void)word;
#endif
}

/* Have a local variable computed before what follows, as cecore_leave. */
CECORE_INLINE void cecore_settle(double *result)
{
#if defined(__GNUC__)
    __asm__ volatile("" : "+m"(*result));
#else
    *(volatile double *)result = *result;
#endif
}

/* In a loop that looks for something another thread does: the other thread of the core may have its resources. */
CECORE_INLINE void cecore_pause(void)
{
#if defined(CECORE_X86)
    _mm_pause();
#elif defined(__aarch64__) && !defined(_MSC_VER)
    __asm__ volatile("yield");
#endif
}

#endif
