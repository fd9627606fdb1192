"""What the commands that restore share: a network for the task, and what it is told."""

import hashlib
import os
import sys
import warnings
from pathlib import Path

import keras

from tfgen import weights as pretrained
from tfgen.restoration import Restorer

TRAINED, LARGEST = 55, 75  # sigma: up to where networks were trained, what is taken


def check_options(task, tasks, **options):
    """Raise ValueError for an option of another task; `tasks` are those of each."""
    for name, value in options.items():
        if value is not None and value is not False and task not in tasks[name]:
            raise ValueError(
                f"--{name} does not go with --task {task}, but with "
                f"{' and '.join(tasks[name])}."
            )


def check_sigma(sigma):
    """Sigma as a float, or ValueError where no network was trained for it."""
    if not 0 <= sigma <= LARGEST:  # also for NaN
        raise ValueError(
            f"sigma is {sigma:.4g}, but must be from 0 to {LARGEST}; the networks were "
            f"trained for 0 to {TRAINED}."
        )
    if sigma > TRAINED:
        print(
            f"note: sigma is {sigma:.4g}; the networks were trained for 0 to {TRAINED}",
            file=sys.stderr,
        )
    return float(sigma)


def load_finder():
    """The network that finds scratches."""
    return pretrained.load_pretrained("scratches")


def choose_network(task, channels, scale=1, sharp=False, weights=None):
    """The `Restorer` that tfgen ships for a task, or the one that is asked for.

    `weights` is the name of a shipped one, or a file.
    """
    if weights is None:
        name = {
            "photo": "photo",
            "denoise": "denoise" if channels == 1 else "denoise_color",
            "inpaint": "inpaint",
            "scratches": "inpaint",
            "upscale": f"upscale_x{scale}{'_features' if sharp else ''}",
        }[task]
        return pretrained.load_pretrained(name)
    if weights in pretrained.RECIPES:
        restorer = pretrained.load_pretrained(weights)
    else:
        restorer = load_file(weights)
    if not isinstance(restorer, Restorer):
        raise ValueError(f"{weights} holds no tfgen.Restorer.")
    told = set(restorer.network.input) - {"image"}
    fits = {
        "denoise": told <= {"sigma"},
        "inpaint": told == {"mask"},
        "scratches": told == {"mask"},
    }
    if not fits.get(task, not told) or restorer.scale != scale:
        raise ValueError(
            f"The network in {weights} is of no use here: beside the image it is told "
            f"{' and '.join(sorted(told)) or 'nothing'}, and it enlarges "
            f"{restorer.scale} times."
        )
    return restorer


def name_weights(weights):
    """What tells networks apart: their names or, of a file, a checksum."""
    if weights is None or not os.path.isfile(weights):
        return weights
    return hashlib.sha256(Path(weights).read_bytes()).hexdigest()


def load_file(path, compile=False, names=pretrained.RECIPES):
    """The model in a `.keras` file. Code in it is not run: Keras refuses.

    `names` are the networks of tfgen that would do, too.
    """
    if not (path.endswith(".keras") and os.path.isfile(path)):
        raise ValueError(
            f"Cannot load {path}: no .keras file, and no network of tfgen, which are "
            f"{', '.join(sorted(names))}."
        )
    try:
        return keras.saving.load_model(path, compile=compile)
    except Exception as error:  # a damaged file can raise anything
        code = "safe_mode" in str(error)
        reason = "it carries code, which could do anything." if code else error
        reason = " ".join(str(reason).split())
        raise ValueError(f"Cannot load {path}: {reason}") from None


def run_network(restorer, image, ensemble=False, verbose=0, **known):
    """Restore an image, telling the network only what it asks for."""
    told = {name: known[name] for name in restorer.network.input if name != "image"}
    with warnings.catch_warnings():
        warnings.showwarning = print_note
        return restorer.restore(image, ensemble=ensemble, verbose=verbose, **told)


def print_note(message, *_, **__):
    """Take the place of `warnings.showwarning`: one line, without a place in code."""
    print(f"note: {message}", file=sys.stderr)
