"""`restore` and `evaluate` as they are typed, with small untrained networks."""

import csv
import errno
import functools
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from skimage import data

import tfgen
from tfgen import pretrained
from tfgen.__main__ import main
from tfgen.commands import evaluate as evaluation
from tfgen.commands import photo_files
from tfgen.commands import restore as restoring

COLOR = data.astronaut()[100:140, 150:200]  # 50 x 40 pixels
GREY = data.camera()[200:240, 200:250]
load_pretrained = pretrained.load_pretrained


@functools.cache
def build_restorer(name):
    """A small network that changes the image, in place of a trained one."""
    build, undo = pretrained.RECIPES[name]
    network = build(width=8, blocks=1)
    rng = np.random.default_rng(0)
    network.set_weights(
        [weight + rng.normal(0, 0.1, weight.shape) for weight in network.get_weights()]
    )
    return tfgen.Restorer(network, undo)


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """Load small networks; list their names."""
    names = []

    def load(name):
        names.append(name)
        return build_restorer(name)

    monkeypatch.setattr(pretrained, "load_pretrained", load)
    return names


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in a folder with a photo in colour and one in grey."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(COLOR).save("color.png")
    Image.fromarray(GREY).save("grey.png")
    return tmp_path


@pytest.fixture
def fails(here, capsys):
    """Check that a command ends in one line and leaves the folder as it was."""

    def contents():
        return {path: path.is_file() and path.read_bytes() for path in here.rglob("*")}

    def check(line, expected):
        before = contents()
        capsys.readouterr()
        assert main(line.split()) == 2
        printed = capsys.readouterr()
        assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
        assert expected in printed.err
        assert "mean" not in printed.out
        assert contents() == before
        return printed

    return check


def read(path):
    return np.asarray(Image.open(path))


def make_mask(shape=GREY.shape, path="mask.png"):
    mask = np.zeros(shape, np.uint8)
    mask[5:9, 10:40] = 1
    Image.fromarray(mask).save(path)
    return mask > 0


# --- restore ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("photo", "name"), [("grey", "denoise"), ("color", "denoise_color")]
)
def test_denoise(here, capsys, asked, photo, name):
    assert (
        main(f"restore {photo}.png --task denoise --sigma 20 -o out.png".split()) == 0
    )
    assert asked == [name]
    image = read(f"{photo}.png").astype(np.float32) / 255
    expected = build_restorer(name).restore(image, sigma=20)
    np.testing.assert_array_equal(read("out.png"), np.rint(expected * 255))
    assert (read("out.png") != read(f"{photo}.png")).any()
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.startswith("out.png: 50 x 40 pixels, ")
    assert printed.out.endswith(" s, sigma 20.0\n") and printed.out.count("\n") == 1


@pytest.mark.parametrize("option", ["", "--sigma auto"])
def test_the_noise_is_estimated(here, capsys, option):
    assert main(f"restore grey.png --task denoise {option} -o out.png".split()) == 0
    image = GREY.astype(np.float32) / 255
    estimate = tfgen.estimate_noise(image[None, ..., None])[0]
    assert f"sigma {estimate:.1f} (estimated)" in capsys.readouterr().out
    expected = build_restorer("denoise").restore(image, sigma=estimate)
    np.testing.assert_array_equal(read("out.png"), np.rint(expected * 255))


@pytest.mark.parametrize("photo", ["grey", "color"])
def test_inpaint_fills_the_holes_and_leaves_the_rest(here, capsys, asked, photo):
    holes = make_mask()
    line = f"restore {photo}.png --task inpaint --mask mask.png -o out.png"
    assert main(line.split()) == 0
    assert asked == ["inpaint"]
    before, after = read(f"{photo}.png"), read("out.png")
    np.testing.assert_array_equal(after[~holes], before[~holes])
    assert (after[holes] != before[holes]).mean() > 0.5
    assert "sigma" not in capsys.readouterr().out


