"""Linear recurrences: the scan, the cells on it, and the kernels that run it on a GPU."""
