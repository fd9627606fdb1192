"""Write files whole: at any time there is the old file or the new one, never half."""

import contextlib
import os
import uuid
from pathlib import Path


@contextlib.contextmanager
def replacing(path):
    """Open a file beside `path` that takes its place once all is written.

    Whatever happens before, `path` is as it was and nothing else is left. What the
    system refuses is an OSError that names `path`.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with open(part, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise OSError(f"Cannot write {path}: {reason}.") from None
        raise


def write_whole(path, content):
    """Write bytes to a file as `replacing` does."""
    with replacing(path) as file:
        file.write(content)
