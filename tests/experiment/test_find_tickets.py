import fakes
import pytest

from tf_lottery.errors import ConfigError, RunError
from tf_lottery.experiment import find_tickets


def test_a_finished_run_is_returned_without_a_worker(tmp_path, monkeypatch):
    run = fakes.run(tmp_path / "run")
    monkeypatch.setattr(find_tickets, "Workers", None)
    assert find_tickets.find_tickets(fakes.experiment(), run.path).config == run.config


@pytest.mark.parametrize(
    ("config", "jobs", "error", "message"),
    [
        (fakes.experiment(replicates=0), 1, ConfigError, "`replicates` must be"),
        (fakes.experiment(), 0, ConfigError, "`jobs` must be at least 1. Received: 0"),
        (fakes.experiment(seed=5), 1, RunError, "another experiment"),
    ],
)
def test_bad_input_is_refused_without_a_worker(tmp_path, monkeypatch, config, jobs, error, message):
    fakes.run(tmp_path / "run")
    monkeypatch.setattr(find_tickets, "Workers", None)
    with pytest.raises(error, match=message):
        find_tickets.find_tickets(config, tmp_path / "run", jobs=jobs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"topology": "mirrored"},
            r"must be a Topology, such as .*Received: 'mirrored'",
        ),
        ({"only_replicates": 3}, r"must be a sequence of numbers from 1 to 3, such as \(1,\)\. Received: 3"),
        ({"only_replicates": (4,)}, r"from 1 to 3, such as \(1,\)\. Received: \(4,\)"),
    ],
)
def test_arguments_of_another_type_are_refused(tmp_path, monkeypatch, settings, message):
    monkeypatch.setattr(find_tickets, "Workers", None)
    with pytest.raises(ConfigError, match=message):
        find_tickets.find_tickets(fakes.experiment(), tmp_path / "run", **settings)
