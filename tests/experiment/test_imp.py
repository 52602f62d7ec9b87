"""Iterative magnitude pruning on tiny data, in this process: every level is checked against its definition."""

import dataclasses

import fakes
import numpy as np
import pytest
import tiny
from tiers import always

from tf_lottery import data, models
from tf_lottery.core import criteria
from tf_lottery.errors import PruningError
from tf_lottery.experiment import imp, open_run, plan
from tf_lottery.experiment.checkpoints import Hooks
from tf_lottery.experiment.config import Data, Experiment, Model, Prune, Train
from tf_lottery.experiment.setups import Setups
from tf_lottery.experiment.storage import Unit
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion, model_masks, model_tickets, state

K = 5


@pytest.fixture(autouse=True)
def tiny_network(monkeypatch):
    monkeypatch.setattr(models, "build", lambda name, input_shape, num_classes: tiny.convolutional())
    monkeypatch.setitem(data.SOURCES, "tiny", lambda: tiny.DATASET)


@pytest.fixture
def restore_precision():
    yield
    keras.mixed_precision.set_global_policy("float32")


def experiment(**prune):
    return Experiment(
        model=Model("tiny"),
        data=Data("tiny"),
        train=Train(learning_rate=0.01, batch_size=6, steps="12it", evaluate_every="4it"),
        prune=Prune(**{"levels": 2, "fraction": 0.5, "rewind_to": f"{K}it", **prune}),
    )


made: dict = {}  # setups by experiment


def setups_of(config):
    """Return the setups of an experiment, traced once for all tests: earlier training changes nothing."""
    if repr(config) not in made:
        made[repr(config)] = Setups(fakes.settled(config))
    return made[repr(config)]


def trained(path, config, units):
    run, setups = open_run.open_run(path, config, {}), setups_of(config)
    for unit in units:
        imp.train_unit(run, setups, unit)
    return run


LEVELS = [Unit(1, 0), Unit(1, 1), Unit(1, 2)]


def test_a_process_traces_training_once_for_all_replicates_levels_and_controls(tmp_path):
    config = experiment()
    run, setups = open_run.open_run(tmp_path / "run", config, {}), Setups(fakes.settled(config))
    for unit in plan.units(run.config):
        imp.train_unit(run, setups, unit)
    trainer = setups.of("").trainer
    assert len(plan.units(run.config)) == 3 * 7
    assert trainer._run.experimental_get_tracing_count() == trainer._measure.experimental_get_tracing_count() == 1


def same(first, second):
    return all(first[name].tobytes() == second[name].tobytes() for name in first)


def masked(weights, masks):
    return {
        name: np.where(masks[name], array, np.zeros((), array.dtype)) if name in masks else array
        for name, array in weights.items()
    }


def test_every_level_starts_from_the_masked_weights_of_step_k(tmp_path):
    run = trained(tmp_path / "run", experiment(), LEVELS)
    dense = run.ticket(Unit(1, 0)).weights["rewind"]
    assert not same(dense, run.ticket(Unit(1, 0)).weights["final"])
    for unit in LEVELS:
        ticket = run.ticket(unit)
        assert same(ticket.weights["rewind"], masked(dense, ticket.masks))
        assert run.metrics(unit)["from_step"] == (K if unit.level else 0)
        assert run.history(unit).step.iloc[-1] == 12


def test_the_smallest_kept_weights_are_pruned_and_never_return(tmp_path):
    run = trained(tmp_path / "run", experiment(), LEVELS)
    for before, after in ((LEVELS[0], LEVELS[1]), (LEVELS[1], LEVELS[2])):
        old, new = run.ticket(before), run.ticket(after)
        final = old.weights["final"]
        kept = np.concatenate([np.abs(final[name])[new.masks[name]] for name in new.masks])
        gone = np.concatenate([np.abs(final[name])[old.masks[name] & ~new.masks[name]] for name in new.masks])
        assert gone.max() <= kept.min()
        assert len(kept) == run.metrics(after)["kept"] == (len(kept) + len(gone)) - round((len(kept) + len(gone)) / 2)


def test_final_weights_are_plus_zero_where_pruned(tmp_path):
    ticket = trained(tmp_path / "run", experiment(), LEVELS).ticket(Unit(1, 2))
    for name, mask in ticket.masks.items():
        assert not ticket.weights["final"][name][~mask].view(np.uint32).any()


