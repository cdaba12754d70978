"""What is checked before a run computes: its splits, what it may see, which files it reads."""
