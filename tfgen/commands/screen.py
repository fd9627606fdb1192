"""What is printed: a character that the screen cannot show is escaped."""

import re
import sys
import textwrap

# Nothing heavy is imported up here: `check` must run where TensorFlow does not.


def escape_unknown():
    """From now on, escape what the screen or the file behind it has no code for."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a closed one is None
            stream.reconfigure(errors="backslashreplace")


def shown(name):
    """A name on one line: what would break it or steer the screen is escaped."""
    steering = r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
    return re.sub(steering, lambda found: ascii(found[0])[1:-1], str(name))


def describe(error):
    """An exception in one line."""
    kind = type(error).__name__
    if isinstance(error, ValueError | OSError):  # sentences of tfgen, names of files
        return shown(str(error) or kind)
    if kind == "Problem":
        return " ".join(str(error).split())
    if isinstance(error, MemoryError) or kind == "ResourceExhaustedError":
        return (
            "There is not enough memory. Close other programs, or take a smaller image."
        )
    text = f"{kind}: {error}" if str(error) else kind
    fix = "To see whether something is wrong here, run: python -m tfgen check"
    return f"{textwrap.shorten(text, 300)}. {fix}"
