"""Image registries: any OCI registry, and Amazon ECR."""
