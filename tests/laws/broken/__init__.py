"""Plugins with one fault each, and the right ones that they are made from."""
