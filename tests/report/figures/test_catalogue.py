import fakes
import pytest

from tf_lottery.experiment.config import Prune, Stability
from tf_lottery.report import findings
from tf_lottery.report.figures import catalogue, style

AGAINST_K = ["accuracy_against_k", "angle_against_k", "distance_against_k"]
OVERLAPS = [f"overlap_{kind}" for kind in ("replicates", "variants", "largest_at_the_end", "largest_at_step_k")]


@pytest.fixture(autouse=True)
def without_images(monkeypatch):
    monkeypatch.setattr(style, "png", lambda draw: bytes(len(draw().axes)))


def drawn(run):
    return catalogue.run_figures(findings.read(run))


def test_a_sweep_over_k_has_all_figures_whose_data_are_there(sweep):
    assert list(drawn(sweep)) == ["accuracy_of_variants", *AGAINST_K, "error_along_lines", *OVERLAPS]


def test_a_plain_run_has_the_overlap_of_its_tickets_and_what_was_measured(tmp_path):
    config = fakes.experiment(replicates=2)
    assert list(drawn(fakes.sweep(tmp_path / "plain", config))) == ["overlap"]
    measured = fakes.experiment(replicates=1, stability=Stability(levels=(1, 2), shuffle_seeds=1, points=0))
    found = drawn(fakes.sweep(tmp_path / "measured", measured))
    assert list(found) == ["angle_against_density", "distance_against_density", "overlap"]


def test_of_dense_networks_alone_nothing_is_drawn(tmp_path):
    assert drawn(fakes.sweep(tmp_path / "run", fakes.experiment(prune=Prune(levels=0)))) == {}


def test_captions_say_how_many_replicates_there_are(sweep):
    assert all("3 replicates" in one.caption for one in drawn(sweep).values())


@pytest.mark.parametrize(
    ("fresh", "words"), [(True, "were computed anew at each point."), (False, "were interpolated like weights")]
)
def test_the_caption_of_lines_says_what_became_of_batch_norm_statistics(tmp_path, fresh, words):
    stability = Stability(levels=(1,), shuffle_seeds=1, points=3, fresh_statistics=fresh)
    config = fakes.experiment(replicates=1, prune=Prune(levels=1), controls=(), stability=stability)
    assert words in drawn(fakes.sweep(tmp_path / "run", config))["error_along_lines"].caption


def test_an_unfinished_sweep_has_the_figures_of_what_is_done(tmp_path):
    config = fakes.sweep_of()
    units = [fakes.unit(1, level, "", variant) for level in (0, 1) for variant in ("k=0", "k=60")]
    found = drawn(fakes.sweep(tmp_path / "run", config, units))
    assert list(found) == ["accuracy_of_variants", "accuracy_against_k", *OVERLAPS[1:]]


def test_the_figures_of_a_variant_are_four(sweep):
    found = catalogue.variant_figures(findings.read(sweep).by_variant["k=0"])
    assert list(found) == ["accuracy_at_early_stopping", "accuracy_at_the_end", "early_stopping", "density_by_layer"]
