"""What a Python session does with rnnbench (`import rnnbench as rb`); commands call the same."""
