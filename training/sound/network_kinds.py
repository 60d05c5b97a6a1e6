"""The kinds of networks, as they are named in a manifest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from monitor.errors import BundleError, UsageError
from training.sound.band_network import BANDS, BandAutoencoder
from training.sound.grid_network import GridAutoencoder
from training.sound.module_network import MODULE, ModuleAutoencoder
from training.sound.network import SoundAutoencoder, SoundNetworkSpec
from training.sound.network_import import ORIGIN_KEYS, import_network


def description_of(network: SoundAutoencoder) -> dict[str, Any]:
    """Kind, shape and origin of a network as JSON-ready values."""
    kind = {} if network.kind is None else {"kind": network.kind}
    origin = network.origin.to_dict() if isinstance(network, ModuleAutoencoder) else {}
    return {**kind, **network.spec.to_dict(), **origin}


def new_network(spec: SoundNetworkSpec, imported: str | None) -> SoundAutoencoder:
    """A network to train: that of Auscult, or the one of ``module:function``.

    Raises ``UsageError`` for a module that cannot be used.
    """
    if imported is None:
        return BandAutoencoder(spec)
    return ModuleAutoencoder(replace(spec, channels=()), import_network(imported))


def described_network(values: dict[str, Any], imported: str | None = None) -> SoundAutoencoder:
    """The network of :func:`description_of`, not trained.

    ``imported``: the function of a network from outside. A bundle does not contain its code, and
    code that only a bundle names is not run. Raises ``BundleError`` and ``UsageError``.
    """
    kind = values.get("kind")
    if kind != MODULE and imported is not None:
        raise UsageError(
            "--network: the network of this bundle is not one of yours, so its training is "
            "continued without this option"
        )
    unused = {"kind", *ORIGIN_KEYS}
    shape = {name: value for name, value in values.items() if name not in unused}
    try:
        spec = SoundNetworkSpec(**{**shape, "channels": tuple(shape["channels"])})
        if kind != MODULE and not spec.channels:
            raise ValueError("channels: at least one is needed")
    except (KeyError, TypeError, ValueError, UsageError) as error:
        raise BundleError(f"network: not the description of a sound network ({error})") from error
    match kind:
        case None:
            return GridAutoencoder(spec)
        case "bands_as_channels":
            return BandAutoencoder(spec)
        case "module":
            if imported is None:
                raise BundleError(
                    f"network: is {values.get('source')}, whose code is not in the bundle: "
                    "name it with --network module:function to continue its training"
                )
            return ModuleAutoencoder(spec, import_network(imported))
        case other:
            raise BundleError(
                f"network: kind is {other!r}, this version of auscult has {BANDS!r} and {MODULE!r}"
            )
