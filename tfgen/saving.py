"""Arguments of models as a saved file holds them: what can be saved comes back as it
was, and what cannot is told when it is saved.

It needs Keras 3 on TensorFlow and nothing else; `model.py` stands on it.
"""

import contextlib
import functools
import json
import random
import warnings
import weakref

import keras
import numpy as np
import tensorflow as tf

from .checks import require

ARRAYS = np.ndarray | np.generic | tf.Tensor
PLAIN = bool | int | float | str | list | tuple | dict | ARRAYS
LOADABLE = weakref.WeakSet()  # networks that were saved and loaded again, as a trial
UNSAVED = (
    "The {} {} cannot be loaded from what is saved: {}. Register its functions and "
    "classes with keras.saving.register_keras_serializable(), and give a partial plain "
    "arguments: numbers, strings, tuples, arrays."
)


class Missing:
    """Stands in a loaded model for a function of the saved one that is not here."""

    def __init__(self, name, saved):
        self.name, self.saved = name, saved

    def __call__(self, *args, **kwargs):
        raise ValueError(
            f"This model was loaded without its {self.name}, {self.saved['text']}. "
            f"Register it and load again, or give the model a {self.name} again."
        )


def save_value(value, name):
    """An argument as JSON can hold it, with a warning if it will not come back equal. A
    function that cannot be saved is left out, so that the rest is not lost."""
    if isinstance(value, Missing):
        return value.saved
    layer = isinstance(value, keras.Layer)
    if layer and value in LOADABLE:
        return _pack(value)
    saved, reason, state = None, "", random.getstate()  # of which new layers draw
    try:
        with warnings.catch_warnings(action="ignore"):
            text = json.dumps(_pack(value))
            saved = json.loads(text)
            if not _same(_unpack(json.loads(text)), value):  # it uses up its own
                saved, reason = None, "it would come back changed"
    except Exception as error:  # of Keras, of JSON, of a class that is loaded
        reason = str(error).split("Exception encountered: ")[-1].split(". ")[0]
    finally:
        random.setstate(state)
    title = getattr(getattr(value, "func", value), "__qualname__", None) or repr(value)
    if reason:
        warnings.warn(UNSAVED.format(name, title, reason), stacklevel=2)
    elif layer:
        LOADABLE.add(value)
    if layer or not callable(value):
        return saved
    return {"callable": saved, "text": title}


def load_value(saved, name):
    """An argument that was saved; `Missing` for a function that is not here."""
    if not isinstance(saved, dict) or "callable" not in saved:
        return _unpack(saved)
    with contextlib.suppress(Exception):  # of whatever is not here
        if saved["callable"] is not None:
            return _unpack(saved["callable"])
    return Missing(name, saved)


def _pack(value):
    """A value as JSON can hold it; `_unpack` turns it back, `_same` says whether."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, list):
        return [_pack(part) for part in value]
    if isinstance(value, dict):
        return {key: _pack(part) for key, part in value.items()}
    if type(value) is tuple:
        return {"tuple": _pack(list(value))}
    if type(value) is functools.partial:
        parts = {"args": list(value.args), "keywords": value.keywords}
        return {"function": _pack(value.func), **_pack(parts)}
    if isinstance(value, ARRAYS):
        array = np.asarray(value)
        kind = "tensor" if tf.is_tensor(value) else type(value).__name__
        form = {"dtype": array.dtype.name, "shape": list(array.shape)}
        return {"array": array.tolist(), "kind": kind, **form}
    of_keras = str(getattr(value, "__module__", None)).startswith("keras.")
    if hasattr(value, "__name__") and not of_keras:
        return {"registered": keras.saving.get_registered_name(value)}
    known = of_keras or hasattr(value, "get_config") or isinstance(value, slice)
    require(known, f"a {type(value).__name__} has no get_config")
    return keras.saving.serialize_keras_object(value)


def _unpack(saved):
    if isinstance(saved, list):
        return [_unpack(part) for part in saved]
    if not isinstance(saved, dict):
        return saved
    if "class_name" in saved:
        return keras.saving.deserialize_keras_object(saved)
    if "registered" in saved:
        found = keras.saving.get_registered_object(saved["registered"])
        require(found is not None, f"{saved['registered']} is not registered")
        return found
    if "array" in saved:
        array = np.array(saved["array"], saved["dtype"]).reshape(saved["shape"])
        kinds = {"tensor": tf.convert_to_tensor, "ndarray": np.asarray}
        return kinds.get(saved["kind"], lambda array: array[()])(array)
    parts = {key: _unpack(part) for key, part in saved.items()}
    if "tuple" in saved:
        return tuple(parts["tuple"])
    if "function" in saved:
        args = parts.get("args", ())
        return functools.partial(parts["function"], *args, **parts["keywords"])
    return parts


def _same(found, value):
    if isinstance(found, dict) and isinstance(value, dict):
        return _same(list(found.items()), list(value.items()))
    lists = isinstance(found, list) and isinstance(value, list)
    if lists or type(found) is type(value) is tuple:
        return len(found) == len(value) and all(map(_same, found, value))
    if type(found) is not type(value):
        return False
    if isinstance(value, functools.partial):
        found, value = ((p.func, p.args, p.keywords) for p in (found, value))
        return _same(found, value)
    if isinstance(value, ARRAYS):
        found, value = (np.asarray(array) for array in (found, value))
        return found.dtype == value.dtype and found.tobytes() == value.tobytes()
    if isinstance(value, keras.Layer | keras.optimizers.Optimizer):
        return True  # Keras' own care
    if hasattr(value, "get_config"):
        found, value = (
            {key: x for key, x in vars(part).items() if isinstance(x, PLAIN)}
            for part in (found, value)
        )
        return _same(found, value)
    return found is value or found == value or found != found  # as NaN is
