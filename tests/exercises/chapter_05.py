"""Answers to the exercises of chapter 5: right ones are in its solutions."""

EXERCISES = {
    1: {
        "given": "import numpy as np",
        "right": None,
        "wrong": {
            "sees no difference": "answer = 0.0",
            "drawn over real": "answer = np.log(1 / 26)",
            "no logarithm": "answer = 26.0",
            "only wrong letters count": "answer = np.log(25)",
        },
    },
    2: {
        "given": "import numpy as np\nimport tensorflow as tf",
        "right": None,
        "wrong": {
            "ends after one pass": """
def small_data(images, labels):
    data = tf.data.Dataset.from_tensor_slices((images, labels))
    return data.shuffle(len(images), seed=0).batch(32)
""",
            "the last batch of a pass is not full": """
def small_data(images, labels):
    data = tf.data.Dataset.from_tensor_slices((images, labels))
    return data.shuffle(len(images), seed=0).batch(32).repeat()
""",
            "mixes images and labels apart": """
def small_data(images, labels):
    parts = [tf.data.Dataset.from_tensor_slices(part) for part in (images, labels)]
    mixed = [part.shuffle(260, seed=seed) for seed, part in enumerate(parts)]
    return tf.data.Dataset.zip(*mixed).repeat().batch(32)
""",
            "in the order of the letters": """
def small_data(images, labels):
    data = tf.data.Dataset.from_tensor_slices((images, labels))
    return data.repeat().batch(32)
""",
            "mixes a few neighbours only": """
def small_data(images, labels):
    data = tf.data.Dataset.from_tensor_slices((images, labels))
    return data.shuffle(32, seed=0).repeat().batch(32)
""",
        },
    },
    3: {
        "given": "import numpy as np",
        "right": None,
        "wrong": {
            "passes through the letters between": """
def between(first, second, typeface, count):
    letters = np.linspace(first, second, count).round().astype(int)
    return np.concatenate([np.eye(26)[letters], np.eye(21)[[typeface] * count]], 1)
""",
            "the typeface in the place of a letter": """
def between(first, second, typeface, count):
    labels = np.zeros((count, 47))
    labels[:, first] = np.linspace(1, 0, count)
    labels[:, second] = np.linspace(0, 1, count)
    labels[:, typeface] = 1
    return labels
""",
            "never arrives": """
def between(first, second, typeface, count):
    labels = np.zeros((count, 47))
    labels[:, second] = np.arange(count) / count
    labels[:, first] = 1 - labels[:, second]
    labels[:, 26 + typeface] = 1
    return labels
""",
            "no typeface": """
def between(first, second, typeface, count):
    labels = np.zeros((count, 47))
    labels[:, first] = np.linspace(1, 0, count)
    labels[:, second] = np.linspace(0, 1, count)
    return labels
""",
        },
    },
    4: {
        "given": "import numpy as np\nfrom collections import Counter",
        "right": None,
        "wrong": {
            "read and asked exchanged": """
def confusions(asked, read):
    wrong = asked != read
    pairs = zip(read[wrong].tolist(), asked[wrong].tolist())
    return [(*pair, count) for pair, count in Counter(pairs).most_common()]
""",
            "counts the right ones too": """
def confusions(asked, read):
    pairs = zip(asked.tolist(), read.tolist())
    return [(*pair, count) for pair, count in Counter(pairs).most_common()]
""",
            "in the order of the letters": """
def confusions(asked, read):
    wrong = asked != read
    pairs = zip(asked[wrong].tolist(), read[wrong].tolist())
    return sorted((*pair, count) for pair, count in Counter(pairs).items())
""",
            "one confusion a letter": """
def confusions(asked, read):
    found = {}
    for letter in set(asked.tolist()):
        others = Counter(read[(asked == letter) & (read != letter)].tolist())
        if others:
            found[letter] = others.most_common(1)[0]
    found = [(letter, *most) for letter, most in found.items()]
    return sorted(found, key=lambda row: -row[2])
""",
        },
    },
}
