"""Makes a dataset ready, where TFDS_DATA_DIR says: python scripts/prepare_data.py cifar10

Datasets: cifar10, cifar100, fashion_mnist (fashion_mnist_14 is made of it), imagenet2012, mnist. Archives in
TFDS_DATA_DIR's folder downloads/manual are used before anything is downloaded; those of ImageNet have to be put there
by hand.
"""

from tf_lottery import cli, data
from tf_lottery.report import terminal


def main(name: str = "") -> None:
    terminal.say(f"{name} is ready in {data.prepare(name)}")


if __name__ == "__main__":
    cli.run(main, arguments=1)
