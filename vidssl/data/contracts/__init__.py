"""What samplers and augmentation operations must be and do, as checks for plug-ins."""
