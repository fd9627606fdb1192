"""The structure of the notebooks. What they compute is tested by nbval.

Each rule is a function that yields what is wrong; `test_rules_see_what_is_wrong` plants
each fault in a good notebook and sees that it is found.
"""

import ast
import copy
import re
import statistics
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
CHAPTERS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
SOLUTIONS = sorted((FOLDER / "solutions").glob("*.ipynb"))

LARGEST = 1_000_000  # bytes
WORDS = (700, 2000)  # of prose: 800 to 1,500 are aimed at
CODE_MEDIAN, CODE_MOST = 6, 20  # lines of a code cell; 90 % of the cells for the latter
FUNCTION_MOST, CLASS_MOST = 30, 40  # of the remaining 10 %
PARAMETERS = 8  # names in the parameter cell
LOCAL_PATH = re.compile(r"(?<![\w.])(/(home|Users|root|tmp|work)/\w|[A-Z]:\\\\?Users)")
WRITES_FILE = re.compile(
    r"\.savefig\(|save_img\(|imsave\(|imwrite\(|\.save\(\s*[\"'][^/\"']*\.(png|gif|jpe?g)"
)


# The rules, all of them for chapters, the first ones for solutions too.


def check_format(notebook, path):
    try:
        nbformat.validate(copy.deepcopy(notebook))  # it would mend the ids
    except nbformat.ValidationError as error:
        yield f"is no valid notebook: {error.message}"
    ids = [cell.get("id") for cell in notebook.cells]
    if len(set(ids)) < len(ids) or None in ids:
        yield "has cells without an id of their own"
    if "widgets" in notebook.metadata:
        yield "has widget metadata, which breaks its display on GitHub"


def check_size(notebook, path):
    size = len(nbformat.writes(notebook).encode("utf-8"))
    if size > LARGEST:
        yield f"has {size:,} bytes, may have {LARGEST:,}: show fewer or smaller images"


def check_title(notebook, path):
    title = notebook.cells[0].source.split("\n")[0] if notebook.cells else ""
    number = int(path.name[:2])
    if not re.match(rf"# {number}\. \S", title):
        yield f"begins with {title!r}, not with '# {number}. ...'"


def check_execution(notebook, path):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"was not run once from top to bottom: {counts}. Run make notebooks"
    if not any(cell.outputs for cell in code_cells(notebook)):
        yield "stores no outputs. Run make notebooks"


def check_errors(notebook, path):
    for cell in code_cells(notebook):
        raised = any(output.output_type == "error" for output in cell.outputs)
        tagged = "raises-exception" in tags(cell)
        if raised and not tagged:
            yield f"stores an error: {first_line(cell)}"
        if tagged and not raised:
            yield f"is tagged raises-exception and raises nothing: {first_line(cell)}"


def check_outputs(notebook, path):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if LOCAL_PATH.search(output_text(output)):
                yield f"shows a path of somebody's machine: {first_line(cell)}"
            if "\r" in output_text(output) or "\b" in output_text(output):
                yield f"stores each state of a progress bar: {first_line(cell)}"
            alt = output.get("metadata", {}).get("image/png", {}).get("alt")
            if "image/png" in output.get("data", {}) and not alt:
                yield f"has a figure without alternative text: {first_line(cell)}"
        figures = [o for o in cell.outputs if "image/png" in o.get("data", {})]
        if len(figures) > 1:
            yield f"has {len(figures)} figures under one cell: {first_line(cell)}"


def check_prose_before_code(notebook, path):
    for before, cell in zip([None, *notebook.cells], notebook.cells, strict=False):
        if cell.cell_type != "code" or "raises-exception" in tags(cell):
            continue
        if before is None or before.cell_type != "markdown":
            # An exercise or its solution may be followed by the cell that judges it.
            judges = r"^(assert |np\.testing\.assert_)"
            if not re.search(judges, cell.source, re.MULTILINE):
                yield f"has code that no prose introduces: {first_line(cell)}"


