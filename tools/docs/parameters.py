"""The template's parameters as a Markdown table, in the groups of its Interface metadata."""

from pathlib import Path

from samcli.yamlhelper import yaml_parse

TEMPLATE = Path(__file__).parents[2] / "template.yaml"


def table() -> str:
    """Returns the table: one row per parameter with its name, default and description."""
    template = yaml_parse(TEMPLATE.read_text())
    rows = ["| Parameter | Default | Description |", "|---|---|---|"]
    for group in template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]:
        rows.append(f"| **{group['Label']['default']}** | | |")
        rows += [_row(name, template["Parameters"][name]) for name in group["Parameters"]]
    return "\n".join(rows)


def _row(name: str, declared: dict[str, object]) -> str:
    default = str(declared["Default"])
    return f"| `{name}` | {f'`{default}`' if default else ''} | {declared['Description']} |"
