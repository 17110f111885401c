"""The data flow on one page: a program in, its backward pass and every step on the way out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pullback.expression import Definition, Expr, Tensor
from pullback.program import Program
from pullback.rewriting import MatrixLine, Section


@dataclass(frozen=True, slots=True)
class Jacobian:
    """What the explicit Jacobian of one definition by one operand would have been."""

    output: Tensor
    operand: Tensor
    shape: tuple[Expr, ...]  # the output's sizes, then the operand's
    entries: Expr
    share: Expr | None  # of the entries that are not zero; None where that depends on values


@dataclass(frozen=True, slots=True)
class Derived:
    """A finished derivation. Everything above this floor only reads it."""

    program: Program
    upstream: Tensor | None  # the given gradient of the output; None for a scalar output, a loss
    wrt: tuple[Tensor, ...]
    sections: tuple[Section, ...]  # in the order of the backward pass
    jacobians: tuple[Jacobian, ...]  # one a section
    backward: tuple[Definition, ...]  # named gradients and other lines, in the order of computation
    lines: Mapping[str, MatrixLine]  # the matrix form of forward and backward definitions, where there is one
    conventions: tuple[str, ...] = ()  # the kinks that take part, and what is assumed there


@dataclass(frozen=True, slots=True)
class Report:
    """What the checks found. `central` is the largest relative difference from central differences."""

    exact: int
    numerical: int
    unknown: int
    error_bound: float  # the probability that an "exact" is wrong
    central: float | None
    trials: tuple[Mapping[str, int], ...] = ()  # the sizes that were tried
