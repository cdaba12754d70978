"""Keeps what runs leave: on disk, at an address and in the database."""
