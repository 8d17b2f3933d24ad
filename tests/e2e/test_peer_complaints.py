"""What users of other sweepers complain of (their own issues), on `hpo-run -m` as people type it.

All twelve of the list, by number; test_sweep_plugin_complaints.py has those that concern any Hydra app. Those that need
a killed sweep have more of it in test_sweep_kills.py, those on schedules in test_sweep_schedules.py.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hpo_cli.record.ledger import read_ledger
from hpo_cli.record.line import is_adoption
from hpo_cli.sweep.executors.local_slots import cores
from tests.command_line import child
from tests.e2e.sweeps import SMALL, TINY, Swept, begin, hpo_run, ledger, rows, runs_of, sweep, without
from tests.sweep.failing import MODULE, OPTIONS

TWO_SETTINGS = (*without("batch_size", TINY), "lr=0.01", "batch_size=choice(16,32)")
NAMED = {
    "slow": "loss.slow=0.35",
    "raises": "loss.what=raise",
    "well": "loss.what=none",
    "killed_once": "loss.what=kill loss.once=$DONE",
    "killed_always": "loss.what=kill",
    "diverges": "loss.what=nans",
    "well_too": "loss.at=6",
}
"""The trials of one sweep in which much goes wrong, in their order."""


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """Two slots: three of seven trials fail, each in its own way, and one is let down once."""
    place = tmp_path_factory.mktemp("troubled")
    shutil.copytree(OPTIONS, place / "mine")
    (place / "mine" / "experiment").mkdir()
    for name, words in NAMED.items():
        lines = [word.replace("$DONE", str(place / "done")).split("=") for word in words.split()]
        text = "".join(f"{key}: {value}\n" for key, value in lines)
        text = text.replace("loss.", "  ") if "loss." in text else text
        head = "# @package _global_\n# One of the trials\n"
        (place / "mine" / "experiment" / f"{name}.yaml").write_text(
            head + ("loss:\n" if "loss." in words else "") + text
        )
    shared = [word for word in SMALL if not word.startswith(("trainer.threads=", "--config-dir", str(OPTIONS)))]
    words = ("--config-dir", "mine", *shared, "lr=0.01", f"experiment={','.join(NAMED)}", "sweep.workers=2")
    return sweep(*words, cwd=place)


def number(name: str) -> int:
    return list(NAMED).index(name) + 1


def ends(swept: Swept, name: str) -> list[str]:
    return [event["status"] for event in swept.of("ended") if event["trial"] == number(name)]


def test_1_a_slow_trial_holds_no_other(troubled: Swept) -> None:
    order = [event["trial"] for event in troubled.of("ended")]
    assert order.index(number("slow")) >= 3, order
    begun = [event["trial"] for event in troubled.of("started")]
    assert begun[:3] == [1, 2, 3], "a free slot takes the next one"
    pauses = [seconds_between(*pair) for pair in refills(troubled)]
    assert pauses, "nothing was refilled"
    assert min(pauses) < 0.5, "at once"


def refills(swept: Swept) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each ending, and the start that follows it."""
    events = [event for event in swept.log if event["event"] in ("started", "ended")]
    return [(one, two) for one, two in pairwise(events) if (one["event"], two["event"]) == ("ended", "started")]


def seconds_between(one: dict[str, Any], two: dict[str, Any]) -> float:
    return (datetime.fromisoformat(two["at"]) - datetime.fromisoformat(one["at"])).total_seconds()


@pytest.mark.slow
def test_1_a_trial_that_does_badly_is_stopped(tmp_path: Path) -> None:
    rates = "lr=0.05,0.04,0.03,0.02,0.000001"
    words = ("sweep.scheduler=median", "sweep.grace=2", "sweep.workers=1", "loss.slow=0.03", "epochs=6")
    swept = sweep(*SMALL, rates, *words, cwd=tmp_path)
    assert swept.code == 0, swept.said
    last = swept.state.trials[-1]
    assert (last.status, last.epoch < 6) == ("stopped", True)
    assert "median" in last.why
    assert ledger(runs_of(swept.folder)["-5"], "stopped")


