"""The Hydra sweeper `caviar`: `hydra/sweeper=caviar` in any Hydra app."""
