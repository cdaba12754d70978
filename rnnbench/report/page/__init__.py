"""One page: boards as HTML with their figures drawn in."""
