"""Turn executed notebooks into the pages of the book. `book.py` runs them."""

import base64
import copy
import html
import io
import os
import re
import sys

import jinja2
import nbformat
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from PIL import Image

STYLE = """
<style>
  body.jp-Notebook { max-width: 60rem; margin: 0 auto; padding: 1rem; }
  body.jp-Notebook img { max-width: 100%; height: auto; }
  math[display="block"] { margin: 1em 0; }
  nav { display: flex; justify-content: space-between; gap: 1rem; padding: .5rem 0;
        font-family: system-ui, sans-serif; font-size: .9rem; }
  nav a { color: #0550ae; text-decoration: underline; }
</style>"""

# nbconvert's page without its scripts, with alternative texts and links between pages.
PAGE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}
{{ resources.style }}
{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block body_header -%}{{ super() }}{{ resources.links }}{%- endblock -%}
{%- block body_footer -%}{{ resources.links }}{{ super() }}{%- endblock -%}
{%- block data_png scoped -%}
<div class="jp-RenderedImage jp-OutputArea-output {{ extra_class }}">
<img src="data:image/png;base64,{{ output.data['image/png'] | escape_html }}"
{%- set alt = output | get_metadata('alt', 'image/png') %}
alt="{{ (alt or 'Figure') | escape_html }}">
</div>
{%- endblock -%}
"""

INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Image generation and restoration with Keras</title>
<style>
  body { font-family: system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
         padding: 0 1rem; color: #222; }
  ol { list-style: none; padding: 0; display: grid; gap: 1.5rem;
       grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); }
  li { border: 1px solid #ccc; border-radius: .4rem; padding: 1rem; }
  img { width: 100%; height: 10rem; object-fit: contain; }
  .note { color: #595959; font-size: .9rem; }
</style>
</head>
<body>
<main>
<h1>Image generation and restoration with Keras</h1>
<ol>
CHAPTERS
</ol>
TEXTS
</main>
</body>
</html>
"""

THUMBNAIL = (240, 240)  # most pixels, width and height, of a picture of the gallery

# LaTeX that docutils does not read, or misreads, and how it reads the same.
SPELLINGS = (
    (r"\\(begin|end)\{align\*?\}", r"\\\1{aligned}"),
    (r"\\([td]?frac)\s*(\d)\s*(\d)", r"\\\1{\2}{\3}"),
    (r"\\operatorname\*", r"\\operatorname"),
    (r"\\arg\s*\\(min|max)", r"\\operatorname{arg \1}"),
    (r"\{arg\\,(min|max)\}", r"{arg \1}"),
    (r"\\dots\b", r"\\ldots"),
    (r"\\iff\b", r"\\Leftrightarrow"),
    (r"\\(log|ln|exp)(?=\s+[A-Za-z]|\s*\d|\s*\\(?!big|Big|left|,))", r"\\\1\\,"),
)


def write_page(notebook, path, chapters, output, seconds=None):
    """Write a notebook as one HTML file."""
    notebook = copy.deepcopy(notebook)
    notebook.metadata["title"] = read_title(notebook, path)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(
                r"(\]\([\w./-]+)\.ipynb([)#])", r"\1.html\2", cell.source
            )
            cell.source = re.sub(r"(\]\(\w+)\.md([)#])", r"\1.html\2", cell.source)
    links = []
    if chapters is None:
        links.append('<a href="index.html">All chapters</a>')
    elif chapters:
        index = chapters.index(path)
        before = chapters[index - 1] if index else None
        after = chapters[index + 1] if index + 1 < len(chapters) else None
        links.append(f'<a href="{before.stem}.html">Previous</a>' if before else "")
        links.append('<a href="index.html">All chapters</a>')
        if (path.parent / "solutions" / path.name).exists():
            links.append(f'<a href="solutions/{path.stem}.html">Solutions</a>')
        links.append(f'<a href="{after.stem}.html">Next</a>' if after else "")
    else:
        links.append(f'<a href="../{path.stem}.html">Back to the chapter</a>')
    if seconds is not None:
        links.append(f"<span>Ran in {seconds:.0f} s</span>")
    resources = {
        "style": STYLE,
        "links": "<nav>"
        + "\n".join(link or "<span></span>" for link in links)
        + "</nav>",
    }
    exporter = PageExporter(raw_template=PAGE)
    exporter.folder = str(path.parent)
    page, _ = exporter.from_notebook_node(notebook, resources)
    output.mkdir(parents=True, exist_ok=True)
    picture = find_picture(notebook)
    if picture:
        write_whole(output / f"{path.stem}.png", picture)
    write_whole(output / f"{path.stem}.html", page)


