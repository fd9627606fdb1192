"""Model cards: what is known is there, the rest is blank, and nothing is made up."""

import functools
import re

import keras
import numpy as np
import pytest
from keras import layers

import tfgen
from tfgen import card, weights
from tfgen.__main__ import main

IMAGES = np.random.default_rng(0).random((8, 8, 8, 1), np.float32)


@pytest.fixture(scope="module")
def gan():
    """A small GAN after two steps."""
    keras.utils.set_random_seed(0)
    gan = tfgen.GAN(
        tfgen.build_generator((8, 8, 1), 4, 4, classes=3),
        tfgen.build_discriminator((8, 8, 1), 4, classes=3),
        loss="hinge",
        classes=3,
    )
    gan.compile(keras.optimizers.Adam(0.004, beta_1=0.25))
    gan.fit(IMAGES, np.arange(8) % 3, batch_size=4, verbose=0)
    return gan


def read(text):
    """The entries of a card by section and name."""
    sections = {}
    for part in text.split("\n## ")[1:]:
        title, *lines = part.strip().splitlines()
        found = [re.fullmatch(r"- \*\*(.+?)\*\*: (.+)", line) for line in lines if line]
        sections[title] = {name: known for name, known in (x.groups() for x in found)}
    return sections


def blanks_of(text):
    return {
        name
        for entries in read(text).values()
        for name, known in entries.items()
        if known.startswith("TO FILL IN: ")
    }


ALL = {name.replace("_", " ") for name in card.FACTS}


def test_what_a_model_knows(gan):
    text = tfgen.write_card(gan)
    model, training = read(text)["Model"], read(text)["Training data"]
    assert model["kind"] == "tfgen.GAN"
    parameters = f"{gan.generator.count_params():,} parameters"
    count = tfgen.count_multiplications(gan.generator)
    assert parameters in model["generator"]
    assert f"{count:,} multiplications in a pass with one image" in model["generator"]
    assert model["images"] == "8 x 8 x 1 (height, width, channels), in [0, 1]"
    assert model["labels"] == "3 values"
    options = "loss='hinge', average_decay=0.99, n_critic=1"
    assert training["options"] == options
    assert f"keras {keras.__version__}" in model["this card was written under"]
    assert training["generator optimizer"] == (
        "2 steps of Adam(learning_rate=0.004, beta_1=0.25)"
    )
    assert training["discriminator optimizer"].startswith("2 steps of Adam(learning_")
    assert blanks_of(text) == ALL
    assert "14 blanks wait for a person" in text


def test_a_person_fills_in(gan):
    text = tfgen.write_card(gan, purpose="to teach\nletters", data_licence="CC0")
    assert blanks_of(text) == ALL - {"purpose", "data licence"}
    assert read(text)["Intended use"]["purpose"] == "to teach letters"
    assert "12 blanks wait" in text


def test_a_network_that_keras_trained():
    network = keras.Sequential([layers.Input((5,)), layers.Dense(3)], name="small")
    text = tfgen.write_card(network)
    expected = "keras.Sequential, 1 layer, 18 parameters, 15 multiplications"
    assert read(text)["Model"]["network"].startswith(expected)
    assert text.startswith("# Model card: small\n")
    assert "optimizer" not in read(text)["Training data"]
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 5)
    network.compile(keras.optimizers.SGD(schedule, momentum=0.5), "mse")
    network.fit(np.zeros((4, 5)), np.zeros((4, 3)), batch_size=1, verbose=0)
    training = read(tfgen.write_card(network))["Training data"]
    expected = "4 steps of SGD(learning_rate=CosineDecay, momentum=0.5)"
    assert training["optimizer"] == expected
    assert training["compiled with"] == "loss='mse'"


def test_a_network_that_cannot_be_counted():
    network = keras.Sequential([layers.Input((5, 2)), layers.LSTM(3)])
    known = read(tfgen.write_card(network))["Model"]["network"]
    assert known == "keras.Sequential, 1 layer, 72 parameters"


