"""TFLite beside ONNX: ``python -m benchmarks.hardware [WORK ...]``.

Writes ``benchmarks/results/hardware.json`` and ``.md``. Four figures: how many operators convert right; parity of the
float file and quality of the int8 forms beside ONNX w8a8; the fastest point over both back ends beside the fastest ONNX
point, one thread, in turn; seconds for all TFLite variants of a model.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.export.works import Work, find_works
from benchmarks.hardware.measures import Forms, best_beside, convert_all, write_forms
from benchmarks.hardware.parts import other_parts, sections
from benchmarks.machine import describe_machine, write_result

RESULTS = Path(__file__).parents[1] / "results"
CRNN = "keyword_spotter"


def main() -> int:
    """Measure what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="*", help="names; all by default")
    parser.add_argument("--rounds", type=int, default=1500, help="runs of each point")
    parser.add_argument("--skip-best", action="store_true", help="leave out the two exports and their points")
    options = parser.parse_args()
    operators = convert_all()
    print(operators, flush=True)
    with tempfile.TemporaryDirectory(prefix="edgehybrid-") as top:
        works, absent = find_works(Path(top))
        wanted = {name: work for name, work in works.items() if name in (options.works or works)}
        forms = {name: write_forms(work) for name, work in wanted.items()}
        best = _best(works, options, Path(top))
    figures: dict[str, object] = {
        "operators": operators,
        "works": {name: found.as_dict() for name, found in forms.items()},
        "best": best,
        "absent": absent,
    }
    page = RESULTS / "hardware.md"
    kept = sections(page.read_text(encoding="utf-8")) if page.exists() else ""
    write_result("hardware", {**figures, **other_parts(figures)})
    text = markdown(operators, forms, best)
    page.write_text(f"{text.rstrip()}\n\n{kept}".rstrip() + "\n", encoding="utf-8")
    print(text)
    return 0


def _best(works: Mapping[str, Work], options: argparse.Namespace, folder: Path) -> dict[str, object]:
    if options.skip_best or CRNN not in works:
        return {}
    return best_beside(works[CRNN], folder, rounds=options.rounds)


def markdown(operators: Mapping[str, object], forms: Mapping[str, Forms], best: Mapping[str, object]) -> str:
    """The page of results."""
    lines = [
        "# TFLite beside ONNX",
        "",
        f"`python -m benchmarks.hardware` on {describe_machine()['cpu']}.",
        "",
        f"Models of one operator: {operators['right']} of {operators['cases']} convert right "
        f"({operators['operators']} operators), {operators['refused']} are refused, {operators['wrong']} are wrong.",
        "",
        "| model | parity of the float file | all variants written in | loss of ONNX w8a8 | loss of the TFLite forms |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, found in forms.items():
        losses = ", ".join(f"{form} {loss:+.2f}" for form, loss in found.losses.items())
        onnx = "-" if found.onnx_loss is None else f"{found.onnx_loss:+.2f}"
        parity = "refused" if found.parity is None else f"{found.parity:.1e}"
        lines.append(f"| {name} | {parity} | {found.seconds:.1f} s | {onnx} | {losses} |")
    lines += [
        "",
        "Losses in hundredths of the metric's unit (points, for shares), on the evaluation data. Load of the machine: "
        f"{describe_machine()['load_1min']}.",
        "",
    ]
    refused = [f"{name}: {form}: {why}" for name, found in forms.items() for form, why in found.refused.items()]
    lines += [*(f"- {line}" for line in refused), *([""] if refused else [])]
    if best:
        lines += [
            f"Fastest point over both back ends beside the fastest ONNX point ({CRNN}, one thread, in turn): "
            f"{best['ratio']} times as fast; {best['both']} against {best['onnx']}.",
            "",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    np.seterr(all="ignore")
    raise SystemExit(main())
