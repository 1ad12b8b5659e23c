"""``edgehybrid verify``."""

from __future__ import annotations

from pathlib import Path

import click

from edgehybrid.bundle import Bundle
from edgehybrid.cli.documents import VerifyDocument
from edgehybrid.cli.printing import emit_json, json_option, out, prose_table
from edgehybrid.errors import BundleError
from edgehybrid.runtime.verification import VariantCheck, verify


@click.command(name="verify")
@click.argument("bundle", type=click.Path(path_type=Path))
@json_option
def command(bundle: Path, as_json: bool) -> None:
    """Check the digest of every file of BUNDLE, and replay every variant's golden vectors on this machine."""
    opened = Bundle.open(bundle)
    checks = verify(opened)
    failed = [check for check in checks if check.problem]
    if as_json:
        emit_json(VerifyDocument(schema=1, bundle=opened.doc.bundle, ok=not failed, variants=checks))
    else:
        console = out()
        files = len(opened.doc.files)
        console.print(f"{opened.doc.bundle.name}: {files} files have their digests, the manifest is whole.")
        console.print(prose_table("Golden vectors", ("variant", "back end", "points", "here"), map(_row, checks)))
    if failed:
        names = ", ".join(check.variant for check in failed)
        raise BundleError(
            f"{len(failed)} of {len(checks)} variants compute something else here: {names}.",
            "Engines leave them out by themselves; export on a machine like this one to get them back.",
        )


def _row(check: VariantCheck) -> tuple[str, str, str, str]:
    where = check.variant if check.stage == "main" else f"{check.stage}/{check.variant}"
    return where, check.backend, ", ".join(check.points), check.problem or "as exported"
