"""Random programs: derived, checked, re-read, run, and held against automatic differentiation.

Every failure prints the program to paste. `PULLBACK_EXAMPLES` is the number of programs for each
notation and property (default 8, of up to four statements; from 50 on, of up to eight); seeds are
fixed, so that equal numbers draw equal programs.
"""

from __future__ import annotations

import ast
import os
import random
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as example_settings

from pullback.api import Derivation, derive
from pullback.evaluator import Float64, Interpreter, directional, gradients
from pullback.formula import gradient_program
from pullback.program import upstream_of
from pullback.testing import (
    Sample,
    oracle_gradients,
    programs,
    random_program,
    random_values,
    reproduce,
    small_sizes,
)
from pullback.verify.results import reread

EXAMPLES = int(os.environ.get("PULLBACK_EXAMPLES", "8"))
NOTATIONS = ("matrix", "index", "mixed")
FEW = [(notation, seed) for notation in NOTATIONS for seed in range(EXAMPLES)]
MANY = [(notation, seed) for notation in NOTATIONS for seed in range(2 * EXAMPLES)]
COSTLY = [(notation, seed) for notation in NOTATIONS for seed in range(EXAMPLES // 4)]  # JAX compiles
WIDE = [("matrix", seed) for seed in range(EXAMPLES)]


@cache
def sample_of(notation: Any, seed: int, wide: bool = False) -> Sample:
    statements = None if EXAMPLES >= 50 else 1 + seed % 4
    return random_program(seed, notation=notation, wide=wide, statements=statements)


@cache
def derived(notation: Any, seed: int, wide: bool = False) -> Derivation:
    return sample_of(notation, seed, wide).derive()


def world(derivation: Derivation, which: int = 0) -> tuple[dict[str, int], dict[str, Any], Any]:
    """Sizes, values of the inputs, and the upstream gradient (None for a loss)."""
    program = derivation.program
    sizes = small_sizes(program, which)
    also = (upstream_of(program.output),) if program.output.rank else ()
    values = random_values(program, sizes, 11, also=also)
    return sizes, values, values.pop(also[0].name) if also else None


def compiled(derivation: Derivation, sizes: Mapping[str, int], values: Any, upstream: Any) -> dict[str, Any]:
    return dict(derivation.compile(sizes=sizes)(values, upstream))


def exact_floats(
    derivation: Derivation, sizes: Mapping[str, int], values: Any, upstream: Any
) -> dict[str, Any]:
    """The gradients by the evaluator's own dual numbers, in float64."""
    program = derivation.program
    with np.errstate(all="ignore"):
        found = gradients(
            program.definitions, values, sizes, Float64(), derivation.derived.wrt, program.output, upstream
        )
    return dict(found)


def agree(found: Mapping[str, Any], wanted: Mapping[str, Any], sample: Sample) -> None:
    for name, expected in wanted.items():
        scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
        close = np.abs(np.asarray(found[name]) - expected).max(initial=0.0) <= 1e-9 * scale
        assert close, f"d{name} differs\n{reproduce(sample)}\n{found[name]}\n{expected}"


# ---- derive, check, print, run -----------------------------------------------------------------


@pytest.mark.parametrize(("notation", "seed"), FEW)
def test_every_line_and_every_gradient_passes_its_check(notation: str, seed: int) -> None:
    report = derived(notation, seed).report  # an InternalProblem here is a wrong line
    assert report.exact > 0, reproduce(sample_of(notation, seed))
    if sample_of(notation, seed).rational:
        assert (report.unknown, report.numerical) == (0, 0), reproduce(sample_of(notation, seed))


@pytest.mark.parametrize(("notation", "seed"), FEW)
def test_the_compiled_pass_is_the_evaluators_gradient(notation: str, seed: int) -> None:
    derivation = derived(notation, seed)
    for which in (0, 1):
        at = world(derivation, which)
        agree(compiled(derivation, *at), exact_floats(derivation, *at), sample_of(notation, seed))


@pytest.mark.parametrize(("notation", "seed"), FEW)
def test_the_printed_formula_means_the_gradient(notation: str, seed: int) -> None:
    """Parse after print: the text of each formula, read again, has the value of the gradient."""
    derivation = derived(notation, seed)
    sizes, values, upstream = world(derivation)
    known = dict(values) if upstream is None else {**values, f"d{derivation.program.output.name}": upstream}
    forward = Interpreter(Float64(), sizes, known, derivation.program.definitions)
    wanted = exact_floats(derivation, sizes, values, upstream)
    found = {}
    for name, formula in derivation.gradients.items():
        lines = reread(derivation.derived, gradient_program(derivation.derived, [name]), formula.wrt)
        found[name] = Interpreter(Float64(), sizes, {}, lines, forward.tensor).tensor(lines[-1].tensor.name)
    agree(found, wanted, sample_of(notation, seed))


@pytest.mark.torch
@pytest.mark.parametrize(("notation", "seed"), MANY)
def test_torch_finds_the_same_gradients(notation: str, seed: int) -> None:
    pytest.importorskip("torch")
    against_the_oracle(notation, seed, "torch")


@pytest.mark.jax
@pytest.mark.parametrize(("notation", "seed"), COSTLY)
def test_jax_finds_the_same_gradients(notation: str, seed: int) -> None:
    pytest.importorskip("jax")
    against_the_oracle(notation, seed, "jax")


def against_the_oracle(notation: str, seed: int, backend: Any) -> None:
    derivation = derived(notation, seed)
    sizes, values, upstream = world(derivation)
    wanted = oracle_gradients(sample_of(notation, seed), values, sizes, upstream, backend)
    agree(compiled(derivation, sizes, values, upstream), wanted, sample_of(notation, seed))


@pytest.mark.parametrize(("notation", "seed"), WIDE)
def test_the_wider_vocabulary(notation: str, seed: int) -> None:
    derivation = derived(notation, seed, True)
    assert derivation.report.exact > 0
    at = world(derivation)
    agree(compiled(derivation, *at), exact_floats(derivation, *at), sample_of(notation, seed, True))


# ---- relations between programs ----------------------------------------------------------------


def gradients_of(sample: Sample, sizes: Mapping[str, int], values: Any, upstream: Any) -> dict[str, Any]:
    return compiled(sample.derive(), sizes, values, upstream)


def with_source(sample: Sample, source: str) -> Sample:
    return Sample(source, sample.shapes, sample.integers, sample.assume, sample.ranges, sample.rational)


class Shuffled(ast.NodeTransformer):
    """Operands of + and * change places."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Add | ast.Mult):
            node.left, node.right = node.right, node.left
        return node


class Padded(ast.NodeTransformer):
    """Every product has a factor 1 and every sum a term 0 more."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Mult):
            return ast.BinOp(node, ast.Mult(), ast.Constant(1))
        return node


def rewritten(sample: Sample, change: ast.NodeTransformer) -> Sample:
    lines = [ast.parse(line).body[0] for line in sample.source.splitlines()]
    for line in lines:
        assert isinstance(line, ast.Assign)
        line.value = change.visit(line.value)
    return with_source(sample, "\n".join(ast.unparse(ast.fix_missing_locations(line)) for line in lines))


def renamed(sample: Sample) -> Sample:
    """The same with other names of defined tensors and of indices."""
    text = re.sub(r"\bH(\d+)\b", r"Q\1", sample.source)
    letters = dict(zip("ijklpqrsuv", "uvrsijkltw", strict=True))
    names = "".join(letters)
    text = re.sub(rf"\b([{names}])\b", lambda m: letters[m[1]], text)
    ranges = {letters.get(name, name): size for name, size in sample.ranges.items()}
    shapes = {re.sub(r"\bH(\d+)\b", r"Q\1", name): shape for name, shape in sample.shapes.items()}
    return Sample(text, shapes, sample.integers, sample.assume, ranges, sample.rational)


@pytest.mark.parametrize("change", [Shuffled, Padded, renamed], ids=lambda c: c.__name__)
@pytest.mark.parametrize("seed", range(EXAMPLES))
def test_the_way_of_writing_does_not_matter(change: Any, seed: int) -> None:
    sample = sample_of("mixed", seed)
    other = change(sample) if change is renamed else rewritten(sample, change())
    sizes, values, upstream = world(derived("mixed", seed))
    agree(
        gradients_of(other, sizes, values, upstream),
        compiled(derived("mixed", seed), sizes, values, upstream),
        other,
    )


@pytest.mark.parametrize("seed", range(EXAMPLES))
def test_gradients_are_linear_in_the_upstream_gradient(seed: int) -> None:
    derivation = derived("mixed", seed)
    sizes, values, upstream = world(derivation)
    first = np.ones(()) if upstream is None else upstream
    second = np.random.default_rng(5).normal(size=np.shape(first))
    one, two, both = (
        compiled(derivation, sizes, values, given) for given in (first, second, 2 * first - 3 * second)
    )
    agree(both, {name: 2 * one[name] - 3 * two[name] for name in one}, sample_of("mixed", seed))


@pytest.mark.parametrize("seed", range(EXAMPLES))
def test_backward_is_the_transpose_of_forward(seed: int) -> None:
    """⟨v, J u⟩ = ⟨Jᵀ v, u⟩ with J u from the evaluator's forward mode."""
    derivation = derived("mixed", seed)
    sizes, values, upstream = world(derivation)
    program = derivation.program
    rng = np.random.default_rng(9)
    tangents = {t.name: rng.normal(size=np.shape(values[t.name])) for t in derivation.derived.wrt}
    with np.errstate(all="ignore"):
        moved = directional(program.definitions, values, sizes, Float64(), tangents)[program.output.name]
    left = float(np.sum(moved if upstream is None else moved * upstream))
    found = compiled(derivation, sizes, values, upstream)
    products = [np.sum(found[name] * tangent) for name, tangent in tangents.items()]
    scale = max(1.0, *(float(np.abs(found[name] * tangent).sum()) for name, tangent in tangents.items()))
    assert abs(left - float(sum(products))) <= 1e-9 * scale, reproduce(sample_of("mixed", seed))


SPLIT = [
    ("Y = tanh(X @ W) * U", "A = X @ W\nB = tanh(A)\nY = B * U"),
    ("L = sum((X @ W - U)**2) / N", "R = X @ W - U\nS = R**2\nL = sum(S) / N"),
    ("Y = exp(X) @ W", "A = exp(X)\nY = A @ W"),
    ("L = mean(log(1 + (X * X)))", "A = X * X\nB = 1 + A\nC = log(B)\nL = mean(C)"),
    ("Y[i,k] = X[i,j] * W[j,k] * U[i,k]", "P[i,k] = X[i,j] * W[j,k]\nY[i,k] = P[i,k] * U[i,k]"),
    ("Y[i] = sigmoid(X[i,j]) * V[j]", "S[i,j] = sigmoid(X[i,j])\nY[i] = S[i,j] * V[j]"),
]


@pytest.mark.parametrize(("one", "several"), SPLIT)
def test_one_definition_or_several(one: str, several: str) -> None:
    shapes = {"X": "N D", "W": "D M", "U": "N M", "V": "D"}
    used = {name: shape for name, shape in shapes.items() if re.search(rf"\b{name}\b", one)}
    joint, split = derive(one, used), derive(several, used)
    at = world(joint)
    agree(compiled(split, *at), compiled(joint, *at), Sample(several, used))


@example_settings(max_examples=EXAMPLES)
@given(sample=programs(statements=2))
def test_any_seed_derives(sample: Sample) -> None:
    derivation = sample.derive()
    assert list(derivation.gradients) == [tensor.name for tensor in derivation.derived.wrt]


# ---- the generator itself ----------------------------------------------------------------------


def test_equal_seeds_draw_equal_programs() -> None:
    assert [random_program(k) for k in range(30)] == [random_program(k) for k in range(30)]
    assert random_program(random.Random(3)).source == random_program(3).source


@pytest.mark.parametrize(("notation", "wide"), [*((n, False) for n in NOTATIONS), ("matrix", True)])
def test_every_program_can_be_read_and_has_values(notation: Any, wide: bool) -> None:
    for seed in range(100):
        sample = random_program(seed, notation=notation, wide=wide)
        program = sample.read()
        sizes = small_sizes(program)
        values = random_values(program, sizes, seed)
        output = Interpreter(Float64(), sizes, values, program.definitions).tensor(program.output.name)
        assert np.isfinite(output).all(), reproduce(sample)
        assert np.abs(output).max(initial=0.0) < 1e6, reproduce(sample)


VOCABULARY = [
    "+",
    "-",
    "*",
    "/",
    "**",
    "@",
    ".T",
    "sum(",
    "mean(",
    "axis=",
    "keepdims=True",
    "exp(",
    "log(",
    "sqrt(",
    "tanh(",
    "sigmoid(",
    "relu(",
    "abs(",
    "sin(",
    "cos(",
    ">",
    "<",
    ">=",
    "<=",
    "==",
    "!=",
    "einsum(",
    "trace(",
    "outer(",
    "[2*",
    "//",
    "%",
    "+1]",
    "-1]",
    "(t1[",
]
WIDER = [
    "softmax(",
    "log_softmax(",
    "logsumexp(",
    "max(",
    "min(",
    "where(",
    "maximum(",
    "minimum(",
    "inv(",
    "det(",
    "logdet(",
    "solve(",
    "tril(",
    "triu(",
    "diag(",
    "kron(",
    "take(",
    "reshape(",
    "transpose(",
    "concatenate(",
    "cumsum(",
    "conv1d(",
]


def test_the_whole_vocabulary_is_drawn() -> None:
    text = "\n".join(random_program(seed).source for seed in range(300))
    assert [word for word in VOCABULARY if word not in text and word != "(t1["] == []
    assert "[t1[" in text
    wide = "\n".join(random_program(seed, notation="matrix", wide=True).source for seed in range(300))
    assert [word for word in WIDER if word not in wide] == []


def test_statements_and_rank_are_as_asked() -> None:
    for seed in range(40):
        sample = random_program(seed, statements=5, rank=2)
        assert len(sample.source.splitlines()) == 5
        assert (
            max(definition.tensor.rank for definition in sample.read().definitions if definition.source) <= 2
        )


def test_a_program_to_paste_runs(capsys: pytest.CaptureFixture[str]) -> None:
    sample = random_program(4, statements=2)
    namespace: dict[str, Any] = {}
    exec(reproduce(sample), namespace)  # the text is this test's own
    assert namespace["derivation"].program.source.strip() == sample.source
    assert capsys.readouterr().out
