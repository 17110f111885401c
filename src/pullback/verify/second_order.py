"""Checks of Jacobians, tangents, Hessians and Hessian-vector products, and verdicts on claims about them.

The truth is the forward definitions over dual numbers, for second derivatives over dual numbers of dual
numbers: no gradient that Pullback derived takes part in it. Central differences are run as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from pullback.derivation import Report
from pullback.errors import InternalProblem, NameProblem, SyntaxProblem, nearest
from pullback.evaluator import Checker, Float64, Interpreter, Outcome, random_inputs
from pullback.evaluator.decision import Decision
from pullback.evaluator.degree import degrees
from pullback.evaluator.derivatives import gradient_in, jacobian_in
from pullback.evaluator.domain import Domain
from pullback.evaluator.dual import Dual, DualValue
from pullback.evaluator.partials import last_direction
from pullback.evaluator.worlds import Worlds
from pullback.expression import Definition, Index, Tensor, walk
from pullback.formula import Statement
from pullback.forward_mode import (
    derive_hessian,
    derive_hvp,
    derive_jacobian,
    derive_jvp,
)
from pullback.forwarded import Forwarded, Result, result_program
from pullback.program import Program
from pullback.reading import read_lines
from pullback.rewriting import Status
from pullback.verify.claims import ClaimVerdict, judge
from pullback.verify.differences import largest_difference
from pullback.verify.results import check_sections, environment, status_of
from pullback.verify.setting import Lines, Setting

CENTRAL_TOLERANCE: Final = 1e-4  # of central differences of exact first derivatives, relative
STEP: Final = 1e-3
KINDS: Final = ("jacobian", "hessian", "jvp", "hvp")
KIND_WORDS: Final = {
    "jacobian": "the Jacobian",
    "hessian": "the Hessian",
    "jvp": "the tangent",
    "hvp": "the Hessian-vector product",
}
_TARGET: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9_]*)\s*(?:\[[^\]]*\])?\s*=(?!=)")


# ---- the truth --------------------------------------------------------------------------------


def true_second_order(forward: Interpreter[Any], forwarded: Forwarded, result: Result) -> Any:
    """The derivative that `result` names, from the forward definitions that the interpreter holds."""
    program = forwarded.derived.program
    inputs = {tensor.name: tensor for tensor in program.inputs}
    match forwarded.kind:
        case "jacobian":
            return jacobian_in(forward, inputs[result.key], program.output)
        case "jvp":
            moved, dual = along(forward, forwarded.directions, inputs)
            return one_direction(forward.domain, dual.tangent(moved.tensor(program.output.name)))
        case "hvp":
            moved, dual = along(forward, forwarded.directions, inputs)
            gradient = gradient_in(moved, inputs[result.key], program.output, None)
            if gradient.tangent is None:
                return _zeros(forward, inputs[result.key])
            return one_direction(forward.domain, gradient.tangent)
        case "hessian":
            first, second = (inputs[name] for name in result.key.split(","))
            return hessian_in(forward, first, second, program.output)


def hessian_in(forward: Interpreter[Any], first: Tensor, second: Tensor, output: Tensor) -> Any:
    """∂²output/∂first∂second, over the axes of both."""
    value = forward.tensor(second.name)
    shape = forward.domain.trailing(value, second.rank)
    dual: Dual[Any] = Dual(forward.domain, int(np.prod(shape, dtype=np.int64)))
    moved = forward.beside(dual, {second.name: dual.seeded(value, second.rank)})
    gradient = gradient_in(moved, first, output, None)
    if gradient.tangent is None:
        return _zeros(forward, first, second)
    return forward.domain.restructure(gradient.tangent, last_direction(shape))


def _zeros(forward: Interpreter[Any], *tensors: Tensor) -> Any:
    """Zeros over the axes of the tensors."""
    shape = tuple(forward.size(extent) for tensor in tensors for extent in tensor.shape)
    return forward.domain.integers(np.zeros(shape, dtype=np.int64))


def along(
    forward: Interpreter[Any], directions: Mapping[str, str], inputs: Mapping[str, Tensor]
) -> tuple[Interpreter[Any], Dual[Any]]:
    """The same world where the inputs move along their directions."""
    domain = forward.domain
    dual: Dual[Any] = Dual(domain, 1)
    seeds = {}
    for name, held in directions.items():
        rank = inputs[name].rank
        direction = domain.restructure(forward.tensor(held), _lead(domain.lead + 1 + rank))
        seeds[name] = DualValue(forward.tensor(name), direction)
    return forward.beside(dual, seeds), dual


def _lead(axes: int) -> Any:
    def move(x: Any) -> Any:
        return x.reshape((1,) * (axes - x.ndim) + x.shape)

    return move


def one_direction(domain: Domain[Any], tangent: Any) -> Any:
    """Without the axis of the one direction."""
    return domain.restructure(tangent, lambda x: x[0])


# ---- what claims and results share ---------------------------------------------------------------


class ForwardSetting(Setting):
    """A program and its derivatives by forward mode, as claims about them see them."""

    def __init__(self, forwarded: Forwarded) -> None:
        program = forwarded.derived.program
        super().__init__(program)
        if self.upstream is not None:
            del self.known[self.upstream.name]
            self.upstream, self.inputs = None, program.inputs
            self.checker = Checker(program.definitions, program.inputs)
        self.forwarded = forwarded
        self.results = {result.tensor: result for result in forwarded.results}

    def variable(self, key: str) -> Tensor:
        """The tensor that holds the derivative with this key."""
        return next(result.tensor for result in self.forwarded.results if result.key == key)

    def target(self, wrt: Tensor) -> str:
        return wrt.name

    def expected(self, wrt: Tensor, shape: str) -> str:
        return f"{KIND_WORDS[self.forwarded.kind]} {wrt} is {shape}"

    def read_below(self, wrt: Tensor, text: str, made: Mapping[str, Tensor]) -> Lines:
        """The last lines of a claim; the last is an expression, or defines a name of the author's choice."""
        last = [line for line in re.split(r"[;\n]", text) if line.strip()][-1]
        written = _TARGET.match(last)
        name = written[1] if written else wrt.name
        known = {n: t for n, t in {**self.known, **made}.items() if n != name}
        target = Tensor(name, wrt.shape)
        return read_lines(
            text,
            known,
            sizes=self.program.sizes,
            ranges=self.program.ranges,
            targets={name: target},
            reserved=self.hidden,
        )

    def true_value(self, forward: Interpreter[Any], wrt: Tensor) -> Any:
        return true_second_order(forward, self.forwarded, self.results[wrt])

    def outcome(self, wrt: Tensor, lines: Lines) -> Outcome:
        name = lines[-1].tensor.name

        def both(forward: Interpreter[Any]) -> tuple[Any, Any]:
            beyond = Interpreter(forward.domain, forward.sizes, {}, lines, forward.tensor)
            return self.true_value(forward, wrt), beyond.tensor(name)

        every = degrees((*self.program.definitions, *lines))
        bound = 3 * every[self.program.output.name] + max(every[d.tensor.name] for d in lines)
        worlds = Worlds(self.program.definitions, self.inputs, 0).widened([d.body for d in lines])
        return Decision(worlds).decide(both, wrt.rank, bound)

    def right(self, wrt: Tensor) -> tuple[str, ...]:
        return tuple(str(line) for line in result_program(self.forwarded, [wrt.name]))


