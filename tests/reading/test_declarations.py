"""Declarations in a program and beside it, and what the command line gives."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pullback.errors import DomainProblem, NameProblem, PullbackError, ShapeProblem, SyntaxProblem
from pullback.expression import Expr, Num, Size
from pullback.program import Program
from pullback.reading import parse_shapes, parse_sizes, read_program
from pullback.sizes import shape_text, size_text


def shown(program: Program) -> dict[str, str]:
    return {t.name: shape_text(t.shape) for t in program.inputs}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("N D", "N×D"),
        ("N, D", "N×D"),
        ("[N, D]", "N×D"),
        ("", "a scalar"),
        ([], "a scalar"),
        (("N", "D"), "N×D"),
        (["N", 3], "N×3"),
        ((2, "2*N-1"), "2×(2*N-1)"),
        ("N + N - 1", "(2*N-1)"),
        ("(H-R)//2+1 D", "((H-R)//2+1)×D"),
        ("N", "N"),
        (5, "5"),
        (Size("N"), "N"),
    ],
)
def test_spellings_of_a_shape(entry: Any, expected: str) -> None:
    assert shown(read_program("Y = X", shapes={"X": entry})) == {"X": expected}


@pytest.mark.parametrize(
    "entry",
    [("B", "V"), ("[B]", "V"), {"shape": ["B"], "range": "V"}, (("B",), "V"), ((Size("B"),), Size("V"))],
)
def test_spellings_of_an_integer_tensor(entry: Any) -> None:
    (t, _) = sorted(
        read_program("Y = take(E, t)", shapes={"E": "V D"}, integers={"t": entry}).inputs,
        key=lambda tensor: not tensor.is_integer,
    )
    assert (t.shape, t.values) == ((Size("B"),), Size("V"))


def test_declarations_in_the_program() -> None:
    program = read_program(
        "X: [N, 2*N-1]; a: []; t: [N, M] in V  # three\nspd(S); positive(a, X)\nS: [N, N]\nY = X * a"
    )
    assert shown(program) == {"X": "N×(2*N-1)", "a": "a scalar", "S": "N×N", "t": "N×M"}
    by_name = program.by_name
    assert by_name["S"].facts == {"spd"}
    assert by_name["a"].facts == by_name["X"].facts == {"positive"}
    assert by_name["t"].values == Size("V")
    assert set(program.sizes) == {"N", "M", "V"}


def test_facts_beside_the_program() -> None:
    program = read_program("Y = A @ A", assume={"A": "symmetric invertible"}, shapes={"A": "N N"})
    assert program.inputs[0].facts == {"symmetric", "invertible"}


@pytest.mark.parametrize(
    ("written", "facts"),
    [
        ("simplex(X)", {"simplex"}),
        ("simplex(X, axis=-1)", {"simplex"}),
        ("simplex(X, axis=0); positive(X)", {"simplex(axis=0)", "positive"}),
        ("binary(X); zero_diagonal(X); symmetric(X)", {"binary", "zero_diagonal", "symmetric"}),
    ],
)
def test_facts_that_say_what_the_values_are(written: str, facts: set[str]) -> None:
    assert read_program(f"X: [N, N]; {written}; Y = X").inputs[0].facts == facts
    beside = {"X": " ".join(facts)}
    assert read_program("X: [N, N]; Y = X", assume=beside).inputs[0].facts == facts


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("spd(X, axis=0)", "`spd` has no such argument"),
        ("simplex(X, axes=0)", "`simplex` has no such argument"),
        ("simplex(X, axis=N)", "an axis is a number"),
        ("simplex(2)", "a fact is said of a name"),
    ],
)
def test_facts_that_are_written_wrongly(written: str, message: str) -> None:
    with pytest.raises(SyntaxProblem, match=re.escape(message)):
        read_program(f"X: [N, N]; {written}; Y = X")


def test_ranges_are_kept() -> None:
    program = read_program("y[p] = x[p+r]", shapes={"x": "L"}, ranges={"p": "L-2", "r": 3})
    assert {name: size_text(size) for name, size in program.ranges.items()} == {"p": "L-2", "r": "3"}


def test_definitions_keep_their_source_and_place() -> None:
    program = read_program("  X: [N, D]\n\n  Y = exp(X @ W)  # forward\n  Z = Y", shapes={"W": "D M"})
    marks = [(d.tensor.name, d.source, d.place) for d in program.definitions]
    assert marks == [
        ("S", "", None),
        ("Y", "Y = exp(X @ W)", (3, 3)),
        ("Z", "Z = Y", (4, 3)),
    ]


@pytest.mark.parametrize(
    ("beside", "error", "message"),
    [
        ({"shapes": {"X": "N D-"}}, ShapeProblem, "`D-` is not a size"),
        ({"shapes": {"X": "N/2"}}, ShapeProblem, "N / 2 does not come out"),
        ({"shapes": {"X": -1}}, ShapeProblem, "a size is not negative"),
        ({"shapes": {"X": 1.5}}, ShapeProblem, "1.5 is not a size"),
        ({"shapes": {"X": "__import__"}}, PullbackError, "is not"),
        ({"shapes": {"X y": "N"}}, NameProblem, "`X y` is not the name"),
        ({"integers": {"t": "B"}}, ShapeProblem, "does not describe an integer tensor"),
        ({"assume": {"X": "spdd"}}, NameProblem, "`spdd` is not a fact"),
        ({"assume": {"Q": "spd"}}, NameProblem, "a fact is said of `Q`, which is not declared"),
        ({"shapes": {"X": "N D"}, "assume": {"X": "spd"}}, ShapeProblem, "spd(X): X has the shape N×D"),
        ({"shapes": {"X": "N"}, "assume": {"X": "zero_diagonal"}}, ShapeProblem, "X has the shape N"),
        ({"shapes": {"X": ""}, "assume": {"X": "simplex"}}, ShapeProblem, "simplex is said of X"),
        (
            {"shapes": {"X": "N"}, "assume": {"X": "simplex(axis=1)"}},
            ShapeProblem,
            "simplex(axis=1) is said of X",
        ),
        ({"assume": {"X": "simplex(axis=k)"}}, NameProblem, "`simplex(axis=k)` is not a fact"),
        ({"assume": {"X": "simplex binary"}}, DomainProblem, "X cannot be declared both binary and simplex"),
        ({"assume": {"Y": "simplex"}}, DomainProblem, "simplex(Y): Y is defined"),
        ({"ranges": {"p q": "N"}}, PullbackError, "`p q` is not the name of an index"),
        ({"shapes": {"X": "N", "t": "N"}, "integers": {"t": ("N", "V")}}, ShapeProblem, "given twice"),
    ],
)
def test_refusals(beside: dict[str, Any], error: type[PullbackError], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        read_program("Y = X", **beside)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("X: N D, W: D M", {"X": "N×D", "W": "D×M"}),
        ("X: N, D; a:", {"X": "N×D", "a": "a scalar"}),
        ("X: [N, 2*N-1], t: []", {"X": "N×(2*N-1)", "t": "a scalar"}),
        ("X: (H - R)//2 + 1", {"X": "((H-R)//2+1)"}),
        ("", {}),
    ],
)
def test_parse_shapes(text: str, expected: dict[str, str]) -> None:
    assert {name: shape_text(shape) for name, shape in parse_shapes(text).items()} == expected


@pytest.mark.parametrize("text", ["X", "X N D", "1: N", "X: N, X: M"])
def test_parse_shapes_refuses(text: str) -> None:
    with pytest.raises((SyntaxProblem, NameProblem)):
        parse_shapes(text)


def test_parse_sizes() -> None:
    assert parse_sizes("N=2,D=3, M = 40") == {"N": 2, "D": 3, "M": 40}
    assert parse_sizes("") == {}


@pytest.mark.parametrize("text", ["N", "N=", "N=-1", "N=2.5", "N=x", "2=N", "N=" + "9" * 31])
def test_parse_sizes_refuses(text: str) -> None:
    with pytest.raises(PullbackError):
        parse_sizes(text)


def test_a_large_size_is_read_and_nothing_is_made_of_it() -> None:
    assert parse_sizes("N=1000000000000") == {"N": 10**12}
    (x,) = read_program("Y = X", shapes={"X": 10**12}).inputs
    extent: Expr = x.shape[0]
    assert isinstance(extent, Num)


def test_shapes_may_be_the_text_of_the_command_line() -> None:
    program = read_program("Y = X @ W", shapes="X: N D, W: D M")
    assert [shape_text(t.shape) for t in program.inputs] == ["N×D", "D×M"]


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("shapes", 3, "shapes: a dictionary by name, not int"),
        ("shapes", ["N D"], "shapes: a dictionary by name, not list"),
        ("shapes", "N D", "`N D` is not a shape"),
        ("integers", "t: B", "integers: a dictionary by name, not str"),
        ("assume", "spd", "assume: a dictionary by name, not str"),
        ("ranges", 3, "ranges: a dictionary by name, not int"),
    ],
)
def test_declarations_of_another_kind_are_refused(name: str, given: Any, message: str) -> None:
    with pytest.raises(SyntaxProblem, match=re.escape(message)):
        read_program("Y = X @ W", **{name: given})
