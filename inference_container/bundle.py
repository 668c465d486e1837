"""Model bundles: a folder with `model.json` and `model.safetensors`, checked before anything trusts it.

Reading needs torch, numpy and safetensors only; nothing here unpickles.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

import safetensors.torch as safetensors
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from inference_container import architectures
from inference_container.architectures.folding import fold_batch_norms
from inference_container.manifest import (
    MANIFEST,
    STARTER,
    WEIGHTS,
    BundleError,
    ClassInfo,
    Manifest,
    check_weights,
    parse,
    read,
    read_manifest,
)

__all__ = ["STARTER", "BundleError", "ClassInfo", "LoadedModel", "Manifest", "load", "read_manifest", "save"]

_COUNTER = "num_batches_tracked"  # of batch normalisation; means nothing outside training, never stored
_STORED = (torch.float16, torch.float32)  # what a float of the network may be in the file
_SMOKE = (64, 96)  # px, height and width: not square, so that a transposed network is seen


@dataclass(frozen=True)
class LoadedModel:
    """A checked model: `module` is in eval mode, on its device: float32 and channels last, or a twin in 8 bits."""

    manifest: Manifest
    module: nn.Module


def load(directory: Path, device: str = "cpu", *, fold: bool = True) -> LoadedModel:
    """Read and check the bundle in `directory`; takes some 50 ms for the starter model.

    In this order: both files there, manifest valid, sha256, keys, shapes, dtypes, finite values, a smoke inference.
    `fold` merges batch normalisation into the convolutions (faster, same answers), and on a CPU takes the twin in 8
    bits if the manifest holds its spans; False keeps the trainable form.
    Raises BundleError at the first check that fails.
    """
    manifest = read_manifest(directory)
    data = read(directory / WEIGHTS)
    check_weights(manifest, data)
    module = _filled(_network(manifest), _tensors(data)).eval().requires_grad_(False)
    if fold:
        fold_batch_norms(module)
    module = module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if fold and device == "cpu":
        module = _in_int8(module, manifest)
    _smoke(module, manifest, device)
    return LoadedModel(manifest, module)


def _in_int8(module: nn.Module, manifest: Manifest) -> nn.Module:
    try:
        return architectures.in_int8(module, manifest.spans)
    except KeyError as error:
        raise BundleError(f"model.json: 'spans' lacks {error}") from None


def save(directory: Path, manifest: Manifest, module: nn.Module) -> Manifest:
    """Write `module` (not folded) as fp16 with `manifest` and return the manifest with its sha256 filled in.

    Each file appears whole or not at all, the manifest last. BundleError if a weight is beyond fp16.
    """
    tensors = {key: _half(key, value) for key, value in module.state_dict().items() if not key.endswith(_COUNTER)}
    data = safetensors.save(tensors)
    complete = replace(manifest, sha256=hashlib.sha256(data).hexdigest())
    text = complete.to_json()
    parse(text)  # never write what load would refuse
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory / WEIGHTS, data)
    _write(directory / MANIFEST, text.encode())
    return complete


def _half(key: str, value: Tensor) -> Tensor:
    stored = value.detach().cpu().contiguous()
    if stored.is_floating_point():
        stored = stored.half()
        if not stored.isfinite().all():
            raise BundleError(f"{key} holds values that fp16 cannot store")
    return stored


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    os.replace(part, path)


def _network(manifest: Manifest) -> nn.Module:
    if manifest.architecture not in architectures.names():
        raise BundleError(f"model.json: architecture {manifest.architecture!r} is not one this version knows")
    # Not on the meta device: its first use imports 800 modules (1.1 s), random weights take 0.02 s.
    network = architectures.build(manifest.architecture, len(manifest.classes))
    stride = architectures.output_stride(network)
    if stride != manifest.output_stride:
        raise BundleError(f"model.json: 'outputStride' is {manifest.output_stride}, the architecture's is {stride}")
    return network


def _tensors(data: bytes) -> dict[str, Tensor]:
    try:
        return safetensors.load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError):  # the last two: what torch does not know
        raise BundleError("model.safetensors is not a safetensors file") from None


def _filled(network: nn.Module, tensors: dict[str, Tensor]) -> nn.Module:
    wanted = network.state_dict()
    counters = {key: torch.zeros_like(value) for key, value in wanted.items() if key.endswith(_COUNTER)}
    weights = {key: value for key, value in wanted.items() if key not in counters}
    _same_keys(set(weights), set(tensors))
    ready = {key: _checked(key, tensors[key], value) for key, value in weights.items()}
    network.load_state_dict(ready | counters, assign=True)
    return network


def _same_keys(wanted: set[str], found: set[str]) -> None:
    missing, extra = sorted(wanted - found), sorted(found - wanted)
    if missing:
        raise BundleError(f"model.safetensors lacks {len(missing)} tensors, {missing[0]} among them")
    if extra:
        raise BundleError(f"model.safetensors holds {len(extra)} unknown tensors, {extra[0][:80]} among them")


def _checked(key: str, found: Tensor, wanted: Tensor) -> Tensor:
    if found.shape != wanted.shape:
        raise BundleError(f"{key} has shape {list(found.shape)}, not {list(wanted.shape)}")
    if found.dtype not in (_STORED if wanted.is_floating_point() else (wanted.dtype,)):
        raise BundleError(f"{key} has an element type that the network cannot use")
    value = found.to(wanted.dtype)
    if not value.isfinite().all():
        raise BundleError(f"{key} holds values that are not finite")
    return value


@torch.inference_mode()
def _smoke(module: nn.Module, manifest: Manifest, device: str) -> None:
    """One small forward: the last check, and the warm-up of the first real one."""
    height, width = _SMOKE
    ramp = (torch.arange(3 * height * width, device=device) % 251).to(torch.uint8)
    logits = module(ramp.view(1, 3, height, width))
    stride = manifest.output_stride
    if logits.shape != (1, len(manifest.classes), height // stride, width // stride):
        raise BundleError(f"the network answers shape {list(logits.shape)}, not what model.json says")
    if not logits.isfinite().all():
        raise BundleError("the network answers values that are not finite")
