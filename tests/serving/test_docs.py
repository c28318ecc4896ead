from pathlib import Path

from vsearch.serving.api.settings import Settings

TEXT = (Path(__file__).parents[2] / "docs" / "service-settings.md").read_text()


def test_all_settings_are_in_the_docs_with_their_defaults():
    rows = [line for line in TEXT.splitlines() if line.startswith("| `--")]
    wanted = [
        f"| `--{name.replace('_', '-')}` | "
        f"{field.default if field.default not in (None, '', []) else 'none'} | {field.description} "
        "|"
        for name, field in Settings.model_fields.items()
    ]
    assert rows == wanted
