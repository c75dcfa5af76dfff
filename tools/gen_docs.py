"""Make the parts of docs/ that are the code's own words.

docs/errors.md from the table of reasons, docs/metrics.md from that of metrics, the state
diagrams of docs/concepts.md from the transition tables, the settings in docs/operations.md
from the config dataclasses, the commands in docs/cli.md from their help. With `--check`
nothing is written: what is stale is named, exit 1.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import inspect
import io
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from eais.errors import REASONS, EaisError, ReasonSpec, make_error
from eais.instance import INSTANCE_TABLE
from eais.report import exit_code
from eais.share import SHARE_TABLE
from eais.supervisor import SupervisorConfig
from eais.telemetry.metrics import METRICS, Metric
from eais_client.cli.main import main as main_of_eais
from eais_client.cli.outside import Outside
from eais_client.config import ClientConfig
from eais_pool.config import ManagerConfig
from eais_server.devices.fpga.shell import REGION_TABLE
from eais_server.listener.config import ListenerConfig
from eais_server.supervision.device import DEVICE_TABLE

ROOT = Path(__file__).resolve().parent.parent
MEANINGS = ROOT / "tools" / "error_meanings.toml"
DOCS = ROOT / "docs"
ALSO_ALONE = ("loadtest",)
"""Groups whose own word does something, too."""

_ERRORS_HEAD = """# Errors

<!-- Made by tools/gen_docs.py: don't edit. -->

Every error of EAIS has a reason: one word, the same in exceptions (`error.reason`), on the
wire (`google.rpc.ErrorInfo.reason`, domain `eais`), in logs and in the command line's one
line `error: REASON: text (hint)`. The class says whose fault it is and what to do next; the
tree is in `eais/errors.py`. *Again* means that sending the same call again may succeed; the
client library does so by itself where that is safe. Which bad input gets which reason is the
catalogue of [hostile inputs](hostile-inputs.md).

| exit code | what it says |
|---|---|
| 1 | `eais loadtest`: a condition of `--fail-if` was met; what is said is no error |
| 2 | your call, flag or file is wrong: mend it |
| 3 | your identity is missing or may not do this |
| 4 | nobody could answer now: try later |
| 5 | it was tried and failed |
| 130 | Ctrl-C |

| reason | class | exit | gRPC status | again | meaning |
|---|---|---|---|---|---|
"""


_METRICS_HEAD = """# Metrics

<!-- Made by tools/gen_docs.py: don't edit. -->

Manager, listener and each worker show these at `/metrics`, as Prometheus reads them, on 127.0.0.1
of their machine: [operations](operations.md#see-it) says where, what to alert on, and who sees
them there. `reason` is `OK` or a word of [errors](errors.md), as in errors and logs; states are
those of [concepts](concepts.md). A series ends with the instance, device, host or worker that it
is of. Prometheus gives each series the `instance` and `job` of its own configuration; which of
EAIS's instances a worker is of is said by the labels `eais_instance`, `eais_worker` and
`eais_tenant` of the listener's `/workers`.

Histograms are in seconds, with bounds that double from 0.0001.

| name | kind | labels | of | what it says |
|---|---|---|---|---|
"""


class DocsError(Exception):
    """Code and docs don't fit; the text says where."""


def errors_page(meanings: Mapping[str, str]) -> str:
    """The whole of docs/errors.md; `DocsError` if a reason has no meaning or the reverse."""
    if set(meanings) != set(REASONS):
        odd = ", ".join(sorted(set(meanings) ^ set(REASONS)))
        raise DocsError(f"{MEANINGS.name} and eais.errors.REASONS differ in: {odd}")
    rows = (_row(reason, spec, meanings[reason]) for reason, spec in REASONS.items())
    return _ERRORS_HEAD + "\n".join(rows) + "\n"


def _row(reason: str, spec: ReasonSpec, meaning: str) -> str:
    code = exit_code(make_error(reason, ""))
    again = "yes" if spec.retryable else ""
    cells = [f"`{reason}`", _class(spec.error), str(code), f"`{spec.status}`", again, meaning]
    return f"| {' | '.join(cells)} |"


def _class(error: type[EaisError]) -> str:
    return f"`{error.__name__}`"


def metrics_page() -> str:
    """The whole of docs/metrics.md."""
    rows = (
        f"| `{metric.name}` | {metric.kind} | {_labels(metric)} | {', '.join(metric.of)} "
        f"| {metric.help} |"
        for metric in METRICS
    )
    return _METRICS_HEAD + "\n".join(rows) + "\n"


def _labels(metric: Metric) -> str:
    return ", ".join(f"`{label}`" for label in metric.labels)


def settings_table(config: type) -> str:
    """A table of the dataclass's fields: key, default, and what its docstring says."""
    meanings = _attributes(inspect.getdoc(config) or "")
    rows = [
        f"| `{field.name}` | `{_toml(field.default)}` | {meanings[field.name]} |"
        for field in dataclasses.fields(config)
    ]
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *rows])


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _attributes(doc: str) -> dict[str, str]:
    """The "Attributes:" of a docstring; names that share one text share it here."""
    text = doc.partition("Attributes:\n")[2].partition("\n\n")[0]
    found: dict[str, str] = {}
    for names, meaning in re.findall(r"^    (\S.*?):\s+(.*(?:\n {8}.*)*)", text, re.MULTILINE):
        found.update(dict.fromkeys(names.split(", "), " ".join(meaning.split())))
    return found


