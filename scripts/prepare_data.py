"""Makes a dataset ready, where TFDS_DATA_DIR says: python scripts/prepare_data.py fashion_mnist"""

from tf_lottery import command_line, data
from tf_lottery.report import terminal


def main(name: str = "") -> None:
    terminal.say(f"{name} is ready in {data.prepare(name)}")


if __name__ == "__main__":
    command_line.run(main, arguments=1)
