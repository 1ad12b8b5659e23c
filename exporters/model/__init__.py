"""Load a model; find its families, components and cost."""