def command_reference() -> str:
    """The help of every command, as a terminal of 80 columns shows it."""
    return "\n\n".join(_section(words) for words in commands())


def commands() -> Iterator[tuple[str, ...]]:
    """Every command of `eais`, as its words."""
    for name in _named_in(help_text(())):
        subs = _named_in(help_text((name,)))
        if not subs or name in ALSO_ALONE:
            yield (name,)
        for sub in subs:
            yield (name, sub)


def _named_in(text: str) -> list[str]:
    return re.findall(r"^  ([a-z][a-z-]*)  ", text.partition("Commands:\n")[2], re.MULTILINE)


def _section(words: tuple[str, ...]) -> str:
    return f"## eais {' '.join(words)}\n\n```\n{help_text(words).rstrip()}\n```"


def help_text(words: tuple[str, ...]) -> str:
    """What `eais WORDS --help` prints."""
    os.environ.update(COLUMNS="80", NO_COLOR="1", TERM="dumb")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main_of_eais([*words, "--help"], Outside())
    if code != 0:
        raise DocsError(f"eais {' '.join(words)} --help ended with {code}")
    return out.getvalue()


def diagram(mermaid: str) -> str:
    """A Mermaid diagram as Markdown."""
    return f"```mermaid\n{mermaid}\n```"


def with_block(page: str, name: str, text: str) -> str:
    """`page` with `text` between `<!-- generated: NAME -->` and `<!-- end -->`."""
    pattern = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    made, count = pattern.subn(lambda found: f"{found[1]}{text}\n{found[2]}", page)
    if count != 1:
        raise DocsError(f"{count} blocks <!-- generated: {name} -->, not one")
    return made


BLOCKS: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "concepts.md": {
        "instance": lambda: diagram(INSTANCE_TABLE.mermaid()),
        "share": lambda: diagram(SHARE_TABLE.mermaid()),
    },
    "operations.md": {
        "manager": lambda: settings_table(ManagerConfig),
        "listener": lambda: settings_table(ListenerConfig),
        "supervisor": lambda: settings_table(SupervisorConfig),
        "client": lambda: settings_table(ClientConfig),
    },
    "health.md": {"device": lambda: diagram(DEVICE_TABLE.mermaid())},
    "fpga.md": {"region": lambda: diagram(REGION_TABLE.mermaid())},
    "cli.md": {"commands": command_reference},
}


def pages() -> dict[Path, str]:
    """Every page that has a part made here, as it should be."""
    made = {
        DOCS / "errors.md": errors_page(tomllib.loads(MEANINGS.read_text())),
        DOCS / "metrics.md": metrics_page(),
    }
    for name, blocks in BLOCKS.items():
        text = (DOCS / name).read_text()
        for block, make in blocks.items():
            text = with_block(text, block, make())
        made[DOCS / name] = text
    return made


def stale(made: Mapping[Path, str]) -> list[Path]:
    """The pages that are not as they should be."""
    return [path for path, text in made.items() if not path.exists() or path.read_text() != text]


def main() -> int:
    """Write the pages, or say which are stale."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    check = parser.parse_args().check
    try:
        made = pages()
    except DocsError as error:
        print(f"gen_docs: {error}", file=sys.stderr)
        return 1
    for path in (found := stale(made)):
        if not check:
            path.write_text(made[path])
        print(f"gen_docs: {path.relative_to(ROOT)} {'is stale' if check else 'written'}")
    return 1 if check and found else 0


if __name__ == "__main__":
    sys.exit(main())
