"""Weights come back as they were saved, and nothing else is ever opened."""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml

from nn.drawn_network import drawn_network, make_card, random_network, save_drawn
from slidescore.errors import ModelError, SlidescoreError, UnknownNameError
from slidescore.nn import card as card_module
from slidescore.nn import network as network_module
from slidescore.nn.card import CARD_FILE, WEIGHTS_FILE, Card, find_model, list_models, read_card
from slidescore.nn.network import NetworkConfig
from slidescore.nn.weights import load_model, save_model

Tensors = dict[str, torch.Tensor]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_drawn(tmp_path / "drawn")


def complaint(folder: Path | str, *, remedy: bool = True) -> str:
    """The one line that refuses a model, and says what to do."""
    with pytest.raises(SlidescoreError) as caught:
        load_model(folder)
    said = str(caught.value)
    assert "\n" not in said
    assert caught.value.remedy or not remedy
    return said


def rewrite(folder: Path, change: Callable[[Tensors], None]) -> None:
    """Change the tensors of a model, and its card with them."""
    tensors = safetensors.torch.load_file(folder / WEIGHTS_FILE)
    change(tensors)
    replace_weights(folder, safetensors.torch.save(tensors))


def replace_weights(folder: Path, content: bytes) -> None:
    (folder / WEIGHTS_FILE).write_bytes(content)
    edit_card(folder, lambda card: card.update(sha256=hashlib.sha256(content).hexdigest()))


def edit_card(folder: Path, change: Callable[[dict], None]) -> None:
    card = yaml.safe_load((folder / CARD_FILE).read_text())
    change(card)
    (folder / CARD_FILE).write_text(yaml.safe_dump(card))


def test_a_model_comes_back_as_it_was_saved(tmp_path):
    network = random_network()
    written = save_model(tmp_path / "m", network, make_card(name="m", version="7"))
    model = load_model(tmp_path / "m")
    assert (model.name, model.card, model.digest) == ("m", written, written.digest)
    assert model.card.sha256 == hashlib.sha256((tmp_path / "m" / WEIGHTS_FILE).read_bytes()).hexdigest()
    assert model.network.config == network.config
    saved, loaded = network.state_dict(), model.network.state_dict()
    assert list(saved) == list(loaded)
    assert all(torch.equal(saved[name], loaded[name]) for name in saved)
    assert not model.network.training
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == [CARD_FILE, WEIGHTS_FILE]


def test_saving_again_replaces_a_model(folder):
    before = load_model(folder).digest
    save_drawn(folder, drawn_network(dark_from=0.4))
    assert load_model(folder).digest != before


def test_saving_the_same_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save_drawn(tmp_path / name)
    assert [(tmp_path / "a" / n).read_bytes() for n in (CARD_FILE, WEIGHTS_FILE)] == [
        (tmp_path / "b" / n).read_bytes() for n in (CARD_FILE, WEIGHTS_FILE)
    ]


def test_the_digest_follows_what_decides_cells_and_nothing_else(folder):
    before = read_card(folder).digest
    edit_card(folder, lambda card: card["accuracy"].update(f1=0.5))
    assert read_card(folder).digest == before
    edit_card(folder, lambda card: card["decode"].update(min_center=0.6))
    decoded = read_card(folder).digest
    edit_card(folder, lambda card: card["calibration"].update(tumor_shift=0.5))
    assert len({before, decoded, read_card(folder).digest}) == 3


def test_a_shipped_model_is_found_by_name_and_an_unknown_one_lists_them(folder, monkeypatch):
    monkeypatch.setattr(card_module, "models_dir", lambda: folder.parent)
    assert list_models() == ["drawn"]
    assert find_model("drawn") == folder
    assert load_model("drawn").name == "drawn"
    with pytest.raises(UnknownNameError, match="did you mean 'drawn'"):
        load_model("drwan")
    with pytest.raises(UnknownNameError, match="known: drawn"):
        load_model("resnet50")


def test_without_shipped_models_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(card_module, "models_dir", lambda: tmp_path)
    assert "none is shipped" in complaint("cells-v1")


@pytest.mark.parametrize("name", ["x" * 5000, f"{'y/' * 3000}z"])
def test_a_name_longer_than_any_path_is_one_short_line(name):
    said = complaint(name)
    assert f"model '{name[:80]}...': cannot be read: File name too long" in said
    assert len(said) < 250


