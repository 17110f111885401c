"""Readers of a finished derivation: text for a terminal, LaTeX, Markdown and JSON.

`contents` says what stands on the page, once for all forms; `terminal`, `latex_page` and
`markdown_page` print it, and `data` lays everything out for other programs.
"""

from pullback.render.contents import Detail
from pullback.render.data import as_data, forwarded_data, to_json
from pullback.render.latex_page import latex
from pullback.render.markdown_page import markdown
from pullback.render.terminal import text
from pullback.render.walkthrough import walkthrough

__all__ = ["Detail", "as_data", "forwarded_data", "latex", "markdown", "text", "to_json", "walkthrough"]
