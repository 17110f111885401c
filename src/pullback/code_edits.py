"""The edit that mends a wrong backward in its own words, and the line in which it stands.

The code is read once more, forward and backward together, as a program of its arguments and the upstream gradient. The
lines that belong to the backward are a claim about the forward, and the search for the mend of a claim does the rest.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from time import thread_time
from typing import Any

from pullback.capture.captured import Captured
from pullback.capture.exchanged import recording
from pullback.capturing import capture_outputs
from pullback.code_sides import defined_by, held_alike, in_order, is_identity, same_sizes, sized
from pullback.errors import PullbackError
from pullback.program import upstream_of
from pullback.reading import read_program
from pullback.right_formula import by_name, examples, floats_of, upstream_examples, upstream_names
from pullback.tracing.jax_function import JaxFunction
from pullback.tracing.numpy_pair import CODE_ERRORS, NumpyPair
from pullback.tracing.passes import CodeProblem, Pass
from pullback.tracing.torch_function import TorchFunction
from pullback.verify.claims import mend_of
from pullback.verify.mend import Edit
from pullback.verify.setting import Setting

Place = tuple[str, int]
LONGEST = 40  # lines of code that is searched
SEARCHED = 3.0  # seconds after which the edit of no further input is searched


@dataclass(frozen=True, slots=True)
class CodeEdit:
    """An edit of a line of the backward."""

    edit: Edit
    place: Place


def mends_in_code(
    code: Pass, args: Sequence[Any], forward: Captured, names: Sequence[str]
) -> dict[str, CodeEdit]:
    """For some inputs the edit that mends their gradient; without those for which none was found."""
    found: dict[str, CodeEdit] = {}
    if not names:
        return found
    upstream = upstream_names(code, args)
    started = thread_time()
    try:
        with floats_of(code):
            for name, both in zip(names, _both(code, args, forward, names, upstream), strict=False):
                edit = _edit(code, forward, both, name, upstream)
                if edit is not None:
                    found[name] = edit
                if thread_time() - started > SEARCHED:
                    break
    except (PullbackError, CodeProblem, *CODE_ERRORS):
        pass  # the verdicts stand without it
    return found


def _edit(
    code: Pass, forward: Captured, both: Captured | PullbackError, name: str, upstream: Sequence[str]
) -> CodeEdit | None:
    if isinstance(both, PullbackError) or len(both.program.splitlines()) > LONGEST:
        return None
    try:
        arguments = code.names if len(upstream) == 1 else (*code.names, *upstream)
        met = same_sizes(forward, both, arguments)
        return None if met is None else _Reading(code, met[0], both, name, upstream, met[1]).mend()
    except (PullbackError, CodeProblem, *CODE_ERRORS):
        return None  # the verdict stands without it


def _both(
    code: Pass, args: Sequence[Any], forward: Captured, names: Sequence[str], upstream: Sequence[str]
) -> Iterator[Captured | PullbackError]:
    """The gradients of some inputs as programs of the arguments and the upstream gradients, which come last."""
    wanted = [code.wrt.index(code.names.index(name)) for name in names]
    recorded = code.exchanged(recording)

    def gradients(made: Pass) -> Callable[..., Any]:
        def chosen(*given: Any) -> Any:
            found = made.gradients(given[: len(args)], given[len(args) :])
            return found[wanted[0]] if len(wanted) == 1 else tuple(found[k] for k in wanted)

        return chosen

    named = by_name(gradients(code), (*code.names, *upstream), code.label, gradients(recorded))
    given = examples(code, (*args, *upstream_examples(code, args)))
    return capture_outputs(named, given, range(len(wanted)), forward)


def backward_of(code: Pass) -> Any:
    """The backward as its author wrote it."""
    match code:
        case NumpyPair():
            return code.written
        case TorchFunction():
            return code.function.backward
        case JaxFunction():
            return code.function.bwd
    return None


class _Reading:
    """The backward as a claim about the program of the forward."""

    def __init__(
        self,
        code: Pass,
        forward: Captured,
        both: Captured,
        name: str,
        upstream: Sequence[str],
        sizes: Mapping[str, str],
    ) -> None:
        self.code, self.forward, self.both, self.sizes = code, forward, both, sizes
        self.wrt = forward.names.get(name, name)
        self.arguments = code.names if len(upstream) == 1 else (*code.names, *upstream)
        self.given = [both.names.get(u, u) for u in upstream]
        self.upstream = self.given[0]
        self.statements = _as_written(ast.parse(both.program).body, both.lines)
        self.above, self.below = self._divided()
        self.total = ""  # the name of a loss, for an output that is a number
        self.held: list[str] = []  # lines that say what an array is that the backward holds
        self.shapes: dict[str, Any] = {}  # of further arrays that it holds
        self.integers: dict[str, Any] = {}

    def mend(self) -> CodeEdit | None:
        names = self._names()
        if names is None or not self.below:
            return None
        forward, own = self.forward, self.forward.program.splitlines()
        first = {line: s for s in self.above if (line := _renamed(s, names)) not in own}
        weighted = [f"{self.total} = {forward.output} * {self.upstream}"] if self.total else []
        lines, late = in_order([*own, *weighted], [*self.held, *first])
        claimed = [*(first[line] for line in late if line in first), *self.below]
        claim = [_renamed(s, names) for s in claimed]
        program = read_program(
            "\n".join(lines),
            shapes={**forward.shapes, **self.shapes, **({self.upstream: ()} if self.total else {})},
            integers={**forward.integers, **self.integers},
            assume=forward.assume,
            ranges=forward.ranges,
        )
        edit = mend_of(Setting(program), self.wrt, "\n".join(claim))
        if edit is None:
            return None
        changed = next(
            k for k, (a, b) in enumerate(zip(claim, edit.text.splitlines(), strict=True)) if a != b
        )
        place = self.both.lines.get(defined_by(claimed[changed]))
        return None if place is None else CodeEdit(_in_words(edit, names, self._spoken()), place)

    def _spoken(self) -> dict[str, str]:
        """Names of this program -> what the line of the code assigns to."""
        last = {place: target for target, place in self.both.lines.items()}
        found: dict[str, str] = {}
        kept = {*self.both.names.values()} | {defined_by(s) for s in self.statements} - {*last.values()}
        kinds = {defined_by(s): _outermost(s) for s in self.statements}
        for place, target in last.items():
            name, kind = _assigned(linecache.getline(*place))
            if name and kinds.get(target) in (None, kind) and name not in found.values() and name not in kept:
                found[target] = name
        return found

    def _divided(self) -> tuple[list[ast.stmt], list[ast.stmt]]:
        """The lines of the forward, and those of the backward: what reads the upstream, or stands in its source."""
        above, below = [], []
        late = set(self.given)
        inside = _range_of(backward_of(self.code))
        for statement in self.statements:
            target = defined_by(statement)
            read = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name)} - {target}
            if read & late or target in late or self._is_inside(target, inside):
                late.add(target)
                below.append(statement)
            else:
                above.append(statement)
        return above, below

    def _is_inside(self, target: str, inside: tuple[str, range] | None) -> bool:
        place = self.both.lines.get(target)
        return place is not None and inside is not None and place[0] == inside[0] and place[1] in inside[1]

    def _names(self) -> dict[str, str] | None:
        """Names of this program -> those of the forward's, and sizes; what both define for themselves is kept apart."""
        program = self.forward.read()
        found = {self.both.output: f"d{self.wrt}"}
        if len(self.given) > 1:
            pass  # the upstream gradients are arguments of the forward's program
        elif program.output.rank:
            found[self.upstream] = upstream_of(program.output).name
        elif self.upstream in program.by_name or self.upstream in program.sizes:
            return None
        else:  # the claim is about a loss that is the output times its upstream gradient
            found[self.upstream] = self.upstream
            self.total = _free("total", {*program.by_name, *program.sizes, self.upstream})
        for name in self.arguments:
            ours, theirs = self.both.names.get(name), self.forward.names.get(name)
            if ours is not None and theirs is None:
                return None
            if ours is not None and theirs is not None:
                found[ours] = theirs
        found |= self.sizes
        found |= self._held(found, {*program.by_name, *program.sizes, *found.values(), self.total})
        own = set(self.forward.program.splitlines())
        taken = {*program.by_name, *program.sizes, *found.values(), self.total}
        for statement in self.statements:
            target = defined_by(statement)
            if target in found or _renamed(statement, found) in own:
                continue  # the same line stands in the forward
            found[target] = _free(target, taken)
            taken.add(found[target])
        return found

    def _held(self, names: Mapping[str, str], taken: set[str]) -> dict[str, str]:
        """Arrays that the backward holds: one of the forward's, an identity matrix, or a further input."""
        both, sizes = self.both, self.sizes
        held = [name for name in (*both.shapes, *both.integers) if name not in names]
        found = held_alike(self.forward, both, self.arguments, held)
        for name in held:
            if name in found:
                continue
            found[name] = free = _free(name, taken)
            taken.add(free)
            if is_identity(both.values.get(name)):
                self.held.append(f"{free} = eye({len(both.values[name])})")
            elif name in both.shapes:
                self.shapes[free] = sized(both.shapes[name], sizes)
            else:
                self.integers[free] = sized(both.integers[name], sizes)
        return found


