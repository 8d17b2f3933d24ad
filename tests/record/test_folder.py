import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_cli.errors import ConfigError
from hpo_cli.record import folder
from hpo_cli.record.folder import check_name, create_run_folder, is_run

RACER = """
import secrets, sys
from hpo_cli.record import folder
draws = iter(f"{k:06x}" for k in range(1000))
secrets.token_hex = lambda _: next(draws)  # every process tries the same ids in the same order
for _ in range(20):
    print(folder.create_run_folder(sys.argv[1], "race").name)
"""


def test_a_folder_with_six_hex_digits_and_checkpoints(tmp_path: Path) -> None:
    made = create_run_folder(tmp_path / "deep" / "outputs", "digits")
    assert made.parent == tmp_path / "deep" / "outputs" / "digits"
    assert len(made.name) == 6
    assert int(made.name, 16) >= 0
    assert [entry.name for entry in made.iterdir()] == ["checkpoints"]
    assert not is_run(made)


def test_many_processes_never_share_a_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RACER, str(tmp_path)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    names = [name for child in children for name in child.communicate()[0].split()]
    assert [child.returncode for child in children] == [0] * 8
    assert len(names) == 160
    assert sorted(names) == [f"{k:06x}" for k in range(160)], "an id was given twice or left out"


def test_exhausted_ids_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder.secrets, "token_hex", lambda _: "abcdef")
    create_run_folder(tmp_path, "a")
    with pytest.raises(ConfigError, match="all taken"):
        create_run_folder(tmp_path, "a")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/a", ".hidden", "-x", "a ", "a\n", "a\0b", "a" * 61, "a:b", "x."]
)
def test_unsafe_names_are_refused_and_nothing_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"^name="):
        create_run_folder(tmp_path / "outputs", name)
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("name", ["digits", "a", "my-run_2.1", "größe", "3x3", "a" * 60, "字" * 60])
def test_good_names_make_folders(tmp_path: Path, name: str) -> None:
    assert create_run_folder(tmp_path, name).is_dir()


@given(st.text(max_size=70))
def test_a_name_that_passes_is_one_path_part(name: str) -> None:
    try:
        check_name(name)
    except ConfigError:
        return
    assert Path("/x", name).parent == Path("/x")
    assert len(name.encode()) < 256
    assert not any(letter.isspace() or ord(letter) < 32 for letter in name)


def test_the_suggestion_is_a_good_name() -> None:
    with pytest.raises(ConfigError) as caught:
        check_name("../a b/ü")
    assert str(caught.value).endswith("try name=a-b-ü")


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("")
    with pytest.raises(ConfigError, match=r"^outputs=.*outputs=DIR"):
        create_run_folder(tmp_path / "outputs", "digits")
