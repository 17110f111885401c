"""What an edit may bring into a claim: names of a fitting shape, conditions, factors of the gradient."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Final, TypeGuard

from pullback.errors import PullbackError
from pullback.expression import Tensor
from pullback.functions import FUNCTIONS
from pullback.reading.reader import RESERVED
from pullback.reading.syntax import parse
from pullback.sizes import same_size, size_text
from pullback.verify.edits import Vocabulary
from pullback.verify.setting import Setting
from pullback.verify.tree import text_of

LONGEST: Final = 90  # characters of a part of the derived gradient that is brought in
MOST: Final = 60  # parts
WHOLE: Final = 600  # characters of the derived gradient, of which terms are taken


class Known:
    """The names around one claim, its own lines included."""

    def __init__(self, setting: Setting, wrt: Tensor, lines: Sequence[str]) -> None:
        self.setting = setting
        self.wrt = wrt
        self.original = lines

    @cached_property
    def own(self) -> dict[str, Tensor]:
        """Tensors that the claim's own lines define, as far as it can be read."""
        for count in range(len(self.original), 0, -1):
            text = "\n".join(self.original[:count])
            try:
                lines = self.setting.read_above(self.wrt, text)
            except PullbackError:
                continue
            return {d.tensor.name: d.tensor for d in lines if d.source}
        return {}

    @cached_property
    def _shapes(self) -> dict[str, Tensor]:
        target = self.setting.target(self.wrt)
        return {**self.setting.known, **{n: t for n, t in self.own.items() if n != target}}

    def vocabulary(self) -> Vocabulary:
        return Vocabulary(
            self.setting.program.sizes,
            {n: t.rank for n, t in self._shapes.items()},
            self._alike,
            self._near,
            self._masks,
            self._factors,
            self._terms,
            self._parts,
            tuple(n for n, t in self._shapes.items() if _same(t, self.wrt) or not t.rank),
            self._matrices,
            self._unused,
            {n: tuple(size_text(e) for e in t.shape) for n, t in self._shapes.items()},
            self._slopes,
        )

    @cached_property
    def _unused(self) -> tuple[str, ...]:
        """Names that the claim's own lines define and nothing below them reads."""
        found = []
        for k, line in enumerate(self.original[:-1]):
            statement = ast.parse(line).body[0]
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                word = statement.targets[0].id
                if not any(_mentions(ast.parse(below), {word}) for below in self.original[k + 1 :]):
                    found.append(word)
        return tuple(found)

    @cached_property
    def _slopes(self) -> tuple[str, ...]:
        """The derivatives of the scalar functions of the program and of the claim, at their arguments."""
        found: dict[str, None] = {}
        _, statements = parse("\n".join([self.setting.program.source, *self.original]))
        for statement in statements:
            for node in ast.walk(statement):
                match node:
                    case ast.Call(func=ast.Name(id=word), args=[x]) if word in FUNCTIONS:
                        named = isinstance(statement, ast.Assign) and statement.value is node
                        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
                        y = target if named and isinstance(target, ast.Name) else node
                        slope = ast.parse(FUNCTIONS[word].derivative, mode="eval").body
                        found[text_of(inlined(slope, {"x": x, "y": y}))] = None
        return tuple(text for text in found if len(text) <= LONGEST)

    def atoms(self, own: Iterable[str]) -> list[str]:
        """What a missing term may be made of: tensors, the claim's own names, functions and their derivatives."""
        found = [w for w in own if w and w != self.setting.target(self.wrt)]
        found += [n for n, t in self._shapes.items() if not t.is_integer and n not in found]
        calls: dict[str, None] = {}
        _, statements = parse("\n".join([self.setting.program.source, *self.original]))
        for node in (n for s in statements for n in ast.walk(s)):
            if isinstance(node, ast.Call) and len(text_of(node)) <= LONGEST:
                calls[text_of(node)] = None
        return list(dict.fromkeys([*found, *calls, *self._slopes, *self._masks]))

    def _alike(self, text: str) -> list[str]:
        mine = self._shapes.get(text)
        if mine is None:
            return []
        return [n for n, t in self._shapes.items() if n != text and _same(t, mine)]

    def _near(self, text: str) -> list[str]:
        mine = self._shapes.get(text)
        if mine is None:
            return []
        alike = set(self._alike(text))
        return [n for n, t in self._shapes.items() if n not in alike and n != text and t.rank == mine.rank]

    @cached_property
    def _derived(self) -> list[ast.expr]:
        """Subexpressions of the derived gradient program that can be read on their own, largest first."""
        right = self.setting.right(self.wrt)
        if not right:
            return []
        _, lines = parse("\n".join(right))
        found = []
        for value in reversed(self._inlined(lines)):
            found += [node for node in ast.walk(value) if isinstance(node, ast.expr)]
        return found

    def _inlined(self, lines: Sequence[ast.stmt]) -> list[ast.expr]:
        """The right sides of the lines in matrix notation, with what they name put in.

        What the claim has a name for is called by that name.
        """
        own = self._own_sides
        sides: dict[str, ast.expr] = {}
        for line in lines:
            if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
                value = inlined(line.value, sides)
                sides[line.targets[0].id] = called_by(value, own)
        unread = {node.id for line in lines for node in ast.walk(line) if _is_target(node)} - set(sides)
        return [value for value in sides.values() if not _mentions(value, unread)]

    @cached_property
    def _own_sides(self) -> dict[str, str]:
        """The text of a right side of the claim -> the name that the claim gives it."""
        found = {}
        for line in self.original[:-1]:
            statement = ast.parse(line).body[0]
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                found[text_of(statement.value)] = statement.targets[0].id
        return found

    def derived_side(self) -> ast.expr | None:
        """The derived gradient as one expression, where it is one in matrix notation."""
        right = self.setting.right(self.wrt)
        _, lines = parse("\n".join(right)) if right else (None, [])
        if (
            not lines
            or not isinstance(lines[-1], ast.Assign)
            or not isinstance(lines[-1].targets[0], ast.Name)
        ):
            return None
        sides = self._inlined(lines)
        return sides[-1] if sides and len(text_of(sides[-1])) <= WHOLE else None

    @property
    def _matrices(self) -> tuple[str, ...]:
        products = (n for n in self._derived if isinstance(n, ast.BinOp) and isinstance(n.op, ast.MatMult))
        return self._texts(side for n in products for side in (n.left, n.right))

    def _texts(self, nodes: Iterable[ast.expr]) -> tuple[str, ...]:
        texts = dict.fromkeys(text_of(n) for n in nodes if not isinstance(n, ast.Constant))
        return tuple(text for text in texts if len(text) <= LONGEST)[:MOST]

    @property
    def _factors(self) -> tuple[str, ...]:
        products = (n for n in self._derived if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Mult))
        return self._texts(side for n in products for side in (n.left, n.right))

    @property
    def _terms(self) -> tuple[str, ...]:
        sums = (n for n in self._derived if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Add | ast.Sub))
        return self._texts(side for n in sums for side in (n.left, n.right))

    @property
    def _parts(self) -> tuple[str, ...]:
        kinds = (ast.BinOp, ast.Call, ast.Attribute, ast.Name, ast.Compare)
        return self._texts(n for n in self._derived if isinstance(n, kinds) and not _is_function(n))

    @cached_property
    def _masks(self) -> tuple[str, ...]:
        """Conditions that stand in the program, and those that its kinked functions mean."""
        found: dict[str, None] = {}
        _, statements = parse(self.setting.program.source)
        for node in (n for s in statements for n in ast.walk(s)):
            match node:
                case ast.Compare():
                    found[text_of(node)] = None
                case ast.Call(func=ast.Name(id="relu"), args=[x]):
                    found[f"{text_of(x)} > 0"] = None
                case ast.Call(func=ast.Name(id="maximum" | "minimum" as which), args=[a, b]):
                    sign = ">" if which == "maximum" else "<"
                    found[f"{text_of(a)} {sign} {text_of(b)}"] = None
                    found[f"{text_of(b)} {sign} {text_of(a)}"] = None
                case ast.Call(func=ast.Name(id="abs"), args=[x]):
                    found[f"sign({text_of(x)})"] = None
        for statement in statements:
            brackets = [text_of(n) for n in ast.walk(statement) if isinstance(n, ast.Compare)]
            if len(brackets) > 1:
                found[" * ".join(f"({bracket})" for bracket in brackets)] = None
        return tuple(found)


