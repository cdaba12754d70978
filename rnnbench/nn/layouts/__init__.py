"""Layouts beside the plain sequence: rows of unequal length, trees, grids."""
