"""Lighter pages: what a reader waits for is the text, and nothing else.

When the site is written, each page is rewritten by the functions in `STEPS`, from text to text. A second run changes
nothing, so pages that an incremental build left alone may pass again.

- Font Awesome's script (1.5 MB) goes: the theme's stylesheet draws the same icons with a font. Of that font (160 kB)
  and its stylesheet stay the icons that some page names or the stylesheet draws.
- Scripts of the head wait until the page is read; the few bytes of options that stand between them are written
  into the page.
- Images know their size before they arrive, and those below the first arrive when they come near.
- The theme measures every box that might scroll as soon as it starts, and so lays out the whole page; `book.js`
  measures a box when it comes near.
- Interactive figures are drawn when they come near: their scripts sleep until `book.js` wakes them.
"""

import re
import struct
from functools import partial
from io import BytesIO
from pathlib import Path

import pydata_sphinx_theme
from fontTools import subset
from fontTools.ttLib import TTFont

FONT_AWESOME = re.compile(r'\s*<script src="[^"]*scripts/fontawesome\.js[^"]*"></script>')
PRELOAD = re.compile(r'\s*<link rel="preload" as="script"[^>]*>')
OPTIONS = re.compile(r'<script src="[^"]*_static/documentation_options\.js[^"]*"></script>')
BLOCKING = re.compile(r"<script(?![^>]*\b(?:defer|async)\b)(?P<rest>[^>]*\ssrc=[^>]*)>")
IMAGE = re.compile(r"<img\b(?P<attributes>[^>]*?)\s*/?>")
SOURCE = re.compile(r'\bsrc="(?P<path>[^":]*\.png)"')
FIGURE = re.compile(r'<script type="text/javascript">(?=\s*var VEGA_DEBUG\b)')
ICON = re.compile(r"\bfa-[a-z][a-z0-9-]*")
ICON_RULE = re.compile(r'(?P<names>(?:\.fa-[a-z0-9-]+:before,?)+)\{content:"\\(?P<code>[0-9a-f]+)"\}')
DRAWN = re.compile(r'--pst-icon-[a-z-]+:"(?P<character>.)"')  # icons that the stylesheet draws itself, by the character
ICON_FACE = re.compile(r"@font-face\{[^}]*?font-weight:900;src:(?P<source>[^}]*fa-solid-900[^}]*)\}")
THEME = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static"
STYLES, FONT = Path("styles/pydata-sphinx-theme.css"), Path("vendor/fontawesome/webfonts/fa-solid-900.ttf")
TAB_STOPS = re.compile(r'\["pre"[^\]]*\]\.join\(", "\)(?=\)\.forEach\(\(e=>\{e\.tabIndex=)')
SCRIPT = Path("scripts/pydata-sphinx-theme.js")
PNG_HEAD = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


def without_font_awesome(text, page):
    """Drop the script that redraws icons which the stylesheet has drawn."""
    return FONT_AWESOME.sub("", text)


def without_preloads(text, page):
    """Let the theme's scripts come when their turn is, after the stylesheet."""
    return PRELOAD.sub("", text)


def with_deferred_scripts(text, page, options):
    """Let the head's scripts wait, in their order; the page of search calls its own at once and stays as it is."""
    if page.name == "search.html":
        return text
    head, end, body = text.partition("</head>")
    head = OPTIONS.sub(lambda _: f"<script>{options}</script>", head)
    return BLOCKING.sub(r"<script defer\g<rest>>", head) + end + body


def size_of_png(path):
    """The width and the height of an image, in pixels; None for a file that is not a PNG."""
    with path.open("rb") as file:
        head = file.read(24)
    return struct.unpack(">II", head[16:24]) if head.startswith(PNG_HEAD) else None


def with_sized_images(text, page):
    """Give each image of the site its width and height, and let all but the first wait until they come near."""
    seen = []

    def replacement(match):
        attributes = match["attributes"]
        source = SOURCE.search(attributes)
        path = source and page.parent / source["path"]
        if not source or not path.is_file():
            return match[0]
        seen.append(path)
        size = size_of_png(path)
        if size and not re.search(r"\b(width|height|style)=", attributes):
            attributes += ' width="{}" height="{}"'.format(*size)
        if len(seen) > 1 and "loading=" not in attributes:
            attributes += ' loading="lazy"'
        return f"<img{attributes} />"

    return IMAGE.sub(replacement, text)


def with_sleeping_figures(text, page):
    """Turn the script of each interactive figure into text that `book.js` runs when the figure comes near."""
    return FIGURE.sub('<script type="text/plain" class="sleeping-figure">', text)


def lighten(text, page, options):
    """All steps, on the text of one page."""
    steps = (without_font_awesome, without_preloads, partial(with_deferred_scripts, options=options))
    for step in (*steps, with_sized_images, with_sleeping_figures):
        text = step(text, page)
    return text


def with_used_icons(styles, used):
    """The stylesheet without the rules of unused icons; and the characters of the icons that stay."""
    characters = set(DRAWN.findall(styles))

    def kept(match):
        if used.isdisjoint(ICON.findall(match["names"])):
            return ""
        characters.add(chr(int(match["code"], 16)))
        return match[0]

    return ICON_RULE.sub(kept, styles), characters


def font_of(characters):
    """The bytes of a small font (WOFF) with these icons of Font Awesome's solid face."""
    font = TTFont(THEME / FONT, recalcTimestamp=False)
    subsetter = subset.Subsetter()
    subsetter.populate(text="".join(sorted(characters)))
    subsetter.subset(font)
    font.flavor = "woff"
    written = BytesIO()
    font.save(written)
    return written.getvalue()


def lighten_icons(static, pages):
    """Write the theme's stylesheet and icon font anew, for the icons that the pages and their scripts name."""
    texts = [*pages, *(path.read_text() for path in (static / "scripts").glob("*theme.js"))]
    used = {name for text in texts for name in ICON.findall(text)}
    styles, characters = with_used_icons((THEME / STYLES).read_text(), used)
    font = FONT.with_suffix(".woff")
    (static / font).write_bytes(font_of(characters))
    styles = ICON_FACE.sub(lambda face: face[0].replace(face["source"], f'url(../{font}) format("woff")'), styles)
    (static / STYLES).write_text(styles)


def without_tab_stops(script):
    """The theme's script without its search for boxes that scroll; an error if it searches no more, or otherwise."""
    lighter, changes = TAB_STOPS.subn('"none-of-these"', script)
    if changes != 1:
        raise ValueError(f"{SCRIPT}: expected one search for boxes that scroll, got {changes}: the theme has changed")
    return lighter


def lighten_site(app, exception):
    """Rewrite every page that was written."""
    if exception or app.builder.name != "html":
        return
    site = Path(app.outdir)
    options = (site / "_static" / "documentation_options.js").read_text().strip()
    pages = [page for page in sorted(site.rglob("*.html")) if "_static" not in page.relative_to(site).parts]
    texts = {page: page.read_text() for page in pages}
    for page, text in texts.items():
        lighter = lighten(text, page, options)
        if lighter != text:
            page.write_text(lighter)
    lighten_icons(site / "_static", texts.values())
    (site / "_static" / SCRIPT).write_text(without_tab_stops((THEME / SCRIPT).read_text()))


def setup(app):
    """Listen for the end of the build."""
    app.connect("build-finished", lighten_site)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
