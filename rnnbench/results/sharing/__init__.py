"""Lets results travel: bundles, their import, and what it takes to believe them."""
