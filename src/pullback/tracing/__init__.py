"""Running real code on values of the evaluator's domains: NumPy-style functions, ATen graphs, jaxprs.

`numbers` is one number of a domain, with Python's operators; `arrays` is an `ndarray` of them that keeps
the declared conventions at ties; the other files bring code of one dialect to them.
"""
