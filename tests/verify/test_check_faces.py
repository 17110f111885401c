"""`check` as users meet it: words, data, code to paste, refusals, the command line, the assertion."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pullback import PullbackError, check
from pullback.cli import main
from pullback.testing import assert_backward

X, W = (
    np.array([[1.0, 2.0], [3.0, 5.0], [0.5, 0.25]]),
    np.array([[1.0, -1.0, 2.0, 3.0], [0.5, 1.0, 4.0, 7.0]]),
)


def forward(x: Any, w: Any) -> Any:
    return x @ w


def backward(dout: Any, x: Any, w: Any) -> Any:
    return dout @ w.T, x.T @ dout


def doubled(dout: Any, x: Any, w: Any) -> Any:
    return dout @ w.T, 2 * x.T @ dout


FILE = """
import numpy as np
def forward(x, w): return x @ w
def backward(dout, x, w): return dout @ w.T, x.T @ dout
def doubled(dout, x, w): return dout @ w.T, 2 * x.T @ dout
forward_inputs = [np.ones((2, 3)), np.ones((3, 4))]
"""


@pytest.fixture
def layers(tmp_path: Path) -> str:
    path = tmp_path / "layers.py"
    path.write_text(FILE, "utf-8")
    return str(path)


def test_a_witness_is_the_smallest_and_the_pasted_code_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    verdict = check((forward, doubled), [X, W])
    witness = verdict.witness
    assert witness is not None
    assert dict(witness.sizes) == {"N": 1, "D": 1, "M": 1}
    assert witness.claimed == 2 * witness.true
    assert "dx is right (exact)" in verdict.explain()
    assert "dw is wrong" in verdict.explain()
    code = verdict.verdicts[1].paste  # type: ignore[attr-defined]
    exec(code, {"forward": forward, "doubled": doubled})
    assert str(float(witness.claimed)).rstrip("0") in capsys.readouterr().out


def mean_square(x: Any) -> Any:
    return (x * x).mean()


@pytest.mark.parametrize(
    ("pair", "inputs", "mend", "right"),
    [
        ((forward, doubled), [X, W], "x.T @ dout", "dw = x.T @ dY"),
        ((forward, lambda d, x, w: (-(d @ w.T), x.T @ d)), [X, W], "d @ w.T", "dx = dY @ w.T"),
        ((forward, lambda d, x, w: (d @ w.T, (x.T @ d).T)), [np.ones((3, 3)), np.ones((3, 3))],
         "(d.T @ x).T", "dw = x.T @ dY"),
        ((mean_square, lambda d, x: 2 * d * x), [X[:, 0]], "2 * d * x / N", "dx = 2 / N * x"),
        ((mean_square, lambda d, x: 2 * d * x / x.shape[0]), [X], "2 * d * x / N / D", "dx = 2 / (N * D) * x"),
    ],
)  # fmt: skip
def test_a_wrong_formula_comes_with_the_right_one_and_a_mend(
    pair: Any, inputs: list[Any], mend: str, right: str
) -> None:
    verdict = check(pair, inputs)
    assert verdict.ok is False
    wrong = next(v for v in verdict.verdicts if v.ok is False)  # type: ignore[attr-defined]
    assert wrong.mend is not None
    assert wrong.mend.after == mend
    assert wrong.right[-1].replace(" ", "") == right.replace(" ", ""), wrong.right


def test_the_verdict_as_data() -> None:
    data = json.loads(check((forward, doubled), [X, W]).json())
    assert data["ok"] is False
    assert [(v["wrt"], v["ok"], v["kind"]) for v in data["verdicts"]] == [
        ("x", True, None),
        ("w", False, "formula"),
    ]


@pytest.mark.parametrize(
    ("options", "asked"),
    [({"wrt": [1]}, ["w"]), ({"wrt": ["w"]}, ["w"]), ({"wrt": [0, 1]}, ["x", "w"]), ({}, ["x", "w"])],
)
def test_the_inputs_that_are_asked_for(options: dict[str, Any], asked: list[str]) -> None:
    def some(dout: Any, x: Any, w: Any) -> Any:
        found = dict(zip("xw", backward(dout, x, w), strict=True))
        return tuple(found[name] for name in asked)

    verdict = check((forward, some), [X, W], **options)
    assert verdict.ok is True
    assert [v.wrt for v in verdict.verdicts] == asked


def test_inputs_by_name_and_named_axes() -> None:
    verdict = check((forward, backward), {"x": X, "w": W}, shapes={"x": "N D", "w": "D M"})
    assert verdict.ok is True


def test_axes_are_varied_apart_unless_they_have_one_name() -> None:
    def square_only(dout: Any, x: Any, w: Any) -> Any:
        return dout @ w.T, x.T @ dout * (1 if x.shape[0] == x.shape[1] else 2)

    square = [np.ones((3, 3)), np.ones((3, 3))]
    assert check((forward, square_only), square).ok is False
    assert check((forward, square_only), square, shapes={"x": "N D", "w": "D M"}).ok is False
    assert check((forward, square_only), square, shapes={"x": "N N", "w": "N N"}).ok is True


@pytest.mark.parametrize(
    ("obj", "inputs", "options", "message"),
    [
        (3, [X], {}, "is no pair"),
        ((forward, backward), None, {}, "an example of the inputs"),
        ((forward, backward), [X, W.T], {}, "on the example the forward raised"),
        ((forward, backward), [1, 2], {}, "no array of floats"),
        ((forward, backward), [X, W], {"wrt": ["q"]}, "q is no argument"),
        ((forward, backward), [X, W], {"shapes": {"x": "N"}}, "has 2 axes"),
        ((forward, backward), {"z": X}, {}, "z is no argument"),
        ((forward, backward), {"x": X}, {}, "no value is given for w"),
    ],
)
def test_what_cannot_be_checked_is_refused(
    obj: Any, inputs: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(PullbackError, match=message):
        check(obj, inputs, **options)


@pytest.mark.parametrize(
    ("name", "more", "code", "said"),
    [
        ("forward,backward", [], 0, "dw is right"),
        ("forward,doubled", [], 1, "dw is wrong"),
        ("forward,backward", ["--shapes", "x: N D, w: D M"], 0, "dw is right"),
        ("forward,doubled", ["--json"], 1, '"ok": false'),
    ],
)
def test_the_command_line(
    layers: str, capsys: pytest.CaptureFixture[str], name: str, more: list[str], code: int, said: str
) -> None:
    assert main(["check", f"{layers}::{name}", *more]) == code
    assert said in capsys.readouterr().out


PICKED = """
import numpy as np

