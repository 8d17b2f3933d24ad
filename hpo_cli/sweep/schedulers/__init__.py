"""Ways to share training time among trials: one file each."""
