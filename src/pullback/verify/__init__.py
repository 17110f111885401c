"""Checks of what was derived, and verdicts on what others claim."""
