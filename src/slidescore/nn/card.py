"""The card of a model: what it is, what it was trained on, how well it does, and which weights belong to it.

Read without torch, so that what needs only a model's identity (is this slide done? may this assay run?) stays quick.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import orjson
import yaml
from pydantic import Field, JsonValue, model_validator

from slidescore.assay.block import Block, Positive, Text
from slidescore.assay.load import DIGEST_LENGTH
from slidescore.assay.strict import parse_strict
from slidescore.cells.decode import DecodeSettings
from slidescore.cells.types import CELL_TYPES
from slidescore.errors import ModelError, UnknownNameError, nearest_names

CARD_FILE, WEIGHTS_FILE = "card.yaml", "weights.safetensors"
MAX_WEIGHTS_BYTES = 8 * 2**20
"""Larger weights are refused: what is shipped must stay small enough for a wheel and a laptop."""
PICKLES = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt")
"""Suffixes of files that can run code when they are opened."""
MPP_TOLERANCE = 0.1
"""An assay may read at most this fraction finer or coarser than a model was trained at."""
STRIDE: Final = 16
"""Height and width of what the network sees are multiples of this: it halves the resolution four times."""
MAX_NAME_SHOWN = 80
"""Characters of a model's name or path that a message repeats."""
NO_DIGEST = "0" * 64
"""Stands in a card for the digest of weights that are not saved yet."""

MODEL_NAME = r"^[a-z0-9][a-z0-9._-]*$"
"""What a model may be called, and so the folder that it is trained in."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class CardInput(Block):
    """What the network sees: um/px, how grey levels become numbers, and what height and width are multiples of.

    `halo_um` is how far around a pixel the network has to see for its answer there to hold.
    """

    mpp: Positive
    normalisation: Literal["RGB / 255"]
    stride: Literal[16]
    halo_um: Positive


class Calibration(Block):
    """From type logits to probabilities: softmax((logits + tumor_shift on tumor) / type_temperature).

    Chosen on held-back synthetic IHC. Temperature scaling is that of Guo et al. 2017, "On calibration of modern neural
    networks"; the shift makes up for another share of tumor cells, and another stain, than in training.
    """

    type_temperature: Positive
    tumor_shift: float


class DataSource(Block):
    """One data set that was trained on."""

    name: Text
    licence: Text
    use: Text


class Training(Block):
    """How the weights came to be; `recipe` holds every setting of the training run."""

    data: tuple[DataSource, ...]
    seed: int
    steps: Annotated[int, Field(ge=0)]
    recipe: dict[str, JsonValue]


class Card(Block):
    """The content of card.yaml.

    `architecture` and `decode` hold the fields of `slidescore.nn.network.NetworkConfig` and of
    `slidescore.cells.decode.DecodeSettings`; they are checked when the model is loaded. `accuracy` is a free table.
    """

    schema_version: Literal[1]
    name: Annotated[str, Field(pattern=MODEL_NAME)]
    version: Text
    sha256: Sha256
    architecture: dict[str, JsonValue]
    input: CardInput
    types: tuple[Text, ...]
    decode: dict[str, float]
    calibration: Calibration
    training: Training
    accuracy: dict[str, JsonValue]
    limits: tuple[Text, ...]

    @model_validator(mode="after")
    def _types_are_ours(self) -> Card:
        if self.types != CELL_TYPES:
            raise ValueError(f"types must be {', '.join(CELL_TYPES)}, in this order")
        return self

    @property
    def digest(self) -> str:
        """Identity of everything that decides which cells come out: the model's name and 16 hex digits of SHA-256."""
        parts = {"sha256", "architecture", "input", "types", "decode", "calibration"}
        values = orjson.dumps(self.model_dump(mode="json", include=parts), option=orjson.OPT_SORT_KEYS)
        return f"{self.name}-{hashlib.sha256(values).hexdigest()[:DIGEST_LENGTH]}"


def models_dir() -> Path:
    """Return the folder of shipped models: inside the installed package, or at the top of a source checkout."""
    package = Path(__file__).resolve().parent.parent
    shipped = package / "models"
    return shipped if shipped.is_dir() else package.parents[1] / "models"


def list_models() -> list[str]:
    """Return the names of the shipped models, sorted."""
    return sorted(path.parent.name for path in models_dir().glob(f"*/{CARD_FILE}"))


