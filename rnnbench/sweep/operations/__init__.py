"""The operation of a sweep over days: a supervisor, a meter of what it takes, messages."""
