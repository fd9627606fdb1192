"""`python -m tfgen check`: what is wrong here, and the fix."""

import contextlib
import importlib.metadata
import json
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

from tfgen.commands.screen import shown

# Nothing else is imported up here: this must run where TensorFlow does not.

PYTHONS = ((3, 11), (3, 13))
WHEELS = {  # systems and processors that TensorFlow has wheels for
    "Linux": ("x86_64", "aarch64"),
    "Windows": ("AMD64",),
    "Darwin": ("arm64",),
}
PACKAGES = (
    "tensorflow",
    "keras",
    "tensorflow-datasets",
    "importlib_resources",
    "scikit-image",
    "PyWavelets",
    "matplotlib",
    "pillow",
)
MEMORY = 4  # GB that the chapters need, with the notebook's browser
DISK = 2  # GB for the embedded datasets and the pages
INSTALL = "python -m pip install -r requirements.txt"
SETTINGS = {  # of Keras, as they are where nobody has changed them
    "backend": "tensorflow",
    "floatx": "float32",
    "image_data_format": "channels_last",
    "epsilon": 1e-07,
}


class Problem(Exception):
    """Something that is wrong here. The text says what, and how to fix it."""


def check_python():
    version = sys.version_info[:2]
    if not PYTHONS[0] <= version <= PYTHONS[1]:
        raise Problem(
            f"{platform.python_version()}, but tfgen runs on 3.11 to 3.13. "
            "Install one from https://www.python.org/downloads/ and make a new "
            "virtual environment with it."
        )
    return f"{platform.python_version()} ({shown(sys.executable)})"


def check_platform():
    system, machine = platform.system(), platform.machine()
    if machine not in WHEELS.get(system, ()):
        raise Problem(
            f"{system} {machine}: TensorFlow has no wheel for it, only for Linux, "
            "64-bit Windows and Macs with Apple silicon. Use such a machine, or Google "
            "Colab."
        )
    return f"{system} {machine}"


def check_packages(names=PACKAGES):
    missing = [name for name in names if not find_version(name)]
    if missing:
        raise Problem(f"not installed: {', '.join(missing)}. Run: {INSTALL}")
    return ", ".join(f"{name} {find_version(name)}" for name in names)


def check_tensorflow():
    try:
        import tensorflow as tf
    except Exception as error:  # a broken installation can raise anything
        raise Problem(
            f"import tensorflow fails: {type(error).__name__}: {error}. {find_fix()}"
        ) from error
    total = float(tf.reduce_sum(tf.ones((2, 2))))
    if total != 4:
        raise Problem(f"2 x 2 ones sum up to {total}. Reinstall: {INSTALL}")
    return tf.__version__


def check_backend():
    wanted = os.environ.get("KERAS_BACKEND", "tensorflow")
    if wanted != "tensorflow":
        raise Problem(
            f"KERAS_BACKEND is {wanted!r}; tfgen needs TensorFlow. Unset it, or set "
            "KERAS_BACKEND=tensorflow."
        )
    try:
        import keras
    except Exception as error:
        raise Problem(
            f"import keras fails: {type(error).__name__}: {error}. {find_fix()}"
        ) from error
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise Problem(
            f"Keras runs on {backend}; tfgen needs TensorFlow. Set KERAS_BACKEND="
            f'tensorflow, or "backend": "tensorflow" in {find_settings()}.'
        )
    return f"Keras {keras.__version__} on {backend}"


def check_settings():
    from keras import config

    found = {name: getattr(config, name)() for name in SETTINGS}
    text = ", ".join(f"{name} {value}" for name, value in found.items())
    wrong = [n for n in ("floatx", "image_data_format") if found[n] != SETTINGS[n]]
    if wrong:
        right = ", ".join(f'"{name}": "{SETTINGS[name]}"' for name in wrong)
        raise Problem(
            f"{text}. The networks of tfgen work all the same, but those that the "
            f"chapters and you build do not. Set {right} in {find_settings()}."
        )
    for name in ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH"):
        if os.environ.get(name):
            raise Problem(
                f"{name} is {os.environ[name]}: Keras stops there without a word. "
                "Unset it."
            )
    return text


def check_devices():
    import tensorflow as tf

    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    found = ", ".join(gpus) if gpus else "no GPU (none is needed)"
    return f"{count_cores()} CPU cores, {found}"


