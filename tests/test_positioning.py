"""The maps, and how pieces are found in them."""

import sys
from pathlib import Path

import numpy as np
import pytest
from skimage.feature import match_template
from skimage.registration import phase_cross_correlation

import tfgen

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import positioning  # noqa: E402


@pytest.fixture(scope="module")
def area():
    return positioning.load_grey(2016)[200:400, 300:560]


def test_maps_show_one_place_in_three_summers():
    maps = {year: tfgen.load_picture(f"map_{year}") for year in (2016, 2018, 2020)}
    assert {x.shape for x in maps.values()} == {(720, 928, 3)}
    window = np.outer(np.hanning(720), np.hanning(928))
    first, *others = (window * (x.mean(axis=-1) - x.mean()) for x in maps.values())
    for other in others:
        shift, *_ = phase_cross_correlation(first, other, upsample_factor=20)
        assert np.abs(shift).max() < 1  # pixel


@pytest.mark.parametrize("side", [16, 48])
def test_scores_are_those_of_scikit_image(area, side):
    pieces = positioning.load_grey(2020)[None, 250 : 250 + side, 400 : 400 + side]
    (scores,) = positioning.correlate(area, pieces)
    expected = match_template(np.float64(area), np.float64(pieces[0]))
    np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_a_piece_is_found_where_it_was_cut_out_whatever_its_contrast(area):
    corners = np.array([[0, 0], [17, 91], [136, 196]])
    pieces = np.stack([area[y : y + 64, x : x + 64] for y, x in corners])
    for changed in (pieces, 0.3 * pieces + 0.5):
        places, scores = positioning.locate(area, changed)
        np.testing.assert_array_equal(places, corners)
        np.testing.assert_allclose(scores, 1, atol=1e-3)


def test_a_piece_of_one_grey_is_found_nowhere(area):
    _, scores = positioning.locate(area, np.full((1, 64, 64), 0.4, np.float32))
    assert scores[0] < 0.01


def test_resamples_draw_clusters_and_not_pieces():
    rng = np.random.default_rng(0)
    found = (np.arange(400) % 2)[None]
    alone = positioning.resample(np.arange(400), found, rng)
    np.testing.assert_allclose(alone.std(), np.sqrt(0.25 / 400), rtol=0.1)
    halves = positioning.resample(np.arange(400) // 2 % 20, found, rng)
    np.testing.assert_allclose(halves, 0.5)  # each cluster is half found
    split = positioning.resample(np.arange(400) % 20, found, rng)
    np.testing.assert_allclose(split.std(), np.sqrt(0.25 / 20), rtol=0.1)
    assert alone.shape == (positioning.RESAMPLES, 1)


def test_the_setting_of_a_year_is_the_best_of_the_other(monkeypatch):
    monkeypatch.setattr(positioning, "PIECES", 12)
    ways = {
        ("untouched", "brightness", ""): 1,
        ("filter", "brightness", 1): 2,
        ("filter", "brightness", 2): 3,
    }
    right = {2018: {1: 0.5, 2: 0.9, 3: 0.1}, 2020: {1: 0.5, 2: 0.2, 3: 0.8}}
    years = iter((2018, 2020))

    def damage(sigma, clean, seed):
        year = next(years)
        return {
            way: (np.full_like(clean, right[year][number]), positioning.same)
            for way, number in ways.items()
        }

    def locate(area, pieces):
        rng = np.random.default_rng(18)
        places = [rng.integers(0, n - 63, 12) for n in area.shape]
        lost = np.arange(12) >= 12 * pieces[0, 0, 0]
        return np.stack(places, 1) + 1000 * lost[:, None], np.zeros(12)

    monkeypatch.setattr(positioning, "ways_against_noise", damage)
    monkeypatch.setattr(positioning, "locate", locate)
    rows = list(positioning.run_pieces("noise 25", 18))
    chosen = {row[1]: row[4] for row in rows if row[2] == "filter"}
    assert chosen == {2018: 2, 2020: 1}
    assert {row[5] for row in rows} == {12}
