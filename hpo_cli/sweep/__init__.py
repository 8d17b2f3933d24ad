"""Many models from one command: what is searched, in which order, on which machines, and what came of it."""