# ---- claims --------------------------------------------------------------------------------------


def forwarded_by(
    program: Program, kind: str, keys: Sequence[str], directions: Mapping[str, str] | None = None
) -> list[Forwarded]:
    """The derivations that claims with these keys are about: `x` of a Jacobian, `x,x2` of a Hessian."""
    match kind:
        case "jacobian":
            return [derive_jacobian(program, key) for key in keys]
        case "hessian":
            return [derive_hessian(program, *pair(key)) for key in keys]
        case "jvp" | "hvp" if not directions:
            raise SyntaxProblem(
                f"a {kind} needs a direction", hint="directions={'x': 'v'}: the input v holds it"
            )
        case "jvp":
            return [derive_jvp(program, directions or {})]
        case "hvp":
            return [derive_hvp(program, directions or {})]
    close = nearest(kind, KINDS)
    hint = f"did you mean {close}?" if close else f"one of gradient, {', '.join(KINDS)}"
    raise SyntaxProblem(f"there is no derivative of the kind {kind}", hint=hint)


def pair(key: str) -> tuple[str, str]:
    """The two inputs of a Hessian from its key, `x,x2`, or `x` for both."""
    first, comma, second = (part.strip() for part in key.partition(","))
    return first, (second if comma else first)


def claim_second_order(
    program: Program, kind: str, claims: Mapping[str, str], directions: Mapping[str, str] | None = None
) -> tuple[ClaimVerdict, ...]:
    """The verdict on each claim: `{"x,x": "2 * A"}` for a Hessian, `{"x": …}` for the other kinds.

    A claim is an expression, or lines of which the last is one, or defines a name of the author's choice.
    The key of a JVP is the output.
    Raises `PullbackError` for a claim that is no text of the language, or reads unknown names.

    >>> read = __import__("pullback.reading", fromlist=["read_program"]).read_program
    >>> program = read("f = x @ A @ x", shapes={"x": "N", "A": "N N"})
    >>> [verdict.ok for verdict in claim_second_order(program, "hessian", {"x,x": "A + A.T"})]
    [True]
    """
    derived = forwarded_by(program, kind, list(claims), directions)
    settings = [ForwardSetting(forwarded) for forwarded in derived]
    verdicts = []
    for k, (key, text) in enumerate(claims.items()):
        setting = settings[min(k, len(settings) - 1)]
        result = _result(setting.forwarded, key)
        verdict = judge(setting, result.key, text)
        verdicts.append(replace(verdict, wrt=key, target=result.tensor.name))
    return tuple(verdicts)