def test_a_level_that_prunes_nothing_ends_as_the_dense_network(tmp_path):
    run = trained(tmp_path / "run", experiment(fraction=0.0), LEVELS[:2])
    dense, level_1 = run.ticket(Unit(1, 0)), run.ticket(Unit(1, 1))
    assert same(dense.weights["final"], level_1.weights["final"])
    assert run.metrics(Unit(1, 0))["test_loss"] == run.metrics(Unit(1, 1))["test_loss"]


@pytest.mark.parametrize(
    "train",
    [
        {"precision": "mixed_float16", "optimizer": "sgd", "nesterov": True},
        {"precision": "mixed_bfloat16", "label_smoothing": 0.1},
        {"optimizer": "rmsprop", "epsilon": 1e-3, "average": 0.9, "weight_decay": 0.01},
        {"decay": "linear", "warmup": "7it", "drops": ("every 4it",)},
    ],
    ids=lambda train: " ".join(train),
)
def test_a_level_that_prunes_nothing_ends_as_the_dense_network_with_every_setting(tmp_path, restore_precision, train):
    config = experiment(fraction=0.0)
    config.data.augment = "flip_and_crop"
    for name, value in train.items():
        setattr(config.train, name, value)
    run = trained(tmp_path / "run", config, LEVELS[:2])
    dense, level_1 = run.ticket(Unit(1, 0)), run.ticket(Unit(1, 1))
    assert same(dense.weights["final"], level_1.weights["final"])
    assert not same(dense.weights["final"], dense.weights["rewind"])
    assert run.metrics(Unit(1, 0))["test_loss"] == run.metrics(Unit(1, 1))["test_loss"]


def test_fine_tuning_continues_at_the_rate_that_training_ended_with(tmp_path):
    config = experiment(fraction=0.0, rewind="none", rewind_to="0it")
    config.train.optimizer, config.train.momentum, config.train.decay = "sgd", 0.0, "linear"
    setup = Setups(fakes.settled(config)).of("")
    rate = setup.trainer.optimizer._learning_rate  # the schedule; the public name is its value
    assert float(rate(11)) == float(rate(12)) == float(rate(30)) == pytest.approx(0.01 / 12, rel=1e-5)
    run = trained(tmp_path / "run", config, LEVELS)
    ends = [run.ticket(unit).weights["final"]["output/kernel"] for unit in LEVELS]
    assert not np.array_equal(ends[0], ends[1])
    assert not np.array_equal(ends[1], ends[2])


def test_averages_are_evaluated_and_the_weights_are_ranked(tmp_path):
    config = experiment()
    config.train.average = 0.5
    run = trained(tmp_path / "run", config, LEVELS[:2])
    assert run.metrics(Unit(1, 1))["evaluated_weights"] == "averages"
    assert run.metrics(Unit(1, 1))["test_loss"] != evaluated(run.ticket(Unit(1, 1)))
    raw, masks = run.ticket(Unit(1, 0)).weights["final"], run.ticket(Unit(1, 1)).masks
    kept = np.concatenate([np.abs(raw[name])[mask] for name, mask in masks.items()])
    gone = np.concatenate([np.abs(raw[name])[~mask] for name, mask in masks.items()])
    assert gone.max() <= kept.min()
    plain = trained(tmp_path / "plain", experiment(), LEVELS[:1])
    assert plain.metrics(Unit(1, 0))["evaluated_weights"] == "raw"
    assert plain.metrics(Unit(1, 0))["test_loss"] == pytest.approx(evaluated(plain.ticket(Unit(1, 0))), rel=1e-5)


def evaluated(ticket):
    """Return the test loss of a ticket's final weights, by Keras."""
    model = conversion.make_prunable(tiny.convolutional())
    model_tickets.restore_ticket(model, ticket)
    model.compile(loss=tiny.loss())
    return model.evaluate(tiny.DATASET.test.x, tiny.DATASET.test.y, verbose=0)


def test_a_fresh_data_order_changes_levels_but_not_the_dense_network(tmp_path):
    runs = [
        trained(tmp_path / order, dataclasses.replace(experiment(fraction=0.0), shuffle=order), LEVELS[:2])
        for order in ("replay", "fresh")
    ]
    finals = [[run.ticket(unit).weights["final"] for run in runs] for unit in LEVELS[:2]]
    assert same(*finals[0])
    assert not same(*finals[1])


def test_a_reset_optimizer_starts_without_momentum(tmp_path):
    kept, reset = (
        trained(tmp_path / str(reset), experiment(fraction=0.0, reset_optimizer=reset), LEVELS[:2])
        for reset in (False, True)
    )
    assert same(kept.ticket(Unit(1, 0)).weights["final"], reset.ticket(Unit(1, 0)).weights["final"])
    assert not same(kept.ticket(Unit(1, 1)).weights["final"], reset.ticket(Unit(1, 1)).weights["final"])


