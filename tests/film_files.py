"""Tiny films to test with, made by PyAV."""

from fractions import Fraction

import av
import numpy as np

SIZE = 32, 24  # width and height


def make_frames(count, size=SIZE, seed=0):
    """uint8 (count, height, width, 3): smooth pictures that move."""
    y, x = np.indices(size[::-1])
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 6, 3)
    steps = np.arange(count)[:, None, None, None]
    waves = np.sin((x[..., None] + steps) / 5 + phase) + np.cos(y / 4)[..., None]
    return np.rint(127 + 50 * waves + rng.normal(0, 3, waves.shape)).astype(np.uint8)


def write_film(
    path,
    frames,
    stamps=None,
    base=Fraction(1, 25),
    pixels="yuv420p",
    codec="libx264",
    sound=0,
    subtitles=(),
    prepare=lambda stream: None,
    tag=lambda frame: None,
    sound_stamps=None,
):
    """A film of uint8 images or of ready av.VideoFrames.

    `sound` is in seconds; subtitles are (start, length, text) in milliseconds.
    """
    frames = [
        frame
        if isinstance(frame, av.VideoFrame)
        else av.VideoFrame.from_ndarray(frame, format="rgb24")
        for frame in frames
    ]
    with av.open(str(path), "w") as target:
        stream = target.add_stream(codec, rate=25)
        context = stream.codec_context
        context.width, context.height = frames[0].width, frames[0].height
        context.pix_fmt, context.time_base, context.gop_size = pixels, base, 4
        if codec == "libx264":
            context.options = {"crf": "4"}
        prepare(stream)
        packets = []
        if sound:
            audio = target.add_stream("aac" if path.suffix != ".webm" else "libopus")
            audio.codec_context.sample_rate = 48000
        if subtitles:
            text = target.add_stream("subrip" if path.suffix == ".mkv" else "mov_text")
            text.codec_context.time_base = Fraction(1, 1000)
            text.codec_context.subtitle_header = b"[Script Info]\n"
        for index, frame in enumerate(frames):
            frame.pts = stamps[index] if stamps else index
            frame.time_base = base
            tag(frame)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        if sound:
            samples = np.sin(np.arange(int(sound * 48000)) / 20)
            samples = np.float32([samples, samples])
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = 48000, 0
            resampler = av.AudioResampler(
                format=audio.codec_context.format, layout="stereo", rate=48000
            )
            for part in resampler.resample(frame):
                packets += audio.encode(part)
            packets += audio.encode(None)
        for start, length, words in subtitles:
            raw = words.encode()
            if path.suffix != ".mkv":
                raw = len(raw).to_bytes(2, "big") + raw
            packet = av.Packet(raw)
            packet.stream, packet.time_base = text, Fraction(1, 1000)
            packet.pts = packet.dts = start
            packet.duration = length
            packets.append(packet)
        packets.sort(key=lambda packet: packet.dts * packet.time_base)
        for packet in packets:
            target.mux(packet)


def read_packets(path, kind):
    """(pts in seconds, duration, bytes) of each packet of the streams of a kind."""
    with av.open(str(path)) as film:
        return [
            (packet.pts * packet.time_base, packet.duration, bytes(packet))
            for packet in film.demux(getattr(film.streams, kind))
            if packet.size
        ]


def read_times(path):
    """When each picture is shown, and until when: exact fractions of a second."""
    with av.open(str(path)) as film:
        return [
            (frame.pts * frame.time_base, frame.duration * frame.time_base)
            for frame in film.decode(video=0)
        ]
