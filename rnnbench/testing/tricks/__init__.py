"""Parts of the laws of tricks."""
