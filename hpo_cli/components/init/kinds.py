"""The keys that every initialisation shares: another draw for one kind of layer."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True)
class Kinds:
    """What the `init:` section of the main config holds: names of `DRAWS`, None for what the init does by itself.

    recurrent: the matrices from hidden state to hidden state of RNN, LSTM and GRU; those from the input are linear.
    zero_residual: whether the scale of the norm that closes a residual block becomes zero.
    """

    linear: str | None = None
    convolution: str | None = None
    recurrent: str | None = None
    embedding: str | None = None
    zero_residual: bool = False


def takes_kinds(
    initialise: Callable[..., None], *, keys: Sequence[inspect.Parameter] | None = None
) -> Callable[..., None]:
    """`initialise` with one keyword for each field of `Kinds` in place of its argument `kinds`.

    keys: what its signature shows beside the model and the kinds; without it, the signature's own other keywords.
    The signature of what comes back is complete, so that `build` can bind the keys of an option to it.
    """
    model, *own = inspect.signature(initialise, follow_wrapped=False).parameters.values()
    shown = [key for key in own if key.name != "kinds"] if keys is None else keys
    form = inspect.Parameter.KEYWORD_ONLY
    shared = [inspect.Parameter(f.name, form, default=f.default, annotation=f.type) for f in fields(Kinds)]
    names = [parameter.name for parameter in shared]

    @functools.wraps(initialise)
    def called(model: Any, **given: Any) -> None:
        kinds = Kinds(**{name: given.pop(name) for name in names if name in given})
        initialise(model, kinds=kinds, **given)

    called.__signature__ = inspect.Signature([model, *shown, *shared])  # type: ignore[attr-defined]
    return called
