"""Read films frame by frame, and turn frames into images and back.

PyAV (`av`, the extra ``video``) does the decoding. Its wheels bring the libraries of
FFmpeg with their codecs for Linux, macOS and Windows, as those of imageio-ffmpeg do;
but that one runs the program ffmpeg beside and sees pixels alone. PyAV sees packets:
sound and subtitles can be copied as they are, every frame has its own time stamp, and
what is damaged is an exception.
"""

import contextlib
import itertools
import os
from pathlib import Path

import numpy as np

ENDINGS = (  # of films that are read; others are tried if a film is to be written
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts"),
    *(".m2ts", ".wmv", ".asf", ".flv", ".f4v", ".3gp", ".3g2", ".ogv", ".vob", ".mxf"),
    *(".dv", ".y4m", ".h264", ".264", ".hevc"),
)
RGB, BT709, UNKNOWN = 0, 1, 2  # FFmpeg's numbers of colour spaces
WEIGHTS = {  # of red and blue in the luma; else those of BT.601
    BT709: (0.2126, 0.0722),
    4: (0.30, 0.11),  # FCC
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020
    10: (0.2627, 0.0593),
}
LIMITED, FULL = 1, 2  # FFmpeg's numbers of ranges: black and white are 16, 235; 0, 255
HD = 1280, 576  # from so many columns, or above so many rows: untold is BT.709


def read_film(path, first=0, count=None):
    """Read the frames of a film, one after the other.

    Parameters
    ----------
    path : str or Path
        A film of any kind that FFmpeg knows.
    first : int
        How many frames to leave out at the beginning.
    count : int, optional
        How many frames to read at most; without it all that are left.

    Yields
    ------
    numpy.ndarray, (height, width, 3)
        float32 in [0, 1], upright.

    Raises
    ------
    ValueError
        At the first frame: if the package `av` is missing, the file is no film, or no
        frame can be read. Behind the last one: if the film is damaged; the message
        tells where.
    """
    with open_film(path) as film:
        stop = None if count is None else first + count
        for frame in itertools.islice(film.frames(), first, stop):
            yield to_image(frame)
        if film.damages:
            raise ValueError(film.describe_damage())


def is_film_name(path):
    return Path(path).suffix.lower() in ENDINGS


def import_av():
    """The package `av`, or ValueError that says how to get it."""
    try:
        import av
    except ImportError:
        raise ValueError(
            "Films need one more package: python -m pip install av"
        ) from None
    return av


@contextlib.contextmanager
def open_film(path):
    """Open a film as a `Film`, or ValueError if it is none."""
    av = import_av()
    if not os.path.isfile(path):  # to open a pipe might wait for ever
        reason = "it is no file" if os.path.exists(path) else "No such file"
        raise ValueError(f"Cannot read {path}: {reason}.")
    with contextlib.ExitStack() as stack:
        try:
            # An open file: FFmpeg takes names with ":" and "%" for something else.
            file = stack.enter_context(open(path, "rb"))
            container = av.open(  # which opens no other file that it names
                file, metadata_errors="replace", options={"protocol_whitelist": "none"}
            )
            stack.enter_context(container)
            film = Film(path, container)
        except (av.FFmpegError, OSError) as error:
            reason = f"no film, or cut off: {error.strerror}"
            if os.path.getsize(path) == 0:
                reason = "the file is empty"
            raise ValueError(f"Cannot read {path}: {reason}.") from None
        yield film


