#!/bin/sh
# plan.sh PROJECT REGION: what would change with the new bundles and the new image; `apply` does exactly that.
set -eu
project=$1 region=$2
image=$(cat build/image)
cd terraform
terraform init -input=false -lockfile=readonly -backend-config="bucket=$project-terraform"
terraform plan -input=false -out=build.tfplan -var="project=$project" -var="region=$region" -var="image=$image"
