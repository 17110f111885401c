"""The meaning of definitions, over exchangeable domains: the trusted core."""