def test_a_corruption_is_named_with_its_strength():
    damage = functools.partial(tfgen.add_gaussian_noise, sigma=(0, 55))
    restorer = tfgen.Restorer(tfgen.build_denoiser(width=8, blocks=1), damage)
    restorer.compile(loss="mean_squared_error")
    text = tfgen.write_card(restorer)
    model = read(text)["Model"]
    options = "corruption=add_gaussian_noise(sigma=(0, 55)), average_decay=0.999"
    assert read(text)["Training data"]["options"] == options
    assert model["images"].startswith("any x any x 1")
    assert model["network"].endswith(
        "multiplications in a pass with one image of 128 x 128 pixels"
    )
    training = read(text)["Training data"]
    assert training["compiled with"] == "loss='mean_squared_error'"
    assert training["optimizer"] == "0 steps of Adam(learning_rate=0.001)"


@pytest.mark.parametrize("name", weights.NAMES)
def test_records_of_the_package_are_copied(name, gan, monkeypatch):
    monkeypatch.setattr(card, "load_pretrained", lambda name: gan)
    text, record = tfgen.write_card(name), weights.read_records()[name]
    assert text.startswith(f"# Model card: {name}\n")
    left = {"sha256", "parameters"} | {k for k, v in record.items() if v is None}
    assert record.keys() - left <= card.RECORDED.keys()
    for key in record.keys() - left:
        section, words = card.RECORDED[key]
        assert read(text)[section][words] == card.on_one_line(record[key])
    # What `gan` was built and compiled with has not trained that network.
    assert not {"options", "generator optimizer"} & read(text)["Training data"].keys()
    known = {"data"} & record.keys()
    assert blanks_of(text) == ALL - known


def test_networks_of_the_package():
    undone = read(tfgen.write_card("denoise"))["Training data"]["trained to undo"]
    assert undone == "add_gaussian_noise(sigma=(0, 55))"
    text = tfgen.write_card("glyph_classifier")
    assert "319,930 parameters" in read(text)["Model"]["network"]


def test_files(gan, tmp_path):
    path = tmp_path / "card.md"
    text = tfgen.write_card(gan, path)
    assert path.read_text("utf-8") == text
    path.write_text("answers of a person")
    with pytest.raises(ValueError, match=r"card\.md exists; force=True overwrites"):
        tfgen.write_card(gan, path)
    assert path.read_text() == "answers of a person"
    assert tfgen.write_card(gan, path, force=True) == path.read_text("utf-8")
    with pytest.raises(ValueError, match="Cannot write .*: its folder does not exist"):
        tfgen.write_card(gan, tmp_path / "none" / "card.md")
    assert [*tmp_path.iterdir()] == [path]


def test_what_is_wrong_is_told(gan):
    with pytest.raises(ValueError, match="no blank 'license'; the blanks are made_by"):
        tfgen.write_card(gan, license="MIT")
    for empty in ("", " ", None, 3):
        with pytest.raises(ValueError, match="licence is an answer in words"):
            tfgen.write_card(gan, licence=empty)
    with pytest.raises(ValueError, match="Unknown network 'fruits'; choose from"):
        tfgen.write_card("fruits")
    with pytest.raises(ValueError, match="describes a keras.Model, .* got ndarray"):
        tfgen.write_card(IMAGES)


def test_the_command(gan, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    gan.save("letters.keras")
    assert main(["card", "letters.keras"]) == 0
    printed = capsys.readouterr().out
    assert (
        read(printed)["Training data"] == read(tfgen.write_card(gan))["Training data"]
    )
    assert main("card letters.keras -o card.md".split()) == 0
    assert capsys.readouterr().out == "card.md: 14 blanks are for you to fill in\n"
    (written,) = tmp_path.glob("*.md")
    assert written.read_text("utf-8") == printed
    assert main("card letters.keras -o card.md".split()) == 2
    assert capsys.readouterr().err == "error: card.md exists; --force overwrites it.\n"
    assert main("card letters.keras -o card.md --force".split()) == 0


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("card fruits", "no .keras file, and no network of tfgen, which are denoise, "),
        ("card none.keras", "Cannot load none.keras: no .keras file"),
        ("card bad.keras", "Cannot load bad.keras: "),
        ("card glyph_classifier -o none/card.md", "its folder does not exist"),
        ("card bad.keras -o bad.keras", "bad.keras is the input itself"),
    ],
)
def test_errors_of_the_command(line, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.keras").write_bytes(b"no model")
    assert main(line.split()) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
    assert expected in printed.err
    assert (tmp_path / "bad.keras").read_bytes() == b"no model"
    assert len([*tmp_path.iterdir()]) == 1
