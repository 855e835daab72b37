# Passes over the blocks of a job, by the calling thread alone or with helpers.
#
# Helpers are threads that Python starts and that never run Python: they wait in C until a caller wakes them. They and
# the caller claim chunks of blocks, one after the other, and add up what they find exactly, so that nothing depends on
# who has done what. When nothing is left to claim the caller sends home the helpers that have not begun yet, and waits
# for the others' last chunks: a late helper costs nothing. The mutex guards everything here that is shared.

cdef extern from "pythread.h" nogil:  # none of these needs the GIL
    ctypedef void *PyThread_type_lock
    enum:
        WAIT_LOCK
        NOWAIT_LOCK
    PyThread_type_lock PyThread_allocate_lock() noexcept
    int PyThread_acquire_lock(PyThread_type_lock, int) noexcept
    void PyThread_release_lock(PyThread_type_lock) noexcept
    void PyThread_free_lock(PyThread_type_lock) noexcept
    unsigned long PyThread_start_new_thread(void (*)(void *) noexcept nogil, void *) noexcept
    size_t PyThread_get_stacksize() noexcept
    const unsigned long PYTHREAD_INVALID_THREAD_ID

cdef enum:
    MAX_THREADS = 256
    LEAST_STACK = 1 << 17  # bytes that the kernels need
    LEAST_CHUNKS = 32  # that make a whole one: each still takes much longer than claiming it
    LOOKS = 1000  # 10 to 60 us by processor: about as long as waking up takes

cdef struct Worker

cdef struct Task:  # one pass
    const Job *job
    int kind
    bint in_float
    Py_ssize_t most  # blocks to claim at once
    Py_ssize_t least
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
    bint ends
    Worker *next  # that is idle too

cdef struct Pool:
    PyThread_type_lock mutex
    Worker *idle
    Worker *spare  # whose threads have ended
    int count  # that have not

cdef Pool pool
# probabilities, or half as many logits: below, waking a helper costs more than it brings
cdef Py_ssize_t threaded_from = 1 << 16
cdef Py_ssize_t chunk_size = 1 << 16


cdef void lock() noexcept nogil:
    PyThread_acquire_lock(pool.mutex, WAIT_LOCK)


cdef void unlock() noexcept nogil:
    PyThread_release_lock(pool.mutex)


cdef void look_then_wait(PyThread_type_lock signal) noexcept nogil:
    cdef int i
    for i in range(LOOKS):
        if PyThread_acquire_lock(signal, NOWAIT_LOCK):
            return
        cecore_pause()
    PyThread_acquire_lock(signal, WAIT_LOCK)


cdef Py_ssize_t claim(Task *task, Py_ssize_t *last) noexcept nogil:
    # The first block of a chunk, or -1, and its end. Chunks become smaller, so that all threads end at about one time.
    cdef Py_ssize_t first = -1
    lock()
    if task.next < task.last:
        first = task.next
        task.next += max(min(task.most, (task.last - first) // (2 * task.job.threads)), task.least)
        task.next = min(task.next, task.last)
        last[0] = task.next
    unlock()
    return first


cdef void work_on(Task *task) noexcept nogil:
    # One thread's part of a pass
    cdef Job job
    cdef Py_ssize_t last
    cdef Py_ssize_t first = claim(task, &last)
    cdef uint64_t saved
    if first < 0:
        return
    saved = cecore_enter()
    job = task.job[0]
    clear_results(&job)
    while first >= 0:
        run_blocks(&job, task.kind, task.in_float, first, last)
        first = -1 if job.bad >= 0 else claim(task, &last)
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
        look_then_wait(task.done)
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
    task.most = max(chunk_size // size, <Py_ssize_t>1)
    task.least = max(chunk_size // (LEAST_CHUNKS * size), <Py_ssize_t>1)
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


cdef Worker *make_worker() noexcept nogil:
    # One that has ended, or a new one. Their memory is never freed, as a task may still look at it.
    cdef Worker *worker
    lock()
    worker = pool.spare
    if worker != NULL:
        pool.spare = worker.next
        worker.ends = False
    unlock()
    if worker != NULL:
        return worker
    worker = <Worker *>calloc(1, sizeof(Worker))
    if worker == NULL:
        return NULL
    worker.wake = PyThread_allocate_lock()
    if worker.wake == NULL:
        free(worker)
        return NULL
    PyThread_acquire_lock(worker.wake, WAIT_LOCK)
    return worker


cdef void spare(Worker *worker) noexcept nogil:
    lock()
    worker.next = pool.spare
    pool.spare = worker
    unlock()


cdef void rest(Worker *worker) noexcept nogil:
    lock()
    worker.task = NULL
    worker.begun = False
    worker.next = pool.idle
    pool.idle = worker
    unlock()


cdef void leave(Task *task) noexcept nogil:
    lock()
    task.helpers -= 1
    if task.waiting and task.helpers == 0:
        PyThread_release_lock(task.done)
    unlock()


cdef void serve(void *given) noexcept nogil:
    # A helper's life
    cdef Worker *worker = <Worker *>given
    cdef Task *task
    cdef bint ends
    while True:
        look_then_wait(worker.wake)  # calls often follow each other
        lock()
        task = worker.task
        worker.begun = task != NULL
        ends = worker.ends
        unlock()
        if ends:
            break
        if task != NULL:
            work_on(task)
            leave(task)
        rest(worker)
    spare(worker)


cdef int hire(int wanted) noexcept:
    # Make helpers, as far as the system lets us; how many there are, and the caller
    cdef Worker *worker
    cdef int missing, count
    if 0 < PyThread_get_stacksize() < LEAST_STACK:
        return 1
    wanted = min(wanted, <int>MAX_THREADS)
    lock()
    missing = max(wanted - 1 - pool.count, 0)
    pool.count += missing
    unlock()
    while missing > 0:
        worker = make_worker()
        if worker == NULL:
            break
        if PyThread_start_new_thread(&serve, worker) == PYTHREAD_INVALID_THREAD_ID:
            spare(worker)
            break
        rest(worker)
        missing -= 1
    lock()
    pool.count -= missing
    count = pool.count
    unlock()
    return min(wanted, count + 1)


def retire():
    """Before a fork: let the idle helpers end. Python warns of forks in a process with threads."""
    cdef Worker *worker
    cdef bint any = False
    lock()
    while pool.idle != NULL:
        worker = pool.idle
        pool.idle = worker.next
        pool.count -= 1
        worker.ends = True
        PyThread_release_lock(worker.wake)
        any = True
    unlock()
    if any:
        sleep(0.001)  # they cannot be joined


def forget():
    """In a forked child: it has none of the threads, and the mutex may have been another's."""
    pool.mutex = PyThread_allocate_lock()
    if pool.mutex == NULL:
        raise MemoryError
    pool.idle = pool.spare = NULL
    pool.count = 0


forget()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=retire, after_in_child=forget)


def set_threading(Py_ssize_t least, Py_ssize_t chunk):
    """For the tests: from how many numbers on to use threads, and how many to claim at once. The former settings."""
    global threaded_from, chunk_size
    former = threaded_from, chunk_size
    threaded_from = least
    chunk_size = chunk
    return former
