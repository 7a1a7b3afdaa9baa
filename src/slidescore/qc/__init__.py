"""Quality control: checks of slides and tiles, and the overlay that shows what was scored."""
