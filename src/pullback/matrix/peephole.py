"""The last look at a line of matrix notation: scalars in one place, systems solved instead of inverses formed."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from pullback.matrix.products import neat
from pullback.matrix.scaling import Scaling


def polished(node: ast.expr, arrays: Mapping[str, int]) -> ast.expr:
    """The same value, written as a person would: `-2 * A.T @ r`, `solve(A, b)`.

    `arrays` says how many axes a name has; every other name is a scalar.
    """
    return neat(Scaling(arrays).rewritten(neat(node, arrays)), arrays)
