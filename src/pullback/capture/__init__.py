"""Real code captured as a program of the language: recorded operations in, text with shapes and values out."""
