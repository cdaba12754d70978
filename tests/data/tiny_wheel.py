"""The text of the tiny wheel that `wheel_source` serves, and what a cache folder holds."""

TEXT = b"to be or not to be\n" * 100


def left_in(folder):
    """Everything in a cache folder but the locks."""
    return sorted(p.name for p in folder.iterdir() if p.suffix != ".lock")