def check_memory():
    total, available = read_memory()
    if total is None:
        return "unknown"
    text = f"{available:.1f} of {total:.1f} GB free"
    if available < MEMORY:
        raise Problem(f"{text}; a chapter needs up to {MEMORY}. Close other programs.")
    return text


def check_data_folder():
    refusals = []
    for folder in find_data_folders():
        existing = folder
        while not existing.exists():
            existing = existing.parent
        try:
            with tempfile.TemporaryFile(dir=existing):
                break
        except OSError as error:
            refusals.append(f"{shown(folder)} cannot be written: {error.strerror}.")
    else:
        fix = "Set TFDS_DATA_DIR to a folder that can."
        raise Problem(" ".join([*refusals, fix]))
    free = shutil.disk_usage(existing).free / 1e9
    if free < DISK:
        raise Problem(
            f"{shown(folder)} has {free:.1f} GB left, needs {DISK}. Free some, or set "
            "TFDS_DATA_DIR to a folder on another disk."
        )
    return " ".join([f"{shown(folder)} ({free:.0f} GB free)", *refusals])


def check_jupyter():
    check_packages(("ipykernel", "jupyterlab"))
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel as error:
        raise Problem(
            "no kernel named python3. Run: python -m ipykernel install --sys-prefix"
        ) from error
    return f"JupyterLab {find_version('jupyterlab')}, kernel python3"


def find_settings():
    """The path of keras.json."""
    folder = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    return Path(folder) / "keras.json"


def find_fix():
    """What to do where an import fails: settings of Keras can be why."""
    try:
        settings = json.loads(find_settings().read_text("utf-8"))
    except (OSError, ValueError):  # Keras takes no notice of such a file
        settings = SETTINGS
    if settings == SETTINGS:
        return f"Run: {INSTALL}"
    return (
        f"Correct or delete {find_settings()}, which holds {json.dumps(settings)}. If "
        f"that does not help, run: {INSTALL}"
    )


def find_version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def count_cores():
    try:
        return len(os.sched_getaffinity(0))  # what this process may use
    except AttributeError:  # macOS, Windows
        return os.cpu_count()


def read_memory():
    """Return total and available memory in GB, or None twice where nobody tells."""
    try:
        import psutil  # comes with Jupyter
    except ImportError:
        try:
            page = os.sysconf("SC_PAGE_SIZE") / 1e9
            pages = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_AVPHYS_PAGES")
        except (AttributeError, ValueError, OSError):
            return None, None
        return pages[0] * page, pages[1] * page
    memory = psutil.virtual_memory()
    return memory.total / 1e9, memory.available / 1e9


def find_data_folders():
    """List where datasets may be prepared, as tfgen.data.embedded does."""
    project = Path(__file__).resolve().parents[2]
    in_checkout = (project / "pyproject.toml").is_file()
    own = project / "data" if in_checkout else Path.home() / "tensorflow_datasets"
    named = os.environ.get("TFDS_DATA_DIR")
    return [Path(named).expanduser(), own] if named else [own]


CHECKS = {
    "Python": check_python,
    "platform": check_platform,
    "packages": check_packages,
    "TensorFlow": check_tensorflow,
    "backend": check_backend,
    "settings": check_settings,
    "devices": check_devices,
    "memory": check_memory,
    "data folder": check_data_folder,
    "Jupyter": check_jupyter,
}


@contextlib.contextmanager
def hide_log():
    """Hide what TensorFlow's C++ code logs, which no setting turns off."""
    screen = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(screen, 2)
        os.close(screen)


def run_checks():
    """Print a line for each check; return how many found a problem."""
    problems = 0
    for name, check in CHECKS.items():
        try:
            with hide_log():
                status, text = "ok", check()
        except Problem as problem:
            status, text = "PROBLEM", str(problem)
        except Exception as error:  # such as no TensorFlow to list the devices of
            status, text = "PROBLEM", f"cannot be checked: {error}"
        problems += status != "ok"
        print(f"{status:<8} {name}: {text}", flush=True)
    if problems:
        noun = "problem" if problems == 1 else "problems"
        print(f"\n{problems} {noun} found: see above for the fix.")
    else:
        print("\nEverything is in place. Start with: make book, or make lab")
    return problems