def _as_written(statements: list[ast.stmt], lines: Mapping[str, Place]) -> list[ast.stmt]:
    """Values that one line of the code computes for itself written into the line that reads them."""
    kept = list(statements)
    for statement in statements:
        target = defined_by(statement)
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            continue
        readers = [s for s in kept if s is not statement for n in ast.walk(s) if _is_name(n, target)]
        indexed = {
            m.id
            for s in readers
            for n in ast.walk(s)
            if isinstance(n, ast.Subscript)
            for m in ast.walk(n)
            if isinstance(m, ast.Name)
        }
        if (
            len(readers) == 1
            and target not in indexed
            and lines.get(target) == lines.get(defined_by(readers[0]), target)
        ):
            _Put(target, statement.value).visit(readers[0])
            kept.remove(statement)
    return kept


class _Put(ast.NodeTransformer):
    def __init__(self, name: str, value: ast.expr) -> None:
        self.name, self.value = name, value

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.value if node.id == self.name else node


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _assigned(line: str) -> tuple[str, Any]:
    """The name that a line of code assigns to, and the outermost operation of what it assigns."""
    try:
        found = ast.parse(line.strip()).body
    except SyntaxError:
        return "", None
    if len(found) != 1 or not isinstance(found[0], ast.Assign):
        return "", None
    return defined_by(found[0]), _outermost(found[0])


