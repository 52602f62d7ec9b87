import dataclasses
import shutil

import fakes
import pytest

from tf_lottery.errors import DamageError, RunError
from tf_lottery.experiment import backups, open_run, plan
from tf_lottery.experiment.config import Stability, Train
from tf_lottery.experiment.storage import Run

OTHER = {"python": "4.x", "packages": {"keras": "3.x"}, "switches": {"TF_ENABLE_ONEDNN_OPTS": "0"}}
THIRD = {"python": "5.x", "packages": {"keras": "3.x"}}


def begin(path):
    return open_run.open_run(path, fakes.experiment(), fakes.ENVIRONMENT)


def resume(path, environment, **settings):
    return open_run.open_run(path, fakes.experiment(), environment, **settings)


def record(path):
    return backups.paths(path, "environment")


def damage(*paths):
    for path in paths:
        path.write_bytes(path.read_bytes().replace(b"3.x", b"2.x"))


def contents(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_a_run_resumes_in_the_environment_that_it_was_begun_in(tmp_path):
    before = contents(begin(tmp_path).path)
    assert resume(tmp_path, fakes.ENVIRONMENT).environments() == [fakes.ENVIRONMENT]
    assert contents(tmp_path) == before


def test_another_environment_is_refused_field_by_field_and_writes_nothing(tmp_path):
    before = contents(begin(tmp_path).path)
    with pytest.raises(RunError) as refused:
        resume(tmp_path, OTHER)
    assert str(refused.value) == (
        f"{tmp_path} was made in another environment, which can change results: python=3.x (run), python=4.x (now); "
        "switches.TF_ENABLE_ONEDNN_OPTS=not set (run), switches.TF_ENABLE_ONEDNN_OPTS=0 (now). Resume in that one, "
        "choose another --run_dir, or accept it with --any_environment: the report then says that the run is not "
        "bit-exact."
    )
    assert contents(tmp_path) == before


def test_data_that_changed_are_refused_and_data_of_new_variants_are_recorded(tmp_path):
    def reading(**data):
        return {**fakes.ENVIRONMENT, "data": data}

    open_run.open_run(tmp_path, fakes.experiment(), reading(digits="a1"))
    with pytest.raises(RunError, match=r"data.digits=a1 \(run\), data.digits=b2 \(now\)\. Resume"):
        resume(tmp_path, reading(digits="b2", mnist="c3"))
    assert resume(tmp_path, reading(digits="a1", mnist="c3")).environments() == [reading(digits="a1", mnist="c3")]
    with pytest.raises(RunError, match=r"data.mnist=c3 \(run\), data.mnist=d4 \(now\)\. Resume"):
        resume(tmp_path, reading(digits="a1", mnist="d4"))


def test_an_accepted_environment_is_recorded_once(tmp_path):
    begin(tmp_path)
    for _ in range(2):
        assert resume(tmp_path, OTHER, any_environment=True).environments() == [
            fakes.ENVIRONMENT,
            OTHER,
        ]


def test_a_run_resumes_in_every_environment_that_is_recorded(tmp_path):
    begin(tmp_path)
    resume(tmp_path, OTHER, any_environment=True)
    for environment in (OTHER, fakes.ENVIRONMENT):
        assert resume(tmp_path, environment).environments() == [fakes.ENVIRONMENT, OTHER]
    with pytest.raises(RunError, match=r"python=4.x \(run\), python=5.x \(now\)"):
        resume(tmp_path, THIRD)


def test_accepting_any_environment_changes_nothing_if_it_is_the_same(tmp_path):
    before = contents(begin(tmp_path).path)
    resume(tmp_path, fakes.ENVIRONMENT, any_environment=True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("generation", [0, 1])
def test_a_damaged_record_with_an_intact_backup_is_restored(tmp_path, generation):
    before = contents(begin(tmp_path).path)
    damage(record(tmp_path)[generation])
    with pytest.raises(RunError, match=r"python=3.x \(run\), python=4.x \(now\)"):
        resume(tmp_path, OTHER)
    resume(tmp_path, fakes.ENVIRONMENT)
    assert contents(tmp_path) == before


def test_a_damaged_record_stops_a_run_and_the_error_says_what_to_do(tmp_path):
    damage(*record(begin(tmp_path).path))
    with pytest.raises(
        DamageError, match=r"environment.json is damaged: its checksum .* restore one of them from a co"
    ):
        resume(tmp_path, fakes.ENVIRONMENT)
    with pytest.raises(DamageError, match=r"With --any_environment the run resumes, marked as not bit-exact\.$"):
        resume(tmp_path, fakes.ENVIRONMENT)


def test_with_any_environment_a_run_resumes_without_its_record_which_is_marked_as_damaged(tmp_path):
    damage(*record(begin(tmp_path).path))
    environments = [{"record": "damaged"}, fakes.ENVIRONMENT]
    assert resume(tmp_path, fakes.ENVIRONMENT, any_environment=True).environments() == environments
    assert resume(tmp_path, fakes.ENVIRONMENT).environments() == environments


def test_a_run_does_not_resume_without_its_record(tmp_path):
    for path in record(begin(tmp_path).path):
        path.unlink()
    with pytest.raises(DamageError, match=r"environment.json is damaged: it cannot be read \(No such file"):
        resume(tmp_path, fakes.ENVIRONMENT)


def test_a_finished_run_is_opened_in_any_environment(tmp_path):
    before = contents(begin(tmp_path).path)
    assert resume(tmp_path, None).environments() == [fakes.ENVIRONMENT]
    assert contents(tmp_path) == before


def test_a_finished_run_is_opened_although_its_record_is_damaged(tmp_path):
    damage(*record(begin(tmp_path).path))
    before = contents(tmp_path)
    run = resume(tmp_path, None)
    assert contents(tmp_path) == before
    with pytest.raises(DamageError):
        run.environments()


def test_a_run_that_was_moved_resumes(tmp_path):
    begin(tmp_path / "old")
    shutil.move(tmp_path / "old", tmp_path / "new")
    assert resume(tmp_path / "new", fakes.ENVIRONMENT).environments() == [fakes.ENVIRONMENT]
    assert Run.load(tmp_path / "new").config == fakes.experiment()


def test_open_execution_settings_are_those_that_the_run_was_begun_with(tmp_path):
    path, asked = tmp_path / "run", fakes.experiment()
    open_run.open_run(path, fakes.settled(asked), fakes.ENVIRONMENT)
    assert open_run.open_run(path, asked, fakes.ENVIRONMENT).config == fakes.settled(asked)
    assert Run.load(path).config == fakes.settled(asked)
    with pytest.raises(RunError, match=r"train.jit_compile=False \(run\), train.jit_compile=True \(asked for\)"):
        open_run.open_run(path, dataclasses.replace(asked, train=Train(jit_compile=True)), fakes.ENVIRONMENT)


def test_a_run_from_before_a_field_existed_takes_the_value_that_is_given(tmp_path):
    path, asked = tmp_path / "run", fakes.experiment(train=Train(threads=1, jit_compile=False))
    open_run.open_run(path, asked, fakes.ENVIRONMENT)  # steps_per_execution is open in it
    given = dataclasses.replace(asked, train=dataclasses.replace(asked.train, steps_per_execution=7))
    assert open_run.open_run(path, given, fakes.ENVIRONMENT).config == given


def test_variants_are_added_to_a_sweep_and_never_redefined(tmp_path):
    first = fakes.experiment(variants={"k=0": {}})
    open_run.open_run(tmp_path / "run", first, fakes.ENVIRONMENT)
    more = fakes.experiment(variants={"k=9": {"prune.rewind_to": "9it"}})
    opened = open_run.open_run(tmp_path / "run", more, fakes.ENVIRONMENT)
    assert opened.config.variants == {"k=0": {}, "k=9": {"prune.rewind_to": "9it"}}
    for variants in ({"k=9": {"prune.rewind_to": "8it"}}, {}):
        with pytest.raises(RunError, match="belongs to another experiment: variants="):
            open_run.open_run(tmp_path / "run", fakes.experiment(variants=variants), fakes.ENVIRONMENT)
    open_run.open_run(tmp_path / "alone", fakes.experiment(), fakes.ENVIRONMENT)
    with pytest.raises(RunError, match="belongs to another experiment: variants="):
        open_run.open_run(tmp_path / "alone", first, fakes.ENVIRONMENT)


def test_an_impossible_extension_is_refused_and_writes_nothing(tmp_path):
    low = fakes.experiment(variants={"high": {}, "low": {"prune.levels": 1}})
    before = contents(open_run.open_run(tmp_path / "run", low, fakes.ENVIRONMENT).path)
    more = fakes.experiment(variants={"high": {}}, stability=Stability(levels=(2,)))
    with pytest.raises(
        RunError, match=r"A run keeps what it has, and that leads to: Variant 'low': `stability.levels`"
    ):
        open_run.open_run(tmp_path / "run", more, fakes.ENVIRONMENT)
    assert contents(tmp_path / "run") == before


def test_measures_of_stability_are_added_to_a_run(tmp_path):
    run = fakes.run(tmp_path / "run")
    more = fakes.experiment(stability=Stability(levels=(2,)))
    assert open_run.open_run(tmp_path / "run", more, fakes.ENVIRONMENT).config.stability.levels == (2,)
    assert [unit.shuffle_seed for unit in plan.units(more) if not run.is_done(unit)] == [1, 2] * 9
