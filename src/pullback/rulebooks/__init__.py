"""The laws: differentiation, the Kronecker delta, and algebra. Each rule's docstring starts with its law."""
