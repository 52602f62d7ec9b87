import os

import pytest

from tf_lottery import quiet


def test_standard_error_is_silent_inside_and_only_there(capfd):
    os.write(2, b"before ")
    with quiet.stderr():
        os.write(2, b"inside ")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


def test_an_error_inside_comes_out_and_is_heard(capfd):
    with pytest.raises(ValueError, match="reason"), quiet.stderr():
        raise ValueError("reason")
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"
