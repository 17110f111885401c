"""Facts about inputs: `spd(S)` in a program, `{"S": "spd"}` beside it, and whether they can hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from typing import Any

from pullback.errors import DomainProblem, NameProblem, ShapeProblem, SyntaxProblem, nearest
from pullback.expression import FACTS, SIMPLEX, SQUARE_FACTS, VALUE_FACTS, Tensor, clash, fact_name
from pullback.reading.context import Context
from pullback.reading.syntax import Source
from pullback.sizes import same_size, shape_text


def parse_facts(entry: Any) -> frozenset[str]:
    """Facts from `"spd"`, `"spd positive"`, `"simplex(axis=0)"` or a sequence."""
    if isinstance(entry, str):
        entry = re.sub(r"\s*([=(])\s*", r"\1", re.sub(r"\s*\)", ") ", entry)).replace(",", " ").split()
    names = list(entry)
    for name in names:
        if not isinstance(name, str) or fact_name(name) not in FACTS:
            near = nearest(str(name).partition("(")[0], FACTS)
            raise NameProblem(f"`{name}` is not a fact that is known", hint=near or ", ".join(FACTS))
    return frozenset(names)


def fact_call(fact: str, arguments: list[ast.expr], keywords: list[ast.keyword]) -> tuple[str, list[str]]:
    """The fact and the names of which `symmetric(A)` or `simplex(T, axis=0)` says it."""
    if fact not in FACTS:
        near = nearest(fact, FACTS)
        what = f"`{fact}` is not a fact that is known"
        raise NameProblem(what, hint=near or "a definition begins with a name: Y = " + fact + "(…)")
    names = [argument.id for argument in arguments if isinstance(argument, ast.Name)]
    if len(names) < len(arguments):
        raise SyntaxProblem("a fact is said of a name", hint=f"{fact}(A)")
    return fact + _axis(fact, keywords), names


def _axis(fact: str, keywords: list[ast.keyword]) -> str:
    """The axis of a fact that has one, as it stands in its name; the last axis is not written."""
    match keywords:
        case []:
            return ""
        case [ast.keyword(arg="axis", value=value)] if fact == "simplex":
            text = ast.unparse(value)
            if text.removeprefix("-").isdecimal():
                return "" if text == "-1" else f"(axis={text})"
            raise SyntaxProblem("an axis is a number", hint="simplex(T, axis=0)")
    hint = "simplex(T), simplex(T, axis=0)" if fact == "simplex" else f"{fact}(A)"
    raise SyntaxProblem(f"`{fact}` has no such argument", hint=hint)


def check_facts(text: Source, context: Context, names: Collection[str]) -> None:
    """A fact is said of one of the names, of a shape that can have it, and beside facts that it allows.

    The context knows the inputs, and no line has been read yet.
    """
    for name, facts in context.facts.items():
        if name not in names:
            near = nearest(name, sorted(context.tensors))
            what = f"a fact is said of `{name}`, which is not declared or defined"
            raise NameProblem(what, source=text.text, hint=near or "symmetric(A) names an input")
        both = clash(facts)
        if both is not None:
            what = f"{name} cannot be declared both {both[0]} and {both[1]}"
            raise DomainProblem(what, source=text.text, hint=f"leave out one of the two facts of {name}")
        drawn = sorted(fact_name(fact) for fact in facts if fact_name(fact) in VALUE_FACTS)
        if drawn and name not in context.tensors:
            what = f"{drawn[0]}({name}): {name} is defined, so its values are what they are"
            raise DomainProblem(what, source=text.text, hint=f"{drawn[0]} is declared of inputs")
        tensor = context.tensors.get(name)
        if tensor is not None:
            _check_shape(text, tensor, facts)


def _check_shape(text: Source, tensor: Tensor, facts: frozenset[str]) -> None:
    of_matrices = sorted(facts & SQUARE_FACTS)
    if of_matrices and not (tensor.rank == 2 and same_size(*tensor.shape)):
        what = f"{of_matrices[0]}({tensor}): {tensor} has the shape {shape_text(tensor.shape)}"
        raise ShapeProblem(what, source=text.text, hint=f"{tensor}: [N, N]")
    for fact in facts:
        found = SIMPLEX.match(fact)
        if found is not None and not -tensor.rank <= int(found[1] or -1) < tensor.rank:
            what = f"{fact} is said of {tensor}, which has the shape {shape_text(tensor.shape)}"
            raise ShapeProblem(what, source=text.text, hint=f"{tensor}: [N, K], of which each row sums to 1")
