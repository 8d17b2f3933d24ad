"""Any of torch's own schedulers, asked for a step as if it were a function of it."""

from __future__ import annotations

import inspect
import math
import warnings
from array import array
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from hpo_cli.components.schedules.factors import Factors, check_choice
from hpo_cli.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch.optim.lr_scheduler import LRScheduler

    from hpo_cli.components.schedules.factors import Place

REFUSED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "ReduceLROnPlateau": ("needs the results of validations", "set schedule=plateau"),
        **dict.fromkeys(
            ("ChainedScheduler", "SequentialLR"),
            ("is made of other schedulers", "set schedule.warmup_steps for a warm-up before a single one"),
        ),
        **dict.fromkeys(
            ("LambdaLR", "MultiplicativeLR"),
            ("takes functions, which a config cannot hold", "write a schedule of your own: docs/your-own.md"),
        ),
    }
)
"""Scheduler -> why it cannot be named here, and what to do instead."""
GIVEN = ("optimizer", "last_epoch")


class TorchScheduler:
    """The factors of `torch.optim.lr_scheduler.<name>(optimizer, **arguments)`, an update each epoch or each step.

    The scheduler drives an optimizer of its own whose learning rate is 1, so arguments that are learning rates
    (eta_min, base_lr, max_lr) are shares of `lr`; a momentum that it moves counts over the one it starts with. This
    is the one schedule in absolute steps or epochs: it does not stretch with `epochs`. What was computed is kept, so
    any step may be asked for at any time and the next one costs a single update.
    Raises ConfigError for a name that torch does not have, for schedulers that a config cannot describe (REFUSED)
    and for arguments that the scheduler refuses.

    >>> from hpo_cli.components.schedules import Place
    >>> schedule = TorchScheduler(name="StepLR", arguments={"step_size": 2}, per="epoch")
    >>> [schedule(0.0, place=Place(step, 60, 10)) for step in (0, 19, 20, 5)]
    [1.0, 1.0, 0.1, 1.0]
    """

    def __init__(
        self,
        *,
        name: str = "LinearLR",
        arguments: Mapping[str, Any] | None = None,
        per: Literal["epoch", "step"] = "epoch",
    ) -> None:
        check_choice("schedule.per", per, ("epoch", "step"))
        self._name, self._arguments, self._per = name, dict(arguments or {}), per
        self._lr, self._momentum = array("d"), array("d")
        self._scheduler = self._build()
        self._moves_momentum = bool(getattr(self._scheduler, "cycle_momentum", False))
        self._start = self._group["momentum"]
        self._note()
        self._extend(1)  # some wrong arguments are noticed by the first update only
        self._length: float = getattr(self._scheduler, "total_steps", None) or math.inf

    def __call__(self, progress: float, *, place: Place) -> float | Factors:  # noqa: ARG002 - every schedule takes it
        """The factor at a step, Factors if the scheduler moves the momentum; the same whatever was asked before."""
        updates = place.steps_per_epoch if self._per == "epoch" else 1
        last = (place.total_steps - 1) // updates
        if last >= self._length:
            rule = f"ends after {self._length} {self._per}s, the run has {last + 1}"
            raise self._refusal(rule, "raise total_steps, or set schedule=one_cycle, which always fits")
        index = min(place.step // updates, last)
        self._extend(index)
        return Factors(self._lr[index], self._momentum[index]) if self._moves_momentum else self._lr[index]

    @property
    def _group(self) -> dict[str, Any]:
        return self._scheduler.optimizer.param_groups[0]

    def _build(self) -> LRScheduler:
        import torch
        from torch.optim import lr_scheduler

        known = _names(vars(lr_scheduler))
        if self._name in REFUSED:
            rule, fix = REFUSED[self._name]
            raise ConfigError("schedule.name", self._name, rule=rule, fix=fix)
        if self._name not in known:
            fix = did_you_mean(self._name, known) or f"choose one of {', '.join(known)}"
            raise ConfigError("schedule.name", self._name, rule="is no scheduler of torch", fix=fix)
        self._check_arguments(getattr(lr_scheduler, self._name))
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0, momentum=0.9)
        try:
            scheduler: LRScheduler = getattr(lr_scheduler, self._name)(optimizer, **self._arguments)
        except Exception as error:
            raise self._refusal(_line(error), f"see torch's documentation of {self._name}") from error
        return scheduler

    def _check_arguments(self, kind: type[LRScheduler]) -> None:
        """Raises ConfigError for arguments that the scheduler does not take and for those that it misses."""
        if taken := [key for key in GIVEN if key in self._arguments]:
            raise self._refusal(f"{taken[0]} is given by the run itself", "leave it out")
        own = {key: p for key, p in inspect.signature(kind).parameters.items() if key not in GIVEN}
        if unknown := [key for key in self._arguments if key not in own]:
            rule = f"{self._name} takes {', '.join(own)}"
            raise self._refusal(rule, did_you_mean(str(unknown[0]), own) or f"leave out {unknown[0]}")
        missing = [key for key, p in own.items() if p.default is p.empty and key not in self._arguments]
        if missing:
            rule = f"{self._name} needs {', '.join(missing)}"
            raise self._refusal(rule, f"set 'schedule.arguments={{{missing[0]}: ...}}'")

    def _extend(self, index: int) -> None:
        """Let the scheduler go on until it has made `index` updates."""
        while len(self._lr) <= index:
            self._scheduler.optimizer.step()
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    self._scheduler.step()
            except Exception as error:
                raise self._refusal(_line(error), f"see torch's documentation of {self._name}") from error
            self._note()

    def _note(self) -> None:
        lr, momentum = float(self._group["lr"]), self._group["momentum"]
        if not (math.isfinite(lr) and lr > -1e-9):  # noqa: PLR2004 - zero but for rounding
            raise self._refusal(f"gives {lr:g} times lr at update {len(self._lr)}", "change the arguments")
        self._lr.append(max(0.0, lr))
        self._momentum.append(momentum / self._start if self._start else 1.0)

    def _refusal(self, rule: str, fix: str) -> ConfigError:
        return ConfigError("schedule.arguments", self._arguments, rule=rule, fix=fix)


def _names(module: Mapping[str, Any]) -> list[str]:
    """The schedulers of torch's module that a config can describe."""
    base = module["LRScheduler"]
    kinds = [name for name, kind in module.items() if isinstance(kind, type) and issubclass(kind, base)]
    return sorted(name for name in kinds if not name.startswith("_") and name != "LRScheduler" and name not in REFUSED)


def _line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    return text if isinstance(error, (TypeError, ValueError)) and text else f"{type(error).__name__} {text}".strip()
