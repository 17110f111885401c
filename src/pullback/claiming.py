"""`claim`: is a formula for a gradient right? And `Verdict`, the answer in the user's hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pullback.errors import SyntaxProblem
from pullback.reading import read_program
from pullback.verify.claims import ClaimVerdict, judge
from pullback.verify.explaining import explained, to_json
from pullback.verify.mend import Edit
from pullback.verify.second_order import claim_second_order
from pullback.verify.setting import Setting
from pullback.verify.witness import Witness

Shapes = Mapping[str, str | Sequence[str | int]] | str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one or several claims: `ok` is True (right), False (wrong) or None (unknown).

    A verdict is truthy only where every claim is right. `verdicts` holds one answer a claim.
    """

    verdicts: tuple[ClaimVerdict, ...]

    @property
    def ok(self) -> bool | None:
        found = [verdict.ok for verdict in self.verdicts]
        if False in found:
            return False
        return None if None in found else True

    def __bool__(self) -> bool:
        return self.ok is True

    @property
    def witness(self) -> Witness | None:
        """The counterexample of the first wrong claim: sizes, inputs, entry, and the two values."""
        return next((v.witness for v in self.verdicts if v.ok is False), None)

    @property
    def mend(self) -> Edit | None:
        """The edit that mends the first wrong claim, where one was found."""
        return next((v.mend for v in self.verdicts if v.ok is False), None)

    def explain(self) -> str:
        """The verdict in words: why, the right formula, the smallest counterexample, the mend."""
        return "\n".join(explained(verdict) for verdict in self.verdicts)

    def json(self) -> str:
        """The verdict as JSON text."""
        return to_json(self.ok, self.verdicts)

    def __str__(self) -> str:
        return self.explain()

    def __repr__(self) -> str:
        words = {True: "right", False: "wrong", None: "unknown"}
        return f"<Verdict {', '.join(f'{v.name}: {words[v.ok]}' for v in self.verdicts)}>"


def claim(
    program: str,
    claims: Mapping[str, str],
    shapes: Shapes | None = None,
    *,
    integers: Mapping[str, Any] | None = None,
    assume: Mapping[str, str] | None = None,
    ranges: Mapping[str, str] | None = None,
    kind: str | None = None,
    directions: Mapping[str, str] | None = None,
) -> Verdict:
    """Whether claimed gradients are right: proved exactly, or refuted by a counterexample.

    With `kind` "jacobian", "hessian", "jvp" or "hvp" the claims are about these, as `Derivation.jacobian` and
    its like define them. Their keys: `x` of a Jacobian, `x,x2` of a Hessian, the output of a JVP, and for a
    Hessian-vector product the input. `directions`, `{"x": "v"}`, names the inputs that hold the directions.
    A key `x,x2` alone says that it is a Hessian, and directions that it is a Hessian-vector product.

    program, shapes, integers, assume, ranges: as for `derive`. claims: input -> an expression, or a program
    whose last line is an expression or `dW = …` / `dW[i,j] = …`; it may read the inputs, the program's
    intermediates, sizes, and the upstream gradient `d<output>` (a scalar output has none).
    Raises `PullbackError` for text that cannot be read; shapes that do not meet make a claim wrong.

    >>> bool(claim("Y = X @ W", {"W": "X.T @ dY"}, {"X": "N D", "W": "D M"}))
    True
    >>> print(claim("L = sum(x * x)", {"x": "x"}, {"x": "N"}).explain())
    dx = x is wrong.
      value: the two sides differ
      right: dx = 2 * x
      for example with N = 1:
        x = [1]
        dx[0] is 2, the claim gives 1 (indices count from 0)
      mend:  x  →  2 * x   (the factor 2)
    >>> claim("f = x @ A @ x", {"x,x": "A + A.T"}, {"x": "N", "A": "N N"})
    <Verdict H: right>
    """
    if not claims:
        raise SyntaxProblem("there is no claim", hint='{"W": "X.T @ dY"}')
    read = read_program(program, shapes=shapes, integers=integers, assume=assume, ranges=ranges)
    kind = kind or _kind(claims, directions)
    if kind != "gradient":
        return Verdict(claim_second_order(read, kind, claims, directions))
    setting = Setting(read)
    return Verdict(tuple(judge(setting, key, text) for key, text in claims.items()))


def _kind(claims: Mapping[str, str], directions: Mapping[str, str] | None) -> str:
    """What the claims are about, where only their keys and the directions say it."""
    if directions:
        return "hvp"
    return "hessian" if any("," in key for key in claims) else "gradient"
