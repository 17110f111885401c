"""Second derivatives as textbooks and papers print them, each with steps that are exact."""

from __future__ import annotations

import pytest

from pullback import derive

Row = tuple[str, dict[str, str], dict[str, str], str]
HESSIANS: list[Row] = [
    # weights on a diagonal as one product, over one denominator
    (
        "p = sigmoid(X @ w); L = -sum(y * log(p) + (1 - y) * log(1 - p))",
        {"X": "N D", "w": "D", "y": "N"},
        {},
        "H = X.T @ diag(p * (1 - p)) @ X",
    ),
    (
        "r = y - X @ w; L = sum(log(1 + r**2))",
        {"X": "N D", "w": "D", "y": "N"},
        {},
        "H = 2 * X.T @ diag((1 - r ** 2) / (1 + r ** 2) ** 2) @ X",
    ),
    (
        "L = -sum(log(b - A @ w))",
        {"A": "M N", "w": "N", "b": "M"},
        {},
        "H = A.T @ diag(1 / (b - A @ w) ** 2) @ A",
    ),
    # scalars in front of all terms come out
    (
        "L = T * logsumexp(w / T)",
        {"w": "N", "T": ""},
        {"T": "positive"},
        "P = softmax(w / T)\nH = (diag(P) - outer(P, P)) / T",
    ),
    (
        "f = norm(A @ w - b)",
        {"A": "M N", "w": "N", "b": "M"},
        {},
        "z = A @ w - b\nH = A.T @ (eye(M) - outer(z, z) / f ** 2) @ A / f",
    ),
    (
        "f = prod(w)",
        {"w": "N"},
        {"w": "nonzero"},
        "H = f * (outer(1 / w, 1 / w) - diag(1 / w ** 2))",
    ),
    (
        "f = exp(mean(log(w)))",
        {"w": "N"},
        {"w": "positive"},
        "H = f / N * (outer(1 / w, 1 / w) / N - diag(1 / w ** 2))",
    ),
    # a difference has one sign and one name
    (
        "L = log(1 + sum((w - m)**2))",
        {"w": "N", "m": "N"},
        {},
        "h = w - m\nz = 1 + h @ h\nH = 2 / z * (eye(N) - 2 / z * outer(h, h))",
    ),
    (
        "L = sum(log(1 + (w - m)**2))",
        {"w": "N", "m": "N"},
        {},
        "h = w - m\nH = 2 * diag((1 - h ** 2) / (1 + h ** 2) ** 2)",
    ),
]


@pytest.mark.parametrize(("program", "shapes", "assume", "expected"), HESSIANS)
def test_the_published_hessian(
    program: str, shapes: dict[str, str], assume: dict[str, str], expected: str
) -> None:
    found = derive(program, shapes, assume=assume or None).hessian("w")
    assert str(found) == expected
    assert {step.status for step in found.steps} == {"exact"}


def test_a_product_with_the_hessian_of_a_log_determinant_solves_two_systems() -> None:
    found = derive("f = logdet(S)", {"S": "N N", "V": "N N"}, assume={"S": "spd"}).hvp({"S": "V"})
    assert str(found).endswith("tdS = -solve(S, solve(S, V).T)")
