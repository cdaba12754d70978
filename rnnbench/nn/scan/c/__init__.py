"""The C tier of the scan: from a traced step to loops, to C, to a loaded function."""
