"""The setups of variants, and the errors of those that cannot be set up."""

import fakes
import pytest
import tiny

from tf_lottery import data, models
from tf_lottery.data.dataset import checksum
from tf_lottery.errors import ConfigError, ModelError, PruningError
from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Train
from tf_lottery.experiment.setups import Setups


@pytest.fixture(autouse=True)
def tiny_network(monkeypatch):
    monkeypatch.setattr(models, "build", lambda name, input_shape, num_classes: tiny.convolutional())
    monkeypatch.setitem(data.SOURCES, "tiny", lambda: tiny.DATASET)


def setups(variants=None, **prune):
    config = Experiment(
        model=Model("conv_2"),  # any known name; the network above replaces it
        data=Data("tiny"),
        train=Train(batch_size=6, steps="12it", evaluate_every="4it"),
        prune=Prune(**{"levels": 1, **prune}),
        variants=variants or {},
    )
    return Setups(fakes.settled(config))


def test_variants_with_the_same_dense_network_share_a_trainer_and_rewind_to_steps_of_their_own():
    made = setups({"k=0": {}, "k=5": {"prune.rewind_to": "5it"}, "low": {"train.learning_rate": 0.0001}})
    first, second, low = (made.of(label) for label in ("k=0", "k=5", "low"))
    assert first.trainer is second.trainer is not low.trainer
    assert [setup.lengths.rewind for setup in (first, second, low)] == [0, 5, 0]
    assert made.sharing_dense_network("k=5") == ["k=0", "k=5"]
    assert made.of("k=0") is first


def test_an_error_names_its_variant():
    with pytest.raises(ConfigError, match=r"^Variant 'late': `prune.rewind_to` must not lie after the end"):
        setups({"k=0": {}, "late": {"prune.rewind_to": "13it"}}).of("late")


@pytest.mark.parametrize(
    ("prune", "error", "message"),
    [
        (
            {"rates": ("fc=0.1",), "scope": "layerwise"},
            PruningError,
            "'fc=0.1' names no prunable weight. Known: conv2d",
        ),
        ({"exclude": (".",)}, ModelError, "has nothing to prune"),
    ],
)
def test_errors_that_only_the_network_can_show_come_before_training(prune, error, message):
    with pytest.raises(error, match=message):
        setups(**prune).of("")


def test_data_of_a_shape_that_the_network_does_not_take_are_refused_before_training(monkeypatch):
    monkeypatch.undo()
    config = Experiment(model=Model("resnet_8_1d"), data=Data("digits", synthetic=True))
    with pytest.raises(ModelError, match="resnet_8_1d"):
        Setups(fakes.settled(config)).of("")


def test_a_setup_has_keras_defaults_whatever_the_users_keras_json_says():
    others = {"floatx": "float64", "epsilon": 0.5, "image_data_format": "channels_first"}
    before = {name: getattr(tiny.keras.backend, name)() for name in others}
    for name, value in others.items():
        getattr(tiny.keras.backend, f"set_{name}")(value)
    try:
        setups().of("")
        pinned = {name: getattr(tiny.keras.backend, name)() for name in others}
        assert pinned == {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}
    finally:
        for name, value in before.items():
            getattr(tiny.keras.backend, f"set_{name}")(value)


def test_a_setup_has_the_checksum_of_its_data_also_if_it_shares_a_trainer():
    made = setups({"k=0": {}, "k=5": {"prune.rewind_to": "5it"}})
    assert made.of("k=0").checksum == made.of("k=5").checksum == checksum(tiny.DATASET)
