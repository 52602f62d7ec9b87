"""The table of formats, which is read before TensorFlow is imported."""

import subprocess
import sys

from tf_lottery.export import formats, run_exports


def test_the_table_is_read_without_tensorflow():
    code = (
        "import sys; from tf_lottery.export import formats; print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_every_format_has_its_function_and_an_ending_and_a_description_of_its_own():
    functions = [format.writer() for format in formats.FORMATS.values()]
    assert all(getattr(run_exports, function.__name__) is function for function in functions)
    for column in (functions, *zip(*formats.FORMATS.values(), strict=True)):
        assert len(set(column)) == len(formats.FORMATS)


def test_the_help_describes_every_format():
    assert [part.split(" (")[0] for part in formats.described().split("), ")] == [*formats.FORMATS]
