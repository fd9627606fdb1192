"""Run the chapters: make the book's pages, store the results, or test them.

    python notebooks/book.py                      every chapter, pages to build/book/
    python notebooks/book.py 02 07                these chapters only
    python notebooks/book.py --in-place           chapters and solutions, outputs stored
    python notebooks/book.py --test               chapters and solutions, tested

Each chapter runs in a fresh kernel, in its own folder. The pages need no network: code,
pictures and formulas are all inside.
"""

import argparse
import asyncio
import hashlib
import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")  # this environment's kernel

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from pages import write_index, write_page, write_thumbnail, write_whole

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
# The first chapter would wait for the embedded datasets.
PREPARE = """
import os
screen = os.dup(2)
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # TensorFlow's log lines
try:
    from tfgen.data import EMBEDDED
finally:
    os.dup2(screen, 2)
for builder in EMBEDDED.values():
    builder().download_and_prepare()
for config in ("color_64", "new_typefaces"):
    EMBEDDED["glyphs"](config=config).download_and_prepare()
"""

# For the kernels: TensorFlow's warnings, and debugpy's about frozen modules, are noise.
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}

# How the notebooks are tested. A file stays with one worker: its cells go on in order.
NBVAL = ["-W", "default", "--nbval-lax", "--nbval-current-env"]
NBVAL += ["--nbval-cell-timeout=1800"]
WORKERS = ["-n", "2", "--dist", "loadfile"]
SHARED = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}  # or the first would take all of a GPU
# Of two at a time, each gets half of the cores.
HALF = str(max(1, (os.cpu_count() or 2) // 2))
HALVES = {"TF_NUM_INTRAOP_THREADS": HALF, "OMP_NUM_THREADS": HALF}


class ChapterError(Exception):
    """A chapter that does not run, with a message for the reader."""


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="chapters, such as 02; all if none"
    )
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument(
        "--in-place",
        action="store_true",
        help="store the outputs in the notebooks, solutions too; make no pages",
    )
    modes.add_argument(
        "--test",
        action="store_true",
        help="run the notebooks, solutions too, and compare with the stored outputs",
    )
    parser.add_argument("--notebooks", type=Path, default=HERE, help=argparse.SUPPRESS)
    parser.add_argument(
        "--output",
        type=Path,
        default=ROOT / "build" / "book",
        help="folder for the pages (default: build/book)",
    )
    options = parser.parse_args(arguments)
    try:
        return run_book(options)
    except ChapterError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. What was finished is kept.", file=sys.stderr)
        return 130


def run_book(options):
    chapters = find_notebooks(options.notebooks)
    chosen = choose(chapters, options.names)
    solutions = find_notebooks(options.notebooks / "solutions")
    if options.in_place or options.test:
        chosen = chosen + [path for path in solutions if stem_in(path, chosen)]
    if options.notebooks == HERE:
        prepare_data()
    passed = options.output.parent / "passed"
    if options.test:
        # Chapters that are named are run in any case.
        done = [] if options.names else find_passed(chosen, passed)
        return run_tests([path for path in chosen if path not in done])
    start = time.perf_counter()
    for path in chosen:
        stored, before = nbformat.read(path, as_version=4), fingerprint(path)
        notebook, seconds = run_chapter(path)
        if options.in_place:
            write_whole(path, nbformat.writes(notebook) + "\n")
            if path in chapters:
                write_thumbnail(notebook, path)
        else:
            write_page(notebook, path, chapters, options.output, seconds)
            if prints_as_stored(notebook, stored):
                passed.mkdir(parents=True, exist_ok=True)
                write_whole(passed / f"{path.stem}.txt", before)
            solution = path.parent / "solutions" / path.name
            if solution in solutions:
                stored = nbformat.read(solution, as_version=4)
                write_page(stored, solution, [], options.output / "solutions")
            write_index(chapters, options.output, find_texts(options.notebooks))
    minutes = (time.perf_counter() - start) / 60
    print(f"{len(chosen)} notebooks ran in {minutes:.1f} min.")
    if not options.in_place:
        print(f"Open {options.output / 'index.html'} in a browser.")
    return 0


def find_notebooks(folder):
    """List the notebooks of a folder, in the order of their numbers."""
    return sorted(folder.glob("[0-9][0-9]_*.ipynb"))


def find_texts(folder):
    """List the pages of a folder that are written in Markdown, its README aside."""
    return [path for path in sorted(folder.glob("*.md")) if path.name != "README.md"]


def choose(chapters, names):
    """Pick the chapters whose names begin with one of the given ones."""
    for name in names:
        if not any(path.name.startswith(name) for path in chapters):
            known = ", ".join(path.stem for path in chapters) or "none"
            raise ChapterError(f"No chapter begins with {name!r}. There are: {known}.")
    chosen = [
        path
        for path in chapters
        if not names or any(path.name.startswith(name) for name in names)
    ]
    if not chosen:
        raise ChapterError("There are no chapters: no file is named NN_name.ipynb.")
    return chosen


def stem_in(path, paths):
    return path.stem in [other.stem for other in paths]


def prepare_data():
    """Prepare the embedded datasets, so that no chapter waits for them."""
    start = time.perf_counter()
    prepared = subprocess.run(
        [sys.executable, "-c", PREPARE],
        env=os.environ | QUIET,
        start_new_session=True,  # Ctrl-C is answered here, not by a traceback there
    )
    if prepared.returncode:
        raise ChapterError(
            "The embedded data cannot be prepared: see the message above, and try "
            "`python -m tfgen check`."
        )
    print_line("embedded data", time.perf_counter() - start)


def fingerprint(path):
    """A digest of what the run of a notebook depends on: the notebook with its stored
    outputs, the package and its weights, the tables, the versions of all packages."""
    digest = hashlib.sha256(path.read_bytes())
    files = [HERE / "book.py", *HERE.glob("tables/*")]
    for ending in ("py", "npz", "json"):
        files += (ROOT / "tfgen").rglob(f"*.{ending}")
    for file in sorted(files):
        digest.update(str(file.relative_to(ROOT)).encode() + file.read_bytes())
    installed = importlib.metadata.distributions()
    versions = sorted({f"{package.name} {package.version}" for package in installed})
    digest.update(f"{sys.version} {versions}".encode())
    return digest.hexdigest()


def prints_as_stored(notebook, stored):
    """Whether the cells whose outputs nbval compares have printed what is stored."""

    def texts(cell):
        return [
            output.get("text") or output.get("data", {}).get("text/plain")
            for output in clean_outputs(cell.outputs)
        ]

    return all(
        texts(cell) == texts(before)
        for cell, before in zip(notebook.cells, stored.cells, strict=True)
        if "nbval-check-output" in cell.metadata.get("tags", [])
    )


def find_passed(paths, folder):
    """List the chapters that have passed when their pages were made, if nothing that
    they depend on has changed since."""
    passed = []
    for path in paths:
        record = folder / f"{path.stem}.txt"
        if not is_solution(path) and record.exists():
            if record.read_text("utf-8") == fingerprint(path):
                passed.append(path)
                print(f"{path.stem:<32} passed when its page was made")
    return passed


def run_tests(paths):
    """Run notebooks with nbval, two at a time; return pytest's exit status."""
    alone = [path for path in paths if must_run_alone(path)]
    others = [path for path in paths if path not in alone]
    status = 0
    for group, workers, threads in ((others, WORKERS, HALVES), (alone, [], {})):
        if group:
            command = [sys.executable, "-m", "pytest", *NBVAL, *workers, *group]
            env = os.environ | QUIET | SHARED | threads
            status = subprocess.run(command, cwd=ROOT, env=env).returncode or status
    return status


def must_run_alone(path):
    """Tell whether a cell is tagged `alone`: it compares seconds."""
    cells = nbformat.read(path, as_version=4).cells
    return any("alone" in cell.metadata.get("tags", []) for cell in cells)


def run_chapter(path):
    """Run a copy of a notebook and return it with the seconds it took."""
    notebook = nbformat.read(path, as_version=4)
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    label = f"{path.parent.name}/{path.stem}" if is_solution(path) else path.stem
    current = []

    def show_progress(cell, cell_index):
        current[:] = [cell]
        if sys.stdout.isatty():
            number = [other is cell for other in codes].index(True) + 1
            print(f"\r{label:<32} cell {number}/{len(codes)}", end="", flush=True)

    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        coalesce_streams=True,
        record_timing=False,
        shutdown_kernel="immediate",
        resources={"metadata": {"path": str(path.parent)}},
        on_cell_execute=show_progress,
    )
    start, reason = time.perf_counter(), None
    with tempfile.TemporaryFile() as log:  # what the kernel process itself says
        try:
            with asyncio.Runner(loop_factory=Loop) as runner:
                runner.run(execute(client, log))
        except CellExecutionError as error:
            reason = f"{error.ename}: {error.evalue}"
        except DeadKernelError:
            log.seek(0)
            last = log.read().decode(errors="replace").strip().splitlines()[-3:]
            reason = "\n    ".join(
                ["the kernel died; perhaps the machine ran out of memory.", *last]
            )
    if reason:
        cell = current[0]
        number = [other is cell for other in codes].index(True) + 1
        first = next(line for line in cell.source.splitlines() if line.strip())
        raise ChapterError(
            f"{label}: code cell {number} of {len(codes)} failed.\n"
            f"  It begins:  {first}\n"
            f"  The error:  {reason}"
        )
    seconds = time.perf_counter() - start
    print_line(label, seconds)
    for cell in codes:
        cell.outputs = clean_outputs(cell.outputs)
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {
                "display_name": "Python 3",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python"},
        }
    )
    return notebook, seconds


