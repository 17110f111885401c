"""Train two classifiers of handwritten digits with nothing but derived gradients on NumPy.

    python examples/digits/train.py                 train, print accuracies, save a plot of the losses
    python examples/digits/train.py --check         also compare each gradient with PyTorch's autograd

The images are the 1,797 that scikit-learn carries; a fifth is held back. Needs the extra `examples`
(`pip install ".[examples]"`), and for `--check` PyTorch. Exit code 1 where a model stays below 95 % or
a gradient differs.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from models import (
    Array,
    Labels,
    Model,
    Parameters,
    accuracy_of,
    loss_of,
    softmax_classifier,
    two_layer_network,
)
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sklearn.datasets import load_digits

import pullback

WANTED = 0.95
BATCH = 64
MOMENTUM = 0.9


@dataclass(frozen=True)
class Data:
    images: Array
    labels: Labels
    held_images: Array
    held_labels: Labels


@dataclass
class History:
    """Losses after every epoch, and the accuracy on held-back images at the end."""

    loss: list[float] = field(default_factory=list)
    held_loss: list[float] = field(default_factory=list)
    accuracy: float = 0.0


def digits(seed: int) -> Data:
    """The images as rows of 64 numbers from 0 to 1, shuffled; the last fifth is held back."""
    bunch = load_digits()
    order = np.random.default_rng(seed).permutation(len(bunch.target))
    images, labels = bunch.data[order] / 16, bunch.target[order].astype(np.int64)
    cut = len(labels) * 4 // 5
    return Data(images[:cut], labels[:cut], images[cut:], labels[cut:])


def train(
    model: Model, backward: pullback.Backward, data: Data, epochs: int, seed: int, progress: Progress
) -> History:
    """Stochastic gradient descent with momentum; every gradient comes from the derivation."""
    rng = np.random.default_rng(seed)
    parameters = model.start(rng)
    velocity = {name: np.zeros_like(value) for name, value in parameters.items()}
    history = History()
    for _ in progress.track(range(epochs), description=model.name):
        order = rng.permutation(len(data.labels))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            gradients = backward({"X": data.images[batch], "t": data.labels[batch], **parameters})
            for name in parameters:
                velocity[name] = MOMENTUM * velocity[name] - model.rate * gradients[name]
                parameters[name] = parameters[name] + velocity[name]
        history.loss.append(loss_of(model.logits(parameters, data.images), data.labels))
        history.held_loss.append(loss_of(model.logits(parameters, data.held_images), data.held_labels))
    history.accuracy = accuracy_of(model.logits(parameters, data.held_images), data.held_labels)
    return history


def difference_from_pytorch(
    model: Model, backward: pullback.Backward, data: Data, seed: int
) -> dict[str, float]:
    """For each parameter: the largest difference from autograd's gradient, relative to its largest entry."""
    import torch

    def on_pytorch(images: Array, labels: Labels, values: Parameters) -> dict[str, Array]:
        p = {name: torch.tensor(value, requires_grad=True) for name, value in values.items()}
        x = torch.tensor(images)
        scores = x @ p["W"] + p["b"] if "W" in p else torch.tanh(x @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"]
        torch.nn.functional.cross_entropy(scores, torch.tensor(labels)).backward()
        return {name: value.grad.numpy() for name, value in p.items()}

    values = model.start(np.random.default_rng(seed))
    images, labels = data.images[:BATCH], data.labels[:BATCH]
    ours = backward({"X": images, "t": labels, **values})
    theirs = on_pytorch(images, labels, values)
    return {name: float(np.abs(ours[name] - g).max() / np.abs(g).max()) for name, g in theirs.items()}


def plot(histories: dict[str, History], target: Path) -> None:
    """The losses by epoch, solid for training and dashed for held-back images, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), constrained_layout=True)
    for color, (name, history) in zip(("tab:blue", "tab:orange"), histories.items(), strict=True):
        epochs = range(1, len(history.loss) + 1)
        axes.plot(epochs, history.loss, color=color, label=f"{name}, training")
        label = f"{name}, held back ({history.accuracy:.1%} right)"
        axes.plot(epochs, history.held_loss, color=color, linestyle="--", label=label)
    axes.set(xlabel="epoch", ylabel="mean cross-entropy", yscale="log")
    axes.set_title("Handwritten digits, trained with derived gradients")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    # Written beside its place and moved there, so that a half-written picture never stands under the name.
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    figure.savefig(draft, format="png", dpi=150)
    plt.close(figure)
    draft.replace(target)


def run(
    passes: list[tuple[Model, pullback.Backward]], data: Data, epochs: int, seed: int, console: Console
) -> dict[str, History]:
    columns = (TextColumn("{task.description:<20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        return {m.name: train(m, backward, data, epochs, seed, progress) for m, backward in passes}


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train digit classifiers with derived gradients.")
    parser.add_argument("-o", "--output", type=Path, help="the plot (default: a new temporary folder)")
    parser.add_argument("--force", action="store_true", help="replace an existing plot")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--short", action="store_true", help="a quarter of the epochs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", action="store_true", help="compare each gradient with PyTorch's autograd")
    return parser.parse_args(argv)


def place_of_plot(wanted: Path | None, force: bool) -> Path:
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="pullback-digits-")) / "loss.png"
    if wanted.exists() and not force:
        sys.exit(f"{wanted} exists; --force replaces it")
    wanted.parent.mkdir(parents=True, exist_ok=True)
    return wanted


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv)
    target = place_of_plot(options.output, options.force)
    console = Console()
    data = digits(options.seed)
    passes = [(model, model.derive().compile()) for model in (softmax_classifier(), two_layer_network())]
    good = True
    for model, backward in passes:
        print(f"# {model.name}\n{backward.source}")
    if options.check:
        for model, backward in passes:
            for name, difference in difference_from_pytorch(model, backward, data, options.seed).items():
                good &= difference <= 1e-12
                console.print(f"{model.name}: d{name} differs from autograd by {difference:.1e} relative")
    epochs = max(1, options.epochs // 4) if options.short else options.epochs
    histories = run(passes, data, epochs, options.seed, console)
    for name, history in histories.items():
        good &= history.accuracy >= WANTED
        count = len(data.held_labels)
        console.print(f"{name}: {history.accuracy:.2%} of {count} held-back images right")
    plot(histories, target)
    console.print(f"losses: {target}", soft_wrap=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
