"""`python -m pullback`, and the command `pullback`, are the command line."""

from __future__ import annotations

import gc
import sys

# Start-up makes many objects and no garbage; looking for some in between costs a twentieth of it.
gc.disable()
from pullback.cli import main  # noqa: E402

gc.freeze()
gc.enable()

if __name__ == "__main__":
    sys.exit(main())