class Loop(asyncio.SelectorEventLoop):
    """The loop that Jupyter's sockets need on Windows; Ctrl-C is left to asyncio."""

    def add_signal_handler(self, *args):
        raise NotImplementedError  # nbclient's handler makes it look like a dead kernel


async def execute(client, log):
    """Run all cells; whatever happens, no kernel is left behind."""
    try:
        await client.async_execute(env=os.environ | QUIET, stderr=log)
    except DeadKernelError:
        if asyncio.current_task().cancelling():  # by Ctrl-C
            raise asyncio.CancelledError from None
        raise
    finally:
        if client.km is not None and await client.km.is_alive():
            await client.km.shutdown_kernel(now=True)


def is_solution(path):
    return path.parent.name == "solutions"


def print_line(label, seconds):
    start = "\r" if sys.stdout.isatty() else ""
    print(f"{start}{label:<32} {seconds:6.1f} s      ", flush=True)


# What stands in outputs but tells the reader nothing.
TENSORFLOW_LOG = re.compile(
    r"^(WARNING: All log messages before absl|[IWEF]\d{4} \d|\d{4}-\d\d-\d\d [\d:.]+: "
    r"[IWEF] |To enable the following instructions:|I0000 ).*\n?",
    re.MULTILINE,
)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def clean_outputs(outputs):
    """Drop TensorFlow's log lines, passed states of progress bars and local paths."""
    cleaned = []
    for output in outputs:
        if output.output_type == "stream":
            text = COLOUR.sub("", keep_last_state(output.text))
            if output.name == "stderr":
                text = TENSORFLOW_LOG.sub("", text)
            output.text = hide_paths(text)
            if not output.text.strip():
                continue
        elif output.output_type == "error":
            output.traceback = [hide_paths(line) for line in output.traceback]
            output.evalue = hide_paths(output.evalue)
        elif "text/plain" in output.data:
            output.data["text/plain"] = hide_paths(output.data["text/plain"])
        cleaned.append(output)
    return cleaned


def keep_last_state(text):
    """Play carriage returns and backspaces as a terminal does: the last state stays."""
    lines = []
    for line in text.split("\n"):
        states = [state.replace("\b", "") for state in line.split("\r")]
        lines.append(next((state for state in reversed(states) if state), ""))
    return "\n".join(lines)


def hide_paths(text):
    text = re.sub(r"\S*ipykernel_\d+[/\\]\d+\.py", "cell", text)
    for folder, short in ((ROOT, "."), (Path(sys.prefix), "."), (Path.home(), "~")):
        if len(folder.parts) > 1:  # not the root of the file system
            text = text.replace(str(folder) + os.sep, f"{short}/")
    return text


if __name__ == "__main__":
    sys.exit(main())
