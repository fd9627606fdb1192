"""`python -m tfgen check`, `restore`, `evaluate`, `inspect` and `card`."""

import argparse
import importlib
import os
import sys
import warnings

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
        with warnings.catch_warnings():  # of Pillow: what matters is raised
            warnings.filterwarnings("ignore", module=r"PIL\.")
            return getattr(module, name)(**options) or 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        print("error:", screen.describe(error), file=sys.stderr)
        return 2


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
        help="restore photos and films: remove noise and compression, fill holes, "
        "enlarge",
        description="Restore a photo, a folder of photos, or a film, with small "
        "trained networks. Depth, transparency, colour profile, EXIF and XMP are kept "
        "where the format of OUT has them; pixels are turned upright. XMP also says "
        "that the photo was enhanced by an algorithm or, where holes were filled or "
        "texture was drawn, partly made by a trained model (see inspect). A note says "
        "if colours may change. Nothing is overwritten without --force.",
        epilog="Folders: all photos in PHOTO and below are restored into the same tree "
        "in OUT, under the same names, with the same options as a single one; what "
        "OUT cannot have as it is, such as HEIC, becomes PNG. --mask and --compare "
        "are folders then. Photos that are newer in OUT than in PHOTO are done: the "
        "same command goes on where it was stopped; other options, or photos "
        "from elsewhere, need another OUT, or --force, which makes all anew. Files "
        "that cannot be used are listed at the end. The exit status is 0 if all photos "
        "are restored, 1 if some are, 2 if none is. Films, one at a time, need the "
        "package av (python -m pip install av) and are written as .mp4, .m4v, .mov, "
        ".mkv or .webm: neighbouring frames help to restore each, sound and subtitles "
        "are copied. They take the tasks photo and denoise, --sigma, --strength, "
        "--detail, --ensemble and --weights. Of a damaged film all that can be read is "
        "written, and the exit status is 1.",
    )
    add = parser.add_argument
    add(
        "photo",
        metavar="PHOTO",
        help="image file of any size, or a folder of them, or a film",
    )
    add(
        "-o",
        "--output",
        metavar="OUT",
        required=True,
        help="file to write; its extension, such as .png, is its format. Or a folder",
    )
    add(
        "--task",
        default="photo",
        choices=("photo", "denoise", "inpaint", "scratches", "upscale"),
        help="photo, the default: remove noise, grain and compression of any kind; "
        "denoise: remove Gaussian noise; inpaint: fill holes, deep ones with copied "
        "texture; scratches: find and fill scratches and specks; upscale: enlarge",
    )
    add(
        "--strength",
        type=float,
        default=1.0,
        metavar="S",
        help="from 0, the photo as it is (upscale: enlarged bicubically), to 1, the "
        "default: all that the network does",
    )
    add(
        "--detail",
        type=float,
        metavar="D",
        help="photo, denoise: how much to give back of the details that went with the "
        "noise, from 0, the default, to 1",
    )
    add(
        "--colour",
        action="store_true",
        help="also stretch the levels of faded colours, channel by channel, which "
        "takes away tints, those of sepia too",
    )
    add(
        "--sigma",
        type=parse_sigma,
        metavar="auto|N",
        help="denoise: the standard deviation of the noise, where white is 255; auto, "
        "the default, estimates it",
    )
    add(
        "--mask",
        help="inpaint: image of the same size, bright where the photo has holes. "
        "scratches: PNG file to write, white where something was found; correct it and "
        "give it to the task inpaint",
    )
    add(
        "--sharp",
        action="store_true",
        help="upscale, 4 times: with invented texture, which looks sharper and is less "
        "exact",
    )
    add(
        "--compare",
        metavar="FILE",
        help="also draw the photo before and after here, with an enlarged detail",
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
        epilog="photo: JPEG files of grey pictures are grey, those of colour ones have "
        "colours of half the resolution; with --luma a colour picture is first made "
        "grey: its luma, from 16 to 235, as in published tables. Noise is clipped and "
        "rounded. denoise: the noise is neither clipped nor rounded. inpaint: "
        "scratches. upscale: images are cropped to multiples of the scale and shrunk "
        "bicubically, unless FOLDER has folders HR and LR; files in LR are named as in "
        "HR or with x2, x3 or x4 behind.",
    )
    add = parser.add_argument
    add("folder", metavar="FOLDER", help="folder of clean images")
    add(
        "--task",
        required=True,
        choices=("photo", "denoise", "inpaint", "upscale"),
        help="which damage to do, and to undo",
    )
    add("--quality", type=int, help="photo: of the JPEG files (default 20)")
    add("--sigma", type=float, help="photo, denoise: level of the noise (default 25)")
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


def add_inspect(commands):
    parser = commands.add_parser(
        "inspect",
        help="tell what a picture file says of how it was made",
        description="Print what a picture file states: the Digital Source Type of "
        "IPTC, the software, and whether there is a signed manifest of C2PA. Its "
        "signature is checked with the package c2pa-python (python -m pip install "
        '"tfgen[c2pa]"). All of it can be deleted by anyone, and, but for a manifest '
        "of a trusted signer, written; that nothing is said says nothing.",
    )
    parser.add_argument("file", metavar="FILE", help="image file")
    parser.add_argument(
        "--key",
        help="also look into the pixels for the mark that tfgen.add_mark has left with "
        "this key",
    )
    parser.add_argument(
        "--trust",
        metavar="PEM",
        help="file of certificates: signers that one of them vouches for are trusted",
    )


def add_card(commands):
    parser = commands.add_parser(
        "card",
        help="write a model card: what a model knows of itself",
        description="Write a model card (Mitchell et al., 2019) in Markdown: kind, "
        "layers, parameters, image shape, classes, steps, optimizers and versions "
        "of a model and, for a network of tfgen, how it was trained. What only a "
        "person knows, such as licences, consent, purpose and limits, stays a blank, "
        "TO FILL IN. Code in a file is not run.",
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a network of tfgen, such as groceries, or a model saved as .keras",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write the card here, such as card.md; by default it is printed",
    )
    parser.add_argument("--force", action="store_true", help="overwrite FILE")


def add_shared(parser):
    add = parser.add_argument
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
        metavar="FILE|NAME",
        help="a Restorer saved as .keras, or another network of tfgen, such as "
        "upscale_x4_small",
    )
    add("--force", action="store_true", help="overwrite files that exist")


def main(arguments=None):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    screen.escape_unknown()
    parser = Parser(prog="python -m tfgen", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("check", help="tell what is wrong here, and the fix")
    add_restore(commands)
    add_evaluate(commands)
    add_inspect(commands)
    add_card(commands)
    options = vars(parser.parse_args(arguments))
    return run_command(options.pop("command"), options)


if __name__ == "__main__":
    sys.exit(main())
