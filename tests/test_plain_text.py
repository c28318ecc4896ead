import pandas as pd
import pytest
from adversarial.tables import FORMULAS

from vsearch.plain_text import in_markdown, in_spreadsheet, on_terminal
from vsearch.reports.table import Table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;owned\x07", "\\x1b[2J\\x1b]0;owned\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("Größe [1]\tb\x00", "Größe [1]\\x09b\\x00"),
        ("a\rb\bc", "a\\x0db\\x08c"),
        ("abc\u202egnp.exe", "abc\\u202egnp.exe"),
        ("two\nlines, Grün 鞋 😀", "two\nlines, Grün 鞋 😀"),
    ],
)
def test_a_terminal_obeys_no_text(text, shown):
    assert on_terminal(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<img src=x onerror=alert(1)>", "\\<img src=x onerror=alert(1)>"),
        ("[a](javascript:x)", "[a\\](javascript:x)"),
        ("![](http://x/y.png)", "![\\](http://x/y.png)"),
        ("**bold** `code` ~~gone~~", "\\*\\*bold\\*\\* \\`code\\` \\~~gone\\~~"),
        ("a|b\\|c", "a\\|b\\\\\\|c"),
        ("a\n# b\r\n- c", "a # b - c"),
        ("&lt;b&gt;", "\\&lt;b\\&gt;"),
        ("_so_", "\\_so\\_"),
        ("precision_at_1 0.500 [0.400, 0.600]", "precision_at_1 0.500 [0.400, 0.600]"),
    ],
)
def test_markdown_means_nothing_in_a_text(text, shown):
    assert in_markdown(text) == shown
    assert Table([text], []).markdown().startswith(f"| {shown} |")


def test_a_spreadsheet_computes_nothing():
    texts = [*FORMULAS, "plain", "a=b"]
    written = pd.DataFrame({"id": texts, "n": -1}).map(in_spreadsheet)
    assert written["id"].tolist() == [*(f"'{text}" for text in texts[:6]), "plain", "a=b"]
    assert written["n"].tolist() == [-1] * 8
