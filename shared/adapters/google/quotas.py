"""How many L4 GPUs Cloud Run may use, by the Cloud Quotas API; for `maskline doctor`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from shared.adapters.google import rest
from shared.adapters.google.signing import own_credentials

SERVICE = "Cloud Quotas"
L4 = "NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion"
_API = "https://cloudquotas.googleapis.com"


class CloudRunQuotas:
    """`url` may be a stand-in's."""

    def __init__(self, project: str, credentials: Callable[[], Any] = own_credentials, url: str = _API) -> None:
        self._project = project
        self._credentials = credentials
        self._url = f"{url}/v1/projects/{project}/locations/global/services/run.googleapis.com/quotaInfos/{L4}"

    def l4_gpus(self, region: str) -> int | None:
        """GPUs without zonal redundancy that may run there at once; None: Cloud Run has none there."""
        return granted(rest.get(SERVICE, self._credentials, self._project, self._url), region)


def granted(info: Mapping[str, Any], region: str) -> int | None:
    """What a QuotaInfo says of a region: its own row if it has one, else the row for all the others. A quota of zero is
    left out of the details."""
    rows = [row for row in info.get("dimensionsInfos", []) if region in row.get("applicableLocations", [])]
    rows.sort(key=lambda row: row.get("dimensions", {}).get("region") != region)
    return int(rows[0].get("details", {}).get("value", 0)) if rows else None
