"""Device profiles and policies, as validated TOML."""
