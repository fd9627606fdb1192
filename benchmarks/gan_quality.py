"""Time to quality: `tfgen.GAN` with its defaults against two published recipes.

    python benchmarks/gan_quality.py                   # 3 seeds, 180 s each
    python benchmarks/gan_quality.py --long 600        # and the peers for 600 s
    python benchmarks/gan_quality.py --recipes tfgen.GAN --marks 600

Each recipe trains on Fashion-MNIST (28x28, 60,000 images) for the same seconds
of `fit`, compilation included, sampling for the score excluded. The score is the
Frechet distance of 10,000 samples to the training images on the 64 features of
a small classifier that is trained first; it cannot be compared with an FID. Beside
it stand the shares of the rarest and the most frequent of the 10 classes and the
p-value of the memorisation test on the pixels of 2,000 samples.
"""

import argparse
import time

import keras
import numpy as np
from keras import layers
from peers import KerasIoDCGAN, TensorFlowDCGAN

import tfgen


class TfgenGAN(tfgen.GAN):
    """`tfgen.GAN` with every default, built like the peers."""

    batch_size = 32

    def __init__(self):
        shape = (28, 28, 1)
        super().__init__(tfgen.build_generator(shape), tfgen.build_discriminator(shape))
        self.compile()


RECIPES = {
    "TensorFlow DCGAN": TensorFlowDCGAN,
    "keras.io DCGAN": KerasIoDCGAN,
    "tfgen.GAN": TfgenGAN,
}


def train_classifier():
    """A small Fashion-MNIST classifier and its accuracy."""
    keras.utils.set_random_seed(0)
    network = keras.Sequential([layers.Input((28, 28, 1))])
    for filters in (32, 64):
        network.add(layers.Conv2D(filters, 3, activation="relu"))
        network.add(layers.MaxPooling2D())
    network.add(layers.Flatten())
    network.add(layers.Dense(64, activation="relu"))
    network.add(layers.Dense(10))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile("adam", loss, metrics=["accuracy"])
    data = {
        split: tfgen.load_dataset("fashion_mnist", split, labels=True, seed=0)
        for split in ("train", "test")
    }
    network.fit(data["train"], epochs=3, verbose=0, shuffle=False)
    return network, network.evaluate(data["test"], verbose=0)[1]


class Score(keras.callbacks.Callback):
    """Score the samples when training has lasted `marks` seconds, then stop."""

    def __init__(self, marks, score):
        super().__init__()
        self.marks, self.score, self.results = list(marks), score, []

    def on_train_begin(self, logs=None):
        self.start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        elapsed = time.perf_counter() - self.start
        if elapsed < self.marks[len(self.results)]:
            return
        self.results.append(self.score(self.model))
        if len(self.results) == len(self.marks):
            self.model.stop_training = True
        self.start = time.perf_counter() - elapsed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--marks", type=float, nargs="+", default=[30, 180])
    parser.add_argument("--long", type=float, help="seconds for seed 0 of the peers")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=RECIPES)
    options = parser.parse_args()

    classifier, accuracy = train_classifier()

    def images_of(split):
        data = tfgen.load_dataset("fashion_mnist", split, shuffle=False)
        return np.concatenate(list(data.as_numpy_iterator()))

    train, test = images_of("train"), images_of("test")
    real, _ = tfgen.classifier_features(classifier, train)

    def score(images):
        features, probabilities = tfgen.classifier_features(classifier, images)
        shares = tfgen.class_shares(probabilities.argmax(axis=1), 10)
        copies = tfgen.memorization_test(images[:2000], train, test)
        return (
            tfgen.frechet_distance(features, real),
            f"classes {shares.min():.1%} to {shares.max():.1%}, "
            f"memorisation p {copies['p_value']:.2f}",
        )

    noise = np.random.default_rng(0).random((10_000, 28, 28, 1), np.float32)
    print(f"classifier: {accuracy:.1%} of the test images")
    floor = tfgen.classifier_features(classifier, test)[0]
    print(f"real test images {tfgen.frechet_distance(floor, real):.3f}")
    print(f"uniform noise {score(noise)[0]:.0f}")

    table = {}
    for seed in range(options.seeds):
        for name in options.recipes:
            keras.utils.set_random_seed(seed)
            model = RECIPES[name]()
            data = tfgen.load_dataset(
                "fashion_mnist", batch_size=model.batch_size, seed=seed
            )
            marks = options.marks
            if options.long and seed == 0 and name != "tfgen.GAN":
                marks = [*marks, options.long]
            judge = Score(marks, lambda model: score(model.sample(10_000, seed=1)))
            model.fit(data, epochs=10_000, verbose=0, shuffle=False, callbacks=[judge])
            for mark, (distance, rest) in zip(marks, judge.results, strict=True):
                table.setdefault((name, mark), []).append(distance)
                print(f"seed {seed}  {name:18s} {mark:4.0f} s {distance:8.2f}  {rest}")

    print("\nmean and range over seeds")
    for (name, mark), results in table.items():
        print(
            f"{name:18s} {mark:4.0f} s {np.mean(results):8.2f} "
            f"({min(results):.2f} to {max(results):.2f})"
        )


if __name__ == "__main__":
    main()
