"""Addresses of a published book."""

import pytest
from origin import Origin, colab_url, repository_from, site_url_from

WHEEL = "reparameterization_companion-0.1.0+1a2b3c4d-py3-none-any.whl"


def test_addresses():
    origin = Origin("https://owner.github.io/course", "owner/course", WHEEL, "0.1.0+1a2b3c4d")
    assert origin.page("chapters/vae.html#thm") == "https://owner.github.io/course/chapters/vae.html#thm"
    assert origin.wheel_address() == f"https://owner.github.io/course/dist/{WHEEL.replace('+', '%2B')}"
    assert origin.source("README.md") == "https://github.com/owner/course/blob/main/README.md"
    expected = "https://colab.research.google.com/github/owner/course/blob/gh-pages/colab/vae.ipynb"
    assert colab_url("owner/course", "vae") == expected


def test_without_a_place_there_is_no_address():
    origin = Origin(None, None, WHEEL, "0.1.0+1a2b3c4d")
    assert origin.page("index.html") is origin.wheel_address() is origin.source("README.md") is None
    assert colab_url(None, "vae") is None


def test_an_owner_may_have_an_underscore():
    assert repository_from("name_company/course") == "name_company/course"


@pytest.mark.parametrize("empty", [None, ""])
def test_both_may_be_missing(empty):
    assert site_url_from(empty) is repository_from(empty) is None


@pytest.mark.parametrize("text", ["https://a.github.io/b", "https://a.github.io/b/", "http://127.0.0.1:8711"])
def test_a_last_slash_does_not_matter(text):
    assert site_url_from(text) == text.rstrip("/")


WRONG_SITES = [
    "a.github.io/b",
    "ftp://a/b",
    "https://",
    "https://a/b?c",
    "https://a/b#c",
    "/b",
    "https://a.github.io/b ",
    "https://a/{b}",
    "https://a/\nb",
    'https://a/"$(id)',
    "https://user:word@a/b",
    "https://a/b/index.html",
    "https://[a",
]


@pytest.mark.parametrize("text", WRONG_SITES)
def test_a_wrong_site_url_is_refused(text):
    with pytest.raises(ValueError, match="SITE_URL: expected an address such as"):
        site_url_from(text)


@pytest.mark.parametrize(
    "text", ["owner", "owner/name/more", "https://github.com/owner/name", "owner/", "-a/b", "a b/c"]
)
def test_a_wrong_repository_is_refused(text):
    with pytest.raises(ValueError, match="REPOSITORY: expected OWNER/NAME"):
        repository_from(text)
