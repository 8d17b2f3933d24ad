"""Ways to propose the next setting: one file each."""
