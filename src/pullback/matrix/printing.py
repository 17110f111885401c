"""From a form to an expression of the language: transposes, keepdims and reshapes are decided here."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from pullback.affine import same
from pullback.expression import ONE, Expr, Index, Num, Pow, num
from pullback.matrix.contraction import from_the_left
from pullback.matrix.factors import means, outer_products, own_axes, restricted, together
from pullback.matrix.forms import (
    Axis,
    Cumulative,
    Diagonal,
    DiagonalMatrix,
    Einsum,
    Eye,
    Form,
    Joined,
    Laid,
    Leaf,
    Map,
    MatMul,
    NoMatrixForm,
    OneHot,
    Operation,
    Outer,
    Plus,
    Reduce,
    Reshaped,
    Scalar,
    Sliced,
    Take,
    Times,
    Triangle,
)
from pullback.matrix.subscripts import joined, letters, sliced
from pullback.matrix.syntax import (
    RELATIONS,
    axis_argument,
    binary,
    constant,
    function,
    name,
    negative,
    quotient,
    scalar,
    sequence,
    transposed,
)
from pullback.notation import fraction_of

# ---- forms ----------------------------------------------------------------------------------


def exact(form: Form, axes: tuple[Index, ...]) -> ast.expr:
    """The form as an array with exactly these axes; a label of extent 1 may be missing in the form."""
    missing = [axis for axis in axes if axis not in form.labels]
    wide = [axis for axis in missing if not same(axis.extent, ONE)]
    if isinstance(form, Scalar) and axes:
        return _filled(form.value, axes)
    if len(wide) == 1 and len(axes) == 2 and len(form.labels) == 1:
        vector = function("ones", scalar(wide[0].extent))
        value = _print(form, form.labels)
        pair = (value, vector) if axes[1] is wide[0] else (vector, value)
        return function("outer", *pair)
    if wide:
        filler = Operation(axes, "ones", (), axes)
        return exact(Times(axes, (form, filler), ()), axes)
    wanted: tuple[Axis, ...] = tuple(None if axis in missing else axis for axis in axes)
    result = _print(form, wanted)
    if wanted and wanted[0] is None and not _keeps(form, wanted):
        return _reshape(result, axes)
    return result


def _keeps(form: Form, axes: tuple[Axis, ...]) -> bool:
    """Whether printing the form on `axes` gives every one of them, leading axes of size 1 included."""
    match form:
        case Scalar():
            return not axes
        case Operation(_, "ones" | "det" | "logdet"):
            return None not in axes
        case Leaf(_, _, own):
            return len(own) >= len(axes)
        case Times(_, above, below):
            return any(_child_keeps(child, axes) for child in (*above, *below))
        case Plus(_, terms):
            return any(_child_keeps(child, axes) for _, child in terms)
        case Map(_, _, arguments):
            return any(_child_keeps(child, axes) for child in arguments)
    return True


def _child_keeps(child: Form, axes: tuple[Axis, ...]) -> bool:
    own = restricted(child, axes)
    return len(own) == len(axes) and _keeps(child, own)


def _filled(value: Expr, axes: tuple[Index, ...]) -> ast.expr:
    shape = _shape(axes)
    if isinstance(value, Num) and value.value == 0:
        return function("zeros", shape)
    ones = function("ones", shape)
    if isinstance(value, Num) and value.value == 1:
        return ones
    if isinstance(value, Num) and value.value == -1:
        return negative(ones)
    if isinstance(value, Pow) and isinstance(value.exponent, Num) and value.exponent.value < 0:
        return binary(ones, "/", scalar(fraction_of(value)[1][0]))
    return binary(scalar(value), "*", ones)


def _shape(axes: Sequence[Axis]) -> ast.expr:
    return sequence([constant(1) if axis is None else scalar(axis.extent) for axis in axes])


def _reshape(value: ast.expr, axes: Sequence[Axis]) -> ast.expr:
    return function("reshape", value, _shape(axes))


def _child(form: Form, axes: tuple[Axis, ...]) -> ast.expr:
    return _print(form, own_axes(form, axes))


def _plain(axes: tuple[Axis, ...]) -> tuple[Index, ...]:
    return tuple(axis for axis in axes if axis is not None)


def _laid(value: ast.expr, own: tuple[Index, ...], axes: tuple[Axis, ...]) -> ast.expr:
    """An array with axes `own` laid on `axes`: transposed, then reshaped where there are axes of size 1."""
    wanted = _plain(axes)
    if own != wanted:
        if len(own) == 2:
            value = transposed(value)
        else:
            value = function("transpose", value, sequence([constant(own.index(axis)) for axis in wanted]))
    return value if len(wanted) == len(axes) else _reshape(value, axes)


def _print(form: Form, axes: tuple[Axis, ...]) -> ast.expr:
    """An expression whose axes are `axes`, up to leading axes of size 1."""
    match form:
        case Times():
            return _times(form, axes)
        case Plus(_, terms):
            return _plus(terms, axes)
        case Map():
            return _map(form, axes)
        case Reduce():
            return _reduce(form, axes)
        case MatMul():
            return _matmul(form, axes)
        case Outer(_, left, right):
            return _outer(left, right, axes)
        case Einsum(labels, factors):
            return _laid_einsum(labels, factors, axes)
        case Cumulative():
            return _cumulative(form, axes)
        case Operation():
            return _operation(form, axes)
    return _simple(form, axes)


def _simple(form: Form, axes: tuple[Axis, ...]) -> ast.expr:
    """Forms that are one name or one call around another."""
    match form:
        case Scalar(_, value):
            return scalar(value)
        case Leaf():
            return _leaf(form, axes)
        case Reshaped(labels, text, shape):
            return _laid(function("reshape", name(text), sequence([scalar(e) for e in shape])), labels, axes)
        case Sliced():
            return _laid(sliced(form), form.labels, axes)
        case Joined():
            return _laid(joined(form), form.labels, axes)
        case Laid(labels, child):
            return _laid(_print(child, labels), labels, axes)
        case Eye(labels):
            return _laid(function("eye", scalar(labels[0].extent)), _plain(axes), axes)
        case OneHot(labels, text, size):
            return _laid(function("onehot", name(text), scalar(size)), labels, axes)
        case Diagonal(labels, child, inner):
            return _laid(function("diag", _print(child, inner)), labels, axes)
        case DiagonalMatrix(_, child):
            return _laid(function("diag", _print(child, child.labels)), _plain(axes), axes)
        case Triangle():
            return _triangle(form, axes)
        case Take():
            return _take(form, axes)
    raise NoMatrixForm


def _leaf(form: Leaf, axes: tuple[Axis, ...]) -> ast.expr:
    if form.axes == axes:
        return name(form.name)
    while axes and axes[0] is None and len(form.axes) < len(axes):
        axes = axes[1:]
    if form.axes == axes:
        return name(form.name)
    if len(form.axes) == len(axes) == 2 and form.axes == axes[::-1]:
        return name(form.name) if form.symmetric else transposed(name(form.name))
    value = name(form.name)
    if None in form.axes:
        value = _reshape(value, form.labels)
    return _laid(value, form.labels, axes)


def _times(form: Times, axes: tuple[Axis, ...]) -> ast.expr:
    below = list(form.below)
    above = list(form.above)
    above, below = means(above, below)
    numbers_above: list[ast.expr] = []
    numbers_below: list[ast.expr] = []
    rest = []
    for child in above:
        if isinstance(child, Scalar):
            top, bottom = fraction_of(child.value)
            numbers_above += [scalar(x) for x in top if not (isinstance(x, Num) and x.value == 1)]
            numbers_below += [scalar(x) for x in bottom]
        else:
            rest.append(child)
    rest, below = together(rest, below, axes)
    rest = outer_products(rest, axes)
    top_nodes = [*numbers_above, *(_child(child, axes) for child in rest)]
    bottom_nodes = [*(_child(child, axes) for child in below), *numbers_below]
    if form.negative:
        top_nodes = [negative(top_nodes[0]), *top_nodes[1:]] if top_nodes else [negative(constant(1))]
    return quotient(top_nodes, bottom_nodes)


def _plus(terms: tuple[tuple[int, Form], ...], axes: tuple[Axis, ...]) -> ast.expr:
    ordered = sorted(terms, key=lambda term: term[0] < 0) if terms[0][0] < 0 else list(terms)
    sign, first = ordered[0]
    result = _child(first, axes)
    if sign < 0:
        result = negative(result)
    for sign, child in ordered[1:]:
        result = binary(result, "+" if sign > 0 else "-", _child(child, axes))
    return result


def _map(form: Map, axes: tuple[Axis, ...]) -> ast.expr:
    arguments = [_child(child, axes) for child in form.arguments]
    if form.function in RELATIONS:
        return ast.Compare(arguments[0], [RELATIONS[form.function]()], [arguments[1]])
    if form.function == "**":
        return binary(arguments[0], "**", arguments[1])
    return function(form.function, *arguments)


def _reduce(form: Reduce, axes: tuple[Axis, ...]) -> ast.expr:
    wanted = _plain(axes)
    child = form.child
    natural = child.labels
    kept = tuple(label for label in natural if label not in form.over)
    if kept != wanted:
        if len(wanted) == 2 < len(natural) and isinstance(child, Leaf):
            return _laid(_reduce(form, kept), kept, axes)  # the small result is transposed
        rest = list(wanted)
        natural = tuple(rest.pop(0) if label not in form.over else label for label in natural)
    value = _print(child, natural)
    if not wanted and not axes:
        return function(form.function, value)
    places = [k for k, label in enumerate(natural) if label in form.over]
    axis = axis_argument(places)
    if len(wanted) == len(axes):
        return function(form.function, value, axis=axis)
    if tuple(None if label in form.over else label for label in natural) == axes:
        return function(form.function, value, axis=axis, keepdims=constant(True))
    return _reshape(function(form.function, value, axis=axis), axes)


def _matmul(form: MatMul, axes: tuple[Axis, ...]) -> ast.expr:
    wanted = _plain(axes)
    value = _matmul_on(form, wanted)
    return value if len(wanted) == len(axes) else _reshape(value, axes)


def _matmul_on(form: MatMul, wanted: tuple[Index, ...]) -> ast.expr:
    left, right, k = form.left, form.right, form.via
    a = tuple(label for label in left.labels if label != k)
    b = tuple(label for label in right.labels if label != k)
    batch = tuple(label for label in a if label in b)
    if batch:
        return _batched(form, batch, wanted)
    if not a and b:
        left, right, a, b = right, left, b, a
        if len(a) == 1 and right.labels == (k,) and left.labels[0] == k and isinstance(left, MatMul | Times):
            return binary(_print(right, (k,)), "@", _print(left, (k, *a)))
    if wanted == (*b, *a) and wanted != (*a, *b) and b:
        left, right, a, b = right, left, b, a
    if len(b) > 1 or wanted != (*a, *b):
        if len(a) <= 1 and len(b) > 1:
            # Only the left factor of @ may have several free axes.
            value = binary(_print(right, (*b, k)), "@", _print(left, (k, *a)))
            return _laid(value, (*b, *a), wanted)
        ordered = tuple(label for label in wanted if label in a)
        second = tuple(label for label in wanted if label in b)
        value = binary(_print(left, (*ordered, k)), "@", _print(right, (k, *second)))
        return _laid(value, (*ordered, *second), wanted)
    if len(a) == len(b) == 1 and (product := from_the_left(left, right, k, a[0], b[0])) is not None:
        return _print(product, wanted)
    return binary(_print(left, (*a, k)), "@", _print(right, (k, *b)))


def _batched(form: MatMul, batch: tuple[Index, ...], wanted: tuple[Index, ...]) -> ast.expr:
    rows = [label for label in form.left.labels if label != form.via and label not in batch]
    columns = [label for label in form.right.labels if label != form.via and label not in batch]
    if len(rows) != 1 or len(columns) != 1:
        raise NoMatrixForm  # such as the sum of a product along an axis, which is none of matrices
    (a,), (b,) = rows, columns
    left, right = form.left, form.right
    if wanted and wanted[-1] is a:
        left, right, a, b = right, left, b, a
    value = binary(_print(left, (*batch, a, form.via)), "@", _print(right, (*batch, form.via, b)))
    return _laid(value, (*batch, a, b), wanted)


def _outer(left: Form, right: Form, axes: tuple[Axis, ...]) -> ast.expr:
    wanted = _plain(axes)
    if wanted == (*right.labels, *left.labels):
        left, right = right, left
    value = function("outer", _print(left, left.labels), _print(right, right.labels))
    return value if len(wanted) == len(axes) else _reshape(value, axes)


def _laid_einsum(labels: tuple[Index, ...], factors: tuple[Form, ...], axes: tuple[Axis, ...]) -> ast.expr:
    wanted = _plain(axes)
    letter = letters([label for factor in factors for label in factor.labels])
    inputs = ",".join("".join(letter[label] for label in factor.labels) for factor in factors)
    spec = f"{inputs}->{''.join(letter[label] for label in wanted)}"
    value = function("einsum", ast.Constant(spec), *(_print(factor, factor.labels) for factor in factors))
    return value if len(wanted) == len(axes) else _reshape(value, axes)


def _cumulative(form: Cumulative, axes: tuple[Axis, ...]) -> ast.expr:
    wanted = _plain(axes)
    place = constant(wanted.index(form.along))
    value = _print(form.child, wanted)
    running = function("cumsum", value, axis=place)
    if form.reverse:
        whole = Reduce(tuple(x for x in wanted if x is not form.along), "sum", form.child, (form.along,))
        kept = tuple(None if axis is form.along else axis for axis in wanted)
        total = _print(whole, kept if len(wanted) > 1 else ())
        running = binary(binary(total, "-", running), "+", value)
    return running if len(wanted) == len(axes) else _reshape(running, axes)


def _triangle(form: Triangle, axes: tuple[Axis, ...]) -> ast.expr:
    wanted = _plain(axes)
    row, column = form.pair
    if set(wanted[-2:]) != {row, column}:
        raise NoMatrixForm
    which, k = form.function, form.offset
    if wanted[-2:] == (column, row):
        which, k = ("triu" if which == "tril" else "tril"), -k
    inner = _print(form.child, wanted)
    arguments = [inner] if k == 0 else [inner, scalar(num(k))]
    value = function(which, *arguments)
    return value if len(wanted) == len(axes) else _reshape(value, axes)


def _take(form: Take, axes: tuple[Axis, ...]) -> ast.expr:
    place = form.inner.index(form.axis)
    which: ast.expr = name(form.which) if isinstance(form.which, str) else constant(form.which)
    child = _print(form.child, form.inner)
    if isinstance(child, ast.Name) and not isinstance(form.which, str):
        slots = [*(ast.Slice() for _ in range(place)), which]
        at = slots[0] if len(slots) == 1 else ast.Tuple(slots, ast.Load())
        return _laid(ast.Subscript(child, at, ast.Load()), form.labels, axes)  # x[:, 0]
    return _laid(function("take", child, which, axis=constant(place)), form.labels, axes)


def _operation(form: Operation, axes: tuple[Axis, ...]) -> ast.expr:
    wanted = _plain(axes)
    match form.function:
        case "ones":
            return function("ones", _shape(wanted))
        case "softmax" | "log_softmax":
            child = form.arguments[0]
            order = wanted if set(wanted) == set(child.labels) else child.labels
            places = sorted(order.index(label) for label in form.along)
            options = {"axis": axis_argument(places)} if len(order) > 1 else {}
            value = function(form.function, _print(child, order), **options)
            return _laid(value, order, axes)
        case "det" | "logdet":
            value = function(form.function, _print(form.arguments[0], form.along))
            return _laid(value, form.labels, axes) if form.labels else value
        case "inv" | "cholesky":
            value = function(form.function, _print(form.arguments[0], form.along))
            return _laid(value, form.along, axes)
        case "solve":
            matrix, right = form.arguments
            order = tuple(label for label in form.labels if label in right.labels)
            value = function("solve", _print(matrix, form.along), _print(right, order))
            return _laid(value, form.labels, axes)
    raise NoMatrixForm
