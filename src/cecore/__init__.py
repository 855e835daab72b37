"""Fast and accurate cross-entropy losses for NumPy: binary and categorical, with gradients."""

from ._checks import InputWarning
from ._dispatch import show_config
from ._threads import get_num_threads, num_threads, set_num_threads
from .activations import log_sigmoid, log_softmax, sigmoid, sigmoid_backward, softmax, softmax_backward
from .losses import (
    BinaryCrossEntropy,
    BinaryCrossEntropyWithLogits,
    CrossEntropy,
    CrossEntropyWithLogits,
    Loss,
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
    "InputWarning",
    "Loss",
    "__version__",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "cross_entropy_with_logits",
    "get_num_threads",
    "log_sigmoid",
    "log_softmax",
    "num_threads",
    "set_num_threads",
    "show_config",
    "sigmoid",
    "sigmoid_backward",
    "softmax",
    "softmax_backward",
]


def __dir__() -> list[str]:
    return __all__
