"""Recurrent."""

from __future__ import annotations

from typing import Final

from pullback.catalogue.layer import Layer

RECURRENT: Final = (
    Layer(
        name="rnn_step",
        title="RNN step",
        group="recurrent",
        program="h1 = tanh(x @ Wx + h @ Wh + b)",
        shapes={"x": "N D", "h": "N H", "Wx": "D H", "Wh": "H H", "b": "H"},
        why=(
            "All five gradients share dh1 (1 - h1²). Through time dh becomes the dh1 of the step before, "
            "so a sequence multiplies by Wh.T at every step: norms grow or shrink exponentially, hence "
            "clipping. The weights' gradients add over the steps. Save h1, not what stands inside tanh."
        ),
        source="Elman 1990; CS231n assignment 3, rnn_step_backward",
    ),
    Layer(
        name="lstm_step",
        title="LSTM step",
        group="recurrent",
        program=(
            "zi = x @ Wi + h @ Ui + bi\n"
            "zf = x @ Wf + h @ Uf + bf\n"
            "zo = x @ Wo + h @ Uo + bo\n"
            "zg = x @ Wg + h @ Ug + bg\n"
            "i = sigmoid(zi)\n"
            "f = sigmoid(zf)\n"
            "o = sigmoid(zo)\n"
            "g = tanh(zg)\n"
            "c1 = f * c + i * g\n"
            "t = tanh(c1)\n"
            "h1 = o * t\n"
            "L = sum(Gh * h1) + sum(Gc * c1)"
        ),
        shapes={
            "x": "N D",
            "h": "N H",
            "c": "N H",
            "Wi": "D H",
            "Ui": "H H",
            "bi": "H",
            "Wf": "D H",
            "Uf": "H H",
            "bf": "H",
            "Wo": "D H",
            "Uo": "H H",
            "bo": "H",
            "Wg": "D H",
            "Ug": "H H",
            "bg": "H",
            "Gh": "N H",
            "Gc": "N H",
        },
        wrt=(
            "x",
            "h",
            "c",
            "Wi",
            "Ui",
            "bi",
            "Wf",
            "Uf",
            "bf",
            "Wo",
            "Uo",
            "bo",
            "Wg",
            "Ug",
            "bg",
        ),
        why=(
            "Two results leave the step, so two gradients arrive: Gh for h1 and Gc for c1, and L is "
            "written so that they stand in for dh1 and the later step's dc. The cell's gradient has two "
            "shares: Gc, and Gh through o tanh. Along the cell it is multiplied by f only, with no "
            "matrix: that is what keeps it alive over many steps, and why the bias bf starts positive. "
            "Save the gates, c and t."
        ),
        source="Hochreiter and Schmidhuber 1997; CS231n assignment 3, lstm_step_backward",
    ),
    Layer(
        name="gru_step",
        title="GRU step",
        group="recurrent",
        program=(
            "zr = x @ Wr + h @ Ur + br\n"
            "zz = x @ Wz + h @ Uz + bz\n"
            "u = h @ Un + bu\n"
            "r = sigmoid(zr)\n"
            "z = sigmoid(zz)\n"
            "zn = x @ Wn + bn + r * u\n"
            "n = tanh(zn)\n"
            "h1 = (1 - z) * n + z * h"
        ),
        shapes={
            "x": "N D",
            "h": "N H",
            "Wr": "D H",
            "Ur": "H H",
            "br": "H",
            "Wz": "D H",
            "Uz": "H H",
            "bz": "H",
            "Wn": "D H",
            "Un": "H H",
            "bn": "H",
            "bu": "H",
        },
        why=(
            "h reaches h1 along four paths: directly through z, and through r, z and u; dh adds all four. "
            "The reset gate multiplies after the product with Un, as in PyTorch and cuDNN; the paper "
            "multiplies h before it, and the two have different gradients and are not interchangeable "
            "with the same weights. Save r, z, n and u."
        ),
        source="Cho et al. 2014; PyTorch, torch.nn.GRUCell",
    ),
    Layer(
        name="state_space_step",
        title="State-space step, diagonal",
        group="recurrent",
        program=("h1 = a * h + x @ B\ny = h1 @ C"),
        shapes={"x": "N D", "h": "N H", "a": "H", "B": "D H", "C": "H M"},
        why=(
            "A linear recurrence with a diagonal transition. dh is dh1 times a, element by element, so "
            "over t steps a distant state has the weight a ** t: it neither explodes nor vanishes quickly "
            "when a is near 1. Being linear, the whole backward pass in time is again such a recurrence, "
            "run from the end, and can be a parallel scan."
        ),
        source="Gu et al. 2022, S4D (diagonal state spaces)",
    ),
)
