"""What may be repeated of a library's error message: the library's own words, never the file's.

Messages of OpenSlide, GLib, tifffile and Pillow quote what they stumbled over: a line of a key file, an attribute, a
tag, a path. Each of these can name a patient, and an error's reason goes into tables and pages. So a word is kept only
if it is in `LIBRARY_WORDS`, which are the words that these libraries' messages are made of; quoted text, long numbers
and every other word become "…". The reader's name and the remedy stand beside what is left.
"""

from __future__ import annotations

import logging
import re
import warnings
from typing import Final

# tifffile logs what it finds odd in a tag, with the tag's content, before it raises anything.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)
# So does Pillow; and it warns of odd metadata, which Python prints with the folder it is installed in.
logging.getLogger("PIL").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", module=r"PIL\.|tifffile\.|imagecodecs\.")

LEFT_OUT: Final = "…"
"""Stands for whatever was left out."""
NOTHING_LEFT: Final = "it gives a reason that quotes the file, which is not repeated"
"""Stands for a message of which hardly a word is left."""

_WORDS: Final = """
    a about above across after all allocate allocated allowed alpha already although an and another any area array
    as assertion associated at attribute available back bad band bands be been before beginning below beyond bigtiff
    bit bits block blocks bmp bogus bounds box broken buffer but by byte bytes can cannot cell channel channels
    checksum child chunk chunks closed code codec color colors colour column columns comment component components
    compressed compression connection consistent contain contains content corrupt corrupted corruption could count
    counts czi damaged data decode decoder decoding decompress decompressed decompression decompressor depth device
    dicom did different dimension dimensional dimensions directory discovered disk distance div do does down
    downsample downsamples dqt dri during each early element elements embedded empty encoded encoding encountered
    end entries entry eof error escape exceed exceeded exceeds exist exists expected exponent extension extra
    extraneous failed field fields file fileno files filter find first fit flag float focal for format formats found
    frame frames from get gib given glib glib-error grayscale group handle has have header height hier hierarchy hit
    huffman icc identify ifd image images in incomplete inconsistent incorrect index info initial initialize input
    instance instances instead integer interlace interpretation interpreted interrupted into invalid io is it item
    its joint jp2k jpeg jpeg2000 jpegs jpegtables key key-value kib large larger layout least length level levels
    lib libjpeg library libtiff limit line list load locate lzw macro magic magnification magnitude main map marker
    markers match maximum mcu media members memory metadata method mib minimum mismatch missing mode more mpp
    multiple must name narrow ndpi need needs negative next ngr no node none nonhier not null number numbers numeric
    object odd of offset offsets on one only open opener operation optimisation or order other out output overflow
    overlap overlapping overview packbits page pages pair palette parse parser part path pending permission
    photometric pillow pixel pixels plane planes png point pointer pointers position positions power predictor
    premature prematurely processed profile properties property pyramid quantization random range raw read reader
    reading ready record recorded reduced region requested required resolution resource restart result returned root
    row rows running sample samples scan scene second section sections seek seeking segment sequence series set
    setting short should size sizes slide slides small sof sof0 soi sop sos space spacing special stale start starts
    stored stream strip strips subblock subifd subsampling success such supported suspicious syntax table tables tag
    tags than that the their there third this thumbnail tib tiff tile tiled tiles timed to token too trailer
    trailing transfer trns truncated try type types uid unable unexpected unexpectedly unknown unlike unrecognised
    unrecognized unsupported unterminated up utf-8 valid value values version view vlwsi volume warning was were
    when where which while wide width window with within without word work wrong wsi xml xmp ycbcr zero zip zlib
    zoom zstd
"""

LIBRARY_WORDS: Final = frozenset(_WORDS.split())
"""Words of the libraries' own messages, in lower case; none of them says anything about a person."""

_CONTRACTIONS: Final = (
    ("can't", "cannot"),
    ("couldn't", "could not"),
    ("doesn't", "does not"),
    ("don't", "do not"),
    ("isn't", "is not"),
    ("wasn't", "was not"),
)
"""Spelled out, so that an apostrophe always is a quotation mark."""
_QUOTED: Final = re.compile(r"\"[^\"]*\"?|“[^”]*”?|‘[^’]*’?|`[^`']*[`']?|'[^']*'?|<[^>]*>?")
_WORD: Final = re.compile(rf"{LEFT_OUT}|[^\s:;,()\[\]{{}}=!?|<>]+")
_SMALL_NUMBER: Final = re.compile(r"\d{1,4}(?:x\d{1,4})?|0x[0-9a-f]{1,4}")
"""Counts, sizes and markers; a longer number can be a record number or a date."""
_LEAST_WORDS: Final = 2
_MOST_CHARACTERS: Final = 160


def library_words(error: BaseException | str) -> str:
    """Repeat of a library's message what cannot have come out of a file.

    Parameters
    ----------
    error
        What a library raised, or its text.

    Returns
    -------
    str
        One line of at most 160 characters; "…" where something was left out.
    """
    text = " ".join(str(error).split())
    for short, spelled in _CONTRACTIONS:
        text = re.sub(short, spelled, text, flags=re.IGNORECASE)
    kept: list[str] = []
    for found in _WORD.findall(_QUOTED.sub(f" {LEFT_OUT} ", text)):
        shown = _shown(found.strip(".-"), after=kept[-1] if kept else "")
        if shown != LEFT_OUT or kept[-1:] != [LEFT_OUT]:
            kept.append(shown)
    if sum(word.lower() in LIBRARY_WORDS for word in kept) < _LEAST_WORDS:
        return NOTHING_LEFT
    line = " ".join(kept)
    return line if len(line) <= _MOST_CHARACTERS else line[: _MOST_CHARACTERS - 1].rsplit(" ", 1)[0] + LEFT_OUT


def _shown(word: str, *, after: str) -> str:
    """Keep a word of a library, and a small number right after such a word: a row of numbers can be a date."""
    if word.lower() in LIBRARY_WORDS:
        return word
    return word if _SMALL_NUMBER.fullmatch(word.lower()) and after.lower() in LIBRARY_WORDS else LEFT_OUT
