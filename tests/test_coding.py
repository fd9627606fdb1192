"""The arithmetic coder, the coder of latents and the smallest PNG."""

import io

import keras
import numpy as np
import pytest
from PIL import Image
from scipy import stats

from tfgen.measures.coding import LatentCoder, decode, encode, latent_steps, png_bytes
from tfgen.vae import VAE

SHAPE = (8, 8, 1)


def linear_vae(spread=1.0, shift=0.0, seed=0):
    """Latent means that scatter by about `spread` around `shift` for random images,
    and a decoder that shows every change of them."""
    rng = np.random.default_rng(seed)
    encoder = keras.Sequential(
        [keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(8)]
    )
    decoder = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(64), keras.layers.Reshape(SHAPE)]
    )
    kernel = np.concatenate(
        [spread * rng.normal(0, 0.25, (64, 4)), np.zeros((64, 4))], 1
    )
    bias = np.append(shift - kernel[:, :4].sum(axis=0) / 2, [0, -1, -2, -3])
    encoder.set_weights([kernel, bias])
    decoder.set_weights([rng.normal(size=(4, 64)), np.zeros(64)])
    return VAE(encoder, decoder)


@pytest.fixture(scope="module")
def vae():
    return linear_vae()


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(1)
    return (rng.random((50, *SHAPE)) < 0.5).astype(np.float32)


# --- arithmetic coding ---


def random_case(seed):
    """Symbols and tables: alphabets of 2 to 2000 symbols, even or very uneven."""
    rng = np.random.default_rng(seed)
    symbols, tables = [], []
    for size in rng.integers(2, 2001, rng.integers(0, 20)):
        largest = 2 ** rng.integers(1, 20)
        counts = rng.integers(1, largest, size, endpoint=True)
        tables.append([0, *np.cumsum(counts).tolist()])
        symbols.append(int(rng.choice(size, p=counts / counts.sum())))
        if rng.random() < 0.3:  # as often the least likely, the first or the last
            symbols[-1] = int(rng.choice([counts.argmin(), 0, size - 1]))
    return symbols, tables


def ideal_bits(symbols, tables):
    chances = [(t[s + 1] - t[s]) / t[-1] for s, t in zip(symbols, tables, strict=True)]
    return -np.log2(chances).sum()


def test_what_was_encoded_is_decoded_from_little_more_than_the_ideal_length():
    lengths = []
    for seed in range(200):
        symbols, tables = random_case(seed)
        code = encode(symbols, tables)
        assert decode(code, tables) == symbols, seed
        assert 8 * len(code) < ideal_bits(symbols, tables) + 8, seed
        lengths.append(len(symbols))
    assert min(lengths) == 0 and max(lengths) == 19


def test_codes_of_all_sequences_differ():
    tables = [[0, 1, 100], [0, 7, 8, 16], [0, 3, 4]]
    every = [[a, b, c] for a in range(2) for b in range(3) for c in range(2)]
    codes = [encode(symbols, tables) for symbols in every]
    assert len(set(codes)) == 12
    assert [decode(code, tables) for code in codes] == every


def test_codes_at_values_computed_by_hand():
    coin = [0, 1, 2]
    assert encode([], []) == b"" and decode(b"", []) == []
    assert encode([1, 0, 1, 1], [coin] * 4) == bytes([0b10110000])
    assert encode([0] * 1000, [coin] * 1000) == b""  # the fraction 0
    assert encode([1] * 16, [coin] * 16) == b"\xff\xff"
    assert encode([1], [[0, 1, 1000]]) == b"\x01"  # [0.001, 1): 1/256 is inside
    assert encode([1], [[0, 998, 999, 1000]]) == b"\xff\x7d"  # ff is below


def test_no_shorter_fraction_lies_inside():
    for seed in range(100):
        symbols, tables = random_case(seed)
        code = encode(symbols, tables)
        shorter = range(256 ** max(0, len(code) - 1)) if len(code) in (1, 2) else []
        for number in shorter:
            fraction = number.to_bytes(len(code) - 1)
            assert decode(fraction, tables) != symbols, seed


def test_a_long_sequence_is_written_in_seconds():
    tables = [[0, 2**23, 2**23 + 1, 2**24]] * 10_000
    symbols = np.random.default_rng(0).choice([0, 2], 10_000).tolist()
    code = encode(symbols, tables)
    assert len(code) == 1250 and decode(code, tables) == symbols


