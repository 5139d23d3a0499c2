"""What users see of a run: metrics on disk, wandb, pictures, pages and console output."""
