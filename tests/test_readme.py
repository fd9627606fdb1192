"""The pages in Markdown: their examples run as written, with less training; their links
lead somewhere."""

import re
from pathlib import Path

import matplotlib
import pytest

import tfgen

ROOT = Path(tfgen.__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *ROOT.glob("[a-z]*/README.md"), *ROOT.glob("tfgen/*/README.md")]
PAGES.append(ROOT / "notebooks" / "glossary.md")
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
LINES = 120  # of the README: one page


def read(page):
    return page.read_text("utf-8")


def find_examples(text):
    return [
        block
        for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        if "import tfgen" in block or ".fit(" in block or "load_pretrained" in block
    ]


def find_broken_links(page):
    """List the links and pictures of a page that lead to no file or no heading."""
    text = re.sub(r"```.*?```", "", read(page), flags=re.DOTALL)
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in find_anchors(target)):
            broken.append(link)
    return broken


def find_anchors(page):
    """List what GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", read(page), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings]


EXAMPLES = [
    pytest.param(page, example, id=f"{page.relative_to(ROOT).as_posix()}-{number}")
    for page in PAGES
    for number, example in enumerate(find_examples(read(page)))
]


def test_the_readme_has_examples():
    text = "".join(find_examples(read(README)))
    for name in ("tfgen.GAN(", ".save(", "load_model(", "tfgen.load_pretrained("):
        assert name in text
    text = "".join(find_examples(read(ROOT / "tfgen" / "README.md")))
    for name in ("labels=True", "tfgen.VAE(", "log_likelihood(", "LatentCoder("):
        assert name in text


@pytest.mark.parametrize(("page", "example"), EXAMPLES)
def test_an_example_runs(page, example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    for model in (tfgen.GAN, tfgen.VAE, tfgen.Restorer):

        def fit(self, data, *, fit=model.fit, epochs, **options):
            return fit(self, data.take(2), epochs=1, **options)

        monkeypatch.setattr(model, "fit", fit)
    exec(compile(example, f"an example of {page}", "exec"), {"tfgen": tfgen})


def test_the_readme_is_one_page():
    assert len(read(README).splitlines()) <= LINES


def test_the_readme_shows_every_chapter():
    text = read(README)
    for chapter in CHAPTERS:
        title, picture = (
            f"notebooks/{chapter.name}",
            f"notebooks/pictures/{chapter.stem}.png",
        )
        row = next((line for line in text.splitlines() if title in line), "")
        number = int(chapter.name[:2])
        assert f"[{number} " in row, f"{title} has no row in the table of chapters"
        assert re.search(rf"!\[.+?\]\({picture}\)", row), f"{title} has no picture"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    assert not find_broken_links(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_name_programs(page):
    programs = re.findall(
        r"python ((?:benchmarks|examples|notebooks)/\S+\.py)", read(page)
    )
    assert [name for name in programs if not (ROOT / name).exists()] == []


def test_the_glossary_has_forty_terms_in_two_languages():
    rows = re.findall(
        r"^\| ([^|]+) \| ([^|]+) \| ([^|]+)\. \| \[", read(PAGES[-1]), re.M
    )
    assert len(rows) == len({english for english, _, _ in rows}) == 40
    for english, chinese, _ in rows:
        assert english.isascii() and re.match(r"[\u4e00-\u9fff]{2,}", chinese)


def test_broken_links_are_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A `page` of links\n[a](page.md#a-page-of-links) [b](#a-page) [c](gone.md)\n"
        "[![d](gone.png)](https://example.org) [e](.)\n```\n[f](code)\n```\n"
    )
    assert find_broken_links(page) == ["#a-page", "gone.md", "gone.png"]
