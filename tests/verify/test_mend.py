"""The edit that mends a wrong claim."""

from __future__ import annotations

import pytest

from pullback.claiming import claim

LINEAR = ("Y = X @ W", {"X": "N D", "W": "D M"})
BIASED = ("Y = X @ W + b", {"X": "N D", "W": "D M", "b": "M"})
MEAN = ("L = mean((x - y)**2)", {"x": "N", "y": "N"})
SCALED = ("Y = X * (s / 2)[:, None] + t[:, None]", {"X": "N D", "s": "N", "t": "N"})
QUADRATIC = ("f = x @ A @ x + b @ x", {"x": "N", "A": "N N", "b": "N"})


@pytest.mark.parametrize(
    ("program", "wrt", "text", "after", "words"),
    [
        (LINEAR, "W", "X @ dY", "X.T @ dY", "transpose X"),
        (SCALED, "X", "dY * (t / 2)[:, None]", "dY * (s / 2)[:, None]", "s instead of t"),
        (LINEAR, "X", "dY @ W", "dY @ W.T", "transpose W"),
        (LINEAR, "X", "W.T @ dY", "dY @ W.T", "swap the factors"),
        (LINEAR, "W", "dY.T @ X", "X.T @ dY", "transpose dY.T @ X"),
        (LINEAR, "W", "2 * X.T @ dY", "X.T @ dY", "without the factor 2"),
        (LINEAR, "W", "-X.T @ dY", "X.T @ dY", "transpose"),
        (LINEAR, "W", "X.T @ dY / N", "X.T @ dY", "not divided by N"),
        (LINEAR, "W", "dW[i,j] = X[n,j] * dY[n,i]", None, "index"),
        (BIASED, "b", "dY", "sum(dY, axis=0)", "sum over axis 0"),
        (BIASED, "b", "sum(dY, axis=1)", "sum(dY, axis=0)", "over axis 0"),
        (BIASED, "b", "mean(dY, axis=0)", "sum(dY, axis=0)", "sum instead of mean"),
        (MEAN, "x", "2 * (x - y)", "2 * (x - y) / N", "the factor 1/N"),
        (MEAN, "x", "2 * (y - x) / N", "2 * (x - y) / N", "the sign"),
        (QUADRATIC, "x", "(A + A.T) @ x", "(A + A.T) @ x + b", "the term b"),
        (QUADRATIC, "x", "A @ x + b", "(A + A.T) @ x + b", "a second path"),
        (("L = trace(X.T @ A)", {"X": "N D", "A": "N D"}), "X", "A.T", "A", "transpose A"),
        (("L = sum(X * X)", {"X": "N D"}), "X", "2 * X.T", "2 * X", "transpose X"),
        (
            ("Y = softmax(X, axis=1)", {"X": "N D"}),
            "X",
            "Y * (1 - Y) * dY",
            "Y * (dY - sum(Y * dY, axis=1, keepdims=True))",
            "Jacobian",
        ),
        (
            ("y = softmax(x, axis=0); L = sum(y * a)", {"x": "N", "a": "N"}),
            "x",
            "y * a",
            "y * (a - sum(y * a))",
            "Jacobian",
        ),
        (("Y = relu(X)", {"X": "N D"}), "X", "relu(dY)", "dY * (X > 0)", "the mask"),
        (
            ("h = tanh(X @ W)", {"X": "N D", "W": "D M"}),
            "W",
            "X.T @ dh",
            "X.T @ (dh * (1 - h ** 2))",
            "derivative",
        ),
        (
            ("f = b @ X.T @ X @ c", {"X": "N D", "b": "D", "c": "D"}),
            "X",
            "2 * X @ outer(b, c)",
            "X @ (outer(b, c) + outer(c, b))",
            "a second path",
        ),
        (
            ("f = trace(X.T @ B @ X @ C)", {"X": "N M", "B": "N N", "C": "M M"}),
            "X",
            "(B + B.T) @ X @ C",
            "B @ X @ C + B.T @ X @ C.T",
            "second path",
        ),
        (
            ("f = trace(X.T @ B @ X @ C)", {"X": "N M", "B": "N N", "C": "M M"}),
            "X",
            "2 * B @ X @ C",
            "B @ X @ C + B.T @ X @ C.T",
            "second path",
        ),
        (
            ("Y = X @ A @ B @ C", {"X": "N D", "A": "D M", "B": "M K", "C": "K P"}),
            "X",
            "dY @ C.T @ A.T",
            "dY @ C.T @ B.T @ A.T",
            "B.T is missing",
        ),
        # The numbers at which edits are tried are such that the claim is wrong there, and the gradient not zero.
        (("L = lam * sum(abs(w))", {"w": "N", "lam": ""}), "w", "lam * ones([N])", None, "sign(w)"),
        (("f = det(X.T @ X)", {"X": "N D"}), "X", "2 * X @ inv(X.T @ X)", None, "the factor f"),
        (
            ("m = y * (X @ w); L = sum(exp(m))", {"y": "N", "X": "N D", "w": "D"}),
            "w",
            "X.T @ exp(m)",
            None,
            "* y",
        ),
        (("Y = A @ C", {"A": "B N M", "C": "B M K"}), "C", "A @ dY", None, "the matrices of A"),
        (
            ("y = x / (sqrt(v) + 0.1)", {"x": "N", "v": "N"}),
            "x",
            "dy / sqrt(v + 0.1)",
            "dy / (sqrt(v) + 0.1)",
            "outside the root",
        ),
        (
            ("Y = einsum('bij,bjk->bik', A, C)", {"A": "B N M", "C": "B M K"}),
            "C",
            "einsum('bij,gik->bjk', A, dY)",
            "einsum('bij,bik->bjk', A, dY)",
            "index b instead of g",
        ),
    ],
)
def test_the_smallest_edit(
    program: tuple[str, dict[str, str]], wrt: str, text: str, after: str | None, words: str
) -> None:
    verdict = claim(program[0], {wrt: text}, program[1])
    assert verdict.ok is False
    edit = verdict.mend
    assert edit is not None
    if after is not None and not text.startswith("-"):
        assert edit.after == after
    assert words in edit.words or text.startswith(("-", "dW["))
    assert claim(program[0], {wrt: edit.text}, program[1]).ok is True


