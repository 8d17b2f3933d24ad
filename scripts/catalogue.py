"""Writes docs/catalogue.md from the option files: every word that a run can be made of.

python scripts/catalogue.py            write it
python scripts/catalogue.py --check    exit code 1 when it is not what would be written
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from hpo_cli.errors import shown
from hpo_cli.options import GROUPS, SWEEP, Option, list_options, main_config
from hpo_cli.steer.hot import HOT, twins_of

PAGE = Path(__file__).parent.parent / "docs" / "catalogue.md"
HEAD = """# The catalogue

Every option of every group, made from the option files in `conf/` by `python scripts/catalogue.py`. `group=option` on
the command line chooses one, `group.key=value` sets one of its keys. `hpo-run --help optimizer=adam` tells the limits
of each key and the ranges that are worth trying; the option files themselves name formula and source.
"""

HOT_HEAD = """## Hot knobs

What can change while a run trains: `hpo-run nudge RUN lr/=3`, `hpo-run resume=RUN lr=1e-4` and `schedule.nudges`. A run
has those that its optimizer, loss, network and augmentation have. Every other key needs a branch.

| knob | what it is |
| --- | --- |"""


def page() -> str:
    options = (line for group in GROUPS for line in section(group))
    return "\n".join([HEAD, *options, *words("finetune", "checkpoint", "rescue"), *sweeps(), *hot_knobs()])


def section(group: str) -> Iterator[str]:
    yield f"## {group}\n"
    shared = main_config().defaults.get(group)
    if isinstance(shared, dict):
        yield f"Every option also has: {keys(shared)}\n"
    yield "| option | what it is | keys and defaults |\n| --- | --- | --- |"
    for option in list_options(group).values():
        yield row(option)
    yield ""


def row(option: Option) -> str:
    own = {key: option.defaults[key] for key in option.keys if not isinstance(option.defaults[key], dict)}
    return f"| `{option.name}` | {option.description} | {keys(own)} |"


def words(*sections: str) -> Iterator[str]:
    for name in sections:
        yield f"## {name}\n\n| key | default | what it is |\n| --- | --- | --- |"
        for key, value in main_config().defaults[name].items():
            yield f"| `{name}.{key}` | `{shown(value)}` | {main_config().comments.get(f'{name}.{key}', '')} |"
        yield ""


def sweeps() -> Iterator[str]:
    """The ways to sweep, with what each sets otherwise than the default, and the keys that all of them have."""
    default, *others = sorted(list_options(SWEEP).values(), key=lambda option: option.name != "default")
    yield "## sweep\n\nHow many settings are tried from one command: `hpo-run -m sweep=tpe sweep.trials=50`.\n"
    yield "| option | what it is | sets |\n| --- | --- | --- |"
    for option in (default, *others):
        own = {key: value for key, value in option.defaults.items() if value != default.defaults.get(key)}
        yield f"| `{option.name}` | {option.description} | {keys(own)} |"
    yield "\n| key | default | what it is |\n| --- | --- | --- |"
    for key in default.keys:
        about = default.comments.get(key, "").replace("|", "\\|")
        yield f"| `{SWEEP}.{key}` | `{shown(default.defaults[key])}` | {about} |"
    yield ""


def hot_knobs() -> Iterator[str]:
    yield HOT_HEAD
    for key, meaning in HOT.items():
        names = ", ".join(f"`{name}`" for name in twins_of(key))
        yield f"| {names} | {meaning} |"
    yield "| `loss.terms.NAME.weight` | weight of a term in a sum of losses |"
    yield "| `schedule.KEY` | any key of the schedule that runs |"
    yield ""


def keys(values: dict[str, object]) -> str:
    return " ".join(f"`{key}={shown(value)}`" for key, value in values.items()).replace("|", "\\|")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    if args.check:
        return int(PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
