"""The one writer: whole or not there, and nothing of others is replaced, followed or removed."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from simarena import outputs
from simarena.errors import OutputError, Unwritten


def test_a_file_appears_whole_with_the_folders_on_its_way(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.txt"
    with outputs.writing(path) as file:
        file.write("half")
        assert not path.exists()
    assert path.read_text() == "half"
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask()
    assert list(path.parent.iterdir()) == [path]


def umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_block_that_fails_leaves_what_was_there_and_no_part(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "x.txt"
    path.write_text("before")
    with pytest.raises(error), outputs.writing(path, own=True):
        raise error
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_with_the_file(tmp_path: Path) -> None:
    said = r"cannot write .*x\.txt: No space left on device; make room, then run the same command again"
    with pytest.raises(Unwritten, match=said), outputs.writing(tmp_path / "x.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(
    ("kind", "said"),
    [("link", "is a link"), ("dangling", "is a link"), ("folder", "is a folder"), ("pipe", "is no ordinary")],
)
def test_what_is_no_ordinary_file_is_refused_and_left(tmp_path: Path, kind: str, said: str, own: bool) -> None:
    path = made(tmp_path, kind)
    before = path.lstat()
    with pytest.raises(OutputError, match=f"x {said}"):
        outputs.write(path, "mine", own=own)
    assert os.path.samestat(path.lstat(), before)
    assert (tmp_path / "precious").read_text() == "the only copy"


def made(folder: Path, kind: str) -> Path:
    """Something of that kind, called x, beside a precious file."""
    (folder / "precious").write_text("the only copy")
    path = folder / "x"
    if kind in ("link", "dangling"):
        path.symlink_to("precious" if kind == "link" else "nowhere")
    elif kind == "hard":
        os.link(folder / "precious", path)
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    return path


def test_a_file_of_others_is_replaced_only_where_that_was_said(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("theirs")
    with pytest.raises(OutputError, match="x is there already; name another file, or give --force"):
        outputs.write(path, "mine")
    assert path.read_text() == "theirs"
    outputs.write(path, "mine", own=True)
    assert path.read_text() == "mine"


def test_a_hard_link_is_replaced_and_its_other_name_keeps_what_it_held(tmp_path: Path) -> None:
    path = made(tmp_path, "hard")
    outputs.write(path, "mine", own=True)
    assert (tmp_path / "precious").read_text() == "the only copy"


def test_inputs_are_never_replaced_under_whatever_name(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.sqlite").write_text("all that was played")
    (tmp_path / "way").symlink_to("run")
    os.link(run / "run.sqlite", tmp_path / "other")
    for path in (run / "run.sqlite", tmp_path / "way" / "run.sqlite", tmp_path / "run" / ".." / "run" / "run.sqlite"):
        with pytest.raises(OutputError, match="belongs to what this command reads"):
            outputs.write(path, "mine", own=True, inputs=[run])
    with pytest.raises(OutputError, match="belongs to what this command reads"):
        outputs.write(tmp_path / "other", "mine", own=True, inputs=[run / "run.sqlite"])
    outputs.write(run / "new", "mine", inputs=[run])
    assert (run / "run.sqlite").read_text() == "all that was played"


def test_what_somebody_else_wrote_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with pytest.raises(Unwritten, match="was changed by someone else meanwhile"), outputs.writing(path):
        path.write_text("theirs")
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("place", ["a\0b", "x" * 300])
def test_what_can_be_no_path_is_told(tmp_path: Path, place: str) -> None:
    with pytest.raises(OutputError, match="is no place to write to"):
        outputs.write(tmp_path / place, "mine")


# ---- files that grow -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("link", "a link"),
        ("dangling", "a link"),
        ("folder", "a folder"),
        ("pipe", "no ordinary"),
        ("hard", "hard link"),
    ],
)
def test_a_file_is_written_in_place_only_where_nothing_else_changes_with_it(
    tmp_path: Path, kind: str, said: str
) -> None:
    with pytest.raises(OutputError, match=said):
        outputs.open_in_place(made(tmp_path, kind))
    assert (tmp_path / "precious").read_text() == "the only copy"


# ---- folders ---------------------------------------------------------------------------------------------------------


def test_a_folder_is_claimed_that_is_new_empty_or_marked(tmp_path: Path) -> None:
    for name in ("new", "empty", "marked", "begun"):
        folder = tmp_path / name
        if name != "new":
            folder.mkdir()
        if name in ("marked", "begun"):
            (folder / ("mark" if name == "marked" else "lock")).write_text("")
            (folder / f"{outputs.PART}1f").write_text("left by one that was killed")
            (folder / ".gitkeep").write_text("")
        outputs.claim(folder, "mark", "lock")
    (tmp_path / "way").symlink_to("empty")
    outputs.claim(tmp_path / "way", "mark")


def test_a_folder_of_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(OutputError, match=r"holds other files \(notes\.txt\); give a new or empty folder with --out"):
        outputs.claim(tmp_path, "mark", "lock")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("notes.txt", "dangling"):
        with pytest.raises(OutputError, match=f"{name} is a file; give a folder with --out"):
            outputs.claim(tmp_path / name, "mark")


def test_a_path_stays_inside_its_root_which_may_be_a_link_itself(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    root = tmp_path / "root"
    root.symlink_to("there")
    assert outputs.inside(root, "round-1", "ann@1.json") == root / "round-1" / "ann@1.json"
    for part in ("..", "../x", "/etc", "", ".", "a\0b"):
        with pytest.raises(OutputError):
            outputs.inside(root, "round-1", part)
    (root / "round-1").symlink_to(tmp_path)
    with pytest.raises(OutputError, match="round-1 is a link"):
        outputs.inside(root, "round-1", "ann@1.json")


def test_a_folder_appears_whole_and_never_in_the_place_of_another(tmp_path: Path) -> None:
    with outputs.writing_folder(tmp_path / "ann@1") as scratch:
        (scratch / "weights").write_text("")
        assert not (tmp_path / "ann@1").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["ann@1", "weights"]
    with (
        pytest.raises(OutputError, match="ann@1 is there, and this command did not make it"),
        outputs.writing_folder(tmp_path / "ann@1"),
    ):
        raise AssertionError("nothing is done before it is refused")
    assert [path.name for path in tmp_path.rglob("*")] == ["ann@1", "weights"]


def test_a_folder_that_fails_vanishes_and_one_that_was_killed_is_in_nobody_s_way(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), outputs.writing_folder(tmp_path / "ann@1"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    (tmp_path / f"{outputs.PART}ann@1").mkdir()
    with outputs.writing_folder(tmp_path / "ann@1"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["ann@1"]
