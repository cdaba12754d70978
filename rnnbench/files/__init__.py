"""Files that every room writes and reads alike: whole or not at all; YAML with line numbers."""
