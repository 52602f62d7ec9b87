"""Sweeps on tiny data, in this process: shared dense networks, further shuffle seeds, and controls."""

import dataclasses

import fakes
import numpy as np
import pytest
import tiny

from tf_lottery import data, models
from tf_lottery.experiment import imp, open_run, plan, run_stability, unit_training
from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Stability, Train
from tf_lottery.experiment.setups import Setups
from tf_lottery.experiment.storage import Run, Unit

T = 12
GROUPS = ("rewind", "final")


@pytest.fixture(autouse=True)
def tiny_network(monkeypatch):
    monkeypatch.setattr(models, "build", lambda name, input_shape, num_classes: tiny.convolutional())
    monkeypatch.setitem(data.SOURCES, "tiny", lambda: tiny.DATASET)


def experiment(rewind_to="5it", **changes):
    return Experiment(
        replicates=1,
        model=Model("conv_2"),  # any known name; the network above replaces it
        data=Data("tiny"),
        train=Train(learning_rate=0.01, batch_size=6, steps=f"{T}it", evaluate_every="4it"),
        prune=Prune(levels=1, fraction=0.5, rewind_to=rewind_to),
        **{"controls": (), **changes},
    )


def found(path, config, setups=None):
    run, setups = open_run.open_run(path, config, {}), setups or Setups(fakes.settled(config))
    for unit in plan.units(run.config):
        imp.train_unit(run, setups, unit)
    return run


def same(first, second):
    return all(first[name].tobytes() == second[name].tobytes() for name in first)


def contents(run, unit):
    """Return the results of a unit, without its name: those of a variant equal those of the same experiment."""
    names = ("history.csv", "metrics.json")
    files = {name: (run.folder(unit) / name).read_bytes() for name in names}
    ticket = run.ticket(unit)
    arrays = {(group, name): array.tobytes() for group in GROUPS for name, array in ticket.weights[group].items()}
    return files | arrays | {("mask", name): mask.tobytes() for name, mask in ticket.masks.items()}


SWEEP = {
    "k=0": {"prune.rewind_to": "0it"},
    "k=5": {},
    "k=end": {"prune.rewind_to": "12it"},
    "low": {"train.learning_rate": 0.001},
}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "build", lambda name, input_shape, num_classes: tiny.convolutional())
        patch.setitem(data.SOURCES, "tiny", lambda: tiny.DATASET)
        yield found(tmp_path_factory.mktemp("runs") / "sweep", experiment(variants=SWEEP, controls=("random_mask",)))


@pytest.mark.slow
def test_a_variant_ends_with_the_same_bytes_as_the_experiment_by_itself(sweep, tmp_path):
    for label, rewind_to in (("k=0", "0it"), ("k=5", "5it"), ("k=end", "12it")):
        alone = found(tmp_path / label, experiment(rewind_to, controls=("random_mask",)))
        for unit in plan.units(alone.config):
            of_sweep = Unit(unit.replicate, unit.level, unit.control, label)
            assert contents(sweep, of_sweep) == contents(alone, unit)


def test_a_shared_dense_network_is_trained_once(tmp_path, monkeypatch):
    trained = []
    train = unit_training.Trainer.train
    monkeypatch.setattr(
        unit_training.Trainer,
        "train",
        lambda self, start, *rest, **named: trained.append(start) or train(self, start, *rest, **named),
    )
    config = experiment(variants=SWEEP)
    found(tmp_path / "run", config)
    assert len(trained) == 2 + 4  # dense networks, at two rates; a ticket each
    found(tmp_path / "run", experiment(variants=SWEEP | {"k=3": {"prune.rewind_to": "3it"}}))
    assert len(trained) == 6 + 2


def test_a_sweep_killed_while_storing_a_shared_dense_network_resumes_to_the_same_bytes(tmp_path, sweep):
    config, setups = sweep.config, Setups(fakes.settled(sweep.config))
    run = open_run.open_run(tmp_path / "run", config, {})
    save = Run.save

    def killed(self, unit, **results):
        if unit.variant == "k=0":
            raise KeyboardInterrupt
        save(self, unit, **results)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            imp.train_unit(run, setups, Unit(1, 0, variant="k=0"))
    assert [run.is_done(Unit(1, 0, variant=label)) for label in ("k=0", "k=5", "k=end", "low")] == [
        False,
        True,
        True,
        False,
    ]
    found(tmp_path / "run", config, setups)
    for unit in plan.units(config):
        assert contents(run, unit) == contents(sweep, unit)


def test_rewound_to_the_end_a_level_is_the_pruned_dense_network(sweep):
    dense, ticket = (sweep.ticket(Unit(1, level, variant="k=end")) for level in (0, 1))
    for name, mask in ticket.masks.items():
        assert np.array_equal(ticket.weights["final"][name], np.where(mask, dense.weights["final"][name], 0))
    assert sweep.metrics(Unit(1, 1, variant="k=end"))["from_step"] == T


