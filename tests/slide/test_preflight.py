from __future__ import annotations

import resource
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

import phantom as ph
from slide.drawn import drop_tiles, halved, noise, write_pyramid
from slidescore.errors import SlideOpenError
from slidescore.slide import open_slide
from slidescore.slide.preflight import check_structure
from slidescore.slide.reader import REMARKS
from slidescore.slide.tiff_preflight import MAX_REMARKS, past_end, same_proportions


def pyramid(path: Path) -> Path:
    pixels = noise(256, 256)
    return write_pyramid(path, [pixels, halved(pixels)])


def overwrite(path: Path, tag: str, value: Any, page: int = 0) -> None:
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[page].aspage().tags[tag].overwrite(value)


def set_tag(path: Path, tag: int, value: int, page: int = 0) -> None:
    """Write one number into an entry of a classic little-endian TIFF, as a LONG, whatever it was."""
    content = bytearray(path.read_bytes())
    [at] = struct.unpack_from("<I", content, 4)
    for _ in range(page):
        [n] = struct.unpack_from("<H", content, at)
        [at] = struct.unpack_from("<I", content, at + 2 + 12 * n)
    [n] = struct.unpack_from("<H", content, at)
    places = {struct.unpack_from("<H", content, at + 2 + 12 * i)[0]: at + 2 + 12 * i for i in range(n)}
    struct.pack_into("<HHII", content, places[tag], tag, 4, 1, value)
    path.write_bytes(content)


def reason(path: Path) -> str:
    with pytest.raises(SlideOpenError) as caught:
        open_slide(path)
    assert caught.value.where == str(path)
    assert "\n" not in str(caught.value)
    return caught.value.message


def test_whole_pyramids_pass(tmp_path: Path) -> None:
    path = pyramid(tmp_path / "a.tiff")
    assert check_structure(path) == ()
    drop_tiles(path, [0, 3, 15])
    assert check_structure(path) == ()


@pytest.mark.parametrize("options", [{"bigtiff": True}, {"byteorder": ">"}, {"bigtiff": True, "byteorder": ">"}])
@pytest.mark.parametrize("tile", [None, (64, 64)])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_every_form_of_tiff_passes(tmp_path: Path, options: dict[str, Any], tile: Any, planar: str) -> None:
    pixels = noise(200, 150)
    stored = pixels if planar == "contig" else np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, stored, photometric="rgb", tile=tile, planarconfig=planar, compression="zlib", metadata=None, **options
    )
    assert check_structure(path) == ()


@pytest.mark.parametrize("write", [ph.write_svs, ph.write_pyramid])
def test_scanner_like_pyramids_pass_without_a_remark(tmp_path: Path, write: Any) -> None:
    path = write(tmp_path / "a.svs", noise(331, 257), 0.5, levels=(1, 2, 8), tile=64)
    assert check_structure(path) == ()
    with open_slide(path) as reader:
        assert REMARKS not in reader.properties


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.bmp"])
def test_plain_images_pass(tmp_path: Path, name: str) -> None:
    Image.fromarray(noise(40, 30)).save(tmp_path / name)
    assert check_structure(tmp_path / name) == ()


@pytest.mark.parametrize("page", [0, 1])
def test_tiles_past_the_end_of_the_file(tmp_path: Path, page: int) -> None:
    path = pyramid(tmp_path / "a.tiff")
    with tifffile.TiffFile(path) as tiff:
        offsets = list(tiff.pages[page].aspage().dataoffsets)
    offsets[1] = 0xFFFFFFF0
    overwrite(path, "TileOffsets", offsets, page)
    assert "ends before 1 of" in reason(path)


@pytest.mark.parametrize("side", [0, 8, 1 << 20, 0xFFFFFFFF])
def test_senseless_tile_sizes(tmp_path: Path, side: int) -> None:
    path = pyramid(tmp_path / "a.tiff")
    set_tag(path, 323, side)
    assert f"tiles of 64 x {side} pixels" in reason(path)


