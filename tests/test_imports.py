"""Imports point one way: notebooks and __main__ -> tfgen's modules -> keras, numpy."""

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tfgen

PACKAGE = Path(tfgen.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
STANDALONE = ("gan.py", "vae.py", "restoration.py")  # each copies out whole
FORBIDDEN = {"tests", "notebooks", "benchmarks", "IPython", "pytest"}


def find_imports(path):
    """List the imported modules of a file, relative ones from `tfgen`.

    An import in a function is lazy: it is listed too, except IPython's, which only
    runs in a notebook.
    """
    package = ["tfgen", *path.relative_to(PACKAGE).parts[:-1]]
    tree = ast.parse(path.read_text("utf-8"))
    top = set(ast.walk(tree)) - {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*start, *filter(None, [node.module])])
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        for name in names:
            if node in top or not name.startswith("IPython"):
                yield name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_modules_import_no_notebooks_tests_or_benchmarks(path):
    imported = {name.split(".")[0] for name in find_imports(path)}
    assert not imported & FORBIDDEN


@pytest.mark.parametrize("name", STANDALONE)
def test_the_models_copy_out_whole(name):
    path = PACKAGE / name
    if not path.exists():
        pytest.skip(f"there is no {name} yet")
    siblings = [name for name in find_imports(path) if name.split(".")[0] == "tfgen"]
    assert not siblings


def test_the_import_check_sees_siblings(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    module = tmp_path / "gan.py"
    for line in (
        "from tfgen.data import load_dataset",
        "import tfgen.data",
        "from . import data",
        "from .data import load_dataset",
        "def f():\n    from .data import load_dataset",
    ):
        module.write_text(line)
        assert any(name.split(".")[0] == "tfgen" for name in find_imports(module)), line
    module.write_text("import IPython")
    assert "IPython" in find_imports(module)
    module.write_text("import keras\ndef f():\n    import IPython.display")
    assert list(find_imports(module)) == ["keras"]


@pytest.mark.parametrize("name", getattr(tfgen, "__all__", ()))
def test_public_names_exist_and_are_documented(name):
    value = getattr(tfgen, name)
    if inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value):
        assert inspect.getdoc(value), f"tfgen.{name} has no docstring"


def test_the_public_names_are_listed():
    assert tfgen.__all__
    assert len(set(tfgen.__all__)) == len(tfgen.__all__)


def test_importing_adds_little_to_tensorflow():
    code = (
        "from time import perf_counter as now; t0 = now(); import tensorflow; "
        "t1 = now(); import tfgen; print(t1 - t0, now() - t1)"
    )
    measured = []
    for _ in range(4):  # the least of some, as other programs only ever slow it down
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        tensorflow, added = map(float, result.stdout.split())
        measured.append((added, tensorflow))
        # On a slow or busy machine TensorFlow's own import is the yardstick.
        if added <= max(0.3, 0.12 * tensorflow):
            return
    raise AssertionError(f"seconds for tfgen and for tensorflow: {measured}")


def test_another_backend_is_an_error_that_names_the_fix():
    result = subprocess.run(
        [sys.executable, "-c", "import tfgen"],
        env=os.environ | {"KERAS_BACKEND": "numpy"},
        capture_output=True,
        text=True,
    )
    assert result.returncode != 0
    message = result.stderr.strip().splitlines()[-1]
    assert message.startswith(("ImportError", "RuntimeError")), message
    assert "numpy" in message and "tensorflow" in message
