"""Fast and accurate cross-entropy losses for NumPy: binary and categorical, with gradients.

Choose the loss by the last layer of your model. Predictions come first, then the targets.

==================================  ================================  =======================================
function: returns the loss          class: also computes gradients    predictions
==================================  ================================  =======================================
`binary_cross_entropy`              `BinaryCrossEntropy`              one probability for each target
`binary_cross_entropy_with_logits`  `BinaryCrossEntropyWithLogits`    one logit for each target
`cross_entropy`                     `CrossEntropy`                    one probability for each class
`cross_entropy_with_logits`         `CrossEntropyWithLogits`          one logit for each class
==================================  ================================  =======================================

The classes have the methods `forward`, `backward`, `forward_backward`, `gradient_hessian` and `accumulator`. `sigmoid`,
`log_sigmoid`, `softmax` and `log_softmax` turn logits into probabilities and their logarithms. `set_num_threads` limits
the threads of large calls. cecore issues an `InputWarning` if inputs look like a mistake.

>>> import cecore
>>> cecore.binary_cross_entropy([0.9, 0.2, 0.6], [1, 0, 1])
0.2797765635793423
>>> value, gradient = cecore.CrossEntropyWithLogits().forward_backward([[2.0, 1.0, 0.0]], [0])
"""

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
