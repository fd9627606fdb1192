import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tfgen import __main__ as command


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
    assert sum(line.startswith("ok ") for line in lines) == len(command.CHECKS)
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
    with pytest.raises(command.Problem, match=r"Keras runs on torch.*keras\.json"):
        command.check_backend()


def test_a_command_is_needed():
    result = run()
    assert result.returncode == 2
    assert "COMMAND" in result.stderr


@pytest.mark.parametrize("version", [(3, 10, 9), (3, 14, 0)])
def test_python_without_wheels(monkeypatch, version):
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(command.Problem, match=r"3\.11 to 3\.13"):
        command.check_python()


@pytest.mark.parametrize(
    ("system", "machine"),
    [("Darwin", "x86_64"), ("Windows", "ARM64"), ("Linux", "i686"), ("Plan9", "x86")],
)
def test_platform_without_wheels(monkeypatch, system, machine):
    monkeypatch.setattr(command.platform, "system", lambda: system)
    monkeypatch.setattr(command.platform, "machine", lambda: machine)
    with pytest.raises(command.Problem, match="no wheel for it"):
        command.check_platform()


def test_missing_packages(monkeypatch):
    monkeypatch.setattr(command, "PACKAGES", ("keras", "no-such-package"))
    with pytest.raises(command.Problem, match="not installed: no-such-package. Run:"):
        command.check_packages()


def test_little_memory(monkeypatch):
    monkeypatch.setattr(command, "read_memory", lambda: (8.0, 0.5))
    with pytest.raises(command.Problem, match=r"0\.5 of 8\.0 GB free"):
        command.check_memory()
    monkeypatch.setattr(command, "read_memory", lambda: (None, None))
    assert command.check_memory() == "unknown"


def test_memory_without_psutil(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)  # makes its import fail
    total, available = command.read_memory()
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        assert 0 < available < total
    monkeypatch.setattr(os, "sysconf", lambda name: 1 / 0, raising=False)
    monkeypatch.delattr(os, "sysconf")
    assert command.read_memory() == (None, None)


def test_unwritable_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))

    def refuse(dir):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(command.tempfile, "TemporaryFile", refuse)
    with pytest.raises(command.Problem, match="Permission denied.*Set TFDS_DATA_DIR"):
        command.check_data_folder()


def test_data_folder_that_is_a_file(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "file"))
    text = command.check_data_folder()  # the project's own folder serves instead
    assert f"{tmp_path / 'file'} cannot be written: Not a directory" in text


@pytest.mark.parametrize("named", [None, "~/sets"])
def test_data_folders_are_those_of_the_datasets(monkeypatch, named):
    from tfgen.data.embedded import data_folders

    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    if named:
        monkeypatch.setenv("TFDS_DATA_DIR", named)
    assert command.find_data_folders() == data_folders()


def test_full_disk(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    usage = SimpleNamespace(free=3e8)
    monkeypatch.setattr(command.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(command.Problem, match=r"has 0\.3 GB left"):
        command.check_data_folder()


def test_missing_kernel(monkeypatch):
    from jupyter_client import kernelspec

    def fail(self, name):
        raise kernelspec.NoSuchKernel(name)

    monkeypatch.setattr(kernelspec.KernelSpecManager, "get_kernel_spec", fail)
    with pytest.raises(command.Problem, match="ipykernel install --sys-prefix"):
        command.check_jupyter()


def test_missing_jupyter(monkeypatch):
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(command.Problem, match="not installed: ipykernel, jupyterlab"):
        command.check_jupyter()


def test_a_check_that_breaks_is_a_problem_not_a_crash(monkeypatch, capsys):
    def fine():
        return "fine"

    monkeypatch.setattr(command, "CHECKS", {"first": lambda: 1 / 0, "second": fine})
    assert command.main(["check"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "PROBLEM  first: cannot be checked: division by zero"
    assert lines[1] == "ok       second: fine"
    assert "1 problem found" in lines[-1]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", "required: COMMAND"),
        ("repair", "invalid choice: 'repair'"),
        ("restore", "required: photo, -o/--output, --task"),
        ("restore a.png -o b.png --task sharpen", "invalid choice: 'sharpen'"),
        ("restore a.png -o b.png --task denoise --sigma x", "invalid sigma value: 'x'"),
        ("restore a.png -o b.png --task upscale --scale 5", "invalid choice: 5"),
        ("evaluate", "required: FOLDER, --task"),
    ],
)
def test_what_is_typed_wrong_is_one_line(capsys, line, expected):
    with pytest.raises(SystemExit) as ended:
        command.main(line.split())
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and printed.count("\n") == 1
    assert expected in printed and "--help" in printed


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (command.Problem("KERAS_BACKEND\nis 'jax'"), "error: KERAS_BACKEND is 'jax'\n"),
        (MemoryError(), "error: MemoryError\n"),
    ],
)
def test_commands_name_what_is_wrong_here(monkeypatch, capsys, problem, expected):
    def fail():
        raise problem

    monkeypatch.setattr(command, "check_backend", fail)
    assert command.main("restore a.png -o b.png --task denoise".split()) == 2
    assert capsys.readouterr().err == expected


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("check", "restore", "evaluate"))
