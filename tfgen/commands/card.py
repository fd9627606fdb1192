"""`python -m tfgen card`: a model card of what a model knows of itself."""

import sys

from tfgen.card import BLANK, make_card
from tfgen.commands import networks, photo_files
from tfgen.commands.screen import shown
from tfgen.weights import NAMES
from tfgen.writing import write_whole


def card(model, output=None, force=False):
    """Print the card of a network of tfgen or of a file, or write it."""
    if output is not None:
        photo_files.check_output(output, force, model)
    if model not in NAMES:
        model = networks.load_file(model, compile=True, names=NAMES)
    text = make_card(model, {})
    if output is None:
        sys.stdout.write(text)
        return
    write_whole(output, text.encode())
    blanks = text.count(f": {BLANK}")
    print(f"{shown(output)}: {blanks} blanks are for you to fill in")
