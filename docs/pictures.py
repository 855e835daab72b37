"""Draw the pictures of mathematics.md, next to this file: every curve is what cecore returns.

Run `python docs/pictures.py`; it needs `pip install 'cecore[examples]'`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

try:
    import matplotlib
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure  # without pyplot: needs no display

    import cecore
except ModuleNotFoundError as missing:
    raise SystemExit(f"{missing.name} is missing: pip install 'cecore[examples]'") from None

EPS = 0.05  # far larger than in use, to be seen
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "cecore",  # the same text from each run
    "svg.fonttype": "path",
    "font.size": 10,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.framealpha": 1.0,
    "legend.fontsize": 9,
    "legend.title_fontsize": 9,
}
MINUS = "\N{MINUS SIGN}"
PALETTE = {1: "#0060a8", 0: "#c04a00"}  # by label
Array = np.ndarray


def labels(x: Array, y: int) -> Array:
    """The label y for every prediction."""
    return np.full(x.shape, y)


def panels() -> tuple[Figure, Axes, Axes]:
    """A white figure, with one panel for the loss and one for the gradient."""
    figure = Figure(figsize=(9.2, 3.8), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2)
    return figure, left, right


def draw_probabilities() -> Figure:
    """The loss and dL/dp against p, with the clip."""
    figure, left, right = panels()
    exact = cecore.BinaryCrossEntropy(reduction="none", eps=0.0)
    clipped = cecore.BinaryCrossEntropy(reduction="none", eps=EPS)
    zero = cecore.BinaryCrossEntropy(reduction="none", eps=EPS, gradient_outside="zero")
    p = np.linspace(0, 1, 101)
    low = np.linspace(0.01, EPS, 9)
    beyond = np.concatenate([low, [np.nan], 1 - low[::-1]])  # NaN parts the line
    ends = np.array([0, np.nextafter(EPS, 0), np.nan, np.nextafter(1 - EPS, 1), 1])
    for y, tint in PALETTE.items():
        left.plot(p, clipped(p, labels(p, y)), color=tint, label=f"y = {y}, clipped")
        left.plot(beyond, exact(beyond, labels(beyond, y)), ":", color=tint)
        right.plot(p, clipped.backward(p, labels(p, y)), color=tint, label=f'y = {y}, "clipped"')
        right.plot(beyond, exact.backward(beyond, labels(beyond, y)), ":", color=tint)
    right.plot(ends, zero.backward(ends, labels(ends, 1)), "--", color="black", label='y = 0 or 1, "zero"')
    for axes in (left, right):
        axes.axvspan(0, EPS, color="0.88", zorder=0, linewidth=0)
        axes.axvspan(1 - EPS, 1, color="0.88", zorder=0, linewidth=0)
        axes.set(xlabel="predicted probability p", xlim=(0, 1), xticks=[0, 0.5, 1])
    left.set(title="loss", ylabel="L (nats)", ylim=(-0.1, 4.2), yticks=range(5))
    right.set(title="gradient", ylabel="dL/dp (nats)", ylim=(-27, 27), yticks=range(-20, 21, 10))
    left.plot([], [], ":", color="0.3", label="not clipped")
    left.text(EPS + 0.02, -np.log(EPS), f"{MINUS}log eps", va="center")
    right.text(EPS + 0.02, -1 / EPS, f"{MINUS}1/eps", va="center")
    right.text(1 - EPS - 0.02, 1 / EPS, "1/eps", va="center", ha="right")
    left.legend(loc="upper center")
    right.legend(loc="lower right", bbox_to_anchor=(1 - EPS, 0), title="gradient_outside")
    return figure


def draw_logits() -> Figure:
    """The loss and dL/dz against z, and the gradient of (p - y)^2 / 2 with respect to z."""
    figure, left, right = panels()
    loss = cecore.BinaryCrossEntropyWithLogits(reduction="none")
    z = np.linspace(-8, 8, 81)
    p = cecore.sigmoid(z)
    formulas = {1: (f"log(1 + exp({MINUS}z))", f"p {MINUS} 1"), 0: ("log(1 + exp(z))", "p")}
    for y, tint in PALETTE.items():
        value, slope = formulas[y]
        left.plot(z, loss(z, labels(z, y)), color=tint, label=f"y = {y}: {value}")
        right.plot(z, loss.backward(z, labels(z, y)), color=tint, label=f"y = {y}: {slope}")
    for y, tint in PALETTE.items():
        right.plot(z, (p - y) * p * (1 - p), "--", color=tint, label=f"y = {y}, squared error")
    for axes in (left, right):
        axes.set(xlabel="logit z (nats)", xlim=(-8, 8), xticks=range(-8, 9, 4))
    left.set(title="loss", ylabel="L (nats)", ylim=(-0.2, 8.4), yticks=range(0, 9, 2))
    right.set(title="gradient", ylabel="dL/dz", ylim=(-1.1, 1.1), yticks=[-1, -0.5, 0, 0.5, 1])
    left.legend(loc="upper center")
    right.legend(loc="upper left")
    return figure


def main() -> None:
    """Draw both."""
    with matplotlib.rc_context(STYLE):
        for name, draw in (("probabilities", draw_probabilities), ("logits", draw_logits)):
            path = Path(__file__).with_name(f"{name}.svg")
            draw().savefig(path, metadata={"Date": None, "Creator": None})
            print(f"picture: {path}")


if __name__ == "__main__":
    main()
