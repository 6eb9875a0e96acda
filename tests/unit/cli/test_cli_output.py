import json
import os
import stat
from pathlib import Path

import pytest

from meshwright.cli import output
from meshwright.cli.output import JsonTarget, write_file
from meshwright.errors import FileError


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text("old")
    JsonTarget.checked(str(path)).write("{}")
    assert path.read_text() == "{}\n"
    assert [file.name for file in tmp_path.iterdir()] == ["plan.json"]


def test_checking_leaves_no_trace(tmp_path):
    JsonTarget.checked(str(tmp_path / "plan.json"))
    assert list(tmp_path.iterdir()) == []


def test_a_failure_on_the_way_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    """As when a disk runs full: the part is removed, and what was there stays."""
    path = tmp_path / "plan.json"
    path.write_text("old")

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(output.Path, "replace", full)
    with pytest.raises(FileError, match="No space left"):
        write_file(path, "new")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["plan.json"]


def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "real.json", tmp_path / "link.json"
    target.write_text("old")
    link.symlink_to(target)
    JsonTarget.checked(str(link)).write("{}")
    assert link.is_symlink()
    assert target.read_text() == "{}\n"


def test_a_device_is_written_to_and_not_replaced():
    """Else `--json /dev/null` as root would delete the device."""
    JsonTarget.checked("/dev/null").write("{}")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_new_files_have_the_usual_permissions(tmp_path):
    path = tmp_path / "plan.json"
    write_file(path, "{}")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("name", ["missing/plan.json", "", "file/plan.json"])
def test_what_cannot_be_written_is_found_before_any_work(tmp_path, name):
    """A missing folder, a folder itself, and a file where a folder should be."""
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="can't be written"):
        JsonTarget.checked(str(tmp_path / name))


def test_json_to_stdout_is_all_that_stdout_gets(meshwright):
    result = meshwright("plan", "llama-3-8b", "--cluster", "dgx-h100", "--gpus", "8", "--json", "-")
    assert json.loads(result.stdout)["plans"]
    assert result.stderr == ""
