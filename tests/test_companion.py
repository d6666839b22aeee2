"""The public surface."""

import pytest

import companion


def test_every_public_name_is_there():
    assert all(hasattr(companion, name) for name in companion.__all__)
    assert set(companion.__all__) <= set(dir(companion))


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="module 'companion' has no attribute 'vae2'"):
        _ = companion.vae2
