"""The documentation is true: its programs run, its files load, its commands parse, its links lead somewhere.

What a page asks for stands in a comment before a block, invisible when rendered:

- ``<!-- test -->``: run this Python; the blocks of a page share their names and their folder.
- ``<!-- file: NAME -->``: write the block to that file before anything runs.
- ``<!-- policy: NAME -->``, ``<!-- device: NAME -->``, ``<!-- recipe: NAME -->``: write it, and it must load.
- ``<!-- run -->``: call the ``edgehybrid`` lines of this shell block; each must end well.

``python tests/docs/test_docs.py`` renews the option tables of the command line's page.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click
import numpy as np
import onnxruntime as ort
import pytest

from edgehybrid.cli.root import VERBS, main, root
from edgehybrid.exporters import load_recipe
from edgehybrid.exporters.precision import SCHEMES
from edgehybrid.profiles import DeviceProfile, Policy, device_names, load_device, load_policy, policy_names
from edgehybrid.runtime import Status
from edgehybrid.runtime.telemetry import Snapshot, Trust
from edgehybrid.tensors import TensorSpec
from edgehybrid.testing import make_bundle, make_point

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
KWS = ROOT / "samples" / "keyword_spotter"
COMMANDS = DOCS / "reference" / "command-line.md"
LOADERS: Mapping[str, Callable[[str], object]] = {"policy": load_policy, "device": load_device, "recipe": load_recipe}

_BLOCK = re.compile(
    r"^(?P<indent> *)(?:<!-- (?P<mark>\w+)(?:: (?P<name>\S+))? -->\n\s*)?```(?P<kind>\w*)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_TABLE = re.compile(r"(<!-- options: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block of a page; ``line`` is where its text begins."""

    kind: str
    text: str
    line: int
    mark: str | None
    name: str | None


def blocks(page: Path) -> Iterator[Block]:
    """Find the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("text")) + 1
        yield Block(kind=found["kind"], text=found["text"], line=line, mark=found["mark"], name=found["name"])


def pages() -> list[Path]:
    """Every page that a reader may open."""
    front = (ROOT / name for name in ("README.md", "CHANGELOG.md", "benchmarks/README.md"))
    return [*front, *sorted(DOCS.rglob("*.md")), *sorted(ROOT.glob("samples/*/README.md"))]


def named(path: Path) -> str:
    """Name a page in a test's id."""
    return path.relative_to(ROOT).as_posix()


def options_table(verb: str) -> str:
    """Write the options of a verb as a table."""
    with click.Context(root) as ctx:
        command = root.get_command(ctx, verb)
        assert command is not None
        rows = ["| option | default | what |", "| --- | --- | --- |"]
        for option in (item for item in command.params if isinstance(item, click.Option)):
            names = ", ".join(f"`{name}`" for name in option.opts)
            value = "" if option.is_flag else f" {option.make_metavar(ctx)}".replace("|", "\\|")
            default = "" if option.required or option.is_flag else _default(option, ctx)
            what = (option.help or "") + (" Required." if option.required else "")
            rows.append(f"| {names}{value} | {default} | {what} |")
    return "\n".join(rows) + "\n"


def _default(option: click.Option, ctx: click.Context) -> str:
    value = option.get_default(ctx)
    return "" if value is None or value == () or repr(value).startswith("Sentinel") else f"`{value}`"


def renewed(text: str) -> str:
    """Put fresh option tables into the command line's page."""
    return _TABLE.sub(lambda found: f"{found[1]}\n{options_table(found[2])}\n{found[4]}", text)


def command_lines(block: Block) -> Iterator[list[str]]:
    """Words of every ``edgehybrid VERB ...`` in a shell block, continued lines joined."""
    if block.kind == "sh":
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["edgehybrid"] and not words[1].startswith(("-", "[")):
                yield words[1:]


