#!/bin/sh
# image.sh REPOSITORY TAG: build the inference container for GPUs, push it, and leave its name by digest in build/image.
# Layers come from the registry's cache: torch is most of the image and seldom changes.
set -eu
repository=$1 tag=$2
mkdir -p build
docker buildx create --name deploy --driver docker-container --use
docker buildx build --push --tag "$repository:$tag" --metadata-file build/image.json \
    --cache-from "type=registry,ref=$repository:cache" --cache-to "type=registry,ref=$repository:cache,mode=max" \
    --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 --file inference_container/Dockerfile .
digest=$(sed -n 's/.*"containerimage\.digest": *"\(sha256:[0-9a-f]*\)".*/\1/p' build/image.json)
test -n "$digest"
printf '%s@%s' "$repository" "$digest" > build/image
