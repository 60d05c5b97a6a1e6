"""The kinds of networks, as they are named in a manifest."""

from __future__ import annotations

from typing import Any

from monitor.errors import BundleError, UsageError
from training.sound.band_network import BANDS, BandAutoencoder
from training.sound.grid_network import GridAutoencoder
from training.sound.network import SoundAutoencoder, SoundNetworkSpec


def description_of(network: SoundAutoencoder) -> dict[str, Any]:
    """Kind and shape of a network as JSON-ready values."""
    kind = {} if network.kind is None else {"kind": network.kind}
    return {**kind, **network.spec.to_dict()}


def described_network(values: dict[str, Any]) -> SoundAutoencoder:
    """The network of :func:`description_of`, not trained. Raises ``BundleError``."""
    shape = {name: value for name, value in values.items() if name != "kind"}
    try:
        spec = SoundNetworkSpec(**{**shape, "channels": tuple(shape["channels"])})
    except (KeyError, TypeError, ValueError, UsageError) as error:
        raise BundleError(f"network: not the description of a sound network ({error})") from error
    match values.get("kind"):
        case None:
            return GridAutoencoder(spec)
        case "bands_as_channels":
            return BandAutoencoder(spec)
        case other:
            raise BundleError(
                f"network: kind is {other!r}, this version of auscult knows {BANDS!r}"
            )