def _outermost(statement: ast.stmt) -> Any:
    """The outermost operation of the right side, so that a part of a line is not taken for the whole."""
    value = statement.value if isinstance(statement, ast.Assign) else None
    return type(value.op) if isinstance(value, ast.BinOp | ast.UnaryOp) else type(value)


def _in_words(edit: Edit, names: Mapping[str, str], spoken: Mapping[str, str]) -> Edit:
    """The edit with the names that the backward uses."""
    back = {theirs: spoken.get(ours, ours) for ours, theirs in names.items()}
    return replace(
        edit,
        before=_renamed(ast.parse(edit.before), back),
        after=_renamed(ast.parse(edit.after), back),
        text=_renamed(ast.parse(edit.text), back),
        words=re.sub(r"[A-Za-z_]\w*", lambda word: back.get(word[0], word[0]), edit.words),
    )


def _renamed(tree: ast.AST, names: Mapping[str, str]) -> str:
    class Rename(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.Name:
            return ast.Name(names.get(node.id, node.id), node.ctx)

    return ast.unparse(Rename().visit(ast.parse(ast.unparse(tree))))


def _free(name: str, taken: set[str]) -> str:
    """The name, with a number behind it where it is taken, or its gradient's is."""
    found, k = name, 2
    while found in taken or f"d{found}" in taken:
        found, k = f"{name}{k}", k + 1
    return found


def _range_of(f: Any) -> tuple[str, range] | None:
    """File and lines of a function."""
    try:
        lines, start = inspect.getsourcelines(f)
        return inspect.getsourcefile(f) or "", range(start, start + len(lines))
    except (OSError, TypeError):
        return None
