"""The parts that both examples share: the data split, the checks, the progress bar, the summary and the plot."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure  # unlike pyplot, this needs no display
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from tqdm import tqdm

Array = np.ndarray


class Split(NamedTuple):
    """The rows for training, and the rows held out to test the model."""

    train_x: Array
    train_y: Array
    held_out_x: Array
    held_out_y: Array


class Epoch(NamedTuple):
    """The result of one epoch: the mean losses in nats, and the held-out accuracy as a fraction."""

    train_loss: float
    held_out_loss: float
    accuracy: float


def arguments(description: str | None, epochs: int, picture: str) -> argparse.Namespace:
    """Parse the command line. The defaults differ between the examples."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--epochs", type=int, default=epochs, help="passes over the training rows (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="random seed of the data split and the training (default: %(default)s)"
    )
    parser.add_argument(
        "--picture", type=Path, default=Path(picture), help="file for the plot of the training (default: %(default)s)"
    )
    options = parser.parse_args()
    if options.epochs < 1 or options.seed < 0:
        parser.error("--epochs must be at least 1 and --seed at least 0")
    return options


def split_rows(features: Array, labels: Array, rng: np.random.Generator, held_out: float = 0.25) -> Split:
    """Shuffle the rows and hold out a fraction of them."""
    order = rng.permutation(len(labels))
    cut = round(held_out * len(labels))
    test, train = order[:cut], order[cut:]
    return Split(features[train], labels[train], features[test], labels[test])


def batches(rows: int, size: int, rng: np.random.Generator) -> list[Array]:
    """Return shuffled row numbers in batches of equal size, at most `size`. A small last batch would be noisy."""
    return np.array_split(rng.permutation(rows), -(-rows // size))


def check_gradient(name: str, loss: Callable[[Array], float], weights: Array, gradient: Array) -> None:
    """Compare the largest dL/dw with (L(w + h) - L(w - h)) / 2h. Exit with code 1 if they differ."""
    index = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
    step = np.zeros_like(weights)
    step[index] = 1e-5  # near the cube root of the machine epsilon, where truncation and rounding errors are similar
    backpropagated = float(gradient[index])
    measured = (loss(weights + step) - loss(weights - step)) / (2 * step[index])
    difference = abs(backpropagated - measured) / abs(measured)
    place = ", ".join(str(i) for i in index)
    print(f"derivative of the training loss with respect to {name}[{place}]")
    print(f"  by the chain rule       {backpropagated:+.12f}")
    print(f"  by central differences  {measured:+.12f}")
    print(f"  relative difference     {difference:.1e}")
    if not difference < 1e-6:
        raise SystemExit("The gradient is wrong: the relative difference is not below 1e-6.")


def check_both_ways(
    on_logits: tuple[float, Sequence[Array | float]], on_probs: tuple[float, Sequence[Array | float]]
) -> None:
    """Compare the loss and its gradient on logits with those on probabilities. Exit with code 1 if they differ."""
    losses = np.array([on_logits[0], on_probs[0]])
    gradients = np.array([np.concatenate([np.ravel(part) for part in way[1]]) for way in (on_logits, on_probs)])
    loss_difference, gradient_difference = (np.abs(a - b).max() / np.abs(a).max() for a, b in (losses, gradients))
    print("training loss and its gradient before training, computed in two ways")
    print(f"  loss on logits          {losses[0]:.12f} nats")
    print(f"  loss on probabilities   {losses[1]:.12f} nats")
    print(f"  relative difference     {loss_difference:.1e}")
    print(f"  gradient difference     {gradient_difference:.1e} of the largest entry")
    if not (loss_difference < 1e-10 and gradient_difference < 1e-10):
        raise SystemExit("Logits and probabilities disagree: a relative difference is not below 1e-10.")


def follow(epochs: Iterator[Epoch], total: int) -> list[Epoch]:
    """Run the training and show a progress bar."""
    history = []
    with tqdm(total=total, unit="epoch", ncols=100, mininterval=0, miniters=1) as bar:
        for epoch in epochs:
            history.append(epoch)
            bar.set_postfix_str(f"loss {epoch.train_loss:.4f}, held-out accuracy {epoch.accuracy:.1%}", refresh=False)
            bar.update()
    return history


def print_summary(last: Epoch, seconds: float) -> None:
    """Print the losses, the accuracy and the time at the end of the training."""
    print(f"training loss      {last.train_loss:8.4f} nats")
    print(f"held-out loss      {last.held_out_loss:8.4f} nats")
    print(f"held-out accuracy  {100 * last.accuracy:8.2f} %")
    print(f"training time      {seconds:8.2f} s")


def draw(history: list[Epoch], title: str, path: Path) -> None:
    """Plot the losses and the accuracy over the epochs, save the plot, and print its path."""
    epochs = np.arange(1, len(history) + 1)
    train_loss, held_out_loss, accuracy = np.array(history).T
    figure = Figure(figsize=(7, 6), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True)
    upper.plot(epochs, train_loss, "C0", label="training loss")
    upper.plot(epochs, held_out_loss, "C1--", label="held-out loss")
    lower.plot(epochs, 100 * accuracy, "C2", label="held-out accuracy")
    upper.set(title=title, ylabel="cross-entropy (nats)", yscale="log")
    lower.set(xlabel="epoch", ylabel="accuracy (%)")
    upper.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    upper.yaxis.set_major_formatter("{x:g}")
    upper.yaxis.set_minor_locator(NullLocator())
    lower.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    upper.legend(loc="upper right")
    lower.legend(loc="lower right")
    figure.savefig(path, dpi=150)
    print(f"training curve: {path.resolve()}")
