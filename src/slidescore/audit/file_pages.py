"""Every byte of a log's SQLite file held against what its rows come to.

SQLite reads past much of a file: free space, spare header fields, a number written in more bytes than it needs. Here
the pages are followed after the file format (https://www.sqlite.org/fileformat2.html), each row is encoded again in the
one form that SQLite writes, and what is left of a leaf must be zero, for logs are written with secure_delete. What this
cannot see: bits of the number of the SQLite that wrote last, and stale space in inner pages where there are several,
which is one page in a thousand of a log with tens of thousands of events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from slidescore.audit.log_file import APPLICATION_ID, LOG_VERSION, OLDEST_SQLITE, PAGE_BYTES, SCHEMA

Row = Sequence[str | int | None]
Rows = Sequence[tuple[int, Row]]
"""Rows of a table with their rowid, in order."""

HEADER_BYTES: Final = 100
LEAF, INNER = 13, 5
"""First byte of a page of a table: with rows, or with pages."""
LEAF_HEADER, INNER_HEADER = 8, 12
POINTER: Final = 2
NUMBER: Final = 4
"""Bytes of a page's number."""
MAGIC: Final = b"SQLite format 3\0"
SCHEMA_FORMAT: Final = 4
YOUNGEST_SQLITE: Final = (3, 199, 99)
"""No SQLite will have a higher number for long."""
MILLION, THOUSAND = 1_000_000, 1_000
LOW_BITS, HIGH_BIT = 0x7F, 0x80
ZERO, TEXT = 8, 13
"""Types of a value in a record: 0 and 1 have their own, texts one for each length."""
INTEGER_WIDTHS: Final = {1: 1, 2: 2, 3: 3, 4: 4, 6: 5, 8: 6}
"""Type of an integer by its width in bytes."""


class _NotAsWrittenError(Exception):
    """What is found first; the pages after it would only echo it."""


@dataclass(slots=True)
class _Walk:
    """A walk over the pages of an image.

    Attributes
    ----------
    image
        The file.
    seen
        Numbers of the pages that were come to, 1 for the first.
    rows, done
        Rows of the table at hand, and how many of them were found.
    inner
        Of each inner page of that table, whether it holds something beside its branches.
    """

    image: bytes
    seen: set[int] = field(default_factory=set)
    rows: Rows = ()
    done: int = 0
    inner: list[bool] = field(default_factory=list)

    def look_at(self, root: int, rows: Rows) -> None:
        """Compare a table, whose first page is `root`, with its rows."""
        self.rows, self.done, self.inner = rows, 0, []
        self._follow(root)
        # When an inner page is cut in two, SQLite leaves what was there; while there is but one, none was.
        if self.inner == [True]:
            raise _NotAsWrittenError(f"page {root} holds something beside its branches")
        if self.done < len(rows):
            raise _NotAsWrittenError(f"page {root} leads to fewer rows than there are")

    def _page(self, number: int) -> bytes:
        content = self.image[(number - 1) * PAGE_BYTES : number * PAGE_BYTES]
        if number < 1 or len(content) != PAGE_BYTES or number in self.seen:
            raise _NotAsWrittenError(f"page {number} is not there, or belongs to two places")
        self.seen.add(number)
        return content

    def _follow(self, number: int) -> None:
        page, start = self._page(number), HEADER_BYTES if number == 1 else 0
        kind, n_cells = page[start], int.from_bytes(page[start + 3 : start + 5])
        if kind not in (LEAF, INNER):
            raise _NotAsWrittenError(f"page {number} is of no known kind")
        pointers = start + (LEAF_HEADER if kind == LEAF else INNER_HEADER)
        stop = pointers + POINTER * n_cells
        places = [int.from_bytes(page[at : at + POINTER]) for at in range(pointers, stop, POINTER)]
        rest = bytearray(page)
        rest[:stop] = bytes(stop)
        for place in places:
            cell = self._row(page, place) if kind == LEAF else self._branch(page, place)
            if page[place : place + len(cell)] != cell:
                raise _NotAsWrittenError(f"a row of page {number} is not as it was written")
            rest[place : place + len(cell)] = bytes(len(cell))
        if kind == INNER:
            self._follow(int.from_bytes(page[start + LEAF_HEADER : pointers]))
            self.inner.append(any(rest))
            return
        # Of a leaf nothing is ever deleted, so it has no free block and no fragment.
        header = bytes((LEAF, 0, 0)) + n_cells.to_bytes(2) + min(places, default=PAGE_BYTES).to_bytes(2) + bytes(1)
        if page[start:pointers] != header or any(rest):
            raise _NotAsWrittenError(f"page {number} holds something beside its rows")

    def _branch(self, page: bytes, place: int) -> bytes:
        """Follow a branch of an inner page and write what stands there: the page, and the last row it leads to."""
        child = page[place : place + NUMBER]
        self._follow(int.from_bytes(child))
        return child + varint(self.rows[self.done - 1][0])

    def _row(self, page: bytes, place: int) -> bytes:
        """Write the next row as it stands in a leaf; what does not fit there is looked at in its pages."""
        if self.done == len(self.rows):
            raise _NotAsWrittenError("there are more rows than events")
        rowid, values = self.rows[self.done]
        self.done += 1
        record = encode_record(values)
        head, n_local = varint(len(record)) + varint(rowid), local_bytes(len(record))
        if n_local == len(record):
            return head + record
        at = place + len(head) + n_local
        following = page[at : at + NUMBER]
        self._follow_record(int.from_bytes(following), record[n_local:])
        return head + record[:n_local] + following

    def _follow_record(self, number: int, record: bytes) -> None:
        room = PAGE_BYTES - NUMBER
        for part in range(0, len(record), room):
            page, content = self._page(number), record[part : part + room]
            number = int.from_bytes(page[:NUMBER])
            if page[NUMBER:] != content.ljust(room, b"\0"):
                raise _NotAsWrittenError("a page of a long row is not as it was written")
        if number:
            raise _NotAsWrittenError("a long row has a page too many")