@pytest.mark.parametrize(
    ("program", "shapes", "text"),
    [
        ("y = relu(x)", {"x": "N"}, "dy"),
        ("y = tanh(x)", {"x": "N"}, "dy * (1 - y)"),
        ("y = sigmoid(x)", {"x": "N"}, "dy * y"),
        ("y = x * x * x", {"x": "N"}, "3 * x * dy"),
        ("Y = softmax(x, axis=1)", {"x": "N D"}, "Y * (dY - sum(dY * Y, axis=0))"),
        ("Y = tril(x)", {"x": "N N"}, "dY"),
        ("y[i] = x[n] * k[i,n]", {"x": "N", "k": "M N"}, "dx[n] = dy[i] * k[n,i]"),
        ("L = sum(x**2)", {"x": "N"}, "G = x\n3 * G"),
        ("c = x * sigmoid(x) * b", {"x": "N", "b": "N"}, "dc * b * x * sigmoid(x) * (1 - sigmoid(x))"),
        ("H = tanh(x @ W); Y = H @ V", {"x": "N D", "W": "D M", "V": "M K"}, "dH = dY @ V.T\ndH @ W.T"),
        ("y[i] = x[(i-3) % N] * w[i]", {"x": "N", "w": "N"}, "dx[m] = dy[(m-3) % N] * w[(m-3) % N]"),
        (
            "f = a[i] * x[i+j] * b[j]",
            {"a": "M", "b": "N", "x": "M+N-1"},
            "dx[k] = a[i] * b[j] * (k == i-j+N-1)",
        ),
        ("f = x[i,k] * B[k,l] * v[i,l]", {"x": "N K", "B": "K M", "v": "N M"}, "dx[i,k] = B[k,l]"),
        ("r = sqrt(mean(x**2) + 0.1); y = x / r", {"x": "N"}, "dy / r - x * sum(dy * x) / (N * r**2)"),
    ],
)
def test_an_edit_is_found_and_is_right(program: str, shapes: dict[str, str], text: str) -> None:
    edit = claim(program, {"x": text}, shapes).mend
    assert edit is not None
    assert claim(program, {"x": edit.text}, shapes).ok is True
    assert edit.before != edit.after


def test_nonsense_is_not_mended() -> None:
    verdict = claim("y = sin(exp(x))", {"x": "ones(N)"}, {"x": "N"})
    assert verdict.ok is False
    assert "mend" not in verdict.explain() or verdict.mend is not None


def test_the_line_that_is_mended_is_shown_whole() -> None:
    verdict = claim("L = sum(exp(x) * y)", {"x": "E = exp(y)\nE * y"}, {"x": "N", "y": "N"})
    assert verdict.mend is not None
    assert verdict.mend.before == "E = exp(y)"
    assert verdict.mend.after == "E = exp(x)"


