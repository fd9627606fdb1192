"""Finding defects: the shipped network against a top-hat, and what it marks by mistake.

    python benchmarks/defects.py

Defects are drawn with fixed seeds over crops of 160 x 160 pixels, ten of each embedded
photo. The threshold of the network and the radius and threshold of the top-hat are
chosen by F1 on the training photos, and scored on the test photos, which no network was
trained on. Precision is the share of the marked pixels that are defects, recall the
share of the defects that is marked, F1 their harmonic mean, all over the pixels of all
crops; "near": with a pixel beside it counted as hit. "Clean" is the share of pixels
marked in the same crops without defects.

The second table is the share of pixels marked in whole pictures that have no defect.
"""

import functools

import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage
from skimage import data, morphology

import tfgen
from tfgen.images import LUMA

SIDE = 160
THRESHOLDS = 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9
RADII = 1, 2, 3, 4, 6
STEPS = 0.05, 0.1, 0.15, 0.2, 0.3, 0.4  # of brightness


def load_photos(split):
    dataset = tfgen.load_dataset("photos", split, batch_size=None, shuffle=False)
    return list(dataset.as_numpy_iterator())


def cut_crops(photos, count=10, seed=0):
    """Squares at random places, as many of each photo."""
    rng = np.random.default_rng(seed)
    corners = [
        (photo, *rng.integers(0, np.array(photo.shape[:2]) - SIDE + 1))
        for photo in photos
        for _ in range(count)
    ]
    return np.stack(
        [p[top : top + SIDE, left : left + SIDE] for p, top, left in corners]
    )


def top_hat(images, radius):
    """How much brighter or darker than its surroundings a thin thing is, (n, height,
    width) in [0, 1]: the larger of the white and the black top-hat of the brightness.
    """
    disk = morphology.disk(radius)
    results = [
        np.maximum(
            morphology.white_tophat(image, disk), morphology.black_tophat(image, disk)
        )
        for image in images @ LUMA
    ]
    return np.stack(results)


def measure(marked, mask):
    """Precision, recall and F1, then the three with a pixel of tolerance."""
    beside = np.ones((1, 3, 3), bool)
    near_mask, near_marked = (
        ndimage.binary_dilation(x, beside) for x in (mask, marked)
    )
    scores = []
    for defects, found in ((mask, marked), (near_mask, near_marked)):
        precision = (marked & defects).sum() / max(marked.sum(), 1)
        recall = (mask & found).sum() / mask.sum()
        total = max(precision + recall, 1e-9)
        scores += [precision, recall, 2 * precision * recall / total]
    return scores


def damage(split, seed):
    crops = cut_crops(load_photos(split))
    damaged = tfgen.draw_defects(crops, seed)
    return crops, damaged["image"].numpy(), damaged["mask"].numpy()[..., 0] > 0


def choose(methods, thresholds, seed=0):
    """The name, threshold and F1 of the method that is best on training photos."""
    _, damaged, mask = damage("train", seed)
    scores = []
    for name, method in methods.items():
        found = method(damaged)
        for threshold in thresholds:
            f1 = measure(found > threshold, mask)[2]
            scores.append((f1, name, threshold))
            print(f"{name:<12} threshold {threshold:.2f}   F1 {f1:.3f}", flush=True)
    f1, name, threshold = max(scores)
    print(f"best: {name}, threshold {threshold}\n")
    return name, threshold


def compare():
    """Choose on the training photos, score on the test photos."""
    finder = tfgen.load_pretrained("scratches")
    hats = {f"top-hat {r}": functools.partial(top_hat, radius=r) for r in RADII}
    network = {"network": finder.find_probabilities}
    hat, step = choose(hats, STEPS)
    choose(network, THRESHOLDS)
    crops, damaged, mask = damage("test", seed=1)
    rows = {
        "nothing": (lambda images: images[..., 0] * 0, 0.5),
        hat: (hats[hat], step),
        **{f"network, {t}": (finder.find_probabilities, t) for t in (0.3, 0.5, 0.7)},
    }
    print(f"{len(crops)} crops of the test photos, {mask.mean():.2%} of them defects")
    print(f"{'':<14}precision recall    F1   near:  P     R    F1   clean")
    for name, (method, threshold) in rows.items():
        scores = measure(method(damaged) > threshold, mask)
        clean = (method(crops) > threshold).mean()
        columns = "".join(f"{score:7.3f}" for score in scores)
        print(f"{name:<14}{columns}  {clean:7.2%}", flush=True)


# --- Pictures without defects -----------------------------------------------


def draw_figure(draw):
    """What matplotlib draws, as an image of 400 x 600 pixels."""
    figure = plt.figure(figsize=(6, 4), dpi=100)
    draw(figure)
    figure.canvas.draw()
    image = np.asarray(figure.canvas.buffer_rgba(), np.float32)[..., :3] / 255
    plt.close(figure)
    return image


def draw_curves(figure):
    axes = figure.subplots()
    x = np.linspace(0, 10, 200)
    for phase in range(4):
        axes.plot(x, np.sin(x + phase), label=f"phase {phase}")
    axes.set(title="Four curves", xlabel="time (s)", ylabel="height (m)")
    axes.legend()
    axes.grid()


def draw_letter(figure):
    for line in range(16):
        text = "Dear friend, this is a page of writing without a scratch."
        figure.text(0.06, 0.92 - 0.055 * line, text, fontsize=11)


def draw_bars(figure):
    axes = figure.subplots(2, 2)
    axes[0, 0].bar(range(8), range(8), color="C2")
    axes[0, 1].pie([1, 2, 3])
    axes[1, 0].imshow(np.arange(64).reshape(8, 8))
    axes[1, 1].scatter(*np.random.default_rng(0).random((2, 60)), s=4)


def look_at_clean():
    """The share of pixels marked where there is nothing to find."""
    names = [
        example["name"].decode()
        for example in tfgen.data.Photos().as_dataset(split="test").as_numpy_iterator()
    ]
    pictures = dict(zip(names, load_photos("test"), strict=True))
    for name, draw in {
        "drawn: curves": draw_curves,
        "drawn: a letter": draw_letter,
        "drawn: four plots": draw_bars,
    }.items():
        pictures[name] = draw_figure(draw)
    pictures["writing (photo)"] = data.text() / 255
    pictures["a page (scan)"] = data.page() / 255
    print(f"\n{'marked in clean pictures':<26}threshold 0.3   0.5     0.7     0.9")
    finder = tfgen.load_pretrained("scratches")
    for name, picture in pictures.items():
        found = finder.find_probabilities(picture.astype(np.float32))
        shares = "".join(f"{(found > t).mean():8.2%}" for t in (0.3, 0.5, 0.7, 0.9))
        print(f"{name:<32}{shares}", flush=True)


if __name__ == "__main__":
    compare()
    look_at_clean()
