"""Plugins for rnnbench: an architecture, a task and a trick, one file each."""
