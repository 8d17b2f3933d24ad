"""`hpo-run show RUN`: one run, or one sweep, on one page."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hpo_cli.console import output, styles
from hpo_cli.console.figures import age, duration, figure
from hpo_cli.console.happenings import typed
from hpo_cli.console.output import Span, line
from hpo_cli.console.tables import Column, one_line, table
from hpo_cli.console.waiting import waits
from hpo_cli.record.contents import mapping
from hpo_cli.record.details import RunDetails, command_line, read_details
from hpo_cli.record.line import settings_of
from hpo_cli.record.metrics import number
from hpo_cli.record.runs import find_run
from hpo_cli.record.saved_files import saved_files
from hpo_cli.record.sweeps import SweepNoRunError
from hpo_cli.verbs.arguments import RUN_HELP, reading_parser
from hpo_cli.verbs.show_story import go_on, origin, origin_line, story, story_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hpo_cli.console.output import Line
    from hpo_cli.record.contents import Values
    from hpo_cli.record.saved_files import SavedFile

DEFAULT_OUTPUTS = "outputs"
_LABEL = 13
_SHOWN_CHECKPOINTS = 8
_SHOWN_CLASSES = 12


def main(argv: Sequence[str]) -> int:
    """Print all about one run, or one sweep. Raises UserError."""
    parser = reading_parser(
        "show", about="Show one run: what it was, what came of it, and the command that repeats it."
    )
    parser.add_argument("run", metavar="RUN", nargs="?", default="last", help=f"{RUN_HELP}; or a sweep (default: last)")
    args = parser.read(argv)
    try:
        folder = find_run(args.run, args.outputs)
    except SweepNoRunError as error:
        from hpo_cli.verbs.show_sweep import show_sweep

        return show_sweep(error.sweep, outputs=args.outputs, form="json" if args.json else "page")
    details = read_details(folder)
    reference = details.record.id if args.outputs == DEFAULT_OUTPUTS else str(details.record.path)
    next_command = go_on(details.record.status, shlex.quote(reference))
    command = command_line(details, cwd=str(Path.cwd()))
    if args.json:
        output.write_json(_as_json(details, command) | {"go_on": next_command})
    else:
        output.write(_page(details, command, next_command))
    return 0


def _as_json(details: RunDetails, command: str) -> Values:
    state, living = details.state, details.line
    return {
        **details.record.to_json(),
        "command": command,
        "started_event": state.started,
        "data": state.data,
        "ended_event": state.ended,
        "checkpoints": state.checkpoints,
        "files": [one.to_json() for one in _files(details)],
        "waits": [vars(one) for one in waits(living, details.plan)],
        "warnings": state.warnings,
        "origin": origin(mapping(state.started)),
        "story": story(details.events),
        "nudged": settings_of(living),
        "line": living.ids,
        "standing": living.standing,
        "abandoned": [event.get("file") for event in living.abandoned],
        "tests": state.tests,
        "set_aside": details.set_aside,
        "error": details.error,
        "best": details.best,
        "plan": details.plan,
    }


def _page(details: RunDetails, command: str, next_command: str) -> Iterator[Line]:
    yield from _head(details)
    yield from _results(details)
    yield from _data(mapping(details.state.data))
    yield from _environment(mapping(mapping(details.state.started).get("environment")))
    yield from _events(details)
    yield from _error(details.error)
    yield line()
    yield line(Span("again", styles.TITLE))
    if command:
        yield line("  ", command)
    else:
        export = f"hpo-run export {details.record.path}"
        yield line("  it took over the states of other runs: a replay is not possible, and no one command repeats it")
        what = "  writes its whole schedule as a config that trains it in one run"
        yield line("  ", export, Span(what, styles.QUIET))
    if next_command:
        yield line()
        yield line(Span("go on", styles.TITLE), f"  {next_command}")


def _head(details: RunDetails) -> Iterator[Line]:
    record = details.record
    title = Span(f"{one_line(record.name)} {record.id}", styles.TITLE)
    yield line(title, "  ", styles.status(record.status), *_why(details))
    yield from _field("folder", [str(record.path)])
    yield from _field("changed", _changed(record.overrides) or ["nothing: the defaults"])
    yield from _field("choices", [f"{group}={option}" for group, option in record.choices.items()])
    yield from _field("settings", [f"{key}={figure(value)}" for key, value in record.settings.items()])
    yield from _field("nudged to", [typed(key, value) for key, value in settings_of(details.line).items()])
    yield from _field("comes from", [said] if (said := origin_line(mapping(details.state.started))) else [])
    started = f"{record.started[:19].replace('T', ' ')} UTC ({age(record.started, now=time.time())} ago)"
    taken = [f"took {duration(record.seconds)}"] if record.seconds is not None else []
    done = [
        f"{count} {what}" for what, count in (("epochs", record.epochs), ("steps", record.steps)) if count is not None
    ]
    yield from _field("started", [", ".join([started, *taken, *done])])


def _changed(words: Sequence[str]) -> list[str]:
    """The words that change something; where the folder lies is said already."""
    return [word for word in words if not word.startswith("hydra.run.dir=")]


def _why(details: RunDetails) -> Iterator[Span]:
    ended = mapping(details.state.ended)
    why = details.record.damage or ended.get("reason") or ended.get("signal") or ended.get("why")
    if details.record.status == "running?":
        why = "nothing written for five minutes: it may have died"
    if why:
        yield Span(f"  {one_line(str(why))}", styles.BAD)


def _results(details: RunDetails) -> Iterator[Line]:
    record = details.record
    aim = record.objective
    names = list(dict.fromkeys([*record.metrics, *details.best]))
    if not names:
        return
    yield line()
    rows = [[*_result(name, details), *_aim(aim.mode if aim and aim.name == name else "")] for name in names]
    heads = [
        Column("  metric"),
        Column("last", "right"),
        Column("best", "right"),
        Column("at step", "right"),
        Column(""),
    ]
    yield from table(heads, rows)


def _result(name: str, details: RunDetails) -> Iterator[Span]:
    best = mapping(details.best.get(name))
    yield Span(f"  {one_line(name)}")
    yield Span(figure(number(details.record.metrics.get(name))))
    yield Span(figure(number(best.get("value"))))
    yield Span(figure(best.get("step")), styles.QUIET)


def _aim(mode: str) -> Iterator[Span]:
    yield Span(f"objective ({mode})" if mode else "", styles.GOOD)


def _data(data: Values) -> Iterator[Line]:
    sizes = [f"{split} {data[split]}" for split in ("train", "val", "test") if split in data]
    if not sizes:
        return
    yield line()
    yield from _field("data", [", ".join(sizes)])
    counts = mapping(mapping(data.get("class_counts")).get("train"))
    shown = [f"{one_line(str(name))}:{count}" for name, count in list(counts.items())[:_SHOWN_CLASSES]]
    rest = [f"and {len(counts) - len(shown)} more"] if len(counts) > len(shown) else []
    yield from _field("classes", [*shown, *rest])


def _environment(environment: Values) -> Iterator[Line]:
    if not environment:
        return
    git = mapping(environment.get("git"))
    commit = [f"git {str(git.get('commit', ''))[:10]}{' (with changes)' if git.get('dirty') else ''}"] if git else []
    packages = [f"{name} {version}" for name, version in mapping(environment.get("packages")).items()]
    machine = [f"{environment[key]}" for key in ("hostname", "platform") if environment.get(key)]
    cores = [f"{environment['cores']} cores"] if environment.get("cores") else []
    yield line()
    yield from _field("machine", [", ".join([*machine, *cores])])
    yield from _field("versions", [", ".join([f"python {environment.get('python', '?')}", *packages, *commit])])


def _events(details: RunDetails) -> Iterator[Line]:
    state = details.state
    blocks = {
        "checkpoints": _checkpoints(_files(details)),
        "story": story_lines(details.events, details.line),
        "waits": [str(one) for one in waits(details.line, details.plan)],
        "tests": [_test(event) for event in state.tests],
        "set aside": _set_aside(details.set_aside),
    }
    if any(blocks.values()):
        yield line()
    for label, texts in blocks.items():
        for index, text in enumerate(texts):
            yield from _field(label if index == 0 else "", [text])


def _files(details: RunDetails) -> tuple[SavedFile, ...]:
    aim = details.record.objective
    return saved_files(details.record.path, details.line, best_step=aim.step if aim else None)


def _checkpoints(files: Sequence[SavedFile]) -> list[str]:
    """The newest, and with them the best and those with a tag, however old they are."""
    lasting = [one for one in files if "best" in one.marks or any(mark.startswith("tag ") for mark in one.marks)]
    newest = files[-_SHOWN_CHECKPOINTS:]
    shown = [one for one in files if one in newest or one in lasting[-_SHOWN_CHECKPOINTS:]]
    hidden = len(files) - len(shown)
    earlier = [f"{hidden} earlier one{'s' * (hidden > 1)}"] if hidden else []
    return [*earlier, *map(_checkpoint, shown)]


def _checkpoint(one: SavedFile) -> str:
    places = [f"{what} {at}" for what, at in (("step", one.step), ("epoch", one.epoch)) if at is not None]
    marks = f"[{', '.join(one.marks)}]" if one.marks else ""
    return "  ".join(part for part in (one.file, ", ".join(places), marks) if part)


def _set_aside(lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    text, many = lines[0][:60], len(lines) > 1
    return [
        f"{len(lines)} lines of the ledger are none, such as: {text}" if many else f"ledger line that is none: {text}"
    ]


def _test(event: Values) -> str:
    values = ", ".join(f"{name} {figure(value)}" for name, value in mapping(event.get("metrics")).items())
    members = event.get("ensemble")
    by = f"ensemble of {len(members)}" if isinstance(members, list) else f"checkpoint {event.get('checkpoint')}"
    return f"{event.get('split', 'test')} split: {values}  ({by})"


def _error(lines: Sequence[str]) -> Iterator[Line]:
    if not lines:
        return
    yield line()
    yield line(Span("error.txt ends with", styles.TITLE))
    for text in lines:
        yield line("  ", Span(one_line(text), styles.BAD))


def _field(label: str, words: Iterable[str]) -> Iterator[Line]:
    """A label and its words, broken between words so that they stay below each other."""
    room = max(20, output.width() - _LABEL - 2) if output.is_styled() else None
    for index, text in enumerate(_broken([one_line(word) for word in words], room)):
        yield line(Span(f"  {'' if index else label:<{_LABEL}}", styles.QUIET), text)


def _broken(words: Sequence[str], room: int | None) -> list[str]:
    lines: list[str] = []
    for word in (part for text in words for part in text.split(" ")):
        if lines and (room is None or output.cells(lines[-1]) + 1 + output.cells(word) <= room):
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
