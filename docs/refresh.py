"""Runs the commands that the documentation shows, and puts what they print under them.

    python docs/refresh.py            rewrites README.md and docs/**/*.md
    python docs/refresh.py FILE ...   rewrites these

A block that starts with ```console holds one command after `$ `; files that a page shows (blocks whose first line is
`# name.yaml`) are there for its commands.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSOLE = re.compile(r"(```console\n\$ )(.+?)\n(?:.*?)(```)", re.DOTALL)
SHOWN_FILE = re.compile(r"```(?:yaml|json)\n# (\S+\.(?:yaml|json))\n(.*?)```", re.DOTALL)


def refreshed(page: str) -> str:
    """A page with what its commands print now."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in SHOWN_FILE.findall(page):
            (Path(folder) / name).write_text(text, encoding="utf-8")
        return CONSOLE.sub(lambda block: f"{block[1]}{block[2]}\n{_printed(block[2], folder)}{block[3]}", page)


def _printed(command: str, folder: str) -> str:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    environment = os.environ | {"COLUMNS": "80", "PATH": path}
    done = subprocess.run(  # noqa: S602 - the documentation's own commands, pipes included
        command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def main(paths: list[str]) -> None:
    """Rewrites pages in place."""
    for page in [Path(path) for path in paths] or [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        new = refreshed(text)
        if new != text:
            page.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