class Film:
    """A film that is open.

    Attributes
    ----------
    video : av.VideoStream
        The pictures.
    others : list of av.Packet
        Of the other streams, those that came since it was last emptied, in their order.
    damages : list of float
        The places, in seconds, where something could not be read.
    early : float
        The time stamp, in seconds, at which it begins; packets count from there on.
    """

    def __init__(self, path, container):
        self.path, self.container = path, container
        self.others, self.damages = [], []
        kind = container.format.name
        if kind.endswith("_pipe") or kind in ("image2", "tty"):
            raise ValueError(f"Cannot read {path}: it is a picture or text, no film.")
        streams = [
            stream
            for stream in container.streams.video
            if not stream.disposition & stream.disposition.attached_pic  # a cover
        ]
        if not streams or streams[0].codec_context is None:
            reason = "its codec is unknown" if streams else "it has no moving pictures"
            raise ValueError(f"Cannot read {path}: {reason}.")
        self.video = streams[0]
        self.rate = self.video.average_rate or self.video.guessed_rate or 25
        duration = (container.duration or 0) / 1e6
        self.expected = self.video.frames or round(duration * self.rate)
        self.early = max(container.start_time or 0, 0) / 1e6  # seconds, until it begins

    def frames(self):
        """Decode the pictures one by one. What is damaged is left out, or looks it."""
        from av import FFmpegError

        read, time, end = 0, 0.0, 0.0
        packets = self.container.demux()
        while True:
            try:
                packet = next(packets, None)
            except (FFmpegError, OSError):  # the end of what can be told apart
                self.damages.append(time)
                packet = None
            if packet is not None:
                if packet.size == 0:  # what PyAV adds at the end
                    continue
                early = round(self.early / packet.time_base)
                if packet.dts is not None:
                    packet.dts -= early
                if packet.pts is not None:
                    packet.pts -= early
                    length = (packet.pts + (packet.duration or 0)) * packet.time_base
                    end = max(end, float(length))
                if packet.stream is not self.video:
                    self.others.append(packet)
                    continue
                read += 1
            try:
                frames = self.video.decode(packet)
            except FFmpegError:
                frames = ()
                self.damages.append(time)
            for frame in frames:
                if frame.pts is not None:
                    time = float(frame.pts * self.video.time_base)
                if frame.is_corrupt:
                    self.damages.append(time)
                yield frame
            if packet is None:
                break
        told = "matroska" in self.container.format.name  # others guess it
        short = told and end < (self.container.duration or 0) / 1e6 - 1
        # A header counts frames that an edit list leaves out: no time is missing then.
        last = (self.video.start_time or 0) + (self.video.duration or 0)
        last = float(last * self.video.time_base) - self.early - float(2 / self.rate)
        full = self.video.duration and time >= last
        if (read < self.video.frames and not full) or short:
            self.damages.append(time)

    def describe_damage(self):
        minutes, seconds = divmod(min(self.damages), 60)
        more = (
            f" and in {len(self.damages) - 1} more places" if self.damages[1:] else ""
        )
        return (
            f"{self.path} is damaged or cut off at {minutes:.0f}:{seconds:05.2f}"
            f" (minutes:seconds){more}."
        )


def sample_film(path, count):
    """Up to so many images from all over a film: it may begin and end in black."""
    from av import FFmpegError

    images = []
    with open_film(path) as film:
        length = film.container.duration or 0
        for index in range(count if length else 0):
            place = (film.container.start_time or 0) + length * (index + 0.5) / count
            frame = None
            with contextlib.suppress(FFmpegError, OSError):
                film.container.seek(int(place))  # to the key frame before
                for frame in film.frames():
                    if frame.pts is None or frame.time + film.early >= place / 1e6:
                        break
            film.others.clear()
            if frame is not None:
                images.append(to_image(frame))
    if len(images) < count:  # a film that cannot be searched
        with open_film(path) as film:
            images = [*map(to_image, itertools.islice(film.frames(), count))]
    return images


# --- Colours ----------------------------------------------------------------


def find_colours(frame):
    """The weights of red and blue in the luma, and whether its range is full; of RGB,
    those that it will get."""
    if is_rgb(frame):
        return *WEIGHTS[BT709], False
    space = frame.colorspace
    if space == UNKNOWN and (frame.width >= HD[0] or frame.height > HD[1]):
        space = BT709
    name = frame.format.name
    full = frame.color_range == FULL or name.startswith("yuvj")
    full |= name.startswith("gray") and frame.color_range != LIMITED
    return *WEIGHTS.get(space, (0.299, 0.114)), full


def count_bits(frame):
    return max(part.bits for part in frame.format.components)