@pytest.mark.parametrize(
    ("tag", "value", "words"),
    [
        (256, 20_000, "tables list 16 of"),
        (256, 0, "0 x 256 pixels"),
        (259, 61_234, "compression 61234 is not known"),
        (262, 77, "photometric interpretation 77 is not known"),
        (277, 0, "0 samples a pixel"),
        (284, 3, "planar configuration 3"),
        (258, 200, "samples of 200 bits"),
        (324, 0xFFFFFF00, "tables list 1 of 16 tiles"),
    ],
)
def test_what_no_scanner_writes_is_refused(tmp_path: Path, tag: int, value: int, words: str) -> None:
    path = pyramid(tmp_path / "a.tiff")
    set_tag(path, tag, value)
    assert words in reason(path)


@pytest.mark.parametrize("name", ["TileOffsets", "TileByteCounts"])
def test_a_table_of_zeros_is_refused(tmp_path: Path, name: str) -> None:
    path = pyramid(tmp_path / "a.tiff")
    overwrite(path, name, [0] * 16)
    assert "none of its 16 tiles holds data" in reason(path)


def test_a_chain_of_directories_must_end_within_the_file(tmp_path: Path) -> None:
    for name, target, words in (
        ("loop.tif", lambda first, size: first, "is one of those before it"),
        ("far.tif", lambda first, size: size + 100, "lies past the end of the file"),
        ("cut.tif", lambda first, size: size - 3, "directory"),
    ):
        path = pyramid(tmp_path / name)
        content = bytearray(path.read_bytes())
        [first] = struct.unpack_from("<I", content, 4)
        [n] = struct.unpack_from("<H", content, first)
        struct.pack_into("<I", content, first + 2 + 12 * n, target(first, len(content)))
        path.write_bytes(content)
        assert words in reason(path)


@pytest.mark.parametrize("content", [b"II*\0" + b"\xff" * 50, b"MM\0*", b"II+\0\x08\0\0\0", b"II*\0" + bytes(60)])
def test_a_header_that_leads_nowhere_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tif").write_bytes(content)
    assert "TIFF:" in reason(tmp_path / "a.tif")


def test_a_finest_level_that_lost_its_tiles_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    with tifffile.TiffWriter(path) as writer:
        writer.write(noise(256, 256), photometric="rgb", metadata=None)
        writer.write(noise(128, 128), tile=(64, 64), photometric="rgb", metadata=None)
    assert "its largest page (256 x 256) has no tiles" in reason(path)