def test_a_mask_is_what_is_not_black_and_not_transparent(here):
    holes = make_mask()
    color = np.zeros((40, 50, 4), np.uint8)
    color[..., 2] = 255  # blue everywhere
    color[..., 3] = np.where(holes, 9, 0)
    Image.fromarray(color).save("clear.png")
    for mask in ("mask", "clear"):
        line = f"restore grey.png --task inpaint --mask {mask}.png -o by_{mask}.png"
        assert main(line.split()) == 0
    np.testing.assert_array_equal(read("by_mask.png"), read("by_clear.png"))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_upscale(here, capsys, asked, scale):
    alpha = np.tile(np.linspace(0, 255, 50).astype(np.uint8), (40, 1))
    Image.fromarray(np.dstack([COLOR, alpha])).save("clear.png")
    line = f"restore clear.png --task upscale --scale {scale} -o out.png"
    assert main(line.split()) == 0
    assert asked == [f"upscale_x{scale}"]
    restored = read("out.png")
    expected = build_restorer(asked[0]).restore(COLOR.astype(np.float32) / 255)
    np.testing.assert_array_equal(restored[..., :3], np.rint(expected * 255))
    size = (50 * scale, 40 * scale)
    larger = Image.fromarray(alpha).resize(size, Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(restored[..., 3], np.asarray(larger))
    assert f"{size[0]} x {size[1]} pixels" in capsys.readouterr().out


def test_transparency_is_copied(here):
    alpha = np.arange(2000, dtype=np.uint8).reshape(40, 50)
    Image.fromarray(np.dstack([COLOR, alpha])).save("clear.png")
    assert main("restore clear.png --task denoise -o out.tif".split()) == 0
    np.testing.assert_array_equal(read("out.tif")[..., 3], alpha)


def test_16_bits_stay_where_the_format_has_them(here):
    deep = GREY.astype(np.uint16) * 257 + 50
    Image.fromarray(deep).save("deep.png")
    assert main("restore deep.png --task denoise --sigma 9 -o out.png".split()) == 0
    assert main("restore deep.png --task denoise --sigma 9 -o out.jpg".split()) == 0
    restored = read("out.png")
    assert restored.dtype == np.uint16 and (restored % 257 != 0).any()
    assert read("out.jpg").dtype == np.uint8
    assert abs(restored / 257 - read("out.jpg")).mean() < 2


def test_what_is_lost_is_said(here, capsys):
    frames = [Image.fromarray(image) for image in (GREY, 255 - GREY)]
    frames[0].save("film.gif", save_all=True, append_images=frames[1:])
    assert main("restore film.gif --task denoise -o out.png".split()) == 0
    note = "note: film.gif: only the first of 2 pictures was read\n"
    assert capsys.readouterr().err == note


@pytest.mark.parametrize("shape", [(1, 1), (5, 3000, 3)])
@pytest.mark.parametrize("task", ["denoise", "upscale --scale 2"])
def test_photos_of_odd_shapes(here, shape, task):
    Image.fromarray(np.full(shape, 99, np.uint8)).save("odd.png")
    assert main(f"restore odd.png --task {task} -o out.png".split()) == 0
    factor = 2 if "upscale" in task else 1
    assert read("out.png").shape[:2] == (shape[0] * factor, shape[1] * factor)


def test_progress_of_large_photos_is_no_result(here, capsys, monkeypatch):
    monkeypatch.setattr(restoring, "LARGE", 2000)
    assert main("restore grey.png --task denoise -o out.png".split()) == 0
    printed = capsys.readouterr()
    assert "1/1" in printed.err
    assert printed.out.count("\n") == 1


def test_a_sigma_beyond_the_training_is_noted(here, capsys):
    assert main("restore grey.png --task denoise --sigma 60 -o out.png".split()) == 0
    assert "note: sigma is 60; the networks were trained for 0 to 55" in (
        capsys.readouterr().err
    )


def test_an_ensemble(here, capsys):
    command = "restore grey.png --task denoise --sigma 20 --ensemble -o out.png"
    assert main(command.split()) == 0
    restorer, image = build_restorer("denoise"), GREY.astype(np.float32) / 255
    expected = restorer.restore(image, sigma=20, ensemble=True)
    np.testing.assert_array_equal(read("out.png"), np.rint(expected * 255))
    capsys.readouterr()
    single, eightfold = (
        evaluate(f". --task upscale --scale 2 {option}", capsys)
        for option in ("", "--ensemble")
    )
    assert "eight ways" in eightfold[0] and "eight ways" not in single[0]
    before, after = single[2]["mean"], eightfold[2]["mean"]
    assert after[:-2] == before[:-2] and after[-2] > before[-2]


def test_force_overwrites(here):
    for output in ("color.png", "grey.png"):
        line = f"restore grey.png --task denoise -o {output} --force"
        assert main(line.split()) == 0
        assert read(output).shape == GREY.shape
    assert (read("grey.png") != GREY).any()
    assert sorted(os.listdir()) == ["color.png", "grey.png"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--task inpaint", "--task inpaint needs --mask."),
        ("--task upscale", "--task upscale needs --scale."),
        ("--task upscale --scale 2 --sigma 9", "--sigma does not go with --task ups"),
        ("--task denoise --mask grey.png", "--mask does not go with --task denoise"),
        ("--task denoise --sigma -1", "sigma is -1, but must be from 0 to 75; the "),
        ("--task denoise --sigma 75.1", "networks were trained for 0 to 55."),
        ("--task denoise --sigma nan", "sigma is nan, but"),
        ("--task inpaint --mask grey.png", "grey.png has only holes: each pixel that"),
        ("--task inpaint --mask black.png", "black.png has no holes: each pixel that"),
        ("--task inpaint --mask small.png", "is 9 x 8 pixels, but the photo is 50 x"),
        ("--task inpaint --mask none.png", "Cannot read none.png: No such file"),
        ("--task inpaint --mask empty.png", "Cannot read empty.png: the file is emp"),
    ],
)
def test_options_that_do_not_fit(fails, arguments, expected):
    Image.fromarray(np.maximum(GREY, 1)).save("grey.png")
    Image.fromarray(GREY * 0).save("black.png")
    Image.new("L", (9, 8), 1).save("small.png")
    Path("empty.png").touch()
    fails(f"restore grey.png {arguments} -o out.png", expected)


