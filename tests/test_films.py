"""Films read and restored, tiny ones, with small untrained networks."""

import errno
import os
import signal
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from film_files import SIZE, make_frames, read_packets, read_times, write_film
from PIL import Image
from small_networks import COLOR

from tfgen.__main__ import main
from tfgen.commands import films as command
from tfgen.commands import folders, networks
from tfgen.data import films

COUNT = 12


@pytest.fixture
def film(here):
    write_film(Path("film.mp4"), make_frames(COUNT), sound=0.5)
    return here


def restore(line="film.mp4 -o out.mp4", *more):
    return main(["restore", *line.split(), *more])


def read_all(path):
    return np.stack(list(films.read_film(path)))


def planes(path):
    """The first frame's planes as numbers."""
    with av.open(str(path)) as film:
        frame = next(film.decode(video=0))
        kind = np.uint16 if films.count_bits(frame) > 8 else np.uint8
        size = np.dtype(kind).itemsize
        return frame, [
            np.frombuffer(plane, kind).reshape(plane.height, plane.line_size // size)[
                :, : plane.width
            ]
            for plane in frame.planes
        ]


# --- Reading ----------------------------------------------------------------


def test_frames_are_read_one_by_one(film):
    images = read_all("film.mp4")
    assert images.dtype == np.float32 and images.shape == (COUNT, 24, 32, 3)
    assert abs(images * 255 - make_frames(COUNT)).mean() < 4
    np.testing.assert_array_equal(
        list(films.read_film(Path("film.mp4"), first=3, count=2)), images[3:5]
    )
    assert len(list(films.read_film("film.mp4", first=10, count=9))) == 2


