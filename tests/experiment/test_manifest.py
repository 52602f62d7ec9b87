import json

import pytest

from tf_lottery.errors import DamageError, RunError
from tf_lottery.experiment.manifest import Folder, fault_of

IDENTITY = {"replicate": 1, "level": 2}
CONTENTS = {"history.csv": b"step\n1\n", "metrics.json": b'{"density": 0.5}'}


@pytest.fixture
def folder(tmp_path):
    """A final folder."""
    folder = Folder(tmp_path, IDENTITY)
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
    folder.finish(CONTENTS)
    return folder


def test_files_are_read_only_if_their_manifest_exists(folder):
    assert folder.read("history.csv") == CONTENTS["history.csv"]
    assert folder.read("metrics.json", json.loads) == {"density": 0.5}
    assert folder.entries()["history.csv"]["bytes"] == 7
    folder.manifest_path.unlink()
    assert not folder.is_final()
    with pytest.raises(RunError, match=r"is not finished: there is no .*manifest.json"):
        folder.read("history.csv")


@pytest.mark.parametrize("content", [b"step\n2\n", b"step\n", b"step\n1\n2\n", b""])
def test_changed_content_is_damage(folder, content):
    (folder.path / "history.csv").write_bytes(content)
    with pytest.raises(DamageError, match=rf"history.csv is damaged: .* Delete {folder.path} to have it redone"):
        folder.read("history.csv")
    faults = {path.name: fault for path, fault in folder.verify()}
    assert [name for name, fault in faults.items() if fault] == ["history.csv"]
    assert set(faults) == {"manifest.json", *CONTENTS}


def test_a_missing_or_unlisted_file_is_damage(folder):
    with pytest.raises(DamageError, match=r"the manifest does not list it"):
        folder.read("manifest.json")
    (folder.path / "history.csv").unlink()
    with pytest.raises(DamageError, match=r"cannot be read: No such file"):
        folder.read("history.csv")


def test_a_file_that_cannot_be_parsed_is_damage(folder):
    with pytest.raises(DamageError, match=r"history.csv is damaged"):
        folder.read("history.csv", json.loads)


def test_the_manifest_of_another_unit_is_refused(folder):
    other = Folder(folder.path, IDENTITY | {"level": 3})
    with pytest.raises(DamageError, match=r"manifest.json is damaged: it belongs to another unit"):
        other.read("history.csv")
    assert [path.name for path, fault in other.verify() if fault] == ["manifest.json"]


def test_a_fault_is_the_message_of_the_error():
    def unreadable():
        raise RunError("It is broken.")

    assert fault_of(unreadable) == "It is broken."
    assert fault_of(lambda: "content") == ""