def test_the_stride_of_a_card_is_that_of_the_network():
    """Four convolutions of stride 2, one after the other."""
    network = drawn_network()
    strides = [part.stride[0] for part in network.modules() if isinstance(part, torch.nn.Conv2d)]
    assert np.prod(strides) == network_module.STRIDE == card_module.STRIDE


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".pkl"])
def test_a_pickle_is_refused_unopened(tmp_path, suffix):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    path = tmp_path / f"model{suffix}"
    path.write_bytes(pickle.dumps(Trap()))
    assert "is a pickle" in complaint(path)
    assert "is a pickle" in complaint(tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_a_pickle_in_place_of_the_weights_is_refused(folder):
    (folder / WEIGHTS_FILE).rename(folder / "weights.pt")
    assert "is a pickle" in complaint(folder)


def test_a_pickle_by_the_name_of_weights_is_refused(folder):
    replace_weights(folder, pickle.dumps({"weight": 1}))
    assert "is not in the safetensors format" in complaint(folder)


def test_missing_weights_are_named(folder):
    (folder / WEIGHTS_FILE).unlink()
    assert complaint(folder).startswith(f"drawn/{WEIGHTS_FILE}: is missing")


def test_one_flipped_bit_is_seen(folder):
    content = bytearray((folder / WEIGHTS_FILE).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS_FILE).write_bytes(bytes(content))
    assert "SHA-256 is" in complaint(folder)


def test_weights_that_are_too_large_are_neither_read_nor_written(folder, monkeypatch):
    with (folder / WEIGHTS_FILE).open("ab") as stream:
        stream.truncate(9 * 2**20)
    assert "is too large: 9.0 MiB, at most 8" in complaint(folder)
    monkeypatch.setattr("slidescore.nn.weights.MAX_WEIGHTS_BYTES", 1000)
    with pytest.raises(ModelError, match="too large"):
        save_drawn(folder.parent / "wide")
    assert not (folder.parent / "wide").exists()


def test_a_tensor_too_many_is_named_with_the_nearest_known_one(folder):
    rewrite(folder, lambda tensors: tensors.update({"shape_head.wieght": torch.zeros(1)}))
    said = complaint(folder)
    assert "unknown tensor 'shape_head.wieght'; did you mean 'shape_head.weight'?" in said


def test_a_missing_tensor_is_named(folder):
    rewrite(folder, lambda tensors: tensors.pop("shape_head.bias"))
    assert "missing tensor 'shape_head.bias'" in complaint(folder)


def test_a_tensor_of_another_shape_is_named(folder):
    rewrite(folder, lambda tensors: tensors.update({"shape_head.bias": torch.zeros(11)}))
    assert "tensor 'shape_head.bias' is 11, not 12" in complaint(folder)


def test_a_tensor_that_holds_no_number_is_named(folder):
    rewrite(folder, lambda tensors: tensors["shape_head.bias"].fill_(float("nan")))
    assert "tensor 'shape_head.bias' holds a value that is no number" in complaint(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda card: card.update(licence="MIT"), "unknown key 'licence'"),
        (lambda card: card["input"].update(mmp=0.5), "unknown key 'input.mmp' (did you mean 'mpp'?)"),
        (
            lambda card: card["input"].update(normalisation="RGB"),
            "key 'input.normalisation': Input should be 'RGB / 255'",
        ),
        (lambda card: card["input"].update(stride=32), "key 'input.stride': Input should be 16"),
        (lambda card: card["input"].update(halo_um=0), "key 'input.halo_um'"),
        (lambda card: card.pop("limits"), "missing key 'limits'"),
        (lambda card: card["calibration"].update(type_temperature=0.0), "key 'calibration.type_temperature'"),
        (lambda card: card.update(sha256="abc"), "key 'sha256'"),
        (lambda card: card.update(types=["tumor"]), "types must be tumor, lymphocyte, stromal, other"),
        (lambda card: card["architecture"].update(chanels=[1]), "unknown key 'chanels' (did you mean 'channels'?)"),
        (lambda card: card["architecture"].pop("channels"), "missing key 'channels'"),
        (lambda card: card["architecture"].update(channels=[4, 4]), "architecture cannot be built"),
        (lambda card: card["architecture"].update(channels=[4, 4, 4, 8]), "not 8x"),
    ],
)
def test_a_mistake_in_the_card_is_one_line_that_names_it(folder, change, said):
    edit_card(folder, change)
    assert said in complaint(folder, remedy=False)


def test_a_card_that_is_no_yaml_is_named_with_its_line(folder):
    (folder / CARD_FILE).write_text("name: [1\n")
    assert complaint(folder, remedy=False).startswith(f"drawn/{CARD_FILE} line")
    (folder / CARD_FILE).write_bytes(b"\xff\xfe")
    assert "cannot be read" in complaint(folder, remedy=False)


def test_the_architecture_on_the_card_is_that_of_the_network(folder):
    architecture = read_card(folder).architecture
    assert NetworkConfig(**{key: tuple(value) for key, value in architecture.items()}) == drawn_network().config
    assert np.isfinite(read_card(folder).input.mpp)


def test_every_key_of_a_card_is_on_the_page_of_models():
    text = (card_module.models_dir() / "README.md").read_text()
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    assert [name for row in rows for name in re.findall(r"`(\w+)`", row)] == list(Card.model_fields)
