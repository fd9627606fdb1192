"""Files are written whole or not at all."""

import errno
import os

import pytest

from tfgen.writing import replacing, write_whole


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


def test_a_folder_that_is_not_there_is_named(tmp_path):
    path = tmp_path / "nowhere" / "file"
    with pytest.raises(OSError, match=r"nowhere.file: No such file"):
        write_whole(path, b"")
