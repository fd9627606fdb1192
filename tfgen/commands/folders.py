"""Restore a folder of photos: files are read and written beside the network.

However a run ends, the folder that is written holds whole photos and a record of the
options, so that the same command goes on where it was stopped.
"""

import collections
import contextlib
import datetime
import errno
import itertools
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from tfgen.commands import photo_files
from tfgen.commands.screen import describe, shown
from tfgen.data.films import is_film_name
from tfgen.writing import check_path, find_parts, write_whole

AHEAD = 2  # photos that are read before their turn, and that wait to be written
EVERY = 10  # seconds between two lines of progress where there is no screen
RECORD = ".tfgen-restore.json"  # of the work, in the folder that is written
NO_PHOTOS = {"EPS", "WMF", "MPEG", "HDF5", "GRIB", "BUFR"}  # of Pillow's formats
FULL_DISK = errno.ENOSPC, errno.EDQUOT


def restore_folder(job, folders, force):
    """Restore all photos of a folder and below, into the same tree elsewhere.

    `folders` are `Files` that name folders. Returns the exit status: 0 if all photos
    are restored, now or before, 1 if some are, 2 if none is.
    """
    check_folders(job, folders)
    tasks, problems, others = list_tasks(job, folders)
    films = [
        path
        for path in Path(folders.photo).rglob("[!.]*")
        if is_film_name(path) and path.is_file()
    ]
    alone = "films are restored one at a time" if films else ""
    if not tasks and not problems:
        raise ValueError(
            f"There is no photo in {folders.photo}; other files there: {others}"
            f"{alone and '; '}{alone}."
        )
    if films:
        photo_files.note(folders.photo, f"films left out: {len(films)}; {alone}")
    if not force:
        check_record(job, folders, tasks)
    todo = [files for files in tasks if force or not is_done(job, files)]
    total, before = len(tasks) + len(problems), len(tasks) - len(todo)
    start = time.perf_counter()
    if todo:
        job.load_network(3)  # what is wrong with it, is wrong for all photos
        os.makedirs(folders.output, exist_ok=True)
        parts = find_parts(folders.output)
        record = Path(folders.output, RECORD)
        content = json.dumps(describe_work(job, folders), indent=1)
        write_whole(record, content.encode())
        problems |= restore_all(job, todo, force)
        for part in parts:  # still there, so no other run was writing it
            with contextlib.suppress(OSError):
                os.remove(part)
    seconds = time.perf_counter() - start
    print(
        f"{shown(folders.output)}: {total - len(problems) - before} of {total} photos "
        f"restored, {seconds:.1f} s; done before: {before}; other files, left out: "
        f"{others}"
    )
    for photo, problem in problems.items():
        named = photo in problem
        text = problem if named else f"{photo}: {problem}"
        print(f"error: {shown(text)}", file=sys.stderr)
    return 0 if not problems else 1 if len(problems) < total else 2


# --- Before the work --------------------------------------------------------


def check_folders(job, folders):
    """Raise ValueError unless all are folders, or can be, and none lies in another."""
    given = [path for path in folders if path is not None]
    for path in given:
        suffix = Path(path).suffix.lower()
        to_make = not os.path.lexists(path) and suffix not in photo_files.FORMATS
        if path == folders.mask and not job.finds:
            to_make = False  # it is read
        if not (os.path.isdir(path) or to_make):
            raise ValueError(f"{folders.photo} is a folder, so {path} must be one too.")
    for one, other in itertools.combinations(given, 2):
        places = Path(one).resolve(), Path(other).resolve()
        if places[0] == places[1]:
            raise ValueError(f"{one} and {other} are the same folder; take another.")
        if places[0] in places[1].parents or places[1] in places[0].parents:
            raise ValueError(f"Of {one} and {other}, one lies in the other; part them.")


def list_tasks(job, folders):
    """The `Files` of each photo, what hinders some, by path, and the count of others.

    Hidden files and folders are left out, and links to folders, which may be circles.
    """
    Image.init()
    endings = {
        ending
        for ending, form in Image.registered_extensions().items()
        if form in Image.OPEN and form not in NO_PHOTOS
    } | {*photo_files.HEIC}  # without its package each says what is missing
    names, others, problems = [], 0, {}

    def fail(error):
        problems[error.filename] = f"Cannot read {error.filename}: {error.strerror}."

    for place, below, found in os.walk(folders.photo, onerror=fail):
        others += sum(os.path.islink(os.path.join(place, name)) for name in below)
        below[:] = [name for name in below if not name.startswith(".")]
        for path in (Path(place, name) for name in found):
            known = path.suffix.lower() in endings and not path.name.startswith(".")
            if known and (path.is_file() or path.is_symlink()):  # no pipe
                names.append(path.relative_to(folders.photo))
            else:
                others += 1

    def keeps_its_name(name):
        return name.suffix.lower() in photo_files.FORMATS

    tasks, taken = [], {}
    for name in sorted(names, key=lambda name: (not keeps_its_name(name), name)):
        files = type(folders)(
            os.path.join(folders.photo, name),
            os.path.join(
                folders.output,
                name if keeps_its_name(name) else name.with_suffix(".png"),
            ),
            folders.mask and os.path.join(folders.mask, name.with_suffix(".png")),
            folders.compare and os.path.join(folders.compare, name.with_suffix(".jpg")),
        )
        written = {os.path.normcase(path): files.photo for path in job.outputs(files)}
        for path in written.keys() & taken.keys():
            problems[files.photo] = f"{path} is made of {taken[path]}; rename {name}."
            break
        else:
            taken |= written
            tasks.append(files)
    return tasks, problems, others


