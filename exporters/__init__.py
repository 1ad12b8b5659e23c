"""The workstation half: from a model to a bundle of measured operating points."""
