"""Overlaps of synthetic masks, against sets of positions."""

import fakes
import numpy as np
import pytest

from tf_lottery.core import masks as masks_lib
from tf_lottery.experiment import config as config_lib, open_run
from tf_lottery.experiment.config import Prune
from tf_lottery.report import overlaps


@pytest.fixture(scope="module")
def found(sweep):
    return overlaps.rows(sweep)


def positions(masks):
    return {(name, place) for name, mask in masks.items() for place in np.flatnonzero(mask)}


def jaccard(first, second):
    first, second = positions(first), positions(second)
    return len(first & second) / len(first | second)


def ticket(run, replicate, level, variant="k=0"):
    return run.ticket(fakes.unit(replicate, level, "", variant))


def test_each_pair_of_replicates_of_a_variant_is_compared_at_each_level(sweep, found):
    rows = found[(found.kind == "replicates") & (found.variant == "k=0")]
    assert rows[["replicate", "other", "level"]].to_numpy().tolist() == [
        [first, second, level] for level in (1, 2) for first, second in ((1, "2"), (1, "3"), (2, "3"))
    ]
    for row in rows.itertuples():
        first, second = (ticket(sweep, int(replicate), row.level).masks for replicate in (row.replicate, row.other))
        assert row.overlap == pytest.approx(jaccard(first, second))
        assert row.density == pytest.approx(0.5**row.level)


def test_each_pair_of_variants_is_compared_within_replicates(sweep, found):
    rows = found[found.kind == "variants"]
    assert len(rows) == 3 * 2
    for row in rows.itertuples():
        assert (row.variant, row.other) == ("k=0", "k=60")
        masks = [ticket(sweep, row.replicate, row.level, variant).masks for variant in ("k=0", "k=60")]
        assert row.overlap == pytest.approx(jaccard(*masks))


def test_variants_are_compared_where_they_keep_as_many_weights(tmp_path):
    config = fakes.experiment(
        replicates=1,
        prune=Prune(levels=2, fraction=0.5),
        controls=(),
        variants={"iterative": {}, "one-shot": {"prune.levels": 1, "prune.fraction": 0.75}},
    )
    run = open_run.open_run(tmp_path / "run", config, fakes.ENVIRONMENT)
    keeps = {("iterative", 1): 200, ("iterative", 2): 100, ("one-shot", 1): 101}
    for label in ("iterative", "one-shot"):
        for level in range(3 if label == "iterative" else 2):
            mask = {"w": np.arange(400) < keeps.get((label, level), 400)}
            ticket = fakes.ticket(mask, masks_lib.apply({"w": np.ones(400)}, mask))
            fakes.save(run, fakes.unit(1, level, "", label), ticket=ticket)
    rows = overlaps.rows(run)
    (row,) = rows[rows.kind == "variants"].itertuples()
    assert (row.variant, row.level, row.other, row.overlap) == ("iterative", 2, "one-shot", 100 / 101)


@pytest.mark.parametrize(("kind", "group"), [("largest_at_the_end", "final"), ("largest_at_step_k", "rewind")])
def test_a_ticket_is_compared_with_the_largest_weights_of_its_dense_network(sweep, found, kind, group):
    rows = found[(found.kind == kind) & (found.variant == "k=60")]
    assert len(rows) == 3 * 2
    for row in rows.itertuples():
        masks = ticket(sweep, row.replicate, row.level, "k=60").masks
        dense = ticket(sweep, row.replicate, 0, "k=60").weights[group]
        sizes = {name: np.sort(np.abs(dense[name]), axis=None) for name in masks}
        largest = {name: np.abs(dense[name]) >= sizes[name][-mask.sum()] for name, mask in masks.items()}
        assert row.overlap == pytest.approx(jaccard(masks, largest))


def test_magnitude_pruning_of_the_dense_network_keeps_its_largest_weights(tmp_path):
    config = fakes.experiment(replicates=1, prune=Prune(levels=1), controls=())
    run = open_run.open_run(tmp_path / "run", config, fakes.ENVIRONMENT)
    weight = np.array([0.1, -3.0, 2.0, 0.2])
    for level, mask in enumerate(([1, 1, 1, 1], [0, 1, 1, 0])):
        mask = {"w": np.array(mask, bool)}
        content = fakes.ticket(mask, masks_lib.apply({"w": weight}, mask))
        fakes.save(run, fakes.unit(1, level), ticket=content)
    rows = overlaps.rows(run)
    assert [*rows.kind] == ["largest_at_step_k", "largest_at_the_end"]
    assert [*rows.overlap] == [1, 1]
    assert [*rows.chance] == pytest.approx([1 / 3, 1 / 3])


def test_random_masks_overlap_as_by_chance(found):
    rng = np.random.default_rng(0)
    masks = {"a": rng.random((40, 50)) < 0.3, "b": rng.random(500) < 0.8}
    other = {"a": rng.random((40, 50)) < 0.1, "b": rng.random(500) < 0.5}
    seen = [masks_lib.overlap(masks_lib.shuffle(masks, rng), masks_lib.shuffle(other, rng)) for _ in range(200)]
    assert overlaps.by_chance(masks, other) == pytest.approx(np.mean(seen), rel=0.01)
    assert found.overlap.mean() == pytest.approx(found.chance.mean(), rel=0.1)  # the masks are random


def test_masks_that_keep_nothing_are_equal_by_chance_too():
    nothing = {"w": np.zeros(3, bool), "none": np.zeros(0, bool)}
    assert overlaps.by_chance(nothing, nothing) == masks_lib.overlap(nothing, nothing) == 1


def test_unfinished_units_have_no_row_and_a_ticket_needs_no_dense_network(tmp_path):
    config = fakes.sweep_of()
    assert overlaps.rows(open_run.open_run(tmp_path / "empty", config, fakes.ENVIRONMENT)).empty
    units = [fakes.unit(replicate, 1, "", "k=0") for replicate in (1, 3)]
    rows = overlaps.rows(fakes.sweep(tmp_path / "run", config, units))
    assert rows[["kind", "replicate", "other"]].to_numpy().tolist() == [["replicates", 1, "3"]]


def test_variants_that_are_other_networks_have_no_overlap(tmp_path, monkeypatch):
    masks = fakes.sweep_masks
    config = fakes.sweep_of(variants={"a": {}, "b": {"model.name": "conv_2"}})
    assert config_lib.labels(config) == ["a", "b"]
    monkeypatch.setattr(
        fakes,
        "sweep_masks",
        lambda unit: {name: mask for name, mask in masks(unit).items() if unit.variant == "a" or name[0] == "d"},
    )
    rows = overlaps.rows(fakes.sweep(tmp_path / "run", config))
    assert "variants" not in set(rows.kind)
    assert "replicates" in set(rows.kind)
