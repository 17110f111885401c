"""`python -m pullback` is the command line."""

from __future__ import annotations

import sys

from pullback.cli import main

sys.exit(main())
