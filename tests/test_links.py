"""What README, CONTRIBUTING, CHANGELOG and docs/ name is there: pages, headings, files, flags, fields."""

import re
from pathlib import Path

from tf_lottery.experiment.config import Experiment, fields

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/**/*.md"))]
CLI = ROOT / "tf_lottery/cli.py"
FLAG = r"--([a-z]\w*)"


def without_code(page):
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page):
    """What the code host makes of the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", without_code(page), re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", title.lower()).replace(" ", "-") for title in titles}


def flags(script):
    """The flags that a script takes itself, by what it uses of `cli`, or in order to hand them on."""
    text = script.read_text()
    if script.suffix == ".sh":
        return set(re.findall(FLAG, text)).union(*(flags(ROOT / path) for path in re.findall(r"scripts/\w+\.py", text)))
    _, *parts = re.split(r"^(?:def|class) (\w+)", CLI.read_text(), flags=re.MULTILINE)
    shared = dict(zip(parts[::2], parts[1::2], strict=True))
    used = "".join(shared.get(name, "") for name in re.findall(r"cli\.(\w+)", text))
    return {"help", *re.findall(r'DEFINE_\w+\(\s*"(\w+)"', text + used)}


def test_anchors_are_those_of_the_code_host(tmp_path):
    (page := tmp_path / "page.md").write_text("# Kill -9, `anywhere`\n\n```\n# no heading\n```\n## How fast?\n")
    assert anchors(page) == {"kill--9-anywhere", "how-fast"}


def on_pages(faults):
    """What `faults` finds wrong, by the page that has it."""
    return {str(page.relative_to(ROOT)): found for page in PAGES if (found := [*faults(page)])}


def test_every_link_leads_somewhere():
    assert on_pages(broken_links) == {}


def broken_links(page):
    for target in re.findall(r"\]\(([^()\s]+)\)", without_code(page)):
        if target.startswith(("http:", "https:")):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            yield target


def test_every_file_that_is_named_exists():
    named = r"(?<![\w/.])(?:scripts|configs|docs|tests|tf_lottery)/[\w/]+(?:\.\w+)?"
    assert (
        on_pages(lambda page: (path for path in re.findall(named, page.read_text()) if not (ROOT / path).exists()))
        == {}
    )


def test_every_flag_of_a_command_is_one_of_its_script():
    assert on_pages(unknown_flags) == {}


def unknown_flags(page):
    for name, arguments in re.findall(r"(\w+\.(?:py|sh))\b([^\n`|#]* --[^\n`|#]*)", page.read_text()):
        (script,) = ROOT.glob(f"scripts/**/{name}")
        yield from ((name, flag) for flag in set(re.findall(rf"(?<=\s){FLAG}", arguments)) - flags(script))


def test_every_flag_that_is_named_is_one_of_some_script():
    known = set().union(*(flags(script) for script in ROOT.glob("scripts/**/*.[ps][yh]")))
    assert on_pages(lambda page: set(re.findall(rf"`{FLAG}", page.read_text())) - known) == {}


def test_every_field_of_a_config_that_is_named_exists():
    known = set(fields(Experiment()))
    assert on_pages(lambda page: set(re.findall(r"--config\.([a-z_.]+)", page.read_text())) - known) == {}
