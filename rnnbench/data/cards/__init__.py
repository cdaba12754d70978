"""Cards of data sets: what was read, how it is split, what looks wrong, and pictures of it."""
