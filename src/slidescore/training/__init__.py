"""From labelled H&E to weights: scenes, synthetic IHC, the training loop, evaluation."""
