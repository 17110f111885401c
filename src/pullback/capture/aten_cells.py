"""Recurrent cells: one step each, with the gates named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pullback.capture import phrases
from pullback.capture.aten import Row
from pullback.capture.aten_layers import linear
from pullback.capture.aten_views import length
from pullback.capture.writing import Value, Writer


def _gates(w: Writer, x: Value, h: Value, p: Sequence[Value | None], count: int) -> list[tuple[Value, Value]]:
    """Each gate's share of the input and of the state, as the rows of the weights hold them."""
    w_ih, w_hh, b_ih, b_hh = (*p, None, None)[:4]
    width = length(h, -1)
    both = [linear(w, a, m, b) for a, m, b in ((x, w_ih, b_ih), (h, w_hh, b_hh)) if m is not None]
    cut = [[phrases.part(w, g, -1, k * width, (k + 1) * width) for k in range(count)] for g in both]
    return list(zip(*cut, strict=True))


def _activated(w: Writer, function: str, x: Value, hint: str) -> Value:
    made = w.elementwise(f"{function}({{0}})", x, hint=hint)
    made.named = True
    return made


def lstm_cell(w: Writer, x: Value, state: Sequence[Value], *p: Any) -> tuple[Value, Value]:
    h, c = state
    w_ih, w_hh, b_ih, b_hh = (*p, None, None)[:4]
    z = phrases.add_(w, linear(w, x, w_ih, b_ih), linear(w, h, w_hh, b_hh), "z")
    z.named = True
    width = length(h, -1)
    cut = [phrases.part(w, z, -1, k * width, (k + 1) * width) for k in range(4)]
    named = (("sigmoid", "i"), ("sigmoid", "f"), ("tanh", "g"), ("sigmoid", "o"))
    i, f, g, o = (_activated(w, name, part, hint) for part, (name, hint) in zip(cut, named, strict=True))
    cell = w.elementwise("{0} * {1} + {2} * {3}", f, c, i, g, hint="c_next")
    cell.named = True
    return w.elementwise("{0} * tanh({1})", o, cell, hint="h_next"), cell


def gru_cell(w: Writer, x: Value, h: Value, *p: Any) -> Value:
    (xr, hr), (xz, hz), (xn, hn) = _gates(w, x, h, p, 3)
    r = _activated(w, "sigmoid", w.elementwise("{0} + {1}", xr, hr), "r")
    z = _activated(w, "sigmoid", w.elementwise("{0} + {1}", xz, hz), "z")
    n = _activated(w, "tanh", w.elementwise("{0} + {1} * {2}", xn, r, hn), "n")
    return w.elementwise("(1 - {0}) * {1} + {0} * {2}", z, n, h, hint="h_next")


def _rnn_cell(function: str) -> Row:
    def row(w: Writer, x: Value, h: Value, *p: Any) -> Value:
        ((a, b),) = _gates(w, x, h, p, 1)
        return w.elementwise(f"{function}({{0}} + {{1}})", a, b, hint="h_next")

    return row


TABLE: Final[dict[str, Row]] = {
    "lstm_cell": lstm_cell,
    "gru_cell": gru_cell,
    "rnn_tanh_cell": _rnn_cell("tanh"),
    "rnn_relu_cell": _rnn_cell("relu"),
}
