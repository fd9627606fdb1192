"""Answers to the exercises of chapter 9: right ones are in its solutions."""

GIVEN = """
import numpy as np
import tensorflow as tf
import tfgen

sigma = 25
ONE = 20 * np.log10(255 / 25)  # of one photo
rng = np.random.default_rng(0)
rows, columns = np.mgrid[:128, :128] / 128
photo = 0.05 + 0.85 * rows**2 + 0.03 * np.sign(np.sin(80 * columns))
photo = photo[..., None].astype("float32")
held_out = np.stack([photo, photo[::-1]])
noisy = held_out + sigma / 255 * rng.normal(size=held_out.shape).astype("float32")
train = [photo, (photo + rng.normal(0, 0.05, photo.shape)).clip(0, 1).astype("float32")]
peaks = held_out.mean(axis=(1, 2, 3), keepdims=True) / (sigma / 255) ** 2
photons = (rng.poisson(held_out * peaks) / peaks).astype("float32")


class Smoother:
    "Wiener's filter in windows of 7 x 7, a little askew."

    def restore(self, images, sigma):
        images = np.float32(images)
        batch = images if images.ndim == 4 else images[None]
        mean = tf.nn.avg_pool2d(batch, 7, 1, "SAME").numpy()
        variance = tf.nn.avg_pool2d(batch**2, 7, 1, "SAME").numpy() - mean**2
        kept = np.maximum(variance - (sigma / 255) ** 2, 0) / np.maximum(variance, 1e-6)
        askew = 0.8 * batch + 0.2 * np.roll(batch, (1, 2), (1, 2))
        result = mean + kept * (askew - mean)
        return np.clip(result, 0, 1).reshape(images.shape)


def add_noise(images, sigma, seed):
    noise = np.random.default_rng(seed).normal(size=images.shape)
    return images + sigma / 255 * noise


def psnr(images, others):
    return -10 * np.log10(np.mean((images - others) ** 2, axis=(1, 2, 3)))


restorer = Smoother()
"""
EIGHT = """
def restore_eight_ways(restorer, image, sigma):
    results = []
    for turns in {turns}:
        for step in {steps}:
            changed = np.rot90(image, turns)[:, ::step]
            result = restorer.restore(changed, sigma=sigma)
            results.append({back})
    return np.mean(results, axis=0)
"""
BACK = "np.rot90(result[:, ::step], -turns)"
SAME_ORDER = "np.rot90(result, -turns)[:, ::step]"
COUNTS = """
def restore_counts(restorer, image, peak):
    transformed = 2 * np.sqrt(image * peak + {inside})
    top = transformed.max()
    restored = top * restorer.restore(transformed / top, sigma={level})
    return np.clip(((restored / 2) ** 2 {offset}) / peak, 0, 1)
"""
PHOTO = """
rng = np.random.default_rng(1)
clean = np.full((32, 32, 3), 0.5) + 0.3 * np.linspace(0, 1, 32)[:, None, None]
photo = (clean + rng.normal(0, 0.05, clean.shape)).clip(0, 1).astype("float32")
restored = tfgen.load_pretrained("photo").restore(photo)
"""

EXERCISES = {
    1: {
        "given": GIVEN,
        "right": None,
        "wrong": {
            "of one photo": "answer = ONE",
            "the noise falls by 16": "answer = ONE + 20 * np.log10(16)",
            "the error falls by 4": "answer = ONE + 10 * np.log10(4)",
        },
    },
    2: {
        "given": GIVEN,
        "right": None,
        "wrong": {
            "the first photo": "worst, kept = 0, 40.0",
            "the level for the PSNR": """
worst = 1
kept = tfgen.estimate_noise(train[1][None])[0]
""",
            "restored with sigma 25": """
worst = 1
kept = tfgen.psnr(train[1][None], restorer.restore(train[1], sigma=25)[None])[0]
""",
        },
    },
    3: {
        "given": GIVEN,
        "right": None,
        "wrong": {
            "one way": """
def restore_eight_ways(restorer, image, sigma):
    return restorer.restore(image, sigma=sigma)
""",
            "turned only": EIGHT.format(turns="range(4)", steps="(1,)", back=BACK),
            "mirrored only": EIGHT.format(turns="(0,)", steps="(1, -1)", back=BACK),
            "undone in the same order": EIGHT.format(
                turns="range(4)",
                steps="(1, -1)",
                back=SAME_ORDER,
            ),
            "not turned back": EIGHT.format(
                turns="range(4)", steps="(1, -1)", back="result"
            ),
        },
    },
    4: {
        "given": GIVEN,
        "right": None,
        "wrong": {
            "the plain inverse": COUNTS.format(
                inside="3 / 8", level="255 / top", offset="- 3 / 8"
            ),
            "no offset": COUNTS.format(inside="3 / 8", level="255 / top", offset=""),
            "the offset added": COUNTS.format(
                inside="3 / 8", level="255 / top", offset="+ 1 / 8"
            ),
            "without 3/8": COUNTS.format(inside="0", level="255 / top", offset=""),
            "the level of the photo": COUNTS.format(
                inside="3 / 8", level="25", offset="- 1 / 8"
            ),
            "no transform": """
def restore_counts(restorer, image, peak):
    return restorer.restore(image, sigma=25)
""",
        },
    },
    5: {
        "given": "import numpy as np\nimport tfgen",
        "right": PHOTO + "mixed = photo + 0.7 * (restored - photo)",
        "wrong": {
            "blurred by hand": PHOTO
            + """
restored = (photo + np.roll(photo, 1, 1) + np.roll(photo, -1, 1)) / 3
mixed = photo + 0.7 * (restored - photo)
""",
            "nothing restored": PHOTO + "mixed = restored = photo",
            "mixed beyond the result": PHOTO
            + "mixed = np.clip(photo + 1.6 * (restored - photo), 0, 1)",
            "as bytes": PHOTO + "photo, mixed = 255 * photo, photo",
            "another part of the photo": PHOTO + "mixed = restored[::-1]",
        },
    },
}
