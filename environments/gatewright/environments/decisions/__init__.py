"""Decision points as Gymnasium environments: live in a world, or over logged decisions; they need the extra `tune`."""