def test_2_what_goes_wrong_ends_its_own_trial_alone(troubled: Swept) -> None:
    found = {name: troubled.state.trial(number(name)).status for name in NAMED}
    assert found == {
        "slow": "finished", "raises": "failed", "well": "finished", "killed_once": "finished",
        "killed_always": "failed", "diverges": "failed", "well_too": "finished",
    }  # fmt: skip
    assert troubled.code == 1


def test_2_what_the_machine_may_have_caused_is_tried_again_from_its_checkpoint(troubled: Swept) -> None:
    assert ends(troubled, "killed_once") == ["lost", "finished"]
    assert ends(troubled, "killed_always") == ["lost", "lost", "failed"]
    assert (ends(troubled, "raises"), ends(troubled, "diverges")) == (["failed"], ["failed"])
    (resumed,) = ledger(runs_of(troubled.folder)[f"-{number('killed_once')}"], "resumed")
    assert resumed["step"] in (2, 4), "a checkpoint before the fifth batch"
    undisturbed = rows(runs_of(troubled.folder)[f"-{number('well')}"])
    assert rows(runs_of(troubled.folder)[f"-{number('killed_once')}"]) == undisturbed


def test_3_the_same_words_again_run_nothing_again(troubled: Swept) -> None:
    before = [event["event"] for event in troubled.log]
    again = hpo_run("-m", f"sweep.resume={troubled.folder}", cwd=troubled.folder.parent)
    assert again.returncode == 1, "its failures are failures still"
    after = [event["event"] for event in troubled.log][len(before) :]
    assert Counter(after)["started"] == Counter(after)["proposed"] == 0, after
    assert len(troubled.state.trials) == len(NAMED)


@pytest.mark.slow
def test_3_a_finished_sweep_takes_further_trials_and_numbers_them_on(tmp_path: Path) -> None:
    words = (*TINY, "lr=tag(log,interval(1e-3,1e-1))", "sweep.workers=2")
    first = sweep(*words, "sweep.trials=2", cwd=tmp_path)
    stamps = {name: (folder / "result.json").stat().st_mtime_ns for name, folder in runs_of(first.folder).items()}
    second = sweep(*words, "sweep.trials=4", cwd=tmp_path)
    assert "sweep.trials: was 2, now 4" in second.said
    assert list(runs_of(second.folder)) == ["-1", "-2", "-3", "-4"]
    assert {name: (runs_of(second.folder)[name] / "result.json").stat().st_mtime_ns for name in stamps} == stamps
    assert len({trial.setting["lr"] for trial in second.state.trials}) == 4


def test_4_no_setting_is_run_twice_unless_it_is_allowed(tmp_path: Path) -> None:
    words = (*TWO_SETTINGS, "sweep=tpe", "sweep.trials=6", "sweep.startup=2")
    once = sweep(*words, "sweep.workers=2", cwd=tmp_path)
    assert sorted(trial.setting["batch_size"] for trial in once.state.trials) == [16, 32]
    assert "no further setting: 2 were tried" in once.said
    assert once.code == 0


@pytest.mark.slow
def test_4_duplicates_are_run_when_they_are_asked_for(tmp_path: Path) -> None:
    words = (*TWO_SETTINGS, "sweep=tpe", "sweep.trials=6", "sweep.startup=2")
    swept = sweep(*words, "sweep.duplicates=allow", "sweep.workers=2", cwd=tmp_path)
    assert len(swept.state.trials) == 6, "negative control"
    assert len({trial.plan_id for trial in swept.state.trials}) == 2


