"""Derivations that people write down: their lines found, read into the language, and judged one by one."""
