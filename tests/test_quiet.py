import os

import pytest

from tf_lottery import quiet


def test_standard_error_is_silent_in_the_context_and_only_there(capfd):
    os.write(2, b"before ")
    with quiet.stderr():
        os.write(2, b"inside ")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


def test_an_exception_leaves_the_context_and_restores_standard_error(capfd):
    with pytest.raises(ValueError, match="reason"), quiet.stderr():
        raise ValueError("reason")
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"
