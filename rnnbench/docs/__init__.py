"""The pages of the documentation, and what generates their reference."""
