import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tfgen.__main__ import main
from tfgen.commands import check


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "tfgen", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


def test_check_passes_here(monkeypatch, tmp_path):
    result = run("check", TFDS_DATA_DIR=str(tmp_path / "not" / "made" / "yet"))
    assert result.returncode == 0, result.stdout
    lines = result.stdout.splitlines()
    assert sum(line.startswith("ok ") for line in lines) == len(check.CHECKS)
    assert "2.21" in result.stdout
    assert not list(tmp_path.iterdir()), "check leaves nothing behind"


def test_check_runs_without_tensorflow(tmp_path):
    broken = tmp_path / "tensorflow"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('libcuda.so is missing')")
    result = run("check", PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    assert "PROBLEM  TensorFlow: import tensorflow fails" in result.stdout
    assert "libcuda.so is missing" in result.stdout
    assert "pip install -r requirements.txt" in result.stdout
    assert "Traceback" not in result.stderr


def test_check_names_another_backend():
    result = run("check", KERAS_BACKEND="numpy")
    assert result.returncode == 1
    assert "PROBLEM  backend: KERAS_BACKEND is 'numpy'" in result.stdout
    assert "set KERAS_BACKEND=tensorflow" in result.stdout


def test_check_names_a_backend_of_the_configuration(monkeypatch):
    import keras

    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(check.Problem, match=r"Keras runs on torch.*keras\.json"):
        check.check_backend()


def keras_folder(tmp_path, **settings):
    """A folder with a keras.json, for KERAS_HOME."""
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    return str(tmp_path)


def test_check_tells_of_settings_that_stop_tensorflow(tmp_path):
    home = keras_folder(tmp_path, backend="none")
    result = run("check", KERAS_HOME=home)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    (line,) = [x for x in result.stdout.splitlines() if "tensorflow fails" in x]
    assert line.startswith("PROBLEM") and '{"backend": "none"}' in line
    assert f"Correct or delete {tmp_path / 'keras.json'}, which holds" in line


def test_check_tells_of_settings_that_networks_of_ones_own_do_not_bear(tmp_path):
    layout = {"image_data_format": "channels_first"}
    home = keras_folder(tmp_path, floatx="float64", **layout)
    result = run("check", KERAS_HOME=home)
    (line,) = [line for line in result.stdout.splitlines() if "settings:" in line]
    assert result.returncode == 1 and line.startswith("PROBLEM")
    assert "floatx float64, image_data_format channels_first" in line
    assert "The networks of tfgen work all the same" in line
    assert 'Set "floatx": "float32", "image_data_format": "channels_last" in' in line


def test_check_names_other_settings(monkeypatch):
    monkeypatch.setattr("keras.config.epsilon", lambda: 0.5)
    assert "epsilon 0.5" in check.check_settings()
    monkeypatch.setenv("KERAS_MAX_EPOCHS", "2")
    with pytest.raises(check.Problem, match="KERAS_MAX_EPOCHS is 2.*Unset it"):
        check.check_settings()


@pytest.mark.parametrize(
    ("content", "heeded"),
    [("", False), ("{broken", False), ("[]", True), ('{"floatx": "float31"}', True)],
)
def test_the_fix_names_a_file_of_settings_that_keras_heeds(
    monkeypatch, tmp_path, content, heeded
):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert check.find_fix().startswith("Run: python -m pip")  # no file yet
    (tmp_path / "keras.json").write_text(content)
    assert ("Correct or delete" in check.find_fix()) == heeded


@pytest.mark.parametrize("version", [(3, 10, 9), (3, 14, 0)])
def test_python_without_wheels(monkeypatch, version):
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(check.Problem, match=r"3\.11 to 3\.13"):
        check.check_python()


@pytest.mark.parametrize(
    ("system", "machine"),
    [("Darwin", "x86_64"), ("Windows", "ARM64"), ("Linux", "i686"), ("Plan9", "x86")],
)
def test_platform_without_wheels(monkeypatch, system, machine):
    monkeypatch.setattr(check.platform, "system", lambda: system)
    monkeypatch.setattr(check.platform, "machine", lambda: machine)
    with pytest.raises(check.Problem, match="no wheel for it"):
        check.check_platform()


def test_missing_packages():
    with pytest.raises(check.Problem, match="not installed: no-such-package. Run:"):
        check.check_packages(("keras", "no-such-package"))


def test_little_memory(monkeypatch):
    monkeypatch.setattr(check, "read_memory", lambda: (8.0, 0.5))
    with pytest.raises(check.Problem, match=r"0\.5 of 8\.0 GB free"):
        check.check_memory()
    monkeypatch.setattr(check, "read_memory", lambda: (None, None))
    assert check.check_memory() == "unknown"


def test_memory_without_psutil(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)  # makes its import fail
    total, available = check.read_memory()
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        assert 0 < available < total
    monkeypatch.setattr(os, "sysconf", lambda name: 1 / 0, raising=False)
    monkeypatch.delattr(os, "sysconf")
    assert check.read_memory() == (None, None)


def test_unwritable_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))

    def refuse(dir):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(check.tempfile, "TemporaryFile", refuse)
    with pytest.raises(check.Problem, match="Permission denied.*Set TFDS_DATA_DIR"):
        check.check_data_folder()


def test_data_folder_that_is_a_file(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "file"))
    text = check.check_data_folder()  # the project's own folder serves instead
    assert f"{tmp_path / 'file'} cannot be written: Not a directory" in text


@pytest.mark.parametrize("named", [None, "~/sets"])
def test_data_folders_are_those_of_the_datasets(monkeypatch, named):
    from tfgen.data.embedded import data_folders

    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    if named:
        monkeypatch.setenv("TFDS_DATA_DIR", named)
    assert check.find_data_folders() == data_folders()


def test_full_disk(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    usage = SimpleNamespace(free=3e8)
    monkeypatch.setattr(check.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(check.Problem, match=r"has 0\.3 GB left"):
        check.check_data_folder()


def test_missing_kernel(monkeypatch):
    from jupyter_client import kernelspec

    def fail(self, name):
        raise kernelspec.NoSuchKernel(name)

    monkeypatch.setattr(kernelspec.KernelSpecManager, "get_kernel_spec", fail)
    with pytest.raises(check.Problem, match="ipykernel install --sys-prefix"):
        check.check_jupyter()


def test_missing_jupyter(monkeypatch):
    monkeypatch.setattr(check, "find_version", lambda package: None)
    with pytest.raises(check.Problem, match="not installed: ipykernel, jupyterlab"):
        check.check_jupyter()


def test_a_check_that_breaks_is_a_problem_not_a_crash(monkeypatch, capsys):
    def fine():
        return "fine"

    monkeypatch.setattr(check, "CHECKS", {"first": lambda: 1 / 0, "second": fine})
    assert main(["check"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "PROBLEM  first: cannot be checked: division by zero"
    assert lines[1] == "ok       second: fine"
    assert "1 problem found" in lines[-1]
