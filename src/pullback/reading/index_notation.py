"""Index notation: one line says what one element is; indices absent on the left are summed.

The sum stands outside the whole right-hand side, so every additive term must hold every summed index.
"""

from __future__ import annotations

import ast
from typing import Final

from pullback.errors import (
    DomainProblem,
    IndexProblem,
    LimitProblem,
    NameProblem,
    Place,
    PullbackError,
    ShapeProblem,
    SyntaxProblem,
    nearest,
)
from pullback.expression import (
    ONE,
    ZERO,
    Access,
    Const,
    Expr,
    Index,
    Num,
    Size,
    Tensor,
    add,
    bracket,
    call,
    mul,
    neg,
    num,
    over,
    power,
    total,
)
from pullback.functions import FUNCTIONS, sqrt
from pullback.limits import MAX_EXPONENT
from pullback.reading.bounds import check_reads
from pullback.reading.context import CONSTANTS, Context, bounded
from pullback.reading.indexing import slots
from pullback.reading.lines import names_in, subscripts
from pullback.reading.scalar import NOT_CALLED, relation
from pullback.reading.syntax import chain
from pullback.sizes import same_size, shape_text, size_text

ELEMENTWISE: Final = (*(name for name in FUNCTIONS if name not in NOT_CALLED), "sqrt")


def additive(node: ast.expr) -> list[ast.expr]:
    """The top-level additive terms."""
    terms, stack = [], [node]
    while stack:
        part = stack.pop()
        if isinstance(part, ast.BinOp) and isinstance(part.op, (ast.Add, ast.Sub)):
            stack += [part.right, part.left]
        else:
            terms.append(part)
    return terms