def check_record(job, folders, tasks):
    """Raise ValueError if the photos that are there were made otherwise, or are no work
    of this command."""
    path = Path(folders.output, RECORD)
    if not path.exists():
        there = [
            path
            for files in tasks
            for path in job.outputs(files)
            if os.path.lexists(path)
        ]
        if there:
            more = f" and {len(there) - 1} more exist" if there[1:] else " exists"
            raise ValueError(f"{there[0]}{more}; --force overwrites what is there.")
        return
    try:
        record = dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        raise ValueError(f"{path} is damaged; --force makes all anew.") from None
    for name, value in describe_work(job, folders).items():
        if record.get(name) != value:
            raise ValueError(
                f"The photos in {folders.output} were made with {name} "
                f"{record.get(name)}, not {value}. Take another folder, or --force to "
                "make all anew."
            )


def describe_work(job, folders):
    """The options, and the folder that is read: cameras all use the same names."""
    return {**job.options, "photos from": os.path.realpath(folders.photo)}


def is_done(job, files):
    """Whether all that is to be written is there, and newer than what it is made of."""
    outputs = job.outputs(files)
    inputs = {files.photo, files.mask or files.photo} - {*outputs}
    try:
        newest = max(os.stat(path).st_mtime_ns for path in inputs)
        made = map(os.stat, outputs)
        return all(file.st_size > 0 and file.st_mtime_ns >= newest for file in made)
    except OSError:
        return False


# --- The work ---------------------------------------------------------------


def restore_all(job, tasks, force):
    """Restore photos; return what went wrong, by path. A full disk ends it."""
    problems, progress = {}, Progress(len(tasks))

    def read(files):
        for path in filter(os.path.lexists, job.outputs(files)):
            if path == files.mask and not force:  # a person may have corrected it
                raise ValueError(f"{path} exists; --force overwrites it.")
            check_path(path)
        return job.read(files, single=True)

    def write(content):
        for path in job.outputs(content[0]):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        job.write(*content)

    def fail(files, error):
        if getattr(error, "errno", None) in FULL_DISK:
            raise OSError(f"{error} Make room, and give the same command to go on.")
        problems[files.photo] = describe(error)
        progress.step()

    def restored():
        for files, reading in run_ahead(readers, read, tasks):
            try:
                photo, holes = reading.result()
                after, holes, _ = job.run(photo, holes)
            except Exception as error:  # damaged files, too little memory
                fail(files, error)
            else:
                yield files, photo, after, holes

    with ThreadPoolExecutor(AHEAD) as readers, ThreadPoolExecutor(AHEAD) as writers:
        for (files, *_), writing in run_ahead(writers, write, restored()):
            try:
                writing.result()
            except Exception as error:
                fail(files, error)
            else:
                progress.step()
    return problems


def run_ahead(pool, function, items):
    """Run a function on items in threads: yield each item with its future, in order,
    while up to `AHEAD` more are at work or done."""
    waiting = collections.deque()
    for item in items:
        waiting.append((item, pool.submit(function, item)))
        if len(waiting) > AHEAD:
            yield waiting.popleft()
    while waiting:
        yield waiting.popleft()


class Progress:
    """Photos done, photos a second and the time left, on standard error: one line on a
    screen, else a line now and then. Or frames, whose total is a guess, 0 for none."""

    def __init__(self, total, unit="photo"):
        self.total, self.done, self.unit = total, 0, unit
        self.start = self.told = time.perf_counter()
        self.screen = sys.stderr is not None and sys.stderr.isatty()

    def step(self):
        self.done += 1
        now = time.perf_counter()
        last = self.done == self.total
        if last:
            self.end()
        elif not last and now - self.told >= (0.1 if self.screen else EVERY):
            self.told = now
            each = (now - self.start) / self.done
            left = datetime.timedelta(seconds=round((self.total - self.done) * each))
            rate = f"{1 / each:.1f} {self.unit}s/s"
            rate = rate if each < 1 else f"{each:.1f} s a {self.unit}"
            text = f"{self.done} of {self.total}, {rate}, {left} left"
            if self.done > self.total:
                text = f"{self.done} {self.unit}s, {rate}"
            line = f"{text:<70}\r" if self.screen else f"{text}\n"
            print(line, end="", file=sys.stderr, flush=True)

    def end(self):
        if self.screen:
            print(" " * 70, end="\r", file=sys.stderr)
