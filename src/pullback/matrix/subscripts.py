"""Named tensors of which parts are read, or axes joined; the letters of an einsum."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from string import ascii_letters, ascii_lowercase, ascii_uppercase

from pullback.expression import Index, Size
from pullback.matrix.forms import Joined, Sliced
from pullback.matrix.syntax import constant, function, name, scalar, sequence


def sliced(form: Sliced) -> ast.expr:
    places: list[ast.expr] = []
    for part in form.slices:  # a bound that is left out is the end of the axis
        bounds = [None if bound is None else scalar(bound) for bound in part or (None, None, None)]
        places.append(ast.Slice(*bounds))
    while isinstance(places[-1], ast.Slice) and ast.unparse(places[-1]) == ":":
        places.pop()
    place = places[0] if len(places) == 1 else ast.Tuple(places, ast.Load())
    value = ast.Subscript(name(form.name), place, ast.Load())
    return (
        value if form.shape is None else function("reshape", value, sequence([scalar(e) for e in form.shape]))
    )


def joined(form: Joined) -> ast.expr:
    value = name(form.name)
    if form.order != tuple(sorted(form.order)):
        value = function("transpose", value, sequence([constant(k) for k in form.order]))
    return function("reshape", value, sequence([scalar(label.extent) for label in form.labels]))


def letters(labels: Sequence[Index]) -> dict[Index, str]:
    """A letter for each index: that of its size where no other index has the size, else its own."""
    distinct = list(dict.fromkeys(labels))
    extents = Counter(label.extent for label in distinct)
    result = {
        label: label.extent.name.lower()
        for label in distinct
        if isinstance(label.extent, Size) and extents[label.extent] == 1 and len(label.extent.name) == 1
    }
    for label in distinct:
        if label not in result:
            choices = (label.name[0].lower(), *ascii_lowercase[8:], *ascii_lowercase[:8], *ascii_uppercase)
            result[label] = next(c for c in choices if c in ascii_letters and c not in result.values())
    return result
