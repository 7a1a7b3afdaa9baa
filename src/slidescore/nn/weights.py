"""Weights on disk: safetensors beside a card, checked in every way before they are used."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError

from slidescore.errors import ModelError, nearest_names
from slidescore.nn.card import (
    CARD_FILE,
    MAX_WEIGHTS_BYTES,
    WEIGHTS_FILE,
    Card,
    card_text,
    find_model,
    read_card,
    read_weights,
    settings_from,
)
from slidescore.nn.network import CellNetwork, NetworkConfig


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded model.

    Attributes
    ----------
    name
        As on its card.
    card
        The card.
    digest
        Identity of weights, decoding and calibration; another digest may give other cells.
    network
        In float32 on the CPU, in evaluation mode, its batch norms not folded.
    """

    name: str
    card: Card
    digest: str
    network: CellNetwork


def load_model(name_or_path: str | Path) -> Model:
    """Load a shipped model by name, or any model by its folder.

    Raises
    ------
    UnknownNameError
        If there is no such model.
    ModelError
        If its card or its weights cannot be used; the line says what is wrong and what to do.
    """
    folder = find_model(name_or_path)
    card = read_card(folder)
    content = read_weights(folder, card)
    config: NetworkConfig = settings_from(
        NetworkConfig, card.architecture, where=f"{folder.name}/{CARD_FILE} architecture"
    )
    try:
        tensors = safetensors.torch.load(content)
    except SafetensorError as error:
        raise ModelError(
            "is not in the safetensors format", where=f"{folder.name}/{WEIGHTS_FILE}", remedy="install the model again"
        ) from error
    return Model(card.name, card, card.digest, _filled(config, tensors, where=f"{folder.name}/{WEIGHTS_FILE}"))


def save_model(folder: Path, network: CellNetwork, card: Card) -> Card:
    """Write a model's weights and card; each appears whole or not at all, the card last.

    Parameters
    ----------
    folder
        Made if need be; a model that lies there is replaced.
    network
        What to write, on any device.
    card
        Its `sha256` and `architecture` are filled in here and need not be right.

    Returns
    -------
    Card
        As written.

    Raises
    ------
    ModelError
        If the weights are too large to be loaded again.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    content = safetensors.torch.save(tensors)
    if len(content) > MAX_WEIGHTS_BYTES:
        raise ModelError(
            f"weights of {len(content) / 2**20:.1f} MiB are too large, at most {MAX_WEIGHTS_BYTES // 2**20}",
            where=folder.name,
            remedy="train a narrower network",
        )
    digest = hashlib.sha256(content).hexdigest()
    written = card.model_copy(update={"sha256": digest, "architecture": _plain(network.config)})
    folder.mkdir(parents=True, exist_ok=True)
    _write_whole(folder / WEIGHTS_FILE, content)
    _write_whole(folder / CARD_FILE, card_text(written).encode("utf-8"))
    return written


def _filled(config: NetworkConfig, tensors: dict[str, torch.Tensor], *, where: str) -> CellNetwork:
    """Build the network and fill it with tensors that must be exactly its own."""
    try:
        # On the meta device nothing is allocated: a card may ask for any size.
        with torch.device("meta"):
            wanted = {name: tensor.shape for name, tensor in CellNetwork(config).state_dict().items()}
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        problem = " ".join(str(error).split())
        raise ModelError(
            f"the card's architecture cannot be built: {problem}", where=where, remedy="update slidescore or the model"
        ) from error
    remedy = "weights and architecture belong together; install the model again"
    for name in sorted(tensors):
        if name not in wanted:
            raise ModelError(f"unknown tensor '{name}'; {nearest_names(name, wanted)}", where=where, remedy=remedy)
    for name, shape in wanted.items():
        if name not in tensors:
            raise ModelError(f"missing tensor '{name}'", where=where, remedy=remedy)
        if tensors[name].shape != shape:
            found = "x".join(map(str, tensors[name].shape))
            raise ModelError(
                f"tensor '{name}' is {found or 'a number'}, not {'x'.join(map(str, shape)) or 'a number'}",
                where=where,
                remedy=remedy,
            )
        if not bool(torch.isfinite(tensors[name]).all()):
            raise ModelError(f"tensor '{name}' holds a value that is no number", where=where, remedy=remedy)
    network = CellNetwork(config)
    network.load_state_dict(tensors)
    network.eval()
    return network


def _plain(config: NetworkConfig) -> dict[str, object]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}


def _write_whole(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
