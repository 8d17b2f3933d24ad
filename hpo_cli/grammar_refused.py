"""Words that Hydra takes and a sweep would not heed: refused, each with the way out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.types import Override

from hpo_cli.errors import Problem, did_you_mean

LAUNCHER = "hydra/launcher"


def twice(overrides: Iterable[Override]) -> Iterator[Problem]:
    """Keys that are varied and given once more: one of the two would not count."""
    found = [override for override in overrides if not isinstance(override.package, str)]
    counts = Counter(override.key_or_group for override in found)
    varied = {override.key_or_group for override in found if override.is_sweep_override()}
    for key in sorted(key for key in varied if counts[key] > 1):
        words = " ".join(str(override.input_line) for override in found if override.key_or_group == key)
        yield Problem(key, f"is given {counts[key]} times ({words})", "name all its values in one word")


def not_varied(override: Override) -> Iterator[Problem]:
    """Keys that a sweep takes one value of."""
    if not override.is_sweep_override():
        return
    if override.is_delete():
        yield Problem(str(override.input_line), "takes a key away, and has no values to vary", "leave the ~ out")
    elif override.key_or_group == "outputs":
        yield Problem("outputs", "is where the whole sweep lies, and is not varied", "give one folder")


def of_hydra(overrides: Iterable[Override]) -> Iterator[Problem]:
    """Words of Hydra's own without effect, and a launcher that there is not."""
    for override in overrides:
        key = override.key_or_group
        if override.is_sweep_override():
            yield Problem(key, "takes one value: a sweep has one launcher", "give one")
        elif key == LAUNCHER:
            yield from _launcher_problems(override)
        elif not key.startswith("hydra.launcher."):
            rule = "has no effect here; of Hydra's own words a sweep uses hydra/launcher and hydra.launcher.*"
            yield Problem(key, rule, _INSTEAD.get(key, "leave it out"))


_INSTEAD = {
    "hydra/sweeper": "choose how to search with sweep=tpe",
    "hydra.sweep.dir": "give the folder as sweep.dir=...",
    "hydra.searchpath": "use --config-dir DIR",
    "hydra.run.dir": "give the folder as sweep.dir=...",
}


def _launcher_problems(override: Override) -> Iterator[Problem]:
    name, known = str(override.value()), launchers()
    if override.is_delete() or name not in known:
        fix = did_you_mean(name, known) or f"there are {', '.join(known)}; others are packages: hydra-{name}-launcher"
        yield Problem(LAUNCHER, "is no launcher that is installed", fix, name)


def launchers() -> list[str]:
    """The launchers that Hydra finds here, by name. None of them is made."""
    loader = ConfigLoaderImpl(config_search_path=create_config_search_path(None))
    return sorted(loader.get_group_options(LAUNCHER))
