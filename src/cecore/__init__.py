"""Cross-entropy for NumPy: binary and categorical, forward and backward, exact and fast."""

from ._dispatch import show_config
from ._threads import get_num_threads, num_threads, set_num_threads
from .activations import log_softmax, sigmoid, softmax, softmax_backward
from .losses import (
    BinaryCrossEntropy,
    BinaryCrossEntropyWithLogits,
    CrossEntropy,
    CrossEntropyWithLogits,
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    cross_entropy_with_logits,
)
from .streaming import Accumulator

__version__ = "0.1.0"

__all__ = [
    "Accumulator",
    "BinaryCrossEntropy",
    "BinaryCrossEntropyWithLogits",
    "CrossEntropy",
    "CrossEntropyWithLogits",
    "__version__",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "cross_entropy_with_logits",
    "get_num_threads",
    "log_softmax",
    "num_threads",
    "set_num_threads",
    "show_config",
    "sigmoid",
    "softmax",
    "softmax_backward",
]