@pytest.mark.parametrize(
    ("photo", "output", "expected"),
    [
        ("none.png", "out.png", "Cannot read none.png: No such file or directory."),
        ("text.png", "out.png", "Cannot read text.png: it is not an image that Pill"),
        ("empty.png", "out.png", "Cannot read empty.png: the file is empty."),
        ("cut.png", "out.png", "Cannot read cut.png: image file is truncated"),
        ("grey.png", "out", "Cannot write out: the name must end in one of .png"),
        ("grey.png", "no/out.png", "Cannot write no/out.png: the folder no refuses"),
        ("grey.png", "color.png", "color.png exists; --force overwrites it."),
        ("grey.png", "grey.png", "grey.png is the input itself; --force"),
        ("clear.png", "out.jpg", "JPEG cannot hold the photo's transparency"),
    ],
)
def test_files_that_do_not_fit(fails, photo, output, expected):
    Path("text.png").write_text("no image")
    Path("empty.png").touch()
    Path("cut.png").write_bytes(Path("grey.png").read_bytes()[:700])
    Image.fromarray(np.dstack([GREY, GREY])).save("clear.png")
    fails(f"restore {photo} --task denoise -o {output}", expected)


def test_noise_that_is_too_strong(fails):
    noise = np.random.default_rng(0).integers(0, 2, (40, 50), np.uint8) * 255
    Image.fromarray(noise).save("noise.png")
    fails("restore noise.png --task denoise -o out.png", "but must be from 0 to 75")


