"""The page behind the site's own address, and the course in a sentence.

The page leads to the first one of the book. It is what a link preview of the bare address shows, and what a reader sees
whose browser does not follow.
"""

from html import escape

ABOUT = (
    "A course on gradients of expectations and the reparameterization trick: derivations with their conditions, "
    "experiments that run, exercises that are checked, and a tested package on TensorFlow Probability."
)


def first_page(title, site_url, target="intro.html"):
    """The page behind the site's own address: it leads to the first one, and says what a link preview shows."""
    head = [
        f"<title>{escape(title)}</title>",
        f'<meta name="description" content="{escape(ABOUT)}">',
        f'<meta http-equiv="Refresh" content="0; url={target}">',
    ]
    if site_url:
        described = {"title": title, "type": "website", "url": f"{site_url}/", "description": ABOUT}
        head += [f'<link rel="canonical" href="{site_url}/{target}">']
        head += [f'<meta property="og:{name}" content="{escape(text)}">' for name, text in described.items()]
    page = ["<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8">', *head, "</head>"]
    link_there = f'<p><a href="{target}">{escape(title)}</a></p>'
    return "\n".join([*page, f"<body><main><h1>{escape(title)}</h1>{link_there}</main></body>", "</html>", ""])
