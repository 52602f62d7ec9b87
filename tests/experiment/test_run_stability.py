"""The stability of runs, compared with NumPy on the stored weights, and its identities."""

import fakes
import numpy as np
import pytest

from tf_lottery.core import masks as masks_lib
from tf_lottery.experiment import open_run, plan, run_stability
from tf_lottery.experiment.config import Prune, Stability
from tf_lottery.experiment.storage import Unit

MASKS = {"a": np.arange(6) % 2 == 0, "b": np.arange(4).reshape(2, 2) > 0}


def config(**changes):
    settings = {"replicates": 1, "prune": Prune(levels=2), "stability": Stability(levels=(2,), shuffle_seeds=2)}
    return fakes.experiment(**settings | {"controls": ("random_mask",)} | changes)


def ends(unit, masks):
    """Return different weights for each unit, zero where pruned, and a bias, which has no mask."""
    rng = np.random.default_rng(abs(hash((unit.level, unit.control == "", unit.shuffle_seed))))
    weights = {name: np.where(mask, rng.normal(size=mask.shape), 0) for name, mask in masks.items()}
    return weights | {"bias": rng.normal(size=3)}


def made(path, config, ends=ends):
    run = open_run.open_run(path, config, fakes.ENVIRONMENT)
    for unit in plan.units(config):
        masks = MASKS if unit.level else {name: np.ones_like(mask) for name, mask in MASKS.items()}
        line = [{"share": share, "test_error": error, "test_loss": 10 * error} for share, error in LINE]
        fakes.save(run, unit, ticket=fakes.ticket(masks, ends(unit, masks)), line=line if unit.shuffle_seed else ())
    return run


ONES = {"a": np.ones(6), "b": np.ones((2, 2))}
LINE = [(0.0, 0.2), (0.5, 0.5), (1.0, 0.3)]


def vector(run, unit):
    """Return the final weights of a unit that level 2 keeps."""
    final = run.ticket(unit).weights["final"]
    return np.concatenate([final[name][mask] for name, mask in MASKS.items()])


def test_stability_is_distance_and_angle_between_the_kept_weights_of_the_pairs_of_its_definition(tmp_path):
    run = made(tmp_path / "run", config())
    found = run_stability.rows(run).set_index(["level", "control", "kind", "sample", "weight"])
    for control in ("", "random_mask"):
        copies = [vector(run, Unit(1, 2, control, shuffle_seed=order)) for order in range(3)]
        full = [vector(run, Unit(1, 0, shuffle_seed=order)) for order in range(3)]
        pairs = {("data_order", f"{i}-{j}"): (copies[i], copies[j]) for i, j in ((0, 1), (0, 2), (1, 2))}
        pairs |= {("pruning", str(order)): (full[order], copies[order]) for order in range(3)}
        assert set(found.loc[2, control].index.droplevel("weight")) == set(pairs)
        for (kind, sample), (first, second) in pairs.items():
            row = found.loc[2, control, kind, sample, "all"]
            cosine = first @ second / np.sqrt(first @ first * (second @ second))
            assert row.distance == pytest.approx(np.sqrt(((first - second) ** 2).sum()))
            assert row.angle == pytest.approx(np.degrees(np.arccos(cosine)))
    assert set(found.loc[0].index.get_level_values("kind")) == {"data_order"}


def test_there_is_a_row_for_each_weight_with_a_mask_and_none_for_others(tmp_path):
    frame = run_stability.rows(made(tmp_path / "run", config()))
    assert set(frame.weight) == {"all", "a", "b"}
    whole = frame[frame.weight == "all"].distance.to_numpy() ** 2
    parts = sum(frame[frame.weight == name].distance.to_numpy() ** 2 for name in MASKS)
    np.testing.assert_allclose(whole, parts)


def test_equal_networks_are_stable(tmp_path):
    frame = run_stability.rows(made(tmp_path / "run", config(), lambda unit, masks: masks_lib.apply(ONES, masks)))
    assert (frame[frame.weight == "all"][["distance", "angle"]] == 0).all(axis=None)


def test_with_fresh_shuffling_only_further_shuffle_seeds_are_compared_with_the_dense_network(tmp_path):
    frame = run_stability.rows(made(tmp_path / "run", config(shuffle="fresh")))
    assert set(frame[frame.kind == "pruning"]["sample"]) == {"1", "2"}
    assert set(frame[frame.kind == "data_order"]["sample"]) == {"0-1", "0-2", "1-2"}


def test_each_variant_is_compared_with_its_own_dense_network(tmp_path):
    run = made(tmp_path / "run", config(variants={"k=0": {}, "k=9": {"prune.rewind_to": "9it"}}))
    frame = run_stability.rows(run)
    assert frame.groupby("variant").size().nunique() == 1
    assert set(frame.variant) == {"k=0", "k=9"}


def test_unfinished_units_have_no_row(tmp_path):
    run = open_run.open_run(tmp_path / "run", config(), fakes.ENVIRONMENT)
    assert run_stability.rows(run).empty
    assert run_stability.barriers(run_stability.lines(run)).empty
    assert run_stability.rows(made(tmp_path / "other", config(stability=Stability()))).empty


def test_a_barrier_is_how_much_worse_the_worst_point_of_a_line_is_than_its_ends(tmp_path):
    points = run_stability.lines(made(tmp_path / "run", config()))
    assert len(points) == 6 * len(LINE)
    found = run_stability.barriers(points)
    assert found[["level", "control", "shuffle_seed"]].drop_duplicates().shape[0] == len(found) == 6
    assert found.error_barrier.to_numpy() == pytest.approx(0.25)
    assert found.loss_barrier.to_numpy() == pytest.approx(2.5)


@pytest.mark.parametrize("rewind", ["learning_rate", "none"])
def test_a_ticket_with_another_start_point_than_the_dense_network_has_no_stability_to_pruning(tmp_path, rewind):
    frame = run_stability.rows(made(tmp_path / "run", config(prune=Prune(levels=2, rewind=rewind))))
    assert set(frame.kind) == {"data_order"}


def test_a_ticket_with_new_momentum_is_not_compared_with_a_dense_network_with_continued_momentum(tmp_path):
    anew = Prune(levels=2, rewind_to="5it", reset_optimizer=True)
    frame = run_stability.rows(made(tmp_path / "run", config(prune=anew)))
    assert set(frame[frame.kind == "pruning"]["sample"]) == {"1", "2"}
