"""Checks what a run needs before it computes: its splits, what it may see, which files it reads."""
