"""Where trials run: processes of this machine, or actors on a Ray cluster."""
