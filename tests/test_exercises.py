"""The exercises of the chapters: each check passes the right answer and no wrong one.

`exercises/chapter_NN.py` says for each exercise of a chapter what its check needs and
which wrong answers people give. The right ones are in the solutions.
"""

import functools
import re
import runpy
from pathlib import Path

import nbformat
import pytest
from test_notebooks import CHAPTERS, tags

FOLDER = Path(__file__).resolve().parent / "exercises"


@functools.cache
def read_exercises(path):
    """From the number of each exercise to its code: (answers, checks) of a notebook."""
    found, number = {}, None
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            for heading in re.findall(r"^#+ .*$", cell.source, re.MULTILINE):
                match = re.match(r"### Exercise (\d+)", heading)
                number = int(match[1]) if match else None
                if number:
                    found[number] = [], []
        elif number:
            found[number]["raises-exception" in tags(cell)].append(cell.source)
    return found


@functools.cache
def read_answers(chapter):
    return runpy.run_path(FOLDER / f"chapter_{chapter.name[:2]}.py")["EXERCISES"]


@functools.cache
def prepare(chapter, number):
    """Run what an exercise needs, once for all of its answers."""
    names = {"__name__": "exercise"}
    exec(read_answers(chapter)[number]["given"], names)
    return names


def judge(chapter, number, answer):
    """Give an answer to the check of an exercise."""
    names = dict(prepare(chapter, number))
    exec(answer, names)
    for check in read_exercises(chapter)[number][1]:
        exec(check, names)


FAILS = AssertionError, AttributeError, TypeError, ValueError

ASKED = [
    pytest.param(chapter, number, id=f"{chapter.stem[:2]}-{number}")
    for chapter in CHAPTERS
    for number in read_exercises(chapter)
]
WRONG = [
    pytest.param(chapter, number, name, id=f"{chapter.stem[:2]}-{number}-{name}")
    for chapter in CHAPTERS
    for number, exercise in read_answers(chapter).items()
    for name in exercise["wrong"]
]


@pytest.mark.parametrize(("chapter", "number"), ASKED)
def test_an_exercise_has_a_place_for_the_answer_and_a_check(chapter, number):
    answers, checks = read_exercises(chapter)[number]
    assert answers, "no cell for the answer"
    assert checks, "no cell tagged raises-exception that checks it"
    assert len(read_answers(chapter)[number]["wrong"]) >= 2


@pytest.mark.parametrize(("chapter", "number"), ASKED)
def test_the_right_answer_passes(chapter, number):
    solutions = read_exercises(chapter.parent / "solutions" / chapter.name)
    answer = read_answers(chapter)[number]["right"] or solutions[number][0][0]
    judge(chapter, number, answer)


@pytest.mark.parametrize(("chapter", "number"), ASKED)
def test_no_answer_fails(chapter, number):
    (stub, *_), _ = read_exercises(chapter)[number]
    with pytest.raises(FAILS):
        judge(chapter, number, stub)


@pytest.mark.parametrize(("chapter", "number", "name"), WRONG)
def test_a_wrong_answer_fails(chapter, number, name):
    with pytest.raises(FAILS):
        judge(chapter, number, read_answers(chapter)[number]["wrong"][name])