def write_text(path, output):
    """Write a text in Markdown as one HTML file, and return its title."""
    notebook = nbformat.v4.new_notebook()
    notebook.cells.append(nbformat.v4.new_markdown_cell(path.read_text("utf-8")))
    write_page(notebook, path, None, output)
    return read_title(notebook, path)


def read_title(notebook, path):
    match = re.match(r"#\s+(.+)", notebook.cells[0].source if notebook.cells else "")
    return match[1].strip() if match else path.stem


def find_picture(notebook):
    """Find the PNG that stands for a chapter: tagged `gallery`, else the first."""
    pictures = [
        ("gallery" in cell.metadata.get("tags", []), output.data["image/png"])
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    chosen = [picture for tagged, picture in pictures if tagged]
    chosen += [picture for _, picture in pictures]
    return base64.b64decode(chosen[0]) if chosen else None


def write_thumbnail(notebook, path):
    """Write the chapter's picture, small, to pictures/NN_name.png beside it."""
    picture = find_picture(notebook)
    if picture is None:
        return
    image = Image.open(io.BytesIO(picture))
    image.thumbnail(THUMBNAIL, Image.Resampling.LANCZOS)
    if image.mode != "L":
        image = image.convert("RGB").quantize(256)
    small = io.BytesIO()
    image.save(small, "png", optimize=True)
    folder = path.parent / "pictures"
    folder.mkdir(exist_ok=True)
    write_whole(folder / f"{path.stem}.png", small.getvalue())


def write_index(chapters, output, texts=()):
    """Write the list of chapters, with the pages that have been made so far, and the
    pages of the texts in Markdown."""
    items = []
    for path in chapters:
        title = html.escape(read_title(nbformat.read(path, as_version=4), path))
        page = output / f"{path.stem}.html"
        if not page.exists():
            items.append(f'<li>{title}<p class="note">Not made yet.</p></li>')
            continue
        ran = re.search(r"Ran in \d+ s", page.read_text("utf-8"))
        note = f'<p class="note">{ran[0]}.</p>' if ran else ""
        image = ""
        if page.with_suffix(".png").exists():
            image = f'<img src="{path.stem}.png" alt="A picture from this chapter">'
        items.append(
            f'<li><a href="{path.stem}.html">{image}<br>{title}</a>{note}</li>'
        )
    titles = {path.stem: html.escape(write_text(path, output)) for path in texts}
    links = [f'<a href="{stem}.html">{title}</a>' for stem, title in titles.items()]
    index = INDEX.replace("CHAPTERS", "\n".join(items))
    write_whole(output / "index.html", index.replace("TEXTS", "\n".join(links)))


class Renderer(IPythonRenderer):
    """Markdown with formulas as MathML, which browsers draw without a script."""

    def block_math(self, body):
        return to_mathml(body, block=True)

    def inline_math(self, body):
        return to_mathml(body, block=False)

    def latex_environment(self, name, body):
        return to_mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", block=True)


class PageExporter(HTMLExporter):
    folder = ""  # of the notebook, where the pictures of its text are looked for

    @jinja2.pass_context
    def markdown2html(self, context, source):
        attachments = context.get("cell", {}).get("attachments", {})
        renderer = Renderer(
            escape=False,
            attachments=attachments,
            embed_images=True,
            path=self.folder,
        )
        return MarkdownWithMath(renderer=renderer).render(source)


def to_mathml(tex, block):
    """Turn a LaTeX formula into MathML; leave it as code if that is not possible."""
    for pattern, known in SPELLINGS:
        tex = re.sub(pattern, known, tex.strip())
    try:
        return tex2mathml(tex, as_block=block)
    except MathError as error:
        print(f"\nFormula left as code, {error}: {tex}", file=sys.stderr)
        return f"<code>{html.escape(tex)}</code>"


def write_whole(path, content):
    """Replace a file as a whole: an interrupt leaves the old one or the new one."""
    temporary = path.with_name(path.name + ".part")
    if isinstance(content, str):
        content = content.encode("utf-8")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