def rows_after(page: Path, mark: str) -> set[str]:
    """Words in backticks in the first column of the table behind ``<!-- mark -->``."""
    lines = page.read_text(encoding="utf-8").partition(f"<!-- {mark} -->\n\n")[2].splitlines()
    table = lines[2 : lines.index("")]
    return {word for line in table for word in re.findall(r"`([^`]+)`", line.split("|")[1])}


@pytest.fixture(scope="session")
def kws_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the keyword spotter as the tutorial's, with figures that are given instead of measured."""
    energies = {"fp32": 0.78, "max": 0.68, "high": 0.64, "balanced": 0.55, "min": 0.43}
    x = np.load(KWS / "test.npz")["x"][:2]
    model = (KWS / "model.onnx").read_bytes()
    y = ort.InferenceSession(model, providers=["CPUExecutionProvider"]).run(["y"], {"x": x})[0]
    path = tmp_path_factory.mktemp("docs") / "kws.bundle"
    make_bundle(
        path,
        points=[make_point(name, energy_mj=mj) for name, mj in energies.items()],
        inputs=[TensorSpec(name="x", dtype="float32", shape=("batch", 96, 40))],
        outputs=[TensorSpec(name="y", dtype="float32", shape=("batch", 10))],
        golden_inputs={"x": x},
        golden_outputs={name: {"y": y} for name in energies},
        models=dict.fromkeys(energies, model),
    )
    return path


@pytest.mark.parametrize("page", pages(), ids=named)
def test_python_compiles(page: Path) -> None:
    """Every Python block of every page is valid Python."""
    for block in blocks(page):
        if block.kind == "python":
            compile("\n" * (block.line - 1) + block.text, named(page), "exec")