def _result(forwarded: Forwarded, key: str) -> Result:
    """The result that a key asks for, by its input or by the name of the tensor that holds it."""
    if forwarded.kind in ("jacobian", "hessian"):
        return forwarded.results[0]
    found = next((r for r in forwarded.results if key in (r.key, r.tensor.name)), None)
    if found is None:
        names = ", ".join(result.key for result in forwarded.results)
        raise NameProblem(f"{key} has no {forwarded.kind} here", hint=f"there is one of {names}")
    return found


# ---- results -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CheckedForward:
    """A derivation whose steps have their status, and what the checks of its results found."""

    forwarded: Forwarded
    report: Report


def check_forwarded(forwarded: Forwarded) -> CheckedForward:
    """Every line and every result checked.

    Raises `InternalProblem` where one is wrong: such a result is never shown.
    """
    derived, outcomes = check_sections(forwarded.derived)
    setting = ForwardSetting(forwarded)
    statuses: list[Status] = [step.status for section in derived.sections for step in section.steps]
    bounds = [outcome.error_bound for outcome in outcomes if outcome.status == "equal"]
    centrals: list[float] = []
    trials: dict[tuple[tuple[str, int], ...], Mapping[str, int]] = {}
    for result in forwarded.results:
        lines = reread_result(forwarded, result)
        outcome = setting.outcome(result.tensor, lines)
        if outcome.status == "different":
            at = dict(outcome.where or {})
            raise InternalProblem(f"{result.tensor.name} failed its own check at sizes {at}")
        statuses.append(status_of(outcome))
        if outcome.status == "equal":
            bounds.append(outcome.error_bound)
        central = central_difference(setting, result, lines)
        if central is not None:
            centrals.append(central)
            if central > CENTRAL_TOLERANCE and statuses[-1] != "exact":
                what = f"{result.tensor.name} disagrees with central differences by {central:.1e}"
                raise InternalProblem(what)
        for sizes in outcome.sizes:
            trials.setdefault(tuple(sorted(sizes.items())), dict(sizes))
    report = Report(
        statuses.count("exact"),
        statuses.count("numerical"),
        statuses.count("unknown"),
        max(bounds, default=0.0),
        max(centrals, default=None) if centrals else None,
        tuple(trials.values()),
    )
    return CheckedForward(replace(forwarded, derived=derived), report)


