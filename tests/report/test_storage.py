"""What a disk says arrives as one line that tells a full disk from everything else."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from slidescore.errors import DiskFullError, RunFolderError
from slidescore.report import storage
from slidescore.report.storage import cannot_write, sync_folder


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_says_how_much_is_free_and_what_to_do(tmp_path: Path, number: int) -> None:
    error = cannot_write(os_error(number), tmp_path / "not" / "there" / "cells.parquet")
    assert isinstance(error, DiskFullError)
    assert str(error).startswith(f"{tmp_path}/not/there/cells.parquet: cannot be written: {os.strerror(number)}, ")
    assert "bytes are free (make room, then run the same command again" in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EIO])
def test_anything_else_is_no_full_disk(tmp_path: Path, number: int) -> None:
    error = cannot_write(os_error(number), tmp_path / "a")
    assert type(error) is RunFolderError
    assert str(error) == f"{tmp_path}/a: cannot be written: {os.strerror(number)}"


def test_an_error_without_a_number_keeps_its_words(tmp_path: Path) -> None:
    assert cannot_write(OSError("odd"), tmp_path).message == "cannot be written: odd"


def test_a_folder_is_synced_and_one_that_is_gone_is_let_be(tmp_path: Path) -> None:
    sync_folder(tmp_path)
    sync_folder(tmp_path / "gone")


@pytest.mark.parametrize(("number", "heard"), [(errno.EINVAL, False), (errno.EIO, True), (errno.ENOSPC, True)])
def test_a_file_system_that_cannot_sync_folders_is_no_broken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, heard: bool
) -> None:
    def fail(descriptor: int) -> None:
        raise os_error(number)

    monkeypatch.setattr(storage.os, "fsync", fail)
    if heard:
        with pytest.raises(OSError, match=os.strerror(number)):
            sync_folder(tmp_path)
    else:
        sync_folder(tmp_path)
