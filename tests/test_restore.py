"""`python -m tfgen restore` as it is typed, with small untrained networks."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from image_files import ink_profile
from PIL import Image, ImageCms
from small_networks import COLOR, GREY, build_restorer
from test_provenance import build_signed
from test_writing import NAMES

import tfgen
from tfgen import provenance
from tfgen import weights as pretrained
from tfgen.__main__ import main
from tfgen.commands import networks, photo_files, screen
from tfgen.commands import restore as restoring
from tfgen.commands.before_after import draw_before_after
from tfgen.measures.classics import enlarge_bicubic


def read(path):
    return np.asarray(Image.open(path))


def make_mask(shape=GREY.shape, path="mask.png"):
    mask = np.zeros(shape, np.uint8)
    mask[5:9, 10:40] = 1
    Image.fromarray(mask).save(path)
    return mask > 0


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


def as_floats(pixels):
    return pixels.astype(np.float32) / 255


@pytest.mark.parametrize("photo", ["grey", "color"])
def test_photos_are_restored_by_the_blind_network(here, capsys, asked, photo):
    assert main(f"restore {photo}.png -o out.png".split()) == 0
    assert asked == ["photo"]
    image = as_floats(read(f"{photo}.png"))
    expected = build_restorer("photo").restore(image)
    np.testing.assert_array_equal(read("out.png"), np.rint(expected * 255))
    full, half = tfgen.estimate_noise(np.atleast_3d(image)[None], scales=2)[0]
    expected = f", sigma {full:.1f} (estimated; at half size {half:.1f})\n"
    assert capsys.readouterr().out.endswith(expected)


@pytest.mark.parametrize(
    "task", ["photo", "denoise --sigma 9", "inpaint --mask mask.png"]
)
def test_less_of_a_restoration(here, task):
    make_mask()
    images = {}
    for strength in (0, 0.25, 1):
        command = f"restore color.png --task {task} --strength {strength} -o out.png"
        assert main([*command.split(), "--force"]) == 0
        images[strength] = read("out.png").astype(float)
    np.testing.assert_array_equal(images[0], COLOR)
    expected = 0.75 * images[0] + 0.25 * images[1]
    assert (images[1] != COLOR).any()
    np.testing.assert_allclose(images[0.25], expected, atol=0.76)


def test_less_of_an_enlargement_is_bicubic(here):
    for strength in (0, 0.5, 1):
        command = "restore color.png --task upscale --scale 2 --strength"
        assert main([*command.split(), f"{strength}", "-o", f"{strength}.png"]) == 0
    smooth, half, full = (read(f"{s}.png").astype(float) for s in (0, 0.5, 1))
    bicubic = enlarge_bicubic(as_floats(COLOR), 2)
    np.testing.assert_array_equal(smooth, np.rint(bicubic * 255))
    np.testing.assert_allclose(half, (smooth + full) / 2, atol=1.01)
    assert abs(full - smooth).mean() > 2


def test_details_come_back(here, monkeypatch):
    monkeypatch.setattr(tfgen.Restorer, "restore", lambda self, image, **_: image * 0)
    lines = np.zeros((64, 64), np.uint8)
    lines[30, 10:50] = 200
    Image.fromarray(lines).save("lines.png")
    for detail, expected in ((0, 0), (0.5, 100), (1, 200)):
        line = f"restore lines.png --detail {detail} -o out.png --force"
        assert main(line.split()) == 0
        assert abs(read("out.png")[30, 12:48].mean() - expected) < 25


def test_faded_colours(here, monkeypatch):
    monkeypatch.setattr(tfgen.Restorer, "restore", lambda self, image, **_: image)
    faded = as_floats(COLOR) * (0.6, 0.5, 0.4) + (0.2, 0.1, 0.1)
    Image.fromarray(np.rint(faded * 255).astype(np.uint8)).save("faded.png")
    for photo in ("faded", "color"):
        assert main(f"restore {photo}.png --colour -o {photo}_out.png".split()) == 0
    before = abs(faded * 255 - COLOR).mean()
    assert abs(read("faded_out.png") - COLOR.astype(float)).mean() < before / 2
    assert main("restore faded.png -o same.png".split()) == 0
    np.testing.assert_array_equal(read("same.png"), read("faded.png"))


def test_a_picture_before_and_after(here):
    for task, name in (("photo", "a.png"), ("upscale --scale 2", "b.jpg")):
        line = f"restore color.png --task {task} -o out.png --compare {name} --force"
        assert main(line.split()) == 0
        picture = draw_before_after(COLOR, read("out.png"))
        assert abs(read(name).astype(float) - picture).mean() < 3


def test_dots_stay_dots(here, capsys, asked):
    dots = np.random.default_rng(0).random((60, 70)) < 0.3
    Image.fromarray(dots).save("dots.png")
    assert main("restore dots.png -o out.png".split()) == 0
    np.testing.assert_array_equal(read("out.png"), 255 * dots)
    assert not asked and "unchanged: it is black and white" in capsys.readouterr().out


def test_sharp(here, asked):
    line = "restore grey.png --task upscale --scale 4 --sharp -o out.png"
    assert main(line.split()) == 0
    assert asked == ["upscale_x4_features", "upscale_x4"]
    assert read("out.png").shape == (160, 200)


def test_another_network_of_the_package(here, asked):
    line = "restore grey.png --task upscale --scale 4 --weights upscale_x4_small"
    assert main([*line.split(), "-o", "out.png"]) == 0
    assert asked == ["upscale_x4_small"]


# --- Defects ----------------------------------------------------------------


@pytest.fixture
def scratched(here, monkeypatch):
    """A photo with two scratches, and what finds them."""

    def find(image, verbose):
        assert image.dtype == np.float32 and image.ndim == 3
        return image.min(axis=-1) == 1

    image = COLOR.copy()
    image[10:12, 5:25] = image[30:32, 20:40] = 255
    Image.fromarray(image).save("scratched.png")
    finder = SimpleNamespace(find=find)
    monkeypatch.setattr(networks, "load_finder", lambda: finder)
    return image.min(axis=-1) == 255


def test_defects_are_found_and_filled(scratched, capsys, asked):
    line = "restore scratched.png --task scratches -o out.png --mask found.png"
    assert main(line.split()) == 0
    assert asked == ["inpaint"]
    assert capsys.readouterr().out.endswith(" s, 2 defects on 4.00% of the photo\n")
    np.testing.assert_array_equal(read("found.png"), 255 * scratched)
    line = "restore scratched.png --task inpaint -o again.png --mask found.png"
    assert main(line.split()) == 0
    np.testing.assert_array_equal(read("out.png"), read("again.png"))
    np.testing.assert_array_equal(read("out.png")[~scratched], COLOR[~scratched])


def test_the_depths_of_large_holes_are_filled_with_patches(here):
    """Stripes go on in a hole of 60 pixels, wherever the network sees no edge."""
    stripes = np.where(np.indices((160, 160)).sum(0) // 4 % 2, 200, 50)
    mask = np.zeros((160, 160), bool)
    mask[50:110, 50:110] = True
    holed = np.where(mask, 0, stripes).astype(np.uint8)
    Image.fromarray(holed).save("stripes.png")
    Image.fromarray(mask).save("hole.png")
    line = "restore stripes.png --task inpaint --mask hole.png -o out.png"
    assert main(line.split()) == 0
    inside = slice(70, 90), slice(70, 90)
    assert abs(read("out.png").astype(int) - stripes)[inside].mean() < 5


def test_where_nothing_is_found_nothing_changes(scratched, capsys, asked):
    line = "restore grey.png --task scratches -o out.png --mask found.png"
    assert main(line.split()) == 0
    assert not asked and "0 defects on 0.00% of the photo" in capsys.readouterr().out
    np.testing.assert_array_equal(read("out.png"), GREY)
    assert not read("found.png").any()
    line = "restore grey.png --task inpaint -o again.png --mask found.png"
    assert main(line.split()) == 0
    np.testing.assert_array_equal(read("again.png"), GREY)
    assert "found.png: it has no holes" in capsys.readouterr().err


def test_settings_of_keras_change_nothing(here, unusual_settings):
    build_restorer.cache_clear()
    make_mask(COLOR.shape[:2])
    for options in ("denoise", "upscale --scale 2", "inpaint --mask mask.png"):
        command = f"restore color.png --task {options} -o out.png --force"
        assert main(command.split()) == 0
    build_restorer.cache_clear()
    assert read("out.png").shape == COLOR.shape


@pytest.mark.parametrize("option", ["", "--sigma auto"])
def test_the_noise_is_estimated(here, capsys, option):
    assert main(f"restore grey.png --task denoise {option} -o out.png".split()) == 0
    image = GREY.astype(np.float32) / 255
    estimate = tfgen.estimate_noise(image[None, ..., None])[0]
    assert f"sigma {estimate:.1f} (estimated; at half size" in capsys.readouterr().out
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


HOLES = np.zeros(GREY.shape, bool)
HOLES[10:20, 15:25] = True


@pytest.mark.parametrize(
    ("form", "values", "clear"),
    [
        ("PNG", {0: 0, 1: 255}, None),
        ("PNG", {0: 0, 1: 1}, None),
        ("JPEG", {0: 0, 1: 255}, None),
        ("WEBP", {0: 0, 1: 255}, None),
        ("PNG", {0: 20, 1: 200}, None),
        ("PNG", {0: 255, 1: 255}, {0: 0, 1: 255}),
        ("PNG", {0: 255, 1: 255}, {0: 100, 1: 255}),
    ],
)
def test_holes_are_where_a_mask_is_bright(here, capsys, form, values, clear):
    mask = Image.fromarray(np.where(HOLES, values[1], values[0]).astype(np.uint8))
    if clear:
        alpha = np.where(HOLES, clear[1], clear[0]).astype(np.uint8)
        mask.putalpha(Image.fromarray(alpha))
    mask.save("mask", form)
    holes = restoring.read_mask("mask", photo_files.read_photo("grey.png"))
    np.testing.assert_array_equal(holes, HOLES)
    assert (capsys.readouterr().err == "") == (form == "PNG")  # the others ring


def test_a_mask_with_more_than_two_values_is_noted(here, capsys):
    soft = Image.fromarray(HOLES).convert("L").resize((100, 80)).resize((50, 40))
    soft.save("mask.png")
    levels = np.asarray(soft)
    assert len(np.unique(levels)) > 2
    line = "restore grey.png --task inpaint --mask mask.png -o out.png"
    assert main(line.split()) == 0
    assert capsys.readouterr().err == (
        "note: mask.png: it has more than two values; a hole is what is at least half "
        "as bright as the brightest\n"
    )
    changed = read("out.png") != read("grey.png")
    assert not changed[levels < 127].any() and changed[levels > 128].mean() > 0.5


def test_a_mask_the_wrong_way_round_is_noted(here, capsys):
    Image.fromarray(~HOLES).save("mask.png")
    line = "restore grey.png --task inpaint --mask mask.png -o out.png"
    assert main(line.split()) == 0
    note = "note: mask.png: 95% of the photo are holes; if not, invert the mask\n"
    assert capsys.readouterr().err == note
    np.testing.assert_array_equal(read("out.png")[HOLES], GREY[HOLES])


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


def test_colour_that_is_lost_is_said(here, capsys):
    inks = Image.fromarray(COLOR).convert("CMYK")
    inks.save("inks.jpg", icc_profile=ink_profile())
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(COLOR).save("tagged.png", icc_profile=profile)
    for photo, output, note in (
        (
            "inks.jpg",
            "a.png",
            "inks.jpg: CMYK was turned into sRGB with its ",
        ),
        (
            "tagged.png",
            "a.bmp",
            "a.bmp: its colours may look different, ",
        ),
        ("tagged.png", "a.jpg", None),
    ):
        assert main(f"restore {photo} --task denoise -o {output}".split()) == 0
        printed = capsys.readouterr().err
        assert printed.startswith(f"note: {note}") if note else printed == ""


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


def test_an_ensemble(here):
    command = "restore grey.png --task denoise --sigma 20 --ensemble -o out.png"
    assert main(command.split()) == 0
    restorer, image = build_restorer("denoise"), GREY.astype(np.float32) / 255
    expected = restorer.restore(image, sigma=20, ensemble=True)
    np.testing.assert_array_equal(read("out.png"), np.rint(expected * 255))


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
        ("--sigma 9", "--sigma does not go with --task photo, but with denoise."),
        ("--scale 2", "--scale does not go with --task photo, but with upscale."),
        ("--sharp", "--sharp does not go with --task photo, but with upscale."),
        ("--mask grey.png", "--task photo, but with inpaint and scratches."),
        ("--task inpaint --mask x --detail 1", "--detail does not go with --task inp"),
        ("--strength 2", "--strength is 2, but must be from 0 to 1."),
        ("--strength -0.1", "--strength is -0.1, but must be from 0 to 1."),
        ("--strength nan", "--strength is nan, but must be from 0 to 1."),
        ("--detail 1.1", "--detail is 1.1, but must be from 0 to 1."),
        ("--task upscale --scale 2 --sharp", "--sharp goes with --scale 4, and not wi"),
        (
            "--task upscale --scale 4 --sharp --weights upscale_x4",
            "--sharp goes with --scale 4, and not with --weights.",
        ),
        ("--weights denoise", "The network in denoise is of no use here: beside the "),
        ("--weights none", "Cannot load none: no .keras file, and no network of tfgen"),
        ("--compare no", "Cannot write no: the name must end in one of .png"),
        ("--compare color.png", "color.png exists; --force overwrites it."),
        ("--compare ./out.png", "OUT, --mask and --compare must be different files."),
        ("--task scratches --mask a.jpg", "a.jpg: a mask must end in .png."),
        ("--task scratches --mask color.png", "color.png exists; --force overwr"),
        ("--task denoise --sigma -1", "sigma is -1, but must be from 0 to 75; the "),
        ("--task denoise --sigma 75.1", "networks were trained for 0 to 55."),
        ("--task denoise --sigma nan", "sigma is nan, but"),
        ("--task inpaint --mask grey.png", "grey.png has only holes: those are the br"),
        ("--task inpaint --mask small.png", "is 9 x 8 pixels, but the photo is 50 x"),
        ("--task inpaint --mask none.png", "Cannot read none.png: No such file"),
        ("--task inpaint --mask empty.png", "Cannot read empty.png: the file is emp"),
    ],
)
def test_options_that_do_not_fit(fails, arguments, expected):
    Image.fromarray(np.maximum(GREY, 128)).save("grey.png")
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
        (
            "grey.png",
            "no/out.png",
            "Cannot write no/out.png: its folder does not exist",
        ),
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
    monkeypatch.setattr(pretrained, "load_pretrained", tfgen.load_pretrained)
    monkeypatch.setattr(pretrained, "FOLDER", Path("none"))
    line = "restore grey.png --task denoise -o out.png"
    fails(line, "No such file or directory: 'none/")


def test_a_folder_that_vanishes(here, capsys, monkeypatch):
    def restore(self, image, **known):
        os.rmdir("new")
        return image

    os.mkdir("new")
    monkeypatch.setattr(tfgen.Restorer, "restore", restore)
    assert main("restore grey.png --task denoise -o new/out.png".split()) == 2
    reason = "Cannot write new/out.png: its folder does not exist."
    assert capsys.readouterr().err == f"error: {reason}\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows allows fewer names")
@pytest.mark.parametrize("number", range(len(NAMES)))
def test_names_that_the_system_allows(here, capsys, number):
    name = NAMES[number]
    try:
        shutil.copy("grey.png", name)
    except OSError:
        pytest.skip("not a name on this disk")
    line = ["restore", f"./{name}", "--task", "denoise", "-o"]
    assert main([*line, f"./{name}"]) == 2
    escaped = screen.shown(name)
    printed = capsys.readouterr().err
    assert (
        printed == f"error: ./{escaped} is the input itself; --force overwrites it.\n"
    )
    assert main([*line, f"./{name}", "--force"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"./{escaped}: 50 x 40 pixels, ")
    assert printed.count("\n") == 1 and (read(name) != GREY).any()
    Path(name).write_bytes(b"")
    assert main([*line, "out.png"]) == 2
    printed = capsys.readouterr().err
    assert printed == f"error: Cannot read ./{escaped}: the file is empty.\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_replacing_changes_the_content_alone(here):
    os.chmod("color.png", 0o640)
    os.symlink("color.png", "link.png")
    line = "restore grey.png --task denoise -o link.png --force"
    assert main(line.split()) == 0
    assert os.readlink("link.png") == "color.png" and read("color.png").ndim == 2
    assert os.stat("color.png").st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("n" * 252 + ".png", "File name too long"),
        ("日" * 84 + ".png", "File name too long"),
        ("./no/out.png", "its folder does not exist"),
        ("grey.png/out.png", "Not a directory"),
        ("folder.png", "it is a folder"),
        ("loop.png", "it is no file"),
        ("./a.xyz", "the name must end in one of .png"),
    ],
)
def test_what_cannot_be_written_is_said_before_the_work(
    fails, monkeypatch, output, reason
):
    monkeypatch.setattr(photo_files, "read_photo", None)
    os.mkdir("folder.png")
    os.symlink("loop.png", "loop.png")
    fails(
        f"restore grey.png --task denoise -o {output} --force",
        f"error: Cannot write {output}: {reason}",
    )


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


@pytest.mark.filterwarnings("ignore:The corruption")
def test_a_network_serves_without_the_corruption_it_was_trained_with(here):
    own = build_restorer("denoise")
    before, own.corruption = own.corruption, lambda images, seed: {"image": images}
    own.save("own.keras")
    own.corruption = before  # the tests share it
    line = "restore grey.png --task denoise --sigma 9 --weights own.keras -o out.png"
    assert main(line.split()) == 0
    assert read("out.png").shape == GREY.shape


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


def test_networks_that_do_not_fit(fails, monkeypatch):
    load, finder = pretrained.load_pretrained, SimpleNamespace(network=None)
    monkeypatch.setitem(pretrained.RECIPES, "scratches", None)
    monkeypatch.setattr(
        pretrained, "load_pretrained", lambda x: finder if x == "scratches" else load(x)
    )
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
        ("photo --weights scratches", "scratches holds no tfgen.Restorer"),
        ("denoise --weights damaged.keras", "Cannot load damaged.keras: "),
        ("denoise --weights none.keras", "Cannot load none.keras: no .keras file"),
        ("denoise --weights grey.png", "Cannot load grey.png: no .keras file"),
    ):
        fails(f"restore grey.png --task {arguments} -o out.png", expected)


def save_own(*parts, sides=(None, None)):
    """Save a network of these layers, one after the other, as own.keras."""
    image = x = keras.Input((*sides, 1), name="image")
    for part in parts:
        x = part(x)
    network = keras.Model({"image": image}, x)
    tfgen.Restorer(network, tfgen.add_gaussian_noise).save("own.keras")


@pytest.mark.filterwarnings("default::UserWarning")
def test_a_photo_that_cannot_be_cut_is_noted(here, capsys):
    layers = keras.layers
    save_own(
        layers.Conv2D(2, 3, padding="same"),
        layers.GroupNormalization(1),
        layers.Conv2D(1, 1),
    )
    Image.fromarray(np.tile(GREY[:8], (1, 11))).save("long.png")
    line = "restore {}.png --task denoise --weights own.keras -o {}_out.png"
    for name, note in (("long", "note: The image is restored whole, "), ("grey", "")):
        assert main(line.format(name, name).split()) == 0
        printed = capsys.readouterr().err
        assert printed.startswith(note) and printed.count("\n") == bool(note)
        assert read(f"{name}_out.png").shape == read(f"{name}.png").shape


@pytest.mark.parametrize(
    ("layer", "sides", "expected"),
    [
        (keras.layers.Conv2D(1, 3), (None, None), "this one makes (126, 254, 1)"),
        (keras.layers.ReLU(), (32, 32), "40 x 50 pixels, but the network takes 32 x"),
    ],
)
def test_networks_for_other_sizes(fails, layer, sides, expected):
    save_own(layer, sides=sides)
    line = "restore grey.png --task denoise --weights own.keras -o out.png"
    fails(line, expected)


def test_code_in_a_file_is_not_run(fails):
    image = keras.layers.Input((None, None, 1), name="image")
    run = 'lambda x: __import__("pathlib").Path("run").touch() or x'
    code = keras.layers.Lambda(eval(run))(image)
    keras.Model({"image": image}, code).save("code.keras")
    os.remove("run")
    line = "restore grey.png --task denoise --weights code.keras -o out.png"
    fails(line, "Cannot load code.keras: it carries code, which could do anything.")
    assert not os.path.exists("run")


# --- What the file says of how the photo was made ---------------------------


def stated(path):
    with Image.open(path) as image:
        return provenance.read_source(provenance.read_xmp(image))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", "algorithmicallyEnhanced"),
        ("--task denoise --sigma 20", "algorithmicallyEnhanced"),
        ("--task upscale --scale 2", "algorithmicallyEnhanced"),
        ("--task upscale --scale 2 --strength 0", "algorithmicallyEnhanced"),
        (
            "--task upscale --scale 4 --sharp",
            "compositeWithTrainedAlgorithmicMedia",
        ),
        ("--task inpaint --mask mask.png", "compositeWithTrainedAlgorithmicMedia"),
        ("--task inpaint --mask mask.png --strength 0", None),
        ("--task denoise --strength 0", None),
    ],
)
@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.webp", "out.tif"])
def test_files_say_what_was_done(here, capsys, options, expected, name):
    make_mask()
    line = f"restore color.png -o {name} --compare both.jpg {options}"
    assert main(line.split()) == 0
    assert stated(name) == stated("both.jpg") == expected
    assert "XMP" not in capsys.readouterr().err


def test_a_file_that_was_generated_stays_so(here):
    image = np.asarray(COLOR, np.float32) / 255
    for name in ("drawn.png", "drawn.jpg", "drawn.webp", "drawn.tif"):
        tfgen.save_image(name, image, source="generated")
        assert main(f"restore {name} -o out.png --compare x.png --force".split()) == 0
        assert stated("out.png") == stated("x.png") == "trainedAlgorithmicMedia"


def test_xmp_is_kept_beside_what_was_done(here, capsys):
    xmp = provenance.add_source(None, "negativeFilm").replace(
        b"</rdf:RDF>",
        b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
        b'dc:format="mine"/></rdf:RDF>',
    )
    Image.fromarray(COLOR).save("film.jpg", xmp=xmp)
    assert main("restore film.jpg -o out.jpg --compare x.jpg".split()) == 0
    assert stated("out.jpg") == stated("x.jpg") == "algorithmicallyEnhanced"
    with Image.open("out.jpg") as out, Image.open("x.jpg") as both:
        assert b'dc:format="mine"' in out.info["xmp"]
        assert b"mine" not in both.info["xmp"]
    assert capsys.readouterr().err == ""


def test_damaged_xmp_is_replaced_and_long_xmp_reduced(here, capsys):
    Image.fromarray(COLOR).save("bad.jpg", xmp=b"<x>")
    assert main("restore bad.jpg -o out.jpg".split()) == 0
    assert stated("out.jpg") == "algorithmicallyEnhanced"
    note = capsys.readouterr().err
    assert note.startswith("note: out.jpg: its XMP is damaged (no element found: ")
    assert note.endswith("); it was replaced\n")
    long = provenance.add_source(None, "print") + b"<!--" + b"x" * 70_000 + b"-->"
    Image.fromarray(COLOR).save("long.webp", xmp=long)
    assert main("restore long.webp -o out.jpg --force".split()) == 0
    assert stated("out.jpg") == "algorithmicallyEnhanced"
    note = "note: out.jpg: JPEG cannot hold the photo's XMP\n"
    assert capsys.readouterr().err == note


def test_a_format_that_holds_no_statement_is_noted(here, capsys):
    assert main("restore color.png -o out.bmp".split()) == 0
    note = "note: out.bmp: BMP cannot hold the statement that it was restored\n"
    assert capsys.readouterr().err == note


def test_a_manifest_that_is_lost_is_noted(here, capsys):
    Path("signed.png").write_bytes(build_signed("PNG"))
    assert main("restore signed.png -o out.png".split()) == 0
    note = "note: signed.png: its C2PA manifest was not kept, as it signs other pixels"
    assert note in capsys.readouterr().err