@pytest.mark.parametrize("rewind", ["learning_rate", "none"])
def test_the_other_rewind_modes_start_from_the_weights_of_the_level_before(tmp_path, rewind):
    run = trained(tmp_path / "run", experiment(rewind=rewind), LEVELS)
    for before, after in ((LEVELS[0], LEVELS[1]), (LEVELS[1], LEVELS[2])):
        ticket = run.ticket(after)
        assert same(ticket.weights["rewind"], masked(run.ticket(before).weights["final"], ticket.masks))
        assert run.metrics(after)["from_step"] == K


def test_without_rewinding_the_optimizer_continues_to_count(tmp_path):
    run = trained(tmp_path / "run", experiment(rewind="none"), LEVELS)
    steps = [int(run.optimizer(unit, "final")["0000"]) for unit in LEVELS]
    assert steps == [12, 12 + 7, 12 + 7 + 7]


def test_rewinding_the_learning_rate_counts_from_k_again(tmp_path):
    config = experiment(rewind="learning_rate")
    run, setups = open_run.open_run(tmp_path / "run", config, {}), setups_of(config)
    for unit in LEVELS[:2]:
        imp.train_unit(run, setups, unit)
        assert int(setups.of("").trainer.optimizer.iterations) == 12


def test_a_random_mask_is_trained_from_the_dense_weights_of_step_k(tmp_path):
    control = Unit(1, 2, "random_mask")
    run = trained(tmp_path / "run", experiment(), [*LEVELS, control])
    ticket, dense = run.ticket(control), run.ticket(Unit(1, 0)).weights["rewind"]
    assert same(ticket.weights["rewind"], masked(dense, ticket.masks))
    for name, mask in ticket.masks.items():
        assert (ticket.weights["rewind"][name] != 0).sum() == mask.sum()
        assert mask.sum() == run.ticket(Unit(1, 2)).masks[name].sum()
    assert not same(ticket.masks, run.ticket(Unit(1, 2)).masks)


def test_a_reinitialised_ticket_has_its_mask_other_weights_and_starts_at_step_0(tmp_path):
    control = Unit(1, 2, "reinit")
    run = trained(tmp_path / "run", experiment(), [*LEVELS, control])
    ticket, mine = run.ticket(Unit(1, 2)), run.ticket(control)
    assert same(mine.masks, ticket.masks)
    for name, mask in mine.masks.items():
        assert not np.isclose(mine.weights["rewind"][name][mask], ticket.weights["rewind"][name][mask]).any()
    assert run.metrics(control)["from_step"] == 0


def test_replicates_differ_in_initialisation_and_data_order(tmp_path):
    run = trained(tmp_path / "run", experiment(rewind_to="0it"), [Unit(1, 0), Unit(2, 0)])
    first, second = (run.ticket(Unit(replicate, 0)).weights["rewind"] for replicate in (1, 2))
    assert not same(first, second)
    seeds = [plan.seeds_of(experiment(), Unit(replicate, 0)) for replicate in (1, 2)]
    assert len({*seeds[0].values(), *seeds[1].values()}) == 2 * len(seeds[0])


def test_a_repeated_experiment_ends_with_the_same_bits_whatever_was_trained_before(tmp_path):
    made.clear()  # the first run finds nothing trained before, the second what it trained itself
    first = trained(tmp_path / "a", experiment(), LEVELS)
    made.clear()
    second = trained(tmp_path / "b", experiment(), [Unit(2, 0), Unit(2, 1), *LEVELS])
    for unit in LEVELS:
        assert same(first.ticket(unit).weights["final"], second.ticket(unit).weights["final"])
        assert first.metrics(unit) == second.metrics(unit)


def test_a_finished_unit_is_not_trained_again(tmp_path):
    run = trained(tmp_path / "run", experiment(), LEVELS[:1])
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    imp.train_unit(run, None, LEVELS[0])
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before


def test_metrics_are_those_of_the_stored_weights(tmp_path):
    config = experiment()
    run, setups = open_run.open_run(tmp_path / "run", config, {}), setups_of(config)
    for unit in LEVELS[:2]:
        imp.train_unit(run, setups, unit)
    metrics, ticket, history = run.metrics(LEVELS[1]), run.ticket(LEVELS[1]), run.history(LEVELS[1])
    setup = setups.of("")
    model_masks.set_masks(setup.trainer.model, ticket.masks)
    state.set_weights(ticket.weights["final"], setup.trainer.model)
    assert setup.trainer.evaluate("test")["accuracy"] == metrics["test_accuracy"]
    assert metrics["early_stop_step"] == history.step[history.validation_loss.idxmin()]
    assert metrics["density"] == sum(m.sum() for m in ticket.masks.values()) / sum(
        m.size for m in ticket.masks.values()
    )