def convert(frame, format, width=None, height=None):
    """Other sizes or formats of pixels; luma and range stay what they are."""
    from av.video.reformatter import Interpolation

    exact = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    return frame.reformat(
        format=format,
        width=width,
        height=height,
        src_colorspace="itu601",
        dst_colorspace="itu601",
        src_color_range=FULL,
        dst_color_range=FULL,
        interpolation=Interpolation.BICUBIC | exact | Interpolation.FULL_CHR_H_INP,
    )


def to_image(frame, width=None, height=None):
    """A frame as an upright image, float32 (height, width, 3) in [0, 1].

    FFmpeg halves the resolution of the colours or doubles it; the rest is done here,
    since its own conversion is exact to a level or two only.
    """
    if is_rgb(frame):
        form, most = ("rgb48le", 65535) if count_bits(frame) > 8 else ("rgb24", 255)
        image = convert(frame, form, width, height).to_ndarray() / np.float32(most)
    else:
        (red, blue, full), bits = find_colours(frame), count_bits(frame)
        if bits == 8:
            planes = convert(frame, "yuv444p", width, height).to_ndarray()
            planes = planes.transpose(1, 2, 0).astype(np.float32)
        else:  # bits below those of the frame repeat its highest ones, or do not
            planes = convert(frame, "yuv444p16le", width, height).to_ndarray()
            planes = (planes >> (16 - bits)) / np.float32(2 ** (bits - 8))
        planes -= np.float32([0 if full else 16, 128, 128])
        levels = 256 - 2.0 ** (8 - bits)
        planes /= np.float32([levels] * 3 if full else [219, 224, 224])
        y, cb, cr = np.moveaxis(planes, -1, 0)
        image = np.empty_like(planes)
        image[..., 0] = y + 2 * (1 - red) * cr
        image[..., 2] = y + 2 * (1 - blue) * cb
        image[..., 1] = (y - red * image[..., 0] - blue * image[..., 2]) / (
            1 - red - blue
        )
        np.clip(image, 0, 1, out=image)
    return turn_upright(image, frame)


def is_rgb(frame):
    return frame.format.is_rgb or frame.format.has_palette


def to_frame(image, format, colours):
    """The frame of an image in [0, 1]; colours are as of `find_colours`."""
    from av import VideoFrame

    red, blue, full = colours
    r, g, b = np.moveaxis(image, -1, 0)
    y = red * r + (1 - red - blue) * g + blue * b
    planes = np.stack([y, (b - y) / (2 * (1 - blue)), (r - y) / (2 * (1 - red))], -1)
    bits = 10 if "10" in format else 8
    one = 2 ** (bits - 8)  # in which the numbers of eight bits are counted
    levels = 256 - 1 / one
    planes *= np.float32([levels] * 3 if full else [219, 224, 224])
    planes += np.float32([0 if full else 16, 128, 128])
    planes = np.clip(np.rint(planes * one), 0, 2**bits - 1).astype(np.uint16)
    if bits == 8:
        planes = np.ascontiguousarray(planes.transpose(2, 0, 1).astype(np.uint8))
        frame = VideoFrame.from_ndarray(planes, format="yuv444p")
    else:
        planes = planes << (16 - bits) | planes >> (2 * bits - 16)
        frame = VideoFrame.from_ndarray(planes, format="yuv444p16le")
    return convert(frame, format)


def find_turn(frame):
    """The display matrix, as what of x and y goes into x and y, or None."""
    for side in frame.side_data:
        if side.type.name == "DISPLAYMATRIX":
            return np.frombuffer(side, np.int32).reshape(3, 3)[:2, :2]
    return None


def is_turned(frame):
    """Whether width and height change places."""
    matrix = find_turn(frame)
    return matrix is not None and abs(matrix[0, 1]) > abs(matrix[0, 0])


def turn_upright(image, frame):
    """Turn and mirror an image, by right angles, as its film says."""
    matrix = find_turn(frame)
    if matrix is None:
        return image
    if is_turned(frame):
        image, matrix = image.swapaxes(0, 1), matrix[::-1]
    image = image[:: -1 if matrix[1, 1] < 0 else 1, :: -1 if matrix[0, 0] < 0 else 1]
    return np.ascontiguousarray(image)
