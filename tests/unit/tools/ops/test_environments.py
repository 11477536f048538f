from pathlib import Path

import pytest

from tools.local.settings import REPOSITORY, UserError
from tools.ops.environments import Environment

SAMCONFIG = """
version = 0.1
[default.build.parameters]
cached = true
[prod.global.parameters]
stack_name = "one"
region = "eu-west-1"
parameter_overrides = ["LogLevel=DEBUG", "Architecture=x86_64"]
[prod.deploy.parameters]
stack_name = "two"
s3_bucket = "mine"
[dev.deploy.parameters]
stack_name = "dev"
parameter_overrides = 'LogLevel=DEBUG Architecture="x86_64"'
"""


@pytest.fixture
def samconfig(tmp_path: Path) -> Path:
    file = tmp_path / "samconfig.toml"
    file.write_text(SAMCONFIG)
    return file


def test_reads_stack_and_region_and_deploy_overrides_global(samconfig: Path) -> None:
    prod = Environment.read(samconfig, "prod")

    assert (prod.stack, prod.region, prod.has_bucket) == ("two", "eu-west-1", True)


@pytest.mark.parametrize(("name", "architecture"), [("prod", "x86_64"), ("dev", "x86_64"), ("default", "arm64")])
def test_reads_the_architecture_from_the_parameters(samconfig: Path, name: str, architecture: str) -> None:
    assert Environment.read(samconfig, name).architecture == architecture


def test_unknown_environment_error_lists_the_known_ones(samconfig: Path) -> None:
    with pytest.raises(UserError, match=r"has no stack_name for ENV=test. Use one of: default, dev, local, prod."):
        Environment.read(samconfig, "test").require_stack()


def test_default_environment_has_no_stack_so_that_plain_sam_deploy_fails() -> None:
    default = Environment.read(REPOSITORY / "samconfig.toml", "default")

    with pytest.raises(UserError, match="has no stack_name for ENV=default"):
        default.require_stack()


def test_reports_an_invalid_samconfig(samconfig: Path) -> None:
    samconfig.write_text("stack_name: gateway")

    with pytest.raises(UserError, match=r"^samconfig.toml is not valid TOML: "):
        Environment.read(samconfig, "dev")


def test_reports_an_unclosed_quote(samconfig: Path) -> None:
    samconfig.write_text('[dev.deploy.parameters]\nparameter_overrides = "LogLevel=it\'s"')

    with pytest.raises(UserError, match=r"^parameter_overrides of dev is invalid: "):
        _ = Environment.read(samconfig, "dev").overrides


def test_missing_samconfig_has_no_environments(tmp_path: Path) -> None:
    assert Environment.read(tmp_path / "samconfig.toml", "dev").stack is None
