# Passes over the blocks of a job, by the calling thread alone or with helpers.
#
# Helpers are Python threads that wait in C, without the GIL, until a caller wakes them. They and the caller claim
# chunks of blocks, one after the other, and add up what they find exactly, so that nothing depends on who has done
# what. When nothing is left to claim the caller sends home the helpers that have not begun yet, and waits for the
# others' last chunks: a late helper costs nothing. The mutex guards everything here that is shared.

cdef extern from "pythread.h" nogil:  # none of these needs the GIL
    ctypedef void *PyThread_type_lock
    enum:
        WAIT_LOCK
    PyThread_type_lock PyThread_allocate_lock() noexcept
    int PyThread_acquire_lock(PyThread_type_lock, int) noexcept
    void PyThread_release_lock(PyThread_type_lock) noexcept
    void PyThread_free_lock(PyThread_type_lock) noexcept

cdef enum:
    MAX_THREADS = 256

cdef struct Worker

cdef struct Task:  # one pass
    const Job *job
    int kind
    bint in_float
    Py_ssize_t chunk  # blocks to claim at once
    Py_ssize_t next  # the first block that nobody has claimed
    Py_ssize_t last
    Accumulator sum
    Py_ssize_t bad
    Worker *team[MAX_THREADS]
    int size  # of the team
    int helpers  # of the team that have neither ended nor been sent home
    bint waiting
    PyThread_type_lock done  # released by the last helper, if the caller waits

cdef struct Worker:
    PyThread_type_lock wake
    Task *task  # NULL: none
    bint begun
    Worker *next  # that is idle too

cdef struct Pool:
    PyThread_type_lock mutex
    Worker *idle
    int count

cdef Pool pool
cdef Py_ssize_t threaded_from = 1 << 18  # numbers: below, waking a helper costs more than it brings
cdef Py_ssize_t chunk_size = 1 << 16


cdef void lock() noexcept nogil:
    PyThread_acquire_lock(pool.mutex, WAIT_LOCK)


cdef void unlock() noexcept nogil:
    PyThread_release_lock(pool.mutex)


cdef Py_ssize_t claim(Task *task) noexcept nogil:
    # The first block of a chunk, or -1
    cdef Py_ssize_t first = -1
    lock()
    if task.next < task.last:
        first = task.next
        task.next += task.chunk
    unlock()
    return first


cdef void work_on(Task *task) noexcept nogil:
    # One thread's part of a pass
    cdef Job job
    cdef Py_ssize_t first = claim(task)
    cdef uint64_t saved
    if first < 0:
        return
    saved = cecore_enter()
    job = task.job[0]
    clear_results(&job)
    while first >= 0:
        run_blocks(&job, task.kind, task.in_float, first, min(first + task.chunk, task.last))
        first = -1 if job.bad >= 0 else claim(task)
    lock()
    if job.bad >= 0:
        task.next = task.last  # earlier blocks are all claimed, so that the first bad one is found
        task.bad = job.bad if task.bad < 0 else min(task.bad, job.bad)
    accumulator_merge(&task.sum, &job.sum)
    unlock()
    cecore_leave(saved)


cdef void recruit(Task *task, int wanted) noexcept nogil:
    cdef Worker *worker
    lock()
    while pool.idle != NULL and task.size < wanted:
        worker = pool.idle
        pool.idle = worker.next
        worker.task = task
        task.team[task.size] = worker
        task.size += 1
        PyThread_release_lock(worker.wake)
    task.helpers = task.size
    unlock()


cdef void dismiss(Task *task) noexcept nogil:
    cdef int i
    lock()
    for i in range(task.size):
        if task.team[i].task == task and not task.team[i].begun:
            task.team[i].task = NULL
            task.helpers -= 1
    task.waiting = task.helpers > 0
    unlock()
    if task.waiting:
        PyThread_acquire_lock(task.done, WAIT_LOCK)
        lock()  # the last helper holds it until it has left the task
        unlock()


cdef void run_pass(Job *job, int kind, bint in_float) noexcept nogil:
    # All blocks: their sum, the first bad one, and the results
    cdef Task task
    cdef Py_ssize_t count = (job.n + job.block - 1) // job.block
    cdef Py_ssize_t size = job.block * max(job.cost, 1)
    clear_results(job)
    task.done = NULL
    if job.threads > 1 and count > 1:
        task.done = PyThread_allocate_lock()
    if task.done == NULL:
        run_blocks(job, kind, in_float, 0, count)
        return
    PyThread_acquire_lock(task.done, WAIT_LOCK)
    task.job = job
    task.kind = kind
    task.in_float = in_float
    task.chunk = max(min(chunk_size // size, count // (4 * job.threads)), <Py_ssize_t>1)
    task.next = 0
    task.last = count
    accumulator_clear(&task.sum)
    task.bad = -1
    task.size = 0
    task.waiting = False
    recruit(&task, <int>min(<Py_ssize_t>job.threads - 1, count - 1))
    work_on(&task)
    dismiss(&task)
    PyThread_free_lock(task.done)
    job.sum = task.sum
    job.bad = task.bad


def serve(size_t address):
    """A helper's life."""
    cdef Worker *worker = <Worker *>address
    cdef Task *task
    with nogil:
        while True:
            PyThread_acquire_lock(worker.wake, WAIT_LOCK)
            lock()
            task = worker.task
            worker.begun = task != NULL
            unlock()
            if task != NULL:
                work_on(task)
            lock()
            if task != NULL:
                task.helpers -= 1
                if task.waiting and task.helpers == 0:
                    PyThread_release_lock(task.done)
            worker.task = NULL
            worker.begun = False
            worker.next = pool.idle
            pool.idle = worker
            unlock()


cdef int hire(int wanted) except -1:
    # Make helpers, as far as the system lets us; how many there are, and the caller
    cdef Worker *worker
    wanted = min(wanted, <int>MAX_THREADS)
    while pool.count < wanted - 1:
        worker = <Worker *>calloc(1, sizeof(Worker))
        if worker == NULL:
            break
        worker.wake = PyThread_allocate_lock()
        if worker.wake == NULL:
            free(worker)
            break
        PyThread_acquire_lock(worker.wake, WAIT_LOCK)
        try:
            start_new_thread(serve, (<size_t>worker,))
        except (RuntimeError, MemoryError):  # no more threads, or the interpreter is on its way out
            PyThread_free_lock(worker.wake)
            free(worker)
            break
        with nogil:
            lock()
            pool.count += 1
            worker.next = pool.idle
            pool.idle = worker
            unlock()
    return min(wanted, pool.count + 1)


def forget():
    """In a forked child: it has none of the threads, and the mutex may have been another's."""
    pool.mutex = PyThread_allocate_lock()
    pool.idle = NULL
    pool.count = 0


forget()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget)


def set_threading(Py_ssize_t least, Py_ssize_t chunk):
    """For the tests: from how many numbers on to use threads, and how many to claim at once. The former settings."""
    global threaded_from, chunk_size
    former = threaded_from, chunk_size
    threaded_from = least
    chunk_size = chunk
    return former
