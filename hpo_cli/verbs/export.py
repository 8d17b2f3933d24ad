"""`hpo-run export RUN [--to FILE]`: how a run was looked after, as an ordinary config for another model."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hpo_cli.console.output import Span, line, write, write_json
from hpo_cli.errors import UserError
from hpo_cli.options import main_config
from hpo_cli.record import ledger
from hpo_cli.record.atomic import write_text
from hpo_cli.record.contents import count, mapping
from hpo_cli.record.folder import check_name
from hpo_cli.record.line import Line, is_adoption
from hpo_cli.record.runs import find_run
from hpo_cli.steer.changes import Setting, settled, value_of
from hpo_cli.steer.hot import TWINS, schedule_key
from hpo_cli.steer.lineage import beginning, lineage
from hpo_cli.validate import Known, known_for
from hpo_cli.verbs.arguments import RUN_HELP, reading_parser
from hpo_cli.verbs.children import Parent, read_parent
from hpo_cli.verbs.inheriting import own_words, typed
from hpo_cli.verbs.trusting import add_allow

ABOUT = "Write how a run was set and nudged as an experiment file: to be trained again, or with another model."

OF_THE_RUN = ("name", "tags", "outputs", "experiment", "allow_targets")
"""Keys of this run alone."""
OF_THE_MACHINE = (
    *("trainer.accelerator", "trainer.devices", "trainer.compile", "trainer.threads", "trainer.log_every_steps"),
    *("trainer.log_gradients", "data.placement", "data.num_workers"),
)
OF_THE_FOLDER = ("checkpoint", "logger")
"""Sections that say what is written, not what is learnt."""
OF_THE_MODEL = ("model", "init")
"""Groups that are left to whoever uses the file: their keys fit one network."""
LENGTH = ("epochs", "trainer.max_steps")
"""Knobs that change how long training is, and with it what a share of it means: the last value counts throughout."""


@dataclass(frozen=True)
class Exported:
    """An experiment file. model_words: what makes the run's own model again; notes: what the file cannot say."""

    text: str
    model_words: tuple[str, ...]
    notes: tuple[str, ...]


def main(argv: Sequence[str]) -> int:
    """Write the file and say how it is used. Raises UserError."""
    parser = reading_parser("export", about=ABOUT)
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    parser.add_argument("--to", metavar="FILE", help="DIR/experiment/NAME.yaml (default: conf/experiment/RUN.yaml)")
    add_allow(parser)
    args = parser.read(argv)
    parent = read_parent(find_run(args.run, args.outputs), allow=args.allow)
    place = _place(args.to or f"conf/experiment/{parent.folder.name}.yaml")
    found = exported(parent)
    _write(place, found.text)
    command = ["hpo-run", "--config-dir", str(place.parent.parent), f"experiment={place.stem}", *found.model_words]
    if args.json:
        write_json({"file": str(place), "command": command, "notes": list(found.notes)})
        return 0
    write([line(Span("note  ", "yellow"), note) for note in found.notes])
    write([line(Span("wrote ", "dim"), str(place)), line(Span("next  ", "dim"), shlex.join(command))])
    return 0


def _place(word: str) -> Path:
    place = Path(word)
    if place.suffix != ".yaml" or place.parent.name != "experiment":
        raise UserError(f"--to {word}: must be DIR/experiment/NAME.yaml, so that --config-dir DIR finds it")
    check_name(place.stem)
    if place.exists():
        raise UserError(f"--to {word}: exists, and nothing saved is overwritten; give another name")
    return place


def _write(place: Path, text: str) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_text(place, text)
    except OSError as error:
        raise UserError(f"{place}: cannot be written ({error.strerror}); give another place with --to") from error


def exported(parent: Parent) -> Exported:
    """How a run was set and nudged, and before it those whose states it took over.

    Raises UserError where its length is not known.
    """
    begun = beginning(parent.plan.config, parent.plan.choices, parent.line)
    ended = settled(parent.plan.config, parent.plan.choices, parent.line)
    known = known_for(begun.choices, config_dir=own_words(parent.started).config_dir)
    values = _nested(_values(begun, ended, known))
    nudges, notes = _nudges(parent, begun, ended)
    if nudges:
        values.setdefault("schedule", {})["nudges"] = nudges
    content = {"defaults": list(_defaults(begun.choices)), **values}
    head = f"# @package _global_\n# How {parent.folder.name} was set and nudged, by hpo-run export\n"
    told = "".join(f"# Not here: {note}\n" for note in notes)
    body = yaml.safe_dump({key: value for key, value in content.items() if value != []}, sort_keys=False)
    return Exported(head + told + body, tuple(_model_words(begun, known)), tuple(notes))


