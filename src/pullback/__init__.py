"""Pullback derives, proves and checks backward passes."""
