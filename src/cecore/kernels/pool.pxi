# Passes over the blocks of a state, by the calling thread alone or with helpers.
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
    int PyThread_acquire_lock_timed(PyThread_type_lock, long long, int) noexcept  # in microseconds
    unsigned long PyThread_get_thread_ident() noexcept
    void PyThread_release_lock(PyThread_type_lock) noexcept
    void PyThread_free_lock(PyThread_type_lock) noexcept
    unsigned long PyThread_start_new_thread(void (*)(void *) noexcept nogil, void *) noexcept
    size_t PyThread_get_stacksize() noexcept
    const unsigned long PYTHREAD_INVALID_THREAD_ID

cdef enum:
    MAX_THREADS = 256
    LEAST_STACK = 1 << 17  # bytes, of a helper
    LEAST_LEFT = 92 << 10  # of the stack of a thread that calls
    CACHE_LINE = 64  # bytes
    LEAST_CHUNKS = 32  # that make a whole one: each still takes much longer than claiming it
    LOOKS = 1000  # 10 to 60 us by processor: about as long as waking up takes
    ALONE = 1 << 18  # numbers that a thread without helpers computes between two looks for signals
    PIECES_BETWEEN_LOOKS = 1 << 10  # of a row
    PATIENCE = 50000  # microseconds until the caller looks for signals again

cdef struct Worker

cdef struct Task:  # one pass
    const State *state  # of the caller
    Py_ssize_t most  # blocks to claim at once
    Py_ssize_t least
    Py_ssize_t next  # the first block that nobody has claimed
    Py_ssize_t last
    Accumulator sum
    Py_ssize_t bad
    int noticed
    Worker *team[MAX_THREADS]  # those that have not begun; NULL in place of the others
    int size  # of the team
    int helpers  # of the team that have neither ended nor been sent home
    bint waiting
    PyThread_type_lock done  # released by the last helper, if the caller waits

cdef struct Worker:
    PyThread_type_lock wake
    Task *task  # NULL: none
    int number  # in the task, from 1 on
    bint ends
    Worker *next  # that is idle too

cdef struct Pool:
    PyThread_type_lock mutex
    Worker *idle
    int count  # that have not
    int generation  # of the process: a child that is forked has none of the threads

cdef const char *FORKED = (
    "a signal handler forked this process during a call with several threads, which this child does not have. "
    "Make the call again"
)
cdef Pool pool
cdef unsigned long main_thread  # the only one in which Python answers signals
# probabilities, or half as many logits: below, waking a helper costs more than it brings
cdef Py_ssize_t threaded_from = 1 << 16
cdef Py_ssize_t chunk_size = 1 << 16


cdef void lock() noexcept nogil:
    PyThread_acquire_lock(pool.mutex, WAIT_LOCK)


cdef void unlock() noexcept nogil:
    PyThread_release_lock(pool.mutex)


cdef bint look_then_wait(PyThread_type_lock signal, long long microseconds) noexcept nogil:
    # Return whether the signal came in this time; a negative time is endless.
    cdef int i
    for i in range(LOOKS):
        if PyThread_acquire_lock(signal, NOWAIT_LOCK):
            return True
        cecore_pause()
    return PyThread_acquire_lock_timed(signal, microseconds, 0) == 1


