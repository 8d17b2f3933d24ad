"""Models: each is called with `input_shape`, `num_outputs` and its own keys, and gives raw outputs."""
