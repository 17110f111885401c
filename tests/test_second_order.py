"""Jacobians, tangents, Hessians and their products with vectors: against the bank, duals, and themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pullback import claim as claimed
from pullback import derive
from pullback.errors import NameProblem, PullbackError
from pullback.evaluator import Float64, Interpreter, PrimeField, directional, jacobian, random_inputs
from pullback.expression import Tensor
from pullback.reading import read_program
from pullback.second_order import Differential, hessian, hvp, jvp
from pullback.second_order import jacobian as jacobian_of
from pullback.testing import random_program, random_values, small_sizes
from pullback.verify.second_order import claim_second_order, true_second_order

BANK = Path(__file__).parent / "data" / "bank" / "cases.json"
KINDS = ("jacobian", "hessian", "hvp")
CASES = [case for case in json.loads(BANK.read_text("utf-8")) if case["kind"] in KINDS]
PROGRAMS = [
    pytest.param(case, which, id=f"{case['id']}-{which}")
    for case in CASES
    for which in ("program", "index_program")
    if case[which]
]


def read(case: dict[str, Any], which: str) -> Any:
    return read_program(
        case[which],
        shapes={name: tuple(shape) for name, shape in case["shapes"].items()},
        assume=case["assume"] or None,
        ranges=case["ranges"] or None,
    )


def results(case: dict[str, Any], program: Any) -> dict[str, Differential]:
    """What the case asks for: key -> a differential that holds it."""
    match case["kind"]:
        case "jacobian":
            return {key: jacobian_of(program, key) for key in case["wrt"]}
        case "hessian":
            return {key: hessian(program, *key.split(",")) for key in case["wrt"]}
    return dict.fromkeys(case["wrt"], hvp(program, case["direction"]))


# ---- the bank --------------------------------------------------------------------------------


@pytest.mark.parametrize(("case", "which"), PROGRAMS)
def test_the_bank_agrees_to_nine_digits(case: dict[str, Any], which: str) -> None:
    program = read(case, which)
    for key, found in results(case, program).items():
        assert found.report.unknown == found.report.numerical == 0
        assert {step.status for step in found.steps} == {"exact"}
        for run in case["runs"]:
            expected = np.array(run["expected"][key])
            array = found(run["inputs"])
            array = array[key] if isinstance(array, dict) else array
            assert array.shape == expected.shape
            assert np.abs(array - expected).max() <= 1e-9 * np.abs(expected).max()


UNDECLARED = {"hvp_softmax_reg": {"T": "simplex"}}  # facts under which alone its formula holds


@pytest.mark.parametrize("case", [pytest.param(c, id=c["id"]) for c in CASES])
def test_published_formulas_are_right_and_wrong_ones_wrong(case: dict[str, Any]) -> None:
    which = "program" if case["program"] else "index_program"
    program = read(case | {"assume": case["assume"] | UNDECLARED.get(case["id"], {})}, which)
    above = f"{case['claim_definitions']}\n" if case["claim_definitions"] else ""
    right = [*case["claims"].items(), *case["index_claims"].items()]
    for key, claim in right:
        (verdict,) = claim_second_order(program, case["kind"], {key: above + claim}, case["direction"])
        assert verdict.ok is True and verdict.status == "exact"
    for wrong in case["wrong_claims"]:
        claims = {wrong["wrt"]: above + wrong["claim"]}
        (verdict,) = claim_second_order(program, case["kind"], claims, case["direction"])
        assert verdict.ok is False and verdict.witness is not None


def test_a_claim_about_a_hessian_vector_product() -> None:
    program = read_program("f = trace(X @ X @ X)", shapes={"X": "N N", "V": "N N"})
    for claim, ok in (("3 * (V @ X + X @ V).T", True), ("6 * (X @ V).T", False), ("tdX = 0 * X", False)):
        (verdict,) = claim_second_order(program, "hvp", {"X": claim}, {"X": "V"})
        assert verdict.ok is ok


def test_a_claim_about_a_tangent() -> None:
    program = read_program("Y = tanh(X)", shapes={"X": "N D", "V": "N D"})
    (verdict,) = claim_second_order(program, "jvp", {"Y": "(1 - Y**2) * V"}, {"X": "V"})
    assert verdict.ok is True


def test_a_claim_of_another_shape_is_wrong() -> None:
    program = read_program("y = A @ x", shapes={"A": "M N", "x": "N"})
    (verdict,) = claim_second_order(program, "jacobian", {"x": "A.T"})
    assert verdict.ok is False and verdict.reason.startswith("shape")


def test_an_unknown_kind_is_refused() -> None:
    program = read_program("y = A @ x", shapes={"A": "M N", "x": "N"})
    with pytest.raises(PullbackError, match="no derivative of the kind laplacian"):
        claim_second_order(program, "laplacian", {"x": "A"})
    with pytest.raises(PullbackError, match="did you mean hessian"):
        claim_second_order(program, "hesian", {"x": "A"})


QUADRATIC = ("f = x @ A @ x", {"x": "N", "A": "N N", "v": "N"})


@pytest.mark.parametrize(
    ("claims", "options", "shown"),
    [
        ({"x,x": "A + A.T"}, {}, "<Verdict H: right>"),
        ({"x": "A + A.T"}, {"kind": "hessian"}, "<Verdict H: right>"),
        ({"x,x": "A.T + A", "A,x": "A"}, {}, "<Verdict H: right, H: wrong>"),
        ({"x": "(A + A.T) @ v"}, {"directions": {"x": "v"}}, "<Verdict tdx: right>"),
        ({"tdx": "(A + A.T) @ v"}, {"kind": "hvp", "directions": {"x": "v"}}, "<Verdict tdx: right>"),
        ({"x": "x @ (A + A.T)"}, {"kind": "jacobian"}, "<Verdict J: right>"),
        ({"f": "x @ (A + A.T) @ v"}, {"kind": "jvp", "directions": {"x": "v"}}, "<Verdict tf: right>"),
        ({"x": "(A + A.T) @ x"}, {"kind": "gradient"}, "<Verdict dx: right>"),
    ],
)
def test_claims_of_every_kind(claims: dict[str, str], options: dict[str, Any], shown: str) -> None:
    assert repr(claimed(QUADRATIC[0], claims, QUADRATIC[1], **options)) == shown


def test_a_wrong_second_derivative_is_explained_in_its_own_name() -> None:
    verdict = claimed(QUADRATIC[0], {"x,x": "H = 2 * A"}, QUADRATIC[1])
    first, *rest = verdict.explain().splitlines()
    assert first == "H = 2 * A is wrong."
    assert "  right: H = A + A.T" in rest
    assert any(line.startswith("    H[") and "the claim gives" in line for line in rest)
    assert verdict.mend is not None and verdict.verdicts[0].condition == "A is symmetric"
    assert '"target": "H"' in verdict.json() and '"wrt": "x,x"' in verdict.json()


@pytest.mark.parametrize(
    ("claims", "options", "message"),
    [
        ({"x": "A"}, {"kind": "hvp"}, "a hvp needs a direction"),
        ({"A": "A"}, {"directions": {"x": "v"}}, "A has no hvp here"),
        ({"x,q": "A"}, {}, "q is not an input"),
        (
            {"x": "A"},
            {"directions": {"x": "w"}},
            "w is not an input of the program, and so holds no direction",
        ),
    ],
)
def test_claims_about_what_is_not_there(claims: dict[str, str], options: Any, message: str) -> None:
    with pytest.raises(PullbackError, match=message):
        claimed(QUADRATIC[0], claims, QUADRATIC[1], **options)


# ---- against the evaluator, and against each other ------------------------------------------------

TWO_LAYER = (
    "h = tanh(X @ W); e = h @ u - y; L = 0.5 * (e @ e)",
    {"X": "N D", "W": "D H", "u": "H", "y": "N", "A": "D H", "b": "H", "A2": "D H"},
    {"N": 3, "D": 2, "H": 4},
)
FIELD = [
    ("Y = softmax(X @ W, axis=1)", {"X": "N D", "W": "D K"}, {"N": 2, "D": 3, "K": 4}, "W"),
    ("y = A @ (A @ x)", {"A": "N N", "x": "N"}, {"N": 3}, "A"),
    ("Y = inv(S)", {"S": "N N"}, {"N": 3}, "S"),
    ("y[i] = x[i] * x[n] * [n <= i]".replace("[n <= i]", "(n <= i)"), {"x": "N"}, {"N": 4}, "x"),
    ("y = concatenate([x, 2 * x], axis=0)", {"x": "N"}, {"N": 3}, "x"),
]


@pytest.mark.parametrize(("text", "shapes", "sizes", "x"), FIELD)
def test_a_jacobian_is_that_of_the_duals_in_the_prime_field(
    text: str, shapes: dict[str, str], sizes: dict[str, int], x: str
) -> None:
    program = read_program(text, shapes=shapes)
    found = jacobian_of(program, x)
    domain: Any = PrimeField(3, key=5)
    values = random_inputs(program.inputs, sizes, domain, np.random.default_rng(0))
    true = jacobian(program.definitions, values, sizes, domain, x, program.output)
    derived = found.forwarded.derived
    lines = (*program.definitions, *derived.backward)
    made = Interpreter(domain, sizes, values, lines).tensor(found.forwarded.results[0].tensor.name)
    differs, known = domain.difference(made, true)
    assert known.any() and not differs.any()


def test_a_tangent_is_that_of_the_duals() -> None:
    text, shapes, sizes = TWO_LAYER
    program = read_program(text, shapes=shapes)
    values = random_inputs(program.inputs, sizes, Float64(), np.random.default_rng(0))
    along = {"W": values["A"], "u": values["b"]}
    true = directional(program.definitions, values, sizes, Float64(), along)["L"]
    assert jvp(program, {"W": "A", "u": "b"})(values) == pytest.approx(true, rel=1e-12)


def test_the_transposed_jacobian_is_the_backward_pass() -> None:
    derivation = derive("Y = softmax(X @ W, axis=1)", {"X": "N D", "W": "D K", "V": "D K"}, wrt=["W"])
    rng = np.random.default_rng(0)
    inputs = {name: rng.standard_normal(s) for name, s in (("X", (4, 3)), ("W", (3, 5)), ("V", (3, 5)))}
    upstream = rng.standard_normal((4, 5))
    forward = derivation.jvp({"W": "V"})(inputs)
    backward = derivation.compile()(inputs, upstream)["W"]
    assert (upstream * forward).sum() == pytest.approx((inputs["V"] * backward).sum(), rel=1e-12)
    dense = derivation.jacobian("W")(inputs)
    assert np.allclose(np.tensordot(dense, inputs["V"], 2), forward, rtol=1e-12)


def test_a_hessian_is_symmetric_and_its_products_are_the_product() -> None:
    text, shapes, _ = TWO_LAYER
    program = read_program(text, shapes=shapes)
    rng = np.random.default_rng(0)
    sizes = {"N": 3, "D": 2, "H": 4}
    inputs = {name: rng.standard_normal([sizes[s] for s in shape.split()]) for name, shape in shapes.items()}
    own, cross = hessian(program, "W")(inputs), hessian(program, "W", "u")(inputs)
    assert np.allclose(own, own.transpose(2, 3, 0, 1), rtol=1e-12)
    assert np.allclose(cross, hessian(program, "u", "W")(inputs).transpose(1, 2, 0), rtol=1e-12)
    products = hvp(program, {"W": "A", "u": "b"})(inputs)
    expected = np.tensordot(own, inputs["A"], 2) + cross @ inputs["b"]
    assert list(products) == ["W", "u"]
    assert np.allclose(products["W"], expected, rtol=1e-12)


def test_the_truth_needs_no_derived_gradient() -> None:
    program = read_program("f = sum(x**3)", shapes={"x": "N"})
    found = hessian(program, "x")
    values = {"x": np.array([1.0, 2.0])}
    forward = Interpreter(Float64(), {"N": 2}, values, program.definitions)
    true = true_second_order(forward, found.forwarded, found.forwarded.results[0])
    assert np.array_equal(true, np.diag([6.0, 12.0]))


RANDOM = [(notation, seed) for notation in ("matrix", "index", "mixed") for seed in range(6)]


@pytest.mark.parametrize(("notation", "seed"), RANDOM)
def test_random_programs_agree_with_duals(notation: Any, seed: int) -> None:
    sample = random_program(seed, notation=notation, statements=1 + seed % 3, wide=notation == "matrix")
    program = sample.read()
    real = [tensor for tensor in program.inputs if not tensor.is_integer][:2]
    along = {tensor.name: f"V_{tensor.name}" for tensor in real}
    added = tuple(Tensor(along[tensor.name], tensor.shape) for tensor in real)
    program = replace(program, inputs=(*program.inputs, *added))
    first, last = real[0].name, real[-1].name
    asked = [jvp(program, along)]
    asked += (
        [jacobian_of(program, first)]
        if program.output.rank
        else [hessian(program, first, last), hvp(program, along)]
    )
    sizes = small_sizes(program, 0)
    values = random_values(program, sizes, seed)
    given = {name: size for name, size in sizes.items() if name in program.sizes}
    for found in asked:
        assert found.report.exact > 0
        arrays = found.compile(sizes=given)(values)
        forward = Interpreter(Float64(), sizes, values, found.program.definitions)
        for result in found.forwarded.results:
            with np.errstate(all="ignore"):
                true = np.asarray(true_second_order(forward, found.forwarded, result))
            array = arrays[result.key] if isinstance(arrays, dict) else arrays
            both = np.isfinite(true) & np.isfinite(array)
            assert np.abs(array - true)[both].max(initial=0) <= 1e-9 * max(
                1, np.abs(true[both]).max(initial=0)
            )


# ---- the object -------------------------------------------------------------------------------


def test_an_object_says_what_it_is() -> None:
    found = derive("P = softmax(x, axis=0)", {"x": "N"}).jacobian("x")
    assert str(found) == repr(found) == "J = diag(P) - outer(P, P)"
    assert found.formulas == {"x": "J = diag(P) - outer(P, P)"}
    assert found.text().startswith("Jacobian of P = softmax(x, axis=0)")
    assert "From x, through P" in found.text() and str(found) in found.text(steps="none")
    assert found.latex().startswith(r"\section*{Jacobian of") and found.markdown().startswith("# Jacobian of")
    assert found.report.exact == len(found.steps) + 1
    assert "def jacobian(" in found.compile().source
    assert found.kronecker is None


KRONECKER = [
    ("L = 0.5 * sum((A @ X - B)**2)", {"A": "K N", "X": "N M", "B": "K M"}, "kron(A.T @ A, eye(M))"),
    ("L = 0.5 * sum((X @ A - B)**2)", {"A": "N K", "X": "M N", "B": "M K"}, "kron(eye(M), A @ A.T)"),
]


@pytest.mark.parametrize(("text", "shapes", "expected"), KRONECKER)
def test_least_squares_has_a_kronecker_product(text: str, shapes: dict[str, str], expected: str) -> None:
    found = derive(text, shapes).hessian("X")
    assert found.kronecker == expected
    rng = np.random.default_rng(0)
    sizes = {"K": 4, "N": 3, "M": 2}
    inputs = {name: rng.standard_normal([sizes[s] for s in shape.split()]) for name, shape in shapes.items()}
    dense = np.asarray(found(inputs))
    size = inputs["X"].size
    a = inputs["A"]
    flat = np.kron(a.T @ a, np.eye(2)) if expected.startswith("kron(A") else np.kron(np.eye(2), a @ a.T)
    assert np.allclose(dense.reshape(size, size), flat)


@pytest.mark.parametrize(
    ("text", "shapes", "x", "expected"),
    [
        (
            "L = sum((A @ X @ B - C)**2)",
            {"A": "K N", "X": "N M", "B": "M P", "C": "K P"},
            "X",
            "2 * kron(A.T @ A, B @ B.T)",
        ),
        (
            "L = sum((A @ X - B)**2) / N + lam * sum(X * X)",
            {"A": "N K", "X": "K M", "B": "N M", "lam": ""},
            "X",
            "2 * kron(lam * eye(K) + A.T @ A / N, eye(M))",
        ),
        (
            "L = trace(X.T @ A @ X @ B)",
            {"A": "N N", "X": "N M", "B": "M M"},
            "X",
            "kron(A, B.T) + kron(A.T, B)",
        ),
        (
            "z = W @ x; L = logsumexp(z) - sum(t * z)",
            {"W": "K D", "x": "D", "t": "K"},
            "W",
            "kron(diag(P) - outer(P, P), outer(x, x))",
        ),
        (
            "z = W @ x; L = sum(tanh(z))",
            {"W": "K D", "x": "D"},
            "W",
            "-2 * kron(diag(t * (1 - t ** 2)), outer(x, x))",
        ),
        (
            "L = -sum(t * log_softmax(W @ x))",
            {"W": "K D", "x": "D", "t": "K"},
            "W",
            "sum(t) * kron(diag(P) - outer(P, P), outer(x, x))",
        ),
        ("L = logdet(X)", {"X": "N N"}, "X", None),
    ],
)
def test_kronecker_products_are_gathered_and_exact(
    text: str, shapes: dict[str, str], x: str, expected: str | None
) -> None:
    found = derive(text, shapes).hessian(x)
    assert found.kronecker == expected
    if expected is not None:
        sizes = ", ".join(shapes[x].split() * 2)
        claim = "; ".join([*found.lines[:-1], f"H = reshape({expected}, [{sizes}])"])
        verdict = claimed(text, {f"{x},{x}": claim}, shapes, kind="hessian")
        assert verdict.ok is True and "exact" in verdict.explain()


def test_the_data_of_a_differential() -> None:
    found = derive("f = x @ A @ x", {"x": "N", "A": "N N", "v": "N"}).hvp({"x": "v"})
    data = json.loads(found.json())
    assert (data["kind"], data["directions"]) == ("hvp", {"x": "v"})
    assert [(entry["of"], entry["name"], entry["shape"]) for entry in data["results"]] == [
        ("x", "tdx", ["N"])
    ]
    assert data["results"][0]["lines"] == list(found.lines) and data["report"]["unknown"] == 0
    assert not {"gradients", "wrt", "upstream"} & set(data)


def test_a_jacobian_of_two_matrices() -> None:
    found = derive("Y = A @ X @ B", {"A": "K N", "X": "N M", "B": "M L"}).jacobian("X")
    assert found.kronecker == "kron(A, B.T)"


def test_a_symmetric_input_is_named() -> None:
    found = derive("f = trace(A @ A)", {"A": "N N"}, assume={"A": "symmetric"}).hessian("A")
    assert str(found).startswith("# A is symmetric, and its entries are treated as independent")


def test_float32_stays_float32_and_sizes_may_be_given() -> None:
    found = derive("y = x / N", {"x": "N"}).jacobian("x")
    array = found({"x": np.ones(3, dtype=np.float32)})
    assert array.dtype == np.float32 and np.allclose(array, np.eye(3) / 3)
    with pytest.raises(NameProblem):
        found.compile(sizes={"Q": 3})
    with pytest.raises(NameProblem):
        found.compile("fortran")
    with pytest.raises(NameProblem):
        found({})
