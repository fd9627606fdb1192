r"""Time to quality of `tfgen.Diffusion`, by the measure of `gan_quality.py`.

    python benchmarks/diffusion_quality.py                       # 60, 180 and 600 s
    python benchmarks/diffusion_quality.py --marks 180 --apart   # to choose settings
    python benchmarks/diffusion_quality.py --letters 90 \
        --table notebooks/tables/generators.csv

Each training on Fashion-MNIST (28x28, 60,000 images, 10 labels) takes that many seconds
of `fit`, compilation included: how many steps fit into them is measured first, since
the learning rate falls to 0 over them. With --updates, it takes that many steps.

10,000 samples, as many of each label, are drawn with 20 evaluations of the network for
each: in 20 steps without guidance, and in 10 with it. The score is the Frechet distance
to the training images on the 64 features of a small classifier; it cannot be compared
with an FID. With --apart, the last 10,000 training images are held apart and judge in
place of the others: settings are chosen so.

With --letters, a GAN, a VAE and a Diffusion with the package's networks train on the
glyphs for about equal seconds, one after the other, and 1,911 drawings of each are
compared with as many test letters on the features of the glyph classifier, which also
says how many are as asked. GAN and Diffusion are told the labels. The VAE is not, and
learns black and white letters, for which alone its bound is one of a likelihood.
"""

import argparse
import csv
import functools
import time

import keras
import numpy as np
import tensorflow as tf
from gan_quality import train_classifier

import tfgen

BATCH = 64
ASKED = np.arange(1911) % 26  # labels of the letters that are drawn


def build(steps, seed, options, shape=(28, 28, 1), classes=10):
    """A Diffusion whose rate falls to 0 in that many steps."""
    keras.utils.set_random_seed(seed)
    keras.mixed_precision.set_global_policy(options.policy)
    network = tfgen.build_denoising_unet(shape, options.width, classes)
    keras.mixed_precision.set_global_policy("float32")
    average = min(0.999, max(0.995, 1 - 4 / steps))
    after = 2 * steps // 3
    model = tfgen.Diffusion(
        network, classes, average_decay=average, uniform_after=after, seed=seed
    )
    warm = min(100, max(1, steps // 4))
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warm), warmup_target=options.rate, warmup_steps=warm
    )
    make = tfgen.Muon if options.optimizer == "muon" else keras.optimizers.Adam
    model.compile(make(rate))
    return model


class Clock(keras.callbacks.Callback):
    """When each step ended."""

    def on_train_begin(self, logs=None):
        self.times = [time.perf_counter()]

    def on_train_batch_end(self, batch, logs=None):
        self.times.append(time.perf_counter())


def measure_speed(data, make):
    """Seconds of the first ten steps of `fit`, and steps a second after them."""
    clock = Clock()
    fit(make(120), data, 110, [clock])
    start = clock.times[10] - clock.times[0]
    return start, 100 / (clock.times[110] - clock.times[10])


def count_steps(seconds, start, speed):
    """How many steps fit into so many seconds."""
    return max(1, 10 + round((seconds - start) * speed))


def fit(model, data, steps, callbacks=()):
    model.fit(
        data.repeat(),
        steps_per_epoch=steps,
        verbose=0,
        shuffle=False,
        callbacks=[*callbacks],
    )


def timed(function):
    """What a function returns, and the seconds that it took."""
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start


# --- Clothes ----------------------------------------------------------------


def judge_clothes(options):
    """The table of Fashion-MNIST."""
    classifier, accuracy = train_classifier()
    print(f"classifier: {accuracy:.1%} of the test images")

    def images_of(split):
        data = tfgen.load_dataset("fashion_mnist", split, shuffle=False)
        return np.concatenate(list(data.as_numpy_iterator()))

    learned = "train[:50000]" if options.apart else "train"
    judging = "train[50000:]" if options.apart else "train"
    train, other = images_of(learned), images_of("test")
    if options.apart:
        other = images_of(judging)
    features = functools.partial(tfgen.classifier_features, classifier)
    real = features(images_of(judging))[0]
    floor = features(train[:10_000] if options.apart else other)[0]
    print(f"real images {tfgen.frechet_distance(floor, real):.3f}")
    labels = np.arange(options.count) % 10
    runs = {"no guidance": (options.steps, 1.0)}
    for guidance in options.guidance:
        runs[f"guidance {guidance}"] = options.steps // 2, guidance

    updates, table = options.updates, {}
    for seed in options.seeds:
        data = tfgen.load_dataset(
            "fashion_mnist", learned, labels=True, batch_size=BATCH, seed=seed
        )
        if not updates:
            speed = measure_speed(data, lambda n: build(n, 0, options))
            updates = [count_steps(mark, *speed) for mark in options.marks]
        for steps in updates:
            model = build(steps, seed, options)
            _, seconds = timed(functools.partial(fit, model, data, steps))
            print(f"seed {seed}  {steps} steps in {seconds:.0f} s", flush=True)
            for name, (evaluations, guidance) in runs.items():
                draw = functools.partial(
                    model.sample,
                    seed=1,
                    steps=evaluations,
                    guidance=guidance,
                    verbose=0,
                )
                images = draw(labels=labels)
                _, taken = timed(functools.partial(draw, labels=labels[:100]))
                found, probabilities = features(images)
                named = probabilities.argmax(axis=1)
                shares = tfgen.class_shares(named, 10)
                distance = tfgen.frechet_distance(found, real)
                table.setdefault((name, steps), []).append(distance)
                copies = tfgen.memorization_test(images[:2000], train, other)
                print(
                    f"seed {seed}  {steps} steps  {name:14s} {distance:7.2f}  classes "
                    f"{shares.min():.1%} to {shares.max():.1%}, as asked "
                    f"{np.mean(named == labels):.1%}, memorisation p "
                    f"{copies['p_value']:.2f}, {taken:.2f} s for 100"
                )

    print("\nmean and range over seeds")
    for (name, steps), results in table.items():
        print(
            f"{name:14s} {steps} steps {np.mean(results):8.2f} "
            f"({min(results):.2f} to {max(results):.2f})"
        )


