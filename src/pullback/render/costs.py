"""What the explicit Jacobian would have been, in numbers a person can picture."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Final

from pullback.derivation import Derived, Jacobian
from pullback.errors import ShapeProblem
from pullback.expression import ONE, Access, Expr, Partial, num, sizes_in
from pullback.render.instances import instantiate
from pullback.render.page import Paragraph, Piece, Shape, whole
from pullback.sizes import evaluate_size, size_text

BYTES_OF_FLOAT32: Final = 4
EXAMPLE_SIZES: Final = {"N": 64, "B": 64, **dict.fromkeys("DMFHKG", 4096)}
_UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def bytes_text(count: int) -> str:
    """A number of bytes with a binary unit.

    >>> bytes_text(4 * 64 * 4096 * 64 * 4096), bytes_text(144)
    ('256 GiB', '144 bytes')
    """
    left: int | Fraction = count
    for unit in _UNITS:
        if left < 1024 or unit == _UNITS[-1]:
            return f"{left:,} {unit}" if unit in ("bytes", _UNITS[-1]) else f"{_short(left)} {unit}"
        left = left // 1024 if left % 1024 == 0 else left / Fraction(1024)
    raise AssertionError("the last unit takes everything")


def _short(count: int | Fraction) -> str:
    return f"{float(count):.4g}" if count < 1000 else str(round(count))


def percent_text(share: Fraction) -> str:
    """A share, exactly where that is short.

    >>> percent_text(Fraction(1, 4)), percent_text(Fraction(1, 4096))
    ('25 %', '0.0244 %')
    """
    return f"{float(share) * 100:.3g} %"


def partial_of(jacobian: Jacobian) -> Partial:
    """∂Y/∂W for a sentence."""
    return Partial(Access(whole(jacobian.output.name).tensor, ()), whole(jacobian.operand.name))


def demand_shapes(derived: Derived, sizes: Mapping[str, int]) -> None:
    """Raise `ShapeProblem` where sizes that are given leave an axis with less than no entries."""
    for tensor in derived.program.by_name.values():
        for extent in tensor.shape:
            if sizes_in(extent) <= set(sizes) and (value := evaluate_size(extent, sizes)) < 0:
                raise ShapeProblem(
                    f"an axis of {tensor.name} would have {size_text(extent)} = {value} entries"
                )


def jacobian_paragraph(jacobian: Jacobian, sizes: Mapping[str, int] | None) -> Paragraph:
    """Shape, entries, share that is not zero and bytes; symbols where no sizes are given."""
    known = sizes is not None and set(symbols_of(jacobian)) <= set(sizes)
    words: list[Piece] = ["The explicit Jacobian ", partial_of(jacobian)]
    words += _in_numbers(jacobian, sizes or {}) if known else _in_symbols(jacobian)
    words.append(". It was never formed.")
    return Paragraph(tuple(words))


def _in_numbers(jacobian: Jacobian, sizes: Mapping[str, int]) -> list[Piece]:
    shape = tuple(num(evaluate_size(size, sizes)) for size in jacobian.shape)
    entries = entries_at(jacobian, sizes)
    words: list[Piece] = [" would have the shape ", Shape(shape), f": {count_text(entries)}"]
    share = share_at(jacobian, sizes)
    if share is not None:
        words.append(", all of them not zero" if share == 1 else f", {percent_text(share)} of them not zero")
    words.append(f", {bytes_text(BYTES_OF_FLOAT32 * entries)} in float32")
    return words


def count_text(entries: int) -> str:
    return "1 entry" if entries == 1 else f"{entries:,} entries"


def _in_symbols(jacobian: Jacobian) -> list[Piece]:
    count = Shape(jacobian.shape, multiplied=True)
    words: list[Piece] = [" would have the shape ", Shape(jacobian.shape), ": ", count, " entries"]
    if jacobian.share is ONE:
        words.append(", all of them not zero")
    elif jacobian.share is not None:
        words += [", a share of ", jacobian.share, " not zero"]
    words += [", ", Shape((num(BYTES_OF_FLOAT32), *jacobian.shape), multiplied=True), " bytes in float32"]
    symbols = symbols_of(jacobian)
    if symbols and all(symbol in EXAMPLE_SIZES for symbol in symbols):
        example = bytes_text(BYTES_OF_FLOAT32 * entries_at(jacobian, EXAMPLE_SIZES))
        words.append(f" ({example} at {_example(symbols)})")
    return words


def symbols_of(jacobian: Jacobian) -> list[str]:
    """The symbolic sizes, in the order of the shape."""
    found: dict[str, None] = {}
    for size in jacobian.shape:
        found.update(dict.fromkeys(sorted(sizes_in(size))))
    return list(found)


def _example(symbols: list[str]) -> str:
    """`N = 64, D = M = 4096`."""
    groups: dict[int, list[str]] = {}
    for symbol in symbols:
        groups.setdefault(EXAMPLE_SIZES[symbol], []).append(symbol)
    return ", ".join(f"{' = '.join(sorted(names))} = {value}" for value, names in sorted(groups.items()))


def entries_at(jacobian: Jacobian, sizes: Mapping[str, int]) -> int:
    product = 1
    for size in jacobian.shape:
        product *= evaluate_size(size, sizes)
    return product


def share_at(jacobian: Jacobian, sizes: Mapping[str, int]) -> Fraction | None:
    """The share that is not zero as a number, where it is one."""
    return None if jacobian.share is None else _number(jacobian.share, sizes)


def _number(e: Expr, sizes: Mapping[str, int]) -> Fraction | None:
    value = instantiate(e, {}, sizes)
    return getattr(value, "value", None)