@pytest.mark.parametrize("criterion", always("magnitude", "movement", among=criteria.CRITERIA))
def test_every_criterion_can_be_used(tmp_path, criterion):
    run = trained(tmp_path / "run", experiment(criterion=criterion), LEVELS)
    assert run.metrics(Unit(1, 2))["kept"] == len(range(run.metrics(Unit(1, 2))["prunable"])) // 4


def test_excluded_weights_have_no_mask_and_rates_replace_the_fraction(tmp_path):
    config = experiment(scope="layerwise", exclude=("^conv2d/",), rates=("^output/=0.25",), fraction=0.5)
    ticket = trained(tmp_path / "run", config, LEVELS[:2]).ticket(Unit(1, 1))
    assert {name: mask.mean() for name, mask in ticket.masks.items()} == {"conv2d_1/kernel": 0.5, "output/kernel": 0.75}


def test_a_layer_that_would_end_up_empty_is_refused_before_anything_is_trained():
    with pytest.raises(PruningError, match=r"Level 3 would remove all of 'conv2d/kernel': ask for fewer"):
        Setups(fakes.settled(experiment(scope="layerwise", fraction=0.7, levels=5))).of("")


def test_global_levels_that_would_keep_fewer_weights_than_arrays_are_refused_before_anything_is_trained():
    with pytest.raises(PruningError, match=r"Level 2 would keep 0 weights, fewer than the 3 that"):
        Setups(fakes.settled(experiment(fraction=0.99))).of("")


def test_global_pruning_keeps_one_weight_of_each_array_and_notes_its_name_once(tmp_path, monkeypatch):
    def by_layer(initial, trained, rng):
        ranks = {"conv2d/kernel": 0, "output/kernel": 1, "conv2d_1/kernel": 2}
        return {name: np.full(weight.shape, ranks[name]) for name, weight in trained.items()}

    monkeypatch.setitem(criteria.CRITERIA, "by_layer", by_layer)
    config, notes = experiment(criterion="by_layer"), []
    run, setups = open_run.open_run(tmp_path / "run", config, {}), setups_of(config)
    for unit in [*LEVELS, Unit(1, 1, "random_mask")]:
        imp.train_unit(run, setups, unit, Hooks(on_note=notes.append))
    (note,) = notes
    assert note.startswith("Replicate 1, level 1: a single weight, the minimum, is left of 'conv2d/kernel'.")
    for unit in [Unit(1, 1), Unit(1, 2), Unit(1, 1, "random_mask")]:
        assert run.ticket(unit).masks["conv2d/kernel"].sum() == 1
    kept = [run.metrics(unit)["kept"] for unit in LEVELS]
    assert kept == [kept[0], round(kept[0] / 2), round(round(kept[0] / 2) / 2)]


def test_weights_that_are_not_numbers_are_named(tmp_path):
    config = dataclasses.replace(
        experiment(), train=Train(learning_rate=1e38, batch_size=6, steps="12it", optimizer="sgd")
    )
    with pytest.raises(PruningError, match=r"Replicate 1, level 1: .* holds NaN or infinite weights: training div"):
        trained(tmp_path / "run", config, LEVELS)


def test_rewinding_to_the_end_trains_nothing_more(tmp_path):
    run = trained(tmp_path / "run", experiment(rewind_to="12it"), LEVELS[:2])
    ticket = run.ticket(Unit(1, 1))
    assert same(ticket.weights["rewind"], ticket.weights["final"])
    assert run.history(Unit(1, 1)).step.tolist() == [12]


def test_the_loop_over_all_levels_finds_the_same_tickets_as_one_unit_after_another(tmp_path):
    config = experiment()
    run, setups = open_run.open_run(tmp_path / "loop", config, {}), setups_of(config)
    imp.iterative_magnitude_pruning(run, setups, LEVELS)
    one_by_one = trained(tmp_path / "units", config, LEVELS)
    for unit in LEVELS:
        found, expected = run.ticket(unit), one_by_one.ticket(unit)
        assert same(found.masks, expected.masks)
        assert all(same(found.weights[group], expected.weights[group]) for group in ("rewind", "final"))
