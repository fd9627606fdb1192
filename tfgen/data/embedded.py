"""What the embedded datasets share: where they live and how they are prepared."""

import contextlib
import os
import shutil
import time
from pathlib import Path

import tensorflow_datasets as tfds

_PROJECT = Path(__file__).resolve().parents[2]


def data_folders():
    """The folders in which prepared datasets are searched, the preferred first.

    Returns
    -------
    list of Path
        ``TFDS_DATA_DIR`` if that variable is set, then ``data/`` of the project
        when tfgen runs from a checkout, or else ``~/tensorflow_datasets``.
    """
    in_checkout = (_PROJECT / "pyproject.toml").is_file()
    own = _PROJECT / "data" if in_checkout else Path.home() / "tensorflow_datasets"
    shared = os.environ.get("TFDS_DATA_DIR")
    return [Path(shared).expanduser(), own] if shared else [own]


def writable_folder():
    """The first of `data_folders` that can be written to.

    Says so in one printed line when that is not ``TFDS_DATA_DIR``.
    """
    first, *others = data_folders()
    for folder in (first, *others):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            if folder != first:
                print(f"{first} cannot be written to: preparing in {folder}.")
            return folder
    tried = " or ".join(str(folder) for folder in (first, *others))
    raise PermissionError(
        f"Cannot write to {tried}. Set TFDS_DATA_DIR to a folder of your own."
    )


class EmbeddedBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A dataset made from files inside installed packages, without a download.

    Preparing is safe: a lock that the operating system drops when its process
    ends keeps two processes apart, the dataset appears under its final name only
    when it is whole, and what a killed preparation left behind is removed by the
    next one.
    """

    def __init__(self, *, data_dir=None, config=None, version=None):
        if data_dir is None:
            data_dir = self._find_data_dir(config)
        super().__init__(data_dir=data_dir, config=config, version=version)

    @classmethod
    def _find_data_dir(cls, config):
        """The folder that holds this dataset, or else one to prepare it in."""
        if config is None and cls.BUILDER_CONFIGS:
            config = cls.BUILDER_CONFIGS[0]
        parts = [cls.name, getattr(config, "name", config), str(cls.VERSION)]
        for folder in data_folders():
            if folder.joinpath(*filter(None, parts)).is_dir():
                return folder
        return writable_folder()

    def download_and_prepare(self, **kwargs):
        """Prepare the dataset unless it is there; see `tfds.core.DatasetBuilder`."""
        if not self._is_whole():
            with preparation_lock(Path(self._data_dir_root) / f".{self.name}.lock"):
                self._prepare_alone(**kwargs)
        elif kwargs:  # such as a DownloadConfig that asks for a new preparation
            super().download_and_prepare(**kwargs)

    def _prepare_alone(self, **kwargs):
        folder = Path(self.data_dir)
        if not self._is_whole():  # the process we waited for may have done it
            shutil.rmtree(folder, ignore_errors=True)
            for leftover in folder.parent.glob("incomplete.*"):
                shutil.rmtree(leftover, ignore_errors=True)
            super().download_and_prepare(**kwargs)
        self.info.read_from_directory(self.data_dir)

    def _is_whole(self):
        return Path(self.data_dir).is_dir() and self.is_prepared()

    def _example_writer(self):
        return _CanonicalWriter(super()._example_writer().file_format)

    def _log_download_bytes(self):
        print(f"Preparing {self.info.full_name} in {self.data_dir} (no download).")

    def _log_download_done(self):
        count = sum(split.num_examples for split in self.info.splits.values())
        print(f"Prepared {self.info.full_name}: {count:,} images.")


class _CanonicalWriter(tfds.core.writer.ExampleWriter):
    """Writes equal examples as equal bytes, in every process.

    The order of an example's features on disk otherwise depends on hashes.
    """

    def write(self, path, examples):
        from tensorflow.train import Example

        return super().write(
            path,
            (
                (key, Example.FromString(data).SerializeToString(deterministic=True))
                for key, data in examples
            ),
        )


@contextlib.contextmanager
def preparation_lock(path):
    """Hold an exclusive lock on the file `path`; wait for it if need be.

    The operating system releases it when the process ends, however it ends, so
    the lock file that stays behind never blocks anyone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as file:
        waiting = False
        while not _try_lock(file):
            if not waiting:
                print(f"Waiting for another process to finish ({path.name}).")
                waiting = True
            time.sleep(0.1)
        yield  # closing the file releases the lock


def _try_lock(file):
    """Lock an open file if no other process has; return whether it worked."""
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True
