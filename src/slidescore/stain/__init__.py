"""Stains: optical density, stain vectors, separation and the white reference."""

from slidescore.stain.estimate import StainEstimate, estimate_vectors
from slidescore.stain.hue import HueFrame, hue_angles, hue_frame, off_arc_degrees
from slidescore.stain.separation import StainPlanes, optical_density, separate, separate_slowly
from slidescore.stain.vectors import StainVectors, angle_degrees
from slidescore.stain.white import DEFAULT_WHITE, WhiteReference, brightest_common_rgb, measure_white

__all__ = [
    "DEFAULT_WHITE",
    "HueFrame",
    "StainEstimate",
    "StainPlanes",
    "StainVectors",
    "WhiteReference",
    "angle_degrees",
    "brightest_common_rgb",
    "estimate_vectors",
    "hue_angles",
    "hue_frame",
    "measure_white",
    "off_arc_degrees",
    "optical_density",
    "separate",
    "separate_slowly",
]
