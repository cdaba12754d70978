"""The reasons why a tier does not run a step; another tier does. No user meets these errors."""


class Unsupported(Exception):
    """A step cannot be made fast in the tier that was asked; the message says why."""


class KernelFailed(Unsupported):
    """A kernel that should have worked did not: its build, or its check against the eager loop."""
