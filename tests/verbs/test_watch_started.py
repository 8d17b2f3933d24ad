import os
import signal
import sys
from pathlib import Path

import pytest

from hpo_cli.errors import RunFailedError
from tests.live_run import make_live_run
from tests.terminal import LEFT, terminal

CODE = """
import sys
from pathlib import Path
from hpo_cli.verbs.watch_started import watch_started
sys.exit(watch_started(sys.argv[2:], Path(sys.argv[1]), program=(sys.executable, "-c")))
"""
TRAINS = """
import sys
from pathlib import Path
from tests.live_run import make_live_run, main
print("loading torch", flush=True)
main(make_live_run(Path(sys.argv[1])))
print("best 0.98")
"""


def command(folder: Path, child: str, *words: str) -> list[str]:
    return [sys.executable, "-c", CODE, str(folder), child, *words]


def test_what_the_child_says_before_its_folder_is_there_is_shown(tmp_path: Path) -> None:
    child = "import sys; print('lrr: not an option'); sys.exit(2)"
    with terminal(command(tmp_path / "digits" / "3f9c12", child)) as own:
        assert own.end() == 2
        assert "lrr: not an option" in own.raw
        assert LEFT not in own.raw
    assert not list((tmp_path / "digits").iterdir())


def test_training_goes_on_when_nobody_looks_any_more(tmp_path: Path) -> None:
    folder = tmp_path / "outputs" / "digits" / "3f9c12"
    with terminal(command(folder, TRAINS, str(tmp_path / "outputs"))) as own:
        own.see("q quit")
        own.see("running")
        own.press("q")
        assert own.end() == 0
        said = own.raw.rpartition(LEFT)[2]
        assert f"hpo-run watch {folder}" in said
        assert f"hpo-run stop {folder}" in said
        assert "loading torch" in (folder / "console.log").read_text()
        import json

        lease = json.loads(next((folder / "control").glob("lease-*.json")).read_text())
        pid = lease["holder"]["pid"]
        os.kill(pid, 0)  # it lives
        os.kill(pid, signal.SIGKILL)


def test_a_child_that_ends_while_it_is_watched_gives_its_exit_code(tmp_path: Path) -> None:
    folder = tmp_path / "outputs" / "digits" / "3f9c12"
    with terminal(command(folder, TRAINS, str(tmp_path / "outputs"))) as own:
        own.see("q quit")
        own.press("s")
        own.see("(y/n)")
        own.press("y")
        own.see("done  stop")
        own.see("stopped")
        own.press("q")
        assert own.end() == 0
        assert "best 0.98" in own.raw.rpartition(LEFT)[2]


def test_without_a_terminal_the_command_simply_runs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from hpo_cli.verbs.watch_started import watch_started

    words = ["print('epoch 1'); raise SystemExit(3)"]
    code = watch_started(words, tmp_path / "x", program=(sys.executable, "-c"))
    assert (code, capfd.readouterr().out) == (3, "epoch 1\n")


def test_words_are_those_of_the_command_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from hpo_cli.verbs.watch_started import watch_started

    assert watch_started(["--version"], tmp_path / "x") == 0
    assert capfd.readouterr().out.startswith("hpo-run ")


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    from hpo_cli.verbs.watch_started import watch_started

    with pytest.raises(RunFailedError, match=r"^/no/program: the training could not be started"):
        watch_started(["epochs=1"], tmp_path / "x", program=("/no/program",))


def test_a_resume_that_is_refused_is_told_and_leaves_what_was_said_before(tmp_path: Path) -> None:
    folder = make_live_run(tmp_path)
    (folder / "console.log").write_text("earlier\n")
    child = "import sys; print('lr=-1: must be above 0'); sys.exit(2)"
    with terminal(command(folder, child)) as own:
        assert own.end() == 2
        assert "lr=-1: must be above 0" in own.raw
        assert "earlier" not in own.raw
    assert (folder / "console.log").read_text().startswith("earlier\n")
