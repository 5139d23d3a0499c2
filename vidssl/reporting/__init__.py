"""What a person sees of a run: metrics on disk, wandb, pictures and the closing summary."""
