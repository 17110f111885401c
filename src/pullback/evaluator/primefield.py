"""The exact domain: integers modulo a prime, with exp, log, roots and order modelled by their laws.

A value holds its residue modulo P for each of some trials. "Positive" is "a non-zero square": that
character is multiplicative, so sign, abs and the order of two numbers obey the laws they have in ℝ.
exp maps residues modulo Q (the *exponent* of a value, worked out beside it when an exp asks for it)
onto the squares: exp(a + b) = exp(a) exp(b). log, sin, cos and erf are opaque functions that obey
log(ab) = log a + log b, log(exp u) = u, exp(log v) = v, sin² + cos² = 1, and their parities.

Entries without a value (a division by zero, a root of a non-square) are marked `bad`, like NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import gcd
from typing import Final

import numpy as np

from pullback.evaluator.domain import Array, BoolArray, Domain, IntArray, stacked
from pullback.evaluator.residues import (
    P,
    Q,
    character,
    exponential,
    fraction,
    is_square,
    logarithm,
    power,
    root,
    scrambled,
)
from pullback.limits import demand

Thunk = Callable[[], "Residues"]


LARGEST_CONSTANT: Final = (
    1 << 4096
)  # a longer one is residues alone: a loop would double its digits at each step
DEEPEST: Final = 60  # operations whose exponent part has not been worked out yet


class Residues:
    """Residues modulo P; the exponent part, and what log and exp of it are, when asked for."""

    __slots__ = ("bad", "constant", "depth", "exp_of", "log_of", "p", "q")

    def __init__(
        self,
        p: Array,
        q: IntArray | Callable[[], IntArray],
        bad: BoolArray | None = None,
        *,
        log_of: Thunk | None = None,
        exp_of: Thunk | None = None,
        constant: Fraction | None = None,
        depth: int = 0,
    ) -> None:
        self.p: IntArray = p
        self.q = q
        self.bad = bad
        self.log_of = log_of
        self.exp_of = exp_of
        self.constant = constant
        self.depth = depth
        if depth >= DEEPEST:
            # What is worked out late is worked out by recursion: a long chain must not pile it up.
            self.exponent()
            self.log_of = self.exp_of = None
            self.depth = 0

    def exponent(self) -> IntArray:
        if callable(self.q):
            self.q = self.q()
        return self.q


def _merged(a: BoolArray | None, b: BoolArray | None) -> BoolArray | None:
    if a is None or b is None:
        return b if a is None else a
    return a | b


class PrimeField(Domain[Residues]):
    """Residues for `trials` independent trials; `key` fixes the opaque functions."""

    name = "integers modulo a prime"
    exact = True
    lead = 1

    def __init__(self, trials: int = 4, key: int = 1) -> None:
        self.batch = trials
        self.key: Final = key
        # exp(1) is a square that the key chooses: no number of a formula is it by accident.
        self.scale: Final = 1 + int(scrambled(np.array(27182818), key, Q - 1))
        self.unscale: Final = pow(self.scale, -1, Q)

    # ---- structure

    def restructure(self, v: Residues, f: Callable[[Array], Array]) -> Residues:
        log_of, exp_of = v.log_of, v.exp_of
        return Residues(
            f(v.p),
            lambda: f(v.exponent()),
            None if v.bad is None else f(v.bad),
            log_of=None if log_of is None else lambda: self.restructure(log_of(), f),
            exp_of=None if exp_of is None else lambda: self.restructure(exp_of(), f),
            constant=v.constant,
            depth=v.depth + 1,
        )

    def shape(self, v: Residues) -> tuple[int, ...]:
        return v.p.shape

    def total(self, v: Residues, count: int) -> Residues:
        if not count:
            return v
        shape = self.trailing(v, count)
        if all(size == 1 for size in shape):
            return self.restructure(v, lambda x: x.reshape(x.shape[: x.ndim - count]))
        axes = tuple(range(-count, 0))
        return Residues(
            np.asarray(v.p.sum(axis=axes) % P),
            lambda: np.asarray(v.exponent().sum(axis=axes) % Q),
            None if v.bad is None else np.asarray(v.bad.any(axis=axes)),
            exp_of=None if v.exp_of is None else lambda: self.prod(self.exp(v), count),
            depth=v.depth + 1,
        )

    def stack(self, entries: Sequence[Residues], shape: tuple[int, ...]) -> Residues:
        bad = None
        if any(x.bad is not None for x in entries):
            marks = [np.broadcast_to(False if x.bad is None else x.bad, x.p.shape) for x in entries]
            bad = stacked(marks, shape)
        log_structure = any(x.log_of is not None for x in entries)
        exp_structure = any(x.exp_of is not None for x in entries)
        return Residues(
            stacked([x.p for x in entries], shape),
            lambda: stacked([x.exponent() for x in entries], shape),
            bad,
            log_of=(lambda: self.stack([self.log(x) for x in entries], shape)) if log_structure else None,
            exp_of=(lambda: self.stack([self.exp(x) for x in entries], shape)) if exp_structure else None,
            depth=max(x.depth for x in entries) + 1,
        )

    def select(self, mask: BoolArray, a: Residues, b: Residues) -> Residues:
        bad = None
        if a.bad is not None or b.bad is not None:
            no = np.zeros((), dtype=bool)
            bad = np.where(mask, no if a.bad is None else a.bad, no if b.bad is None else b.bad)
            bad = np.broadcast_to(bad, np.broadcast_shapes(bad.shape, a.p.shape, b.p.shape))
        log_structure = a.log_of is not None or b.log_of is not None
        exp_structure = a.exp_of is not None or b.exp_of is not None
        return Residues(
            np.where(mask, a.p, b.p),
            lambda: np.where(mask, a.exponent(), b.exponent()),
            bad,
            log_of=(lambda: self.select(mask, self.log(a), self.log(b))) if log_structure else None,
            exp_of=(lambda: self.select(mask, self.exp(a), self.exp(b))) if exp_structure else None,
            depth=max(a.depth, b.depth) + 1,
        )

    # ---- ring

    def number(self, x: Fraction) -> Residues:
        return Residues(
            np.array(fraction(x.numerator, x.denominator, P), dtype=np.int64),
            np.array(fraction(x.numerator, x.denominator, Q), dtype=np.int64),
            constant=x if max(abs(x.numerator), x.denominator) < LARGEST_CONSTANT else None,
        )

    def integers(self, a: IntArray) -> Residues:
        return Residues(a % P, lambda: a % Q, constant=Fraction(int(a)) if a.ndim == 0 else None)

    def _folded(self, x: Fraction, *values: Residues) -> Residues:
        """A constant that was worked out from constants, with the axes that they have together."""
        shape = np.broadcast_shapes(*(v.p.shape for v in values))
        folded = self.number(x)
        return self.restructure(folded, lambda a: np.broadcast_to(a, shape)) if shape else folded

    def add(self, a: Residues, b: Residues) -> Residues:
        if a.constant is not None and b.constant is not None:
            return self._folded(a.constant + b.constant, a, b)
        structure = a.exp_of is not None or b.exp_of is not None
        return Residues(
            (a.p + b.p) % P,
            lambda: (a.exponent() + b.exponent()) % Q,
            self._spread(_merged(a.bad, b.bad), a, b),
            exp_of=(lambda: self.mul(self.exp(a), self.exp(b))) if structure else None,
            depth=max(a.depth, b.depth) + 1,
        )

    def mul(self, a: Residues, b: Residues) -> Residues:
        if a.constant is not None and b.constant is not None:
            return self._folded(a.constant * b.constant, a, b)
        if b.constant is not None:
            a, b = b, a
        factor = a.constant
        scaled = factor is not None and b.exp_of is not None
        return Residues(
            a.p * b.p % P,
            lambda: a.exponent() * b.exponent() % Q,
            self._spread(_merged(a.bad, b.bad), a, b),
            log_of=lambda: self.add(self.log(a), self.log(b)),
            exp_of=(lambda: self.power(self.exp(b), factor or Fraction(0))) if scaled else None,
            depth=max(a.depth, b.depth) + 1,
        )

    def _spread(self, bad: BoolArray | None, a: Residues, b: Residues) -> BoolArray | None:
        """The marks in the full shape of the result."""
        return None if bad is None else np.broadcast_to(bad, np.broadcast_shapes(a.p.shape, b.p.shape))

    def power(self, a: Residues, r: Fraction) -> Residues:
        if a.constant is not None and r.denominator == 1 and (a.constant or r > 0):
            return self._folded(a.constant**r.numerator, a)
        bad = a.bad
        if r < 0:
            bad = _merged(bad, a.p == 0)
        if gcd(r.denominator, P - 1) == 1:
            exponent = r.numerator * pow(r.denominator, -1, P - 1) % (P - 1)
        else:
            exponent = r.numerator * pow(r.denominator, -1, Q) % Q  # see `root`
            bad = _merged(bad, character(a.p) < 0)
        p = power(a.p, exponent)

        def q() -> IntArray:
            if r.denominator == 1:
                return power(a.exponent(), r.numerator % (Q - 1), Q)
            return self._root_exponent(a, r, p)

        scale = self.number(r)
        return Residues(p, q, bad, log_of=lambda: self.mul(scale, self.log(a)), depth=a.depth + 1)

    def _root_exponent(self, a: Residues, r: Fraction, p: IntArray) -> IntArray:
        """The exponent part of a root: a root where there is one (small integers have one), else opaque."""
        q = a.exponent()
        return np.where(character(q, Q) >= 0, root(q, r, Q), self._hash(p, Q, "power"))

    # ---- functions

    def _hash(self, a: Array, prime: int, purpose: str) -> IntArray:
        return scrambled(a, self.key * 1_000_003 + sum(ord(c) << 3 * k for k, c in enumerate(purpose)), prime)

    def exp(self, a: Residues) -> Residues:
        if a.exp_of is not None:
            return a.exp_of()
        p = exponential(a.exponent() * self.scale % Q)
        return Residues(p, lambda: self._hash(p, Q, "exp"), a.bad, log_of=lambda: a)

    def log(self, a: Residues) -> Residues:
        """log |a|: structural where `a` is a product, a power or an exponential, else opaque."""
        if a.log_of is not None:
            return a.log_of()
        if a.constant is not None and a.constant > 0:
            shape = a.p.shape
            return self.restructure(self._log_of_number(a.constant), lambda x: np.broadcast_to(x, shape))
        size = self._size(a.p)
        p = np.where(size == 1, 0, self._hash(size, P, "log"))
        zero = size == 0
        bad = _merged(a.bad, zero) if zero.any() else a.bad
        return Residues(p, lambda: self._exponent_of(size), bad, exp_of=lambda: a)

    def _exponent_of(self, size: IntArray) -> IntArray:
        """log in the exponent part: the discrete logarithm, so that exp(y log x) is x ** y."""
        if size.size > 512:
            return self._hash(size, Q, "log")
        return self._discrete(size)

    def _discrete(self, size: IntArray) -> IntArray:
        """The exponent whose exponential is `size`."""
        return logarithm(size) * self.unscale % Q

    def _size(self, p: Array) -> IntArray:
        """|a|: whichever of a and -a is a square."""
        return np.where(is_square(p), p, (P - p) % P)

    def _log_of_number(self, x: Fraction) -> Residues:
        """log of a positive rational, through its prime factors."""
        p = q = 0
        for n, sign in ((x.numerator, 1), (x.denominator, -1)):
            for factor in _factors(n):
                atom = np.array(factor % P, dtype=np.int64)
                p += sign * int(self._hash(atom, P, "log"))
                q += sign * int(self._discrete(self._size(atom)))
        return Residues(np.array(p % P), np.array(q % Q), exp_of=lambda: self.number(x))

    def _odd(self, a: Residues, f: Callable[[IntArray], IntArray]) -> IntArray:
        return character(a.p) * f(self._size(a.p)) % P

    def _opaque(self, p: IntArray, bad: BoolArray | None, purpose: str) -> Residues:
        return Residues(p, lambda: self._hash(p, Q, purpose), bad)

    def _angle(self, a: Residues) -> tuple[IntArray, IntArray]:
        """(t, 1 / (1 + t²)) with t an odd function of a; 1 + t² is never 0 because -1 is no square."""
        t = self._odd(a, lambda size: self._hash(size, P, "angle"))
        return t, power((1 + t * t) % P, P - 2)

    def sin(self, a: Residues) -> Residues:
        t, scale = self._angle(a)
        return self._opaque(2 * t % P * scale % P, a.bad, "sin")

    def cos(self, a: Residues) -> Residues:
        t, scale = self._angle(a)
        return self._opaque((1 - t * t) % P * scale % P, a.bad, "cos")

    def erf(self, a: Residues) -> Residues:
        return self._opaque(self._odd(a, lambda size: self._hash(size, P, "erf")), a.bad, "erf")

    def arctan(self, a: Residues) -> Residues:
        return self._opaque(self._odd(a, lambda size: self._hash(size, P, "arctan")), a.bad, "arctan")

    def polygamma(self, a: Residues, order: int) -> Residues:
        name = f"polygamma {order}"
        return self._opaque(self._hash(a.p, P, name), a.bad, name)

    def pi(self) -> Residues:
        p = exponential(self._hash(np.array(31415926, dtype=np.int64), Q, "pi"))
        return Residues(p, lambda: self._hash(p, Q, "pi"))

    def sign(self, a: Residues) -> Residues:
        chi = character(a.p)
        zero = self.number(Fraction(0))
        return Residues(chi % P, lambda: chi % Q, a.bad, log_of=lambda: zero)

    def compare(self, relation: str, a: Residues, b: Residues) -> BoolArray:
        gap = (a.p - b.p) % P
        match relation:
            case "==":
                return np.asarray(gap == 0)
            case "!=":
                return np.asarray(gap != 0)
        order = character(gap)
        match relation:
            case ">":
                return np.asarray(order > 0)
            case ">=":
                return np.asarray(order >= 0)
            case "<":
                return np.asarray(order < 0)
        return np.asarray(order <= 0)

    def difference(self, a: Residues, b: Residues) -> tuple[BoolArray, BoolArray]:
        differs = a.p != b.p
        bad = _merged(a.bad, b.bad)
        known = np.ones_like(differs) if bad is None else ~np.broadcast_to(bad, differs.shape)
        return differs & known, known


def _factors(n: int) -> list[int]:
    """The prime factors of n with multiplicity; a large rest counts as one atom."""
    found = []
    k = 2
    while k * k <= n and k < 10_000:
        while n % k == 0:
            found.append(k)
            n //= k
        k += 1
    demand(len(found), 1000, "the prime factors of a constant")
    return [*found, n] if n > 1 else found
