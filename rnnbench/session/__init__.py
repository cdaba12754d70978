"""The functions of `import rnnbench as rb`, for Python sessions; commands call the same."""