cdef Py_ssize_t claim(Task *task, Py_ssize_t *last) noexcept nogil:
    # The first block of a chunk, or -1, and its end. Chunks become smaller, so that all threads end at about one time.
    cdef Py_ssize_t first = -1
    lock()
    if task.next < task.last:
        first = task.next
        task.next += max(min(task.most, (task.last - first) // (2 * task.state.plan.threads)), task.least)
        task.next = min(task.next, task.last)
        last[0] = task.next
    unlock()
    return first


cdef void answer_signals(Watch *watch) noexcept nogil:
    # Let Python run the handlers of signals that have come, in its own floating-point mode.
    cdef bint stopped
    cecore_leave(watch.control)
    PyEval_RestoreThread(watch.thread_state)
    stopped = PyErr_CheckSignals() != 0  # the exception stays with the thread
    if not stopped and watch.helped and watch.generation != pool.generation:
        PyErr_SetString(PyExc_RuntimeError, FORKED)
        stopped = True
    watch.thread_state = PyEval_SaveThread()
    watch.control = cecore_enter()
    lock()
    watch.stopped = stopped
    unlock()


cdef bint halted(const State *state) noexcept nogil:
    # Whether the call is to end early. Taking the GIL may take long, so that the caller does it now and then.
    cdef Watch *watch = state.watch
    cdef double now
    cdef bint stopped
    if state.calling and watch.thread_state != NULL and PyThread_get_thread_ident() == main_thread:
        now = cecore_seconds()
        if watch.due == 0:
            watch.due = now + PATIENCE / 1e6
        elif now >= watch.due and not watch.stopped:
            answer_signals(watch)
            watch.due = cecore_seconds() + PATIENCE / 1e6
    lock()
    stopped = watch.stopped
    unlock()
    return stopped


cdef inline bint halted_at(const State *state, Py_ssize_t piece) noexcept nogil:
    # The same now and then in a long row
    return piece % PIECES_BETWEEN_LOOKS == PIECES_BETWEEN_LOOKS - 1 and halted(state)


cdef void clear_numbers(const State *state, const Array *array, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    # Any number of zeros
    cdef Py_ssize_t piece, first
    for piece in range((n + ALONE - 1) // ALONE):
        first = piece * ALONE
        store_zeros(array, start + first, min(n - first, <Py_ssize_t>ALONE))
        if n > ALONE and halted(state):
            return


cdef void work_on(Task *task, int number) noexcept nogil:
    # One thread's part of a pass; the caller has the number 0.
    cdef State state = task.state[0]
    cdef Py_ssize_t last
    cdef Py_ssize_t first = claim(task, &last)
    cdef uint64_t saved
    if first < 0:
        return
    saved = cecore_enter()
    state.calling = number == 0
    state.room += number * state.plan.room_size
    clear_results(&state)
    while first >= 0:
        run_blocks(&state, first, last)
        first = -1 if state.bad >= 0 or halted(&state) else claim(task, &last)
    lock()
    if state.bad >= 0:
        task.next = task.last  # earlier blocks are all claimed, so that the first bad one is found
        task.bad = state.bad if task.bad < 0 else min(task.bad, state.bad)
    task.noticed |= state.noticed
    accumulator_merge(&task.sum, &state.sum)
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
        worker.number = task.size
        PyThread_release_lock(worker.wake)
    task.helpers = task.size
    unlock()


cdef void dismiss(Task *task) noexcept nogil:
    cdef int i
    lock()
    for i in range(task.size):
        if task.team[i] != NULL:
            task.team[i].task = NULL
            task.helpers -= 1
    task.waiting = task.helpers > 0
    unlock()
    if task.state.watch.generation != pool.generation:  # a signal handler has forked: the helpers are the parent's
        return
    if task.waiting:
        while not look_then_wait(task.done, PATIENCE):
            halted(task.state)
        lock()  # the last helper holds it until it has left the task
        unlock()


cdef void run_alone(State *state, Py_ssize_t count, Py_ssize_t most) noexcept nogil:
    cdef Py_ssize_t first = 0
    cdef Py_ssize_t last
    while first < count:
        last = min(first + most, count)
        run_blocks(state, first, last)
        first = count if state.bad >= 0 or (last < count and halted(state)) else last


cdef void run_together(State *state, Py_ssize_t count, Py_ssize_t size, PyThread_type_lock done) noexcept nogil:
    cdef Task task
    PyThread_acquire_lock(done, WAIT_LOCK)
    task.state = state
    task.done = done
    task.most = max(chunk_size // size, <Py_ssize_t>1)
    task.least = max(chunk_size // (LEAST_CHUNKS * size), <Py_ssize_t>1)
    task.next = 0
    task.last = count
    accumulator_clear(&task.sum)
    task.bad = -1
    task.noticed = state.noticed
    task.size = 0
    task.waiting = False
    recruit(&task, <int>min(<Py_ssize_t>state.plan.threads - 1, count - 1))
    state.watch.helped = task.size > 0
    state.watch.generation = pool.generation
    work_on(&task, 0)
    dismiss(&task)
    state.watch.helped = False
    state.sum = task.sum
    state.bad = task.bad
    state.noticed = task.noticed


cdef bint run_pass(State *state) noexcept nogil:
    # All blocks: their sum, the first bad one, and the results. Return False if there is no memory.
    cdef const Plan *plan = state.plan
    cdef Py_ssize_t count = (state.call.n + plan.block - 1) // plan.block
    cdef Py_ssize_t size = plan.block * max(plan.cost, 1)
    cdef PyThread_type_lock done = NULL
    cdef void *allocated = NULL
    clear_results(state)
    if plan.room_size > 0:
        allocated = malloc(plan.threads * plan.room_size + CACHE_LINE)
        if allocated == NULL:  # before anything is written
            return False
    state.room = <char *>((<uintptr_t>allocated + CACHE_LINE - 1) & -<uintptr_t>CACHE_LINE)
    if plan.threads > 1 and count > 1:
        done = PyThread_allocate_lock()
    if done == NULL:
        run_alone(state, count, max(ALONE // size, <Py_ssize_t>1))
    else:
        run_together(state, count, size, done)
        PyThread_free_lock(done)
    free(allocated)
    return True


cdef Worker *make_worker() noexcept nogil:
    cdef Worker *worker = <Worker *>calloc(1, sizeof(Worker))
    if worker == NULL:
        return NULL
    worker.wake = PyThread_allocate_lock()
    if worker.wake == NULL:
        free(worker)
        return NULL
    PyThread_acquire_lock(worker.wake, WAIT_LOCK)
    return worker


cdef void free_worker(Worker *worker) noexcept nogil:
    # Nothing refers to a worker that has been taken from the idle ones and has no task.
    PyThread_free_lock(worker.wake)
    free(worker)


cdef void rest(Worker *worker) noexcept nogil:
    # Leave the task, if the worker has worked on one.
    cdef Task *task
    lock()
    task = worker.task
    if task != NULL:
        task.helpers -= 1
        if task.waiting and task.helpers == 0:
            PyThread_release_lock(task.done)
    worker.task = NULL
    worker.next = pool.idle
    pool.idle = worker
    unlock()


cdef void serve(void *given) noexcept nogil:
    # A helper's life
    cdef Worker *worker = <Worker *>given
    cdef Task *task
    cdef int number
    cdef bint ends
    while True:
        look_then_wait(worker.wake, -1)  # calls often follow each other
        lock()
        task = worker.task
        number = worker.number
        if task != NULL:
            task.team[number - 1] = NULL
        ends = worker.ends
        unlock()
        if ends:
            break
        if task != NULL:
            work_on(task, number)
        rest(worker)
    free_worker(worker)


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
            free_worker(worker)
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
    """In a forked child: it has none of the other threads, and one of them may have held the mutex."""
    global main_thread
    main_thread = PyThread_get_thread_ident()
    pool.mutex = PyThread_allocate_lock()
    if pool.mutex == NULL:
        raise MemoryError
    pool.generation += 1
    pool.idle = NULL
    pool.count = 0


forget()
main_thread = threading.main_thread().ident
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=retire, after_in_child=forget)


def set_threading(Py_ssize_t least, Py_ssize_t chunk):
    """For the tests: from how many numbers on to use threads, and how many to claim at once. The former settings."""
    global threaded_from, chunk_size
    former = threaded_from, chunk_size
    threaded_from = least
    chunk_size = chunk
    return former