def test_one_table_is_needed_for_each_symbol():
    with pytest.raises(ValueError, match="argument"):
        encode([0, 1], [[0, 1, 2]])


# --- images as codes ---


def test_latents_come_back_rounded(vae, images):
    steps = np.array([0.05, 0.3, 1.0, 8.0])
    coder = LatentCoder(vae, steps)
    stream = coder.compress(images)
    assert isinstance(stream, bytes)
    means, _ = vae.encode(images)
    rounded = np.rint(means / steps) * steps
    np.testing.assert_array_equal(coder.decompress(stream), vae.decode(rounded))
    (one,) = coder.decompress(bytearray(coder.compress(images[7:8])))
    np.testing.assert_array_equal(one, vae.decode(rounded[7:8])[0])


def test_a_stream_is_as_long_as_the_prior_says(vae, images):
    steps = np.array([0.05, 0.3, 0.5, 1.0])
    lows = (np.rint(vae.encode(images)[0] / steps) - 0.5) * steps
    masses = stats.norm.cdf(lows + steps) - stats.norm.cdf(lows)
    bits = -np.log2(masses).sum(axis=1)
    coder = LatentCoder(vae, steps)
    for count in (1, 2, 50):  # rounded up to whole bytes once, not once an image
        length = len(coder.compress(images[:count])) - 8
        assert bits[:count].sum() - 16.01 < 8 * length < bits[:count].sum() + 8.01
    assert bits.min() > 8


def test_larger_steps_give_fewer_bytes_and_a_larger_error(vae, images):
    sizes, errors = [], []
    for step in (0.01, 0.1, 1.0, 4.0):
        coder = LatentCoder(vae, step)
        stream = coder.compress(images)
        sizes.append(len(stream))
        differences = coder.decompress(stream) - vae.reconstruct(images)
        errors.append(np.mean(differences**2))
    assert sizes == sorted(set(sizes), reverse=True)
    assert errors == sorted(set(errors)) and errors[0] < 1e-4


@pytest.mark.parametrize("mean, edge", [(100, 8), (-100, -8), (1e30, 8)])
def test_latents_beyond_the_limit_are_clipped(images, mean, edge):
    coder = LatentCoder(linear_vae(spread=0.0, shift=mean), 0.5)
    result = coder.decompress(coder.compress(images[:2]))
    expected = coder.vae.decode(np.full((2, 4), edge))
    np.testing.assert_array_equal(result, expected)


def test_rounding_errs_as_much_as_the_encoders_noise(vae, images):
    sigma = np.exp([0, -0.5, -1, -1.5])
    steps = latent_steps(vae, images)
    np.testing.assert_allclose(steps, 12**0.5 * sigma, rtol=1e-6)
    values = np.random.default_rng(0).normal(0, 20, (20_000, 4))
    errors = np.rint(values / steps) * steps - values
    np.testing.assert_allclose(errors.std(axis=0), sigma, rtol=0.03)


def test_steps_grow_with_the_scale_up_to_the_coders_limit(vae, images):
    half, ten = (latent_steps(vae, images, scale) for scale in (0.5, 10.0))
    np.testing.assert_allclose(half, 3**0.5 * np.exp([0, -0.5, -1, -1.5]), rtol=1e-6)
    np.testing.assert_allclose(ten, [8, 8, 8, 12**0.5 * 10 * np.exp(-1.5)])
    LatentCoder(vae, ten)


def test_every_flipped_bit_and_every_lost_byte_is_found(vae, images):
    coder = LatentCoder(vae, 0.05)
    code = coder.compress(images[:2])
    assert len(code) > 12
    for bit in range(8 * len(code)):
        damaged = bytearray(code)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match="damaged|not written"):
            coder.decompress(damaged)
    for length in range(len(code)):
        with pytest.raises(ValueError, match="damaged|not written"):
            coder.decompress(code[:length])


def test_streams_of_another_model_or_other_steps_are_refused(vae, images):
    stream = LatentCoder(vae, 0.5).compress(images[:1])
    twin = linear_vae()
    LatentCoder(twin, 0.5).decompress(stream)
    for other in (LatentCoder(linear_vae(seed=1), 0.5), LatentCoder(vae, 0.25)):
        with pytest.raises(ValueError, match="not written with this model"):
            other.decompress(stream)


