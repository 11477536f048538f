from pathlib import Path

import pytest

from tools.local.settings import REPOSITORY, LocalError
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


def test_stack_and_region_come_from_samconfig_and_what_deploy_has_wins(samconfig: Path) -> None:
    prod = Environment.read(samconfig, "prod")

    assert (prod.stack, prod.region, prod.has_bucket) == ("two", "eu-west-1", True)


@pytest.mark.parametrize(("name", "architecture"), [("prod", "x86_64"), ("dev", "x86_64"), ("default", "arm64")])
def test_the_build_is_for_the_processor_that_the_parameters_name(samconfig: Path, name: str, architecture: str) -> None:
    assert Environment.read(samconfig, name).architecture == architecture


def test_an_unknown_environment_is_one_sentence_that_names_the_known(samconfig: Path) -> None:
    with pytest.raises(LocalError, match=r"names no stack for ENV=test. It knows: default, dev, local, prod."):
        Environment.read(samconfig, "test").named_stack()


def test_what_plain_sam_takes_names_no_stack_so_that_sam_deploy_touches_none() -> None:
    default = Environment.read(REPOSITORY / "samconfig.toml", "default")

    with pytest.raises(LocalError, match="names no stack for ENV=default"):
        default.named_stack()


def test_a_samconfig_that_is_no_toml_is_one_sentence(samconfig: Path) -> None:
    samconfig.write_text("stack_name: gateway")

    with pytest.raises(LocalError, match=r"^samconfig.toml cannot be read: "):
        Environment.read(samconfig, "dev")


def test_a_quote_that_is_open_is_one_sentence(samconfig: Path) -> None:
    samconfig.write_text('[dev.deploy.parameters]\nparameter_overrides = "LogLevel=it\'s"')

    with pytest.raises(LocalError, match=r"^parameter_overrides of dev cannot be read: "):
        _ = Environment.read(samconfig, "dev").overrides


def test_without_a_samconfig_nothing_is_known(tmp_path: Path) -> None:
    assert Environment.read(tmp_path / "samconfig.toml", "dev").stack is None
