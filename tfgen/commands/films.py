"""Restore a film: frames flow from file to file, a few are held at a time.

The pictures are decoded, restored and encoded again; packets of sound and subtitles are
copied as they are, in their places between the pictures.
"""

import collections
import contextlib
import sys
import time
from pathlib import Path

import numpy as np

from tfgen.commands import networks, photo_files
from tfgen.commands.folders import Progress
from tfgen.commands.screen import shown
from tfgen.data import films
from tfgen.film import restore_film
from tfgen.tiles import estimate_noise
from tfgen.writing import replacing

CONTAINERS = {  # FFmpeg's names of what an extension stands for, and of an encoder
    ".mp4": ("mp4", "libx264"),
    ".m4v": ("mp4", "libx264"),
    ".mov": ("mov", "libx264"),
    ".mkv": ("matroska", "libx264"),
    ".webm": ("webm", "libvpx-vp9"),
}
QUALITY = {  # nearly without visible loss; x264 in the order of time, without B-frames
    "libx264": {"crf": "16", "bf": "0"},
    "libvpx-vp9": {"crf": "18", "cpu-used": "4", "row-mt": "1"},
}
PIXELS = [  # each with colours of a quarter, half and all of the resolution
    *("yuv420p", "yuv422p", "yuv444p"),
    *("yuv420p10le", "yuv422p10le", "yuv444p10le"),
]
FRAME_DURATION = 1 << 8  # of FFmpeg's flags: each frame tells how long it is shown
TASKS = "photo", "denoise"
SAMPLES = 5  # frames, from which the noise is estimated
LEAST = 5  # of sigma, for the task photo: how much frames differ by compression alone
OF_THE_FILE = "major_brand", "minor_version", "compatible_brands", "encoder", "rotate"


def is_film(files):
    """Whether a film is asked for: it is read or written."""
    written = Path(files.output).suffix.lower() in CONTAINERS
    return written or films.is_film_name(files.photo)


def restore_file(job, files, force):
    """Restore a film; returns the exit status: 1 if it is damaged, else 0."""
    start = time.perf_counter()
    check_request(job, files)
    photo_files.check_output(files.output, force, files.photo)
    with films.open_film(files.photo):
        pass  # what is no film is told before the work
    network = job.load_network(3)
    sigma, found = find_sigma(job, files.photo)

    def restore(image, sigma):
        if "sigma" not in network.network.input:  # it takes no noise beyond [0, 1]
            image = np.clip(image, 0, 1)
        return networks.run_network(network, image, job.ensemble, sigma=sigma)

    # The file that was read is closed before it is replaced, as Windows wants it.
    with replacing(files.output) as file, films.open_film(files.photo) as film:
        with Writer(files, file, film) as writer:
            images, restored = collections.deque(), 0
            progress = Progress(film.expected, "frame")
            for after in restore_film(writer.read(images), restore, sigma=sigma):
                after = job.adjust(images.popleft(), after)
                writer.write(after)
                restored += 1
                progress.step()
            progress.end()
            if not restored:
                raise ValueError(f"Cannot read {files.photo}: it has no pictures.")
            out = Path(files.output)
            if film.damages and out.exists() and out.samefile(files.photo):
                text = "It is not replaced by what could be read: give another OUT."
                raise ValueError(f"{film.describe_damage()} {text}")
    seconds = time.perf_counter() - start
    height, width = after.shape[:2]
    print(
        f"{shown(files.output)}: {restored} frames of {width} x {height} pixels, "
        f"{seconds:.1f} s{found}"
    )
    if film.damages:
        kept = f"What could be read is in {files.output}."
        print("error:", shown(f"{film.describe_damage()} {kept}"), file=sys.stderr)
    return 1 if film.damages else 0


