"""Write files whole: at any time there is the old file or the new one, never half."""

import contextlib
import os
import re
import shutil
import uuid


def check_path(path):
    """Raise ValueError unless a file can be written to `path`, or replaced.

    It is tried, before the work that is to be written, and nothing is left of it.
    """
    try:
        target, part = _places(path)
        _try(part)
        if not os.path.lexists(target):
            _try(target)  # its name may be too long, or hold what no name may
        elif not os.path.isfile(target):
            kind = "a folder" if os.path.isdir(target) else "no file"
            raise ValueError(f"it is {kind}")
        elif not os.access(target, os.W_OK):
            raise ValueError("it is write-protected")
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(f"Cannot write {path}: {_reason(error)}.") from None


@contextlib.contextmanager
def replacing(path):
    """Open a file beside `path` that takes its place once all is written.

    Whatever happens before, `path` is as it was and nothing else is left. A file that
    is replaced keeps its permissions and, where the system allows it, its owner; a link
    to it stays a link, but a second (hard) name of it keeps the old content. What the
    system refuses is an OSError that names `path`.
    """
    target, part = _places(path)
    try:
        with open(part, "xb") as file:
            if os.path.exists(target):
                _copy_rights(target, part)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.remove(part)
        if isinstance(error, OSError):
            refusal = OSError(f"Cannot write {path}: {_reason(error)}.")
            refusal.errno = error.errno  # which tells a full disk from the rest
            raise refusal from None
        raise


def write_whole(path, content):
    """Write bytes to a file as `replacing` does."""
    with replacing(path) as file:
        file.write(content)


def find_parts(folder):
    """What `replacing` writes in a folder and below, or left there when killed."""
    return [
        os.path.join(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if re.fullmatch(r"\.[0-9a-f]{32}\.part", name)
    ]


def _places(path):
    """The file that a link leads to, and a short new name beside it."""
    target = os.fsdecode(path)
    if not os.path.basename(target):
        raise ValueError("this is not the name of a file")
    if os.path.islink(target):
        target = os.path.realpath(target)
    part = f".{uuid.uuid4().hex}.part"
    return target, os.path.join(os.path.dirname(target), part)


def _try(path):
    """Write a byte to a new file and remove it."""
    file = open(path, "xb")
    try:
        with file:
            file.write(b"x")
    finally:
        os.remove(path)


def _copy_rights(old, new):
    """Give a new file what says who may do what with the old one."""
    with contextlib.suppress(OSError, AttributeError):  # another's; Windows
        os.chown(new, os.stat(old).st_uid, os.stat(old).st_gid)
    with contextlib.suppress(OSError):  # some disks have no permissions
        shutil.copystat(old, new)


def _reason(error):
    if isinstance(error, FileNotFoundError):
        return "its folder does not exist"
    return getattr(error, "strerror", None) or error
