import io
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
        ("restore", "required: PHOTO, -o/--output"),
        ("restore a.png -o b.png --task sharpen", "invalid choice: 'sharpen'"),
        ("restore a.png -o b.png --task denoise --sigma x", "invalid sigma value: 'x'"),
        ("restore a.png -o b.png --task upscale --scale 5", "invalid choice: 5"),
        ("evaluate", "required: FOLDER, --task"),
        ("card", "required: MODEL"),
    ],
)
def test_what_is_typed_wrong_is_one_line(capsys, line, expected):
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and printed.count("\n") == 1
    assert expected in printed and "--help" in printed


STREAMS = ("stdout", "stderr")
MEMORY = "There is not enough memory. Close other programs, or take a smaller image."


class ResourceExhaustedError(Exception):  # as TensorFlow's is called
    pass


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (check.Problem("KERAS_BACKEND\nis 'jax'"), "KERAS_BACKEND is 'jax'"),
        (
            ValueError("Cannot read a\n\x1b[1m\udce9b.png."),
            r"Cannot read a\n\x1b[1m\udce9b",
        ),
        (ValueError(), "ValueError"),
        (OSError(28, "No space left", "a\nb"), r"[Errno 28] No space left: 'a\nb'"),
        (MemoryError(), MEMORY),
        (ResourceExhaustedError("OOM when allocating tensor"), MEMORY),
        (TypeError("'NoneType'\nand 'int'"), "TypeError: 'NoneType' and 'int'. To see"),
        (
            KeyError("x"),
            "KeyError: 'x'. To see whether something is wrong here, run: py",
        ),
        (OverflowError(), "OverflowError. To see"),
        (
            ModuleNotFoundError("No module named 'skimage'"),
            "ModuleNotFoundError: No mo",
        ),
        (RecursionError("too deep"), "RecursionError: too deep. To see"),
        (AssertionError("many words " * 999), "AssertionError: many words many"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("command", ["restore a.png -o b.png", "evaluate ."])
def test_whatever_ends_a_command_is_one_line(
    monkeypatch, capsys, command, problem, expected
):
    def fail():
        raise problem

    monkeypatch.setattr(check, "check_backend", fail)
    assert main(f"{command} --task denoise".split()) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {expected}") and printed.count("\n") == 1
    assert len(printed) < 500 and "Traceback" not in printed


@pytest.mark.parametrize("command", ["restore a.png -o b.png", "evaluate .", "check"])
def test_an_interruption_is_one_word(monkeypatch, capsys, command):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "check_backend", interrupt)
    monkeypatch.setattr(check, "CHECKS", {"backend": interrupt})
    task = [] if command == "check" else ["--task", "denoise"]
    assert main([*command.split(), *task]) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_streams_that_are_closed_or_of_another_kind(monkeypatch, capsys, stream):
    monkeypatch.setattr(check, "CHECKS", {})
    for other in (None, io.StringIO()):
        monkeypatch.setattr(sys, stream, other)
        assert main(["check"]) == 0


def test_characters_that_the_screen_does_not_know_are_escaped(monkeypatch):
    def fail():
        raise ValueError("日本.png is damaged")

    screens = {name: io.TextIOWrapper(io.BytesIO(), "cp1252") for name in STREAMS}
    for name, stream in screens.items():
        monkeypatch.setattr(sys, name, stream)
    monkeypatch.setattr(check, "check_backend", fail)
    monkeypatch.setattr(check, "CHECKS", {"data folder": lambda: "日本"})
    assert main("restore 日本.png -o b.png --task denoise".split()) == 2
    assert main(["check"]) == 0
    with pytest.raises(SystemExit):
        main(["check", "日本"])
    for name, count in zip(STREAMS, (1, 2), strict=True):
        screens[name].flush()
        printed = screens[name].buffer.getvalue().decode("cp1252")
        assert printed.count(r"\u65e5\u672c") == count


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
