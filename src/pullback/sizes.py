"""Sizes of axes: polynomials with integer coefficients in symbols and floor divisions, in one normal form.

`2*N - 1` and `N + N - 1` are one size, and so are `(2*P - 2)//2 + 1` and `P`. Two sizes whose normal
forms differ are treated as different, even if some values of the symbols would make them meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

from pullback.errors import ShapeProblem
from pullback.expression import ONE, Access, Add, Call, Expr, Index, Mul, Num, Pow, Size, add, mul, num

Monomial = tuple[Expr, ...]
Polynomial = dict[Monomial, int]

_SYMBOLS = {"floordiv": "//", "mod": "%"}


def size_text(e: Expr) -> str:
    """A size as a person writes it.

    >>> from pullback.expression import Size, add, mul, num
    >>> size_text(add(mul(num(2), Size("N")), num(-1)))
    '2*N-1'
    """
    match e:
        case Num(value):
            return str(value)
        case Size(name) | Index(name, _):
            return name
        case Add(terms):
            texts = [size_text(term) for term in terms]
            return texts[0] + "".join(t if t.startswith("-") else "+" + t for t in texts[1:])
        case Mul(factors):
            if isinstance(factors[0], Num) and factors[0].value == -1:
                return "-" + size_text(mul(*factors[1:]))
            return "*".join(_grouped(factor) for factor in factors)
        case Pow(base, exponent):
            return f"{_grouped(base)}**{_grouped(exponent)}"
        case Access(tensor, slots):
            return f"{tensor}[{','.join(map(size_text, slots))}]"
        case Call(function, (a, b)) if function in _SYMBOLS:
            return _grouped(a) + _SYMBOLS[function] + _grouped(b)
    return type(e).__name__


def _grouped(e: Expr) -> str:
    text = size_text(e)
    return f"({text})" if isinstance(e, (Add, Mul)) or (isinstance(e, Call) and "/" in text) else text


def shape_text(shape: Iterable[Expr]) -> str:
    """A shape as it is said in a message: `N×D`, or `a scalar`."""
    return "×".join(_grouped(e) if isinstance(e, Add) else size_text(e) for e in shape) or "a scalar"


def polynomial(e: Expr) -> Polynomial:
    """The size as integer coefficients of monomials; anything that is not arithmetic is an atom."""
    match e:
        case Num(value) if value.denominator == 1:
            return {(): int(value)} if value else {}
        case Add(terms):
            return _sum(polynomial(term) for term in terms)
        case Mul(factors):
            result: Polynomial = {(): 1}
            for factor in factors:
                result = _product(result, polynomial(factor))
            return result
        case Pow(base, Num(value)) if value.denominator == 1 and 0 <= value <= 8:
            return polynomial(mul(*([base] * int(value))))
        case Call("floordiv", (a, b)):
            return _floordiv(polynomial(a), polynomial(b))
        case Call("mod", (a, b)):
            return _mod(polynomial(a), polynomial(b))
    return {(e,): 1}


def _sum(parts: Iterable[Polynomial]) -> Polynomial:
    result: Polynomial = {}
    for part in parts:
        for monomial, coefficient in part.items():
            result[monomial] = result.get(monomial, 0) + coefficient
    return {m: c for m, c in result.items() if c}


def _product(a: Polynomial, b: Polynomial) -> Polynomial:
    return _sum({tuple(sorted(m + n, key=_key)): c * d} for m, c in a.items() for n, d in b.items())


def _constant(p: Polynomial) -> int | None:
    if not p:
        return 0
    return p.get(()) if len(p) == 1 else None


def divided(a: Polynomial, b: Polynomial) -> Polynomial | None:
    """a / b where b is one monomial that divides every term of a, else None."""
    if len(b) != 1:
        return {(): 1} if a == b else None
    ((divisor, d),) = b.items()
    result: Polynomial = {}
    for monomial, c in a.items():
        left = list(monomial)
        for atom in divisor:
            if atom not in left:
                return None
            left.remove(atom)
        if c % d:
            return None
        result[tuple(left)] = c // d
    return result


def _split(a: Polynomial, b: Polynomial) -> tuple[Polynomial, Polynomial]:
    """The terms of a that b divides, divided, and the rest."""
    whole: Polynomial = {}
    rest: Polynomial = {}
    for monomial, c in a.items():
        quotient = divided({monomial: c}, b)
        if quotient is None:
            rest[monomial] = c
        else:
            whole = _sum((whole, quotient))
    return whole, rest


def _floordiv(a: Polynomial, b: Polynomial) -> Polynomial:
    if not b:
        raise ShapeProblem("a size is divided by zero")
    whole, rest = _split(a, b)
    top, bottom = _constant(rest), _constant(b)
    if top is not None and bottom is not None:
        return _sum((whole, {(): top // bottom} if top // bottom else {}))
    if not rest:
        return whole
    return _sum((whole, {(Call("floordiv", (_expression(rest), _expression(b))),): 1}))


def _mod(a: Polynomial, b: Polynomial) -> Polynomial:
    if not b:
        raise ShapeProblem("a size is divided by zero")
    _, rest = _split(a, b)
    top, bottom = _constant(rest), _constant(b)
    if top is not None and bottom is not None:
        return {(): top % bottom} if top % bottom else {}
    if not rest:
        return {}
    return {(Call("mod", (_expression(rest), _expression(b))),): 1}


def _key(atom: Expr) -> tuple[int, str]:
    return (0 if isinstance(atom, (Size, Index)) else 1, size_text(atom))


def _expression(p: Polynomial) -> Expr:
    def order(item: tuple[Monomial, int]) -> tuple[object, ...]:
        monomial, c = item
        return (-len(monomial), c < 0, [_key(atom) for atom in monomial])

    terms = sorted(p.items(), key=order)
    return add(*(mul(num(c), *monomial) for monomial, c in terms))


def normal_size(e: Expr) -> Expr:
    """The normal form of a size expression.

    >>> from pullback.expression import Size, add
    >>> size_text(normal_size(add(Size("N"), num(-1), Size("N"))))
    '2*N-1'
    """
    if isinstance(e, (Size, Num)):
        return e
    return _expression(polynomial(e))


def same_size(a: Expr, b: Expr) -> bool:
    """Whether two size expressions are equal for all values of their symbols, by normal form."""
    return a is b or polynomial(a) == polynomial(b)


def exact_quotient(a: Expr, b: Expr) -> Expr | None:
    """a / b where the division comes out for all values of the symbols, else None."""
    quotient = divided(polynomial(a), polynomial(b)) if polynomial(b) else None
    return None if quotient is None else _expression(quotient)


def product_size(sizes: Iterable[Expr]) -> Expr:
    """The number of elements of a shape."""
    return normal_size(mul(ONE, *sizes))


def evaluate_size(e: Expr, values: Mapping[str, int]) -> int:
    """A size expression as a number; a symbol without a value is a `ShapeProblem`.

    >>> from pullback.expression import Size, add
    >>> evaluate_size(add(Size("N"), num(3)), {"N": 4})
    7
    """
    match e:
        case Num(value) if value.denominator == 1:
            return int(value)
        case Size(name):
            if name not in values:
                raise ShapeProblem(f"size {name} has no value", hint=f"give one, such as {name}=3")
            return values[name]
        case Add(terms):
            return sum(evaluate_size(term, values) for term in terms)
        case Mul(factors):
            result = Fraction(1)
            for factor in factors:
                result *= evaluate_size(factor, values)
            return int(result)
        case Pow(base, exponent):
            n = evaluate_size(exponent, values)
            if n >= 0:
                return int(evaluate_size(base, values) ** n)
        case Call("floordiv" | "mod" as function, (a, b)):
            divisor = evaluate_size(b, values)
            if divisor == 0:
                raise ShapeProblem(f"{size_text(e)} divides by zero")
            top = evaluate_size(a, values)
            return top // divisor if function == "floordiv" else top % divisor
    raise ShapeProblem(f"{size_text(e)} is not a size")