def test_only_bytes_are_decompressed(vae, images):
    coder = LatentCoder(vae, 0.5)
    stream = coder.compress(images[:1])
    with pytest.raises(ValueError, match="bytes that compress.* got list"):
        coder.decompress([stream])


@pytest.mark.parametrize("steps", [0.0, -1.0, 8.1, np.nan, [0.5, 0.5, 0.5, 0.0]])
def test_steps_out_of_range_are_refused(vae, steps):
    with pytest.raises(ValueError, match="above 0 and at most 8"):
        LatentCoder(vae, steps)


@pytest.mark.parametrize("shape", [(3,), (5,), (1, 4)])
def test_one_step_is_needed_for_each_dimension(vae, shape):
    with pytest.raises(ValueError, match="each of the 4 latent dimensions"):
        LatentCoder(vae, np.ones(shape))


def test_compress_refuses_what_encode_refuses(vae, images):
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        LatentCoder(vae, 0.5).compress(images * 255)


# --- the smallest PNG ---


def picture(kind, channels):
    rng = np.random.default_rng(0)
    if kind == "random":
        return rng.random((48, 32, channels), np.float32)
    y, x = np.mgrid[:48, :32]
    disc = np.hypot(y - 24, x - 16) < 12
    return np.stack([disc * (x + c) / 40 for c in range(channels)], axis=-1, dtype="f4")


def shown(file, size):
    """What a viewer makes of a PNG at a given (width, height), (height, width, c)."""
    image = Image.open(io.BytesIO(file))
    image = image.convert("RGB" if image.mode == "RGB" else "L")
    bands = [band.convert("F").resize(size, Image.BICUBIC) for band in image.split()]
    return np.clip(np.stack(bands, axis=-1) / 255, 0, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["random", "structured"])
def test_a_png_keeps_the_error_and_shrinks_with_it(kind, channels):
    image, sizes = picture(kind, channels), []
    for error in (0.0, 1e-3, 1e-2, 0.1):
        file = png_bytes(image, error)
        assert file.startswith(b"\x89PNG")
        result = shown(file, (32, 48))
        assert result.shape == image.shape
        # Rounding to 8 bits adds at most half a level to each pixel.
        assert np.sqrt(np.mean((result - image) ** 2)) <= error**0.5 + 0.5 / 255
        sizes.append(len(file))
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < sizes[0] / 2


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("levels", [2, 4, 16, 256])
def test_without_error_the_png_is_the_8_bit_image(channels, levels):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, levels, (9, 13, channels)) * (255 // (levels - 1))
    file = png_bytes(pixels / 255, 0.0)
    image = Image.open(io.BytesIO(file)).convert("RGB" if channels == 3 else "L")
    np.testing.assert_array_equal(np.reshape(image, pixels.shape), pixels)


def test_few_grey_levels_make_a_small_file():
    rng = np.random.default_rng(0)
    sizes = [
        len(png_bytes(rng.integers(0, levels, (64, 64, 1)) / (levels - 1), 0.0))
        for levels in (2, 4, 16, 256)
    ]
    for size, bits in zip(sizes, (1, 2, 4, 8), strict=True):
        assert 512 * bits < size < 512 * bits + 200


@pytest.mark.parametrize(
    "image, error, message",
    [
        (np.zeros((4, 4)), 0.1, r"got \(4, 4\)"),
        (np.zeros((4, 4, 2)), 0.1, r"got \(4, 4, 2\)"),
        (np.zeros((0, 4, 1)), 0.1, r"got \(0, 4, 1\)"),
        (np.full((4, 4, 1), 200, np.uint8), 0.1, r"\[0, 1\].*200"),
        (np.full((4, 4, 1), np.nan), 0.1, r"\[0, 1\].*nan"),
        (np.zeros((4, 4, 1)), -0.1, "at least 0; got -0.1"),
        (np.zeros((4, 4, 1)), np.nan, "at least 0; got nan"),
    ],
)
def test_bad_pictures_are_refused(image, error, message):
    with pytest.raises(ValueError, match=message):
        png_bytes(image, error)
