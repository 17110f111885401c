"""Named layers and losses: plain data, and a look-up by name."""

from __future__ import annotations

from typing import Final

from pullback.catalogue.activations import ACTIVATIONS
from pullback.catalogue.attention import ATTENTION
from pullback.catalogue.convolution import CONVOLUTION
from pullback.catalogue.divergences import DIVERGENCES
from pullback.catalogue.layer import Layer
from pullback.catalogue.linear import LINEAR
from pullback.catalogue.losses import LOSSES
from pullback.catalogue.normalisation import NORMALISATION
from pullback.catalogue.recurrent import RECURRENT
from pullback.catalogue.regression import REGRESSION
from pullback.catalogue.similarity import SIMILARITY
from pullback.catalogue.statistics import STATISTICS
from pullback.errors import NameProblem, nearest

__all__ = ["LAYERS", "Layer", "layer", "layers"]

_GROUPS: Final = (
    LINEAR,
    CONVOLUTION,
    NORMALISATION,
    ACTIVATIONS,
    ATTENTION,
    RECURRENT,
    LOSSES,
    REGRESSION,
    SIMILARITY,
    DIVERGENCES,
    STATISTICS,
)
SHORTEST: Final = 3  # letters of a word that is looked for within the names
MOST: Final = 5  # names in a hint
LAYERS: Final[dict[str, Layer]] = {row.name: row for group in _GROUPS for row in group}


def layers() -> tuple[Layer, ...]:
    """Every known layer and loss, group by group.

    >>> [row.name for row in layers()][:3]
    ['linear', 'bias', 'linear_tokens']
    """
    return tuple(LAYERS.values())


def layer(name: str) -> Layer:
    """The layer of that name. Raises `NameProblem`, with the nearest known name, where there is none.

    >>> layer("layer_norm").title
    'Layer normalisation'
    """
    if name not in LAYERS:
        close = _like(name.lower().replace("-", "_"))
        hint = f"did you mean {' or '.join(close)}?" if close else "`pullback show` lists the names"
        raise NameProblem(f"there is no layer {name}", hint=hint)
    return LAYERS[name]


def _like(name: str) -> list[str]:
    """The names that hold this one, or else the one that is spelt most like it."""
    holding = [known for known in LAYERS if name in known] if len(name) >= SHORTEST else []
    close = nearest(name, LAYERS)
    return holding[:MOST] or ([close] if close else [])
