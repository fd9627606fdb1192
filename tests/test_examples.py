"""The examples: files of at most 150 lines that are copied, run and changed."""

import ast
import contextlib
import importlib.util
import io
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

EXAMPLES = Path(__file__).parents[1] / "examples"
# what each one writes: the model first
WRITES = {
    "gan": ("gan.keras", "samples.png"),
    "vae": ("vae.keras", "samples.png", "reconstructions.png"),
    "diffusion": ("diffusion.keras", "samples.png"),
    "denoise": ("denoise.keras", "before_after.png"),
    "super_resolution": ("upscale.keras", "before_after.png"),
}
# what each one prints: the result and what it is compared with
FIGURES = {
    "gan": r"s: [\d.]+ distance \(real [\d.]+, two in one [\d.]+\)",
    "vae": r"s: ELBO -?\d+ = -\(-?\d+ \+ \d+\), mean picture -?\d+",
    "diffusion": r"s: error [\d.]+, mean picture [\d.]+",
    "denoise": r"s: PSNR noisy [\d.]+, best blur [\d.]+, restored [\d.]+ dB",
    "super_resolution": r"s: PSNR bicubic [\d.]+, network [\d.]+ dB",
}
each = pytest.mark.parametrize("name", WRITES)


def load_example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name, *arguments):
    """Run an example in this process and return what it prints."""
    module, output, argv = load_example(name), io.StringIO(), sys.argv
    sys.argv = [f"{name}.py", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(output):
            module.main()
    finally:
        sys.argv = argv
    return output.getvalue()


def save(pixels, path, mode=None):
    image = Image.fromarray(np.asarray(pixels))
    path.parent.mkdir(parents=True, exist_ok=True)
    (image.convert(mode) if mode else image).save(path)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of twenty pictures in folders, of several sizes and kinds."""
    folder = tmp_path_factory.mktemp("photos")
    scenes = data.astronaut(), data.chelsea(), data.coffee(), data.camera()
    for number in range(20):
        top, left = divmod(number, 5)
        cut = scenes[number % 4][50 * top :, 60 * left :][: 100 + number, :110]
        mode = ("RGB", "L", "RGBA", "P")[number % 3] if cut.ndim == 3 else None
        save(cut, folder / f"{number % 3}" / f"{number}.png", mode)
    save(scenes[0][:20, :15], folder / "1" / "small.png")
    return folder


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    """The folder in which all ran, and what they printed."""
    folder = tmp_path_factory.mktemp("trained")
    with contextlib.chdir(folder):
        printed = {
            name: run(name, photos, "--minutes", 0.01, "--size", 16, "--batch", 4)
            for name in WRITES
        }
    return folder, printed


# --- The text -----------------------------------------------------------------


@each
def test_is_short_and_needs_no_tfgen(name):
    text = (EXAMPLES / f"{name}.py").read_text("utf-8")
    assert len(text.splitlines()) <= 150
    tree, imported = ast.parse(text), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
    known = {"keras", "numpy", "tensorflow", "tensorflow_datasets", "PIL"}
    assert imported <= known | set(sys.stdlib_module_names)
    assert not any(isinstance(node, ast.ClassDef) for node in ast.walk(tree))


@each
def test_the_docstring_begins_with_commands(name):
    module = ast.parse((EXAMPLES / f"{name}.py").read_text("utf-8"))
    lines = ast.get_docstring(module).splitlines()
    commands = [line for line in lines[2:] if line.startswith(f"    python {name}.py ")]
    assert lines[2:4] == commands
    assert re.search(
        "the full version with all of that: tfgen/(gan|vae|diffusion|rest)", lines[-1]
    )


def test_load_is_the_same_in_all():
    loads = {
        ast.dump(node)
        for name in WRITES
        for node in ast.parse((EXAMPLES / f"{name}.py").read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name == "load"
    }
    assert len(loads) == 1


@each
def test_common_options(name):
    defaults = vars(load_example(name).parser.parse_args(["photos"]))
    names = "data", "size", "channels", "batch", "minutes", "seed"
    assert tuple(defaults)[:6] == names
    assert [defaults[key] for key in ("channels", "minutes", "seed")] == [3, 10, 0]


# --- A run --------------------------------------------------------------------


@each
def test_writes_its_files_and_compares_its_figure(name, trained):
    folder, printed = trained
    lines = printed[name].strip().splitlines()
    assert re.search(FIGURES[name], lines[0])
    assert lines[-1].startswith(f"Wrote {WRITES[name][0]}, ")
    assert "held-out" in lines[-1].lower()
    for file in WRITES[name]:
        assert (folder / file).stat().st_size > 1000
    assert not list(folder.glob("new*"))


def test_the_models_load_without_the_code_that_made_them(trained):
    folder, _ = trained
    program = """
import sys, keras, numpy as np
inputs = {"gan": [(2, 64)], "vae": [(2, 16)],
          "diffusion": [(2, 16, 16, 3), (2, 1, 1, 1)],
          "denoise": [(2, 24, 30, 3)], "upscale": [(2, 9, 11, 3)]}
for name, shapes in inputs.items():
    network = keras.models.load_model(f"{name}.keras")
    given = [np.zeros(shape) for shape in shapes]
    print(network.predict(given if len(given) > 1 else given[0], verbose=0).shape)
assert "tfgen" not in sys.modules
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "(2, 16, 16, 3)",
        "(2, 16, 16, 3)",
        "(2, 16, 16, 3)",
        "(2, 24, 30, 3)",
        "(2, 36, 44, 3)",
    ], done.stderr


