"""Files are written whole or not at all; what cannot be written is said before."""

import errno
import io
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tfgen import writing
from tfgen.writing import check_path, find_parts, replacing, write_whole


@pytest.mark.parametrize("existed", [False, True])
def test_bytes_are_written(tmp_path, existed):
    path = tmp_path / "file"
    if existed:
        path.write_bytes(b"old, and longer than what follows")
    write_whole(path, b"new")
    write_whole(str(tmp_path / "text"), b"new")
    assert path.read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path)) == ["file", "text"]


@pytest.mark.parametrize("existed", [False, True])
@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), OSError),
        (RuntimeError("it cannot be drawn"), RuntimeError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_what_fails_leaves_all_as_it_was(tmp_path, failure, raised, existed):
    path = tmp_path / "file"
    if existed:
        path.write_bytes(b"precious")
    with pytest.raises(raised) as caught:
        with replacing(path) as file:
            file.write(b"half")
            file.flush()
            assert not existed or path.read_bytes() == b"precious"
            raise failure
    if isinstance(failure, OSError):
        assert str(caught.value) == f"Cannot write {path}: No space left on device."
    assert os.listdir(tmp_path) == (["file"] if existed else [])
    assert not existed or path.read_bytes() == b"precious"


def test_a_full_disk_can_be_told_from_other_failures(tmp_path):
    with pytest.raises(OSError) as caught:
        with replacing(tmp_path / "file"):
            raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.errno == errno.ENOSPC


def test_parts_of_killed_programs_are_found(tmp_path):
    names = [f".{'0a' * 16}.part", ".0a.part", f"{'0a' * 16}.part", "photo.png"]
    for folder in (tmp_path, tmp_path / "below"):
        folder.mkdir(exist_ok=True)
        for name in names:
            (folder / name).touch()
    code = (
        "import os, sys; from tfgen.writing import replacing\n"
        "with replacing(sys.argv[1]) as file: os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "new"])
    assert len(os.listdir(tmp_path)) == 6
    found = find_parts(tmp_path)
    assert len(found) == len({*found}) == 3
    assert {str(tmp_path / x / names[0]) for x in (".", "below")} < {*found}
    assert not any(os.path.basename(path) in names[1:] for path in found)


def test_a_folder_that_vanishes_is_named(tmp_path):
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()
    with pytest.raises(OSError, match=r"folder.file: its folder does not exist\.$"):
        with replacing(path) as file:
            file.write(b"half")
            for part in path.parent.iterdir():
                part.unlink()
            path.parent.rmdir()


# --- Names ------------------------------------------------------------------

NAMES = [
    "n" * 251 + ".png",
    "木" * 83 + "ab.png",  # 3 bytes each
    "日本.png",
    "a\nb.png",
    "\x1b[31mred.png",
    "%s {0} {epoch} \\.png",
    "-.png",
    os.fsdecode(b"caf\xe9.png"),  # no UTF-8
]


@pytest.mark.skipif(os.name == "nt", reason="Windows allows fewer names")
@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
@pytest.mark.parametrize("kind", [str, Path, os.fsencode])
def test_names_that_the_system_allows_are_written(tmp_path, monkeypatch, name, kind):
    monkeypatch.chdir(tmp_path)
    try:
        Path(name).touch()
    except OSError:
        pytest.skip("not a name on this disk")
    for _ in range(2):  # over the file, and anew
        check_path(kind(name))
        write_whole(kind(name), b"new")
        assert os.listdir() == [name]
        os.remove(name)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("n" * 256, "File name too long"),
        ("木" * 86, "File name too long"),
        ("a\0b", "embedded null byte"),
        ("", "this is not the name of a file"),
        ("new/", "this is not the name of a file"),
        ("folder", "it is a folder"),
        (".", "it is a folder"),
        ("missing/new", "its folder does not exist"),
        ("file/new", "Not a directory"),
        ("loop", "it is no file"),
        (os.devnull, "it is no file"),
        ("nowhere", "its folder does not exist"),
        (3, "expected str, bytes or os.PathLike object, not int"),
        (None, "expected str, bytes or os.PathLike object, not NoneType"),
    ],
    ids=lambda value: ascii(value)[:20],
)
@pytest.mark.skipif(os.name == "nt", reason="Windows says it in other words")
def test_paths_that_cannot_be_written_are_refused(tmp_path, monkeypatch, path, reason):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("file").touch()
    Path("loop").symlink_to("loop")
    Path("nowhere").symlink_to("missing/file")
    before = sorted(os.listdir())
    with pytest.raises(ValueError) as caught:
        check_path(path)
    assert str(caught.value) == f"Cannot write {path}: {reason}."
    assert sorted(os.listdir()) == before


def test_trying_leaves_no_trace(tmp_path):
    path = tmp_path / "file"
    check_path(path)
    assert not os.listdir(tmp_path)
    path.write_bytes(b"precious")
    check_path(path)
    assert path.read_bytes() == b"precious" and os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("existed", [False, True])
def test_a_full_disk_is_seen_before(tmp_path, monkeypatch, existed):
    path = tmp_path / "file"
    if existed:
        path.write_bytes(b"precious")

    class Full(io.FileIO):
        def write(self, content):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing, "open", Full, raising=False)
    with pytest.raises(ValueError, match="file: No space left on device"):
        check_path(path)
    assert os.listdir(tmp_path) == (["file"] if existed else [])


def test_write_protected_files_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"precious")
    path.chmod(0o444)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write all
    with pytest.raises(ValueError, match="file: it is write-protected"):
        check_path(path)


# --- Replacing changes the content alone ------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755, 0o444])
def test_permissions_stay(tmp_path, mode):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(mode)
    with replacing(path) as file:
        file.write(b"new")
        for other in tmp_path.iterdir():  # a secret is one while it is written, too
            assert stat.S_IMODE(other.stat().st_mode) == mode
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_bytes() == b"new"


@pytest.mark.skipif(not hasattr(os, "chown"), reason="Windows has other owners")
def test_the_owner_stays_where_the_system_allows_it(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    if os.getuid() == 0:
        os.chown(path, 12345, 54321)
    before = path.stat()
    write_whole(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid) == (before.st_uid, before.st_gid)

    def refuse(*arguments, **options):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    monkeypatch.setattr(os, "chmod", refuse)
    write_whole(path, b"newer")
    assert path.read_bytes() == b"newer"


def test_the_date_is_that_of_the_content(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    os.utime(path, (1, 1))
    write_whole(path, b"new")
    assert path.stat().st_mtime > 1000


@pytest.mark.parametrize("target", ["file", "folder/file", "new", "link"])
def test_a_link_stays_one(tmp_path, monkeypatch, target):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    for path in ("file", "folder/file"):
        Path(path).write_bytes(b"old")
    Path("link").symlink_to("file")
    Path("name").symlink_to(target)
    check_path("name")
    write_whole("name", b"new")
    assert os.readlink("name") == target and os.readlink("link") == "file"
    assert Path(target).read_bytes() == b"new"
    assert not [name for name in os.listdir("folder") if name != "file"]


def test_a_second_name_keeps_the_old_content(tmp_path):
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"old")
    os.link(path, other)
    write_whole(path, b"new")
    assert (path.read_bytes(), other.read_bytes()) == (b"new", b"old")
