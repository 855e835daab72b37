# What is to be computed. A call holds what the user gave, a plan says how it is computed, and a state what one thread
# has found. Threads share the call and the plan, which do not change during a pass.

cdef enum:  # kinds of calls: the losses, and from 16 on the activations
    BINARY = 0
    BINARY_LOGITS = 1
    CATEGORICAL = 2
    CATEGORICAL_LOGITS = 3
    SIGMOID = 16
    LOG_SIGMOID = 17
    SIGMOID_BACKWARD = 18
    SOFTMAX = 19
    LOG_SOFTMAX = 20
    SOFTMAX_BACKWARD = 21

cdef enum:  # reductions
    MEAN = 0
    SUM = 1
    NONE = 2

cdef enum:  # bits of what the user wants, and of how the arrays come
    VALUE = 1
    GRADIENT = 2
    HESSIAN = 4
    BFLOAT16_BITS = 8  # the predictions, and so the results, are the bits of bfloat16
    TARGETS_BITS = 16  # so are the targets, the weights, upstream
    WEIGHTS_BITS = 32
    UPSTREAM_BITS = 64
    PREPARED = 128  # arrays of any layout, which overlap as they may
    IN_PLACE = 256  # an output of a prepared call is x itself
    STATE = 512  # the exact sums instead of a value
    WARNED = 1024  # suspicious inputs are accepted: the user has been warned

cdef enum:  # bits of what a pass computes; GRADIENT and HESSIAN come with them
    VALUE_SUM = 1
    VALUE_EACH = 8

cdef enum:  # bits of the inputs that a call may have beside predictions and targets
    WEIGHTS = 1
    UPSTREAM = 2  # an array; a number is a factor of the scale
    CLASS_WEIGHTS = 4  # class_weight or pos_weight, not all 1

cdef enum:  # which index is ignored
    SIGNED = 1  # a number of 64 bits
    UNSIGNED = 2  # one above those: the same bits as an unsigned number

cdef enum:  # of a block
    BAD = 0  # something is outside its domain
    GOOD = 1

cdef enum:  # bits of what a pass has noticed of the weights, in float
    VANISHING = 1  # a positive one is rounded to 0: its element counts for nothing, but it must be legal
    OVERFLOWING = 2  # the product of two is infinite

cdef enum:  # why a result cannot be computed
    TOO_LARGE = 1  # the sum of the weights overflows
    TOO_SMALL = 2  # upstream divided by the sum of the weights does
    NO_MEMORY = 3

cdef enum:
    LONG_BLOCK = 1 << 14  # logits in a block of rows, unless one row has more: threads share short batches too
    LONG_PROBS_BLOCK = 1 << 18  # probabilities, and how many rows at least: with labels a row is one number. One-hot
    LEAST_ROWS = 32  # rows give the bits of labels, so both have these blocks.
    GIL_KEPT_BELOW = 4096  # elements: handing the GIL over costs more than they do
    UNCACHED = 1 << 18  # elements: arrays of fewer may lie in the second cache

cdef struct Options:  # of a loss; behind it lie its pos_weight or class_weight
    double eps
    double smoothing
    double gamma
    int64_t ignore_index
    double ignored_number  # the same if a double holds it, else NaN
    int ignores  # 0, SIGNED or UNSIGNED
    int axis
    int reduction
    int kind
    bint zero_outside
    bint by_count
    bint awkward  # a weight that float does not hold
    Py_ssize_t length  # that the last axis or the classes must have, or 0
    Py_ssize_t weights  # how many follow; 0: all are 1

cdef struct Call:
    Options options
    int kind
    int given  # bits: WEIGHTS, UPSTREAM, CLASS_WEIGHTS
    const double *class_weights  # pos_weight for elements
    Py_ssize_t n  # elements or rows
    Py_ssize_t classes  # of a row; 1 for elements
    bint labels  # targets are class labels
    Array x
    Array targets
    Array weights
    Array upstream
    Array value  # results
    Array gradient
    Array hessian
    bint in_place  # a result takes the place of an input
    Accumulator *exact_sums  # where the exact sums of losses, weights and ones go; NULL if they are not wanted

cdef struct Clip:  # of probabilities to [eps, 1 - eps], in numbers of the computing type
    double eps
    double floor  # the least number that is not below eps
    double below  # the one before it, or 0
    double top  # 1 - eps
    bint zero_outside  # derivatives are 0 where a probability is clipped

cdef struct Plan:
    int wanted  # bits: VALUE_SUM, VALUE_EACH, GRADIENT, HESSIAN; none for a pass that only checks
    bint divisor  # the pass adds up the divisor of the mean instead
    bint by_count  # which is the number of losses, whatever their weights
    bint in_float  # the computing type is float
    bint lifted  # weights that were rounded to 0 are 1, so that a pass that checks looks at their elements
    Py_ssize_t block  # elements or rows of a block: ELEMENTS or BLOCK at most
    Py_ssize_t cost  # of an element or a row: the numbers that are read or written
    int threads
    Py_ssize_t room_size  # bytes of scratch for each thread, in whole cache lines
    double scale  # of the gradient: upstream / divisor = scale + scale_low
    double scale_low
    Clip clip

cdef struct Watch:  # for signals; of a call
    void *thread_state  # of the calling thread, which has given the GIL away, or NULL: it holds the GIL
    uint64_t control  # its floating-point mode
    double due  # when to look for signals again; 0: not known yet
    bint stopped  # a signal handler has raised an exception
    bint helped  # other threads compute too, since the process had this generation
    int generation

cdef struct State:
    const Call *call
    const Plan *plan
    Watch *watch
    bint calling  # this is the thread that called: it answers signals
    char *room  # scratch of this thread
    Accumulator sum
    Py_ssize_t bad  # start of the first block with an input outside its domain, or -1
    int noticed  # VANISHING, OVERFLOWING


cdef inline bint has_rows(int kind) noexcept nogil:
    return kind == CATEGORICAL or kind == CATEGORICAL_LOGITS or kind >= SOFTMAX


cdef inline bint on_logits(int kind) noexcept nogil:
    return kind == BINARY_LOGITS or kind == CATEGORICAL_LOGITS


cdef inline bint is_activation(int kind) noexcept nogil:
    return kind >= SIGMOID
