"""No text controls a terminal: in an error, on the console, and in a warning it is shown as text."""

import io
import pickle
import warnings

import pandas as pd
import pytest

from tf_lottery import errors, escapes, keras_compat
from tf_lottery.report import markup, terminal

# What terminals and browsers obey: colours, titles, the clipboard, line ends, changes of direction, nothing to see.
OBEYED = {
    "\x1b[31m": r"\x1b[31m",
    "\x1b]0;title\x07": r"\x1b]0;title\x07",
    "\x9b31m": r"\x9b31m",
    "\r\n": r"\r\n",
    "\x08\x7f\0": r"\x08\x7f\x00",
    "\u202egnp\u2066": r"\u202egnp\u2066",
    "\u200b\ufeff": r"\u200b\ufeff",
    "\u2028\x85": r"\u2028\x85",
    "\ud800": r"\ud800",
    "\U000e0041": r"\U000e0041",
}


@pytest.mark.parametrize(("text", "shown"), OBEYED.items())
def test_what_is_obeyed_is_shown_as_escapes(text, shown):
    assert escapes.shown(f"a{text}b") == f"a{shown}b"
    assert escapes.shown(escapes.shown(text)) == shown


@pytest.mark.parametrize("text", ["", "plain", "größe – 5 ∞ … 数 é", "C:\\new", "[red]a[/red]", "👍"])
def test_text_that_can_be_printed_stays(text):
    assert escapes.shown(text) == text


def test_line_ends_stay_where_they_are_asked_for():
    assert escapes.shown("a\nb\r", lines=True) == "a\nb\\r"


def kinds(base):
    return [base, *(kind for one in base.__subclasses__() for kind in kinds(one))]


@pytest.mark.parametrize("kind", kinds(errors.LotteryError))
@pytest.mark.parametrize(("text", "shown"), OBEYED.items())
def test_the_message_of_every_error_is_one_line_that_can_be_printed(kind, text, shown):
    error = kind(f"a{text}b")
    assert str(error) == f"a{shown}b" == str(pickle.loads(pickle.dumps(error)))


def printed(show, monkeypatch, *, is_terminal=False):
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    if is_terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    show()
    return out.getvalue()


@pytest.mark.parametrize(("text", "shown"), OBEYED.items())
def test_the_console_shows_them_too(monkeypatch, text, shown):
    assert printed(lambda: terminal.say(f"a{text}b"), monkeypatch) == f"a{shown}b\n"
    found = printed(lambda: terminal.show_files([("", f"a{text}b")]), monkeypatch)
    assert found.startswith(f"a{shown}b\n")
    written = printed(lambda: terminal.console().print(f"a{text}b", markup=False, soft_wrap=True), monkeypatch)
    assert written == f"a{escapes.shown(text, lines=True)}b\n"


def test_a_cell_of_a_table_is_as_wide_as_what_it_shows(monkeypatch):
    frame = pd.DataFrame({"name": ["\x1b[31mred[bold]\n", "plain"]})
    lines = printed(lambda: terminal.show_table(frame, "t\x07"), monkeypatch).splitlines()
    assert [line.strip() for line in lines if line.strip(" ─")] == [r"t\x07", "name", r"\x1b[31mred[bold]\n", "plain"]


def test_styles_of_our_own_reach_a_terminal(monkeypatch):
    def show():
        terminal.console().print("[bold]a[/bold]\x1b[31m", highlight=False)

    assert printed(show, monkeypatch, is_terminal=True) == "\x1b[1ma\x1b[0m\\x1b[31m\n"


@pytest.mark.parametrize(("text", "shown"), OBEYED.items())
def test_a_page_shows_them_and_no_markup(text, shown):
    assert markup.paragraph(f"<b>{text}") == f"<p>&lt;b&gt;{shown}</p>"
    assert markup.definitions({f"<{text}": f"&{text}"}) == f"<dt>&lt;{shown}</dt><dd>&amp;{shown}</dd>"


@pytest.mark.parametrize(("text", "shown"), OBEYED.items())
def test_a_warning_shows_them(text, shown):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        keras_compat.warn(f"a{text}b")
    assert str(found[0].message) == f"a{shown}b"