@pytest.fixture(scope="module")
def reordered(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "build", lambda name, input_shape, num_classes: tiny.convolutional())
        patch.setitem(data.SOURCES, "tiny", lambda: tiny.DATASET)
        measured = Stability(levels=(1,), shuffle_seeds=2, points=3)
        config = experiment(stability=measured, controls=("random_mask", "reinit"))
        yield found(tmp_path_factory.mktemp("runs") / "orders", config)


def test_units_with_further_shuffle_seeds_start_at_the_same_weights(reordered):
    dense = reordered.ticket(Unit(1, 0))
    for level, control in ((0, ""), (1, ""), (1, "random_mask")):
        first = reordered.ticket(Unit(1, level, control))
        for order in (1, 2):
            unit = Unit(1, level, control, shuffle_seed=order)
            ticket = reordered.ticket(unit)
            assert same(ticket.masks, first.masks)
            start = dense.weights["rewind"] if level == 0 else first.weights["rewind"]
            assert same(ticket.weights["rewind"], start)
            assert not same(ticket.weights["final"], first.weights["final"])
            assert reordered.metrics(unit)["from_step"] == 5
    ends = [reordered.ticket(Unit(1, 1, shuffle_seed=order)).weights["final"] for order in (1, 2)]
    assert not same(*ends)


def test_a_line_has_points_from_the_first_network_to_the_other(reordered):
    for unit in (Unit(1, 0, shuffle_seed=1), Unit(1, 1, "random_mask", shuffle_seed=2)):
        line = reordered.line(unit)
        assert line.share.tolist() == [0, 0.5, 1]
        assert line.test_error.between(0, 1).all()
    assert not (reordered.folder(Unit(1, 1)) / "line.csv").exists()


def test_a_line_without_fresh_statistics_ends_at_the_errors_of_both_networks(tmp_path):
    measured = Stability(levels=(1,), shuffle_seeds=1, points=4, fresh_statistics=False)
    run = found(tmp_path / "run", experiment(stability=measured))
    for unit, other in ((Unit(1, 0), Unit(1, 0, shuffle_seed=1)), (Unit(1, 1), Unit(1, 1, shuffle_seed=1))):
        line = run.line(other)
        ends = [1 - run.metrics(each)["test_accuracy"] for each in (unit, other)]
        assert [line.test_error.iloc[0], line.test_error.iloc[-1]] == pytest.approx(ends, abs=1e-12)


def stability_of(path, rewind_to="5it", fraction=0.5, **changes):
    config = experiment(rewind_to, stability=Stability(levels=(1,), shuffle_seeds=1, points=0), **changes)
    config.prune.fraction = fraction
    frame = run_stability.rows(found(path, config))
    return frame[frame.weight == "all"].set_index(["level", "kind", "sample"])


def test_if_nothing_is_pruned_stability_to_pruning_is_0(tmp_path):
    frame = stability_of(tmp_path / "run", fraction=0.0)
    assert (frame.loc[1, "pruning"][["distance", "angle"]] == 0).all(axis=None)
    assert (frame.loc[1, "data_order"][["distance", "angle"]] > 0).all(axis=None)
    pruned = stability_of(tmp_path / "pruned")
    assert (pruned.loc[1, "pruning"][["distance", "angle"]] > 0).all(axis=None)


def test_in_one_data_order_stability_to_data_order_is_0(tmp_path, monkeypatch):
    seeds_of = plan.seeds_of
    monkeypatch.setattr(
        plan,
        "seeds_of",
        lambda config, unit: seeds_of(config, dataclasses.replace(unit, shuffle_seed=0)),
    )
    frame = stability_of(tmp_path / "run")
    assert (frame.loc[1, "data_order"][["distance", "angle"]] == 0).all(axis=None)
    assert (frame.loc[0, "data_order"][["distance", "angle"]] == 0).all(axis=None)


def test_rewound_to_the_end_everything_is_stable(tmp_path):
    frame = stability_of(tmp_path / "run", rewind_to=f"{T}it")
    assert len(frame) == 1 + 1 + 2
    assert (frame[["distance", "angle"]] == 0).all(axis=None)


SIGNED = ("reinit", "reinit_signs", "reshuffle", "reshuffle_signs", "constant", "constant_signs")


def test_controls_start_with_the_weights_that_their_names_say(tmp_path):
    run = found(tmp_path / "run", experiment(controls=SIGNED))
    ticket = run.ticket(Unit(1, 1))
    dense = run.ticket(Unit(1, 0)).weights["rewind"]
    for control in SIGNED:
        unit = Unit(1, 1, control)
        started, metrics = run.ticket(unit), run.metrics(unit)
        assert same(started.masks, ticket.masks)
        assert metrics["from_step"] == (0 if control.startswith("reinit") else 5)
        for name, mask in ticket.masks.items():
            start, kept = started.weights["rewind"][name], mask.astype(bool)
            assert not start[~kept].any()
            keeps_signs = np.array_equal(np.sign(start[kept]), np.sign(dense[name][kept]))
            assert keeps_signs == control.endswith("_signs")
            assert not np.array_equal(start[kept], dense[name][kept])