def reread_result(forwarded: Forwarded, result: Result) -> Lines:
    """The printed program of one result as the reader understands it."""
    lines = result_program(forwarded, [result.tensor.name])
    targets = {line.name: line.definition.tensor for line in lines}
    known = {n: t for n, t in environment(forwarded.derived).items() if n not in targets}
    text = "\n".join(str(line) for line in lines)
    sizes = forwarded.derived.program.sizes
    return read_lines(text, known, sizes=sizes, ranges=_ranges(lines), targets=targets)


def _ranges(lines: Sequence[Statement]) -> dict[str, Any]:
    return {
        node.name: node.extent
        for line in lines
        if not line.is_matrix
        for node in (*line.definition.indices, *walk(line.definition.body))
        if isinstance(node, Index)
    }


def central_difference(setting: ForwardSetting, result: Result, lines: Sequence[Definition]) -> float | None:
    """How far the result is from central differences along one random direction, relative to its size.

    First derivatives are differences of the output; second ones differences of the true gradient.
    """
    forwarded, program = setting.forwarded, setting.program
    sizes = setting.checker.worlds()[0].sizes
    rng = np.random.default_rng(5)
    values = random_inputs(program.inputs, sizes, Float64(), rng)
    moves = _moves(forwarded, result, values, rng)
    try:
        with np.errstate(all="ignore"):
            numeric = _richardson(lambda at: _first(setting, result, sizes, at), values, moves)
            forward = Interpreter(Float64(), sizes, values, program.definitions)
            beyond = Interpreter(Float64(), sizes, {}, lines, forward.tensor)
            found = np.asarray(beyond.tensor(lines[-1].tensor.name), dtype=np.float64)
    except np.linalg.LinAlgError:
        return None
    if forwarded.kind in ("jacobian", "hessian"):
        ((_, direction),) = moves.items()
        found = np.tensordot(found, direction, direction.ndim) if direction.ndim else found * direction
    numeric = np.broadcast_to(numeric, np.shape(found))
    return largest_difference(found, numeric)


def _moves(
    forwarded: Forwarded, result: Result, values: Mapping[str, Any], rng: np.random.Generator
) -> dict[str, Any]:
    """The direction of each input that moves."""
    if forwarded.directions:
        return {name: values[held] for name, held in forwarded.directions.items()}
    name = result.key.split(",")[-1]
    return {name: rng.standard_normal(np.shape(values[name]))}


def _first(
    setting: ForwardSetting, result: Result, sizes: Mapping[str, int], values: Mapping[str, Any]
) -> Any:
    """What is differenced: the output, or the true gradient."""
    program = setting.program
    forward = Interpreter(Float64(), sizes, values, program.definitions)
    if setting.forwarded.kind in ("jacobian", "jvp"):
        return np.asarray(forward.tensor(program.output.name))
    x = next(tensor for tensor in program.inputs if tensor.name == result.key.split(",")[0])
    return np.asarray(gradient_in(forward, x, program.output, None))


def _richardson(f: Any, values: Mapping[str, Any], moves: Mapping[str, Any]) -> Any:
    """The derivative at 0 of f(values + t moves), from three steps."""

    def slope(h: float) -> Any:
        ends = []
        for sign in (1, -1):
            at = {**values, **{name: values[name] + sign * h * moves[name] for name in moves}}
            ends.append(f(at))
        return (ends[0] - ends[1]) / (2 * h)

    a, b, c = slope(STEP), slope(STEP / 2), slope(STEP / 4)
    first, second = (4 * b - a) / 3, (4 * c - b) / 3
    return (16 * second - first) / 15
