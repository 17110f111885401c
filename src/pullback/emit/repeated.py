"""What several lines compute is computed once: read by the name it has, or given a name of its own."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from pullback.expression import tensors
from pullback.inlining import Statement, read_by_name, reading

MAKES_ARRAYS = ("ones", "zeros", "eye", "onehot")
LONGEST = 24  # characters of a name that is made of the names it stands for


def shared(lines: Sequence[Statement], taken: Collection[str]) -> tuple[Statement, ...]:
    """The same lines with nothing in matrix notation computed twice; new names are none of those in `taken`."""
    lines = read_by_name(lines)
    arrays = _arrays(lines)
    names = {*taken, *(line.name for line in lines), *arrays}
    while (found := _repeated(lines, arrays)) is not None:
        name = _name(found, names)
        names.add(name)
        arrays.add(name)
        lines = _named(lines, name, found)
    return tuple(lines)


def named_once(lines: Sequence[Statement]) -> tuple[Statement, ...]:
    """The same lines, where a value that has a name is computed on the line of that name alone.

    That line comes before the first that holds the value.
    """
    first: dict[str, int] = {}
    for k, line in enumerate(lines):
        for node in _computed(line):
            first.setdefault(ast.dump(node), k)
    early: dict[int, list[Statement]] = {}
    moved: set[int] = set()
    for k, line in enumerate(lines):
        value = next(_computed(line), None)  # the whole line comes first
        if value is not None and ast.unparse(value) == _plain(line.text) and first[ast.dump(value)] < k:
            early.setdefault(first[ast.dump(value)], []).append(line)
            moved.add(k)
    ordered: list[Statement] = []
    for k, line in enumerate(lines):
        ordered += early.get(k, [])
        ordered += [line] if k not in moved else []
    return tuple(read_by_name(ordered))


def _plain(text: str) -> str:
    return ast.unparse(ast.parse(text, mode="eval").body)


def _arrays(lines: Sequence[Statement]) -> set[str]:
    """The names that hold arrays with axes."""
    every = {line.definition.tensor for line in lines}
    every |= {tensor for line in lines for tensor in tensors(line.definition.body)}
    return {tensor.name for tensor in every if tensor.rank}


def _repeated(lines: Sequence[Statement], arrays: Collection[str]) -> ast.expr | None:
    """The largest array that is computed more than once."""
    count: Counter[str] = Counter()
    nodes: dict[str, ast.expr] = {}
    for line in lines:
        for node in _computed(line):
            if _is_array(node, arrays):
                count[ast.dump(node)] += 1
                nodes[ast.dump(node)] = node
    repeated = [nodes[key] for key, times in count.items() if times > 1]
    return max(repeated, key=lambda node: len(ast.unparse(node)), default=None)


def _computed(line: Statement) -> Iterator[ast.expr]:
    """The parts of a line in matrix notation that are worked out."""
    if line.is_matrix:
        for node in ast.walk(ast.parse(line.text, mode="eval").body):
            if isinstance(node, ast.BinOp | ast.Call):
                yield node


def _is_array(node: ast.expr, arrays: Collection[str]) -> bool:
    if any(isinstance(part, ast.Compare) for part in ast.walk(node)):
        return False  # a mask is not kept
    called = {part.func for part in ast.walk(node) if isinstance(part, ast.Call)}
    names = [part for part in ast.walk(node) if isinstance(part, ast.Name)]
    return any(n.id in (MAKES_ARRAYS if n in called else arrays) for n in names)


def _name(node: ast.expr, taken: Collection[str]) -> str:
    """`x_mu` for x - mu, `softmax_Z` for softmax(Z); a letter and a number for what holds many names."""
    sizes = {
        id(part) for parent in ast.walk(node) if isinstance(parent, ast.List) for part in ast.walk(parent)
    }
    parts = [part for part in ast.walk(node) if isinstance(part, ast.Name) and id(part) not in sizes]
    parts.sort(key=lambda part: (part.lineno, part.col_offset))
    first = "_".join(part.id for part in parts)
    if len(first) <= LONGEST and first not in taken and len(parts) > 1:
        return first
    return next(name for k in range(1, len(taken) + 2) if (name := f"t{k}") not in taken)


def _named(lines: Sequence[Statement], name: str, value: ast.expr) -> list[Statement]:
    """The lines with the value on a line of its own, before the first that reads it."""
    known = {ast.dump(value): name}
    made: list[Statement] = []
    for line in lines:
        new = reading(line, known) if line.is_matrix else line
        if new is not line and not any(each.name == name for each in made):
            text = ast.unparse(value).replace("'", '"')
            made.append(Statement(name, name, text, True, line.definition))
        made.append(new)
    return made
