"""`python -m tfgen evaluate` as it is typed, with small untrained networks."""

import csv
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from small_networks import COLOR, GREY, build_restorer
from test_writing import NAMES

import tfgen
from tfgen import weights as pretrained
from tfgen.__main__ import main
from tfgen.commands import evaluate as evaluation
from tfgen.commands import photo_files


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
    assert methods == ["noisy", "gaussian", "tv", "nlm", "wavelet", "dct", "network"]
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


def as_luma(pixels):
    luma = (pixels / 255) @ (65.481, 128.553, 24.966) + 16
    return np.rint(luma).astype(np.uint8)


def check_blind(rows, name, clean, damaged):
    restored = build_restorer("photo").restore(damaged)
    expected = [quality(clean, damaged), quality(clean, restored)]
    check_scores(rows, name, expected)


@pytest.mark.parametrize("luma", ["", "--luma"])
def test_evaluate_photos_in_jpeg_files(here, capsys, asked, luma):
    first, methods, rows = evaluate(f". --task photo --quality 10 {luma}", capsys)
    assert first.startswith("photo: JPEG of quality 10; scored in 8 bits: ")
    assert methods == ["damaged", "network"] and asked[0] == "photo"
    for name, pixels in (("color.png", COLOR), ("grey.png", GREY)):
        if luma and pixels.ndim == 3:  # as MATLAB's rgb2ycbcr gives it, like AR-CNN
            pixels = as_luma(pixels)
        image = Image.fromarray(pixels)
        image.save("photo.jpg", quality=10)  # with Pillow's default, 4:2:0
        clean, damaged = (
            photo_files.to_floats(np.atleast_3d(np.asarray(x)))
            for x in (image, Image.open("photo.jpg"))
        )
        check_blind(rows, name, clean, damaged)
    assert rows["mean"][0] < 40


def test_evaluate_photos_with_noise(here, capsys):
    first, _, rows = evaluate(". --task photo --sigma 30 --seed 5", capsys)
    assert "photo: noise of sigma 30, clipped and rounded, seed 5" in first
    clean = COLOR.astype(np.float32) / 255
    noisy = tfgen.add_sensor_noise(clean[None], np.array([5, 0]), read=30, shot=0)
    noisy = np.clip(noisy["image"][0], 0, 1)
    damaged = photo_files.to_floats(photo_files.to_integers(noisy))
    check_blind(rows, "color.png", clean, damaged)


def test_photos_are_in_files_of_quality_20(here, capsys):
    assert evaluate(". --task photo", capsys) == (
        evaluate(". --task photo --quality 20", capsys)
    )


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


def test_evaluate_an_ensemble(here, capsys):
    single, eightfold = (
        evaluate(f". --task upscale --scale 2 {option}", capsys)
        for option in ("", "--ensemble")
    )
    assert "eight ways" in eightfold[0] and "eight ways" not in single[0]
    before, after = single[2]["mean"], eightfold[2]["mean"]
    assert after[:-2] == before[:-2] and after[-2] > before[-2]


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
        (". --task denoise --scale 2", "--scale does not go with --task denoise, but"),
        (". --task inpaint --quality 9", "--quality does not go with --task inpaint"),
        (". --task photo --quality 0", "--quality is 0, but must be from 1 to 95."),
        (". --task photo --quality 9 --sigma 9", "Give --quality or --sigma, not both"),
        (". --task denoise --sigma 76", "sigma is 76, but must be from 0 to 75"),
        (". --task inpaint --csv grey.png", "grey.png exists; --force overwrites it."),
        (". --task inpaint --csv no/x.csv", "no/x.csv: its folder does not exist"),
        (". --task inpaint --csv empty", "Cannot write empty: it is a folder."),
        (". --task inpaint --csv=", "Cannot write : this is not the name of a file."),
        (f". --task inpaint --csv {'n' * 256}", "nnn: File name too long."),
        (". --task inpaint --border -1", "--border is -1, but must be at least 0."),
        (f". --task inpaint --seed {2**63}", "08, which is no number of 64 bits."),
        ("./none/ --task denoise", "./none/ is not a folder."),
        ("tiny --task inpaint --csv t.csv", "There is no image with scores."),
    ],
)
def test_evaluate_what_does_not_fit(fails, arguments, expected):
    for folder in ("empty", "tiny"):
        os.mkdir(folder)
    Image.new("L", (300, 3)).save("tiny/tiny.png")
    fails(f"evaluate {arguments}", expected)


# --- Files that cannot be used ----------------------------------------------


def add_truncated(path):
    path.write_bytes(Path("color.png").read_bytes()[:700])


def add_huge(path):
    Image.new("1", (400, 400)).save(path)  # of at most 10,000 pixels


