import pytest

from hpo_cli.console.output import line, write
from hpo_cli.console.sweep_end import announce, conclude, conclusion
from hpo_cli.console.sweep_plan import Cost, plan_lines
from tests.sweep_story import Story

SETTING = {"optimizer": "adam", "optimizer__lr": 0.00312345}


def ended(**more: object) -> Story:
    story = Story.begun(trials=4, **more).joined()  # type: ignore[arg-type]
    story.trial(0.9, setting=SETTING)
    story.trial(0.95, setting=SETTING)
    story.trial(None, "failed", epoch=1, reason="train/loss was nan at step 12\nTraceback ...", setting=SETTING)
    story.trial(0.5, "stopped", epoch=3, setting=SETTING)
    story.tell("ended_sweep", why="all 4 trials are there")
    story.at += 61.0
    return story.left()


def told(story: Story, **more: str) -> str:
    return "\n".join("".join(span.text for span in one).rstrip() for one in conclusion(story.state(), **more))  # type: ignore[arg-type]


def test_who_won_what_failed_and_what_to_type() -> None:
    assert told(ended()).splitlines() == [
        "  ended      all 4 trials are there",
        "  trials     2 finished, 1 stopped, 1 failed  (1 min 15 s)",
        "  best       val/accuracy 0.95  trial 2, epoch 10  (abc123-2)",
        "             optimizer=adam lr=0.003123",
        "  failed     trial 3  optimizer=adam lr=0.003123: train/loss was nan at step 12",
        "  folder     outputs/digits/abc123",
        "  next       hpo-run best abc123                   the leaderboard, what mattered",
        "             hpo-run report abc123                 one file with all curves",
        "             hpo-run resume=best:abc123 epochs=50  trains the winner on",
    ]


def test_seeds_are_told_as_a_mean() -> None:
    assert "epoch 10, mean of 3 runs  (abc123-2-1 .. abc123-2-3)" in told(ended(runs=3))


def test_an_interrupted_sweep_says_how_it_goes_on() -> None:
    story = Story.begun(trials=4).joined()
    story.trial(0.9, setting=SETTING)
    number = story.propose(**SETTING)
    story.start(number).end(number, "interrupted", epoch=2)
    said = told(story.left(), interrupted="Ctrl-C")
    assert "stopped    Ctrl-C: running trials have saved their state" in said
    assert "1 finished, 1 waiting, of 4" in said
    assert "hpo-run -m sweep.resume=abc123" in said


def test_nothing_has_a_value() -> None:
    story = Story.begun(trials=1).joined()
    story.trial(None, "failed", reason="no such data")
    said = told(story.left())
    assert "no trial has a value yet" in said
    assert "hpo-run ls abc123" in said
    assert "best:" not in said


def test_the_leaderboard_has_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    conclude(ended().state(), leaderboard=[line("the leaderboard")])
    out = capsys.readouterr().out
    assert out.index("lr=0.003123\n\nthe leaderboard\n\n") < out.index("  failed ")


def test_many_failures_are_counted() -> None:
    story = Story.begun(trials=20).joined()
    for _ in range(8):
        story.trial(None, "failed", reason="out of memory")
    said = told(story)
    assert said.count("out of memory") == 5
    assert "and 3 more" in said


def test_what_begins_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    announce(Story.begun(trials=4, runs=2).joined().state())
    assert capsys.readouterr().out.splitlines() == [
        "sweep    outputs/digits/abc123",
        "what     optimizer=adam,sgd epochs=10",
        "how      random: 4 trials of 10 epochs in 2 runs each",
    ]
    announce(ended().state())
    assert "goes on  2 finished, 1 stopped, 1 failed" in capsys.readouterr().out


GRID = [{"optimizer": name, "optimizer.lr": lr} for name in ("adam", "sgd") for lr in (0.1, 0.01)]


def texts(*settings: object, **more: object) -> list[str]:
    return ["".join(span.text for span in one).rstrip() for one in plan_lines(*settings, **more)]  # type: ignore[arg-type]


def test_a_dry_run_lists_the_trials_of_a_grid(capsys: pytest.CaptureFixture[str]) -> None:
    cost = Cost(30.0, workers=3, trials=4, epochs_per_trial=10)
    refused = [({"optimizer": "lbfgs"}, "batch_size: must be\nwhole")]
    write(plan_lines(GRID, keys=["optimizer", "optimizer.lr"], kind="exact", total=4, cost=cost, refused=refused))
    assert capsys.readouterr().out.splitlines() == [
        "4 trials, in this order",
        "  1  optimizer=adam lr=0.1",
        "  2  optimizer=adam lr=0.01",
        "  3  optimizer=sgd lr=0.1",
        "  4  optimizer=sgd lr=0.01",
        "  no trial: optimizer=lbfgs: batch_size: must be whole",
        "",
        "cost  30.0 s a trial of 10 epochs; about 1 min 0 s with 3 workers  (from one timed step)",
    ]


def test_samples_are_called_samples() -> None:
    lines = texts(GRID, keys=[], kind="samples", total=50)
    assert lines[0] == "50 trials; 4 samples of what it may try first: later ones learn from earlier ones"
    assert texts(GRID, keys=[], kind="samples", total=None)[0].startswith("trials until it is stopped")
    assert texts(GRID, keys=[], kind="exact", total=9)[0] == "the first 4 of 9 trials, in this order"


@pytest.mark.parametrize(
    ("workers", "trials", "epochs", "seconds"),
    [(1, 7, None, 70.0), (2, 7, None, 40.0), (8, 7, None, 10.0), (2, 9, 30.0, 15.0), (2, None, None, None)],
)
def test_the_cost_in_closed_form(workers: int, trials: int | None, epochs: float | None, seconds: float | None) -> None:
    """9 trials of 10 epochs of which a scheduler lets 30 be trained: a third of 90 s on two workers."""
    assert Cost(10.0, workers, trials, 10, epochs).total_seconds == seconds
