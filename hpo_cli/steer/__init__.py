"""Steering a run from outside: what may be changed, the commands that ask for it, and where they are put."""
