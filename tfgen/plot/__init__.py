"""Figures of the book: image grids, comparisons, loss curves, samples while training.

Every figure is drawn on a fixed scale (0 is black, 1 is white), carries a text that
describes it, and is small enough to be stored in a notebook. In a notebook a figure is
displayed under the cell; in a script it opens a window where there is one, and `path`
writes it to a file.

`figures` has those that are shown once, `progress` the one that grows while a model
trains. `canvas` draws images pixel by pixel, `display` shows and writes what is drawn.
"""