def check_files(notebook, path):
    for cell in code_cells(notebook):
        if WRITES_FILE.search(cell.source):
            yield f"writes a picture to the working directory: {first_line(cell)}"
        if re.search(r"^\s*(#.*nbval|%%|!)", cell.source, re.IGNORECASE | re.MULTILINE):
            yield f"has a magic, or a comment for nbval: {first_line(cell)}"


def check_compared(notebook, path):
    """The first cell that loads data shows its preparation on a new machine."""
    for cell in code_cells(notebook):
        if "load_dataset(" in cell.source:
            if "nbval-check-output" in tags(cell):
                yield f"compares what preparing data prints: {first_line(cell)}"
            return


def check_mirrors(notebook, path):
    for cell in code_cells(notebook):
        for tag in tags(cell):
            if tag.startswith("mirrors:"):
                name = tag.removeprefix("mirrors:")
                try:
                    original = find_definition(name)
                except (StopIteration, OSError):
                    yield f"mirrors {name}, which does not exist"
                    continue
                copies = [
                    node
                    for node in ast.parse(cell.source).body
                    if getattr(node, "name", None) == original.name
                ]
                if not copies or dump(copies[0]) != dump(original):
                    yield f"differs from {name}, which it mirrors"


def check_code_length(notebook, path):
    lengths = []
    for cell in code_cells(notebook):
        lengths.append(len(cell.source.strip().splitlines()))
        is_class = re.search(r"^class ", cell.source, re.MULTILINE)
        if lengths[-1] > (CLASS_MOST if is_class else FUNCTION_MOST):
            yield f"has a cell of {lengths[-1]} lines: {first_line(cell)}"
    if lengths and statistics.median(lengths) > CODE_MEDIAN:
        yield f"has code cells of {statistics.median(lengths)} lines in the median"
    if sum(length <= CODE_MOST for length in lengths) < 0.9 * len(lengths):
        yield f"has too many code cells of more than {CODE_MOST} lines"


def check_words(notebook, path):
    text = "\n".join(
        cell.source for cell in notebook.cells if cell.cell_type == "markdown"
    )
    text = re.sub(
        r"```.*?```|\$\$.*?\$\$|\$[^$\n]+\$|\]\([^)]*\)", " ", text, flags=re.S
    )
    words = len(re.findall(r"[^\W\d_]{2,}|\b[aAI]\b", text))
    if not WORDS[0] <= words <= WORDS[1]:
        yield f"has {words} words of prose, needs {WORDS[0]} to {WORDS[1]}"


def check_headings(notebook, path):
    for heading in ("Summary", "Exercises", "Further reading"):
        if f"## {heading}" not in headings(notebook):
            yield f"has no heading '## {heading}'"
    if not 3 <= len(exercises(notebook)) <= 5:
        yield f"has {len(exercises(notebook))} headings '### Exercise N', needs 3 to 5"


def check_parameters(notebook, path):
    cells = [cell for cell in code_cells(notebook) if "parameters" in tags(cell)]
    if len(cells) != 1:
        yield f"has {len(cells)} cells tagged parameters, needs one"
    for cell in cells:
        names = [
            name.id
            for node in ast.walk(ast.parse(cell.source))
            for name in getattr(node, "targets", [getattr(node, "target", None)])
            if isinstance(name, ast.Name)
        ]
        if len(names) > PARAMETERS:
            yield f"has {len(names)} parameters, may have {PARAMETERS}"


def check_gallery(notebook, path):
    cells = [cell for cell in code_cells(notebook) if "gallery" in tags(cell)]
    if len(cells) != 1:
        yield f"has {len(cells)} cells tagged gallery, needs one"
    for cell in cells:
        if not any("image/png" in output.get("data", {}) for output in cell.outputs):
            yield f"is tagged gallery and has no figure: {first_line(cell)}"
    if not (path.parent / "pictures" / f"{path.stem}.png").exists():
        yield f"has no pictures/{path.stem}.png. Run make notebooks"


