"""What a page offers besides its text: buttons, and what search engines and link previews read.

A chapter is described by the question that the table of the first page says it answers.

The builder names the place of publication in two environment variables, `SITE_URL` and `REPOSITORY` (see `origin`).
A button that needs one that is missing is not shown.
"""

import os
import re
from html import escape
from pathlib import Path

from front_page import ABOUT
from origin import colab_url, repository_from, site_url_from, source_url
from sphinx.util.osutil import relative_uri

COPIES = "chapters/"  # a page below this has a notebook
QUESTION = re.compile(r"^\| \{doc\}`(?P<page>[\w/]+)` \| (?P<question>[^|]+?) \|$", re.MULTILINE)


def link(text, url, icon, label, tooltip):
    """A header button of the theme that leads somewhere."""
    return {"type": "link", "text": text, "url": url, "icon": icon, "label": label, "tooltip": tooltip}


def buttons(page, here, site_url, repository, source):
    """The header buttons of a page (a document's name), given its address, where it is published, and its source.

    Colab reads the notebook from the repository, and the package from the site: it needs both.
    """
    found = []
    if page.startswith(COPIES):
        name = page.removeprefix(COPIES)
        if site_url and repository:
            url = colab_url(repository, name)
            found.append(link("Colab", url, "fas fa-rocket", "open-in-colab", "Run this chapter in Colab"))
        copy = relative_uri(here, f"colab/{name}.ipynb")
        found.append(link("Notebook", copy, "fas fa-download", "download-notebook", "Download this chapter's notebook"))
    if repository:
        view, edit = source_url(repository, source), source_url(repository, source, "edit")
        found.append(link("Source", view, "fas fa-code", "view-source", "View the source of this page"))
        found.append(link("Edit", edit, "fas fa-pencil-alt", "suggest-edit", "Suggest an edit of this page"))
    printing = {"type": "javascript", "javascript": "window.print()", "text": "Print", "icon": "fas fa-print"}
    return [*found, {**printing, "label": "print", "tooltip": "Print this page, or save it as PDF"}]


def add_buttons(app, pagename, templatename, context, doctree):
    """Give one page its buttons; a page without a text of its own, such as the search, gets none."""
    if doctree is None:
        return
    text = pagename if not pagename.startswith(COPIES) else f"{pagename}.md"
    source = text if text.endswith(".md") else app.env.doc2path(pagename, base=False)
    here = app.builder.get_target_uri(pagename)
    context["header_buttons"] += buttons(
        pagename, here, app.config.site_address, app.config.repository, f"book/{source}"
    )


def questions(text):
    """The question that each chapter answers, by page: the rows of the first page's table."""
    return {match["page"]: match["question"] for match in QUESTION.finditer(text)}


def describe_page(app, pagename, templatename, context, doctree):
    """Describe a chapter, or the whole course, in words; an excerpt of a page would hold formulas."""
    text = questions((Path(app.srcdir) / "intro.md").read_text()).get(pagename)
    if pagename == app.config.root_doc:
        text = ABOUT
    if text:
        context["meta"] = {**(context.get("meta") or {}), "og:description": text}
        context["metatags"] += f'<meta name="description" content="{escape(text)}" />\n'


def write_map(app, exception):
    """Write the map of the whole site, whichever pages this build wrote anew."""
    if exception or not app.config.site_address or app.builder.name != "html":
        return
    pages = sorted(app.builder.get_target_uri(page) for page in app.env.found_docs)
    lines = [f"  <url><loc>{escape(app.config.site_address)}/{page}</loc></url>" for page in pages]
    head = ['<?xml version="1.0" encoding="utf-8"?>', '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">']
    (Path(app.outdir) / "sitemap.xml").write_text("\n".join([*head, *lines, "</urlset>", ""]))


def describe_site(app, config):
    """Tell the extension that writes descriptions where the site will be."""
    if config.site_address:
        config.html_baseurl = config.ogp_site_url = f"{config.site_address}/"
        config.ogp_site_name = config.html_title
        config.ogp_enable_meta_description = False  # describe_page does
        config.ogp_social_cards = {"enable": False}  # pictures of titles


def setup(app):
    """Read where the book is published, and load what only a published book needs."""
    site_url = site_url_from(os.environ.get("SITE_URL"))
    repository = repository_from(os.environ.get("REPOSITORY"))
    app.add_config_value("site_address", site_url, "html")
    app.add_config_value("repository", repository, "html")
    app.connect("config-inited", describe_site, priority=100)
    if site_url:
        app.setup_extension("sphinxext.opengraph")
    app.add_css_file("buttons.css")
    app.connect("build-finished", write_map)
    app.connect("html-page-context", describe_page, priority=400)  # before opengraph reads it
    app.connect("html-page-context", add_buttons, priority=502)  # after the theme has begun its list
    return {"parallel_read_safe": True, "parallel_write_safe": True}