def check_request(job, files):
    """Raise ValueError, before the work, for what is not done with films."""
    if job.task not in TASKS:
        raise ValueError(
            f"--task {job.task} is for photos; films are restored with --task "
            f"{' or '.join(TASKS)}."
        )
    for name, given in (("compare", files.compare), ("colour", job.colour)):
        if given:
            raise ValueError(f"--{name} is for photos, not for films.")
    if Path(files.output).suffix.lower() not in CONTAINERS:
        raise ValueError(
            f"Cannot write {files.output}: the name of a film must end in one of "
            f"{' '.join(CONTAINERS)}."
        )
    films.import_av()


def find_sigma(job, path):
    """The noise of a film, and in words where it comes from."""
    if job.sigma is not None:
        return job.sigma, f", sigma {job.sigma:.1f}"
    images = films.sample_film(path, SAMPLES)
    if not images:
        raise ValueError(f"Cannot read {path}: no picture of it can be read.")
    levels = [estimate_noise(image[None])[0] for image in images]
    sigma = float(np.median(levels))
    found = f", sigma {sigma:.1f} (estimated from {len(images)} frames)"
    if job.task == "photo":  # the network is not told, the search for neighbours is
        return max(sigma, LEAST), found
    return networks.check_sigma(sigma), found


class Writer:
    """A film that is written: pictures, and what else the one that is read has."""

    def __init__(self, files, file, film):
        av = films.import_av()
        self.film, self.path = film, files.output
        form, self.codec = CONTAINERS[Path(files.output).suffix.lower()]
        self.target = av.open(file, "w", format=form)
        self.frames = collections.deque()  # time stamps of those read, but not written
        self.noted = set()
        self.stream, self.copies, self.ends = None, {}, {}
        self.last = None  # time stamp of a picture

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None and self.stream:
            self.mux(self.stream.encode(None))
            self.copy_packets()
            self.target.close()
        else:  # what failed is told, not what that leads to
            with contextlib.suppress(Exception):
                self.target.close()

    def note(self, text):
        """Tell once what the film loses."""
        if text not in self.noted:
            self.noted.add(text)
            photo_files.note(self.film.path, text)

    def read(self, images):
        """Yield the pictures as images, and append them to `images` as well."""
        for frame in self.film.frames():
            if self.stream is None:
                self.start(frame)
            if (frame.width, frame.height) != self.size:
                self.note("its pictures change their size; all got the first one's")
            if frame.interlaced_frame:
                self.note(
                    "it is interlaced; what moves may look like a comb: deinterlace it "
                    "first"
                )
            image = films.to_image(frame, *self.size)
            self.frames.append(self.stamp(frame))
            images.append(image)
            yield image

    def start(self, frame):
        """Add all streams, as the first frame asks for."""
        from av.codec.codec import Codec, find_best_pix_fmt_of_list

        film, source = self.film, self.film.video
        self.size = frame.width, frame.height
        self.colours = films.find_colours(frame)
        self.step = max(1, round(1 / (film.rate * source.time_base)))
        width, height = self.size[::-1] if films.is_turned(frame) else self.size
        known = {form.name for form in Codec(self.codec, "w").video_formats}
        pixels = [form for form in PIXELS if form in known]
        if width % 2 or height % 2:
            pixels = [form for form in pixels if "444" in form]
            self.note(
                "its odd sides need colours of full resolution (4:4:4), which some "
                "players do not show"
            )
        if frame.format.name.startswith("gray"):
            pixels = [form for form in pixels if "420" in form] or pixels
        self.pixels = find_best_pix_fmt_of_list(pixels, frame.format.name)[0].name
        bits = films.count_bits(frame)
        if bits > (10 if "10" in self.pixels else 8):
            self.note(f"its {bits} bits became {10 if '10' in self.pixels else 8}")
        if any(part.is_alpha for part in frame.format.components):
            self.note("its transparency is lost")
        self.stream = self.target.add_stream(
            self.codec, rate=film.rate, options=QUALITY[self.codec]
        )
        self.stream.metadata.update(source.metadata)
        context = self.stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, self.pixels
        context.time_base = source.time_base  # .mkv and .webm round it to ms
        context.flags |= FRAME_DURATION
        ratio = source.sample_aspect_ratio
        if ratio:
            context.sample_aspect_ratio = 1 / ratio if films.is_turned(frame) else ratio
        context.color_range = films.FULL if self.colours[2] else films.LIMITED
        rgb = films.is_rgb(frame)
        context.colorspace = films.BT709 if rgb else frame.colorspace
        context.color_primaries = frame.color_primaries
        context.color_trc = frame.color_trc
        self.target.metadata.update(
            {k: v for k, v in film.container.metadata.items() if k not in OF_THE_FILE}
        )
        self.target.set_chapters(film.container.chapters())
        for stream in film.container.streams:
            if stream is not source:
                self.add_copy(stream)

    def add_copy(self, stream):
        """A stream whose packets will be copied, if the file can hold it."""
        name = getattr(stream.codec_context, "name", "of unknown kind")
        try:
            if stream.type not in ("audio", "subtitle", "attachment"):
                raise ValueError
            copy = self.target.add_stream_from_template(stream)
        except ValueError:
            if stream.type == "audio" and stream.codec_context is not None:
                raise ValueError(
                    f"Cannot write {self.path}: such a file cannot hold the sound of "
                    f"{self.film.path} ({name}); .mkv can."
                ) from None
            self.note(f"left out: {stream.type} ({name})")
            return
        copy.metadata.update(stream.metadata)
        copy.disposition = stream.disposition
        self.copies[stream.index] = copy

    def stamp(self, frame):
        """When a frame is shown, repaired if need be."""
        time, last = frame.dts if frame.pts is None else frame.pts, self.last
        if last is None:
            self.last = time or 0
        else:
            good = time is not None and time > last
            self.last = time if good else last + self.step
        if time != self.last:
            self.note("time stamps of its pictures were missing or went back")
        return self.last

    def write(self, image):
        """Encode the next picture, and copy what was read beside it."""
        frame = films.to_frame(image, self.pixels, self.colours)
        video, frame.pts = self.film.video, self.frames.popleft()
        if self.frames:
            end = self.frames[0]
        else:  # the last one, since there is always one more that waits
            end = (video.start_time or 0) + (video.duration or 0)
            end -= round(self.film.early / video.time_base)
        frame.duration = end - frame.pts if end > frame.pts else self.step
        frame.time_base = video.time_base
        context = self.stream.codec_context
        frame.color_range, frame.colorspace = context.color_range, context.colorspace
        self.mux(self.stream.encode(frame))
        self.copy_packets()

    def copy_packets(self):
        for packet in self.film.others:
            copy = self.copies.get(packet.stream.index)
            # The empty texts of an .mp4 are written anew, between the others.
            empty = packet.size == 2 and packet.stream.name == "mov_text"
            if copy is not None and not empty:
                self.copy(packet, copy)
        self.film.others.clear()

    def copy(self, packet, stream):
        """Copy a packet, behind the last one of its stream."""
        from av import FFmpegError

        kind, number = stream.type, stream.index
        time = packet.pts if packet.dts is None else packet.dts
        earliest = self.ends.get(number, (None, 0))
        bad = time is None
        if not bad and earliest[0] is not None:  # two texts may begin together
            bad = time < earliest[0] or (time == earliest[0] and kind != "subtitle")
        if bad:
            self.note(f"time stamps of its {kind} were missing or went back")
            late = 0 if packet.pts is None or packet.dts is None else packet.pts - time
            time = earliest[1]
            packet.dts, packet.pts = time, time + max(late, 0)
        self.ends[number] = time, time + max(packet.duration or 0, 1)
        place = float(time * packet.time_base)
        packet.stream = stream
        try:
            self.mux([packet])
        except FFmpegError:
            self.film.damages.append(place)
            self.note(f"a part of its {kind} was damaged and is left out")

    def mux(self, packets):
        for packet in packets:
            self.target.mux(packet)