def _defaults(choices: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The options that are not those of every run."""
    left_out = (*OF_THE_MODEL, *OF_THE_FOLDER, "trainer", "experiment")
    for group, usual in _usual_choices().items():
        if group not in left_out and choices.get(group) not in (None, usual):
            yield {f"override /{group}": choices[group]}


def _usual_choices() -> dict[str, str]:
    """The option that each group starts with."""
    content = yaml.safe_load(main_config().path.read_text(encoding="utf-8"))
    entries = [entry for entry in content["defaults"] if isinstance(entry, dict)]
    return {group: option for entry in entries for group, option in entry.items()}


def _values(begun: Setting, ended: Setting, known: Known) -> dict[str, Any]:
    """{dotted key: value} of what is not as the options have it; how long training was is as it ended."""
    found: dict[str, Any] = {}
    for key, value in begun.config.items():
        if key in (*OF_THE_RUN, *OF_THE_MODEL, *OF_THE_FOLDER):
            continue
        if isinstance(value, Mapping):
            found |= dict(_section(key, value, known))
        elif value != known.main.defaults.get(key) and not (key == "lr" and _is_usual_rate(value, known)):
            found[key] = value
    for key in LENGTH:
        last = value_of(*ended, key)
        if last != value_of(*begun, key):
            found[key] = last
    return found


def _is_usual_rate(value: Any, known: Known) -> bool:
    return bool(value == known.default("optimizer", "lr"))


def _section(group: str, section: Mapping[str, Any], known: Known) -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        dotted = f"{group}.{key}"
        if key == "_target_" or dotted in ("schedule.nudges", *OF_THE_MACHINE, *_SECOND_NAMES):
            continue
        default = known.default(group, key)
        if dotted == "regularization.weight_decay":
            default = known.default("optimizer", "weight_decay") or 0.0
        if value != default:
            yield dotted, value


_SECOND_NAMES = {other if key in ("lr", "regularization.weight_decay") else key for key, other in TWINS.items()}
"""Of two keys that name one quantity, the one that is left out."""


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in flat.items():
        section, _, last = key.partition(".")
        if last:
            found.setdefault(section, {})[last] = value
        else:
            found[section] = value
    return found


def _model_words(begun: Setting, known: Known) -> Iterator[str]:
    for group in OF_THE_MODEL:
        if group == "model" or begun.choices[group] != "default":
            yield f"{group}={begun.choices[group]}"
        yield from (f"{key}={typed(value)}" for key, value in _section(group, begun.config[group], known))


def _nudges(parent: Parent, begun: Setting, ended: Setting) -> tuple[list[dict[str, Any]], list[str]]:
    """The nudges at their shares of training, and what cannot be said so."""
    line, total = parent.line, _total_steps(parent, ended)
    notes: list[str] = [*_strangers(line, parent.plan.seed), *_skips(line)]
    found: list[dict[str, Any]] = []
    for met in lineage(line)[1:]:
        step, changes = met["step"], {key: change["new"] for key, change in met["knobs"].items()}
        if long := [key for key in LENGTH if key in changes]:
            notes.append(f"{', '.join(long)} changed at step {step}: the last value counts from the start")
        if "batch_size" in changes or "batch.accumulate" in changes:
            notes.append(f"shares are of {total} updates, and step {step} changed how many an epoch has")
        changes = {key: value for key, value in changes.items() if key not in LENGTH}
        if changes:
            found.append({"at": share(step, total), **changes})
    planned = begun.config["schedule"].get("nudges") or []
    found += [dict(nudge) for index, nudge in enumerate(planned) if f"planned-{index}" not in line.done]
    return _merged(sorted(found, key=lambda nudge: nudge["at"])), list(dict.fromkeys(notes))


def _strangers(line: Line, seed: int) -> Iterator[str]:
    """A note of each state that came from a run with another seed."""
    for event in filter(is_adoption, line.chain):
        source = event["adopted"]
        if source.get("seed") != seed:
            yield f"until step {event['to']} it was {source.get('run')}, of seed {source.get('seed')}"


def _skips(line: Line) -> Iterator[str]:
    """One note of all batches that were skipped."""
    skips = [(met["skip_batches"], met["step"]) for met in lineage(line) if met.get("skip_batches")]
    if skips:
        steps = ", ".join(str(step) for step in dict.fromkeys(step for _, step in skips))
        total = sum(batches for batches, _ in skips)
        yield f"{total} batches skipped at step{'s' * (',' in steps)} {steps}"


def _merged(nudges: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One nudge a share, with the last value of each key. A whole schedule brings all its keys."""
    found: list[dict[str, Any]] = []
    for nudge in nudges:
        if not found or found[-1]["at"] != nudge["at"]:
            found.append({"at": nudge["at"]})
        if "schedule" in nudge:
            found[-1] = {key: value for key, value in found[-1].items() if schedule_key(key) is None}
        found[-1] |= nudge
        found[-1] = _within_schedule(found[-1])
    return found


def _within_schedule(nudge: Mapping[str, Any]) -> dict[str, Any]:
    """The nudge with keys of the schedule inside the schedule that it brings."""
    whole = nudge.get("schedule")
    if not isinstance(whole, Mapping):
        return dict(nudge)
    inner = {name: key for key in nudge if (name := schedule_key(key)) is not None}
    rest = {key: value for key, value in nudge.items() if key not in inner.values()}
    return {**rest, "schedule": {**whole, **{name: nudge[key] for name, key in inner.items()}}}


def share(step: int, total: int) -> float:
    """The shortest share of training that comes out at this step.

    >>> share(5, 40), share(1, 3), share(1234, 100000)
    (0.12, 0.3, 0.01234)
    """
    for digits in range(1, 17):
        found = round(step / total, digits)
        if round(found * total) == step:
            return found
    return step / total


def _total_steps(parent: Parent, ended: Setting) -> int:
    """How many updates the run would have had with its last settings throughout. Raises UserError."""
    samples = count(mapping(ledger.fold(parent.events).data).get("train"))
    if not samples:
        raise UserError(f"{parent.folder}: its ledger does not say how many samples it trains on; it never began")
    batches = math.ceil(samples / value_of(*ended, "batch_size"))
    total: int = math.ceil(batches / value_of(*ended, "batch.accumulate")) * value_of(*ended, "epochs")
    longest = value_of(*ended, "trainer.max_steps")
    return total if longest is None else min(total, longest)