def test_an_enlargement_that_is_too_large(fails, monkeypatch):
    monkeypatch.setattr(photo_files, "MAX_PIXELS", 10_000)
    line = "restore grey.png --task upscale --scale 3 -o out.png"
    fails(line, "A picture of 150 x 120 has more than")


def test_a_full_disk(fails, monkeypatch):
    def fail(self, file, *arguments, **options):
        file.write(b"half a picture")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    line = "restore color.png --task denoise -o grey.png --force"
    fails(line, "Cannot write grey.png: No space left on device.")


def test_missing_weights(fails, monkeypatch):
    monkeypatch.setattr(pretrained, "load_pretrained", load_pretrained)
    monkeypatch.setattr(pretrained, "FOLDER", Path("none"))
    line = "restore grey.png --task denoise -o out.png"
    fails(line, "No such file or directory: 'none/")


@pytest.mark.parametrize("moment", ["restore", "save"])
def test_an_interruption_leaves_nothing(here, capsys, monkeypatch, moment):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    owner = tfgen.Restorer if moment == "restore" else Image.Image
    monkeypatch.setattr(owner, moment, interrupt)
    assert main("restore grey.png --task denoise -o out.png".split()) == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert sorted(os.listdir()) == ["color.png", "grey.png"]


# --- Networks of one's own --------------------------------------------------


def test_a_network_of_ones_own(here, asked):
    own = build_restorer("denoise")
    own.save("own.keras")
    line = "restore color.png --task denoise --sigma 9 --weights own.keras -o out.png"
    assert main(line.split()) == 0
    assert not asked
    expected = own.restore(COLOR.astype(np.float32) / 255, sigma=9)
    np.testing.assert_array_equal(read("out.png"), np.rint(expected * 255))


