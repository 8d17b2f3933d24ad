"""What the networks for sequences ask of a sample."""

from __future__ import annotations

from hpo_cli.errors import ConfigError

_SEQUENCE_DIMS = 2
_BETTER = {1: "mlp", 3: "cnn"}


def check_sequence(input_shape: tuple[int, ...], *, model: str) -> None:
    """Refuse samples of numbers that are no sequences [c, length]."""
    if len(input_shape) != _SEQUENCE_DIMS:
        rule = f"needs sequences [c, length] or text, samples here are {'x'.join(map(str, input_shape))}"
        raise ConfigError("model", model, rule=rule, fix=f"set model={_BETTER.get(len(input_shape), 'mlp')}")