def test_5_and_7_a_range_is_for_the_options_that_have_it_and_seeds_are_no_parameter(tmp_path: Path) -> None:
    words = (
        "optimizer=adam,momentum",
        "optimizer.momentum=interval(0,1)",
        "lr=0.01",
        "sweep.trials=4",
        "sweep.seeds=2",
    )
    swept = sweep(*TINY, *words, "sweep.workers=2", cwd=tmp_path)
    assert swept.code == 0, swept.said
    trials = swept.state.trials
    assert {trial.setting["optimizer"] for trial in trials} == {"adam", "momentum"}
    for trial in trials:
        assert ("optimizer.momentum" in trial.setting) == (trial.setting["optimizer"] == "momentum")
        assert "seed" not in trial.setting
        values = [run.values[0] for run in trial.runs if run.values and run.values[0] is not None]
        assert len(values) == 2
        assert trial.value == pytest.approx(sum(values) / 2)
    names = [f"-{trial.number}-{index}" for trial in trials for index in (1, 2)]
    assert list(runs_of(swept.folder)) == names
    assert {dimension.name for dimension in swept.state.space.dimensions} == {"optimizer", "optimizer.momentum"}


def test_6_errors_are_told_as_they_happen_and_all_of_them_at_the_end(troubled: Swept) -> None:
    lines = troubled.out.splitlines() + troubled.err.splitlines()
    told = [index for index, line in enumerate(lines) if line.startswith("trial ") and "failed:" in line]
    assert len(told) == 3
    last = next(index for index, line in enumerate(lines) if line.startswith(f"trial {number('slow')} "))
    assert min(told) < last, "while another one trains"
    for name, reason in (
        ("raises", "went wrong on purpose"),
        ("killed_always", "signal 9"),
        ("diverges", "is nan at step 5"),
    ):
        found = [line for line in lines if f"trial {number(name)} " in line and reason in line]
        assert len(found) >= 2, f"{name}: at once, and at the end"


def test_6_results_come_together(troubled: Swept) -> None:
    found = json.loads(hpo_run("best", str(troubled.folder), "--json", cwd=troubled.folder.parent).stdout)
    best = json.loads((troubled.folder / "best.json").read_text())
    assert found["best"]["trial"] == best["trial"]
    assert {row["trial"] for row in found["leaderboard"] if row["rank"]} == {
        number(name) for name in ("slow", "well", "killed_once", "well_too")
    }
    runs = [runs_of(troubled.folder)[f"-{row['trial']}"] for row in found["leaderboard"] if row["rank"]]
    assert best["value"] == max(row["val/accuracy"] for folder in runs for row in rows(folder) if "val/accuracy" in row)


def test_6_and_7_a_dry_run_lists_the_trials_and_lists_go_together_when_they_are_zipped(tmp_path: Path) -> None:
    zipped = ("lr=0.1,0.01", "batch_size=16,32", "sweep.zip=[[lr,batch_size]]")
    done = hpo_run("-m", *without("batch_size", TINY), "optimizer=adam,sgd", *zipped, "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines() if "optimizer=" in line] == [
        ["1", "optimizer=adam", "lr=0.1", "batch_size=16"],
        ["2", "optimizer=adam", "lr=0.01", "batch_size=32"],
        ["3", "optimizer=sgd", "lr=0.1", "batch_size=16"],
        ["4", "optimizer=sgd", "lr=0.01", "batch_size=32"],
    ]
    assert "cost" in done.stdout
    assert not list(tmp_path.iterdir()), "nothing is left"


