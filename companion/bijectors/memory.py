"""What a bijector remembers of earlier calls, in the place of TFP's memory.

TFP keeps the last results of a bijector for each tensor, so that ``inverse(forward(x))`` is free. It keeps them also
when the variables have changed since, and hands them to a `GradientTape` that was not there when they were made.
"""

__all__ = ["NoMemory"]


class NoMemory:
    """Nothing: every call computes."""

    def __get__(self, bijector, owner=None):
        return Direct(bijector)


class Direct:
    """The methods of TFP's memory, without one."""

    def __init__(self, bijector):
        self.bijector = bijector

    def forward(self, x, **kwargs):
        """The bijector's value."""
        return self.bijector._forward(x, **kwargs)

    def inverse(self, y, **kwargs):
        """Its inverse's."""
        return self.bijector._inverse(y, **kwargs)

    def forward_attributes(self, x, **kwargs):
        """Nothing is known of x."""
        return {}

    def inverse_attributes(self, y, **kwargs):
        """Nothing is known of y."""
        return {}
