"""The runner of the notebooks, on small notebooks in a temporary folder."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import book
import nbformat
import pages
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

SCRIPT = Path(__file__).resolve().parent.parent / "notebooks" / "book.py"

PICTURE = """
import base64
from IPython.display import display
png = base64.b64encode(PNG).decode()
display({"image/png": png}, metadata={"image/png": {"alt": "A <dot>"}}, raw=True)
"""
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
)


def write_notebook(path, *cells):
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [
        new_markdown_cell(cell[1:]) if cell.startswith("#") else new_code_cell(cell)
        for cell in cells
    ]
    nbformat.write(new_notebook(cells=cells), path)


@pytest.fixture
def run(tmp_path, capfd):
    """A function that runs the book in this process, its kernels in their own."""

    def run(*arguments):
        folders = ["--notebooks", str(tmp_path / "notebooks")]
        folders += ["--output", str(tmp_path / "pages")]
        returncode = book.main([*folders, *arguments])
        stdout, stderr = capfd.readouterr()
        return SimpleNamespace(returncode=returncode, stdout=stdout, stderr=stderr)

    return run


def read_page(path):
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


def test_pages(tmp_path, run):
    notebooks = tmp_path / "notebooks"
    write_notebook(
        notebooks / "01_first.ipynb",
        "## 1. First\n\nSee [the second](02_second.ipynb#end) and $a_1 < b$.",
        f"PNG = {PNG!r}{PICTURE}",
        "import os\nos.path.basename(os.getcwd())",
    )
    text = "## 2. Second\n\n![Drawn](drawn.png)"
    write_notebook(notebooks / "02_second.ipynb", text, "'a second page'")
    (notebooks / "drawn.png").write_bytes(PNG)
    write_notebook(notebooks / "solutions" / "01_first.ipynb", "## 1. Solved", "1 / 0")
    stored = (notebooks / "01_first.ipynb").read_bytes()

    result = run()

    assert result.returncode == 0, result.stderr
    assert (notebooks / "01_first.ipynb").read_bytes() == stored
    lines = result.stdout.splitlines()
    assert lines[0].startswith("01_first") and lines[0].rstrip().endswith(" s")
    page = read_page(tmp_path / "pages" / "01_first.html")
    assert page.title.text == "1. First"
    assert page.find("img")["alt"] == "A <dot>"
    assert page.find("math")
    assert not page.find_all("script"), "the page needs no script"
    assert "'notebooks'" in page.text, "the kernel starts in the notebook's folder"
    links = [link["href"] for link in page.find_all("a") if "html" in link["href"]]
    assert {"02_second.html#end", "index.html", "solutions/01_first.html"} <= set(links)
    for link in links:
        assert (tmp_path / "pages" / link.split("#")[0]).exists()
    drawn = read_page(tmp_path / "pages" / "02_second.html").find("img")
    assert drawn["src"].startswith("data:image/png;base64,") and drawn["alt"] == "Drawn"
    index = read_page(tmp_path / "pages" / "index.html")
    assert [link["href"] for link in index.find_all("a")] == [
        "01_first.html",
        "02_second.html",
    ]
    assert index.find("img")["src"] == "01_first.png" and index.find("img")["alt"]
    assert (tmp_path / "pages" / "01_first.png").read_bytes() == PNG
    assert not (notebooks / "pictures").exists()
    assert "Ran in" in index.text


def test_texts_in_markdown_become_pages(tmp_path, run):
    notebooks = tmp_path / "notebooks"
    write_notebook(
        notebooks / "01_first.ipynb",
        "## 1. First\n\n[Words](words.md#a) and [more](../words.md)",
        "1",
    )
    text = "# Words & terms\n\n| a | 图像 |\n|---|---|\n| b | [c](01_first.ipynb) |\n"
    (notebooks / "words.md").write_text(text, "utf-8")
    (notebooks / "README.md").write_text("# Not a page", "utf-8")

    assert run().returncode == 0
    page = read_page(tmp_path / "pages" / "words.html")
    assert page.title.text == "Words & terms" and page.find("table")
    assert "图像" in page.text
    links = {link["href"] for link in page.find_all("a") if "html" in link["href"]}
    assert links == {"01_first.html", "index.html"}
    index = read_page(tmp_path / "pages" / "index.html")
    assert index.find("a", href="words.html").text == "Words & terms"
    links = read_page(tmp_path / "pages" / "01_first.html").find_all("a")
    links = {link["href"] for link in links}
    assert "words.html#a" in links and "../words.md" in links
    assert not (tmp_path / "pages" / "README.html").exists()


def test_a_failing_chapter_is_named_and_the_other_pages_stay(tmp_path, run):
    notebooks = tmp_path / "notebooks"
    write_notebook(notebooks / "01_fine.ipynb", "## 1. Fine", "1")
    write_notebook(
        notebooks / "02_broken.ipynb", "## 2", "x = 1", "\ny = x / 0", "z = 1"
    )
    write_notebook(notebooks / "03_never.ipynb", "## 3. Never", "1")
    result = run()
    assert result.returncode == 1
    assert "02_broken: code cell 2 of 3 failed" in result.stderr
    assert "y = x / 0" in result.stderr
    assert "ZeroDivisionError: division by zero" in result.stderr
    assert "Traceback" not in result.stderr
    pages = sorted(path.name for path in (tmp_path / "pages").iterdir())
    assert pages == ["01_fine.html", "index.html"]
    assert read_page(tmp_path / "pages" / "index.html").text.count("Not made yet") == 2


def test_a_killed_kernel_is_named(tmp_path, run):
    write_notebook(
        tmp_path / "notebooks" / "01_dies.ipynb", "## 1", "import os\nos._exit(3)"
    )
    result = run()
    assert result.returncode == 1
    assert "01_dies: code cell 1 of 1 failed" in result.stderr
    assert "the kernel died" in result.stderr


def test_in_place(tmp_path, run):
    chapter = tmp_path / "notebooks" / "01_first.ipynb"
    solution = tmp_path / "notebooks" / "solutions" / "01_first.ipynb"
    write_notebook(chapter, "## 1. First", "print('a')\nprint('b')", "missing")
    notebook = nbformat.read(chapter, as_version=4)
    notebook.cells[2].metadata.tags = ["raises-exception"]
    notebook.metadata.widgets = {}
    nbformat.write(notebook, chapter)
    write_notebook(solution, "## 1. Solved", "1 + 1")

    result = run("--in-place", "01")

    assert result.returncode == 0, result.stderr
    stored = nbformat.read(chapter, as_version=4)
    assert [cell.id for cell in stored.cells] == [cell.id for cell in notebook.cells]
    assert stored.cells[1].execution_count == 1
    assert stored.cells[1].outputs[0].text == "a\nb\n"
    assert stored.cells[2].outputs[0].ename == "NameError"
    assert "execution" not in stored.cells[1].metadata, "no times that always differ"
    assert set(stored.metadata) == {"kernelspec", "language_info"}
    stored = nbformat.read(solution, as_version=4)
    assert stored.cells[1].outputs[0].data["text/plain"] == "2"
    assert not (tmp_path / "pages").exists()
    assert not (tmp_path / "notebooks" / "pictures").exists(), "it draws nothing"


def test_in_place_stores_the_picture_of_the_gallery(tmp_path, run):
    chapter = tmp_path / "notebooks" / "01_first.ipynb"
    file = io.BytesIO()
    Image.new("RGB", (600, 150), (9, 120, 200)).save(file, "png")
    large = f"PNG = {file.getvalue()!r}{PICTURE}"
    write_notebook(chapter, "## 1. First", f"PNG = {PNG!r}{PICTURE}", large)
    notebook = nbformat.read(chapter, as_version=4)
    notebook.cells[2].metadata.tags = ["gallery"]
    nbformat.write(notebook, chapter)
    assert run("--in-place").returncode == 0
    with Image.open(tmp_path / "notebooks" / "pictures" / "01_first.png") as picture:
        assert picture.size == (240, 60)
        assert picture.convert("RGB").getpixel((120, 30)) == (9, 120, 200)


def test_a_failing_chapter_keeps_its_stored_outputs(tmp_path, run):
    chapter = tmp_path / "notebooks" / "01_first.ipynb"
    write_notebook(chapter, "## 1. First", "1", "1 / 0")
    stored = chapter.read_bytes()
    assert run("--in-place").returncode == 1
    assert chapter.read_bytes() == stored


def test_test_compares_with_what_is_stored(tmp_path, run):
    solution = tmp_path / "notebooks" / "solutions" / "01_first.ipynb"
    write_notebook(tmp_path / "notebooks" / "01_first.ipynb", "## 1. First", "1 + 1")
    write_notebook(solution, "## 1. Solved", "print(2)")
    notebook = nbformat.read(solution, as_version=4)
    notebook.cells[1].execution_count = 1
    notebook.cells[1].metadata.tags = ["nbval-check-output"]
    notebook.cells[1].outputs = [new_output("stream", name="stdout", text="3\n")]
    nbformat.write(notebook, solution)
    result = run("--test", "01")
    assert result.returncode == 1
    assert "1 failed, 1 passed" in result.stdout
    assert "solutions/01_first.ipynb" in result.stdout.replace(os.sep, "/")
    assert not (tmp_path / "pages").exists()


def test_a_chapter_that_passed_for_its_page_is_not_tested_again(
    tmp_path, run, monkeypatch
):
    paths = [tmp_path / "notebooks" / f"{i:02d}_name.ipynb" for i in (1, 2)]
    for path, printed in zip(paths, ("2\n", "3\n"), strict=True):
        write_notebook(path, "## 1. Name", "print(2)")
        notebook = nbformat.read(path, as_version=4)
        notebook.cells[1].metadata.tags = ["nbval-check-output"]
        notebook.cells[1].outputs = [new_output("stream", name="stdout", text=printed)]
        nbformat.write(notebook, path)
    assert run().returncode == 0  # the second prints something else than is stored
    commands = []
    monkeypatch.setattr(
        subprocess,
        "run",
        lambda command, **_: commands.append(command) or SimpleNamespace(returncode=0),
    )

    def tested(*arguments):
        commands.clear()
        run("--test", *arguments)
        return [path for command in commands for path in command if path in paths]

    assert tested() == [paths[1]]
    assert tested("01") == [paths[0]]
    monkeypatch.setattr(book.sys, "version", "another")
    assert tested() == paths


def test_a_changed_chapter_is_tested_again(tmp_path, run):
    path = tmp_path / "notebooks" / "01_name.ipynb"
    write_notebook(path, "## 1. Name", "1 + 1")
    run()
    passed = tmp_path / "passed"
    assert book.find_passed([path], passed) == [path]
    write_notebook(path, "## 1. Name", "1 + 2")
    assert book.find_passed([path], passed) == []


def test_test_lets_a_notebook_run_alone(tmp_path, run, monkeypatch):
    paths = [tmp_path / "notebooks" / f"{i:02d}_name.ipynb" for i in (1, 2, 3)]
    for path in paths:
        write_notebook(path, "## 1. Name", "1 + 1")
    notebook = nbformat.read(paths[1], as_version=4)
    notebook.cells[1].metadata.tags = ["alone"]
    nbformat.write(notebook, paths[1])
    commands = []

    def note(command, **options):
        commands.append(command)
        return SimpleNamespace(returncode=len(commands) % 2)  # the first one fails

    monkeypatch.setattr(subprocess, "run", note)
    assert run("--test").returncode == 1
    together, alone = commands
    assert [path for path in together if path in paths] == [paths[0], paths[2]]
    assert together[together.index("-n") + 1] == "2"
    assert [path for path in alone if path in paths] == [paths[1]]
    assert "-n" not in alone


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_an_interrupt_stops_cleanly(tmp_path):
    started = tmp_path / "started"
    write_notebook(
        tmp_path / "notebooks" / "01_long.ipynb",
        "## 1. Long",
        "import os, pathlib, time\n"
        f"pathlib.Path({str(started)!r}).write_text(str(os.getpid()))\n"
        "time.sleep(120)",
    )
    # Where the tests themselves run in the background, interrupts are ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "--notebooks", tmp_path / "notebooks"]
        + ["--output", tmp_path / "pages"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 60
    while not (started.exists() and started.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.strip() == "Stopped. What was finished is kept."
    assert not (tmp_path / "pages").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)  # the kernel is gone


def test_unknown_chapters_are_named(tmp_path, run):
    write_notebook(tmp_path / "notebooks" / "01_first.ipynb", "## 1. First")
    result = run("7")
    assert result.returncode == 1
    assert "No chapter begins with '7'. There are: 01_first" in result.stderr


def test_progress_bars_end_in_their_last_state():
    bar = "Epoch 1/2\n\r1/9 loss: 3\b\b\b\b\r5/9 loss: 2\b\b\b\b\r9/9 loss: 1\nend\n"
    assert book.keep_last_state(bar) == "Epoch 1/2\n9/9 loss: 1\nend\n"
    assert book.keep_last_state("two\r\nlines\r\n") == "two\nlines\n"


def test_outputs_are_cleaned():
    log = (
        "WARNING: All log messages before absl::InitializeLog() is called are written\n"
        "I0000 00:00:1795302856.147224    6372 port.cc:153] oneDNN operations are on.\n"
        "2026-01-01 10:00:00.123456: W tensorflow/core/file.cc:1] a warning\n"
        "To enable the following instructions: AVX2 FMA, rebuild TensorFlow.\n"
    )
    warning = "/tmp/ipykernel_12/345.py:1: UserWarning: look\n"
    outputs = [
        new_output("stream", name="stderr", text=log),
        new_output("stream", name="stderr", text=log + warning),
        new_output("stream", name="stdout", text=f"\x1b[1m{book.ROOT}/tfgen\x1b[0m\n"),
        new_output("display_data", data={"text/plain": f"{Path.home()}/x"}),
        new_output(
            "error", ename="E", evalue="", traceback=[f"{book.ROOT}/tfgen/a.py"]
        ),
    ]
    first, second, third, fourth = book.clean_outputs(outputs)
    assert first.text == "cell:1: UserWarning: look\n"
    assert second.text == "./tfgen\n"
    assert third.data["text/plain"] == "~/x"
    assert fourth.traceback == ["./tfgen/a.py"]


@pytest.mark.parametrize(
    ("tex", "parts"),
    [
        (r"\tfrac12 \sum_i x_i", ["<mn>1</mn>", "<mn>2</mn>", "∑</mo>"]),
        (r"\begin{align*} a &= b \\ &= c \end{align*}", ["<mtable", "<mtr>"]),
        (r"\operatorname*{arg\,max}_\theta", ["arg max"]),
        (r"\arg\min_x", ["arg min"]),
        (r"\log D(x)", ["log", "mspace"]),
    ],
)
def test_formulas(tex, parts):
    mathml = pages.to_mathml(tex, block=True)
    for part in parts:
        assert part in mathml.replace("\n", "").replace("  ", "")


def test_an_unknown_formula_stays_readable(capsys):
    assert pages.to_mathml(r"\nonsense{x}", block=False) == r"<code>\nonsense{x}</code>"
    assert r"\nonsense" in capsys.readouterr().err
