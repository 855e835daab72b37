"""Cross-entropy for NumPy: binary and categorical, forward and backward, exact and fast."""

from ._dispatch import show_config
from .losses import BinaryCrossEntropy, CrossEntropy, binary_cross_entropy, cross_entropy

__version__ = "0.1.0"

__all__ = [
    "BinaryCrossEntropy",
    "CrossEntropy",
    "__version__",
    "binary_cross_entropy",
    "cross_entropy",
    "show_config",
]
