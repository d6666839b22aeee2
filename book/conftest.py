"""Settings for nbval: every output is compared except TensorFlow's log lines on stderr."""


def pytest_collectstart(collector):
    """Skip stderr in the comparison; the stored notebooks hold none."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr",)