class IndexLine:
    """One line of index notation."""

    def __init__(self, context: Context, target: ast.expr, value: ast.expr) -> None:
        self.context = context
        self.target = target
        self.value = value
        self.name = target.id if isinstance(target, ast.Name) else self._target_name()
        self.left = self._left()
        self.ranges: dict[str, Expr] = {}
        self.indices: dict[str, Index] = {}

    def _target_name(self) -> str:
        assert isinstance(self.target, ast.Subscript)
        if not isinstance(self.target.value, ast.Name):
            raise self.problem(self.target, SyntaxProblem("a definition begins with a name: Y[i,j] = …"))
        return self.target.value.id

    def _left(self) -> list[str]:
        if isinstance(self.target, ast.Name):
            return []
        assert isinstance(self.target, ast.Subscript)
        left = []
        for slot in slots(self.target):
            if not isinstance(slot, ast.Name):
                raise self.problem(slot, SyntaxProblem("on the left stand plain indices", hint="Y[i,j] = …"))
            self._demand_index(slot)
            if slot.id in left:
                what = f"index {slot.id} stands twice on the left"
                hint = f"Y[{slot.id},j] = … * ({slot.id} == j) for a diagonal"
                raise self.problem(slot, IndexProblem(what, hint=hint))
            left.append(slot.id)
        return left

    def problem(self, node: ast.AST, error: PullbackError) -> PullbackError:
        return self.context.at(node, error)

    # ---- which names are indices --------------------------------------------------------

    def is_index(self, name: str) -> bool:
        known = (self.context.tensors, self.context.sizes, CONSTANTS)
        return not any(name in names for names in known)

    def _demand_index(self, node: ast.Name) -> None:
        name = node.id
        if name in self.context.tensors:
            kind = "tensor"
        elif name in self.context.sizes or name in CONSTANTS:
            kind = "size" if name in self.context.sizes else "constant"
        elif name in FUNCTIONS:
            kind = "function"
        else:
            return
        what = f"`{name}` is a {kind}, not an index"
        raise self.problem(node, NameProblem(what, hint="give the index another letter"))

    # ---- the line -----------------------------------------------------------------------

    def define(self, shape: tuple[Expr, ...] | None, text: str, place: Place) -> Tensor:
        """Read the line; `shape` is that of the target, where it is known."""
        right = list(dict.fromkeys(n.id for n in names_in(self.value) if self.is_index(n.id)))
        summed = [name for name in right if name not in self.left]
        self._ranges_from_declarations(right)
        if shape is not None:
            self._ranges_from_target(shape)
        self._ranges_from_slots()
        for name in (*self.left, *summed):
            if name not in self.ranges:
                raise self._no_range(name)
            self.indices[name] = Index(name, self.ranges[name])
        self._check_terms(summed)
        body = self.expression(self.value)
        result = total((self.indices[name] for name in summed), body)
        try:
            check_reads(result)
        except IndexProblem as error:
            raise self.problem(self.value, error) from None
        bound = tuple(self.indices[name] for name in self.left)
        return self.context.add(self.name, bound, result, text, place)

    def _no_range(self, name: str) -> PullbackError:
        node = next((n for n in names_in(self.value) if n.id == name), self.target)
        near = nearest(name, self.context.tensors) if len(name) > 1 else None
        hint = near or f'a range beside the program, {{"{name}": "N"}}, or, if it is a scalar, {name}: []'
        if any(part.id == name for sub in subscripts(self.value) for s in slots(sub) for part in names_in(s)):
            hint = f'give its range beside the program: ranges={{"{name}": "N-1"}}'
        elif name.isupper():
            hint = f"if {name} is a size, declare a shape that holds it, such as X: [{name}]"
        return self.problem(node, IndexProblem(f"the range of index {name} is unknown", hint=hint))

    def _check_terms(self, summed: list[str]) -> None:
        terms = additive(self.value)
        if len(terms) == 1:
            return
        for term in terms:
            present = {n.id for n in names_in(term)}
            missing = [name for name in summed if name not in present]
            if missing:
                what = f"the sum over {', '.join(missing)} is ambiguous: this term does not hold it"
                hint = "give the sum a line of its own"
                raise self.problem(term, IndexProblem(what, hint=hint))

    # ---- ranges -------------------------------------------------------------------------

    def _ranges_from_declarations(self, right: list[str]) -> None:
        for name in (*self.left, *right):
            if name in self.context.ranges:
                self.ranges[name] = self.context.ranges[name]

    def _ranges_from_target(self, shape: tuple[Expr, ...]) -> None:
        if len(shape) != len(self.left):
            what = f"{self.name} has the shape {shape_text(shape)}, {len(self.left)} indices are given"
            hint = f"name the indices that stay: {self.name}[{', '.join('ijklpqrs'[: len(shape)])}] = …"
            raise self.problem(self.target, ShapeProblem(what, hint=hint))
        for name, size in zip(self.left, shape, strict=True):
            self._meet(name, size, self.target)

    def _meet(self, name: str, size: Expr, node: ast.AST) -> None:
        known = self.ranges.setdefault(name, size)
        if not same_size(known, size):
            what = f"index {name} ranges over {size_text(known)} and over {size_text(size)}"
            raise self.problem(node, IndexProblem(what, hint="use two indices, or make the sizes the same"))

    def _ranges_from_slots(self) -> None:
        for node in subscripts(self.value):
            tensor = self._tensor(node)
            parts = slots(node)
            if len(parts) != tensor.rank:
                shape = f"{tensor.rank} axes ({shape_text(tensor.shape)})"
                what = f"{tensor} has {shape}, {len(parts)} indices are given"
                raise self.problem(node, ShapeProblem(what, hint="one index an axis"))
            for size, part in zip(tensor.shape, parts, strict=True):
                if isinstance(part, ast.Name) and part.id not in self.context.ranges:
                    if self.is_index(part.id):
                        self._meet(part.id, size, part)
                    elif part.id not in self.context.sizes and not self._is_position(part.id):
                        self._demand_index(part)

    def _is_position(self, name: str) -> bool:
        """Whether a name is one integer, which may stand in a slot as it is."""
        tensor = self.context.tensors.get(name)
        return tensor is not None and tensor.is_integer and not tensor.rank

    def _tensor(self, node: ast.Subscript) -> Tensor:
        if not isinstance(node.value, ast.Name):
            raise self.problem(node, SyntaxProblem("only a name has indices", hint="A[i,j] * B[j,k]"))
        name = node.value.id
        if name not in self.context.tensors:
            raise self.problem(node.value, self.context.unknown_name(name))
        return self.context.tensors[name]

    # ---- expressions --------------------------------------------------------------------

    def expression(self, node: ast.expr) -> Expr:
        try:
            return self._expression(node)
        except PullbackError as error:
            raise self.problem(node, error) from None

    def _expression(self, node: ast.expr) -> Expr:
        match node:
            case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
                return self.context.number(node)
            case ast.Name(id=name):
                return self._name(name)
            case ast.Subscript():
                return self._access(node)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return neg(self.expression(operand))
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.expression(operand)
            case ast.BinOp():
                return self._operation(node)
            case ast.Compare():
                sides = [self.expression(part) for part in (node.left, *node.comparators)]
                pairs = zip(node.ops, sides, sides[1:], strict=False)
                return mul(*(bracket(relation(op), a, b) for op, a, b in pairs))
            case ast.Call(func=ast.Name(id=name)):
                return self._call(name, node)
            case ast.Attribute():
                raise SyntaxProblem(".T has no place in index notation", hint="swap the indices: X[j,i]")
        raise SyntaxProblem("this is not part of index notation")

    def _name(self, name: str) -> Expr:
        if name in self.indices:
            return self.indices[name]
        tensor = self.context.tensors.get(name)
        if tensor is not None:
            if tensor.rank:
                what = f"{name} has {tensor.rank} axes and stands here without indices"
                raise ShapeProblem(what, hint=f"{name}[{', '.join('ijklpq'[: tensor.rank])}]")
            return Access(tensor, ())
        return Size(name) if name in self.context.sizes else Const(name)

    def _access(self, node: ast.Subscript) -> Expr:
        tensor = self._tensor(node)
        return Access(tensor, tuple(self._slot(part) for part in slots(node)))

    def _slot(self, node: ast.expr) -> Expr:
        """An index expression: affine, // and %, entries of integer tensors."""
        for part in ast.walk(node):
            bad = isinstance(part, (ast.Call, ast.Compare, ast.Slice, ast.List)) or (
                isinstance(part, ast.BinOp) and isinstance(part.op, (ast.Div, ast.Pow, ast.MatMult))
            )
            if bad or (isinstance(part, ast.Constant) and not isinstance(part.value, int)):
                what = "an index is made of whole numbers with + - * // % and entries of integer tensors"
                raise self.problem(part if hasattr(part, "lineno") else node, IndexProblem(what))
            if isinstance(part, ast.Name) and part.id in self.context.tensors:
                tensor = self.context.tensors[part.id]
                if not tensor.is_integer:
                    self._demand_index(part)
        return self.expression(node)

    def _call(self, name: str, node: ast.Call) -> Expr:
        if name not in ELEMENTWISE:
            near = nearest(name, ELEMENTWISE)
            what = f"`{name}` is not a function of index notation, which applies functions to one element"
            raise NameProblem(what, hint=near or "sums are written by leaving an index out on the left")
        arity = 1 if name == "sqrt" else FUNCTIONS[name].arity
        if node.keywords or len(node.args) != arity:
            raise SyntaxProblem(f"{name} takes {arity} argument{'s' * (arity > 1)}")
        arguments = [self.expression(argument) for argument in node.args]
        return sqrt(arguments[0]) if name == "sqrt" else call(name, *arguments)

    def _operation(self, node: ast.BinOp) -> Expr:
        match node.op:
            case ast.MatMult():
                raise SyntaxProblem("@ has no place in index notation", hint="A[i,j] * B[j,k]")
            case ast.Pow():
                return self._power(node)
            case ast.FloorDiv() | ast.Mod():
                function = "floordiv" if isinstance(node.op, ast.FloorDiv) else "mod"
                return _whole(function, self.expression(node.left), self.expression(node.right))
        links = [(op, self.expression(part), part) for op, part in chain(node)]
        if isinstance(node.op, (ast.Add, ast.Sub)):
            return add(*(neg(e) if isinstance(op, ast.Sub) else e for op, e, _ in links))
        for op, e, part in links:
            if isinstance(op, ast.Div) and e is ZERO:
                raise self.problem(part, DomainProblem("division by zero"))
        return mul(*(over(ONE, e) if isinstance(op, ast.Div) else e for op, e, _ in links))

    def _power(self, node: ast.BinOp) -> Expr:
        base, exponent = self.expression(node.left), self.expression(node.right)
        if isinstance(exponent, Num):
            size = max(abs(exponent.value.numerator), exponent.value.denominator)
            if size > MAX_EXPONENT:
                raise self.problem(node.right, LimitProblem(f"an exponent beyond {MAX_EXPONENT}"))
        return bounded(power(base, exponent))


def _whole(function: str, a: Expr, b: Expr) -> Expr:
    if isinstance(a, Num) and isinstance(b, Num) and b.value:
        return num(a.value // b.value if function == "floordiv" else a.value % b.value)
    if b is ZERO:
        raise DomainProblem("division by zero")
    return call(function, a, b)
