import os
from pathlib import Path

import hypothesis

# No deadlines: a busy machine must not fail a test.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")

# Not searched for doctests: pytest would import these helpers a second time. A new helper must be entered here.
collect_ignore = [
    "archives.py",
    "callbacks/levels_on_two_replicas.py",
    "calls.py",
    "fakes.py",
    "feeds/feeds_on_two_replicas.py",
    "fits.py",
    "layer_sources.py",
    "properties/failpoints_of_runs.py",
    "properties/many_writers.py",
    "properties/on_two_replicas.py",
    "properties/trainings_on_two_replicas.py",
    "replicas.py",
    "runs.py",
    "strangers/applications.py",
    "strangers/generative.py",
    "strangers/hub.py",
    "strangers/journey.py",
    "strangers/structured.py",
    "strangers/text.py",
    "strangers/training_setups.py",
    "strangers/vision.py",
    "tiers.py",
    "tiny.py",
    "whole_numbers.py",
]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Interpreters that tests start, and the server of calls.py, import the package beside these tests from any folder, even
# if .venv belongs to another clone.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))))
# Tests do not lose power. Waiting for the disk takes nine tenths of the time that writing a synthetic run takes;
# test_files.py tests what is synchronised, and when.
os.fsync = lambda descriptor: None
