"""A model card: what a trained model knows of itself, and what only a person knows.

M. Mitchell et al., 2019, Model cards for model reporting, arXiv:1810.03993.
"""

import functools
import inspect
import os
import platform
from importlib import metadata

import keras

from tfgen.checks import require
from tfgen.measures.cost import count_multiplications
from tfgen.model import ImageModel
from tfgen.weights import load_pretrained, read_records
from tfgen.writing import check_path, write_whole

BLANK = "TO FILL IN:"
FACTS = {  # what only a person knows: the section, and what is asked
    "made_by": ("Model", "who made it, when, and whom to ask"),
    "licence": ("Model", "the licence of the model"),
    "purpose": ("Intended use", "what it is for, and for whom"),
    "not_for": ("Intended use", "what it must not be used for"),
    "data": ("Training data", "which images, how many, and where they are from"),
    "data_licence": ("Training data", "the licence of these images"),
    "consent": ("Training data", "whether those who are shown, or drew, have agreed"),
    "figures": (
        "Evaluation",
        "scores on images it never saw, how many, which interval",
    ),
    "classes": ("Evaluation", "how well each class or group does, the rarest too"),
    "copies": ("Risks", "how copies of training images were looked for, and found"),
    "membership": ("Risks", "whether it tells which images it was trained on"),
    "marks": ("Risks", "how its images are marked as generated"),
    "limits": ("Risks", "where it fails, and what nobody has tested"),
    "cost": ("Cost", "hardware, hours and energy, trials included"),
}
SECTIONS = tuple(dict.fromkeys(section for section, _ in FACTS.values()))
SIDES = (128, 128)  # for which networks count that take any size
RECORDED = {  # of the networks in the package: the section, and the name in the card
    "data": ("Training data", "data"),
    "batch": ("Training data", "a step saw"),
    "begun_with": ("Training data", "begun with the weights of"),
    "steps": ("Training data", "steps"),
    "epochs": ("Training data", "epochs"),
    "seed": ("Training data", "seed"),
    "averaged": ("Training data", "averaged"),
    "program": ("Training data", "program"),
    "command": ("Training data", "command"),
    "recipe": ("Training data", "recipe"),
    "accuracy": ("Evaluation", "accuracy"),
    "f1": ("Evaluation", "F1"),
    "untouched_psnr": ("Evaluation", "PSNR of the untouched images, dB"),
    "restored_psnr": ("Evaluation", "PSNR of the restored images, dB"),
    "hardware": ("Cost", "hardware"),
    "seconds": ("Cost", "seconds"),
}


def write_card(model, path=None, *, force=False, **facts):
    """Write a model card in Markdown: what the model knows, and blanks for the rest.

    Parameters
    ----------
    model : keras.Model or str
        A model, such as a trained `GAN` or a network; or the name of one that
        `load_pretrained` takes, whose records of its training are copied.
    path : str or Path, optional
        The file to write, whole or not at all.
    force : bool
        Replace a file that is there. It may hold what a person has filled in.
    **facts : str
        Answers for the blanks: ``made_by``, ``licence`` (of the model), ``purpose``,
        ``not_for``, ``data``, ``data_licence``, ``consent``, ``figures``, ``classes``,
        ``copies``, ``membership``, ``marks``, ``limits``, ``cost``.

    Returns
    -------
    str
        The card: kind, networks, parameters, multiplications, image shape, classes,
        options, steps, optimizers, versions. What is neither known nor given reads
        ``TO FILL IN: ...``; nothing is guessed.

    Raises
    ------
    ValueError
        For what is no model, the name of an unknown one, an unknown fact or an empty
        one, or a file that cannot be written or is there already.
    """
    for name, answer in facts.items():
        require(
            name in FACTS,
            f"A card has no blank {name!r}; the blanks are {', '.join(FACTS)}.",
        )
        require(
            isinstance(answer, str) and answer.strip() != "",
            f"{name} is an answer in words; got {answer!r}.",
        )
    if path is not None:
        check_path(path)
        require(
            force or not os.path.exists(path),
            f"{os.fspath(path)} exists; force=True overwrites it.",
        )
    text = make_card(model, facts)
    if path is not None:
        write_whole(path, text.encode())
    return text


def make_card(model, facts):
    """The text of a card."""
    title, recorded = None, {}
    if isinstance(model, str):
        title, model = model, load_pretrained(model)
        recorded = read_records()[title]
    require(
        isinstance(model, keras.Model),
        "A card describes a keras.Model, or one that load_pretrained names; got "
        f"{type(model).__name__}.",
    )
    lines = {section: [] for section in SECTIONS}
    lines["Model"] = describe_model(model)
    if recorded:  # the options of the model that is loaded have not trained it
        undone = name_value(getattr(model, "corruption", None))
        lines["Training data"] = [("trained to undo", undone)] if undone else []
    else:
        lines["Training data"] = describe_training(model)
    for name, (section, words) in RECORDED.items():
        if recorded.get(name) is not None:
            lines[section].append((words, recorded[name]))
    for name, (section, question) in FACTS.items():
        answer = facts.get(name)
        if answer is not None or name not in recorded:
            known = answer or f"{BLANK} {question}"
            lines[section].append((name.replace("_", " "), known))
    note = "Written by `tfgen.write_card` from what the model holds"
    if recorded:
        note += " and from `tfgen/weights/records.json`, which the package's "
        note += "`tfgen/weights/README.md` explains"
    blanks = sum(
        str(known).startswith(BLANK) for part in lines.values() for _, known in part
    )
    waiting = "blank waits" if blanks == 1 else "blanks wait"
    note += f". {blanks} {waiting} for a person: search for `{BLANK}`"
    text = f"# Model card: {title or model.name}\n\n*{note}.*\n"
    for section, entries in lines.items():
        text += f"\n## {section}\n\n"
        text += "".join(
            f"- **{name}**: {on_one_line(known)}\n" for name, known in entries
        )
    return text