def check_solution(notebook, path):
    solution = path.parent / "solutions" / path.name
    if not solution.exists():
        yield f"has no solutions/{path.name}"
        return
    missing = set(exercises(notebook)) - set(exercises(nbformat.read(solution, 4)))
    for heading in sorted(missing):
        yield f"has an exercise that its solutions do not repeat: {heading}"


def check_no_expected_errors(notebook, path):
    for cell in code_cells(notebook):
        if "raises-exception" in tags(cell):
            yield f"lets a wrong solution pass: {first_line(cell)} may raise"


COMMON = [
    check_format,
    check_size,
    check_title,
    check_execution,
    check_errors,
    check_outputs,
    check_prose_before_code,
    check_files,
    check_compared,
    check_mirrors,
]
RULES = {
    "chapter": [
        *COMMON,
        check_code_length,
        check_words,
        check_headings,
        check_parameters,
        check_gallery,
        check_solution,
    ],
    "solution": [*COMMON, check_no_expected_errors],
}


# What the rules read.


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell):
    return cell.metadata.get("tags", [])


def first_line(cell):
    return repr(cell.source.strip().split("\n")[0])


def output_text(output):
    if output.output_type == "stream":
        return output.text
    if output.output_type == "error":
        return "\n".join([output.evalue, *output.traceback])
    return str(output.data.get("text/plain", ""))


def headings(notebook):
    return [
        line.strip()
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for line in cell.source.split("\n")
        if line.startswith("#")
    ]


def exercises(notebook):
    return [line for line in headings(notebook) if re.match(r"### Exercise \d", line)]


def find_definition(name):
    """Find the syntax tree of tfgen.gan.GAN or of tfgen.measures.coding.encode."""
    path, parts = FOLDER.parent, name.split(".")
    while parts and any((path / f"{parts[0]}{end}").exists() for end in ("", ".py")):
        path /= parts.pop(0)
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    node = ast.parse(file.read_text("utf-8"))
    for part in parts:
        node = next(n for n in node.body if getattr(n, "name", None) == part)
    return node


ASIDE = "register_keras_serializable", "usual_settings", "in_float32"


