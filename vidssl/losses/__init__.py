"""Losses as free functions of tensors."""
