"""Where trials train: one file each."""