@pytest.mark.parametrize("name, scale", [("denoise", 1), ("super_resolution", 4)])
@pytest.mark.parametrize("mode, size", [("RGB", (45, 37)), ("L", (7, 3))])
def test_restores_photos_of_any_size(name, scale, mode, size, trained, tmp_path):
    source = save(data.astronaut()[: size[1], : size[0]], tmp_path / "in.png", mode)
    with contextlib.chdir(trained[0]):
        run(name, "--restore", source, tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as result:
        assert result.size == (scale * size[0], scale * size[1])
        assert result.mode == mode


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name, scale", [("denoise", ()), ("super_resolution", (3,))])
def test_tiles_leave_no_seams(name, scale, channels, tmp_path):
    module, rng = load_example(name), np.random.default_rng(0)
    network = module.build_network(channels, *scale, width=8)
    for weight in network.weights:  # some begin as zeros
        weight.assign(weight + 0.03 * rng.normal(size=weight.shape))
    source = save(data.astronaut()[:75, :101], tmp_path / "in.png")
    results = []
    for tile in 32, 512:
        module.restore(network, source, tmp_path / "out.png", tile=tile)
        with Image.open(tmp_path / "out.png") as result:
            results.append(np.int32(result))
    assert np.abs(results[0] - results[1]).max() <= 1  # rounding
    assert results[0].std() > 20


@pytest.mark.parametrize("name", ["gan", "denoise"])  # one of each kind of loop
def test_ctrl_c_keeps_the_model(name, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module, ticks = load_example(name), iter(range(3))

    def clock():
        for tick in ticks:
            return tick
        raise KeyboardInterrupt

    module.time = types.SimpleNamespace(time=clock)
    sizes = ["--size", "16", "--batch", "4"]
    monkeypatch.setattr(sys, "argv", [name, str(photos), *sizes])
    module.main()
    assert (tmp_path / WRITES[name][0]).exists()


# --- load() -------------------------------------------------------------------


@pytest.fixture(scope="module")
def load():
    return load_example("gan").load


def numbered(folder, count, size=(40, 30)):
    """Write pictures of one grey each, 10 times their number in sorted order."""
    for number in range(count):
        pixels = np.full((*size, 3), 10 * number, np.uint8)
        save(pixels, folder / f"{number:02d}.png")


@pytest.mark.parametrize("cuts", [1, 3])
def test_every_tenth_file_is_held_out(load, cuts, tmp_path):
    numbered(tmp_path, 22)
    train, held_out = load(str(tmp_path), 16, 3, 8, cuts)
    assert held_out.shape == (3 * cuts, 16, 16, 3) and held_out.dtype == np.float32
    greys = set(np.round(held_out * 25.5).astype(int).ravel())
    assert greys == {0, 10, 20}
    batches = np.stack(list(train.take(30).as_numpy_iterator()))
    assert batches.shape == (30, 8, 16, 16, 3) and batches.max() <= 1
    assert set(np.round(batches * 25.5).astype(int).ravel()) == set(range(22)) - greys


def test_a_batch_may_be_larger_than_the_set(load, tmp_path):
    numbered(tmp_path, 3)
    train, held_out = load(str(tmp_path), 16, 1, 32)
    assert next(iter(train)).shape == (32, 16, 16, 1)
    assert len(held_out) == 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["L", "P", "1", "16 bits", "transparent"])
def test_kinds_of_pictures(load, channels, mode, tmp_path):
    numbered(tmp_path, 2)
    expected = 1 if mode in ("1", "transparent") else 200 / 255
    pixels = np.full((20, 20), 255 * expected, np.uint8)
    if mode == "16 bits":
        save(257 * pixels.astype(np.uint16), tmp_path / "00.png")
    elif mode == "transparent":
        clear = np.zeros((20, 20, 4), np.uint8)
        save(clear, tmp_path / "00.png")
    else:
        save(pixels, tmp_path / "00.png", mode)
    held_out = load(str(tmp_path), 16, channels, 2)[1]
    assert held_out.shape == (1, 16, 16, channels)
    np.testing.assert_allclose(held_out, expected, atol=0.01)


def test_small_photos_are_enlarged(load, tmp_path):
    numbered(tmp_path, 2, size=(9, 12))
    assert load(str(tmp_path), 16, 3, 2, cuts=5)[1].shape == (5, 16, 16, 3)


@pytest.mark.filterwarnings("ignore:Exception ignored.*BufferedReader|.*FileIO")
def test_damaged_files_are_counted_and_left_out(load, tmp_path, capfd):
    numbered(tmp_path, 12)
    (tmp_path / "03.png").write_bytes(b"no picture")
    content = (tmp_path / "10.png").read_bytes()
    (tmp_path / "10.png").write_bytes(content[:60])
    train, held_out = load(str(tmp_path), 16, 3, 5)
    assert len(held_out) == 1
    greys = np.round(np.stack(list(train.take(9).as_numpy_iterator())) * 25.5)
    assert set(greys.astype(int).ravel()) == {1, 2, 4, 5, 6, 7, 8, 9, 11}
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith("1 left out: ") and "10.png" in lines[0]
    assert lines[1].startswith("2 left out: ") and "03.png" in lines[1]


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_pictures(load, count, tmp_path):
    numbered(tmp_path, count)
    with pytest.raises(SystemExit, match=r"too few pictures \(.*that can be read.$"):
        load(str(tmp_path), 16, 3, 2)


@pytest.mark.parametrize("damaged", [["00"], ["01", "02"]])
def test_no_picture_can_be_read(load, damaged, tmp_path):
    numbered(tmp_path, 3)  # the first is held out
    for name in damaged:
        (tmp_path / f"{name}.png").write_bytes(b"")
    with pytest.raises(SystemExit, match="too few pictures"):
        load(str(tmp_path), 16, 3, 2)


def test_neither_folder_nor_set(load):
    with pytest.raises(SystemExit, match=r"^no_such is no folder and no TFDS set: .+$"):
        load("no_such", 16, 3, 2)


def test_a_set_of_tensorflow_datasets(load):
    import tensorflow_datasets as tfds

    with tfds.testing.mock_data(num_examples=30):
        train, held_out = load("mnist", 16, 3, 4)
        assert next(iter(train)).shape == (4, 16, 16, 3)
    assert held_out.shape[1:] == (16, 16, 3)
