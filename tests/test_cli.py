"""The command line: what it prints, where, and with which exit code."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from pullback.arguments import claims_of, integer_tensors, pairs
from pullback.cli import main
from pullback.errors import PullbackError
from pullback.limits import MAX_CHARACTERS

SOURCES = Path(__file__).parents[1] / "src"


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> object:
    """`main` as a function of its arguments."""

    def go(*arguments: str) -> Ran:
        try:
            code = main(arguments)
        except SystemExit as exit:
            code = int(exit.code or 0)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return go


def shell(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "pullback", *arguments],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(SOURCES), **environment},
        timeout=60,
        check=False,
    )


# ---- derive ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("Y = X @ W",), "dW = X.T @ dY"),
        (("Y = X @ W", "--wrt", "X"), "dX = dY @ W.T"),
        (("Y = X @ W", "--shapes", "X: B F, W: F D"), "(F×B)(B×D) = F×D"),
        (("Y = X @ W", "--ascii"), "= sum_n dY[n,j] X[n,i]"),
        (("Y = X @ W", "--sizes", "N=2,D=2,M=3"), "∂Y/∂x₁,₁ = ⎡ w₁,₁  w₁,₂  w₁,₃ ⎤"),
        (("Y = X @ W", "--sizes", "N=64,D=4096,M=4096"), "256 GiB in float32"),
        (("Y = X @ W", "--format", "latex"), r"dW &= X^{\top}\, dY"),
        (("Y = X @ W", "--format", "markdown"), "# Backward pass of $Y = X\\, W$"),
        (("Y[n,d] = E[t[n],d]", "--shapes", "E: V D", "--integers", "t: N in V"), "onehot(t, V).T @ dY"),
        (("y[p] = x[p+r] * w[r]", "--shapes", "x: H, w: R", "--ranges", "p: H-R+1"), "dw[i]"),
        (("L = sum(S)", "--shapes", "S: N N", "--assume", "S: symmetric"), "L is the loss"),
    ],
)
def test_derive_prints_the_derivation(run: object, arguments: tuple[str, ...], expected: str) -> None:
    assert callable(run)
    ran = run("derive", *arguments)
    assert (ran.code, ran.err) == (0, "")
    assert expected in ran.out


def test_wrt_leaves_the_rest_out(run: object) -> None:
    assert callable(run)
    shown = run("derive", "Y = X @ W", "--wrt", "X").out
    assert "dX, through Y = X @ W" in shown
    assert "dW, through" not in shown


@pytest.mark.parametrize(("steps", "lines"), [("all", 60), ("short", 30), ("none", 10)])
def test_steps(run: object, steps: str, lines: int) -> None:
    assert callable(run)
    shown = run("derive", "Y = X @ W", "--steps", steps).out
    assert ("Local derivative" in shown) == (steps == "all")
    assert ("Matrix form" in shown) == (steps != "none")
    assert len(shown.splitlines()) > lines


@pytest.mark.parametrize("options", [("--json",), ("--format", "json")])
def test_json(run: object, options: tuple[str, ...]) -> None:
    assert callable(run)
    data = json.loads(run("derive", "Y = X @ W", "--sizes", "N=2,D=2,M=3", *options).out)
    assert data["gradients"][1]["lines"] == ["dW = X.T @ dY"]
    assert data["sections"][0]["jacobian"]["entries_at_sizes"] == 24
    assert data["report"]["unknown"] == 0


def test_a_program_comes_from_a_file_or_from_stdin(
    run: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(run)
    path = tmp_path / "layer.txt"
    path.write_text("X: [N, D]\nH = tanh(X @ W)\nY = H @ V\n", encoding="utf-8")
    from_file = run("derive", str(path))
    monkeypatch.setattr(sys, "stdin", io.StringIO(path.read_text(encoding="utf-8")))
    from_stdin = run("derive", "-")
    assert from_file.code == 0
    assert "dV = H.T @ dY" in from_file.out
    assert from_stdin == from_file


# ---- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("derive", "Y = X @@ W"), "line 1, column 8"),
        (("derive", "Y = softmx(X)"), "unknown function `softmx`"),
        (("derive", "Y = X @ W", "--wrt", "Z"), "Z is not an input"),
        (("derive", "Y = X @ W", "--sizes", "Q=2"), "Q is not a size of the program"),
        (("derive", "Y = X @ W", "--sizes", "N=0"), "size N is 0"),
        (("derive", "Y = X @ W", "--sizes", "N=-1"), "does not give a size"),
        (("derive", "Y = X @ W", "--sizes", "N=2.5"), "does not give a size"),
        (("derive", "Y = X @ W", "--sizes", "N=two"), "does not give a size"),
        (("derive", "Y = X @ W", "--sizes", "N=1000000000000"), "size N: 1,000,000,000,000 where at most"),
        (("derive", "Y = X @ W", "--sizes", "N=" + "9" * 5000), "digits of size N"),
        (("derive", "Y = X @ W", "--shapes", "X N D"), "is not a shape"),
        (("derive", "Y = X @ W", "--integers", "t: B"), "does not say the range"),
        (("derive", "Y = X @ W", "--assume", "X"), "is no entry of --assume"),
        (("derive", "Y = X @ W", "--ranges", "p: H, p: R"), "p is given twice in --ranges"),
        (("derive", "Y = " + "X + " * 100_000 + "X"), "characters of the program: 400,005"),
        (("derive", "Y = " + "(" * 10_000 + "X" + ")" * 10_000), ""),
        (("derive", "import os"), ""),
        (("derive", "Y = X.__class__"), ""),
        (("derive", ""), ""),
        (("emit", "Y = X @ W", "--target", "fortran"), "there is no target fortran"),
        (("claim", "Y = X @ W", "X.T @ dY"), "a claim says which gradient it is"),
        (("claim", "Y = X @ W", "dW = X", "dW = X"), "dW is claimed twice"),
    ],
)
def test_what_is_refused_is_said_on_stderr(run: object, arguments: tuple[str, ...], message: str) -> None:
    assert callable(run)
    ran = run(*arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.startswith("pullback: ")
    assert message in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    "arguments", [(), ("bogus",), ("derive",), ("derive", "Y = X", "--format", "html"), ("claim",)]
)
def test_usage_errors_exit_with_2(run: object, arguments: tuple[str, ...]) -> None:
    assert callable(run)
    ran = run(*arguments)
    assert ran.code == 2
    assert ran.err.startswith("usage: pullback")


def test_errors_are_json_where_json_was_asked_for(run: object) -> None:
    assert callable(run)
    ran = run("derive", "Y = softmx(X)", "--json")
    error = json.loads(ran.out)["error"]
    assert ran.code == 2
    assert set(error) == {"message", "line", "column", "hint"}
    assert (error["line"], error["column"]) == (1, 5)
    assert "softmax" in error["hint"]
    assert "unknown function" in ran.err


def test_a_large_file_is_not_read_whole(run: object, tmp_path: Path) -> None:
    assert callable(run)
    path = tmp_path / "large.txt"
    path.write_text("Y = X\n" * MAX_CHARACTERS, encoding="utf-8")
    ran = run("derive", str(path))
    assert (ran.code, ran.out) == (2, "")
    assert f"characters of the program: {MAX_CHARACTERS + 1:,}" in ran.err


def test_a_file_that_is_no_text(run: object, tmp_path: Path) -> None:
    assert callable(run)
    path = tmp_path / "binary"
    path.write_bytes(b"\xff\xfe\x00Y")
    ran = run("derive", str(path))
    assert ran.code == 2
    assert "does not hold UTF-8 text" in ran.err


# ---- files ----------------------------------------------------------------------------------


def test_a_file_is_written_and_never_overwritten_unasked(run: object, tmp_path: Path) -> None:
    assert callable(run)
    path = tmp_path / "out.md"
    first = run("derive", "Y = X @ W", "--format", "markdown", "-o", str(path))
    assert (first.code, first.out) == (0, "")
    written = path.read_text(encoding="utf-8")
    assert written.startswith("# Backward pass")
    refused = run("derive", "y = W @ x", "-o", str(path))
    assert refused.code == 2
    assert "exists already" in refused.err
    assert path.read_text(encoding="utf-8") == written
    assert run("emit", "Y = X @ W", "-o", str(path), "--force").code == 0
    assert "def " in path.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there(run: object, tmp_path: Path) -> None:
    assert callable(run)
    ran = run("derive", "Y = X @ W", "-o", str(tmp_path / "no" / "out.txt"))
    assert ran.code == 2
    assert "cannot be written: No such file" in ran.err


# ---- emit and claim -------------------------------------------------------------------------


def test_emit_writes_a_module_and_its_tests(run: object, tmp_path: Path) -> None:
    assert callable(run)
    path, tests = tmp_path / "linear.py", tmp_path / "test_linear.py"
    arguments = ("emit", "Y = X @ W", "--target", "torch", "--name", "linear", "-o", str(path))
    assert run(*arguments, "--test").code == 0
    assert "class LinearFunction(torch.autograd.Function)" in path.read_text("utf-8")
    assert "from linear import linear" in tests.read_text("utf-8")
    path.unlink()
    refused = run(*arguments, "--test")
    assert (refused.code, path.exists()) == (2, False)
    assert "test_linear.py exists already" in refused.err
    assert run(*arguments, "--test", "--force").code == 0
    shown = run("emit", "Y = X @ W", "--target", "jax", "--test").out
    compile(shown, "shown", "exec")
    assert "from program import program" in shown


def test_emit_prints_source(run: object) -> None:
    assert callable(run)
    ran = run("emit", "Y = X @ W")
    assert ran.code == 0
    compile(ran.out, "emitted", "exec")
    assert "dW = X.T @ dY" in ran.out


@pytest.mark.parametrize(
    ("program", "claims", "code", "words"),
    [
        ("Y = X @ W", ["dW = X.T @ dY"], 0, "right"),
        ("Y = X @ W", ["dW = X.T @ dY", "dX = dY @ W.T"], 0, "right"),
        ("Y = X @ W", ["dW[i,j] = X[n,i] * dY[n,j]"], 0, "right"),
        ("Y = X @ W", ["dW = X @ dY"], 1, "wrong"),
        ("Y = X @ W", ["dX = dY @ W.T", "dW = 2 * X.T @ dY"], 1, "wrong"),
    ],
)
def test_a_claim_is_judged(run: object, program: str, claims: list[str], code: int, words: str) -> None:
    assert callable(run)
    ran = run("claim", program, *claims, "--shapes", "X: N D, W: D M")
    assert (ran.code, ran.err) == (code, "")
    assert words in ran.out


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("H = A + A.T", "--hessian", "x,x"), 0, "H = A + A.T is right"),
        (("A + A", "--hessian", "x"), 1, "only if A is symmetric"),
        (("J = x @ (A + A.T)", "--jacobian", "x"), 0, "is right"),
        (("tdx = (A + A.T) @ v", "--hvp", "x=v"), 0, "tdx = (A + A.T) @ v is right"),
        (("tf = x @ (A + A.T) @ v", "--jvp", "x=v"), 0, "is right"),
        (("dx = v", "--hvp", "x=v"), 2, "a claim says which tangent it is"),
        (("tdx = v", "--hvp", "x"), 2, "no entry of --hvp"),
        (("J = A", "J = x", "--jacobian", "x"), 2, "one Jacobian or Hessian is claimed at a time"),
    ],
)
def test_a_claim_about_a_second_derivative(
    run: object, options: tuple[str, ...], code: int, words: str
) -> None:
    assert callable(run)
    ran = run("claim", "f = x @ A @ x", *options, "--shapes", "x: N, A: N N, v: N")
    assert ran.code == code
    assert words in ran.out + ran.err


QUADRATIC = ("f = x @ A @ x", "--shapes", "x: N, A: N N, v: N")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--hessian", "x"), "H = A + A.T"),
        (("--hessian", "x,A"), "H[j,k,l] = x[l] * (j == k) + x[k] * (j == l)"),
        (("--jacobian", "x"), "Jacobian of f = x @ A @ x"),
        (("--jvp", "x=v"), "tf = "),
        (("--hvp", "x=v"), "tdx = (A + A.T) @ v"),
        (("--hessian", "x", "--format", "markdown"), "H = A + A.T"),
        (("--hessian", "x", "--format", "latex"), "H &= A + A^{\\top}"),
        (("--hvp", "x=v", "--json"), '"kind": "hvp"'),
        (("--hessian", "x", "--ascii"), "H = A + A.T"),
    ],
)
def test_other_derivatives_than_gradients(run: object, options: tuple[str, ...], words: str) -> None:
    assert callable(run)
    ran = run("derive", *QUADRATIC, *options)
    assert (ran.code, ran.err) == (0, "")
    assert words in ran.out
    assert "--ascii" not in options or ran.out.isascii()


def test_a_jacobian_written_out(run: object) -> None:
    assert callable(run)
    program = ("Y = X @ W.T", "--shapes", "X: N M, W: F M", "--jacobian", "X", "--steps", "none")
    structure, dense = run("derive", *program), run("derive", *program, "--dense")
    assert "J[n,f,i,j] = (n == i) * W[f,j]" in structure.out
    assert dense.code == 0 and "(n == i)" not in dense.out and "J = " in dense.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--hessian", "x,A,v"), "does not say which hessian is meant"),
        (("--jacobian", "x y"), "--jacobian x, or x,Y"),
        (("--jvp", "x"), "no entry of --jvp"),
        (("--hessian", "q"), "q"),
        (("--hvp", "x=w"), "w"),
        (("--hessian", "x", "--wrt", "x"), "--wrt goes with gradients, not with --hessian"),
        (("--jacobian", "x", "--sizes", "N=2"), "--sizes goes with gradients"),
        (("--dense",), "--dense writes a Jacobian or Hessian out"),
    ],
)
def test_other_derivatives_that_cannot_be_read(run: object, options: tuple[str, ...], words: str) -> None:
    assert callable(run)
    ran = run("derive", *QUADRATIC, *options)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err and "Traceback" not in ran.err


def test_a_verdict_as_json(run: object) -> None:
    assert callable(run)
    right, wrong = (
        run("claim", "Y = X @ W", text, "--json") for text in ("dW = X.T @ dY", "dW = X.T @ dY / 2")
    )
    assert (right.code, json.loads(right.out)["ok"]) == (0, True)
    assert (wrong.code, json.loads(wrong.out)["ok"]) == (1, False)


class Undecided(NamedTuple):
    ok: None = None

    def explain(self) -> str:
        return "unknown"


def test_what_cannot_be_decided_exits_with_2(run: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(run)
    monkeypatch.setattr("pullback.claiming.claim", lambda *_, **__: Undecided())
    assert run("claim", "Y = X @ W", "dW = X.T @ dY") == Ran(2, "unknown\n", "")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["dW = X.T @ dY"], {"W": "dW = X.T @ dY"}),
        (["dW[i,j] = X[n,i] * dY[n,j]"], {"W": "dW[i,j] = X[n,i] * dY[n,j]"}),
        (["G = dY * 2; dX = G @ W.T", "dW=X.T @ dY"], {"X": "G = dY * 2; dX = G @ W.T", "W": "dW=X.T @ dY"}),
        (["dx_hat = dY\n"], {"x_hat": "dx_hat = dY\n"}),
    ],
)
def test_claims_are_keyed_by_the_gradient_that_they_end_in(
    texts: list[str], expected: dict[str, str]
) -> None:
    assert claims_of(texts) == expected


@pytest.mark.parametrize("text", ["", "W = X", "dW == X", "d = X", "X.T @ dY", "dW = X; Z = 3"])
def test_what_is_no_claim(text: str) -> None:
    with pytest.raises(PullbackError):
        claims_of([text])


def test_options_that_stand_beside_the_program() -> None:
    assert pairs("S: spd symmetric, x: positive", "--assume", "") == {"S": "spd symmetric", "x": "positive"}
    assert integer_tensors("t: B T in V, u: N in 2*K") == {"t": ("B T", "V"), "u": ("N", "2*K")}


# ---- as a process ---------------------------------------------------------------------------


def test_a_terminal_without_unicode_gets_ascii() -> None:
    ran = shell("derive", "Y = X @ W", PYTHONIOENCODING="ascii")
    assert ran.returncode == 0
    assert ran.stdout.isascii()
    assert b"sum_n dY[n,j] X[n,i]" in ran.stdout


def test_a_reader_who_leaves_is_no_error() -> None:
    command = [sys.executable, "-m", "pullback", "derive", "Y = X @ W", "--sizes", "N=8,D=8,M=8"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_odd_characters_are_answered_not_crashed_on(encoding: str) -> None:
    ran = shell("derive", "Y = \udcff\u2028é\x1b[31m", PYTHONIOENCODING=encoding)
    assert ran.returncode == 2
    assert b"Traceback" not in ran.stderr
    assert b"\x1b" not in ran.stderr