@pytest.mark.parametrize("page", [p for p in pages() if any(b.mark for b in blocks(p))], ids=named)
def test_programs_run_and_files_load(
    page: Path, kws_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The marked blocks of a page work one after the other, in a folder that holds the samples and a bundle."""
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    (tmp_path / "model.onnx").symlink_to(KWS / "model.onnx")
    (tmp_path / "kws.bundle").symlink_to(kws_bundle)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "docs"}
    for block in blocks(page):
        if block.name is not None:
            Path(block.name).write_text(block.text, encoding="utf-8")
    for block in blocks(page):
        if block.mark is not None and block.mark in LOADERS:
            LOADERS[block.mark](f"./{block.name}")
        elif block.mark == "test":
            _execute(block, page, names, tmp_path)
        elif block.mark == "run":
            for words in command_lines(block):
                with pytest.raises(SystemExit) as left:
                    main(words)
                assert not left.value.code, f"{page}: {shlex.join(words)}"
        else:
            assert block.mark in (None, "file"), f"{page}: nobody knows the mark {block.mark!r}"


def _execute(block: Block, page: Path, names: dict[str, Any], folder: Path) -> None:
    """Run a block, then the tests that it defines, each in a folder of its own."""
    known = set(names)
    exec(compile("\n" * (block.line - 1) + block.text, named(page), "exec"), names)
    for name in sorted(names.keys() - known):
        if name.startswith("test_"):
            names[name](folder / name)


def test_a_false_program_would_be_noticed(tmp_path: Path) -> None:
    """The search for blocks finds marks, names, kinds and lines; else every test here would pass."""
    page = tmp_path / "page.md"
    page.write_text("word\n\n<!-- test -->\n```python\n1 / 0\n```\n\n<!-- policy: a.toml -->\n```toml\nx = 1\n```\n")

    assert [
        Block(kind="python", text="1 / 0\n", line=5, mark="test", name=None),
        Block(kind="toml", text="x = 1\n", line=10, mark="policy", name="a.toml"),
    ] == list(blocks(page))


@pytest.mark.parametrize("page", pages(), ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    """Relative links lead to a file or folder, and their anchors to a heading."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    dead = []
    for target in (found["target"] for found in _LINK.finditer(text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        if not place.exists() or (anchor and anchor not in anchors(place)):
            dead.append(target)

    assert [] == dead


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [p for p in pages() if any(any(command_lines(b)) for b in blocks(p))], ids=named)
def test_commands_parse(page: Path) -> None:
    """Every ``edgehybrid`` command line in a page has a verb, options and values that exist."""
    for words in (words for block in blocks(page) for words in command_lines(block)):
        with click.Context(root, info_name="edgehybrid") as parent:
            command = root.get_command(parent, words[0])
            assert command is not None, f"{page}: there is no verb {words[0]!r}"
            command.make_context(words[0], words[1:], parent=parent)


def test_option_tables_are_in_step() -> None:
    """The option tables are those of the code (``python tests/docs/test_docs.py`` renews them), one for every verb."""
    text = COMMANDS.read_text(encoding="utf-8")

    assert list(VERBS) == [found[2] for found in _TABLE.finditer(text)]
    assert renewed(text) == text


def test_the_readme_names_every_verb() -> None:
    """A reader of the README meets every verb."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert [] == [verb for verb in VERBS if f"edgehybrid {verb}" not in text]


@pytest.mark.parametrize(("page", "kind"), [("write-a-policy", Policy), ("describe-your-board", DeviceProfile)])
def test_every_field_is_described(page: str, kind: type) -> None:
    """The how-to names every field of a policy and of a device profile, in its table and in its example."""
    path = DOCS / "how-to" / f"{page}.md"
    table = path.read_text(encoding="utf-8").partition("## Field by field")[2].partition("##")[0]
    (example,) = (block.text for block in blocks(path) if block.kind == "toml")
    for field in dataclasses.fields(kind):
        inner = _dataclass_of(kind, field.name)
        keys = [f"{field.name}.{f.name}" for f in dataclasses.fields(inner)] if inner else [field.name]

        assert [] == [key for key in keys if f"`{key}`" not in table]
        assert [] == [key for key in keys if _absent(example, key)]


def _absent(example: str, key: str) -> bool:
    name = key.rpartition(".")[2]
    return re.search(rf"^({name} = |\[\[{name}\]\])", example, re.MULTILINE) is None


def _dataclass_of(kind: type, name: str) -> type | None:
    """The section that a field holds; ``None`` for a plain value or a list."""
    found = get_type_hints(kind)[name]
    return found if isinstance(found, type) and dataclasses.is_dataclass(found) else None


def test_the_runtime_page_lists_what_there_is() -> None:
    """Fields of snapshot and status, trust words and guards are those of the code."""
    page = DOCS / "reference" / "runtime.md"
    guards = re.findall(r'Guard\(\s*name="([\w-]+)"', (ROOT / "runtime/control/guards.py").read_text(encoding="utf-8"))

    sensors = DOCS / "reference" / "telemetry.md"

    assert {f.name for f in dataclasses.fields(Snapshot)} == rows_after(sensors, "snapshot")
    assert {*(f.name for f in dataclasses.fields(Status)), "reason"} == rows_after(page, "status")
    assert set(guards) == rows_after(page, "guards")
    assert [] == [word for word in get_args(Trust) if f"| `{word}` |" not in sensors.read_text(encoding="utf-8")]


def test_names_in_the_pages_exist() -> None:
    """Precision schemes that a page names are there; every policy and device profile is named."""
    schemes = rows_after(DOCS / "reference" / "measuring.md", "schemes")
    policies = (DOCS / "how-to" / "write-a-policy.md").read_text(encoding="utf-8")
    devices = (DOCS / "how-to" / "describe-your-board.md").read_text(encoding="utf-8")

    assert set() == schemes - set(SCHEMES)
    assert [] == [name for name in policy_names() if f"`{name}`" not in policies]
    assert [] == [name for name in device_names() if f"`{name}`" not in devices]


if __name__ == "__main__":
    COMMANDS.write_text(renewed(COMMANDS.read_text(encoding="utf-8")), encoding="utf-8")
