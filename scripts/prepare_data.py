"""Prepares a dataset in the folder TFDS_DATA_DIR: python scripts/prepare_data.py cifar10

Datasets: cifar10, cifar100, fashion_mnist (also for fashion_mnist_14), imagenet2012, mnist. Archives in the folder
downloads/manual of TFDS_DATA_DIR are used before anything is downloaded; those of ImageNet must be put there by hand.
"""

from tf_lottery import cli, data
from tf_lottery.report import terminal


def main(name: str = "") -> None:
    terminal.say(f"{name} is ready in {data.prepare(name)}")


if __name__ == "__main__":
    cli.run(main, arguments=1)
