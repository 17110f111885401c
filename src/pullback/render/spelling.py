"""How tensors appear when they are written out entry by entry: in lower case, a gradient as ∂L/∂y."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pullback.derivation import Derived
from pullback.expression import Access, Expr, Num, Partial, replace
from pullback.render.page import entry_of, whole


class Spelling(NamedTuple):
    """How tensors appear when written out: in lower case, a gradient as ∂L/∂y."""

    letters: Mapping[str, str]
    gradients: Mapping[str, str]  # dY -> Y
    loss: str

    def entry(self, name: str, place: Sequence[int]) -> Expr:
        """The entry at a place counted from 0; of a gradient it is a derivative of the loss."""
        if name in self.gradients:
            return Partial(whole(self.loss), self.variable(self.gradients[name], place))
        return self.variable(name, place)

    def variable(self, name: str, place: Sequence[int]) -> Access:
        """One entry of a tensor of the program, as a variable: x_{1,2}."""
        return entry_of(self.letters.get(name, name), [k + 1 for k in place])

    def tensor(self, name: str) -> Expr:
        if name in self.gradients:
            return Partial(whole(self.loss), whole(self.gradients[name]))
        return whole(name)

    def of(self, e: Expr) -> Expr:
        """An instantiated expression in this spelling."""
        return replace(e, self._access)

    def _access(self, e: Expr) -> Expr | None:
        match e:
            case Access(tensor, slots) if slots and all(isinstance(slot, Num) for slot in slots):
                return self.entry(tensor.name, [int(slot.value) for slot in slots if isinstance(slot, Num)])
            case Access(tensor, ()) if tensor.name in self.gradients:
                return self.tensor(tensor.name)
        return None


def spelling_of(derived: Derived) -> Spelling:
    known = derived.program.by_name
    lower = {name: name[:1].lower() + name[1:] for name in known}
    letters = {name: small if small == name or small not in known else name for name, small in lower.items()}
    taken = {name for name in known if f"d{name}" not in known}
    loss = "L" if derived.upstream is not None else derived.program.output.name
    return Spelling(letters, {f"d{name}": name for name in taken}, loss)
