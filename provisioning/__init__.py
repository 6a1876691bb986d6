"""Inventory, qualification, orders and the provisioning manager. Its room is kept;
nothing here talks to equipment directly."""