def page_differences(image: bytes, n_writes: int, tables: Sequence[tuple[int, Rows]]) -> list[str]:
    """List what in a file's bytes does not follow from its rows; it stops at the first.

    Parameters
    ----------
    image
        The whole file.
    n_writes
        How many transactions wrote to it.
    tables
        Number of the first page and the rows, of the schema's table and of each other one.
    """
    try:
        if _without_writer(image) != _header(len(image), n_writes):
            raise _NotAsWrittenError("the header is not as it was written")
        walk = _Walk(image)
        for root, rows in tables:
            walk.look_at(root, rows)
        if len(walk.seen) * PAGE_BYTES != len(image):
            raise _NotAsWrittenError("some pages belong to nothing")
    except _NotAsWrittenError as error:
        return [str(error)]
    return []


def _header(n_bytes: int, n_writes: int) -> bytes:
    """Write the header of a log, but for the number of the SQLite that wrote it."""
    parts = (
        MAGIC,
        PAGE_BYTES.to_bytes(2),
        # Rollback journal for writing and reading, no reserved bytes, and three fixed fractions.
        bytes((1, 1, 0, 64, 32, 32)),
        # Writes, pages, two of the free list, which a log has not; changes of the schema, and its format.
        _numbers(n_writes, n_bytes // PAGE_BYTES, 0, 0, len(SCHEMA), SCHEMA_FORMAT),
        # Cache size, vacuum, UTF-8, user_version, incremental vacuum, application_id, and nothing.
        _numbers(0, 0, 1, LOG_VERSION, 0, APPLICATION_ID, 0, 0, 0, 0, 0),
        _numbers(n_writes),
    )
    return b"".join(parts)


def _numbers(*values: int) -> bytes:
    return b"".join(value.to_bytes(NUMBER) for value in values)


def _without_writer(image: bytes) -> bytes:
    """Return the header without its last field, once that field may be true."""
    number = int.from_bytes(image[HEADER_BYTES - NUMBER : HEADER_BYTES])
    if not OLDEST_SQLITE <= (number // MILLION, number // THOUSAND % THOUSAND, number % THOUSAND) <= YOUNGEST_SQLITE:
        raise _NotAsWrittenError("the header names no SQLite that could have written it")
    return image[: HEADER_BYTES - NUMBER]


def encode_record(values: Row) -> bytes:
    """Encode a row: types and lengths first, then the values; as SQLite does, in as few bytes as will do."""
    types, bodies = [], []
    for value in values:
        if value is None:
            kind, body = 0, b""
        elif isinstance(value, str):
            body = value.encode("utf-8")
            kind = TEXT + 2 * len(body)
        elif value in (0, 1):
            kind, body = ZERO + value, b""
        else:
            width = next(each for each in INTEGER_WIDTHS if value < 1 << (8 * each - 1))
            kind, body = INTEGER_WIDTHS[width], value.to_bytes(width)
        types.append(varint(kind))
        bodies.append(body)
    head = b"".join(types)
    # The length of the head counts itself; a log's rows have so few columns that it fits into one byte.
    return varint(1 + len(head)) + head + b"".join(bodies)


def varint(value: int) -> bytes:
    """Encode a number below 2^56, seven bits a byte, all but the last byte with the high bit set."""
    parts = [value & LOW_BITS]
    while value := value >> 7:
        parts.append(value & LOW_BITS | HIGH_BIT)
    return bytes(reversed(parts))


def local_bytes(n: int) -> int:
    """Return how many of a row's `n` bytes stand in the leaf itself; the file format names the constants."""
    most, least = PAGE_BYTES - 35, (PAGE_BYTES - 12) * 32 // 255 - 23
    if n <= most:
        return n
    kept = least + (n - least) % (PAGE_BYTES - NUMBER)
    return kept if kept <= most else least