@pytest.mark.parametrize(
    ("program", "shapes", "wrt", "text", "words"),
    [
        ("y = cumsum(x, axis=0)", {"x": "N"}, "x", "cumsum(dy, axis=0)", "from the other end"),
        ("f = trace(X)", {"X": "N N"}, "X", "ones([N, N])", "the diagonal alone"),
        ("y = diag(A) * b", {"A": "N N", "b": "N"}, "A", "outer(dy, b)", "the diagonal alone"),
        ("y = diag(A) * b", {"A": "N N", "b": "N"}, "A", "dy * b", "on the diagonal"),
        ("y = relu(x)", {"x": "N"}, "x", "dy * x", "x > 0 instead of x"),
        ("Y = X - mean(X, axis=1, keepdims=True)", {"X": "N D"}, "X", "dY", "less its mean over axis 1"),
        ("f = trace(X.T @ A @ X @ C)", {"X": "N D", "A": "N N", "C": "D D"}, "X", "2 * A @ X @ C", "a second path"),
        ("L = sum((F.T @ F - A)**2)", {"F": "M C", "A": "C C"}, "F", "2 * F @ (F.T @ F - A)", "a second path"),
        ("Y = take(W, t, axis=0)", {"W": "V D"}, "W", "dY", "in front"),
        (
            "y[i] = x[i+j-1] * k[j] * (0 <= i+j-1) * (i+j-1 < N)", {"x": "N", "k": "R"}, "x",
            "dx[m] = dy[m+j-1] * k[j] * (0 <= m+j-1) * (m+j-1 < N)", "instead of m + j - 1",
        ),
        (
            "O[i,d] = P[i,j] * V[j,d] * (i-1 <= j) * (j <= i+1)", {"P": "N N", "V": "N D"}, "P",
            "dP[i,j] = dO[i,d] * V[j,d]", "the mask",
        ),
        (
            "mu = mean(X, axis=1, keepdims=True)\nY = (X - mu) * g", {"X": "N D", "g": "D"}, "X",
            "g * (dY - mean(dY, axis=1, keepdims=True))", "g inside, with every dY",
        ),
        (
            "h = take(E, t, axis=0)\nZ = h @ E.T", {"E": "V D"}, "E", "dZ.T @ h", "is missing",
        ),
    ],
)  # fmt: skip
def test_what_is_missing_is_put_in(
    program: str, shapes: dict[str, str], wrt: str, text: str, words: str
) -> None:
    integers = {"t": ("B", "V")} if ", t," in program else None
    ranges = {"i": "N"} if "i+j" in program else None
    edit = claim(program, {wrt: text}, shapes, integers=integers, ranges=ranges).mend
    assert edit is not None
    assert words in edit.words
    assert claim(program, {wrt: edit.text}, shapes, integers=integers, ranges=ranges).ok is True


@pytest.mark.parametrize(
    ("program", "shapes", "text", "after"),
    [
        ("f = sum(abs(x))", {"x": "N D"}, "x / norm(x)", "sign(x)"),
        (
            "y = concatenate([x, x, x], axis=0)",
            {"x": "N"},
            "dx[n] = dy[n]",
            "sum(reshape(dy, [3, N]), axis=0)",
        ),
        ("c = x * sigmoid(x) * b", {"x": "N", "b": "N"}, "dc * b * sigmoid(x) * (1 - sigmoid(x))", None),
    ],
)
def test_the_line_as_derived_is_the_last_resort(
    program: str, shapes: dict[str, str], text: str, after: str | None
) -> None:
    verdict = claim(program, {"x": text}, shapes=shapes)
    assert verdict.ok is False and verdict.mend is not None
    assert after is None or after in str(verdict.mend)


@pytest.mark.parametrize(
    ("program", "shapes", "ranges", "text", "after"),
    [
        (
            "Y[n,p,q] = X[n,2*p+r,2*q+s] * K[r,s]",
            {"X": "N H W", "K": "R R"},
            {"p": "(H-R)//2+1", "q": "(W-R)//2+1"},
            "dX[n,h,w] = dY[n,p,q] * K[r,s] * (h == p+r) * (w == q+s)",
            "(h == 2 * p + r) * (w == 2 * q + s)",
        ),
        (
            "Y[n,p,q] = X[n,p+2*r,q+2*s] * K[r,s]",
            {"X": "N H W", "K": "R S"},
            {"p": "H-2*(R-1)", "q": "W-2*(S-1)"},
            "dX[n,h,w] = dY[n,p,q] * K[r,s] * (h == p+r) * (w == q+s)",
            "(h == p + 2 * r) * (w == q + 2 * s)",
        ),
    ],
)
def test_a_stride_or_a_dilation_that_is_missing_in_two_places(
    program: str, shapes: dict[str, str], ranges: dict[str, str], text: str, after: str
) -> None:
    verdict = claim(program, {"X": text}, shapes=shapes, ranges=ranges)
    assert verdict.mend is not None and after in str(verdict.mend)
