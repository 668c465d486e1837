"""One applied system for the whole session: what `terraform apply` makes of the richer example."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests.deploy.terraform.offline import Resource, Workspace, provider, workspace

PRODUCT = "-var-file=examples/product.tfvars"


@pytest.fixture(scope="session")
def environment() -> Iterator[Mapping[str, str]]:
    with provider() as found:
        yield found


@pytest.fixture(scope="session")
def fresh(environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Nothing applied yet."""
    return workspace(tmp_path_factory.mktemp("fresh"), environment)


@pytest.fixture(scope="session")
def smallest(fresh: Workspace) -> list[Resource]:
    """All resources of the other example, before anything was made."""
    return fresh.plan("-var-file=examples/smallest.tfvars")


@pytest.fixture(scope="session")
def applied(fresh: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = fresh.copy(tmp_path_factory.mktemp("product") / "applied")
    made.done("apply", "-input=false", "-auto-approve", "-parallelism=30", PRODUCT)
    return made


@pytest.fixture(scope="session")
def product(applied: Workspace) -> list[Resource]:
    """All resources, with the values that only exist once they were made."""
    return applied.plan(PRODUCT)
