"""Arithmetic of integer arrays modulo the two primes: powers, characters, logarithms, hashes.

`P = 2 Q + 1` with both prime, and every integer from 1 to 22 is a square modulo both: so small integers
are positive and in their true order, where "positive" is read as "a non-zero square".
Products of two residues fit into int64.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache, lru_cache
from typing import Final

import numpy as np

from pullback.evaluator.domain import Array, BoolArray, IntArray

P: Final = 2_147_024_879
Q: Final = 1_073_512_439
G: Final = 4  # generates the squares modulo P, a group of order Q
_BABY: Final = 1 << 18
_SIEVE: Final = (1 << 22) - 1


def power(a: Array, n: int, prime: int = P) -> IntArray:
    """a ** n modulo the prime, for n >= 0."""
    result = np.ones_like(a)
    while n:
        if n & 1:
            result = result * a % prime
        n >>= 1
        if n:
            a = a * a % prime
    return result


def character(a: Array, prime: int = P) -> IntArray:
    """1 for a non-zero square modulo the prime, -1 for a non-square, 0 for 0."""
    legendre = power(a, (prime - 1) // 2, prime)
    return np.where(legendre == prime - 1, np.int64(-1), legendre)


def root(a: Array, r: Fraction, prime: int) -> IntArray:
    """a ** r for squares: the root that is a square itself, so that roots of a product multiply.

    The squares form a group of odd order (prime - 1) / 2 for both primes.
    """
    order = (prime - 1) // 2
    return power(a, r.numerator * pow(r.denominator, -1, order) % order, prime)


@cache
def _exponentials() -> tuple[IntArray, ...]:
    """G ** (d * 2**(10 k)) for the digits d of base 2**10."""
    tables = []
    step = G
    for _ in range(3):
        row = [1]
        for _ in range(1023):
            row.append(row[-1] * step % P)
        tables.append(np.array(row, dtype=np.int64))
        step = row[-1] * step % P
    return tuple(tables)


def exponential(e: Array) -> IntArray:
    """G ** e modulo P: a homomorphism from the residues modulo Q."""
    low, middle, high = _exponentials()
    result: IntArray = low[e & 1023] * middle[(e >> 10) & 1023] % P * high[e >> 20] % P
    return result


@cache
def _babies() -> tuple[IntArray, IntArray, BoolArray, IntArray]:
    """Small powers in order with their exponents, a sieve for them, and the giant steps back."""
    powers = exponential(np.arange(_BABY, dtype=np.int64))
    order = np.argsort(powers)
    sieve = np.zeros(_SIEVE + 1, dtype=bool)
    sieve[powers & _SIEVE] = True
    giants = exponential((-_BABY * np.arange(Q // _BABY + 1, dtype=np.int64)) % Q)
    return powers[order], order, sieve, giants


def logarithm(a: Array) -> IntArray:
    """The exponent e with G ** e = a, for non-zero squares; baby steps, giant steps."""
    values, back = np.unique(np.asarray(a).reshape(-1), return_inverse=True)
    found = np.array([_logarithm(x) for x in values.tolist()], dtype=np.int64)
    return np.asarray(found[back].reshape(np.shape(a)))


@lru_cache(maxsize=4096)
def _logarithm(x: int) -> int:
    powers, order, sieve, giants = _babies()
    candidates = x * giants % P
    steps = np.flatnonzero(sieve[candidates & _SIEVE])
    at = np.minimum(np.searchsorted(powers, candidates[steps]), _BABY - 1)
    hits = np.flatnonzero(powers[at] == candidates[steps])
    return (int(order[at[hits[0]]]) + int(steps[hits[0]]) * _BABY) % Q if hits.size else 0


def scrambled(a: Array, key: int, prime: int) -> IntArray:
    """A residue that is a fixed, random-looking function of (key, a)."""
    x = np.asarray(a).astype(np.uint64) + np.uint64(key & (2**63 - 1))
    with np.errstate(over="ignore"):
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return ((x >> np.uint64(1)) % np.uint64(prime)).astype(np.int64)


@lru_cache(maxsize=4096)
def fraction(numerator: int, denominator: int, prime: int) -> int:
    """numerator / denominator modulo the prime."""
    return numerator * pow(denominator, -1, prime) % prime


def is_square(a: Array) -> BoolArray:
    return np.asarray(character(a) == 1)
