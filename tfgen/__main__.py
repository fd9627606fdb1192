"""The command line: `python -m tfgen check`, `restore` and `evaluate`."""

import argparse
import importlib
import os
import sys
import textwrap

from tfgen.commands import check, screen

# Nothing heavy is imported up here: `check` must run where TensorFlow does not.


def run_command(name, options):
    """Run a command and return its exit status.

    Whatever ends it early is one line: 130 for an interruption, else 2.
    """
    try:
        if name == "check":
            return 1 if check.run_checks() else 0
        with check.hide_log():
            check.check_tensorflow()
            check.check_backend()
            module = importlib.import_module(f"tfgen.commands.{name}")
        return getattr(module, name)(**options) or 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        print("error:", describe(error), file=sys.stderr)
        return 2


def describe(error):
    """An exception in one line."""
    kind = type(error).__name__
    if isinstance(error, ValueError | OSError):  # sentences of tfgen, names of files
        return screen.shown(str(error) or kind)
    if isinstance(error, check.Problem):
        return " ".join(str(error).split())
    if isinstance(error, MemoryError) or kind == "ResourceExhaustedError":
        return (
            "There is not enough memory. Close other programs, or take a smaller image."
        )
    text = f"{kind}: {error}" if str(error) else kind
    fix = "To see whether something is wrong here, run: python -m tfgen check"
    return f"{textwrap.shorten(text, 300)}. {fix}"


class Parser(argparse.ArgumentParser):
    """Tells what is wrong in one line."""

    def error(self, message):
        self.exit(2, f"error: {screen.shown(message)}; see {self.prog} --help\n")


def parse_sigma(text):
    return text if text == "auto" else float(text)


parse_sigma.__name__ = "sigma"  # as the parser calls it


def add_restore(commands):
    parser = commands.add_parser(
        "restore",
        help="restore a photo: remove noise, fill holes, enlarge",
        description="Restore a photo with a small trained network. Depth, transparency "
        "and colour profile are kept where the format of OUT has them; other metadata "
        "are not copied. A note says if colours may change. Nothing is overwritten "
        "without --force.",
    )
    add = parser.add_argument
    add("photo", help="image file of any size, grey or colour")
    add(
        "--sigma",
        type=parse_sigma,
        metavar="auto|N",
        help="denoise: the standard deviation of the noise, where white is 255; auto, "
        "the default, estimates it",
    )
    add(
        "--mask",
        help="inpaint: image of the same size, bright where the photo has holes",
    )
    add(
        "-o",
        "--output",
        metavar="OUT",
        required=True,
        help="file to write; its extension, such as .png, is its format",
    )
    add_shared(parser)


def add_evaluate(commands):
    parser = commands.add_parser(
        "evaluate",
        help="measure restoration on a folder of images",
        description="Print PSNR and SSIM of the damaged images, of classical "
        "restorations and of the network, each clipped and rounded to 8 bits. Grey "
        "files are restored in grey. The row of a file that cannot be used says why; "
        "the mean is over the others. The exit status is 0 if all images have scores, "
        "1 if some have, 2 if none has.",
        epilog="denoise: the noise is neither clipped nor rounded. inpaint: scratches. "
        "upscale: images are cropped to multiples of the scale and shrunk bicubically, "
        "unless FOLDER has folders HR and LR; files in LR are named as in HR or with "
        "x2, x3 or x4 behind.",
    )
    add = parser.add_argument
    add("folder", metavar="FOLDER", help="folder of clean images")
    add("--sigma", type=float, help="denoise: level of the noise (default 25)")
    add(
        "--luma", action="store_true", help="compare the luma (BT.601) of colour images"
    )
    add(
        "--border",
        type=int,
        help="pixels to leave out at each side (default: upscale, the scale; else 0)",
    )
    add("--seed", type=int, default=0, help="of noise and holes (default 0)")
    add("--csv", dest="table", metavar="FILE", help="also write the table here")
    add_shared(parser)


def add_shared(parser):
    add = parser.add_argument
    add(
        "--task",
        required=True,
        choices=("denoise", "inpaint", "upscale"),
        help="remove noise, fill holes or enlarge",
    )
    add(
        "--scale",
        type=int,
        choices=(2, 3, 4),
        help="upscale: how many times (evaluate: default 4)",
    )
    add(
        "--ensemble",
        action="store_true",
        help="average eight results, of the image turned and mirrored: a little "
        "better, eight times as slow",
    )
    add(
        "--weights",
        metavar="FILE",
        help="a Restorer saved as .keras, in place of the network of tfgen",
    )
    add("--force", action="store_true", help="overwrite a file that exists")


def main(arguments=None):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    screen.escape_unknown()
    parser = Parser(prog="python -m tfgen", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("check", help="tell what is wrong here, and the fix")
    add_restore(commands)
    add_evaluate(commands)
    options = vars(parser.parse_args(arguments))
    return run_command(options.pop("command"), options)


if __name__ == "__main__":
    sys.exit(main())
