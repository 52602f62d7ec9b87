import archives
import numpy as np
import pytest
import tensorflow as tf

from tf_lottery.core import seeds
from tf_lottery.feeds import images

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def uniform(count, seed=0):
    return np.random.default_rng(seed).integers(2**31, size=count).astype(np.int32)


def by_hand(image, flip, top, left):
    """The augmentation of one image, pixel by pixel."""
    height, width = image.shape[:2]
    out = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            y, x = row + top - 4, column + left - 4
            if flip:
                x = width - 1 - x
            if 0 <= y < height and 0 <= x < width:
                out[row, column] = image[y, x]
    return out


def outcome(before, after):
    """The one (flip, top, left) that turns one image into the other."""
    found = [
        (flip, top, left)
        for flip in (0, 1)
        for top in range(9)
        for left in range(9)
        if np.array_equal(by_hand(before, flip, top, left), after)
    ]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("shape", [(8, 8, 1), (6, 10, 3)])
def test_all_162_outcomes_are_those_of_a_loop_over_the_pixels(shape, jit_compile):
    x = np.random.default_rng(1).normal(size=(162, *shape)).astype(np.float32)
    out = tf.function(images.flip_and_crop, jit_compile=jit_compile)(x, tf.range(162)).numpy()
    assert (out.shape, out.dtype) == (x.shape, x.dtype)
    expected = {(flip, top, left) for flip in (0, 1) for top in range(9) for left in range(9)}
    assert {outcome(before, after) for before, after in zip(x, out, strict=True)} == expected


def test_the_middle_crop_is_the_image_itself_and_padding_is_plus_zero():
    x = 1 + np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    middle, corner = 2 * 4 + 18 * 4, 0
    assert np.array_equal(images.flip_and_crop(x, np.int32([middle])), x)
    assert np.array_equal(images.flip_and_crop(x, np.int32([middle + 1])), x[:, :, ::-1])
    assert images.flip_and_crop(x, np.int32([corner])).numpy().tobytes() == bytes(4 * 16)


@pytest.mark.parametrize("batch", [1, 5])
def test_the_batch_size_need_not_be_known_in_advance(batch):
    traced = tf.function(images.flip_and_crop).get_concrete_function(
        tf.TensorSpec([None, 8, 8, 3], tf.float16), tf.TensorSpec([None], tf.int32)
    )
    x = np.ones((batch, 8, 8, 3), np.float16)
    assert traced(tf.constant(x), tf.constant(uniform(batch))).shape == x.shape


def chi_square(counts):
    expected = counts.sum() / counts.size
    return ((counts - expected) ** 2 / expected).sum()


@pytest.mark.parametrize("draws", [uniform(20_000), seeds.draws(0, 0, 2_000, 100, 0, 200).ravel()], ids=["any", "ours"])
def test_flips_and_offsets_are_uniform_and_independent(draws):
    """For chi-square with 161 degrees of freedom, 99.9% of all samples are below 222."""
    # Two bright pixels show the outcome; a single one would not tell a flip from a shift.
    x = np.zeros((1, 16, 16, 1), np.float32)
    x[0, 8, 7], x[0, 8, 9] = 1, 2
    out = images.flip_and_crop(np.repeat(x, len(draws), 0), draws).numpy()[..., 0].reshape(len(draws), -1)
    one, two = (out == 1).argmax(1), (out == 2).argmax(1)
    flips = (two < one).astype(int)
    tops = 12 - one // 16
    lefts = np.where(flips, 12 - one % 16, 11 - one % 16)
    counts = np.zeros((2, 9, 9))
    np.add.at(counts, (flips, tops, lefts), 1)
    assert counts.min() > 0
    assert chi_square(counts) < 222
    assert chi_square(counts.sum((1, 2))) < 10.8
    assert chi_square(counts.sum((0, 2))) < 26.1
    assert chi_square(counts.sum((0, 1))) < 26.1


def record(height, width, seed=0):
    jpeg = archives.jpeg(seed, height, width)
    return {"id": tf.constant(seed, tf.int64), "image": jpeg, "label": 0}, tf.io.decode_jpeg(
        jpeg, dct_method="INTEGER_ACCURATE"
    ).numpy()


def unscaled(image):
    """Pixels in 0 … 255."""
    return (np.array(image) * DEVIATION + MEAN) * 255


def test_the_centre_crop_is_that_of_numpy():
    stored, pixels = record(48, 64)
    side = 42  # 87.5% of 48
    image = images.test_image(stored, side)
    assert (image.shape, image.dtype) == ((side, side, 3), tf.float32)
    np.testing.assert_allclose(unscaled(image), pixels[3:45, 11:53], atol=1e-3)


