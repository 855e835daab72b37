/* What the operating system knows: the time, and the stack that a thread has left. */
#ifndef CECORE_SYSTEM_H
#define CECORE_SYSTEM_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
/* windows.h would define `near`, `far` and `small`. */
__declspec(dllimport) unsigned long long __stdcall GetTickCount64(void);
#else
#include <pthread.h>
#include <time.h>
#endif

#if defined(_MSC_VER)
#define CECORE_THREAD_LOCAL __declspec(thread)
#else
#define CECORE_THREAD_LOCAL __thread
#endif

/* A clock that never goes back */
static double cecore_seconds(void)
{
#if defined(_WIN32)
    return (double)GetTickCount64() / 1e3;
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
#endif
}

/* The lowest address of the stack of this thread, or 1 if it is not known, as on Windows and the BSDs */
static uintptr_t cecore_stack_end(void)
{
    uintptr_t end = 1;
#if defined(__APPLE__)
    end = (uintptr_t)pthread_get_stackaddr_np(pthread_self()) - pthread_get_stacksize_np(pthread_self());
#elif defined(__linux__)
    pthread_attr_t attributes;
    void *lowest;
    size_t size;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return end;
    if (pthread_attr_getstack(&attributes, &lowest, &size) == 0)
        end = (uintptr_t)lowest;
    pthread_attr_destroy(&attributes);
#endif
    return end;
}

/* In bytes. On a stack that is not the thread's own, such as a coroutine's, the number means nothing. The main thread
 * of Linux has as much as its resource limit allows. */
static size_t cecore_stack_left(void)
{
    static CECORE_THREAD_LOCAL uintptr_t end; /* asking for it takes a microsecond, in the main thread 50 */
#if defined(__GNUC__)
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
#else
    volatile char local = 0;
    uintptr_t here = (uintptr_t)&local;
#endif
    if (end == 0)
        end = cecore_stack_end();
    return here > end ? here - end : SIZE_MAX;
}

#endif
