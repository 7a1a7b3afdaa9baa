"""The same phantom tissue as several laboratories stain and scan it: turned and stronger stains, other light, gamma.

Nothing here imports slidescore. Tissue is drawn once, by `phantom.draw_phantom`; a scanner takes its drawn maps of
optical density and photographs them anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from phantom import Phantom, PhantomSpec
from phantom_stain import photograph, stain_vectors

MAX_GREY = 255
REFERENCE_SPEC = PhantomSpec()


@dataclass(frozen=True)
class Scanner:
    """A batch of staining on a scanner.

    Attributes
    ----------
    hematoxylin_gain, dab_gain
        Optical density of each stain over that of the drawn tissue.
    hematoxylin_turn_deg, dab_turn_deg, turn_azimuth_deg
        Rotation of the stain vectors, as in `PhantomSpec`.
    white
        RGB of clear glass before `gamma`.
    gamma
        Exponent of the stored values: optical densities over glass are multiplied by it.
    noise_gray, blur_um
        As in `PhantomSpec`.
    """

    name: str
    hematoxylin_gain: float = 1.0
    dab_gain: float = 1.0
    hematoxylin_turn_deg: float = 0.0
    dab_turn_deg: float = 0.0
    turn_azimuth_deg: float = 0.0
    white: tuple[float, float, float] = (242.0, 240.0, 236.0)
    gamma: float = 1.0
    noise_gray: float = 1.5
    blur_um: float = 0.5

    @property
    def dab_scale(self) -> float:
        """DAB optical density that is scanned, over that of the drawn tissue."""
        return self.dab_gain * self.gamma

    @property
    def vectors(self) -> NDArray[np.float64]:
        """Unit vectors of hematoxylin and DAB, (2, 3)."""
        return stain_vectors(self._spec(REFERENCE_SPEC))

    def scan(self, phantom: Phantom, seed: int) -> NDArray[np.uint8]:
        """Photograph the tissue of a phantom; uint8, (H, W, 3). Its truth holds, but for the gains."""
        spec = self._spec(phantom.spec)
        truth, rng = phantom.truth, np.random.default_rng([seed, 4711])
        maps = truth.hematoxylin_od * np.float32(self.hematoxylin_gain), truth.dab_od * np.float32(self.dab_gain)
        rgb = photograph(rng, spec, *maps, self.vectors, 1)
        stored = MAX_GREY * (np.arange(MAX_GREY + 1) / MAX_GREY) ** self.gamma
        return np.rint(stored).astype(np.uint8)[rgb]

    def _spec(self, spec: PhantomSpec) -> PhantomSpec:
        return replace(
            spec,
            hematoxylin_turn_deg=self.hematoxylin_turn_deg,
            dab_turn_deg=self.dab_turn_deg,
            turn_azimuth_deg=self.turn_azimuth_deg,
            white=self.white,
            noise_gray=self.noise_gray,
            blur_um=self.blur_um,
            jpeg_quality=None,
        )


SCANNERS = (
    Scanner("A: as the defaults"),
    Scanner("B: strong DAB", dab_gain=1.3, dab_turn_deg=5.0, hematoxylin_turn_deg=-3.0, turn_azimuth_deg=40.0),
    Scanner(
        "C: pale DAB, blue light", dab_gain=0.7, hematoxylin_gain=1.2, dab_turn_deg=-5.0, hematoxylin_turn_deg=6.0,
        turn_azimuth_deg=110.0, white=(228.0, 236.0, 248.0),
    ),
    Scanner("D: gamma", gamma=0.75, dab_turn_deg=4.0, hematoxylin_turn_deg=5.0, turn_azimuth_deg=80.0),
    Scanner(
        "E: noise, pale hematoxylin", dab_gain=1.15, hematoxylin_gain=0.75, gamma=1.1, noise_gray=3.0,
        dab_turn_deg=6.0, hematoxylin_turn_deg=-4.0, turn_azimuth_deg=170.0, white=(235.0, 228.0, 222.0),
    ),
)  # fmt: skip
"""Five batches; turns of up to 6 degrees, DAB of 0.7 to 1.3 times the reference."""
