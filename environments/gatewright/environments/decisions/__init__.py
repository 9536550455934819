"""Decision points as Gymnasium environments: live in a world, or over logged decisions; needs the extra `tune`."""
