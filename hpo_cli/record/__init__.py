"""The run's folder: written here alone, and read back here. Knows neither torch nor rich."""
