"""Boards and runs as files: JSON, CSV, Parquet."""
