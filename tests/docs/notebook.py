"""The notebook of the documentation: executed, and written as a page of the site.

    PYTHONPATH=tests python tests/docs/notebook.py docs/own-data.ipynb     executes it again, and writes own-data.md

The notebook is the source; its outputs and the page are made. Outputs are tables, text and PNG pictures.
"""

from __future__ import annotations

import base64
import os
import re
import sys
from pathlib import Path
from typing import Any

import nbformat

MADE = "<!-- Made by tests/docs/notebook.py out of {name}. -->\n"


def execute(notebook: Any, folder: Path) -> Any:
    """Return a notebook with the outputs of a run in a folder; a cell that fails is an error."""
    from nbclient import NotebookClient

    place = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()
    for cell in notebook.cells:
        cell.metadata.clear()  # times of this run
        if cell.cell_type == "code":
            cell.outputs = [tidy(output, folder) for output in cell.outputs if output.get("name") != "stderr"]
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return notebook


def tidy(output: Any, folder: Path) -> Any:
    """Return an output without places of this machine."""
    places = {str(folder) + os.sep: "", os.path.realpath(folder) + os.sep: ""}
    data = output.get("data", output)
    for kind, text in data.items():
        if isinstance(text, str) and kind != "image/png":
            for place, name in places.items():
                text = text.replace(place, name)
            data[kind] = text
    return output


def page(notebook: Any, name: str) -> tuple[str, dict[str, bytes]]:
    """Return the notebook as a Markdown page, and its pictures by file name."""
    parts, pictures = [], {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        for output in cell.outputs:
            data = output.get("data", {"text/plain": output.get("text", "")})
            if "image/png" in data:
                file = f"{Path(name).stem}-{len(pictures) + 1}.png"
                pictures[file] = base64.b64decode(data["image/png"])
                said = re.search(r"alt: (.+)", cell.source)
                parts.append(f"![{said[1] if said else 'Figure'}](pictures/{file})")
            elif "text/html" in data:
                parts.append(data["text/html"])
            elif text := data["text/plain"].strip():
                parts.append(f"```text\n{text}\n```")
    return "\n\n".join([parts[0], MADE.format(name=name).strip(), *parts[1:]]) + "\n", pictures


def main() -> None:
    import tempfile

    path = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        notebook = execute(nbformat.read(path, as_version=4), Path(folder))
    nbformat.write(notebook, path)
    text, pictures = page(notebook, path.name)
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    for name, content in pictures.items():
        (path.parent / "pictures" / name).write_bytes(content)


if __name__ == "__main__":
    main()
