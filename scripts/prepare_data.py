"""Makes a dataset ready: python scripts/prepare_data.py fashion_mnist [--data_dir=DIR]"""

from absl import flags

from tf_lottery import command_line, data
from tf_lottery.report import terminal

_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where tensorflow-datasets keeps its data; None: its own default.")


def main(name: str = "") -> None:
    terminal.say(f"{name} is ready in {data.prepare(name, _DATA_DIR.value)}")


if __name__ == "__main__":
    command_line.run(main)