@pytest.mark.parametrize(("height", "width"), [(47, 64), (64, 47), (33, 33)])
def test_a_resized_centre_crop_shows_the_same_pixels(height, width):
    stored, pixels = record(height, width)
    side = int(0.875 * min(height, width))
    top, left = (height - side + 1) // 2, (width - side + 1) // 2
    whole = pixels[top : top + side, left : left + side].astype(float)
    image = unscaled(images.test_image(stored, 2 * side))
    # The image is smooth, so the mean of four new pixels is the old one.
    means = image.reshape(side, 2, side, 2, 3).mean((1, 3))
    np.testing.assert_allclose(means[1:-1, 1:-1], whole[1:-1, 1:-1], atol=2)


def position(height, width):
    """An image whose red and green give the row and column of each pixel."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([255 * y / (height - 1), 255 * x / (width - 1), np.full((height, width), 128)], -1)
    return tf.io.encode_jpeg(image.round().astype(np.uint8), quality=100, chroma_downsampling=False).numpy()


def windows(count, height=200, width=300):
    """(height, width, top, left, is_flipped) of training crops, as shares of the image."""
    stored = {"image": position(height, width)}
    ids = tf.data.Dataset.range(count)
    crops = ids.map(lambda id_: images.train_image({"id": id_, **stored}, [3, 4], 64))
    image = (np.stack(list(crops.as_numpy_iterator())) * DEVIATION + MEAN).clip(0, 1)
    rows, columns = image[..., 0].mean(2), image[..., 1].mean(1)

    def extent(values):
        # The middles of the first and the last pixel are 63/64 of the crop apart.
        return np.abs(values[:, -1] - values[:, 0]) * 64 / 63

    flipped = columns[:, 0] > columns[:, -1]
    return extent(rows), extent(columns), rows.min(1), columns.min(1), flipped


@pytest.mark.slow
def test_training_crops_have_the_documented_sizes_and_shapes_and_half_are_flipped():
    tall, wide, top, left, flipped = windows(2_000)
    areas, aspects = tall * wide, wide * 300 / (tall * 200)
    assert areas.min() > 0.095
    assert areas.max() <= 1.02
    assert areas.min() < 0.12
    assert areas.max() > 0.85
    assert aspects.min() > 0.73
    assert aspects.max() < 1.37
    assert abs(flipped.mean() - 0.5) < 3.3 * 0.5 / 2_000**0.5  # 99.9%
    # The middle of a crop is as often above as below, left as right, and flips do not depend on it.
    for middle in (top + tall / 2, left + wide / 2):
        assert abs(np.median(middle) - 0.5) < 0.03
        assert abs(np.corrcoef(middle, flipped)[0, 1]) < 3.3 / 2_000**0.5
    assert abs(np.corrcoef(areas, flipped)[0, 1]) < 3.3 / 2_000**0.5


def test_randomness_is_a_function_of_the_seed_and_the_id_alone():
    stored, _ = record(40, 60)
    first = images.train_image(stored, [1, 2], 16).numpy()
    tf.random.set_seed(5)
    tf.random.uniform([2])
    assert images.train_image(stored, tf.constant([1, 2], tf.int64), 16).numpy().tobytes() == first.tobytes()
    others = [
        images.train_image(stored, [1, 3], 16),
        images.train_image(stored, [2, 2], 16),
        images.train_image({**stored, "id": stored["id"] + 1}, [1, 2], 16),
        images.train_image({**stored, "id": stored["id"] + 2**40}, [1, 2], 16),
    ]
    assert len({first.tobytes(), *(image.numpy().tobytes() for image in others)}) == 5


def test_an_image_so_narrow_that_no_crop_fits_gives_its_centre():
    stored = {"id": tf.constant(0, tf.int64), "image": position(8, 400)}
    image = images.train_image(stored, [1, 2], 16)
    centre = images.test_image(stored, 16).numpy()
    assert image.shape == (16, 16, 3)
    assert any(np.allclose(image, one, atol=1e-4) for one in (centre, centre[:, ::-1]))


def test_grey_jpeg_files_become_colour_images():
    grey = {"id": tf.constant(0, tf.int64), "image": tf.io.encode_jpeg(np.full((32, 32, 1), 128, np.uint8))}
    for image in (images.test_image(grey, 16), images.train_image(grey, [0, 0], 16)):
        np.testing.assert_allclose(unscaled(image), 128, atol=1)