def test_as_a_program(here):
    """Also where `tfgen` itself is not imported whole, and in silence."""
    build_restorer("denoise").save("own.keras")
    line = "-m tfgen restore grey.png --task denoise --weights own.keras -o out.png"
    result = subprocess.run(
        [sys.executable, *line.split()], capture_output=True, text=True
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("out.png: 50 x 40 pixels")
    assert read("out.png").shape == GREY.shape


def test_networks_that_do_not_fit(fails):
    build_restorer("denoise").save("denoise.keras")
    build_restorer("upscale_x2").save("upscale.keras")
    layers = keras.layers.Input((4,)), keras.layers.Dense(1)
    keras.Sequential(layers).save("other.keras")
    Path("damaged.keras").write_bytes(Path("denoise.keras").read_bytes()[:900])
    make_mask()
    for arguments, expected in (
        ("inpaint --mask mask.png --weights denoise.keras", "it is told sigma, and it"),
        ("upscale --scale 3 --weights upscale.keras", "enlarges 2 times"),
        ("denoise --weights upscale.keras", "it is told nothing, and it enlarges 2"),
        ("denoise --weights other.keras", "other.keras holds no tfgen.Restorer"),
        ("denoise --weights damaged.keras", "Cannot load damaged.keras: "),
        ("denoise --weights none.keras", "Cannot load none.keras: no .keras file"),
        ("denoise --weights grey.png", "Cannot load grey.png: no .keras file"),
    ):
        fails(f"restore grey.png --task {arguments} -o out.png", expected)


def test_code_in_a_file_is_not_run(fails):
    image = keras.layers.Input((None, None, 1), name="image")
    run = 'lambda x: __import__("pathlib").Path("run").touch() or x'
    code = keras.layers.Lambda(eval(run))(image)
    keras.Model({"image": image}, code).save("code.keras")
    os.remove("run")
    line = "restore grey.png --task denoise --weights code.keras -o out.png"
    fails(line, "Cannot load code.keras: it carries code, which could do anything.")
    assert not os.path.exists("run")


# --- evaluate ---------------------------------------------------------------


def evaluate(line, capsys):
    """Run `evaluate`; return its first line, heads and rows of numbers by name."""
    assert main(["evaluate", *line.split()]) == 0
    first, methods, heads, *lines = capsys.readouterr().out.splitlines()
    assert len({len(line) for line in (methods, heads, *lines)}) == 1, "aligned"
    rows = {line.split()[0]: [float(x) for x in line.split()[1:]] for line in lines}
    assert heads.split()[1:] == ["PSNR", "SSIM"] * len(methods.split())
    return first, methods.split(), rows


def quality(clean, image, **options):
    """PSNR and SSIM of what a file of 8 bits would hold."""
    image = np.rint(np.clip(image, 0, 1) * 255).astype(np.float32) / 255
    pair = clean[None], image[None]
    return [tfgen.psnr(*pair, **options)[0], tfgen.ssim(*pair, **options)[0]]


def check_scores(rows, name, expected):
    np.testing.assert_allclose(rows[name], np.ravel(expected), atol=0.006)


def test_evaluate_denoise(here, capsys, asked):
    first, methods, rows = evaluate(". --task denoise --sigma 30 --seed 5", capsys)
    assert "sigma 30" in first and "seed 5" in first
    assert methods == ["noisy", "gaussian", "tv", "nlm", "wavelet", "network"]
    assert list(rows) == ["color.png", "grey.png", "mean"]
    assert asked == ["denoise_color", "denoise"]
    clean = GREY.astype(np.float32)[..., None] / 255
    noisy = tfgen.add_gaussian_noise(clean[None], np.array([5, 1]), sigma=30)
    noisy = noisy["image"][0].numpy()
    assert noisy.min() < 0, "not clipped"
    restored = build_restorer("denoise").restore(noisy, sigma=30)
    check_scores({"grey": rows["grey.png"][:2]}, "grey", quality(clean, noisy))
    check_scores({"grey": rows["grey.png"][-2:]}, "grey", quality(clean, restored))
    check_scores(rows, "mean", np.mean([rows["color.png"], rows["grey.png"]], axis=0))
    noisy_psnr, *_ = rows["mean"]
    assert rows["mean"][4] > noisy_psnr + 3, "total variation removes noise"


def test_evaluate_inpaint(here, capsys):
    _, methods, rows = evaluate(". --task inpaint", capsys)
    assert methods == ["masked", "biharmonic", "network"]
    clean = COLOR.astype(np.float32) / 255
    damaged = tfgen.mask_scratches(clean[None], np.array([0, 0]))
    image, mask = (damaged[name][0].numpy() for name in ("image", "mask"))
    restored = build_restorer("inpaint").restore(image, mask=mask)
    expected = [quality(clean, image), quality(clean, restored)]
    check_scores({"color": rows["color.png"][:2]}, "color", expected[0])
    check_scores({"color": rows["color.png"][-2:]}, "color", expected[1])
    assert rows["mean"][2] > rows["mean"][0] + 3, "biharmonic fills"


@pytest.mark.parametrize("options", ["", "--luma --border 0"])
def test_evaluate_upscale(here, capsys, options):
    _, methods, rows = evaluate(f". --task upscale --scale 3 {options}", capsys)
    assert methods == ["bicubic", "network"]
    clean = COLOR[:39, :48].astype(np.float32) / 255
    small = tfgen.downsample(clean[None], scale=3)["image"]
    images = [
        np.clip(tf.image.resize(small, (39, 48), "bicubic")[0], 0, 1),
        build_restorer("upscale_x3").restore(small[0].numpy()),
    ]
    how = {"luma": True, "border": 0} if options else {"border": 3}
    check_scores(rows, "color.png", [quality(clean, image, **how) for image in images])


def test_evaluate_pairs(here, capsys):
    small = np.random.default_rng(0).integers(0, 256, (10, 12, 3), np.uint8)
    os.mkdir("Hr")
    os.mkdir("lr")
    for name, ending in (("a", ""), ("b", "x4")):
        Image.fromarray(COLOR).save(f"Hr/{name}.png")
        Image.fromarray(small).save(f"lr/{name}{ending}.bmp")
    _, _, rows = evaluate(". --task upscale", capsys)
    assert list(rows) == ["a.png", "b.png", "mean"] and rows["a.png"] == rows["b.png"]
    restored = build_restorer("upscale_x4").restore(small.astype(np.float32) / 255)
    clean = COLOR[:, :48].astype(np.float32) / 255
    expected = quality(clean, restored, border=4)
    check_scores({"network": rows["mean"][2:]}, "network", expected)


def test_evaluate_puts_transparent_pixels_over_white(here, capsys):
    os.mkdir("all")
    clear = np.dstack([GREY, np.where(GREY > 100, 255, 0).astype(np.uint8)])
    Image.fromarray(clear).save("all/a.png")
    Image.fromarray(np.where(GREY > 100, GREY, 255).astype(np.uint8)).save("all/b.png")
    _, _, rows = evaluate("all --task upscale --scale 2", capsys)
    assert rows["a.png"] == rows["b.png"]


def test_the_table_is_written(here, capsys):
    _, methods, rows = evaluate(". --task inpaint --csv table.csv", capsys)
    with open("table.csv", newline="") as file:
        heads, *lines = csv.reader(file)
    assert heads[:3] == ["image", "masked PSNR", "masked SSIM"]
    assert len(heads) == 1 + 2 * len(methods)
    assert [name for name, *_ in lines] == list(rows)
    for name, *scores in lines:
        check_scores(rows, name, [float(score) for score in scores])


def test_evaluate_again_gives_the_same(here, capsys):
    line = ". --task denoise"
    assert evaluate(line, capsys) == evaluate(line, capsys)
    _, _, other = evaluate(f"{line} --seed 1", capsys)
    assert other != evaluate(line, capsys)[2]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("none --task denoise", "none is not a folder."),
        ("grey.png --task denoise", "grey.png is not a folder."),
        ("empty --task denoise", "There is no image in empty; files that end in .png"),
        (". --task denoise --scale 2", "--scale does not go with --task denoise."),
        (". --task denoise --sigma 76", "sigma is 76, but must be from 0 to 75"),
        (". --task inpaint --csv grey.png", "grey.png exists; --force overwrites it."),
        (". --task inpaint --csv no/x.csv", "the folder no refuses"),
        (". --task inpaint --border -1", "color.png: A border of -1 does not fit"),
        ("tiny --task inpaint --seed 1", "tiny.png: SSIM looks at 11 x 11 pixels"),
        ("tiny --task upscale", "tiny.png is too small to be shrunk 4 times."),
        ("pairs --task upscale", "has no image for pairs/HR/b.png"),
        ("pairs --task upscale --scale 3", "pairs/LR/a.png is not pairs/HR/a.png shr"),
    ],
)
def test_evaluate_what_does_not_fit(fails, arguments, expected):
    for folder in ("empty", "tiny", "pairs/HR", "pairs/LR"):
        os.makedirs(folder)
    Image.new("L", (300, 3)).save("tiny/tiny.png")
    for path, side in (("HR/a", 40), ("HR/b", 40), ("LR/a", 10), ("LR/bx3", 13)):
        Image.new("L", (side, side)).save(f"pairs/{path}.png")
    fails(f"evaluate {arguments}", expected)


def test_a_damaged_image_ends_the_evaluation(fails):
    Path("cut.png").write_bytes(Path("color.png").read_bytes()[:700])
    printed = fails(
        "evaluate . --task inpaint --csv table.csv",
        "Cannot read cut.png: image file is truncated",
    )
    assert "color.png" in printed.out and "grey.png" not in printed.out


def test_an_interrupted_evaluation_writes_no_table(here, monkeypatch, capsys):
    done = []

    def interrupt(*arguments, **options):
        done.append(1)
        if len(done) == 2:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    original = evaluation.compare
    monkeypatch.setattr(evaluation, "compare", interrupt)
    assert main("evaluate . --task inpaint --csv table.csv".split()) == 130
    assert not os.path.exists("table.csv") and "mean" not in capsys.readouterr().out
