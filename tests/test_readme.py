"""The README's examples run as they are written, with less training."""

import re
from pathlib import Path

import matplotlib
import pytest

import tfgen

README = Path(tfgen.__file__).parents[1] / "README.md"
EXAMPLES = [
    block
    for block in re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.S)
    if "import tfgen" in block or ".fit(" in block or "load_pretrained" in block
]


def test_the_readme_has_examples():
    text = "".join(EXAMPLES)
    for name in ("GAN(", "VAE(", "load_pretrained("):
        assert f"tfgen.{name}" in text


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_runs(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    for model in (tfgen.GAN, tfgen.VAE, tfgen.Restorer):

        def fit(self, data, *, fit=model.fit, epochs, **options):
            return fit(self, data.take(2), epochs=1, **options)

        monkeypatch.setattr(model, "fit", fit)
    exec(
        compile(EXAMPLES[number], f"README.md, example {number}", "exec"),
        {"tfgen": tfgen},
    )