def on_one_line(value):
    text = f"{value:,}" if type(value) is int else str(value)
    return " ".join(text.split())


# --- What a model knows -----------------------------------------------------


def describe_model(model):
    """Pairs of a name and what is known: kind, networks, images, classes, versions."""
    lines = [("kind", name_kind(model))]
    networks = find_networks(model)
    for name, network in networks.items():
        lines.append((name, describe_network(network)))
    if isinstance(model, ImageModel):
        sides = " x ".join(str(side or "any") for side in model.image_shape)
        lines.append(("images", f"{sides} (height, width, channels), in [0, 1]"))
        if model.classes:
            lines.append(("labels", describe_labels(model)))
    versions = {"Python": platform.python_version()}
    for package in ("keras", "tensorflow", "tfgen"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # a copy that was not installed
            pass
    versions = ", ".join(f"{name} {number}" for name, number in versions.items())
    lines.append(("this card was written under", versions))
    return lines


def describe_training(model):
    """Pairs of a name and what is known of the training: options, steps, optimizers."""
    options = isinstance(model, ImageModel) and list_options(model, "__init__")
    lines = [("options", options)] if options else []
    if not model.compiled:
        return lines
    for name, optimizer in find_optimizers(model).items():
        steps = int(optimizer.iterations)
        settings = describe_settings(optimizer)
        lines.append((name.replace("_", " "), f"{steps:,} steps of {settings}"))
    if isinstance(model, ImageModel):
        loss = list_options(model, "compile")
    else:
        loss = getattr(model.loss, "name", None) or name_value(model.loss)
        loss = loss and f"loss={loss}"
    return [*lines, ("compiled with", loss)] if loss else lines


def name_kind(model):
    """The class of a model, with the package that defines it."""
    kind = type(model)
    place = kind.__module__.split(".")[0]
    return f"{kind.__module__ if place == '__main__' else place}.{kind.__qualname__}"


def find_networks(model):
    """The networks of a model of the package, or a network itself, by their names."""
    if not isinstance(model, ImageModel):
        return {"network": model}
    return {
        name: value
        for name, value in vars(model).items()
        if isinstance(value, keras.Model) and not name.startswith("averaged_")
    }


def describe_network(network):
    layers = len(network.layers)
    text = f"{name_kind(network)}, {layers} layer{'s' * (layers != 1)}"
    if not network.built:
        return f"{text}, not built"
    text += f", {network.count_params():,} parameters"
    for sides in (None, SIDES):
        try:
            count = count_multiplications(network, sides)
        except ValueError:
            continue
        text += f", {count:,} multiplications in a pass with one image"
        return text + (f" of {sides[0]} x {sides[1]} pixels" if sides else "")
    return text


def describe_labels(model):
    counts = " and ".join(f"{count} values" for count in model.classes)
    names = getattr(model, "label_names", None)
    return f"{counts}: {', '.join(map(str, names))}" if names else counts


def find_optimizers(model):
    """The optimizers of a model by the names that it has for them."""
    found = {
        name: value
        for name, value in vars(model).items()
        if isinstance(value, keras.optimizers.Optimizer) and name != "optimizer"
    }
    return found or {"optimizer": model.optimizer}


def describe_settings(optimizer):
    """An optimizer and its settings: the rate, and where they are not the usual."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    usual = type(optimizer)().get_config() | {"learning_rate": None, "name": ...}
    settings = []
    for name, value in optimizer.get_config().items():
        if usual.get(name) not in (value, ...):
            if isinstance(value, dict):
                value = value["class_name"]
            elif isinstance(value, float):
                value = f"{value:.6g}"
            settings.append(f"{name}={value}")
    return f"{type(optimizer).__name__}({', '.join(settings)})"


def list_options(model, method):
    """The arguments of a method that say something, as they are kept in a model."""
    options = {}
    for part in type(model).__mro__[: type(model).__mro__.index(ImageModel)]:
        if method in vars(part):
            for name in inspect.signature(vars(part)[method]).parameters:
                value = getattr(model, f"{name}_name", None) or getattr(
                    model, name, None
                )
                if (text := name_value(value)) and name not in (
                    "label_names",
                    "classes",
                ):
                    options[name] = text
    return ", ".join(f"{name}={text}" for name, text in options.items())


def name_value(value):
    """A setting in words; None for a network, an optimizer or nothing."""
    if value is None or isinstance(value, keras.Model | keras.optimizers.Optimizer):
        return None
    if isinstance(value, functools.partial):
        given = [*map(name_value, value.args)]
        given += [f"{name}={name_value(part)}" for name, part in value.keywords.items()]
        return f"{name_value(value.func)}({', '.join(map(str, given))})"
    if isinstance(value, bool | int | float | str | tuple | list):
        return repr(value) if value != () else None
    return getattr(value, "__qualname__", type(value).__name__)
