"""Readers of a finished derivation: text for a terminal, LaTeX, Markdown and JSON.

`page` says what stands on the page, once for all forms; `text`, `latex` and `markdown` print it.
"""
