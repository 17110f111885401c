"""Lines written into the lines that use them, and systems solved instead of inverses formed."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pullback.cost import TYPICAL, Costs, tokens
from pullback.expression import (
    Access,
    Definition,
    Element,
    Expr,
    Sum,
    accesses,
    is_symmetric,
    replace,
    sizes_in,
    substitute,
    tensors,
)
from pullback.matrix import matrix_line
from pullback.matrix.peephole import polished
from pullback.rulebooks.brackets import unshadowed
from pullback.sizes import evaluate_size
from pullback.solving import solved

LONGEST = 72  # characters of a line that others were written into
SHORT = 16  # characters of a line that is written into any other


@dataclass(frozen=True, slots=True)
class Statement:
    """One line of a gradient program. `text` is the right side; `target` the left side as written."""

    name: str
    target: str
    text: str
    is_matrix: bool
    definition: Definition  # what the line means; for a line others were written into, what it defines

    def __str__(self) -> str:
        return f"{self.target} = {self.text}"


def inline(
    lines: Sequence[Statement],
    kept: Collection[str],
    forward: Collection[str],
    systems: Collection[str] = (),
) -> tuple[Statement, ...]:
    """Each matrix line that exactly one later matrix line uses once is written into it, while short.

    Inverses are formed only where that costs less than solving; those in `forward` the program itself forms,
    and with those in `systems` it solves.
    """
    lines = without_inverses(with_reductions(lines, kept), {*kept, *forward}, systems)
    trees = {line.name: ast.parse(line.text, mode="eval").body for line in lines if line.is_matrix}
    uses = _count_uses(lines, trees)
    read = (tensor for line in lines for tensor in (*tensors(line.definition.body), line.definition.tensor))
    arrays = {tensor.name: tensor.rank for tensor in read if tensor.rank}
    result = {line.name: line for line in lines}
    order = [line.name for line in lines]
    for name in order:
        if name in kept or name not in trees or len(uses.get(name, ())) != 1:
            continue
        (user,) = uses[name]
        if user not in trees:
            continue
        new = _Replace(name, trees[name]).visit(_copy(trees[user]))
        text = _written(polished(new, arrays))
        alone = result[user].text == name
        if len(user) + 3 + len(text) > LONGEST and len(result[name].text) > SHORT and not alone:
            continue
        trees[user] = ast.parse(text, mode="eval").body
        old = result[user]
        result[user] = Statement(old.name, old.target, text, True, old.definition)
        for used, users in uses.items():
            uses[used] = [user if u == name else u for u in users]
        del result[name]
    return _read_by_name([result[name] for name in order if name in result], trees, kept)


def _read_by_name(
    lines: Sequence[Statement], trees: Mapping[str, ast.expr], kept: Collection[str]
) -> tuple[Statement, ...]:
    """What a line computes is read by its name where another computes it too; that line may come before it."""
    made: dict[int, str] = {}
    for line in lines:
        tree = trees.get(line.name)
        if line.name not in kept and isinstance(tree, ast.BinOp | ast.Call):
            made.setdefault(_fingerprint(tree, {}), line.name)
    result = {line.name: line for line in lines}
    order = [line.name for line in lines]
    for reader in list(order):
        if reader not in trees or not made:
            continue
        parts: dict[int, ast.expr] = {}
        _fingerprint(trees[reader], parts)
        for name in [made[key] for key in parts if key in made and made[key] != reader]:
            own, place = order.index(name), order.index(reader)
            between = set(order[place:own])
            if any(isinstance(node, ast.Name) and node.id in between for node in ast.walk(trees[name])):
                continue
            if own > place:
                order.insert(place, order.pop(own))
            whole = ast.parse(result[reader].text, mode="eval")
            _Reread(ast.dump(trees[name]), name).visit(whole)
            result[reader] = dataclasses.replace(result[reader], text=_written(whole.body))
    return tuple(result[name] for name in order)


def _fingerprint(node: ast.expr, found: dict[int, ast.expr]) -> int:
    """A number that expressions which read alike share; `found` gets those of sums, products and calls."""
    parts: list[object] = [type(node).__name__]
    for _, value in ast.iter_fields(node):
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ast.keyword):
                parts += [item.arg, _fingerprint(item.value, found)]
            else:
                is_expression = isinstance(item, ast.expr)
                parts.append(_fingerprint(item, found) if is_expression else _word(item))
    key = hash(tuple(parts))
    if isinstance(node, ast.BinOp | ast.Call):
        found[key] = node
    return key


def _word(item: object) -> object:
    """An operator by its name; a number or a text as it is."""
    return type(item).__name__ if isinstance(item, ast.AST) else item


def with_reductions(lines: Sequence[Statement], kept: Collection[str]) -> list[Statement]:
    """The lines, each reduction that is read once worked out where it is read: there it may keep its axis."""
    result, costs = {line.name: line for line in lines}, Costs()
    for name in [line.name for line in lines]:
        line = result[name]  # it may hold an earlier reduction by now
        match line.definition.body:
            case Element(_, ()) | Sum() if line.is_matrix and line.name not in kept:
                readers = [r for r in result.values() if line.definition.tensor in tensors(r.definition.body)]
                reads = [
                    a for r in readers for a in accesses(r.definition.body) if a.tensor.name == line.name
                ]
                new = _read_inside(line.definition, readers[0]) if len(reads) == 1 else None
                if new is not None and _is_better(new, (line, readers[0]), costs):
                    result[new.name] = new
                    del result[line.name]
    return list(result.values())


def _is_better(new: Statement, apart: Sequence[Statement], costs: Costs) -> bool:
    """Whether one line reads shorter than the lines it stands for, and costs no more."""
    if tokens(new.text) >= sum(tokens(line.text) for line in apart) - 1:
        return False
    return costs.of(new.definition)[0] <= sum(costs.of(line.definition)[0] for line in apart)


def _read_inside(made: Definition, reader: Statement) -> Statement | None:
    """The reader with the value of a definition written into its equation; None where that has no matrix form."""

    def change(node: Expr) -> Expr | None:
        if isinstance(node, Access) and node.tensor is made.tensor:
            return substitute(made.body, dict(zip(made.indices, node.slots, strict=True)))
        return None

    body = unshadowed(replace(reader.definition.body, change), reader.definition.indices)
    whole = dataclasses.replace(reader.definition, body=body)
    line = matrix_line(whole) if reader.is_matrix else None
    return None if line is None else Statement(reader.name, reader.target, line.text, True, whole)


def without_inverses(
    lines: Sequence[Statement], kept: Collection[str], systems: Collection[str]
) -> list[Statement]:
    """The lines with systems solved where that saves an inverse that nothing else reads."""
    named = {t.name for line in lines if not line.is_matrix for t in tensors(line.definition.body)}
    trees = {line.name: ast.parse(line.text, mode="eval").body for line in lines if line.is_matrix}
    if not any(line.text.startswith("inv(") for line in lines):
        return list(lines)
    every = {t for line in lines for t in (*tensors(line.definition.body), line.definition.tensor)}
    sizes = {name: TYPICAL for tensor in every for e in tensor.shape for name in sizes_in(e)}
    shapes = {t.name: tuple(evaluate_size(e, sizes) for e in t.shape) for t in every}
    mirrored = {tensor.name for tensor in every if is_symmetric(tensor)}
    new = solved(trees, {*kept, *named}, shapes, sizes, mirrored, systems)
    made = []
    for line in lines:
        if line.name in new or not line.is_matrix:
            text = line.text if new.get(line.name) is trees.get(line.name) else _written(new[line.name])
            made.append(dataclasses.replace(line, text=text))
    return made


def read_by_name(lines: Sequence[Statement]) -> list[Statement]:
    """The value of an earlier line read where it stands again in a later one, or its negative as a whole line."""
    known: dict[str, str] = {}
    signed: dict[str, tuple[str, int]] = {}  # by the value without its sign
    made: list[Statement] = []
    for line in lines:
        if line.is_matrix:
            line = reading(line, known)
            tree = ast.parse(line.text, mode="eval").body
            if isinstance(tree, ast.BinOp | ast.Call):
                known.setdefault(ast.dump(tree), line.name)
            sign, value = _unsigned(tree)
            if isinstance(value, ast.BinOp | ast.Call):
                name, first = signed.setdefault(ast.dump(value), (line.name, sign))
                if first != sign:
                    line = dataclasses.replace(line, text=f"-{name}")
        made.append(line)
    return made


def _unsigned(node: ast.expr) -> tuple[int, ast.expr]:
    """The sign of a product, which stands on its first factor, and the product without it."""
    match node:
        case ast.UnaryOp(ast.USub(), value):
            return -1, value
        case ast.BinOp(left, ast.Mult() | ast.MatMult() | ast.Div() as operator, right):
            sign, value = _unsigned(left)
            return sign, ast.BinOp(value, operator, right) if sign < 0 else node
    return 1, node


def reading(line: Statement, known: Mapping[str, str]) -> Statement:
    """The line with names in the place of what they hold."""
    tree = ast.parse(line.text, mode="eval")
    _Known(known).visit(tree)
    text = _written(tree.body)
    return dataclasses.replace(line, text=text) if text != line.text.replace("'", '"') else line


class _Known(ast.NodeTransformer):
    """Reads a name where the value that it holds is computed."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self.known = known

    def visit(self, node: ast.AST) -> ast.AST:
        name = self.known.get(ast.dump(node)) if isinstance(node, ast.BinOp | ast.Call) else None
        return ast.Name(name, ast.Load()) if name is not None else self.generic_visit(node)