def test_a_picture_of_the_glass_may_be_larger_than_a_small_scan(tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    with tifffile.TiffWriter(path) as writer:
        writer.write(noise(256, 256), tile=(64, 64), photometric="rgb", resolution=(2e4, 2e4, "CENTIMETER"))
        writer.write(noise(640, 220), photometric="rgb", metadata=None)
    assert check_structure(path) == ()
    with open_slide(path) as reader:
        assert reader.dimensions == (256, 256)


def test_many_odd_pages_are_not_all_told(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    with tifffile.TiffWriter(path) as writer:
        writer.write(noise(256, 256), tile=(64, 64), photometric="rgb", metadata=None)
        for number in range(30):
            writer.write(noise(64, 130 + 16 * number), tile=(64, 64), photometric="rgb", metadata=None)
    remarks = check_structure(path)
    assert len(remarks) == MAX_REMARKS + 1
    assert remarks[-1] == "and 10 remarks more"


def test_directories_that_overlap_are_not_all_kept(tmp_path: Path) -> None:
    """A file of 100 kB can hold thousands of directories of thousands of entries each, one within the other."""
    n_entries, n_directories = 4_000, 1_000
    content = bytearray(b"II*\0" + struct.pack("<I", 8) + bytes(2 * n_directories + 12 * n_entries + 100))
    first, step = 8, 2
    for number in range(n_directories):
        struct.pack_into("<H", content, first + step * number, n_entries)
    end = first + 2 + 12 * n_entries
    for number in range(0, n_directories, 2):
        struct.pack_into("<I", content, end + step * number, first + step * (number + 2))
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SlideOpenError, match="more than 500,000 entries in all"):
        check_structure(path)
    assert time.process_time() - began < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 * 1024


def test_pages_that_share_a_long_table_are_counted_together(tmp_path: Path) -> None:
    side, tile, n_pages = 400_000, 256, 40
    n_tiles = (-(-side // tile)) ** 2
    tags = [(256, 4, side), (257, 4, side), (258, 3, 8), (259, 3, 7), (262, 3, 2), (277, 3, 1), (322, 3, tile)]
    tags.append((323, 3, tile))
    size = 2 + 12 * (len(tags) + 2) + 4
    table = 8 + size * n_pages
    content = b"II*\0" + struct.pack("<I", 8)
    for page in range(n_pages):
        content += struct.pack("<H", len(tags) + 2)
        content += b"".join(struct.pack("<HHII", number, kind, 1, value) for number, kind, value in tags)
        content += struct.pack("<HHII", 324, 4, n_tiles, table) + struct.pack("<HHII", 325, 4, n_tiles, table)
        content += struct.pack("<I", 0 if page == n_pages - 1 else 8 + size * (page + 1))
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    with path.open("r+b") as file:
        file.truncate(table + 4 * n_tiles)
    began = time.process_time()
    assert "tiles in 40 pages" in reason(path)
    assert time.process_time() - began < 1


def test_a_damaged_label_does_no_harm_and_is_remarked(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    with tifffile.TiffWriter(path) as writer:
        writer.write(noise(64, 64), tile=(64, 64), photometric="rgb")
        writer.write(noise(32, 32), photometric="rgb", metadata=None)
    overwrite(path, "StripOffsets", 0xFFFFFFF0, page=1)
    with open_slide(path) as reader:
        assert reader.read_region((0, 0), 0, (64, 64))[..., 3].all()
        assert reader.properties[REMARKS] == "page 2: the file ends before 1 of 1 strips"


@pytest.mark.parametrize(
    ("tag", "value", "page", "words"),
    [
        (257, 60, 1, "not of the same proportions"),
        (262, 6, 1, "pages 1 and 2 are coded differently"),
        (257, 200, 0, "lists 16 tiles and needs"),
    ],
)
def test_levels_that_contradict_one_another_are_remarked(
    tmp_path: Path, tag: int, value: int, page: int, words: str
) -> None:
    path = pyramid(tmp_path / "a.tiff")
    set_tag(path, tag, value, page)
    if (tag, page) == (257, 0):
        set_tag(path, tag, 192, page)
    assert words in " ".join(check_structure(path))


def test_a_size_that_is_not_the_one_described_is_remarked(tmp_path: Path) -> None:
    path = ph.write_svs(tmp_path / "a.svs", noise(300, 200), 0.5, levels=(1, 2), tile=64)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"[0,0 300x200]", b"[0,0 308x200]"))
    assert check_structure(path) == ("it says 308 x 200 pixels in one place and 300 x 200 in another",)


@pytest.mark.parametrize(
    ("fine", "coarse", "same"),
    [
        ((1000, 800), (250, 200), True),
        ((1003, 801), (250, 200), True),
        ((1003, 801), (251, 201), True),
        ((1000, 800), (63, 50), True),
        ((1000, 800), (200, 250), False),
        ((1512, 800), (250, 200), False),
        ((1000, 800), (1, 1), True),
    ],
)
def test_proportions(fine: tuple[int, int], coarse: tuple[int, int], same: bool) -> None:
    assert same_proportions(fine, coarse) is same


def test_pieces_past_the_end() -> None:
    offsets = np.array([0, 8, 90, 100, 2**63, 95], np.uint64)
    counts = np.array([0, 10, 10, 1, 2**63, 6], np.uint64)
    assert past_end(offsets, counts, 100).tolist() == [False, False, False, True, True, True]


def begin_bigtiff(side: int, tile: int) -> tuple[int, int, bytes]:
    """Number of tiles of a square image, where their tables begin, and all that comes before the tags of the tables."""
    tags = [(256, 4, side), (257, 4, side), (258, 3, 8), (259, 3, 7), (262, 3, 2), (277, 3, 1), (322, 3, tile)]
    tags.append((323, 3, tile))
    content = struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, len(tags) + 2)
    for number, kind, value in tags:
        content += struct.pack("<HHQQ", number, kind, 1, value)
    return (-(-side // tile)) ** 2, 16 + 8 + 20 * (len(tags) + 2) + 8, content


def huge_tiff(path: Path, tile: int, *, tables: bool) -> Path:
    """A BigTIFF that claims a million pixels a side, its tables as long as that takes and full of zeros, or absent."""
    n_tiles, start, content = begin_bigtiff(1_000_000, tile)
    n_listed = n_tiles if tables else 1
    content += struct.pack("<HHQQ", 324, 16, n_listed, start)
    content += struct.pack("<HHQQ", 325, 4, n_listed, start + 8 * n_listed)
    with path.open("wb") as file:
        file.write(content + bytes(8))
        file.truncate(start + 12 * n_listed)
    return path


MEASURED = """
import sys, time
from pathlib import Path
from slidescore.errors import SlideOpenError
from slidescore.slide import open_slide
def peak_kb():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
began, before = time.process_time(), peak_kb()
try:
    open_slide(sys.argv[1])
except SlideOpenError as error:
    print(time.process_time() - began, peak_kb() // 1024, (peak_kb() - before) // 1024, error.message)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.parametrize(("tile", "tables"), [(256, True), (256, False), (8192, True), (16, True)])
def test_a_claim_of_a_million_pixels_a_side_costs_nothing(tmp_path: Path, tile: int, tables: bool) -> None:
    """At 16 px the tables alone are 47 GB long: a file that takes no room on disk."""
    path = huge_tiff(tmp_path / "huge.tiff", tile, tables=tables)
    done = subprocess.run([sys.executable, "-c", MEASURED, str(path)], capture_output=True, text=True, check=True)
    seconds, peak_mb, more_mb, message = done.stdout.strip().split(maxsplit=3)
    assert message == "TIFF: claims 1000000 x 1000000 pixels, which no slide has"
    assert float(seconds) < 2
    assert int(peak_mb) < 500
    assert int(more_mb) < 20


def test_tables_as_long_as_the_largest_slide_needs_are_read_in_a_second(tmp_path: Path) -> None:
    """500,000 x 500,000 px, every tile the same one."""
    path = tmp_path / "large.tiff"
    n_tiles, start, content = begin_bigtiff(500_000, 256)
    content += struct.pack("<HHQQ", 324, 4, n_tiles, start) + struct.pack("<HHQQ", 325, 3, n_tiles, start + 4 * n_tiles)
    tables = np.full(n_tiles, 16, "<u4").tobytes() + np.full(n_tiles, 100, "<u2").tobytes()
    path.write_bytes(content + bytes(8) + tables)
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert check_structure(path) == ()
    assert time.process_time() - began < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 * 1024


def test_hamamatsus_dialect_is_judged_by_its_claims_alone(tmp_path: Path) -> None:
    """Its pointers to directories are 8 bytes long, and its tables mean something else."""
    for side, refused in ((50_000, False), (1_000_000, True)):
        entries = [(256, 4, 1, side), (257, 4, 1, side), (273, 4, 1, 0xFFFFFF00), (65_420, 3, 1, 1)]
        content = b"II*\0" + struct.pack("<QH", 12, len(entries))
        content += b"".join(struct.pack("<HHII", *entry) for entry in entries) + struct.pack("<Q", 0)
        path = tmp_path / f"{side}.ndpi"
        path.write_bytes(content)
        if refused:
            with pytest.raises(SlideOpenError, match="claims 1000000 x 1000000"):
                check_structure(path)
        else:
            assert check_structure(path) == ()


def test_other_files_pass(tmp_path: Path) -> None:
    for name, content in (("a.svs", b"text"), ("b.mrxs", bytes(200)), ("c.czi", b"ZISRAWFILE")):
        (tmp_path / name).write_bytes(content)
        assert check_structure(tmp_path / name) == ()


def test_a_slide_is_looked_through_once_until_it_changes(tmp_path: Path) -> None:
    path = pyramid(tmp_path / "a.tiff")
    assert check_structure(path) == ()
    set_tag(path, 323, 8)
    with pytest.raises(SlideOpenError):
        check_structure(path)
