"""The classical segmenter: nuclei by contrast, without weights.

A nucleus is looked for twice. In hematoxylin minus a share of DAB it is the blue, less brown spot inside a stained
cell; in hematoxylin plus DAB it is the dark spot of a stained nucleus. In each of these channels, blobs give seeds
(Laplacian of Gaussian over scales; Lindeberg 1998), seeds flood their basins, and inside its basin a nucleus ends where
the channel falls most steeply, so that pale and dark nuclei are outlined alike. Where the two channels find the same
nucleus, the stronger finding stands.

Every step sees only a bounded neighbourhood, so that a nucleus is the same in every tile that holds it whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slidescore.assay.left_of_wall import Channel, Classical
from slidescore.cells.appearance import ChannelPlanes
from slidescore.cells.candidates import Candidates, cut_at_steepest, judge_candidates, keep_strongest
from slidescore.cells.flooding import flood
from slidescore.cells.segmenter import Segmentation
from slidescore.stain import StainPlanes

Plane = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ClassicalSegmenter:
    """Nuclei from stain contrast; deterministic, CPU only."""

    parameters: Classical
    name: str = "classical"
    digest: str = "classical-1"

    def segment(
        self, rgb: NDArray[np.uint8], planes: StainPlanes, usable: NDArray[np.bool_], mpp: float
    ) -> Segmentation:
        """Find the nuclei of a tile; see `slidescore.cells.segmenter.Segmenter.segment`."""
        p = self.parameters
        excess = np.float32(p.dab_leak) * np.maximum(planes.dab_od - np.float32(p.leak_from_dab_od), 0.0)
        blue = np.maximum(planes.hematoxylin_od - excess, 0.0)
        found = []
        for channel in p.channels:
            base = planes.hematoxylin_od if channel.dab_weight > 0 else blue
            seen = base + np.float32(channel.dab_weight) * planes.dab_od
            found.append(find_in_channel(seen, planes, usable, mpp, p, channel))
        return Segmentation(keep_strongest(found, max_overlap=p.max_overlap, min_area_px=p.min_area_um2 / mpp**2))


def find_in_channel(
    channel: Plane, planes: StainPlanes, usable: NDArray[np.bool_], mpp: float, p: Classical, shape: Channel
) -> Candidates:
    """Find the nuclei that one channel shows.

    Parameters
    ----------
    channel
        float32, (H, W), optical density in which nuclei are bright.
    planes
        The stains, to check that what was found carries hematoxylin.
    usable
        bool, (H, W), where nuclei may lie.
    mpp
        Resolution in um/px.
    p
        Parameters of the assay.
    """
    blobs = blob_response(channel, [scale / mpp for scale in p.seed_scales_um])
    seeds = find_seeds(np.where(usable, blobs, 0.0), p.min_seed_od, p.min_seed_distance_um / mpp)
    smooth = _gaussian(channel, p.smooth_um / mpp)
    far = cv2.distanceTransform((seeds == 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    basins = flood(smooth, seeds, usable & (far <= p.max_radius_um / mpp))
    nuclei = cut_at_steepest(smooth, _gradient(smooth), basins, seeds, edge_fraction=p.edge_fraction)
    seen = ChannelPlanes(smooth, _gaussian(planes.hematoxylin_od, p.smooth_um / mpp), planes.dab_od)
    return judge_candidates(nuclei, seen, mpp, p, shape)


def blob_response(channel: Plane, sigmas_px: list[float]) -> Plane:
    """Return the strongest scale-normalised Laplacian-of-Gaussian response over scales; float32, (H, W), in OD.

    A disc of contrast c whose radius is sqrt(2) sigma answers with 0.74 c.
    """
    responses = [
        -np.float32(sigma**2) * cv2.Laplacian(_gaussian(channel, sigma), cv2.CV_32F, ksize=1) for sigma in sigmas_px
    ]
    strongest: Plane = np.max(responses, axis=0)
    return strongest


def find_seeds(blobs: Plane, min_response_od: float, min_distance_px: float) -> NDArray[np.int32]:
    """Label the local maxima of the blob response that no stronger one stands near; int32, (H, W)."""
    radius = max(1, round(min_distance_px))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    peaks = (blobs >= cv2.dilate(blobs, disc)) & (blobs >= min_response_od)
    # A plateau of equal maxima is one seed.
    _, seeds = cv2.connectedComponents(peaks.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    labels: NDArray[np.int32] = seeds.astype(np.int32, copy=False)
    return labels


def _gaussian(plane: Plane, sigma_px: float) -> Plane:
    size = 2 * int(np.ceil(4.0 * sigma_px)) + 1
    blurred: Plane = cv2.GaussianBlur(plane, (size, size), sigma_px, borderType=cv2.BORDER_REPLICATE)
    return blurred


def _gradient(plane: Plane) -> Plane:
    steepness: Plane = cv2.magnitude(
        cv2.Sobel(plane, cv2.CV_32F, 1, 0, ksize=3, scale=0.125),
        cv2.Sobel(plane, cv2.CV_32F, 0, 1, ksize=3, scale=0.125),
    )
    return steepness
