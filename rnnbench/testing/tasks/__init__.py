"""Parts of the laws of tasks."""
