"""The laws of plugins, held on right and on broken ones."""
