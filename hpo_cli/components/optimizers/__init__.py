"""Optimizers that torch does not have, or not in the form of their paper; one module each, imported when chosen."""
