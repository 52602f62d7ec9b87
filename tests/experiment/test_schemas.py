"""What the files of a run may hold, kind by kind; tests/properties/test_hostile_files.py reads whole runs."""

import json

import fakes
import pytest

from tf_lottery.experiment import schemas

HEAD = "step,train_loss,validation_loss,validation_accuracy\n"
LINE = "share,test_error,test_loss\n"


def test_a_history_has_whole_steps_and_floats_that_may_be_missing():
    found = schemas.history((HEAD + "4,1,,0.5\n8,inf,0.25,1\n").encode())
    assert found.to_dict("list")["step"] == [4, 8]
    assert [str(kind) for kind in found.dtypes] == ["int64", *["float64"] * 3]
    assert found.validation_loss.isna().tolist() == [True, False]


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (schemas.history, HEAD, "it has no rows"),
        (schemas.history, HEAD + "4,1,1\n\n5,1,1,1,1,1\n", "."),
        (schemas.history, HEAD + "4.5,1,1,1\n", "."),
        (schemas.history, HEAD + ",1,1,1\n", "."),
        (schemas.history, HEAD + "4,\x1b[31m,1,1\n", "."),
        (schemas.history, HEAD + "-4,1,1,1\n", "step and validation_accuracy must be at least 0"),
        (schemas.history, HEAD + "4,1,1,-1\n", "step and validation_accuracy must be at least 0"),
        (
            schemas.history,
            HEAD.replace("step", "level") + "4,1,1,1\n",
            "its columns must be step, .*level'",
        ),
        (schemas.history, HEAD.replace("\n", ",level\n") + "4,1,1,1,1\n", "its columns must be step, train_loss"),
        (schemas.history, HEAD + "1,4,1,1,1\n", "its columns must be step, train_loss"),
        (schemas.line, LINE + "-0.5,1,1\n", "share and test_error must be at least 0"),
        (schemas.line, HEAD + "4,1,1,1\n", "its columns must be share, test_error, test_loss"),
        (schemas.seconds, '{"seconds": -1}', "`seconds` must be a number, at least 0"),
        (schemas.seconds, '{"seconds": 1, "hours": 1}', "`hours` is unknown"),
        (schemas.metrics, "[]", "it must be an object"),
    ],
)
def test_other_content_is_refused(read, content, message):
    with pytest.raises(ValueError, match=message):
        read(content.encode())


@pytest.mark.parametrize(("field", "value", "most"), [("kept", 1001, "prunable"), ("from_step", 201, "to_step")])
def test_metrics_that_contradict_themselves_are_refused(field, value, most):
    content = fakes.metrics(fakes.unit()) | {field: value}
    with pytest.raises(ValueError, match=rf"`{field}` must be at most `{most}`"):
        schemas.metrics(json.dumps(content).encode())


def test_losses_of_a_diverged_network_are_null():
    content = fakes.metrics(fakes.unit()) | {"test_loss": None, "early_stop_validation_loss": None}
    assert schemas.metrics(json.dumps(content).encode()) == content


ENTRY = {"bytes": 1, "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"files": {"a": ENTRY | {"bytes": -1}}}, "`files.a.bytes` must be a whole number"),
        ({"files": {"a": ENTRY | {"sha256": "0"}}}, "`files.a.sha256` must be a SHA-256"),
        ({"files": {"a": {"bytes": 1}}}, "`files.a.sha256` is missing"),
        *(({"files": {name: ENTRY}}, "`files` must name files") for name in ("..", "a/b", "", "\x1b", "x" * 256)),
    ],
)
def test_a_manifest_lists_files_of_its_folder_with_sizes_and_checksums(content, message):
    assert schemas.manifest({"files": {"a.tfl": ENTRY}, "level": 1}) == {"a.tfl": ENTRY}
    with pytest.raises(ValueError, match=message):
        schemas.manifest(content)


@pytest.mark.parametrize("value", [[[]], {"a": {}}, {"a": []}, [{}], float("inf"), "x" * 200_000])
def test_an_environment_has_plain_values_lists_and_objects_of_them(value):
    known = {"python": "3.12", "replicas": 2, "devices": ["CPU"], "packages": {"numpy": "2"}, "other": None}
    assert schemas.environments({"environments": [known]}) == [known]
    with pytest.raises(ValueError, match=r"`environments\[0\].other"):
        schemas.environments({"environments": [known | {"other": value}]})
