import made_up
import pytest


@pytest.fixture(scope="session")
def sweep(tmp_path_factory):
    """A whole run of `made_up.sweep`, only to be read."""
    return made_up.sweep(tmp_path_factory.mktemp("sweep") / "run")
