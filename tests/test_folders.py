"""`python -m tfgen restore FOLDER` as it is typed, with small untrained networks."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from image_files import ink_profile, png
from PIL import Image
from small_networks import COLOR, GREY, build_restorer

import tfgen
from tfgen import weights as pretrained
from tfgen.__main__ import main
from tfgen.commands import folders, networks, photo_files
from tfgen.writing import replacing

RNG = np.random.default_rng(0)


def run(line):
    """Run `restore` on the folder "in"; `{}` is nothing."""
    return main(["restore", "in", "-o", "out", *line.split()])


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


def tree(folder):
    """The files of a folder and below, without the record of the options."""
    paths = (path for path in Path(folder).rglob("*") if path.is_file())
    names = (path.relative_to(folder).as_posix() for path in paths)
    return sorted(name for name in names if name != folders.RECORD)


@pytest.fixture
def photos(here):
    """A folder "in" of three photos, in two folders below it."""
    os.makedirs("in/a b/ü")
    shutil.copy("color.png", "in/color.png")
    shutil.copy("grey.png", "in/a b/grey.png")
    Image.fromarray(COLOR).save("in/a b/ü/日本.JPG", quality=95)
    return here


# --- Which files become which -----------------------------------------------


def test_a_folder_becomes_the_same_tree(photos, capsys, asked):
    assert run("") == 0
    assert tree("out") == tree("in") == ["a b/grey.png", "a b/ü/日本.JPG", "color.png"]
    assert set(asked) == {"photo"}
    restorer = build_restorer("photo")
    for name in ("color.png", "a b/grey.png"):
        image = read(f"in/{name}").astype(np.float32) / 255
        expected = np.rint(restorer.restore(image) * 255)
        np.testing.assert_array_equal(read(f"out/{name}"), expected)
        assert (read(f"out/{name}") != read(f"in/{name}")).any()
    printed = capsys.readouterr()
    assert printed.out.startswith("out: 3 of 3 photos restored, ")
    assert printed.out.endswith("done before: 0; other files, left out: 0\n")
    assert printed.err == ""


@pytest.mark.parametrize(
    "options",
    [
        "",
        "--strength 0.5 --detail 1 --colour",
        "--task denoise --sigma 9",
        "--task upscale --scale 2 --ensemble",
        "--task upscale --scale 4 --weights upscale_x4_small",
    ],
)
def test_a_folder_is_restored_as_each_photo_alone(photos, options):
    assert run(options) == 0
    for number, name in enumerate(tree("in")):
        output = f"{number}{Path(name).suffix}"
        assert main(["restore", f"in/{name}", "-o", output, *options.split()]) == 0
        assert Path(output).read_bytes() == Path(f"out/{name}").read_bytes()


def test_every_kind_of_file(photos, capsys):
    """Of depth, transparency, inks, a palette, and turned; some become PNG."""
    alpha = RNG.integers(0, 256, GREY.shape, np.uint8)
    color = Image.fromarray(COLOR)
    clear = Image.fromarray(np.dstack([COLOR, alpha]))
    turned, turn = Image.Exif(), {0x0112: 6, 0x010F: "Maker"}
    turned.update(turn)
    Image.fromarray(GREY.astype(np.uint16) * 256).save("in/deep.tif")
    color.convert("CMYK").save("in/inks.jpeg", icc_profile=ink_profile())
    color.quantize(16).save("in/palette.gif")
    color.save("in/turned.jpg", exif=turned)
    clear.save("in/clear.webp", lossless=True)
    clear.save("in/clear2.tga")
    for ending in ("bmp", "ppm", "jp2"):
        color.save(f"in/plain_{ending}.{ending}")
    assert run("") == 0
    names = {Path(name).stem: name for name in tree("out")}
    assert names["palette"] == "palette.png" and names["plain_jp2"] == "plain_jp2.png"
    assert names["deep"] == "deep.tif" and names["plain_bmp"] == "plain_bmp.bmp"
    assert len(names) == len(tree("in")) == 12
    assert read("out/deep.tif").dtype == np.uint16
    np.testing.assert_array_equal(read("out/clear.webp")[..., 3], alpha)
    np.testing.assert_array_equal(read("out/clear2.png")[..., 3], alpha)
    with Image.open("out/turned.jpg") as image:
        assert image.size == (40, 50)
        assert dict(image.getexif()) == {0x010F: "Maker"}
    notes = capsys.readouterr().err.replace("\\", "/").splitlines()
    assert sorted(notes) == [
        "note: in/inks.jpeg: CMYK was turned into sRGB with its colour profile",
        "note: out/plain_bmp.bmp: BMP cannot hold the statement that it was restored",
    ]


def test_what_is_no_photo_is_counted(photos, capsys):
    Path("in/letter.txt").write_text("a")
    Path("in/plot.pdf").write_text("a")
    shutil.copy("color.png", "in/.hidden.png")
    os.mkdir("in/.thumbnails")
    shutil.copy("color.png", "in/.thumbnails/color.png")
    assert run("") == 0
    assert "other files, left out: 3\n" in capsys.readouterr().out
    assert len(tree("out")) == 3


def test_heic_without_its_package_is_no_other_file(photos, capsys):
    """It would be missed: a phone has thousands of them."""
    content = b"\0\0\0\x18ftypheic" + bytes(200)
    Path("in/phone.HEIC").write_bytes(content)
    Image.init()
    reason = "HEIC needs one more package: python -m pip install pillow-heif"
    if ".heic" in Image.registered_extensions():
        reason = "it is not an image"
    for path in ("in", "in/phone.HEIC"):
        status = main(["restore", path, "-o", "out" if path == "in" else "new.png"])
        assert status == (1 if path == "in" else 2)
        error = f"error: Cannot read {Path('in/phone.HEIC')}: {reason}"
        assert error in capsys.readouterr().err


def test_animations_and_pages_are_named_and_left_out(photos, capsys):
    frames = [Image.fromarray(x) for x in (COLOR, 255 - COLOR)]
    for name in ("film.gif", "pages.tif", "two.webp"):
        frames[0].save(f"in/{name}", save_all=True, append_images=frames[1:])
    frames[0].save("in/phone.jpg", "MPO", save_all=True, append_images=frames[1:])
    assert run("") == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("out: 4 of 7 photos restored, ")
    for name in ("film.gif", "pages.tif", "two.webp"):
        line = f"error: Cannot read {Path('in', name)}: it holds 2 pictures"
        assert line in printed.err
    assert len(tree("out")) == 4 and "phone.jpg" in tree("out")


def test_two_photos_that_would_become_one(photos, capsys):
    Image.fromarray(GREY).save("in/color.gif")
    assert run("") == 1
    printed = capsys.readouterr().err
    made = Path("out/color.png"), Path("in/color.png"), Path("in/color.gif")
    assert printed == f"error: {made[2]}: {made[0]} is made of {made[1]}; rename " + (
        "color.gif.\n"
    )
    assert read("out/color.png").shape == COLOR.shape


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_are_read_but_not_followed_in_circles(photos, capsys):
    os.symlink("..", "in/a b/up")
    os.symlink("../../grey.png", "in/a b/linked.png")
    os.symlink("nothing.png", "in/broken.png")
    os.symlink("loop.png", "in/loop.png")
    os.mkfifo("in/pipe.png")  # would wait for ever
    assert run("") == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("out: 4 of 6 photos restored, ")
    assert "left out: 2\n" in printed.out
    assert "in/broken.png: No such file" in printed.err
    assert "in/loop.png: Too many levels of symbolic links" in printed.err
    assert "a b/linked.png" in tree("out") and not os.path.islink("out/a b/linked.png")


def test_a_folder_that_cannot_be_listed(photos, capsys, monkeypatch):
    def scan(path):
        if os.fspath(path).endswith("b"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return original(path)

    original = os.scandir
    monkeypatch.setattr(os, "scandir", scan)
    assert run("") == 1
    reason = f"error: Cannot read {Path('in', 'a b')}: Permission denied.\n"
    assert capsys.readouterr().err == reason


# --- Masks and comparisons --------------------------------------------------


@pytest.fixture
def finder(monkeypatch):
    """Finds what is nearly white."""

    def find(image, verbose):
        return image.min(axis=-1) > 0.98

    finder = SimpleNamespace(find=find)
    monkeypatch.setattr(networks, "load_finder", lambda: finder)


def scratch(name):
    image = read(name).copy()
    image[10:13, 5:40] = 255
    Image.fromarray(image).save(name)


def test_found_masks_are_corrected_and_given_back(photos, finder, capsys):
    scratch("in/color.png")
    assert run("--task scratches --mask masks --compare both") == 0
    assert tree("masks") == ["a b/grey.png", "a b/ü/日本.png", "color.png"]
    assert tree("both") == ["a b/grey.jpg", "a b/ü/日本.jpg", "color.jpg"]
    mask = read("masks/color.png")
    assert (mask[10:13, 5:40] == 255).all() and set(np.unique(mask)) == {0, 255}
    assert not read("masks/a b/grey.png").any()
    np.testing.assert_array_equal(read("out/a b/grey.png"), GREY)

    corrected = np.where(np.arange(50) < 20, mask, 0)  # the right half is no scratch
    Image.fromarray(corrected).save("masks/color.png")
    command = "restore in -o again --task inpaint --mask masks"
    assert main(command.split()) == 0
    filled = read("again/color.png") != read("in/color.png")
    assert filled[10:13, 5:20].mean() > 0.5 and not filled[:, 20:].any()
    assert "masks/a b/grey.png: it has no holes" in capsys.readouterr().err


def test_a_corrected_mask_is_not_overwritten(photos, finder, capsys):
    scratch("in/color.png")
    line = "--task scratches --mask masks"
    assert run(line) == 0
    Image.fromarray(GREY * 0).save("masks/color.png")
    os.utime("in/color.png")  # newer than all that was made of it
    assert run(line) == 1
    path = Path("masks/color.png")
    reason = f"error: {Path('in/color.png')}: {path} exists; --force overwrites it.\n"
    assert capsys.readouterr().err == reason and not read(path).any()
    assert run(f"{line} --force") == 0
    assert read(path).any()


def test_a_mask_that_is_newer_fills_anew(photos):
    mask = np.zeros(GREY.shape, np.uint8)
    mask[5:9, 5:9] = 255
    for name in tree("in"):
        path = Path("masks", name).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(path)
    line = "--task inpaint --mask masks"
    assert run(line) == 0
    before = {name: os.stat(f"out/{name}").st_mtime_ns for name in tree("out")}
    Image.fromarray(mask.T[:40, :40]).resize((50, 40)).save("masks/color.png")
    assert run(line) == 0
    changed = [x for x in before if os.stat(f"out/{x}").st_mtime_ns != before[x]]
    assert changed == ["color.png"]


# --- Runs that end early, and the next one ----------------------------------


def test_what_is_done_is_not_done_again(photos, capsys, asked):
    assert run("") == 0
    before = {name: os.stat(f"out/{name}").st_mtime_ns for name in tree("out")}
    asked.clear()
    assert run("") == 0
    assert not asked and "0 of 3 photos restored" in capsys.readouterr().out
    os.remove("out/color.png")
    Path("out/a b/grey.png").write_bytes(b"")  # not whole
    os.utime("in/a b/ü/日本.JPG")
    assert run("") == 0
    assert "3 of 3 photos restored" in capsys.readouterr().out
    shutil.copy("grey.png", "in/new.png")
    assert run("") == 0
    assert "1 of 4 photos restored" in capsys.readouterr().out
    assert run("--force") == 0
    after = {name: os.stat(f"out/{name}").st_mtime_ns for name in tree("out")}
    assert all(after[name] > before[name] for name in before)


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ("--strength 0.5", "strength 1.0, not 0.5"),
        ("--task denoise", "task photo, not denoise"),
        ("--colour", "colour False, not True"),
        ("--weights own.keras", "weights None, not "),
    ],
)
def test_other_options_are_not_mixed_in(fails, photos, options, difference):
    build_restorer("photo").save("own.keras")
    assert run("") == 0
    line = f"restore in -o out {options}"
    fails(line, f"The photos in out were made with {difference}")
    assert run(f"{options} --force") == 0
    assert run(options) == 0
    assert json.loads(Path("out", folders.RECORD).read_bytes())["task"]


def test_photos_of_the_same_names_from_elsewhere_are_others(fails, photos):
    assert run("") == 0
    os.mkdir("elsewhere")
    Image.fromarray(255 - COLOR).save("elsewhere/color.png")
    os.utime("elsewhere/color.png", (0, 0))  # older than what is in "out"
    line = f"not {os.path.realpath('elsewhere')}. Take another folder"
    fails("restore elsewhere -o out", line)
    assert main(["restore", os.path.join("in", "..", "in"), "-o", "out"]) == 0
    assert main("restore elsewhere -o out --force".split()) == 0
    assert read("out/color.png").shape == COLOR.shape


def test_other_weights_of_the_same_name_are_others(fails, photos):
    build_restorer("photo").save("own.keras")
    assert run("--weights own.keras") == 0
    build_restorer("denoise_color").save("own.keras")
    line = "restore in -o out --weights own.keras"
    fails(line, "The photos in out were made with weights ")


START = "-m tfgen restore in -o out --weights own.keras"


def test_a_killed_run_leaves_whole_photos_and_is_gone_on_with(here):
    build_restorer("photo").save("own.keras")
    os.mkdir("in")
    for number in range(150):
        Image.fromarray(np.tile(COLOR, (4, 4, 1)) - number).save(f"in/{number}.png")
    command = [sys.executable, *START.split()]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(Path("out").glob("[0-9]*.png")):
        time.sleep(0.01)
    process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    assert process.wait() != 0
    done = [path.name for path in Path("out").glob("[0-9]*")]
    assert 0 < len(done) < 150
    times = {name: os.stat(f"out/{name}").st_mtime_ns for name in done}
    for name in done:
        assert read(f"out/{name}").shape == (160, 200, 3)
    Path("out", f".{'0' * 32}.part").write_bytes(b"half a photo")
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert f"out: {150 - len(done)} of 150 photos restored" in result.stdout
    assert tree("out") == tree("in")
    assert times == {name: os.stat(f"out/{name}").st_mtime_ns for name in done}


def test_what_another_run_is_writing_is_let_be(photos, monkeypatch):
    def restore(self, image, **known):
        if writing:
            other.__exit__(None, None, None)
            writing.clear()
        return original(self, image, **known)

    os.mkdir("out")
    other, original = replacing("out/other.png"), tfgen.Restorer.restore
    writing = [other.__enter__()]
    monkeypatch.setattr(tfgen.Restorer, "restore", restore)
    assert run("") == 0
    assert len(tree("out")) == 4 and "other.png" in tree("out")


def test_an_interruption_leaves_whole_photos(photos, capsys, monkeypatch):
    def restore(self, image, **known):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self, image, **known)

    calls, original = [], tfgen.Restorer.restore
    monkeypatch.setattr(tfgen.Restorer, "restore", restore)
    assert run("") == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert len(tree("out")) == 2 and all(read(f"out/{x}").any() for x in tree("out"))
    assert run("") == 0
    assert "out: 1 of 3 photos restored" in capsys.readouterr().out


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_ends_the_run(photos, capsys, monkeypatch, code):
    def save(self, file, *arguments, **options):
        if len(tree("out")) > 2:  # with the one that is begun
            file.write(b"half a photo")
            raise OSError(code, "No space left on device")
        return original(self, file, *arguments, **options)

    original = Image.Image.save
    for number in range(20):
        shutil.copy("grey.png", f"in/{number}.png")
    monkeypatch.setattr(folders, "AHEAD", 1)
    monkeypatch.setattr(Image.Image, "save", save)
    assert run("") == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    assert printed.err.startswith("error: Cannot write ")
    assert ": No space left on device. Make room, and give" in printed.err
    assert len(tree("out")) == 2
    monkeypatch.setattr(Image.Image, "save", original)
    assert run("") == 0
    assert tree("out") == tree("in")


def test_files_that_cannot_be_written_are_listed(photos, capsys, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: "grey" not in f"{path}")
    shutil.copy("grey.png", "in/grey.png")
    os.makedirs("out/color.png")
    Path("out/a b").write_text("no folder")
    Path("out/grey.png").write_text("precious")
    assert run("--force") == 2
    printed = capsys.readouterr().err
    assert printed.count("error: ") == 4
    assert f"Cannot write {Path('out/color.png')}: it is a folder." in printed
    assert f"Cannot write {Path('out/grey.png')}: it is write-protected." in printed
    assert Path("out/grey.png").read_text() == "precious"
    assert Path("out/a b").read_text() == "no folder"


# --- A thousand files -------------------------------------------------------


def test_a_thousand_photos_with_damaged_ones_among_them(here, capsys, monkeypatch):
    monkeypatch.setattr(photo_files, "MAX_PIXELS", 10_000)
    damaged = {
        "cut": (COLOR, lambda content: content[:700], "image file is truncated"),
        "empty": (COLOR, lambda content: b"", "the file is empty"),
        "text": (COLOR, lambda content: b"no image", "it is not an image"),
        "flipped": (COLOR, lambda x: x[:99] + b"\0\0\0\0" + x[103:], ""),
        "bomb": (COLOR, lambda content: png(40_000, 40_000, 0, b""), "million pixels"),
    }
    expected = {}
    for number in range(1000):
        folder = Path("in", f"roll {number // 100}")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{number}.png"
        side = 8 + number % 3
        Image.fromarray(COLOR[:side, :9] - number % 256).save(path)
        if number % 97 == 5:
            kind = [*damaged][len(expected) % len(damaged)]
            image, damage, expected[path] = damaged[kind]
            Image.fromarray(image).save(path)
            path.write_bytes(damage(path.read_bytes()))
    assert run("") == 1
    printed = capsys.readouterr()
    good = 1000 - len(expected)
    assert printed.out.startswith(f"out: {good} of 1000 photos restored, ")
    lines = [x for x in printed.err.splitlines() if x.startswith("error: ")]
    for path, reason in expected.items():
        (line,) = [line for line in lines if f"Cannot read {path}: " in line]
        assert reason in line
    assert len(lines) == len(expected)
    assert len(tree("out")) == good
    original = {Path(name) for name in tree("in")}
    assert original - {Path(name) for name in tree("out")} == {
        path.relative_to("in") for path in expected
    }


def test_no_more_than_a_few_photos_are_in_memory(here, monkeypatch):
    """However slow the network is, and then the disk."""

    def read_photo(path, single=False):
        counts["read"] += 1
        check()
        return original[0](path, single)

    def write_photo(path, photo, source):
        time.sleep(0.02)
        original[1](path, photo, source)
        counts["written"] += 1

    def check():
        most[0] = max(most[0], counts["read"] - counts["written"])

    counts, most = {"read": 0, "written": 0}, [0]
    original = photo_files.read_photo, photo_files.write_photo
    monkeypatch.setattr(photo_files, "read_photo", read_photo)
    monkeypatch.setattr(photo_files, "write_photo", write_photo)
    os.mkdir("in")
    for number in range(30):
        shutil.copy("grey.png", f"in/{number}.png")
    assert run("") == 0
    assert counts == {"read": 30, "written": 30}
    assert most[0] <= 3 * (folders.AHEAD + 1)


def test_reading_and_writing_go_on_beside_the_network(here, monkeypatch):
    def slow(name, function):
        def run(*arguments, **options):
            time.sleep(0.05)
            threads.setdefault(name, set()).add(threading.get_ident())
            return function(*arguments, **options)

        return run

    threads = {}
    for name in ("read_photo", "write_photo"):
        monkeypatch.setattr(photo_files, name, slow(name, getattr(photo_files, name)))
    monkeypatch.setattr(
        tfgen.Restorer, "restore", slow("restore", lambda self, image, **_: image)
    )
    os.mkdir("in")
    for number in range(20):
        shutil.copy("grey.png", f"in/{number}.png")
    start = time.perf_counter()
    assert run("") == 0
    seconds = time.perf_counter() - start
    assert seconds < 20 * 0.05 * 2, "one after the other they take three times as long"
    main_thread = threading.get_ident()
    assert threads["restore"] == {main_thread}
    assert main_thread not in threads["read_photo"] | threads["write_photo"]


# --- Progress ---------------------------------------------------------------


@pytest.mark.parametrize("screen", [True, False])
def test_progress(capsys, monkeypatch, screen):
    times = iter([0.0, 0.5, 14.0, 24.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(times))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: screen, raising=False)
    progress = folders.Progress(3)
    for _ in range(3):
        progress.step()
    printed = capsys.readouterr().err
    if screen:
        first, second, last, rest = printed.split("\r")
        assert first.strip() == "1 of 3, 2.0 photos/s, 0:00:01 left"
        assert second.strip() == "2 of 3, 7.0 s a photo, 0:00:07 left"
        assert last.strip() == rest == ""
    else:
        assert printed == "2 of 3, 7.0 s a photo, 0:00:07 left\n"


# --- Bad input --------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("none -o out", "Cannot read none: No such file or directory."),
        ("empty -o out", "There is no photo in empty; other files there: 1."),
        ("in -o in", "in and in are the same folder; take another."),
        ("in -o in/out", "Of in and in/out, one lies in the other; part them."),
        ("in/below -o in", "Of in/below and in, one lies in the other; part them."),
        ("in -o link", "in and link are the same folder"),
        ("in -o grey.png", "in is a folder, so grey.png must be one too."),
        ("in -o new.png", "in is a folder, so new.png must be one too."),
        ("in -o out --compare both.jpg", "in is a folder, so both.jpg must be one too"),
        ("in -o out --compare out", "out and out are the same folder"),
        ("in -o out --compare in/x", "Of in and in/x, one lies in the other"),
        ("in -o out --task inpaint", "--task inpaint needs --mask."),
        ("in -o out --task inpaint --mask no", "in is a folder, so no must be one too"),
        ("in -o full", "full/color.png exists; --force overwrites what is there."),
        ("in -o odd", "odd/.tfgen-restore.json is damaged; --force makes all anew."),
        ("in -o out --weights none.keras", "Cannot load none.keras: no .keras file"),
        ("in -o out --strength 2", "--strength is 2, but must be from 0 to 1."),
    ],
)
def test_what_does_not_fit(fails, line, expected):
    os.makedirs("in/below")
    os.symlink("in", "link")
    for folder in ("empty", "full", "odd"):
        os.mkdir(folder)
    for folder in ("in", "in/below", "full"):
        shutil.copy("color.png", f"{folder}/color.png")
    Path("empty/letter.txt").write_text("a")
    Path("odd", folders.RECORD).write_text("half of it")
    fails(f"restore {line}", expected)


def test_missing_weights_are_said_once(fails, photos, monkeypatch):
    monkeypatch.setattr(pretrained, "load_pretrained", tfgen.load_pretrained)
    monkeypatch.setattr(pretrained, "FOLDER", Path("none"))
    fails("restore in -o out", "No such file or directory: 'none")
