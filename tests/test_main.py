import subprocess
import sys

import pytest

from tfgen.__main__ import main
from tfgen.commands import check


def test_a_command_is_needed():
    result = subprocess.run(
        [sys.executable, "-m", "tfgen"], capture_output=True, text=True
    )
    assert result.returncode == 2
    assert "COMMAND" in result.stderr


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
        main(line.split())
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and printed.count("\n") == 1
    assert expected in printed and "--help" in printed


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (check.Problem("KERAS_BACKEND\nis 'jax'"), "error: KERAS_BACKEND is 'jax'\n"),
        (MemoryError(), "error: MemoryError\n"),
    ],
)
def test_commands_name_what_is_wrong_here(monkeypatch, capsys, problem, expected):
    def fail():
        raise problem

    monkeypatch.setattr(check, "check_backend", fail)
    assert main("restore a.png -o b.png --task denoise".split()) == 2
    assert capsys.readouterr().err == expected


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("check", "restore", "evaluate"))


def test_the_parser_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['-m']; import tfgen.__main__; "
        "print(*{'keras', 'numpy', 'PIL', 'tensorflow'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "\n"