@pytest.mark.parametrize(
    ("space", "numbers", "color"),
    [  # of BT.709 and BT.601, limited range
        (1, (63, 102, 240), (255, 0, 0)),
        (1, (173, 42, 26), (0, 255, 0)),
        (5, (81, 90, 240), (255, 0, 0)),
        (6, (145, 54, 34), (0, 255, 0)),
        (2, (41, 240, 110), (0, 0, 255)),  # of a small picture
    ],
)
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv444p", "yuv420p10le", "yuv444p10le"])
def test_colours_are_those_of_the_standard(space, numbers, color, pixels):
    frame = av.VideoFrame(32, 24, pixels)
    frame.colorspace, frame.color_range = space, 1
    deep = "10" in pixels
    for plane, number in zip(frame.planes, numbers, strict=True):
        level = np.uint16(4 * number) if deep else np.uint8(number)
        plane.update(np.full(plane.buffer_size // level.itemsize, level))
    image = films.to_image(frame)
    assert abs(image * 255 - color).max() < 3
    again = films.to_frame(image, pixels, films.find_colours(frame))
    for plane, number in zip(again.planes, numbers, strict=True):
        level = np.frombuffer(plane, np.uint16 if deep else np.uint8)[0]
        assert abs(level / (4 if deep else 1) - number) < 1.1


def write_ramp(path, full, space, pixels="yuv420p"):
    """A grey film from black to white in steps of 16 pixels; its numbers."""
    scale = 4 if "10" in pixels else 1
    ends = (0, 256 * scale - 1) if full else (16 * scale, 235 * scale)
    ramp = np.rint(np.linspace(*ends, 256)).astype(np.uint16 if scale > 1 else np.uint8)
    frames = []
    for _ in range(3):
        frame = av.VideoFrame(256, 16, pixels)
        for plane in frame.planes:
            columns = plane.line_size // ramp.itemsize
            values = np.full((plane.height, columns), 128 * scale, ramp.dtype)
            if plane is frame.planes[0] or plane.width == 256:
                values[:, :256] = ramp
            plane.update(values)
        frames.append(frame)

    def tag(frame):
        frame.color_range, frame.colorspace = 2 if full else 1, space

    def prepare(stream):
        context = stream.codec_context
        context.color_range, context.colorspace = 2 if full else 1, space
        context.color_primaries = context.color_trc = 1

    write_film(path, frames, pixels=pixels, prepare=prepare, tag=tag)
    return ramp / scale


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("space", [1, 5])
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv420p10le"])
def test_a_grey_ramp_stays_what_it_is(here, full, space, pixels):
    ramp = write_ramp(Path("ramp.mp4"), full, space, pixels)
    image = next(films.read_film("ramp.mp4"))
    assert abs(image - np.linspace(0, 1, 256)[:, None]).max() < 0.012
    assert restore("ramp.mp4 -o out.mp4 --strength 0") == 0
    frame, (luma, *chroma) = planes("out.mp4")
    scale = 4 if "10" in pixels else 1
    assert frame.format.name.replace("yuvj", "yuv") == pixels
    assert abs(luma / scale - ramp).max() <= 2
    assert all(abs(plane / scale - 128).max() <= 1 for plane in chroma)
    assert (frame.color_range, frame.colorspace) == (2 if full else 1, space)
    assert (frame.color_primaries, frame.color_trc) == (1, 1)


def test_films_of_rgb_and_of_grey(here):
    frames = make_frames(3)
    write_film(Path("rgb.mkv"), frames, codec="ffv1", pixels="bgr0")
    np.testing.assert_allclose(read_all("rgb.mkv"), frames / 255, atol=1e-3)
    write_film(Path("grey.mkv"), frames, codec="ffv1", pixels="gray")
    luma = np.repeat(frames @ [0.299, 0.587, 0.114], 3).reshape(frames.shape) / 255
    np.testing.assert_allclose(read_all("grey.mkv"), luma, atol=0.01)
    for name in ("rgb", "grey"):
        assert restore(f"{name}.mkv -o {name}.mp4 --strength 0") == 0
        before, after = read_all(f"{name}.mkv"), read_all(f"{name}.mp4")
        assert abs(before - after).mean() * 255 < 5  # noise, compressed
        assert abs((before - after).mean(axis=(0, 1, 2))).max() * 255 < 1


# --- What is kept -----------------------------------------------------------


def test_a_film_is_restored(film, capsys, asked):
    assert restore("film.mp4 --task denoise --sigma 20 -o out.mp4") == 0
    assert asked == ["denoise_color"]
    before, after = read_all("film.mp4"), read_all("out.mp4")
    assert before.shape == after.shape
    assert abs(before - after).mean() > 0.005
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.startswith("out.mp4: 12 frames of 32 x 24 pixels, ")
    assert printed.out.endswith(" s, sigma 20.0\n") and printed.out.count("\n") == 1


@pytest.mark.parametrize("task", ["photo", "denoise"])
def test_the_noise_is_estimated_once(film, monkeypatch, capsys, task):
    told, run = set(), networks.run_network
    levels = iter([10, 30, 20, 90, 0])  # the median is 20

    def watch(*args, sigma, **more):
        told.add(sigma)
        return run(*args, sigma=sigma, **more)

    monkeypatch.setattr(networks, "run_network", watch)
    monkeypatch.setattr(command, "estimate_noise", lambda image: [next(levels)])
    monkeypatch.setattr(
        "tfgen.film.average", lambda frame, once, *_: (once, np.ones(1))
    )
    assert restore(f"film.mp4 -o out.mp4 --task {task}") == 0
    assert told == {20.0} and next(levels, None) is None
    expected = ", sigma 20.0 (estimated from 5 frames)\n"
    assert capsys.readouterr().out.endswith(expected)


def test_less_of_a_restoration(film, monkeypatch):
    """What is mixed with the film is not what helps to restore the next frames."""
    written, to_frame = [], films.to_frame

    def write(image, *args):
        written.append(image)
        return to_frame(image, *args)

    monkeypatch.setattr(films, "to_frame", write)
    for strength in (1, 0.5):
        line = f"film.mp4 -o out.mp4 --force --task denoise --strength {strength}"
        assert restore(line) == 0
    full, half = np.split(np.stack(written), 2)
    before = read_all("film.mp4")
    assert abs(full - before).mean() > 0.005
    np.testing.assert_allclose(half, (full + before) / 2, atol=1e-4)


STAMPS = [0, 1001, 2002, 5000, 5050, 9000, 9100, 30000, 30050, 30100, 40000, 90000]


@pytest.mark.parametrize(
    ("name", "out"),
    [("a.mp4", "b.mp4"), ("a.mov", "b.mov"), ("a.mkv", "b.mkv"), ("a.mkv", "b.mp4")],
)
@pytest.mark.parametrize("base", [Fraction(1, 30000), Fraction(1001, 30000)])
def test_time_stamps_are_kept(here, name, out, base):
    write_film(Path(name), make_frames(COUNT), stamps=STAMPS, base=base)
    assert restore(f"{name} -o {out}") == 0
    before, after = read_times(name), read_times(out)
    assert [time for time, _ in after] == [time for time, _ in before]
    assert len({time for time, _ in after}) == COUNT


@pytest.mark.parametrize("ending", ["mp4", "mov"])
def test_the_last_picture_lasts_as_long(here, ending):
    def prepare(stream):
        stream.codec_context.options = {"bf": "0"}
        stream.codec_context.flags |= command.FRAME_DURATION

    def tag(frame):
        frame.duration = 50 if frame.pts == COUNT - 1 else 1

    name = f"a.{ending}"
    write_film(Path(name), make_frames(COUNT), prepare=prepare, tag=tag)
    assert restore(f"{name} -o b.{ending}") == 0
    before, after = read_times(name), read_times(f"b.{ending}")
    assert before == after and after[-1] == (Fraction(11, 25), 2)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov"])
def test_sound_and_subtitles_are_copied(here, ending):
    """Also those that go on after the pictures."""
    texts = [(100, 300, "one"), (2000, 1000, "two ü")]
    write_film(Path(f"a.{ending}"), make_frames(COUNT), sound=1.5, subtitles=texts)
    assert restore(f"a.{ending} -o b.{ending}") == 0
    for kind in ("audio", "subtitles"):
        before, after = (
            [packet for packet in read_packets(name, kind) if packet[2] != b"\0\0"]
            for name in (f"a.{ending}", f"b.{ending}")
        )
        assert len(before) > 1 and after == before
    with av.open(f"b.{ending}") as film:  # in the order of time, as far as it can be
        packets = [p for p in film.demux() if p.size and p.stream.type != "subtitle"]
        kinds = [packet.stream.type for packet in packets]
    assert kinds.index("audio") < COUNT and kinds.index("video") < COUNT


def test_two_subtitles_that_begin_together(here, capsys):
    texts = [(100, 300, "one"), (100, 500, "two"), (400, 100, "three")]
    write_film(Path("a.mkv"), make_frames(COUNT), subtitles=texts)
    before = read_packets("a.mkv", "subtitles")
    assert restore("a.mkv -o b.mkv") == 0
    assert read_packets("b.mkv", "subtitles") == before
    assert capsys.readouterr().err == ""


def test_a_film_that_does_not_begin_at_0(here, capsys):
    """As a broadcast does not: its time stamps say when it was sent."""
    write_film(Path("a.ts"), make_frames(COUNT), stamps=range(100, 100 + COUNT))
    assert min(time for time, _ in read_times("a.ts")) > 3
    assert restore("a.ts -o a.mp4") == 0
    times = [float(time) for time, _ in read_times("a.mp4")]
    np.testing.assert_allclose(times, np.arange(COUNT) / 25, atol=1e-3)
    assert capsys.readouterr().err == ""


def test_what_the_film_tells_of_itself_is_kept(here):
    write_film(Path("a.mkv"), make_frames(3), sound=0.2)
    chapter = {"id": 1, "start": 0, "end": 60, "time_base": Fraction(1, 1000)}
    with av.open("a.mkv") as source, av.open("b.mkv", "w") as target:
        copies = [target.add_stream_from_template(s) for s in source.streams]
        target.metadata["title"] = "Frühling"
        copies[1].metadata["language"] = "fre"
        target.set_chapters([{**chapter, "metadata": {"title": "One"}}])
        for packet in source.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                target.mux(packet)
    assert restore("b.mkv -o c.mkv") == 0
    with av.open("c.mkv") as film:
        assert film.metadata["title"] == "Frühling"
        assert film.streams.audio[0].metadata["language"] == "fre"
        assert film.chapters()[0]["metadata"]["title"] == "One"


def shuffle_sound(monkeypatch, change):
    """Change the packets of the sound, numbered, on their way."""
    frames, seen = films.Film.frames, []

    def watch(self):
        for frame in frames(self):
            for packet in self.others:
                if not any(packet is other for other in seen):
                    change(len(seen), packet)
                    seen.append(packet)
            yield frame

    monkeypatch.setattr(films.Film, "frames", watch)


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize("missing", [False, True])
def test_sound_without_good_time_stamps(film, capsys, monkeypatch, ending, missing):
    before = read_packets("film.mp4", "audio")

    def change(index, packet):
        if index in (3, 4):
            packet.dts = packet.pts = None if missing else 1024

    shuffle_sound(monkeypatch, change)
    assert restore(f"film.mp4 -o out.{ending} --task denoise --sigma 5") == 0
    after = read_packets(f"out.{ending}", "audio")
    assert [raw for *_, raw in after] == [raw for *_, raw in before]
    for (one, *_), (other, *_) in zip(before, after, strict=True):
        assert abs(one - other) < 0.03
    expected = "note: film.mp4: time stamps of its audio were missing or went back\n"
    assert capsys.readouterr().err == expected


def test_pictures_without_time_stamps(here, capsys):
    write_film(Path("a.h264"), make_frames(COUNT))
    assert restore("a.h264 -o b.mp4") == 0
    times = [time for time, _ in read_times("b.mp4")]
    steps = np.diff(times)
    assert len(times) == COUNT and (steps == steps[0]).all()
    assert "time stamps of its pictures were missing" in capsys.readouterr().err


@pytest.mark.parametrize("angle", [0, 90, 180, -90])
@pytest.mark.parametrize("mirrored", [False, True])
def test_films_are_turned_upright(here, angle, mirrored):
    def prepare(stream):
        stream.set_display_rotation(angle, hflip=mirrored)
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    quadrants = np.zeros((1, 24, 32, 3), np.uint8)
    quadrants[0, :12, 16:], quadrants[0, 12:, :16] = 90, 180
    quadrants[0, 12:, 16:] = 250
    write_film(Path("a.mp4"), quadrants, prepare=prepare)
    assert restore("a.mp4 -o b.mp4 --strength 0") == 0
    image = read_all("a.mp4")[0]
    assert image.shape == ((24, 32, 3) if angle % 180 == 0 else (32, 24, 3))
    assert abs(image - read_all("b.mp4")[0]).mean() < 0.02
    corners = image[[2, 2, -3, -3], [2, -3, 2, -3], 0] * 255
    turned = quadrants[0, ..., 0]
    turned = np.rot90(turned, angle // 90)  # counter-clockwise; mirrored afterwards
    turned = turned[:, ::-1] if mirrored else turned
    np.testing.assert_allclose(corners, turned[[2, 2, -3, -3], [2, -3, 2, -3]], atol=12)
    with av.open("b.mp4") as film:
        frame, stream = next(film.decode(video=0)), film.streams.video[0]
        assert frame.rotation == 0
        ratio = Fraction(4, 3) if angle % 180 == 0 else Fraction(3, 4)
        assert stream.sample_aspect_ratio == ratio


# --- Kinds of films ---------------------------------------------------------


@pytest.mark.parametrize("ending", ["mp4", "mkv", "webm"])
def test_odd_sides(here, capsys, ending):
    write_film(Path("odd.mkv"), make_frames(5, (33, 25)), pixels="yuv444p")
    assert restore(f"odd.mkv -o out.{ending}") == 0
    assert read_all(f"out.{ending}").shape == (5, 25, 33, 3)
    assert "note: odd.mkv: its odd sides need colours" in capsys.readouterr().err


def test_deep_films(here, capsys):
    write_film(Path("deep.mkv"), make_frames(3), pixels="yuv420p10le")
    assert restore("deep.mkv -o deep.mp4") == 0
    assert planes("deep.mp4")[0].format.name == "yuv420p10le"
    assert capsys.readouterr().err == ""
    assert restore("deep.mkv -o deep.webm") == 0
    assert planes("deep.webm")[0].format.name == "yuv420p"
    assert capsys.readouterr().err == "note: deep.mkv: its 10 bits became 8\n"


def test_interlaced_films(here, capsys):
    def prepare(stream):
        stream.codec_context.options = {"x264-params": "tff=1"}

    write_film(Path("a.mkv"), make_frames(3), prepare=prepare)
    assert restore("a.mkv -o b.mkv") == 0
    printed = capsys.readouterr().err
    assert printed.startswith("note: a.mkv: it is interlaced; ")
    assert printed.count("\n") == 1


def test_transparent_films(here, capsys):
    write_film(Path("a.mov"), make_frames(3), codec="png", pixels="rgba")
    assert restore("a.mov -o b.mp4") == 0
    assert capsys.readouterr().err == "note: a.mov: its transparency is lost\n"
    Image.fromarray(COLOR).save(
        "a.gif", save_all=True, append_images=[Image.fromarray(255 - COLOR)]
    )
    assert restore("a.gif -o gif.mp4") == 0
    assert read_all("gif.mp4").shape == (2, *COLOR.shape)


def test_pictures_that_change_their_size(film, capsys):
    for size, name in ((SIZE, "a.ts"), ((48, 32), "b.ts")):
        write_film(Path(name), make_frames(5, size))
    Path("c.ts").write_bytes(Path("a.ts").read_bytes() + Path("b.ts").read_bytes())
    assert restore("c.ts -o c.mp4") in (0, 1)
    assert len(read_all("c.mp4")) >= 9
    assert read_all("c.mp4").shape[1:] == (24, 32, 3)
    assert "all got the first one's" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["mp4", "m4v", "mkv", "webm"])  # .mov: no Opus
def test_kinds_of_files(here, ending):
    write_film(Path("a.webm"), make_frames(5), codec="libvpx-vp9", sound=0.3)
    assert restore(f"a.webm -o b.{ending}") == 0
    assert len(read_all(f"b.{ending}")) == 5
    assert len(read_packets(f"b.{ending}", "audio")) > 5


def test_sound_that_a_file_cannot_hold(film, fails):
    fails(
        "restore film.mp4 -o out.webm",
        "Cannot write out.webm: such a file cannot hold the sound of film.mp4 (aac); "
        ".mkv can.",
    )


def test_subtitles_that_a_file_cannot_hold(here, capsys):
    write_film(Path("a.mkv"), make_frames(3), subtitles=[(0, 100, "one")])
    assert restore("a.mkv -o b.mp4") == 0
    printed = capsys.readouterr().err
    assert printed == "note: a.mkv: left out: subtitle (srt)\n"


@pytest.mark.parametrize("name", ["a b.mp4", "100%03d.mp4", "日本 ü.mp4", "a:b.mp4"])
def test_names(film, name):
    if os.name == "nt" and ":" in name:
        pytest.skip("Windows knows no such name")
    os.rename("film.mp4", name)
    assert main(["restore", name, "-o", f"out {name}"]) == 0
    assert len(read_all(f"out {name}")) == COUNT


# --- What is refused --------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--task inpaint --mask grey.png", "--task inpaint is for photos; films are"),
        ("--task upscale --scale 2", "--task upscale is for photos"),
        ("--task scratches", "--task scratches is for photos"),
        ("--mask grey.png", "--mask does not go with --task photo"),
        ("--scale 2", "--scale does not go with --task photo"),
        ("--compare both.png", "--compare is for photos, not for films"),
        ("--colour", "--colour is for photos, not for films"),
        ("--weights no.keras", "Cannot load no.keras"),
        ("--task denoise --sigma 99", "sigma is 99"),
        ("-o out.gif", "the name of a film must end in one of .mp4 .m4v .mov"),
        ("-o out.png", "Cannot write out.png: the name of a film must end in"),
        ("-o out", "Cannot write out: the name of a film"),
        ("-o nowhere/out.mp4", "Cannot write nowhere/out.mp4: its folder does not"),
        ("-o film.mp4", "film.mp4 is the input itself; --force overwrites it."),
    ],
)
def test_what_cannot_be_done_is_told_before_the_work(
    film, fails, monkeypatch, options, expected
):
    monkeypatch.setattr(command, "restore_film", None)
    fails(f"restore film.mp4 -o out.mp4 {options}", expected)


