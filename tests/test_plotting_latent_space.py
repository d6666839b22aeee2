"""Pictures of a latent space; what the sliders show is checked with Vega itself, run by node."""

import json

import numpy as np
import pytest
import vega

from companion.plotting import InteractiveFigure, StaticFigure, latent_space

STEPS = np.linspace(-3.0, 3.0, 5)
IMAGES = np.random.default_rng(0).uniform(size=(5, 5, 8, 8)).round(2)
Z, LABELS = np.array([[0.5, 1.0], [-2.0, 0.123], [5.0, 0.0]]), np.array([3, 7, 1])


@pytest.fixture(scope="module")
def pixels():
    """What is decoded at four places, in the order of the pixels."""
    settings = [{"z1": -3, "z2": -3}, {"z1": 1.5, "z2": -1.5}, {"z1": 3, "z2": 3}, {"z1": 0.3, "z2": -2.1}]
    found = []
    for tables in vega.tables(latent_space.walker(IMAGES, Z, LABELS), settings):
        rows = next(table for table in tables if table and "pixel" in table[0] and "value" in table[0])
        image = np.empty((8, 8))
        for row in rows:
            image[int(row["row"]), int(row["column"])] = row["value"]
        found.append(image)
    return found


class TestWalker:
    def test_on_the_grid_it_shows_the_image_there(self, pixels):
        assert np.allclose(pixels[0], IMAGES[0, 0])
        assert np.allclose(pixels[1], IMAGES[3, 1])
        assert np.allclose(pixels[2], IMAGES[4, 4])
        assert not np.allclose(pixels[1], IMAGES[1, 3])

    def test_between_it_interpolates(self, pixels):
        a, b = (0.3 + 3.0) / 1.5, (-2.1 + 3.0) / 1.5
        i, j, p, q = int(a), int(b), a % 1, b % 1
        expected = (1 - p) * ((1 - q) * IMAGES[i, j] + q * IMAGES[i, j + 1])
        expected += p * ((1 - q) * IMAGES[i + 1, j] + q * IMAGES[i + 1, j + 1])
        assert np.allclose(pixels[3], expected)

    def test_the_map_holds_the_examples_inside_and_the_cross(self):
        tables = vega.tables(latent_space.walker(IMAGES, Z, LABELS), [{"z1": 0.7, "z2": -1.0}])[0]
        labels = {row["label"]: (row["a"], row["b"]) for table in tables for row in table if "label" in row}
        assert labels == {"3": (0.5, 1.0), "7": (-2.0, 0.12)}
        crosses = [row for table in tables for row in table if "one" in row and "a" in row]
        assert {(row["a"], row["b"]) for row in crosses} == {(0.7, -1.0)}

    def test_it_fits_a_phone_and_a_page(self):
        figure = latent_space.walker(np.random.default_rng(1).uniform(size=(13, 13, 8, 8, 1)), Z, LABELS)
        assert isinstance(figure, InteractiveFigure)
        spec = figure.chart.to_dict()
        assert all(panel["width"] <= 320 for panel in spec["vconcat"])
        assert len(json.dumps(spec)) < 300_000
        sliders = [p for p in spec["params"] if "bind" in p]
        assert [p["bind"]["name"].strip() for p in sliders] == ["z1", "z2"]


def test_latent_maps_have_a_panel_and_a_glyph_for_each_label():
    figure = latent_space.latent_map({"dense": (Z, LABELS), "convolutional": (Z, LABELS)})
    assert isinstance(figure, StaticFigure)
    assert [ax.get_title() for ax in figure.figure.axes] == ["dense", "convolutional"]
    glyphs = {line.get_marker() for line in figure.figure.axes[0].lines}
    assert glyphs == {"$1$", "$3$", "$7$"}
    assert np.allclose([line.get_xydata() for line in figure.figure.axes[0].lines], Z[[2, 0, 1]][:, None])


def test_image_rows_show_the_images_in_order():
    figure = latent_space.image_rows({"given": IMAGES[0], "decoded": IMAGES[1][:3, ..., None]})
    given, decoded = (ax.images[0].get_array() for ax in figure.figure.axes)
    width = IMAGES.shape[-1]
    for strip, images in ((given, IMAGES[0]), (decoded, IMAGES[1][:3])):
        assert strip.shape == (IMAGES.shape[-2], len(images) * (width + 1))
        for place, image in enumerate(images):
            assert np.array_equal(strip[:, place * (width + 1) :][:, :width], image)
    assert not given[:, width :: width + 1].any()  # white between the images
    assert figure.figure.axes[0].images[0].get_clim() == (0.0, 1.0)
    assert repr(figure) == "StaticFigure(given; decoded)"