def inlined(value: ast.expr, sides: Mapping[str, ast.expr]) -> ast.expr:
    """The expression with the names of lines replaced by their right sides."""

    class Inlining(ast.NodeTransformer):
        def visit_Name(self, found: ast.Name) -> ast.expr:
            return sides.get(found.id, found)

    result: ast.expr = Inlining().visit(ast.parse(text_of(value), mode="eval").body)
    return result


def called_by(value: ast.expr, names: Mapping[str, str]) -> ast.expr:
    """The expression with every part that has a name called by it."""
    if not names:
        return value

    class Calling(ast.NodeTransformer):
        def generic_visit(self, found: ast.AST) -> ast.AST:
            if isinstance(found, ast.BinOp | ast.Call) and text_of(found) in names:
                return ast.Name(names[text_of(found)], ast.Load())
            return super().generic_visit(found)

    result: ast.expr = Calling().visit(value)
    return result


def _same(a: Tensor, b: Tensor) -> bool:
    return (
        a.is_integer == b.is_integer
        and a.rank == b.rank
        and all(same_size(m, n) for m, n in zip(a.shape, b.shape, strict=True))
    )


def _is_target(node: ast.AST) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def _mentions(node: ast.AST, names: Collection[str]) -> bool:
    return any(isinstance(part, ast.Name) and part.id in names for part in ast.walk(node))


def _is_function(node: ast.expr) -> bool:
    """A name that is called: ast.walk meets it as any other name."""
    return isinstance(node, ast.Name) and node.id in RESERVED