def test_the_package_is_asked_for(film, fails, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    expected = "Films need one more package: python -m pip install av"
    fails("restore film.mp4 -o out.mp4", expected)
    with pytest.raises(ValueError, match="one more package"):
        next(films.read_film("film.mp4"))


def test_bad_films(film, fails):
    whole = Path("film.mp4").read_bytes()
    place = whole.index(b"moov")
    Path("text.mp4").write_text("This is no film. " * 99)
    Path("text.txt").write_text("This is no film. " * 99)
    Path("list.mp4").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfilm.mp4\n"
    )
    Path("empty.mp4").write_bytes(b"")
    Path("cut.mp4").write_bytes(whole[: place // 2])
    os.rename("grey.png", "picture.mp4")
    Image.fromarray(COLOR).save("photo.jpg")
    with av.open("film.mp4") as source, av.open("sound.mp4", "w") as target:
        copy = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.size:
                packet.stream = copy
                target.mux(packet)
    with av.open("film.mp4") as source, av.open("none.mp4", "w") as target:
        copies = [target.add_stream_from_template(s) for s in source.streams]
        for packet in source.demux(source.streams.audio[0]):
            if packet.size:
                packet.stream = copies[1]
                target.mux(packet)
    os.mkdir("folder.mp4")
    for name, expected in {
        "text.mp4": "no film, or cut off: Invalid data",
        "text.txt": "it is a picture or text, no film.",
        "list.mp4": "no film, or cut off",
        "empty.mp4": "Cannot read empty.mp4: the file is empty.",
        "cut.mp4": "no film, or cut off: Invalid data",
        "picture.mp4": "it is a picture or text, no film.",
        "photo.jpg": "it is a picture or text, no film.",
        "sound.mp4": "it has no moving pictures.",
        "none.mp4": "it has no moving pictures.",
        "missing.mp4": "No such file",
        "folder.mp4": "",
    }.items():
        fails(f"restore {name} -o out.mp4", expected)
        if name != "folder.mp4":
            with pytest.raises(ValueError, match="Cannot read"):
                next(films.read_film(name))


def test_films_without_a_picture(film, fails, monkeypatch):
    monkeypatch.setattr(films.Film, "frames", lambda self: iter(()))
    expected = "Cannot read film.mp4: no picture of it can be read."
    fails("restore film.mp4 -o out.mp4", expected)
    line = "restore film.mp4 -o out.mp4 --task denoise --sigma 5"
    fails(line, "Cannot read film.mp4: it has no pictures.")


def break_film(start, length):
    """Write film.mp4 with noise in its pictures from the packet `start` on."""
    data = bytearray(Path("film.mp4").read_bytes())
    noise = np.random.default_rng(0)
    with av.open("film.mp4") as source:
        packets = [p for p in source.demux(video=0) if p.size]
        for packet in packets[start : start + length]:
            data[packet.pos : packet.pos + packet.size] = noise.bytes(packet.size)
        time = packets[start].pts * packets[start].time_base
    Path("film.mp4").write_bytes(data)
    return float(time)


@pytest.mark.parametrize("length", [1, 4])
def test_damage_in_the_middle(film, capsys, length):
    """What came before is kept, and what comes behind it as far as it can be read."""
    before = read_all("film.mp4")
    time = break_film(5, length)
    assert restore("film.mp4 -o out.mp4 --strength 0") == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("error: film.mp4 is damaged or cut off at 0:0")
    assert printed.err.endswith("What could be read is in out.mp4.\n")
    assert printed.err.count("\n") == 1
    after = read_all("out.mp4")
    assert len(after) >= COUNT - length
    assert abs(before[:4] - after[:4]).mean() < 0.02
    assert len(read_packets("out.mp4", "audio")) == len(
        read_packets("film.mp4", "audio")
    )
    said = float(printed.err.split("at 0:")[1].split()[0])
    assert abs(said - time) <= 0.2
    with pytest.raises(ValueError, match="is damaged or cut off at"):
        list(films.read_film("film.mp4"))


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_films_that_are_cut_off(here, capsys, ending):
    name = f"a.{ending}"
    options = {"movflags": "faststart"} if ending == "mp4" else {}
    write_film(Path("whole.mkv"), make_frames(100), sound=4)
    with av.open("whole.mkv") as source, av.open(name, "w", options=options) as target:
        copies = [target.add_stream_from_template(s) for s in source.streams]
        for packet in source.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                target.mux(packet)
    data = Path(name).read_bytes()
    Path(name).write_bytes(data[: len(data) // 2])
    assert restore(f"{name} -o out.mp4") == 1
    printed = capsys.readouterr().err
    assert "is damaged or cut off at 0:0" in printed
    assert 30 < len(read_all("out.mp4")) < 70
    assert len(read_packets("out.mp4", "audio")) > 30


# --- Files ------------------------------------------------------------------


@pytest.mark.parametrize("old", [False, True])
def test_an_interruption_leaves_nothing(film, monkeypatch, capsys, old):
    if old:
        Path("out.mp4").write_bytes(b"old")
    count, run = [], networks.run_network

    def interrupt(*args, **more):
        count.append(1)
        if len(count) == 9:
            signal.raise_signal(signal.SIGINT)
        return run(*args, **more)

    monkeypatch.setattr(networks, "run_network", interrupt)
    names = sorted(os.listdir())
    assert restore("film.mp4 -o out.mp4 --force") == 130
    assert capsys.readouterr() == ("", "interrupted\n")
    assert sorted(os.listdir()) == names
    assert not old or Path("out.mp4").read_bytes() == b"old"
    assert len(read_all("film.mp4")) == COUNT


def test_a_full_disk_leaves_nothing(film, fails, monkeypatch):
    def fail(self, packets):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(command.Writer, "mux", fail)
    fails(
        "restore film.mp4 -o out.mp4", "Cannot write out.mp4: No space left on device."
    )


def test_nothing_is_overwritten_without_force(film, fails):
    Path("out.mp4").write_bytes(b"old")
    fails("restore film.mp4 -o out.mp4", "out.mp4 exists; --force overwrites it.")
    assert restore("film.mp4 -o out.mp4 --force") == 0
    assert len(read_all("out.mp4")) == COUNT


def test_a_film_can_replace_itself(film, monkeypatch):
    """Once it is closed: Windows replaces no open file."""
    replace, closed = os.replace, []
    opened, real = [], open

    def watch(path, *args, **more):
        file = real(path, *args, **more)
        if str(path) == "film.mp4":
            opened.append(file)
        return file

    def check(*args):
        closed.append(all(file.closed for file in opened))
        replace(*args)

    monkeypatch.setattr("builtins.open", watch)
    monkeypatch.setattr(os, "replace", check)
    before, sound = read_all("film.mp4"), read_packets("film.mp4", "audio")
    assert restore("film.mp4 -o film.mp4 --force") == 0
    assert closed == [True] and len(opened) > 1
    assert (read_all("film.mp4") != before).any()
    assert read_packets("film.mp4", "audio") == sound


def test_a_damaged_film_is_not_replaced(film, capsys):
    break_film(5, 1)
    before = Path("film.mp4").read_bytes()
    assert restore("film.mp4 -o film.mp4 --force") == 2
    assert "give another OUT" in capsys.readouterr().err
    assert Path("film.mp4").read_bytes() == before


def test_the_frames_that_are_looked_at_are_from_all_over_the_film(here):
    def prepare(stream):
        stream.codec_context.gop_size = 100  # one key frame

    shades = np.arange(50, dtype=np.uint8).reshape(-1, 1, 1, 1) * 4
    write_film(
        Path("a.mp4"), shades + np.zeros((1, 24, 32, 3), np.uint8), prepare=prepare
    )
    levels = [255 / 4 * image.mean() for image in films.sample_film("a.mp4", 5)]
    np.testing.assert_allclose(levels, [5, 15, 25, 35, 45], atol=1.5)


def test_a_few_frames_are_held(here, monkeypatch):
    write_film(Path("long.mp4"), make_frames(200), sound=8)
    held, most, packets = [0], [0], [0]
    to_image, to_frame = films.to_image, films.to_frame

    def read(*args):
        held[0] += 1
        most[0] = max(most[0], held[0])
        return to_image(*args)

    def write(*args):
        held[0] -= 1
        return to_frame(*args)

    copy = command.Writer.copy_packets

    def watch(self):
        packets[0] = max(packets[0], len(self.film.others))
        copy(self)

    monkeypatch.setattr(films, "to_image", read)
    monkeypatch.setattr(films, "to_frame", write)
    monkeypatch.setattr(command.Writer, "copy_packets", watch)
    assert restore("long.mp4 -o out.mp4 --task denoise --sigma 5") == 0
    assert most[0] <= 6 and held[0] == 0 and packets[0] < 60


def test_progress_of_a_film(monkeypatch, capsys):
    monkeypatch.setattr(folders, "EVERY", 0)
    progress = folders.Progress(3, "frame")
    for _ in range(4):  # one more than the film said
        progress.step()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("1 of 3, ") and lines[0].endswith(" left")
    assert "frames/s, " in lines[0] and lines[-1].startswith("4 frames, ")


def test_folders_leave_films_out(film, capsys):
    os.mkdir("photos")
    os.rename("film.mp4", "photos/film.mp4")
    with pytest.raises(ValueError, match="films are restored one at a time"):
        from tfgen.commands.restore import restore as run

        run("photos", "out", "photo", mask=None, compare=None, force=False)
    os.rename("color.png", "photos/color.png")
    assert main("restore photos -o out".split()) == 0
    printed = capsys.readouterr()
    assert "1 of 1 photos restored" in printed.out
    expected = "note: photos: films left out: 1; films are restored one at a time\n"
    assert printed.err == expected
