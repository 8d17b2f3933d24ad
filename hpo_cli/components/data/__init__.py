"""Data sets as plain numpy arrays: reading them, splitting them, standardising them."""
