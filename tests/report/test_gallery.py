from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from imagecodecs import imread

from classical_assay import classical_assay
from report.made_cells import BIN_OD, make_cells, scattered_cells
from slidescore.cells.table import floats
from slidescore.report.gallery import CROP_PX, choose_gallery, read_gallery
from slidescore.scoring import bin_values
from slidescore.slide import ArrayReader

ASSAY = classical_assay()
THRESHOLDS = ASSAY.bins.of("cytoplasm")


class TestChoice:
    def test_six_a_bin_from_its_whole_range(self) -> None:
        cells = scattered_cells(4000, 20_000, 10_000)
        od = floats(cells, "dab_od_cytoplasm")
        chosen = choose_gallery(cells, ASSAY)
        assert [len(rows) for rows in chosen] == [6, 6, 6, 6]
        for number, rows in enumerate(chosen):
            values = od[rows]
            assert (bin_values(values, THRESHOLDS) == number).all()
            assert (np.diff(values) > 0).all()
            own = np.sort(od[bin_values(od, THRESHOLDS) == number])
            assert values[0] <= own[len(own) // 50]
            assert values[-1] >= own[-len(own) // 50]

    def test_examples_are_spread_over_the_slide(self) -> None:
        cells = scattered_cells(4000, 20_000, 20_000)
        xy = np.stack([floats(cells, "x"), floats(cells, "y")], axis=1)
        for rows in choose_gallery(cells, ASSAY):
            distances = np.hypot(*(xy[rows][:, None] - xy[rows][None]).transpose(2, 0, 1))
            assert distances[np.triu_indices(6, 1)].min() > 3000

    def test_the_choice_repeats(self) -> None:
        cells = scattered_cells(500, 5000, 5000)
        assert choose_gallery(cells, ASSAY) == choose_gallery(cells, ASSAY)

    def test_small_bins_and_cells_that_do_not_count(self) -> None:
        cells = make_cells(
            [(k * 50, 50) for k in range(6)],
            [*BIN_OD, 0.9, 0.9],
            tumor=[None, None, None, None, 0.0, None],
            excluded=[None, None, None, None, None, "pen"],
        )
        assert choose_gallery(cells, ASSAY) == [[0], [1], [2], [3]]
        assert choose_gallery(make_cells([], []), ASSAY) == [[], [], [], []]


class TestCrops:
    @pytest.mark.parametrize("mpp", [0.125, 0.25, 0.5, 0.4])
    def test_crops_show_40_um_with_the_cell_in_the_middle(self, mpp: float) -> None:
        pixels = np.full((1000, 1000, 3), 235, np.uint8)
        x, y = 420.0, 610.0
        half = round(8 / mpp)
        pixels[int(y - half) : int(y + half), int(x - half) : int(x + half)] = (40, 40, 90)
        cells = make_cells([(x, y)], [0.5], half=half)
        (cell,) = read_gallery(ArrayReader(pixels), mpp, cells, ASSAY)
        rgb = imread(cell.jpeg).astype(int)
        assert rgb.shape == (CROP_PX, CROP_PX, 3)
        # The dark square is 16 um wide, 64 of 160 px, in the middle; its outline lies on its border.
        dark = np.flatnonzero(rgb[CROP_PX // 2, :, 0] < 120)
        assert abs(dark[0] - 48) <= 3
        assert abs(dark[-1] - 111) <= 3
        orange = rgb[CROP_PX // 2, 44:53]
        assert ((orange[:, 0] - orange[:, 2]) > 80).any()

    def test_facts_of_the_cells(self) -> None:
        cells = make_cells([(100, 100), (200, 100)], [0.1, 0.9])
        gallery = read_gallery(ArrayReader(np.full((300, 300, 3), 240, np.uint8)), 0.25, cells, ASSAY)
        assert [(cell.cell_id, cell.bin, cell.x_l0, cell.y_l0) for cell in gallery] == [
            (0, 0, 100, 100),
            (1, 3, 200, 100),
        ]
        assert gallery[1].dab_od == pytest.approx(dict.fromkeys(("nucleus", "cytoplasm", "membrane", "cell"), 0.9))

    def test_beyond_the_slide_is_light(self) -> None:
        gallery = read_gallery(
            ArrayReader(np.full((50, 50, 3), 240, np.uint8)), 0.25, make_cells([(5, 5)], [0.5]), ASSAY
        )
        assert imread(gallery[0].jpeg)[:20, :20].min() > 220

    def test_no_cells_no_pictures(self) -> None:
        empty: pa.Table = make_cells([], [])
        assert read_gallery(ArrayReader(np.zeros((50, 50, 3), np.uint8)), 0.25, empty, ASSAY) == ()
