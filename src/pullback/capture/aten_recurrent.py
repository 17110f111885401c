"""Recurrent layers, step by step: the inputs of all steps meet their weights at once, then each step has its lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pullback.capture import phrases
from pullback.capture.aten import Row, dropout, refuse
from pullback.capture.aten_layers import linear
from pullback.capture.aten_views import length
from pullback.capture.writing import Value, Writer

LONGEST: Final = 64  # steps that are written out


@dataclass(frozen=True, slots=True)
class Weights:
    """Those of one layer in one direction."""

    of_input: Value
    of_state: Value
    input_bias: Value | None
    state_bias: Value | None
    projection: Value | None


State = tuple[Value, ...]
Step = Callable[[Writer, Value, State, Weights], State]


def _named(x: Value, hint: str) -> Value:
    x.hint, x.named = hint, True
    return x


def _fed_back(w: Writer, h: Value, p: Weights) -> Value | None:
    """What the state adds; a state of zeros adds its bias alone."""
    if h.number == 0:
        return p.state_bias
    product = phrases.matmul(w, h, phrases.transpose(w, p.of_state))
    return product if p.state_bias is None else phrases.add_(w, product, p.state_bias)


def _gates(w: Writer, z: Value, count: int) -> list[Value]:
    width = length(z, -1) // count
    return [phrases.part(w, z, -1, k * width, (k + 1) * width) for k in range(count)]


def _activated(w: Writer, function: str, x: Value, hint: str) -> Value:
    return _named(w.elementwise(f"{function}({{0}})", x), hint)


def _lstm_step(w: Writer, zx: Value, state: State, p: Weights) -> State:
    h, c = state
    more = _fed_back(w, h, p)
    z = zx if more is None else _named(w.elementwise("{0} + {1}", zx, more), "z")
    named = (("sigmoid", "i"), ("sigmoid", "f"), ("tanh", "g"), ("sigmoid", "o"))
    parts = zip(_gates(w, z, 4), named, strict=True)
    i, f, g, o = (_activated(w, name, part, hint) for part, (name, hint) in parts)
    new = w.elementwise("{0} * {1}", i, g)
    cell = new if c.number == 0 else w.elementwise("{0} * {1} + {2}", f, c, new)
    cell = _named(cell, "c")
    h = w.elementwise("{0} * tanh({1})", o, cell)
    if p.projection is not None:
        h = phrases.matmul(w, h, phrases.transpose(w, p.projection))
    return _named(h, "h"), cell


def _gru_step(w: Writer, zx: Value, state: State, p: Weights) -> State:
    (h,) = state
    xr, xz, xn = _gates(w, zx, 3)
    more = _fed_back(w, h, p)
    if more is None:
        hr = hz = hn = w.number(0)
    else:
        hr, hz, hn = _gates(w, more, 3)
    r = _activated(w, "sigmoid", phrases.add_(w, xr, hr), "r")
    z = _activated(w, "sigmoid", phrases.add_(w, xz, hz), "z")
    n = _activated(w, "tanh", xn if more is None else w.elementwise("{0} + {1} * {2}", xn, r, hn), "n")
    new = w.elementwise("(1 - {0}) * {1}", z, n)
    return (_named(new if h.number == 0 else w.elementwise("{0} + {1} * {2}", new, z, h), "h"),)


def _rnn_step(function: str) -> Step:
    def step(w: Writer, zx: Value, state: State, p: Weights) -> State:
        more = _fed_back(w, state[0], p)
        z = zx if more is None else w.elementwise("{0} + {1}", zx, more)
        return (_activated(w, function, z, "h"),)

    return step


def _direction(
    w: Writer, x: Value, state: State, p: Weights, step: Step, backwards: bool
) -> tuple[Value, State]:
    """The states of all steps, along axis 0, and the last one."""
    zx = _named(linear(w, x, p.of_input, p.input_bias), "zx")
    count = length(x, 0)
    if count > LONGEST:
        raise refuse(f"a recurrent layer of {count} steps", f"at most {LONGEST} steps are written out")
    found: dict[int, Value] = {}
    for t in reversed(range(count)) if backwards else range(count):
        state = step(w, phrases.entry(w, zx, 0, t), state, p)
        found[t] = state[0]
    return phrases.stack(w, [found[t] for t in range(count)], 0), state


def _layers(step: Step, kinds: int) -> Row:
    """kinds: how many tensors the state is."""

    def row(
        w: Writer,
        x: Value,
        first: Any,
        params: Sequence[Value],
        has_biases: bool,
        layers: int,
        p: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool = False,
    ) -> tuple[Value, ...]:
        dropout(w, x, p if layers > 1 else 0.0, train)
        states = list(first) if kinds == 2 else [first]
        directions = 2 if bidirectional else 1
        per = len(params) // (layers * directions)
        x = phrases.swapaxes(w, x, 0, 1) if batch_first else x
        last: list[State] = []
        for layer in range(layers):
            outs = []
            for d in range(directions):
                k = layer * directions + d
                own = _weights(params[k * per : (k + 1) * per], has_biases)
                start = tuple(_state(w, s, k) for s in states)
                out, end = _direction(w, x, start, own, step, backwards=d == 1)
                outs.append(out)
                last.append(end)
            x = phrases.concatenate(w, outs, 2) if len(outs) > 1 else outs[0]
        ends = [phrases.stack(w, [end[j] for end in last], 0) for j in range(kinds)]
        return (phrases.swapaxes(w, x, 0, 1) if batch_first else x, *ends)

    return row


def _state(w: Writer, s: Value, k: int) -> Value:
    return w.filled(0, s.shape[1:]) if s.number == 0 else phrases.entry(w, s, 0, k)


def _weights(params: Sequence[Value], has_biases: bool) -> Weights:
    first, second, *rest = params
    a, b = (rest.pop(0), rest.pop(0)) if has_biases else (None, None)
    return Weights(first, second, a, b, rest[0] if rest else None)


TABLE: Final[dict[str, Row]] = {
    "lstm": _layers(_lstm_step, 2),
    "gru": _layers(_gru_step, 1),
    "rnn_tanh": _layers(_rnn_step("tanh"), 1),
    "rnn_relu": _layers(_rnn_step("relu"), 1),
}
