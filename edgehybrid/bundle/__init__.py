"""The artefact that export writes and the runtime opens."""
