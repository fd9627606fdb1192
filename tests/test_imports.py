"""Imports point one way, from room to room, and the public names are documented."""

import ast
import graphlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tfgen

PACKAGE = Path(tfgen.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
FORBIDDEN = {"tests", "notebooks", "benchmarks", "IPython", "pytest"}
MODELS = {"gan", "vae", "diffusion", "unet", "restoration", "defects", "srgan"}
ROOMS = {  # each folder and file of the package, and the others that it may import
    "__init__": {
        *("card", "data", "diagnosis", "filling", "film", "marks", "measures"),
        *("muon", "plot", "precision", "prior", "provenance", "redrawing"),
        *("signing", "tiles", "weights"),
        *MODELS,
    },
    "__main__": {"commands"},
    "commands": {
        *("card", "data", "filling", "film", "images", "marks", "measures"),
        *("provenance", "signing", "tiles", "weights", "writing"),
        *MODELS,
    },
    "card": {"checks", "measures", "model", "weights", "writing"},
    "weights": {"data", "measures", *MODELS},
    "gan": {"checks", "model"},
    "vae": {"checks", "model"},
    "diffusion": {"checks", "model", "muon"},
    "unet": {"checks", "model"},  # the networks of diffusion
    "restoration": {"checks", "model", "tiles"},
    "defects": {"checks", "model", "restoration", "tiles"},  # its residual blocks
    "srgan": {"checks", "model", "restoration"},  # one loss more for a `Restorer`
    "filling": {"checks", "tiles"},
    "film": {"checks", "restoration", "tiles"},
    "redrawing": {"checks", "tiles"},
    "prior": {"checks", "diffusion", "restoration", "tiles"},
    "tiles": {"checks"},
    "diagnosis": {"checks"},
    "muon": set(),
    "precision": set(),
    "model": {"checks", "saving"},
    "saving": {"checks"},
    "checks": set(),
    "data": {"checks", "images", "writing"},
    "measures": {"checks", "images", "model", "writing"},
    "plot": {"checks", "images", "provenance", "writing"},
    "marks": {"images"},
    "signing": {"provenance", "writing"},
    "provenance": {"images", "writing"},
    "images": set(),
    "writing": set(),
}


def name_module(path):
    """Give the dotted name of a file of the package."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(["tfgen", *(part for part in parts if part != "__init__")])


def name_room(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def find_imports(path):
    """List what a file imports, by dotted names, relative ones from `tfgen`.

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
            module = [*start, *filter(None, [node.module])]
            names = [".".join([*module, alias.name]) for alias in node.names]
        for name in names:
            if node in top or not name.startswith("IPython"):
                yield name


def find_room(name):
    """Give the room of something in `tfgen`; public names are in `__init__`."""
    room = f"{name}.".split(".")[1]
    return room if room in ROOMS else "__init__"


def find_wrong_imports(path):
    """List what a file imports from rooms that its own room may not import."""
    room = name_room(path)
    return [
        name
        for name in find_imports(path)
        if name.split(".")[0] == "tfgen"
        and find_room(name) not in {room, *ROOMS.get(room, ())}
    ]


@pytest.mark.parametrize("path", MODULES, ids=name_module)
def test_modules_import_no_notebooks_tests_or_benchmarks(path):
    imported = {name.split(".")[0] for name in find_imports(path)}
    assert not imported & FORBIDDEN


@pytest.mark.parametrize("path", MODULES, ids=name_module)
def test_imports_point_one_way(path):
    assert name_room(path) in ROOMS
    assert not find_wrong_imports(path)


def test_no_imports_run_in_a_circle():
    graphlib.TopologicalSorter(ROOMS).prepare()
    names = {name_module(path) for path in MODULES}
    graph = {
        name_module(path): {
            name if name in names else name.rpartition(".")[0]
            for name in find_imports(path)
        }
        for path in MODULES
    }
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("gan.py", "from tfgen.vae import VAE"),
        ("gan.py", "import tfgen.data.loading"),
        ("gan.py", "from .tiles import Tiler"),
        ("gan.py", "def f():\n    from .data import loading"),
        ("vae.py", "class A:\n    def f(self):\n        import tfgen.measures.latents"),
        ("model.py", "from . import gan"),
        ("model.py", "from .gan import GAN"),
        ("tiles.py", "from tfgen import restoration"),
        ("restoration.py", "from .srgan import AdversarialRestorer"),
        ("measures/latents.py", "from ..vae import VAE"),
        ("measures/latents.py", "from .. import data, images"),
        ("data/loading.py", "from tfgen.plot.figures import show_images"),
        ("plot/figures.py", "from tfgen import psnr"),
        ("plot/figures.py", "import tfgen"),
        ("images.py", "from .writing import write_whole"),
        ("weights/__init__.py", "from ..commands import check"),
        ("__main__.py", "from tfgen.weights import load_pretrained"),
        ("new.py", "from tfgen import gan"),
    ],
)
def test_a_wrong_arrow_is_seen(place, line, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    module = tmp_path / place
    module.parent.mkdir(exist_ok=True)
    module.write_text(line)
    assert len(find_wrong_imports(module)) == 1


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("gan.py", "from .model import ImageModel"),
        ("restoration.py", "from . import model, tiles"),
        ("measures/samples.py", "from .features import build_classifier"),
        ("measures/samples.py", "from ..images import check_images"),
        ("data/loading.py", "from tfgen.data import folder"),
        ("weights/__init__.py", "from tfgen import restoration"),
        ("commands/restore.py", "from .photo_files import read_photo"),
    ],
)
def test_a_right_arrow_passes(place, line, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    module = tmp_path / place
    module.parent.mkdir(exist_ok=True)
    module.write_text(line)
    assert not find_wrong_imports(module)


def test_ipython_is_seen_where_it_would_be_needed(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    module = tmp_path / "display.py"
    module.write_text("import IPython")
    assert "IPython" in find_imports(module)
    module.write_text("import keras\ndef f():\n    import IPython.display")
    assert list(find_imports(module)) == ["keras"]


PUBLIC = {
    name: value
    for name, value in vars(tfgen).items()
    if not (name.startswith("_") or inspect.ismodule(value))
}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented(name):
    assert inspect.getdoc(PUBLIC[name]), f"tfgen.{name} has no docstring"


def test_the_public_names_are_what_init_imports():
    listed = [
        name.rpartition(".")[2]
        for name in find_imports(PACKAGE / "__init__.py")
        if name.startswith("tfgen.")
    ]
    assert sorted(listed) == sorted(PUBLIC)


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


TRAIN = """
import sys
sys.modules["tfgen"] = None  # cannot be imported
import keras, numpy as np
def damage(images, seed):
    return {"image": images, "sigma": keras.ops.ones((4, 1))}
def mark(images, seed):
    return {"image": images, "mask": images}
size = (8, 8, 1), 4, 4
images = np.full((4, 8, 8, 1), 0.5, np.float32)
"""
COPIES = {  # the files of models, and how one is made with them
    "gan": "GAN(build_generator(*size), build_discriminator((8, 8, 1), 4))",
    "vae": "VAE(build_encoder(*size), build_decoder(*size), likelihood='gaussian')",
    "diffusion": "Diffusion(build_denoising_unet((8, 8, 1), 4))",
    "restoration": "Restorer(build_denoiser(1, 4, 1), damage)",
    "defects": "DefectFinder(build_defect_finder(1, 4, 1), mark)",
    "srgan": "AdversarialRestorer(model.network, build_patch_discriminator(1), damage)",
}


def test_copied_models_train_without_the_package(tmp_path):
    """In another package, or beside a script once a dot of their imports is deleted."""
    script = TRAIN
    (tmp_path / "mine").mkdir()
    for name in ("checks", "saving", "model", "tiles", "muon", "unet", *COPIES):
        code = (PACKAGE / f"{name}.py").read_text("utf-8")
        (tmp_path / "mine" / f"{name}.py").write_text(code, "utf-8")
        code = code.replace("\nfrom .", "\nfrom ")
        (tmp_path / f"{name}.py").write_text(code, "utf-8")
    for place in ("", "mine."):
        for name, model in COPIES.items():
            script += f"from {place}{name} import *\n"
            script += f"from {place}unet import *\nmodel = {model}\n"
            script += "model.compile(run_eagerly=True)\n"
            script += "model.fit(images, batch_size=4, verbose=0)\nprint('trained')\n"
    (tmp_path / "script.py").write_text(script, "utf-8")
    result = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == ["trained"] * 2 * len(COPIES)