def dump(tree):
    """Write a syntax tree down, docstrings and the decorators of `ASIDE` aside."""
    tree = ast.parse(ast.unparse(tree)).body[0]
    tree.decorator_list = [
        decorator
        for decorator in tree.decorator_list
        if not any(name in ast.unparse(decorator) for name in ASIDE)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


# The tests.


@pytest.mark.parametrize(
    ("kind", "path"),
    [("chapter", path) for path in CHAPTERS]
    + [("solution", path) for path in SOLUTIONS],
    ids=lambda value: value.stem if isinstance(value, Path) else value,
)
def test_notebook(kind, path):
    notebook = nbformat.reader.reads(path.read_text("utf-8"))  # nbformat.read mends it
    faults = [fault for rule in RULES[kind] for fault in rule(notebook, path)]
    assert not faults, f"{path.name}\n  " + "\n  ".join(faults)


def test_every_solution_has_its_chapter():
    assert {path.name for path in SOLUTIONS} <= {path.name for path in CHAPTERS}


def make_chapter():
    """Make a notebook that all rules pass."""
    png = {"image/png": "iVBORw0KGgo="}
    figure = new_output("display_data", png, metadata={"image/png": {"alt": "A dot"}})
    error = new_output("error", ename="AssertionError", evalue="", traceback=["..."])
    cells = [
        new_markdown_cell("# 2. A chapter\n\n" + "word " * 800),
        new_code_cell("import keras"),
        new_markdown_cell("## Parameters"),
        new_code_cell("epochs = 3\nseed = 0", metadata={"tags": ["parameters"]}),
        new_markdown_cell("## Figure"),
        new_code_cell(
            "show_images(x)", outputs=[figure], metadata={"tags": ["gallery"]}
        ),
        new_markdown_cell("## Summary\n\nIt was short."),
        new_markdown_cell("## Exercises\n\n### Exercise 1: Predict"),
        new_markdown_cell("### Exercise 2: Modify\n\n### Exercise 3: Build"),
        new_code_cell("def build():\n    ..."),
        new_code_cell(
            "assert build()", metadata={"tags": ["raises-exception"]}, outputs=[error]
        ),
        new_markdown_cell("## Further reading"),
    ]
    notebook = new_notebook(cells=cells)
    for count, cell in enumerate(code_cells(notebook), start=1):
        cell.execution_count = count
    return notebook


def make_path(folder):
    """Make a place for the chapter, with its solutions and its picture."""
    path = folder / "02_chapter.ipynb"
    (folder / "solutions").mkdir()
    (folder / "pictures").mkdir()
    (folder / "pictures" / "02_chapter.png").touch()
    solutions = "\n".join(exercises(make_chapter()))
    notebook = new_notebook(cells=[new_markdown_cell(solutions)])
    nbformat.write(notebook, folder / "solutions" / path.name)
    return path


def test_the_good_notebook_passes(tmp_path):
    path = make_path(tmp_path)
    for rule in RULES["chapter"]:
        assert not list(rule(make_chapter(), path)), rule.__name__


def same_ids(notebook):
    notebook.cells[1].id = notebook.cells[0].id


def set_widgets(notebook):
    notebook.metadata.widgets = {}


def set_source(index, source):
    def plant(notebook):
        notebook.cells[index].source = source

    return plant


def set_tags(index, *names):
    def plant(notebook):
        notebook.cells[index].metadata.tags = list(names)

    return plant


def set_outputs(index, *outputs):
    def plant(notebook):
        notebook.cells[index].outputs = list(outputs)

    return plant


def set_count(notebook):
    notebook.cells[1].execution_count = None


def no_outputs(notebook):
    for cell in code_cells(notebook):
        cell.outputs = []


def move_code_first(notebook):
    notebook.cells.insert(0, notebook.cells.pop(1))


def add_code_after_code(notebook):
    notebook.cells.insert(2, new_code_cell("x = 1"))


def load_data(*indices):
    def plant(notebook):
        for index in indices:
            notebook.cells[index].source = 'images = load_dataset("glyphs")'
            notebook.cells[index].metadata.tags = ["nbval-check-output"]

    return plant


def mirror(name, source):
    def plant(notebook):
        notebook.cells[1].source = source
        notebook.cells[1].metadata.tags = [f"mirrors:{name}"]

    return plant


def tag_twice(notebook):
    notebook.cells.insert(6, copy.deepcopy(notebook.cells[5]))


def text(string):
    return new_output("stream", name="stdout", text=string)


def picture(**metadata):
    return new_output("display_data", {"image/png": "iVBORw0KGgo="}, metadata=metadata)


ALT = {"image/png": {"alt": "A dot"}}
FAULTS = [
    (check_format, same_ids, "id of their own"),
    (check_format, set_widgets, "widget"),
    (check_size, set_outputs(1, text("x" * LARGEST)), "bytes"),
    (check_title, set_source(0, "# 3. Another chapter"), "'# 2. ...'"),
    (check_title, set_source(0, "# A chapter"), "'# 2. ...'"),
    (check_execution, set_count, "top to bottom"),
    (check_execution, no_outputs, "no outputs"),
    (check_errors, set_tags(10), "stores an error"),
    (check_errors, set_outputs(10), "raises nothing"),
    (check_outputs, set_outputs(1, text("/home/ada/tfgen/gan.py")), "path"),
    (check_outputs, set_outputs(1, text("C:\\Users\\ada")), "path"),
    (check_outputs, set_outputs(1, text("1/2\r2/2")), "progress bar"),
    (check_outputs, set_outputs(5, picture()), "alternative text"),
    (check_outputs, set_outputs(5, picture(**ALT), picture(**ALT)), "2 figures"),
    (check_prose_before_code, move_code_first, "no prose"),
    (check_prose_before_code, add_code_after_code, "no prose"),
    (check_files, set_source(1, "plt.savefig('a.png')"), "working directory"),
    (check_files, set_source(1, "image.save('a.png')"), "working directory"),
    (check_files, set_source(1, "# NBVAL_SKIP\nx"), "comment for nbval"),
    (check_files, set_source(1, "!pip install x"), "magic"),
    (check_compared, load_data(1, 3), "preparing data"),
    (check_mirrors, mirror("tfgen.plot.nothing", "x = 1"), "does not exist"),
    (check_mirrors, mirror("tfgen.nothing.x", "x = 1"), "does not exist"),
    (check_mirrors, mirror("nothing.x", "x = 1"), "does not exist"),
    (
        check_mirrors,
        mirror("tfgen.plot.display.make_metadata", "def make_metadata(a): ..."),
        "differs",
    ),
    (check_mirrors, mirror("tfgen.plot.display.make_metadata", "x = 1"), "differs"),
    (check_code_length, set_source(1, "class A:\n" + "    x = 1\n" * 40), "41 lines"),
    (check_code_length, set_source(1, "x = 1\n" * 31), "31 lines"),
    (check_code_length, set_source(1, "x = 1\n" * 21), "too many"),
    (check_words, set_source(0, "# 2. A chapter\n\n" + "word " * 500), "words"),
    (check_words, set_source(0, "# 2. A chapter\n\n" + "word " * 2000), "words"),
    (check_headings, set_source(6, "The end."), "## Summary"),
    (check_headings, set_source(11, "The end."), "## Further reading"),
    (check_headings, set_source(8, "### Exercise 2"), "2 headings"),
    (check_parameters, set_tags(3), "0 cells tagged parameters"),
    (
        check_parameters,
        set_source(3, "\n".join(f"x{i} = {i}" for i in range(9))),
        "9 parameters",
    ),
    (check_gallery, set_tags(5), "0 cells tagged gallery"),
    (check_gallery, tag_twice, "2 cells tagged gallery"),
    (check_gallery, set_outputs(5), "no figure"),
    (check_solution, set_source(7, "### Exercise 1: New"), "do not repeat"),
    (check_no_expected_errors, lambda notebook: None, "wrong solution"),
]


@pytest.mark.filterwarnings("ignore::nbformat.warnings.DuplicateCellId")
@pytest.mark.parametrize(("rule", "plant", "message"), FAULTS)
def test_rules_see_what_is_wrong(rule, plant, message, tmp_path):
    notebook = make_chapter()
    plant(notebook)
    faults = list(rule(notebook, make_path(tmp_path)))
    assert len(faults) >= 1 and message in faults[0]


def test_a_missing_solution_is_seen(tmp_path):
    assert list(check_solution(make_chapter(), tmp_path / "02_chapter.ipynb"))


def test_a_missing_picture_is_seen(tmp_path):
    faults = list(check_gallery(make_chapter(), tmp_path / "02_chapter.ipynb"))
    assert len(faults) == 1 and "pictures/02_chapter.png" in faults[0]


def test_a_later_cell_that_loads_data_is_compared():
    notebook = make_chapter()
    load_data(1, 3)(notebook)
    notebook.cells[1].metadata.tags = []
    assert not list(check_compared(notebook, None))


def test_mirrors_ignore_docstrings_and_comments():
    original = find_definition("tfgen.plot.canvas.choose_scale")
    assert ast.get_docstring(original)
    source = ast.unparse(original).replace(repr(ast.get_docstring(original)), "'Other'")
    notebook = make_chapter()
    mirror("tfgen.plot.canvas.choose_scale", "# A comment\n" + source)(notebook)
    assert not list(check_mirrors(notebook, None))


@pytest.mark.filterwarnings("ignore::nbformat.warnings.DuplicateCellId")
def test_a_stored_notebook_is_read_as_it_is(tmp_path):
    notebook = make_chapter()
    path = make_path(tmp_path)
    nbformat.write(notebook, path)
    test_notebook("chapter", path)
    path.write_text(
        path.read_text().replace(notebook.cells[0].id, notebook.cells[1].id)
    )
    with pytest.raises(AssertionError, match="id of their own"):
        test_notebook("chapter", path)


def test_every_rule_is_tried():
    tried = {rule for rule, _, _ in FAULTS}
    assert tried == {rule for rules in RULES.values() for rule in rules}
