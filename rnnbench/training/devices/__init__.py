"""One run on several devices: the processes, their rows and their agreement."""
