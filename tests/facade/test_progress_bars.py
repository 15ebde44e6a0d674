"""progress=True shows a bar: in a terminal, in a notebook, and nowhere else."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import textwrap

import pytest

from metamlflow import Dataset, InvalidInputError
from metamlflow._looks import bar_of

STORY = """
    import sys
    import time
    from metamlflow import MetaMLFlowClient
    client = MetaMLFlowClient(sys.argv[1])
    artifact = client.register_artifact("a", {f"{n}[b].bin": bytes([n]) * 100 for n in range(5)}, progress=True)
    artifact.download(sys.argv[1] + "-got", progress=True)
    artifact.verify(progress=True)
    try:
        artifact.download(sys.argv[1] + "-got", progress=True)
    except FileExistsError:
        print("an error", file=sys.stderr)
    print("done")
"""


def in_a_terminal(store, **environment):
    """Run the story with its errors going to a terminal; return what the terminal and stdout got."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-c", textwrap.dedent(STORY), str(store)]
    names = {"TERM": "xterm-256color", "COLUMNS": "100", **environment}
    child = subprocess.Popen(command, stderr=follower, stdout=subprocess.PIPE, env=os.environ | names, text=True)
    os.close(follower)
    seen = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # the terminal is closed
            break
        if not part:
            break
        seen += part
    os.close(leader)
    out, _ = child.communicate()
    assert child.returncode == 0, seen
    return seen.decode(), out


def test_a_terminal_shows_each_operation_and_is_left_clean(tmp_path):
    seen, out = in_a_terminal(tmp_path / "store")
    assert out == "done\n"
    for operation in ("register", "download", "verify a@1"):
        assert f"{operation}: 5/5 files, 500 bytes of 500 bytes, finishing" in re.sub(r"\x1b\[[0-9;]*m", "", seen)
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h") > 0, "the cursor is back"
    assert seen.rstrip().endswith("an error")


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}])
def test_a_terminal_that_cannot_erase_a_bar_gets_none(tmp_path, environment):
    assert in_a_terminal(tmp_path / "store", **environment)[0].strip() == "an error"


def test_a_pipe_or_file_gets_nothing(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(STORY), str(tmp_path / "store")]
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (child.stdout, child.stderr) == ("done\n", "an error\n")


def test_false_is_no_callback(client):
    assert client.register_artifact("a", b"1", progress=False).version == 1


NOTEBOOK = """
    import sys
    from IPython.core.interactiveshell import InteractiveShell
    shell = InteractiveShell.instance()
    shell.kernel = object()  # what a kernel of Jupyter sets
    published = []
    shell.display_pub.publish = lambda data, metadata=None, **more: published.append((data, more))
    from metamlflow import MetaMLFlowClient
    client = MetaMLFlowClient(sys.argv[1])
    client.register_artifact("a", {f"{n}.bin": b"x" * 100 for n in range(5)}, progress=True)
    print(len({more["transient"]["display_id"] for _, more in published}), published[-1][0]["text/html"])
    print(published[-1][1]["update"], len(published) < 9)
"""


def test_a_notebook_shows_one_bar_that_moves(tmp_path):
    pytest.importorskip("IPython", reason="needs IPython, which no extra brings: python -m pip install ipython")
    command = [sys.executable, "-c", textwrap.dedent(NOTEBOOK), str(tmp_path / "store")]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    shown, moved = child.stdout.splitlines()
    done = "register: 5/5 files, 500 bytes of 500 bytes, finishing"
    assert shown == f"1 <div><progress max='1' value='1.0000'></progress> {done}</div>"
    assert moved == "True True"


def test_the_text_of_a_bar_is_escaped():
    assert bar_of("verify <b>@1", None) == "<div><progress max='1'></progress> verify &lt;b&gt;@1</div>"


def test_the_lists_of_a_client_show_themselves_as_tables(client):
    client.register_artifact("a", b"1", "model")
    client.register_artifact("b/<i>".replace("<i>", "i"), {"<b>.txt": b"1"})
    listed = client.list_artifacts()
    assert isinstance(listed, list)
    assert [str(one.name) for one in listed] == ["a", "b/i"]
    shown = listed._repr_html_()
    assert "2 artifacts" in shown
    assert "<th" in shown
    assert "a@1" in shown
    assert client.list_artifacts("a")._repr_html_().count("<tr>") == 2
    with pytest.raises(InvalidInputError):
        Dataset(listed[0]).scan()
