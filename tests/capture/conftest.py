"""The examples are data of the tests: they are run by them, and hold no doctests of their own."""

collect_ignore_glob = ["*_examples.py"]