UNUSABLE = {
    "truncated": (add_truncated, "Cannot read x.png: image file is truncated"),
    "empty": (Path.touch, "Cannot read x.png: the file is empty."),
    "text": (lambda path: path.write_text("a"), "Cannot read x.png: it is not an im"),
    "folder": (Path.mkdir, "Cannot read x.png: Is a directory."),
    "nowhere": (lambda path: path.symlink_to("y"), "Cannot read x.png: No such file"),
    "huge": (add_huge, "Cannot read x.png: A picture of 400 x 400 has more than"),
    "tiny": (
        lambda path: Image.new("L", (50, 9)).save(path),
        "x.png: SSIM looks at 11",
    ),
}


def evaluate_some(line, capsys):
    """Run `evaluate` where some images have no scores; return its rows by name."""
    assert main(["evaluate", *line.split()]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("error: 1 of ") and printed.err.count("\n") == 1
    return dict(line.split(maxsplit=1) for line in printed.out.splitlines()[3:])


@pytest.mark.parametrize(("add", "reason"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_file_that_cannot_be_used_is_left_out(here, capsys, monkeypatch, add, reason):
    monkeypatch.setattr(photo_files, "MAX_PIXELS", 10_000)
    before = evaluate(". --task inpaint --csv before.csv", capsys)[2]
    add(Path("x.png"))
    rows = evaluate_some(". --task inpaint --csv after.csv", capsys)
    assert list(rows) == ["color.png", "grey.png", "x.png", "mean"]
    assert rows["x.png"].startswith(reason)
    assert rows["mean"].startswith("of 2 ")
    assert [float(x) for x in rows["mean"].split()[2:]] == before["mean"]
    *lines, unscored, mean = Path("after.csv").read_text().splitlines()
    assert [*lines, mean] == Path("before.csv").read_text().splitlines()
    assert unscored == "x.png,,,,,,"


@pytest.mark.parametrize(
    ("small", "reason"),
    [
        (None, "Cannot read LR/b.png: No such file or directory."),
        ((10, 10), "LR/b.png is not HR/b.png shrunk 2 times."),
        (b"", "Cannot read LR/b.png: the file is empty."),
    ],
)
def test_a_pair_that_cannot_be_used_is_left_out(here, capsys, small, reason):
    for folder, side in (("HR", 40), ("LR", 20)):
        os.mkdir(folder)
        for name in "ab":
            Image.new("L", (side, side)).save(f"{folder}/{name}.png")
    os.remove("LR/b.png")
    if isinstance(small, tuple):
        Image.new("L", small).save("LR/b.png")
    elif small is not None:
        Path("LR/b.png").write_bytes(small)
    rows = evaluate_some(". --task upscale --scale 2", capsys)
    assert rows["b.png"] == reason and rows["mean"].startswith("of 1 ")


def test_images_too_small_to_be_shrunk_are_left_out(here, capsys):
    Image.new("L", (300, 3)).save("tiny.png")
    rows = evaluate_some(". --task upscale", capsys)
    assert rows["tiny.png"] == "tiny.png is too small to be shrunk 4 times."


def test_a_network_that_is_missing_ends_the_evaluation(fails, monkeypatch):
    monkeypatch.setattr(pretrained, "load_pretrained", tfgen.load_pretrained)
    monkeypatch.setattr(pretrained, "FOLDER", Path("none"))
    printed = fails("evaluate . --task inpaint", "No such file or directory: 'none")
    assert "color.png" not in printed.out


@pytest.mark.skipif(os.name == "nt", reason="Windows allows fewer names")
@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_in_a_table(here, capfd, monkeypatch, name, damaged):
    """On a screen that knows no more than cp1252, and in UTF-8 in the file."""
    monkeypatch.setattr(sys, "stdout", open(1, "w", encoding="cp1252", closefd=False))
    os.remove("color.png")
    try:
        shutil.copy("grey.png", name)
    except OSError:
        pytest.skip("not a name on this disk")
    if damaged:
        Path(name).write_bytes(b"")
    line = ["evaluate", ".", "--task", "upscale", "--scale", "2", "--csv", "t.csv"]
    assert main(line) == damaged
    *_, first, second, mean = capfd.readouterr().out.splitlines()
    escaped = ascii(name)[1:-1].replace("\\\\", "\\")
    assert first.startswith(escaped) or second.startswith(escaped)
    assert mean.startswith("mean")
    with open("t.csv", newline="", encoding="utf-8") as file:
        names = [row[0] for row in csv.reader(file)]
    assert name.replace("\udce9", "\\udce9") in names


# --- Interruptions ----------------------------------------------------------


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
