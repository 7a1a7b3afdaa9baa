"""The stories: what happens to a tile, a slide, a cohort, a rescore."""
