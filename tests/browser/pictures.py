"""Pictures of a part of a page, and how much they differ."""

from io import BytesIO

from PIL import Image, ImageChops


def picture(locator):
    """What a reader sees of an element."""
    return Image.open(BytesIO(locator.screenshot(animations="disabled"))).convert("RGB")


def changed_pixels(before, after):
    """The number of pixels that differ by more than a shade; all of them when the sizes differ."""
    if before.size != after.size:
        return max(before.width * before.height, after.width * after.height)
    shades = ImageChops.difference(before, after).convert("L").histogram()
    return sum(shades[8:])
