"""Trains a plan. The only room that knows Lightning."""
