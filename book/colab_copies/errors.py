"""The one error of the converter."""

__all__ = ["ConversionError"]


class ConversionError(ValueError):
    """Something in a chapter that would stand raw or wrong in its copy: names the chapter, the place and the thing."""

    def __init__(self, chapter, place, message):
        super().__init__(f"chapters/{chapter}, {place}: {message}")
