from pathlib import Path

import pytest

from hpo_cli.components.data.cache import cache_folder, write_atomically


def test_the_cache_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "hpo-run"


@pytest.mark.parametrize("value", [None, "", "relative/cache"])
def test_without_a_usable_xdg_it_is_below_home(monkeypatch, tmp_path, value):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if value is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert cache_folder() == tmp_path / ".cache" / "hpo-run"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(monkeypatch, tmp_path):
    path = tmp_path / "new" / "file"
    write_atomically(path, b"old")

    def full_disk(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
