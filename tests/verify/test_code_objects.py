"""Layers that are objects, and arguments in dictionaries: what networks written from scratch look like."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from pullback import check
from pullback.errors import PullbackError

RNG = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return RNG.normal(size=shape)


class Linear:
    """`self.x` is the cache; `dW` and `db` are kept."""

    factor = 1.0

    def __init__(self, rows: int, columns: int) -> None:
        self.W, self.b = normal(rows, columns), normal(columns)

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        self.db = self.factor * np.sum(dout, axis=0)
        return dout @ self.W.T


class HalfBias(Linear):
    factor = 0.5


class ScalarBias(Linear):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.db = np.sum(dout)
        return dx


class Held:
    """Parameters in a dictionary, their gradients in another, added to what is there."""

    def __init__(self) -> None:
        self.params = {"W": normal(4, 3)}
        self.grads = {"W": np.ones((4, 3))}

    def forward(self, x: Any) -> Any:
        return np.tanh(x @ self.params["W"]), x

    def backward(self, dout: Any, x: Any) -> Any:
        out = np.zeros((len(x), dout.shape[1]))
        for n in range(len(x)):
            out[n] = 1 - np.tanh(x[n] @ self.params["W"]) ** 2
        self.grads["W"] += x.T @ (dout * out)
        return (dout * out) @ self.params["W"].T


class ListedTwice(Held):
    def __init__(self) -> None:
        self.params: Any = [normal(4, 3)]
        self.grads: Any = [np.zeros((4, 3))]

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.params[0]

    def backward(self, dout: Any, *_: Any) -> Any:
        self.grads[0][...] = 2 * self.x.T @ dout
        return dout @ self.params[0].T


class Rectified:
    def forward(self, x: Any) -> Any:
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout: Any) -> Any:
        dx = dout.copy()
        dx[self.mask] = 0
        return dx


class Network:
    """Layers in a tuple: their parameters are inputs as well."""

    def __init__(self, *layers: Any) -> None:
        self.layers = layers

    def __call__(self, x: Any) -> Any:
        return self.forward(x)

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dout: Any) -> Any:
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout


class Shared(Network):
    """Parameters in one dictionary, and the same arrays in the layers."""

    def __init__(self, first: type, second: type) -> None:
        super().__init__(first(4, 3), Rectified(), second(3, 2))
        held = [layer for layer in self.layers if isinstance(layer, Linear)]
        self.params = {f"{name}{k}": vars(x)[name] for k, x in enumerate(held) for name in ("W", "b")}

    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        held = [layer for layer in self.layers if isinstance(layer, Linear)]
        self.grads = {f"{n}{k}": vars(x)[f"d{n}"] for k, x in enumerate(held) for n in ("W", "b")}
        return dx


class Boxed:
    """A parameter that is an object with its value and its gradient."""

    class Parameter:
        def __init__(self, data: Any) -> None:
            self.data, self.grad = data, np.zeros_like(data)

        def __call__(self) -> Any:
            return self.data

    def __init__(self, factor: float) -> None:
        self.weight, self.factor = self.Parameter(normal(4, 3)), factor

    def forward(self, x: Any) -> Any:
        self.x = x
        return np.dot(x, self.weight())

    def backward(self, dout: Any) -> Any:
        self.weight.grad += self.factor * np.dot(self.x.T, dout)
        return np.dot(dout, self.weight.data.T)


class Running:
    """State that grows from call to call is no argument of the next check."""

    def __init__(self) -> None:
        self.mean = None

    def forward(self, x: Any) -> Any:
        mu = x.mean(axis=0)
        self.mean = mu if self.mean is None else 0.9 * self.mean + 0.1 * mu
        self.n = len(x)
        return x - mu

    def backward(self, dout: Any) -> Any:
        return dout - dout.sum(axis=0) / self.n


class Tanh:
    @staticmethod
    def forward(x: Any) -> Any:
        y = np.tanh(x)
        return y, y

    @staticmethod
    def backward(dout: Any, y: Any) -> Any:
        return dout * (1 - y * y)


NETWORK = {"x": True, "layers_0_W": True, "layers_0_b": True, "layers_2_W": True, "layers_2_b": False}
INSIDE = {
    "x": True,
    **dict.fromkeys(("layers_0_layers_0_W", "layers_0_layers_0_b", "layers_1_W", "layers_1_b"), True),
}


def verdicts(found: Any) -> dict[str, Any]:
    return {v.wrt: v.ok for v in found.verdicts}


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (Linear(4, 3), {"x": True, "W": True, "b": True}),
        (HalfBias(4, 3), {"x": True, "W": True, "b": False}),
        (ScalarBias(4, 3), {"x": True, "W": True, "b": False}),
        (Held(), {"x": True, "W": True}),
        (ListedTwice(), {"x": True, "params_0": False}),
        (Network(Linear(4, 3), Rectified(), HalfBias(3, 2)), NETWORK),
        (Network(Network(Linear(4, 3)), Linear(3, 2)), INSIDE),
        (Shared(Linear, Linear), {"x": True, "W0": True, "b0": True, "W1": True, "b1": True}),
        (Shared(HalfBias, Linear), {"x": True, "W0": True, "b0": False, "W1": True, "b1": True}),
        (Boxed(1.0), {"x": True, "weight_data": True}),
        (Boxed(0.5), {"x": True, "weight_data": False}),
        (Network(Rectified(), Rectified()), {"x": True}),
        (Running(), {"x": True}),
        (Running, {"x": True}),
        (Tanh, {"x": True}),
    ],
)
def test_layers(layer: Any, expected: dict[str, Any]) -> None:
    before = None if isinstance(layer, type) else {k: repr(v) for k, v in vars(layer).items()}
    assert verdicts(check(layer, [normal(5, 4)])) == expected
    assert isinstance(layer, type) or before == {k: repr(v) for k, v in vars(layer).items()}


def test_methods_of_one_object_are_a_layer() -> None:
    layer = Linear(4, 3)
    found = check((layer.forward, layer.backward), [normal(5, 4)])
    assert verdicts(found) == {"x": True, "W": True, "b": True}


def test_a_wrong_parameter_of_a_layer_comes_with_code_to_paste() -> None:
    said = check(HalfBias(4, 3), [normal(5, 4)]).explain()
    assert "layer.W = " in said
    assert "print(layer.db)" in said
    assert "right: Y = x @ W + b" in said


def test_the_counterexample_of_a_network_runs() -> None:
    """A shared array is given to the dictionary and to the layer, so the printed gradient is the wrong one."""
    layer = Shared(HalfBias, Linear)
    (wrong,) = [v for v in check(layer, [normal(5, 4)]).verdicts if v.ok is False]
    assert "layer.layers[0].b = layer.params['b0'] = " in wrong.paste
    assert wrong.witness is not None
    names: dict[str, Any] = {"layer": copy.deepcopy(layer), "print": lambda *_: None}
    exec(wrong.paste, names)
    assert names["layer"].grads["b0"][wrong.witness.entry] == pytest.approx(wrong.witness.claimed)


def test_a_class_that_needs_arguments_is_refused() -> None:
    with pytest.raises(PullbackError, match="class that needs arguments"):
        check(Linear, [normal(5, 4)])


# ---- arguments in containers ------------------------------------------------------------------


def hidden(params: Any, x: Any) -> Any:
    h = np.tanh(x @ params["W"] + params["b"])
    return h @ params["V"], (params, x, h)


def hidden_back(dout: Any, cache: Any) -> Any:
    params, x, h = cache
    dh = (dout @ params["V"].T) * (1 - h**2)
    return {"W": x.T @ dh, "b": dh.sum(axis=0), "V": h.T @ dout}, dh @ params["W"].T


def changed(key: str, edit: Any) -> Any:
    def back(dout: Any, cache: Any) -> Any:
        grads, dx = hidden_back(dout, cache)
        return {k: edit(g) if k == key else g for k, g in grads.items()}, dx

    return back


def without(key: str) -> Any:
    def back(dout: Any, cache: Any) -> Any:
        grads, dx = hidden_back(dout, cache)
        return {k: g for k, g in grads.items() if k != key}, dx

    return back


def params_alone(dout: Any, cache: Any) -> Any:
    grads, _ = hidden_back(dout, cache)
    return {f"d{key}": g for key, g in grads.items()}


PARAMS = {"W": normal(3, 4), "b": normal(4), "V": normal(4, 2)}
RIGHT = {"params_W": True, "params_b": True, "params_V": True, "x": True}


@pytest.mark.parametrize(
    ("back", "expected"),
    [
        (hidden_back, RIGHT),
        (changed("b", lambda g: g / 2), {**RIGHT, "params_b": False}),
        (without("V"), {**RIGHT, "params_V": False}),
        (params_alone, {k: v for k, v in RIGHT.items() if k != "x"}),
    ],
)
def test_a_dictionary_of_parameters(back: Any, expected: dict[str, Any]) -> None:
    assert verdicts(check((hidden, back), [PARAMS, normal(5, 3)])) == expected


def listed(x: Any, weights: Any) -> Any:
    for w in weights:
        x = x @ w
    return x


def listed_back(dout: Any, x: Any, weights: Any) -> Any:
    first, second = weights
    return dout @ (first @ second).T, [x.T @ dout @ second.T, (x @ first).T @ dout]


def test_a_list_of_weights() -> None:
    found = check((listed, listed_back), [normal(5, 3), [normal(3, 4), normal(4, 2)]])
    assert verdicts(found) == {"x": True, "weights_0": True, "weights_1": True}
    asked = check((listed, listed_back), [normal(5, 3), [normal(3, 4), normal(4, 2)]], wrt=["weights"])
    assert verdicts(asked) == {"weights_0": True, "weights_1": True}


def normalised(x: Any, gamma: Any, state: Any) -> Any:
    mu, var = x.mean(axis=0), x.var(axis=0)
    state["mean"] = 0.9 * state.get("mean", np.zeros(x.shape[1])) + 0.1 * mu
    h = (x - mu) / np.sqrt(var + state["eps"])
    return gamma * h, (h, var, gamma, state["eps"])


def normalised_back(dout: Any, cache: Any) -> Any:
    h, var, gamma, eps = cache
    dh = dout * gamma
    return (dh - dh.mean(0) - h * (dh * h).mean(0)) / np.sqrt(var + eps), (dout * h).sum(0)


@pytest.mark.parametrize("state", [{"eps": 1e-5}, {"eps": 1e-5, "mean": normal(3)}])
def test_a_dictionary_that_the_forward_writes_to(state: dict[str, Any]) -> None:
    """Settings and running statistics have no gradient; what one run writes is not there in the next."""
    kept = dict(state)
    found = check((normalised, normalised_back), [normal(5, 3), normal(3), state])
    assert verdicts(found) == {"x": True, "gamma": True}
    assert [v.status for v in found.verdicts] == ["exact", "exact"]
    assert state.keys() == kept.keys()


# ---- code to paste ----------------------------------------------------------------------------

PAIR = (lambda x: x**3, lambda dout, x: dout * x**2)
NESTED_PAIR = (lambda p: p["x"] ** 3, lambda dout, p: {"x": dout * p["x"] ** 2})


class Methods:
    @staticmethod
    def forward(x: Any) -> Any:
        return x**3, x

    @staticmethod
    def backward(dout: Any, x: Any) -> Any:
        return dout * x**2


@pytest.mark.parametrize(
    ("obj", "given"), [(PAIR, normal(3)), (NESTED_PAIR, {"x": normal(3)}), (Methods, normal(3))]
)
def test_the_counterexample_of_a_pair_runs_where_its_functions_stand(obj: Any, given: Any) -> None:
    (found,) = check(obj, [given]).verdicts
    shown: list[Any] = []
    exec(found.paste, {**globals(), "print": shown.append})
    value = shown[0]["x"] if isinstance(shown[0], dict) else shown[0]
    assert found.witness is not None
    assert value[found.witness.entry] == pytest.approx(found.witness.claimed)


# ---- code whose forward cannot be read --------------------------------------------------------


def in_thirds(x: Any, w: Any) -> Any:
    q, k, v = np.split(x @ w, 3, axis=-1)
    return x + q @ k.T @ v, (x, w)


def test_a_wrong_backward_is_told_although_the_sizes_of_its_forward_hang_together() -> None:
    found = check((in_thirds, lambda dy, cache: (dy, None)), [normal(3, 2), normal(2, 6)])
    assert verdicts(found) == {"x": False, "w": False}