def forward(x, t, eps, power=2):
    return np.log(x[np.arange(len(t)), t] ** power + eps)

def backward(g, x, t, eps, power=2):
    dx = np.zeros_like(x)
    n = np.arange(len(t))
    dx[n, t] = g * power * x[n, t] ** (power - 1) / (x[n, t] ** power + eps)
    return dx

def forgotten(g, x, t, eps, power=2):
    return backward(g, x, t, 0 * eps, power)
"""


@pytest.mark.parametrize(
    ("pair", "options", "code", "said"),
    [
        ("forward,backward", ["--integers", "t: N in C", "--set", "eps=0.1"], 0, "dx is right"),
        ("forward,backward", ["--integers", "t: N in C", "--set", "eps=0.1", "--set", "power=4"], 0, "right"),
        ("forward,forgotten", ["--integers", "t: N in C", "--set", "eps=0.1"], 1, "dx is wrong"),
        ("forward,backward", ["--integers", "t: N in C"], 2, "no value is given for eps"),
        ("forward,backward", ["--integers", "t: N"], 2, "does not say the range"),
        ("forward,backward", ["--integers", "x: N in C", "--set", "eps=0.1"], 2, "x is given twice"),
        ("forward,backward", ["--set", "eps"], 2, "`eps` sets nothing"),
        ("forward,backward", ["--set", "eps=np.pi"], 2, "`np.pi` is no value for eps"),
        ("forward,backward", ["--set", "eps=1", "--set", "eps=2"], 2, "eps is set twice"),
        ("forward,backward", ["--set", "eps=" + "(" * 150], 2, "is no value for eps"),
        ("forward,backward", ["--integers", "t: 9999999 in C"], 2, "entries of one array"),
    ],
)
def test_inputs_that_are_no_real_arrays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pair: str, options: list[str], code: int, said: str
) -> None:
    file = tmp_path / "picked.py"
    file.write_text(PICKED)
    assert main(["check", f"{file}::{pair}", "--shapes", "x: N C", *options]) == code
    found = capsys.readouterr()
    assert said in found.out + found.err


@pytest.mark.parametrize(
    ("named", "line"),
    [
        ({"x": "N C"}, "dx = (p - onehot(t, C)) / N"),
        ({"x": "B V"}, "dx = (p - onehot(t, V)) / B"),
        ({"x": "x Y"}, "dx = (p - onehot(t, D)) / N"),  # no free name for a size
        (None, "dx = (p - onehot(t, D)) / N"),
    ],
)
def test_the_right_formula_calls_sizes_as_the_shapes_do(named: dict[str, str] | None, line: str) -> None:
    def loss(x: Any, t: Any) -> Any:
        e = np.exp(x - x.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        return -np.log(p[np.arange(len(t)), t]).mean()

    def summed(g: Any, x: Any, t: Any) -> Any:
        e = np.exp(x - x.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        p[np.arange(len(t)), t] -= 1
        return g * p

    inputs = {"x": np.random.default_rng(0).normal(size=(3, 4)), "t": np.array([1, 0, 3])}
    (verdict,) = check((loss, summed), inputs, shapes=named).verdicts
    assert verdict.ok is False
    assert verdict.right[-1] == line


@pytest.mark.parametrize("option", [["--set", "eps=1"], ["--integers", "t: N in C"]])
def test_options_that_go_with_shapes(
    layers: str, capsys: pytest.CaptureFixture[str], option: list[str]
) -> None:
    assert main(["check", f"{layers}::forward,backward", *option]) == 2
    assert f"{option[0]} goes with --shapes" in capsys.readouterr().err


@pytest.mark.parametrize("reference", ["layers.py", "no_such_file.py::f", "{layers}::nothing"])
def test_bad_references(layers: str, capsys: pytest.CaptureFixture[str], reference: str) -> None:
    assert main(["check", reference.format(layers=layers)]) == 2
    assert "pullback: " in capsys.readouterr().err


@pytest.mark.parametrize(("back", "fails"), [(backward, False), (doubled, True)])
def test_the_assertion(back: Callable[..., Any], fails: bool) -> None:
    if not fails:
        assert assert_backward((forward, back), [X, W]).ok is True
        return
    with pytest.raises(AssertionError, match="dw is wrong"):
        assert_backward((forward, back), [X, W])


def clipped(p: Any, y: Any) -> Any:
    q = np.clip(p, 1e-7, 1 - 1e-7)
    return -(y * np.log(q) + (1 - y) * np.log(1 - q)).mean()


def clipped_back(g: Any, p: Any, y: Any) -> Any:
    q = np.clip(p, 1e-7, 1 - 1e-7)
    return g * (q - y) / (q * (1 - q)) / p.size


SIGNED: list[tuple[Callable[..., Any], Callable[..., Any], bool]] = [
    (lambda x: np.maximum(x, 0), lambda g, x: g, False),
    (lambda x: np.maximum(x, 0), lambda g, x: g * (x > 0), True),
    (lambda x: np.where(x > 0, x, 0.1 * x), lambda g, x: g, False),
    (lambda x: np.where(x > 0, x, 0.1 * x), lambda g, x: g * np.where(x > 0, 1, 0.1), True),
    (lambda x: np.abs(x).sum(0), lambda g, x: g + 0 * x, False),
    (lambda x: np.abs(x).sum(0), lambda g, x: g * np.sign(x), True),
    # Where the other sign has no value, or the code does not ask for one, positive numbers are what is meant.
    (lambda x: np.sqrt(x), lambda g, x: 0.5 * g / np.sqrt(x), True),
    (lambda x: x * np.log(x), lambda g, x: g * (np.log(x) + 1), True),
    (lambda x: np.sqrt(x * x), lambda g, x: g * np.sign(x), True),
]


@pytest.mark.parametrize(("value", "back", "ok"), SIGNED)
def test_positive_examples_of_code_that_asks_for_a_sign(
    value: Callable[..., Any], back: Callable[..., Any], ok: bool
) -> None:
    for example in (np.random.default_rng(0).random((3, 4)), np.arange(1.0, 7.0).reshape(2, 3)):
        (verdict,) = check((value, back), [example]).verdicts
        assert verdict.ok is ok, verdict.explain()
        assert ok or "where x is positive, as in the example, the two agree" in verdict.reason


def test_probabilities_that_are_clipped_stay_probabilities() -> None:
    rng = np.random.default_rng(0)
    inputs = [rng.uniform(0.1, 0.9, (4, 3)), (rng.random((4, 3)) > 0.5) * 1.0]
    assert check((clipped, clipped_back), inputs, wrt=[0]).ok is True