def find_model(name_or_path: str | Path) -> Path:
    """Return the folder of a shipped model by its name, or of any model by its folder.

    Raises
    ------
    UnknownNameError
        If there is neither; the known names are listed.
    ModelError
        If a pickle is given, or the path cannot be looked at.
    """
    known, path = list_models(), Path(name_or_path)
    if isinstance(name_or_path, str) and name_or_path in known:
        return models_dir() / name_or_path
    name = str(name_or_path)
    shown = name if len(name) <= MAX_NAME_SHOWN else f"{name[:MAX_NAME_SHOWN]}..."
    if path.suffix.lower() in PICKLES:
        raise _is_pickle(shown)
    try:
        if (path / CARD_FILE).is_file():
            return path
        holds_pickle = path.is_dir() and any(each.suffix.lower() in PICKLES for each in path.iterdir())
    except OSError as error:
        raise ModelError(
            f"cannot be read: {error.strerror}", where=f"model '{shown}'", remedy="give the name or folder of a model"
        ) from error
    if holds_pickle:
        raise _is_pickle(shown)
    raise UnknownNameError(
        f"no model of that name and no folder with a {CARD_FILE}; "
        f"{nearest_names(shown, known) if known else 'none is shipped'}",
        where=f"model '{shown}'",
        remedy="see models/ and docs/assay.md, or take cells.segmenter: classical",
    )


def read_card(folder: Path) -> Card:
    """Read and check card.yaml in a model's folder.

    Raises
    ------
    ModelError
        Naming the first offending key.
    """
    where = f"{folder.name}/{CARD_FILE}"
    try:
        text = (folder / CARD_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError("cannot be read", where=where, remedy="install the model again") from error
    return parse_strict(text, Card, ModelError, where=where, noun="a card", remedy="see models/README.md")


def decode_settings(card: Card) -> DecodeSettings:
    """Return the decode settings of a card.

    Raises
    ------
    ModelError
        Naming the first key that is unknown, missing or out of range.
    """
    settings: DecodeSettings = settings_from(DecodeSettings, card.decode, where=f"model '{card.name}' decode")
    return settings


def card_text(card: Card) -> str:
    """Return the YAML of a card, its keys in the order of the model."""
    return str(yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110))


def read_weights(folder: Path, card: Card) -> bytes:
    """Read the weights of a model, once, and check that they are those of its card.

    Raises
    ------
    ModelError
        If they are missing, too large, or have another SHA-256; a pickle is never opened.
    """
    path = folder / WEIGHTS_FILE
    where = f"{folder.name}/{WEIGHTS_FILE}"
    if not path.is_file():
        if any(each.suffix.lower() in PICKLES for each in folder.iterdir()):
            raise _is_pickle(folder.name)
        raise ModelError("is missing", where=where, remedy="install the model again")
    size = path.stat().st_size
    if size > MAX_WEIGHTS_BYTES:
        raise _too_large(where, size)
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != card.sha256:
        raise ModelError(
            f"SHA-256 is {found[:DIGEST_LENGTH]}..., the card says {card.sha256[:DIGEST_LENGTH]}...",
            where=where,
            remedy="install the model again; weights and card belong together",
        )
    return content


def settings_from(kind: type[Any], values: dict[str, Any], *, where: str) -> Any:
    """Make a dataclass of a card's table; every field must be there and no other.

    Raises
    ------
    ModelError
        Naming the first key that is unknown or missing, or that the dataclass refuses.
    """
    known = set(kind.__dataclass_fields__)
    for key in values:
        if key not in known:
            raise ModelError(f"unknown key '{key}'", where=where, remedy=nearest_names(key, known))
    for key in kind.__dataclass_fields__:
        if key not in values:
            raise ModelError(f"missing key '{key}'", where=where, remedy="the card is of another version; update both")
    try:
        return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
    except (TypeError, ValueError) as error:
        raise ModelError(f"cannot be used: {error}", where=where, remedy="update slidescore or the model") from error


def _is_pickle(where: str) -> ModelError:
    return ModelError(
        "is a pickle or holds one, which can run code when it is opened; it was not opened",
        where=where,
        remedy=f"give a folder with {WEIGHTS_FILE} and {CARD_FILE}",
    )


def _too_large(where: str, size: int) -> ModelError:
    return ModelError(
        f"is too large: {size / 2**20:.1f} MiB, at most {MAX_WEIGHTS_BYTES // 2**20}",
        where=where,
        remedy="train a narrower network",
    )