def _written(node: ast.expr) -> str:
    return ast.unparse(ast.fix_missing_locations(node)).replace("'", '"')


def _copy(node: ast.expr) -> ast.expr:
    return ast.parse(ast.unparse(node), mode="eval").body


class _Reread(ast.NodeTransformer):
    """A name in the place of each expression that reads like one."""

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name = text, name

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.BinOp | ast.Call) and ast.dump(node) == self.text:
            return ast.Name(self.name, ast.Load())
        return super().generic_visit(node)


class _Replace(ast.NodeTransformer):
    def __init__(self, name: str, value: ast.expr) -> None:
        self.name, self.value = name, value

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.value if node.id == self.name else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        return _summed_before(self.generic_visit(node))


def _summed_before(node: ast.AST) -> ast.AST:
    """sum(transpose(x, p), axis=a) is sum(x, axis=p[a]) where the axes that stay keep their order."""
    match node:
        case ast.Call(
            ast.Name("sum" | "mean"),
            [ast.Call(ast.Name("transpose"), [x, ast.List(elts=order)])],
            [ast.keyword("axis", axes)],
        ):
            turned = [ast.literal_eval(k) for k in order]
            given = ast.literal_eval(axes)
            gone = [given] if isinstance(given, int) else list(given)
            left = [turned[k] for k in range(len(turned)) if k not in [a % len(turned) for a in gone]]
            if left == sorted(left):
                places = sorted(turned[a] for a in gone)
                axis = (
                    ast.Constant(places[0]) if len(places) == 1 else ast.Tuple([*map(ast.Constant, places)])
                )
                return ast.Call(node.func, [x], [ast.keyword("axis", axis)])
    return node


def _count_uses(lines: Sequence[Statement], trees: Mapping[str, ast.expr]) -> dict[str, list[str]]:
    """For each name the lines that use it, once for each use."""
    uses: dict[str, list[str]] = {}
    for line in lines:
        if line.name in trees:
            for node in ast.walk(trees[line.name]):
                if isinstance(node, ast.Name):
                    uses.setdefault(node.id, []).append(line.name)
        else:
            for tensor in tensors(line.definition.body):
                uses.setdefault(tensor.name, []).extend([line.name] * 2)
    return uses
