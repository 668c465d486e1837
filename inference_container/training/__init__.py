"""Training of bundles: photos with partial labels, augmentation, loss and loop; never imported by serving."""
