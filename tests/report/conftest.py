import fakes
import pytest

from tf_lottery.report.figures import style


@pytest.fixture(scope="session")
def sweep(tmp_path_factory):
    """A whole run of `fakes.sweep`, only to be read."""
    return fakes.sweep(tmp_path_factory.mktemp("sweep") / "run")


@pytest.fixture
def undrawn(monkeypatch):
    """Write placeholders in place of figures: drawing them takes most of a report's time."""
    monkeypatch.setattr(style, "png", lambda draw: bytes(len(draw().axes)))
