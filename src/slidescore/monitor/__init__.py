"""Whether staining and scanning stay as they were: control charts over the batches of a laboratory."""