def test_8_slots_share_the_cores_and_each_trial_is_in_a_worker_of_its_own(troubled: Swept) -> None:
    pids = {name: process_of(folder) for name, folder in runs_of(troubled.folder).items()}
    scheduler = troubled.of("joined")[0]["who"]["pid"]
    assert scheduler not in pids.values()
    assert len({pids[f"-{n}"] for n in (1, 2)}) == 2, "two at once"
    assert pids["-1"] != pids["-3"], "which began while the first was training"
    threads = [ledger(folder, "data")[0]["threads"] for folder in runs_of(troubled.folder).values()]
    assert threads == [max(1, cores() // 2)] * len(NAMED)


def process_of(folder: Path) -> int:
    return int(ledger(folder, "started")[0]["pid"])


@pytest.mark.slow
def test_8_memory_that_trials_leak_does_not_add_up(tmp_path: Path) -> None:
    words = ("loss.what=leak", "loss.at=1", "loss.leak_mb=100", "lr=tag(log,interval(1e-3,1e-1))", "sweep.trials=10")
    most: dict[str, int] = {}
    for worker in ("warm", "fork"):
        with begin(*TINY, *words, "sweep.workers=1", f"sweep.worker={worker}", cwd=tmp_path, dir=worker) as going:
            most[worker] = 0
            while going.process.poll() is None:
                most[worker] = max(most[worker], *(resident_mb(pid) for pid in [going.process.pid, *going.pids()]))
            assert going.process.returncode == 0, going.said
    leaked_mb = 10 * 4 * 100
    assert most["fork"] < most["warm"] + 100
    assert most["fork"] < 0.25 * leaked_mb, "each process leaks its own 400 MB alone"
    assert most["warm"] < 0.6 * leaked_mb, "a worker that grew is given up"


def resident_mb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS")), 0)


def test_9_edited_files_reach_no_later_trial_and_two_sweeps_of_one_second_have_their_own_folders(
    tmp_path: Path,
) -> None:
    mine = tmp_path / "mine" / "model" / "own.yaml"
    mine.parent.mkdir(parents=True)
    text = "_target_: tests.sweep.failing.failing_model\nwidth: 8\nleast_width: 0\nwhat: none\n"
    mine.write_text(text)
    words = ("--config-dir", "mine", f"allow_targets=[{MODULE}]", "model=own", "data.subset=0.1", "epochs=1")
    more = ("trainer=cpu", "trainer.threads=1", "lr=0.01,0.02,0.03", "batch_size=16", "sweep.workers=1")
    pair = [begin(*words, *more, cwd=tmp_path, dir=None) for _ in range(2)]
    with pair[0], pair[1]:
        for going in pair:
            going.await_(lambda _: len(list(tmp_path.glob("outputs/digits/*/sweep.jsonl"))) == 2)
        mine.write_text(text.replace("width: 8", "width: 9"))
        assert [going.wait().code for going in pair] == [0, 0], [going.said for going in pair]
    folders = sorted((tmp_path / "outputs" / "digits").iterdir())
    assert len(folders) == 2
    for folder in folders:
        plans = [(run / "plan.yaml").read_text() for run in runs_of(folder).values()]
        assert len(plans) == 3
        assert all("width: 8" in plan for plan in plans)
    after = hpo_run(*words, "trainer=cpu", "batch_size=16", "hydra.run.dir=after", cwd=tmp_path)
    assert after.returncode == 0, after.stderr
    assert "width: 9" in (tmp_path / "after" / "plan.yaml").read_text(), "negative control: the edit was one"


@pytest.mark.slow
def test_10_the_newest_optuna_is_what_searches(tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    words = ("lr=tag(log,interval(1e-3,1e-1))", "sweep=tpe", "sweep.trials=4", "sweep.startup=2", "sweep.workers=2")
    swept = sweep(*TINY, *words, "sweep.storage=sqlite:///study.db", cwd=tmp_path)
    assert swept.code == 0, swept.said
    assert int(optuna.__version__.split(".")[0]) >= 5
    (name,) = optuna.get_all_study_names(f"sqlite:///{tmp_path}/study.db")
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{tmp_path}/study.db")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 4
    by_number = {trial.number + 1: trial for trial in swept_trials(study)}
    for trial in swept.state.trials:
        assert by_number[trial.number].params["lr"] == pytest.approx(trial.setting["lr"])
        assert by_number[trial.number].value == pytest.approx(trial.value)


def swept_trials(study: Any) -> list[Any]:
    """Of a study, in the order of the sweep's numbers."""
    return sorted(study.trials, key=lambda trial: trial.user_attrs["trial"])


COUNTED = """
import json, sys
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hpo_cli.cli import main
calls = []
load = ConfigLoaderImpl._load_configuration_impl
def counted(self, *args, **kwargs):
    calls.append(1)
    return load(self, *args, **kwargs)
ConfigLoaderImpl._load_configuration_impl = counted
code = main(sys.argv[1:])
heavy = [name for name in ("torch", "pytorch_lightning") if name in sys.modules]
print(json.dumps({"compositions": len(calls), "heavy": heavy, "code": code}))
"""


def test_11_options_are_composed_once_and_who_schedules_imports_no_torch(tmp_path: Path) -> None:
    words = ("-m", *TINY, "optimizer=adam,sgd", "lr=0.01,0.02,0.03,0.04", "sweep.workers=2", "sweep.dir=swept")
    done = child(*words, cwd=tmp_path, code=COUNTED)
    assert done.code == 0, done.err
    told = json.loads(done.out.splitlines()[-1])
    assert (told["heavy"], told["code"]) == ([], 0)
    assert 2 <= told["compositions"] <= 4, "of eight trials, and the plan that they all begin from"
    assert len(runs_of(tmp_path / "swept")) == 8


def test_12_a_trial_stops_at_its_rung_and_is_promoted_from_its_checkpoint(tmp_path: Path) -> None:
    words = ("epochs=4", "lr=tag(log,interval(1e-3,1e-1))", "sweep=asha", "sweep.eta=2", "sweep.trials=4")
    swept = sweep(*SMALL, *words, "sweep.workers=1", cwd=tmp_path)
    assert swept.code == 0, swept.said
    ordered = [(event["trial"], event["until"]) for event in swept.of("ordered")]
    assert (1, None) in ordered or any(until is None for _, until in ordered), "one of four reaches the end"
    for trial in swept.state.trials:
        folder = runs_of(swept.folder)[f"-{trial.number}"]
        begun = [event["until"] for event in swept.of("started") if event["trial"] == trial.number]
        rungs = [1, 2, None][: len(begun)]
        assert begun == rungs
        assert [event["step"] for event in ledger(folder, "resumed")] == [4 * until for until in rungs[:-1] if until]
        assert len(ledger(folder, "started")) == 1
        assert [row["epoch"] for row in rows(folder)] == list(range(1, trial.epoch + 1)), "no epoch is trained twice"
    assert swept.state.trained_epochs == sum(trial.epoch for trial in swept.state.trials) < 4 * 4


def test_12_a_member_of_a_population_keeps_what_it_was_changed_to_through_every_restore(tmp_path: Path) -> None:
    words = ("optimizer=momentum", "epochs=5", "schedule=constant", "lr=tag(log,interval(1e-5,1e-1))", "sweep=pbt")
    more = ("sweep.population=3", "sweep.workers=1", "sweep.interval=1", "sweep.quantile=0.34", "sweep.resample=0")
    swept = sweep(*SMALL, *words, *more, cwd=tmp_path)
    assert swept.code == 0, swept.said
    exploits = swept.of("adopting")
    assert exploits, "nobody took anything over"
    for trial in swept.state.trials:
        expected = rates_of(swept, trial.number)
        assert [row["lr"] for row in rows(runs_of(swept.folder)[f"-{trial.number}"])][-1] == pytest.approx(expected[-1])
    event = exploits[-1]
    own = swept.state.trial(event["trial"])
    resumed_after = [one for one in swept.of("started") if one["trial"] == own.number and one["at"] > event["at"]]
    assert resumed_after
    assert expected_changes(event, swept) in (0.8, 1.25)
    folder = runs_of(swept.folder)[f"-{own.number}"]
    adoptions = [one for one in read_ledger(folder).events if is_adoption(one)]
    assert len(adoptions) == len([one for one in exploits if one["trial"] == own.number])


def rates_of(swept: Swept, number: int) -> list[float]:
    """The rates that a member has had, by the sweep's log."""
    changes = [event["changes"]["lr"] for event in swept.of("adopting") if event["trial"] == number]
    return [swept.state.trial(number).setting["lr"], *changes]


def expected_changes(event: dict[str, Any], swept: Swept) -> float:
    """What the other one's rate was multiplied by."""
    earlier = [one for one in swept.of("adopting") if one["trial"] == event["source"] and one["at"] < event["at"]]
    theirs = earlier[-1]["changes"]["lr"] if earlier else swept.state.trial(event["source"]).setting["lr"]
    return round(float(event["changes"]["lr"] / theirs), 6)
