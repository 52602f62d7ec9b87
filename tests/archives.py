"""Tiny archives that the genuine builders of tensorflow-datasets read, and what went into them."""

import dataclasses
import gzip
import io
import tarfile

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import checksums
from tensorflow_datasets.image_classification import mnist as mnist_builders

CIFAR_TRAIN, CIFAR_TEST = 100, 20
MNIST_TRAIN, MNIST_TEST = 48, 10
IMAGENET_CLASSES = ("n01440764", "n01443537", "n03891332")


def _tar(path, files, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def _register(monkeypatch, builder, folder):
    """The checksums of these files instead of the genuine ones, for one test."""
    for url, genuine in list(builder.url_infos.items()):
        info = checksums.compute_url_info(folder / genuine.filename)
        monkeypatch.setitem(builder.url_infos, url, dataclasses.replace(info, filename=genuine.filename))


def cifar(monkeypatch, data_dir, name):
    """Returns {"train": (uint8 images, labels), "test": …}, in the order of the files."""
    rng = np.random.default_rng(0)
    num_classes = 100 if name == "cifar100" else 10
    count = {"train": CIFAR_TRAIN, "test": CIFAR_TEST}
    images = {split: rng.integers(0, 256, (n, 32, 32, 3), np.uint8) // [1, 2, 3] for split, n in count.items()}
    labels = {split: np.arange(n) % num_classes for split, n in count.items()}

    def rows(split, start=0, stop=None):
        planes = images[split][start:stop].astype(np.uint8).transpose(0, 3, 1, 2).reshape(-1, 3072)
        fine = labels[split][start:stop, None].astype(np.uint8)
        heads = np.concatenate([fine // 5, fine], 1) if name == "cifar100" else fine
        return np.concatenate([heads, planes], 1).tobytes()

    if name == "cifar100":
        names = {"coarse_label_names.txt": 20, "fine_label_names.txt": 100}
        binaries = {"train.bin": rows("train"), "test.bin": rows("test")}
        prefix = "cifar-100-binary/"
    else:
        names = {"batches.meta.txt": 10}
        binaries = {f"data_batch_{1 + n}.bin": rows("train", 20 * n, 20 * n + 20) for n in range(5)}
        binaries["test_batch.bin"] = rows("test")
        prefix = "cifar-10-batches-bin/"
    texts = {file: "\n".join(f"class {n}" for n in range(count)).encode() for file, count in names.items()}
    folder = data_dir / "downloads/manual"
    folder.mkdir(parents=True)
    archive = folder / f"{name.replace('cifar', 'cifar-')}-binary.tar.gz"
    _tar(archive, {prefix + file: content for file, content in {**texts, **binaries}.items()}, "w:gz")
    _register(monkeypatch, tfds.builder(name, data_dir=str(data_dir)), folder)
    return {split: (images[split].astype(np.uint8), labels[split]) for split in images}


def mnist(monkeypatch, data_dir, name="mnist"):
    """As `cifar`."""
    rng = np.random.default_rng(0)
    folder = data_dir / "downloads/manual"
    folder.mkdir(parents=True)
    made = {}
    for split, prefix, count in (("train", "train", MNIST_TRAIN), ("test", "t10k", MNIST_TEST)):
        images, labels = rng.integers(0, 256, (count, 28, 28, 1), np.uint8), np.arange(count) % 10
        head = np.array([2051, count, 28, 28], ">i4").tobytes()
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + images.tobytes()))
        head = np.array([2049, count], ">i4").tobytes()
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(head + labels.astype(np.uint8).tobytes()))
        made[split] = images, labels
    monkeypatch.setattr(mnist_builders, "_TRAIN_EXAMPLES", MNIST_TRAIN)
    monkeypatch.setattr(mnist_builders, "_TEST_EXAMPLES", MNIST_TEST)
    _register(monkeypatch, tfds.builder(name, data_dir=str(data_dir)), folder)
    return made


def jpeg(seed, height, width):
    """A smooth colour image, which JPEG hardly changes."""
    rng = np.random.default_rng(seed)
    slopes, start = rng.uniform(-1, 1, (2, 3)), rng.uniform(100, 156, 3)
    y, x = np.mgrid[:height, :width]
    image = start + y[..., None] * slopes[0] + x[..., None] * slopes[1]
    return tf.io.encode_jpeg(np.clip(image, 0, 255).astype(np.uint8), quality=100, chroma_downsampling=False).numpy()


def imagenet(data_dir, per_class=8, test=5):
    """Returns {"train": {JPEG bytes: synset}, "validation": {JPEG bytes: file name}}, split as officially."""
    folder = data_dir / "downloads/manual"
    folder.mkdir(parents=True)
    train, classes = {}, {}
    for number, synset in enumerate(IMAGENET_CLASSES):
        files = {f"{synset}_{n}.JPEG": jpeg(100 * number + n, 40 + n, 60 + number) for n in range(per_class)}
        _tar(folder / "class.tar", files)
        classes[f"{synset}.tar"] = (folder / "class.tar").read_bytes()
        train |= dict.fromkeys(files.values(), synset)
    (folder / "class.tar").unlink()
    _tar(folder / "ILSVRC2012_img_train.tar", classes)
    held_out = {f"ILSVRC2012_val_{n + 1:08}.JPEG": jpeg(1000 + n, 50, 50 + n) for n in range(test)}
    _tar(folder / "ILSVRC2012_img_val.tar", held_out)
    return {"train": train, "validation": {content: file for file, content in held_out.items()}}
