import numpy as np
import pytest

from tf_lottery.core.criteria import CRITERIA

INITIAL, TRAINED = {"w": np.array([1.0, -2.0, 3.0])}, {"w": np.array([-4.0, 0.5, 3.0])}


@pytest.mark.parametrize(
    ("criterion", "scores"),
    [
        ("magnitude", [4.0, 0.5, 3.0]),
        ("small_final", [-4.0, -0.5, -3.0]),
        ("large_initial", [1.0, 2.0, 3.0]),
        ("small_initial", [-1.0, -2.0, -3.0]),
        ("magnitude_increase", [3.0, -1.5, 0.0]),
        ("movement", [5.0, 2.5, 0.0]),
    ],
)
def test_scores(criterion, scores):
    assert CRITERIA[criterion](INITIAL, TRAINED, np.random.default_rng(0))["w"].tolist() == scores


def test_random_scores_follow_the_generator():
    first, second, other = (
        CRITERIA["random"](INITIAL, TRAINED, np.random.default_rng(seed))["w"] for seed in (0, 0, 1)
    )
    assert first.tolist() == second.tolist() != other.tolist()


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_scores_each_weight_and_leaves_its_arguments_alone(criterion):
    initial, trained = {"w": INITIAL["w"].copy()}, {"w": TRAINED["w"].copy()}
    scores = CRITERIA[criterion](initial, trained, np.random.default_rng(0))
    assert scores["w"].shape == (3,)
    assert initial["w"].tolist() == INITIAL["w"].tolist()
    assert trained["w"].tolist() == TRAINED["w"].tolist()
