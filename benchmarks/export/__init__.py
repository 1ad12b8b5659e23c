"""The exporter beside its peers: the same models, the same data, one clock."""
