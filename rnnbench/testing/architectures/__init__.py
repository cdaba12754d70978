"""Parts of the laws of architectures."""