# --- Letters ----------------------------------------------------------------


def train_letters(name, seconds, options):
    """A trained model, a function that draws, and its likelihood in words."""
    shape, keyword = (32, 32, 1), {"batch_size": 32 if name == "GAN" else BATCH}
    data = tfgen.load_dataset("glyphs", labels=name != "VAE", seed=0, **keyword)
    if name == "VAE":
        data = data.map(tfgen.binarize)

    def make(steps):
        keras.utils.set_random_seed(0)
        if name == "Diffusion":
            return build(steps, 0, options, shape, 26)
        if name == "GAN":
            generator = tfgen.build_generator(shape, classes=26)
            discriminator = tfgen.build_discriminator(shape, classes=26)
            model = tfgen.GAN(generator, discriminator, classes=26)
        else:
            model = tfgen.VAE(tfgen.build_encoder(shape), tfgen.build_decoder(shape))
        model.compile()
        return model

    steps = count_steps(seconds, *measure_speed(data, make))
    model = make(steps)
    _, taken = timed(functools.partial(fit, model, data, steps))
    likelihood = "none"
    if name == "VAE":
        test = tfgen.load_dataset("glyphs", "test").map(tfgen.binarize)
        bound = model.evaluate(test, verbose=0, return_dict=True)["elbo"]
        likelihood = f"at least {bound:.0f} nats"
    way = {"steps": options.steps // 2, "guidance": options.guidance[0], "verbose": 0}

    def draw(count):
        told = {} if name == "VAE" else {"labels": ASKED[:count]}
        return model.sample(
            count, seed=1, **told, **(way if name == "Diffusion" else {})
        )

    return draw, round(taken), likelihood


def judge_letters(options):
    """The table of the three models on the same letters."""
    expert = tfgen.load_pretrained("glyph_classifier")
    test = tfgen.load_dataset("glyphs", "test", labels=True, batch_size=30_000)
    images, labels = next(iter(test.as_numpy_iterator()))
    real = tfgen.classifier_features(expert, images[::2])[0]

    def judge(images, asked):
        found, probabilities = tfgen.classifier_features(expert, images)
        return {
            "distance": f"{tfgen.frechet_distance(found, real):.0f}",
            "coverage": f"{tfgen.coverage(real, found):.2f}",
            "read as asked": f"{np.mean(probabilities.argmax(axis=1) == asked):.1%}",
        }

    rows = []
    for name in ("GAN", "VAE", "Diffusion"):
        draw, taken, likelihood = train_letters(name, options.letters, options)
        drawn = draw(1911)
        draw(100)  # traced
        _, seconds = timed(functools.partial(draw, 100))
        times = {"training s": taken, "drawing 100 s": f"{seconds:.2f}"}
        rows.append({"model": name} | times | judge(drawn, ASKED))
        rows[-1]["likelihood"] = likelihood
        if name == "VAE":
            rows[-1]["read as asked"] = "not asked"
        print(rows[-1])
    rows.append(dict.fromkeys(rows[0], "") | {"model": "real letters"})
    rows[-1] |= judge(images[1::2], labels[1::2])
    print(rows[-1])
    if options.table:
        with open(options.table, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--marks", type=float, nargs="+", default=[60, 180, 600])
    parser.add_argument("--updates", type=int, nargs="+", help="in place of --marks")
    parser.add_argument("--count", type=int, default=10_000, help="samples")
    parser.add_argument("--steps", type=int, default=20, help="evaluations")
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.5])
    parser.add_argument("--width", type=int, default=48)
    parser.add_argument("--rate", type=float, default=6e-3)
    parser.add_argument("--optimizer", default="muon", choices=["muon", "adam"])
    parser.add_argument("--policy", default="mixed_bfloat16")
    parser.add_argument("--apart", action="store_true", help="judge by held-apart ones")
    parser.add_argument("--letters", type=float, help="seconds of each model")
    parser.add_argument("--table", help="the CSV file of --letters")
    options = parser.parse_args()
    print(f"TensorFlow {tf.__version__}, Keras {keras.__version__}, {options.policy}")
    if options.letters:
        judge_letters(options)
    else:
        judge_clothes(options)


if __name__ == "__main__":
    main()
