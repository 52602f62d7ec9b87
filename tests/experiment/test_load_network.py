"""The network of a finished unit as a Keras model."""

import fakes
import numpy as np
import pytest

import tf_lottery as tfl
from tf_lottery import data
from tf_lottery.errors import RunError, TicketError
from tf_lottery.experiment import load_network, open_run
from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Train
from tf_lottery.experiment.imp import train_unit
from tf_lottery.experiment.setups import Setups
from tf_lottery.experiment.storage import Unit
from tf_lottery.keras_compat import keras
from tf_lottery.masking import model_masks, state


def experiment(**changes):
    fields = {
        "replicates": 1,
        "model": Model("lenet_300_100"),
        "data": Data("digits", synthetic=True),
        "train": Train(steps="4it", evaluate_every="2it", batch_size=8),
        "prune": Prune(levels=1, fraction=0.5, exclude=("output",), rewind_to="1it"),
        "controls": ("random_mask",),
    }
    return Experiment(**fields | changes)


def trained(path, config):
    run = open_run.open_run(path, config, {})
    setups = Setups(fakes.settled(config))
    for unit in (Unit(1, 0), Unit(1, 1), Unit(1, 1, "random_mask")):
        train_unit(run, setups, unit)
    return run


def test_a_loaded_network_has_the_masks_weights_and_accuracy_of_its_unit(tmp_path):
    run = trained(tmp_path, experiment())
    for unit in (Unit(1, 0), Unit(1, 1), Unit(1, 1, "random_mask")):
        model, ticket = load_network.load_network(run, unit), run.ticket(unit)
        assert tfl.density(model) == pytest.approx(run.metrics(unit)["density"])
        assert sorted(tfl.get_masks(model)) == ["dense/kernel", "dense_1/kernel"]
        for name, weight in state.weights(model).items():
            assert np.array_equal(weight, ticket.weights["final"][name])
        test = data.load("digits", synthetic=True).test
        found = np.mean(model.predict(test.x, verbose=0).argmax(-1) == test.y)
        assert found == pytest.approx(run.metrics(unit)["test_accuracy"])


def test_a_network_can_be_loaded_with_the_weights_at_the_start_of_training(tmp_path):
    run = trained(tmp_path, experiment())
    model = tfl.load_network(run, Unit(1, 1), "rewind")
    dense = run.ticket(Unit(1, 0)).weights["rewind"]
    for name, mask in model_masks.get_masks(model).items():
        assert np.array_equal(state.weights(model)[name], np.where(mask, dense[name], 0))
    with pytest.raises(TicketError, match=r"holds the weights rewind, final\. Received: 'start'"):
        load_network.load_network(run, Unit(1, 1), "start")


def test_a_loaded_network_has_the_precision_of_its_run_and_the_process_keeps_its_own(tmp_path):
    config = experiment(train=Train(steps="2it", evaluate_every="2it", batch_size=8, precision="mixed_bfloat16"))
    model = load_network._build(config)
    assert model.layers[-1].compute_dtype == "bfloat16"
    assert keras.mixed_precision.global_policy().name == "float32"


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        (Unit(1, 1), r"has no finished unit replicate 1, level 1\. Finished levels of that kind: 0\."),
        (Unit(1, 9), r"has no finished unit replicate 1, level 9\. Finished levels of that kind: 0\."),
        (Unit(2, 0), r"has these replicates: 1\. Received: 2"),
        (Unit(1, 1, "reinit"), r"has these controls: random_mask\. Received: 'reinit'"),
        (Unit(1, 1, variant="k=5"), r"has these variants: none\. Received: 'k=5'"),
        (Unit(1, 1, "random_mask"), r"Finished levels of that kind: none\."),
    ],
)
def test_an_error_about_a_missing_unit_lists_what_there_is(tmp_path, unit, message):
    run = open_run.open_run(tmp_path, experiment(), {})
    train_unit(run, Setups(fakes.settled(run.config)), Unit(1, 0))
    with pytest.raises(RunError, match=message):
        load_network.load_network(run, unit)


def test_a_run_may_be_given_as_a_directory_but_a_unit_must_be_a_unit(tmp_path):
    run = open_run.open_run(tmp_path, experiment(), {})
    train_unit(run, Setups(fakes.settled(run.config)), Unit(1, 0))
    assert tfl.density(tfl.load_network(tmp_path, Unit(1, 0))) == 1
    with pytest.raises(RunError, match=r"such as Unit\(replicate=1, level=5\)\. Received: 1"):
        tfl.load_network(run, 1)


def test_the_sizes_of_every_dataset_are_known_without_its_data():
    assert data.sizes("fashion_mnist_14", 224) == ((14, 14, 1), 10)
    assert data.sizes("imagenet2012", 96) == ((96, 96, 3), 1000)
    for name in data.SOURCES:
        made = data.load(name, synthetic=True)
        assert data.sizes(name, 32)[1] == made.num_classes
