"""The display of progress, in a terminal and in a pipe."""

import io

import fakes
import pytest
from rich.console import Console

from tf_lottery.experiment.plan import Plan
from tf_lottery.experiment.storage import Unit
from tf_lottery.report import progress_display, terminal
from tf_lottery.report.progress_display import ProgressDisplay

UNITS = [fakes.unit(1, 0), fakes.unit(1, 1)]
PLAN = Plan({"": (200, 0)})


class Terminal(io.StringIO):
    def isatty(self):
        return True


def output(monkeypatch, stream=None, **settings):
    stream = stream or io.StringIO()
    monkeypatch.setattr(terminal, "console", lambda **_: Console(file=stream, **{"width": 160, **settings}))
    return stream


def watch(run):
    with ProgressDisplay() as watcher:
        watcher.on_plan(dict.fromkeys(UNITS, 200), [], PLAN)
        for unit in UNITS:
            watcher.on_steps(unit, 200)
            watcher.on_done(run, unit)


def seen(watcher):
    """Return the lines of the display at 80 columns, with single spaces."""
    stream = io.StringIO()
    Console(file=stream, width=80).print(watcher.display())
    return [" ".join(line.split()) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    "settings",
    [{}, {"force_terminal": True}, {"stream": Terminal(), "_environ": {"TERM": "dumb"}}],
    ids=["piped", "piped with FORCE_COLOR", "dumb terminal"],
)
def test_where_lines_cannot_be_overwritten_there_is_one_per_unit(monkeypatch, tmp_path, settings):
    stream = output(monkeypatch, **settings)
    watch(fakes.run(tmp_path / "run"))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "2 training runs to do; 400 optimizer steps in all."
    assert lines[1].endswith(
        "1/2 training runs: replicate 1, level 0: density 100.0%, test accuracy 90.00% at step 100"
    )
    assert lines[2].endswith("2/2 training runs: replicate 1, level 1: density 80.0%, test accuracy 90.00% at step 100")
    assert len(lines) == 3
    assert "\x1b" not in stream.getvalue()


def test_in_a_terminal_a_bar_with_the_time_left_stays_at_the_end(monkeypatch, tmp_path):
    stream = output(monkeypatch, Terminal(), _environ={"TERM": "xterm"})
    watch(fakes.run(tmp_path / "run"))
    last = stream.getvalue()[-300:]
    for part in ("2/2 training runs", "100%", "left:"):
        assert part in last
    assert "replicate" not in last


def test_the_time_counts_from_the_plan_on(monkeypatch):
    clock = [0.0]
    output(monkeypatch, get_time=lambda: clock[0])
    watcher = ProgressDisplay()
    clock[0] = 20.0  # TensorFlow has started
    watcher.on_plan(dict.fromkeys(UNITS, 200), [], PLAN)
    clock[0] = 30.0
    assert "0:00:10" in seen(watcher)[0]


def test_the_display_has_level_step_and_accuracy_of_all_units_under_way(monkeypatch, tmp_path):
    output(monkeypatch)
    run, rewound = fakes.run(tmp_path / "run"), Unit(2, 1, "random_mask")
    watcher = ProgressDisplay()
    watcher.on_plan({UNITS[0]: 1500, rewound: 1440, UNITS[1]: 1440}, [], Plan({"": (1500, 60)}))
    watcher.on_steps(UNITS[0], 1200)
    watcher.on_accuracy(UNITS[0], 0.934)
    watcher.on_steps(rewound, 40)
    _, *table = seen(watcher)
    assert table == [
        "replicate level network step validation",
        "1 0 dense network 1,200/1,500 93.4%",
        "2 1 random mask 100/1,500",  # begins at step k = 60
    ]
    watcher.on_steps(UNITS[0], 300)
    watcher.on_done(run, UNITS[0])
    watcher.on_steps(UNITS[1], 1)
    bar, _, *rows, last = seen(watcher)
    assert rows == ["1 1 ticket 61/1,500", "2 1 random mask 100/1,500"]
    assert last == "done: replicate 1, level 0: density 100.0%, test accuracy 90.00% at step 100"
    assert bar.startswith("1/3 training runs ━")
    assert " 35% " in bar  # 1,541 of 4,380 steps


def test_the_display_names_variants_and_shuffle_seeds(monkeypatch):
    output(monkeypatch)
    watcher, unit = ProgressDisplay(), Unit(1, 2, "random_mask", "k=[0]", shuffle_seed=1)
    watcher.on_plan({unit: 200}, [], Plan({"k=[0]": (200, 0)}))
    watcher.on_steps(unit, 5)
    assert seen(watcher)[1:] == [
        "replicate variant level network step validation",
        "1 k=[0] 2 random mask, shuffle seed 1 5/200",
    ]


@pytest.mark.parametrize("width", [40, 80])
def test_no_line_of_the_display_is_wider_than_the_terminal(monkeypatch, tmp_path, width):
    output(monkeypatch)
    watcher, unit = ProgressDisplay(), Unit(1, 2, "reshuffle_signs", "learning-rate rewinding, " * 3, shuffle_seed=1)
    watcher.on_plan({unit: 10_000, UNITS[0]: 200}, [], Plan({unit.variant: (10_000, 0), "": (200, 0)}))
    watcher.on_steps(unit, 5)
    watcher.on_done(fakes.run(tmp_path / "run"), UNITS[0])
    stream = io.StringIO()
    Console(file=stream, width=width).print(watcher.display())
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert lines[2].split()[-1] == "5/10,000"  # words are cut, numbers are not
    assert len(lines) == 5


def test_units_that_were_finished_before_are_counted(monkeypatch):
    stream = output(monkeypatch)
    with ProgressDisplay() as watcher:
        watcher.on_plan({UNITS[0]: 200}, UNITS[1:], PLAN)
    assert stream.getvalue() == "1 training runs to do, 1 done before; 200 optimizer steps in all.\n"


def test_the_plan_says_that_error_along_lines_is_not_counted(monkeypatch):
    stream = output(monkeypatch)
    with ProgressDisplay() as watcher:
        watcher.on_plan({Unit(1, 1, shuffle_seed=1): 200}, [], PLAN)
    assert (
        "200 optimizer steps in all. Measuring the lines between data orders takes time in addition.\n"
        in stream.getvalue()
    )


@pytest.mark.parametrize(
    ("settings", "out", "err"),
    [({}, "a note\n", ""), ({"stderr": True}, "", "a note\n"), ({"stderr": True, "quiet": True}, "", "")],
)
def test_progress_can_leave_standard_output_alone(capsys, settings, out, err):
    with ProgressDisplay(**settings) as watcher:
        watcher.on_note("a note")
    assert capsys.readouterr() == (out, err)


def test_branches_are_named_as_in_the_tables_of_the_report():
    assert progress_display._kind(Unit(1, 1, "reinit_signs")) == "reinit, signs kept"
