"""Sets of template parameters that together cover every pair of choices."""

from collections.abc import Iterator
from itertools import combinations, product

type Choice = dict[str, str]

CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b2c3d-0000-4000-8000-000000000000"
ACCESS_LOGS: list[Choice] = [{}, {"AccessLogs": "existing"}, {"AccessLogs": "create"}]
WEB_ACL = "arn:aws:wafv2:us-east-1:123456789012:regional/webacl/gateway/0a1b2c3d-0000-4000-8000-000000000000"
VPC: Choice = {
    "VpcSubnetIds": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    "VpcSecurityGroupIds": "sg-0123456789abcdef0",
}
DOMAIN: Choice = {"DomainName": "llm.example.com", "CertificateArn": CERTIFICATE}
RESERVED: Choice = {"CompletionsConcurrency": "200", "HeartbeatConcurrency": "5", "AuthorizerConcurrency": "10"}
# Each set has one choice of each kind. {} is the default.
KINDS: list[list[Choice]] = [
    ACCESS_LOGS,
    [{}, DOMAIN, DOMAIN | {"HostedZoneId": "Z0123456789ABC"}],
    [{}, VPC],
    [{}, RESERVED],
    [{}, {"SnapStart": "on"}],
    [{}, {"Deployment": "Canary10Percent5Minutes"}, {"Deployment": "Linear10PercentEvery1Minute"}],
    [{}, {"AlarmEmail": "operator@example.com", "ProviderAlarms": "on"}],
    [{}, {"AllowedCidrs": "192.0.2.0/24,198.51.100.7/32"}],
    [{}, {"WebAclArn": WEB_ACL}],
    [{}, {"AllowedOrigins": "https://chat.example.com"}],
    [{}, {"PrivateNetworks": "allow"}],
    [{}, {"Data": "throw-away"}],
]
EVERYTHING: Choice = {name: value for kind in KINDS[:-1] for name, value in kind[-1].items()}
LOCAL: Choice = {"Platform": "local", "Data": "throw-away", "AwsEndpointUrl": "http://127.0.0.1:4566"}


def pairwise() -> Iterator[Choice]:
    """A small number of sets in which every two choices of different kinds occur together at least once."""
    uncovered = {
        ((one, a), (other, b))
        for one, other in combinations(range(len(KINDS)), 2)
        for a, b in product(range(len(KINDS[one])), range(len(KINDS[other])))
    }
    candidates = list(product(*(range(len(kind)) for kind in KINDS)))
    while uncovered:
        best = max(candidates, key=lambda chosen: len(uncovered & _pairs(chosen)))
        uncovered -= _pairs(best)
        yield {name: value for kind, i in zip(KINDS, best, strict=True) for name, value in kind[i].items()}


def _pairs(chosen: tuple[int, ...]) -> set[tuple[tuple[int, int], tuple[int, int]]]:
    return set(combinations(enumerate(chosen), 2))
