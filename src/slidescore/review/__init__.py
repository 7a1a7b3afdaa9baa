"""Review in the browser: a run's slides as tiles, its cells as drawings and counts, and the server that gives them."""
