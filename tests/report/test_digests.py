"""A seal and a list of digests notice any changed byte, in themselves too."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.errors import RunFolderError
from slidescore.report.digests import (
    DIGESTS_FILE,
    is_sealed,
    read_digests,
    refuse_changed,
    remove_digests,
    result_digest,
    seal,
    write_digests,
)
from slidescore.report.files import read_json, write_bytes, write_json

CONTENT = {"schema": 1, "file": 'a "seal": "0" é.svs', "scores": {"h_score": 12.5}, "digests": {"cells.parquet": "ab"}}
SEALED = seal(CONTENT)


def slide(run: Path, name: str = "a-1") -> Path:
    """Write the folder of a slide with one table and its sealed result."""
    folder = run / "slides" / name
    write_bytes(folder / "cells.parquet", b"cells of " + name.encode())
    digest = hashlib.sha256(b"cells of " + name.encode()).hexdigest()
    write_bytes(folder / "result.json", seal({"file": name, "digests": {"cells.parquet": digest}}))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_json(tmp_path / "run.json", {"tool": "slidescore"})
    (tmp_path / "scores.csv").write_text("a,b\n")
    slide(tmp_path)
    return tmp_path


def test_what_is_sealed_is_known_and_keeps_its_content(tmp_path: Path) -> None:
    assert is_sealed(SEALED)
    write_bytes(tmp_path / "r.json", SEALED)
    content = read_json(tmp_path / "r.json")
    assert len(content.pop("seal")) == 64
    assert content == CONTENT
    assert seal(CONTENT) == SEALED


@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_any_changed_byte_breaks_the_seal(at: int, difference: int) -> None:
    changed = bytearray(SEALED)
    changed[at] ^= difference
    assert not is_sealed(bytes(changed))


@given(st.integers(0, len(SEALED) - 1))
def test_a_missing_or_added_byte_breaks_the_seal(at: int) -> None:
    assert not is_sealed(SEALED[:at] + SEALED[at + 1 :])
    assert not is_sealed(SEALED[:at] + b" " + SEALED[at:])


@pytest.mark.parametrize("content", [b"", b"{}", SEALED + SEALED, b'{"seal": "00"}'])
def test_what_was_never_sealed_is_not(content: bytes) -> None:
    assert not is_sealed(content)


def test_the_list_holds_every_file_and_is_read_by_sha256sum(run: Path) -> None:
    assert read_digests(run) is None
    write_digests(run)
    listed = read_digests(run)
    assert listed is not None
    assert list(listed) == ["run.json", "scores.csv", "slides/a-1/cells.parquet", "slides/a-1/result.json"]
    for name, digest in listed.items():
        assert hashlib.sha256((run / name).read_bytes()).hexdigest() == digest
    done = subprocess.run(["sha256sum", "--check", "--strict", DIGESTS_FILE], cwd=run, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    remove_digests(run)
    assert read_digests(run) is None


def test_any_changed_byte_of_the_list_is_noticed(run: Path) -> None:
    write_digests(run)
    whole = (run / DIGESTS_FILE).read_bytes()
    for at in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[at] ^= 0x20
        (run / DIGESTS_FILE).write_bytes(changed)
        with pytest.raises(RunFolderError, match="not as it was written"):
            read_digests(run)


def test_damage_between_two_commands_is_not_taken_for_new(run: Path) -> None:
    """The second command lists what the slide's result vouches for, not what the disk holds by then."""
    good = (run / "slides/a-1/cells.parquet").read_bytes()
    (run / "slides/a-1/cells.parquet").write_bytes(b"damaged")
    broken = slide(run, "b-2") / "result.json"
    broken.write_bytes(broken.read_bytes().replace(b"b-2", b"b-3"))
    write_digests(run)
    listed = read_digests(run)
    assert listed is not None
    assert listed["slides/a-1/cells.parquet"] == hashlib.sha256(good).hexdigest()
    assert not [name for name in listed if name.startswith("slides/b-2/")]


def test_a_file_that_is_no_part_of_the_run_is_not_listed(run: Path) -> None:
    (run / "thesis.txt").write_text("mine")
    write_digests(run)
    assert "thesis.txt" not in (read_digests(run) or {})


def test_changed_measurements_are_refused(run: Path) -> None:
    folder = run / "slides/a-1"
    refuse_changed(folder, ["cells.parquet"])
    (folder / "cells.parquet").write_bytes(b"other")
    with pytest.raises(RunFolderError, match="was changed since it was written") as caught:
        refuse_changed(folder, ["cells.parquet"])
    assert caught.value.where.endswith("cells.parquet")
    slide(run)
    result = folder / "result.json"
    result.write_bytes(result.read_bytes().replace(b"a-1", b"a-2"))
    with pytest.raises(RunFolderError, match="was changed") as caught:
        refuse_changed(folder, ["cells.parquet"])
    assert caught.value.where.endswith("result.json")
    (folder / "cells.parquet").unlink()
    with pytest.raises(RunFolderError, match="cannot be read"):
        refuse_changed(folder, ["cells.parquet"])


TABLES = {"cells.parquet": "1" * 64, "tiles.parquet": "2" * 64}


def test_a_result_is_known_by_what_was_measured_and_judged() -> None:
    record = {"slide_id": "a-1", "scores": {"h_score": 12.5}, "qc": {"flags": []}, "digests": TABLES}
    digest = result_digest(record)
    beside = {"seal": "x", "key": {"roi": 1}, "versions": {}, "digests": TABLES | {"overlay.tiff": "3"}}
    assert result_digest(dict(reversed((record | beside).items()))) == digest
    changes = [{"scores": {}}, {"qc": {}}, {"slide_id": "a-2"}, {"digests": TABLES | {"cells.parquet": "3" * 64}}]
    assert len({digest, *(result_digest(record | change) for change in changes)}) == 5
    with pytest.raises(RunFolderError, match="holds no digests of its tables"):
        result_digest(record | {"digests": {"cells.parquet": "1" * 64}})
